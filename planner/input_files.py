"""Files that a user names as input: read only if they are regular, and no further than is sensible.

A pipe would be waited for, a device may have no end, and a large file by a wrong name would fill the memory.
"""

import os
import stat
from pathlib import Path

from planner.errors import PlannerError, UsageError
from planner.text import quoted

MOST_BYTES = 16 * 1024 * 1024
"""Bytes of a file that people write: settings, prices, jobs, timetables. A year of minutes in a timetable has 15 MB."""
MOST_MEASURED_BYTES = 256 * 1024 * 1024
"""Bytes of a file that a program wrote and that is read whole: measurements, loads."""


def is_file(path: Path) -> bool:
    """Whether a path is that of a regular file; not where it cannot be looked up, as by a name that is too long."""
    return os.path.isfile(path)  # noqa: PTH113 - Path.is_file raises for a name that is too long, or forbidden


def exists(path: Path) -> bool:
    """Whether anything is at a path; nothing is where it cannot be looked up."""
    return os.path.lexists(path)


def check_regular(path: Path, *, cure: str, error: type[PlannerError] = UsageError) -> None:
    """Raises the error where a path is not that of a regular file that can be opened. cure: what to do instead."""
    os.close(_opened(path, cure, error))


def read_input(path: Path, *, cure: str, most: int = MOST_BYTES, error: type[PlannerError] = UsageError) -> bytes:
    """The content of a regular file.

    Args:
        path: as the user named it.
        cure: what to give instead, for example "give a readable TOML file".
        most: bytes that such a file may have.
        error: what is raised.

    Raises:
        PlannerError: it cannot be read, is not a regular file, or is larger; of the kind of `error`.
    """
    with os.fdopen(_opened(path, cure, error), "rb") as file:
        try:
            content = file.read(most + 1)
        except OSError as problem:
            raise error(f"{path}: cannot be read: {problem.strerror}; {cure}") from problem
    if len(content) > most:
        raise error(f"{path}: is larger than {most // 1024**2} MB, the most that is read of such a file; {cure}")
    return content


def read_text(path: Path, *, cure: str, encoding: str = "utf-8", named_by: str = "") -> str:
    """The text of a regular file that people write.

    named_by: the option that names it, for messages.

    Raises:
        UsageError: as `read_input`, or it is not text of the encoding or has NUL characters.
    """
    place = f"{named_by} {path}".strip()
    try:
        text = read_input(path, cure=cure).decode(encoding)
    except UnicodeDecodeError as problem:
        raise UsageError(f"{place}: is not UTF-8 text; {cure}") from problem
    except UsageError as problem:
        raise UsageError(f"{named_by} {problem}".strip()) from problem
    if "\0" in text:
        raise UsageError(f"{place}: has NUL characters and is not text; {cure}")
    return text


def _opened(path: Path, cure: str, error: type[PlannerError]) -> int:
    """The descriptor of a regular file; nothing is waited for."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as problem:
        raise error(f"{path}: cannot be read: {problem.strerror}; {cure}") from problem
    except ValueError as problem:
        raise error(f"{quoted(str(path))}: is not a path ({problem}); {cure}") from problem
    mode = os.fstat(handle).st_mode
    if stat.S_ISREG(mode):
        return handle
    os.close(handle)
    kind = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
    raise error(f"{path}: is {kind}; {cure}")
