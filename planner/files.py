"""Files: the shipped data folders, atomic writes, and the installed version.

The shipped folders are `sql/`, `traces/` and `reports/`: a wheel carries them inside the package, a checkout at its top
level.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version as installed_version
from importlib.resources import files
from pathlib import Path

from planner.drafts import draft_file, flush, is_draft


def version() -> str:
    """The installed version of planner, as it is stored with traces and runs."""
    return installed_version("inference-planner")


def shipped(folder: str) -> Path:
    """The shipped data folder of that name."""
    package = Path(str(files("planner")))
    inside = package / "_shipped" / folder
    return inside if inside.is_dir() else package.parent / folder


@contextmanager
def atomic_write(path: Path, *, new: bool = False) -> Iterator[Path]:
    """Where to write a file: it gets its name once it is complete and on the disk, and never if anything goes wrong.

    What is no regular file (a pipe, a device) stays and is written to directly; a link stays, and what it leads to is
    replaced. new: whether a file that is there is left as it is, which raises FileExistsError. Raises OSError, with the
    name of the file.
    """
    if new and os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    if path.absolute().is_relative_to("/dev") or (path.exists() and not path.is_file()):
        yield path
        return
    target = path.resolve() if path.is_symlink() else path
    try:
        with draft_file(target) as draft:
            yield draft
            flush(draft)
            if new:
                _move_new(draft, target)
            else:
                draft.replace(target)
    except OSError as error:
        # a disk that is full tells no name, and that of the draft means nothing to the user
        if error.filename is None or is_draft(Path(error.filename)):
            error.filename, error.filename2 = str(path), None
        raise


def _move_new(draft: Path, path: Path) -> None:
    """Give a draft its name unless another file has got it meanwhile. Raises FileExistsError."""
    try:
        os.link(draft, path)
    except FileExistsError:
        raise
    except OSError:
        # a file system without links: it was not there a moment ago
        draft.replace(path)
