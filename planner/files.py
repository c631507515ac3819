"""Files: the shipped data folders, atomic writes, and the installed version.

The shipped folders are `sql/`, `traces/` and `reports/`: a wheel carries them inside the package, a checkout at its top
level.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version as installed_version
from importlib.resources import files
from pathlib import Path


def version() -> str:
    """The installed version of planner, as it is stored with traces and runs."""
    return installed_version("inference-planner")


def shipped(folder: str) -> Path:
    """The shipped data folder of that name."""
    package = Path(str(files("planner")))
    inside = package / "_shipped" / folder
    return inside if inside.is_dir() else package.parent / folder


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Where to write a file: it gets its name once it is complete, and never if anything goes wrong.

    What is not a regular file (a pipe, a device, a link) stays and is written to directly. Raises OSError.
    """
    if path.is_symlink() or (path.exists() and not path.is_file()):
        yield path
        return
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        yield draft
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
