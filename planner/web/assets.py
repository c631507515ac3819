"""What pages load besides their text: the style, the script, and the library that draws charts, made once and kept."""

import hashlib
from dataclasses import dataclass
from functools import cache

from planner.files import shipped
from planner.report.pages import environment
from planner.report.script import chart_script


@dataclass(frozen=True)
class Asset:
    """A file as it is served. tag: what it hashes to."""

    content: bytes
    media_type: str
    tag: str


@cache
def asset(name: str) -> Asset | None:
    """A file by its name; None for one that is not served."""
    pages = shipped("reports")
    if name == "vega.js":
        return _asset(chart_script(), "text/javascript")
    if name == "charts.js":
        return _asset((pages / name).read_text(encoding="utf-8"), "text/javascript")
    if name == "app.js":
        return _asset((pages / "web" / name).read_text(encoding="utf-8"), "text/javascript")
    if name == "app.css":
        shared = environment().get_template("style.html.j2").render()
        own = (pages / "web" / name).read_text(encoding="utf-8")
        return _asset(shared.replace("<style>", "").replace("</style>", "") + own, "text/css")
    return None


def _asset(text: str, media_type: str) -> Asset:
    content = text.encode()
    return Asset(content, media_type, hashlib.sha256(content).hexdigest()[:16])
