"""The script that draws the charts of a page. To put it together takes seconds, so it is kept for other processes."""

import hashlib
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import vl_convert

from planner.caches import cache_folder
from planner.files import atomic_write


def chart_script() -> str:
    """The script. A folder that cannot be read or written only costs the time."""
    try:
        kept = cache_folder() / f"charts-{version('vl-convert-python')}.js"
    except RuntimeError:  # a user without a home
        return _made()
    with suppress(OSError):
        if (script := _read(kept)) is not None:
            return script
    script = _made()
    with suppress(OSError):
        _keep(kept, script)
    return script


def _made() -> str:
    made: str = vl_convert.javascript_bundle()  # type: ignore[call-arg]  # its stub lacks the default
    return made


def _read(kept: Path) -> str | None:
    """What is kept, unless it is not what was written: a damaged script would leave pages blank."""
    if not kept.is_file():
        return None
    digest, _, content = kept.read_bytes().partition(b"\n")
    return content.decode() if digest == _digest(content) else None


def _keep(kept: Path, script: str) -> None:
    content = script.encode()
    kept.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(kept) as draft:
        draft.write_bytes(_digest(content) + b"\n" + content)


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()
