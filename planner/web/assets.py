"""What pages load besides their text: the style, the script, and the library that draws charts, made once and kept."""

import hashlib
import os
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

import vl_convert

from planner.files import atomic_write, shipped
from planner.input_files import exists
from planner.report.pages import environment


@dataclass(frozen=True)
class Asset:
    """A file as it is served. tag: what it hashes to."""

    content: bytes
    media_type: str
    tag: str


def script_of_charts() -> str:
    """vega-embed with what it needs, which takes vl-convert 11 s to put together: once for each version of it."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    path = root / "inference-planner" / f"vega-{version('vl-convert-python')}.js"
    if exists(path):
        return path.read_text(encoding="utf-8")
    made: str = vl_convert.javascript_bundle()  # type: ignore[call-arg]  # its stub lacks the default
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as draft:
            draft.write_text(made, encoding="utf-8")
    except OSError:
        # a cache that cannot be written is made again the next time
        pass
    return made


@cache
def asset(name: str) -> Asset | None:
    """A file by its name; None for one that is not served."""
    pages = shipped("reports")
    if name == "vega.js":
        return _asset(script_of_charts(), "text/javascript")
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
