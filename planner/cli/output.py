"""Output of the commands: data to stdout, progress and messages to stderr.

Nothing else prints. Names and texts from logs can hold anything, so control characters are written out here.
"""

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from planner.text import visible

if TYPE_CHECKING:
    from planner.units import Progress


_LONG = 1e15
"""More digits than are readable, and about as many as a float has."""


class ReaderGone(Exception):
    """Whoever read stdout has closed it. It is no OSError, of which typer would make a failure."""


def print_json(document: object) -> None:
    """One JSON document on stdout."""
    from planner.documents import plain, to_json

    _write(json.dumps(to_json(document), indent=2, default=plain, allow_nan=False) + "\n")


def print_json_rows(parts: Iterable[Sequence[object]]) -> None:
    """One JSON list on stdout, from parts of it: the same text as print_json writes."""
    from planner.documents import plain, to_json

    is_first = True
    for part in parts:
        if part:
            text = json.dumps(to_json(part), indent=2, default=plain, allow_nan=False)
            _write(("[\n" if is_first else ",\n") + text[2:-2])
            is_first = False
    _write("[]\n" if is_first else "\n]\n")


def print_line(text: str = "") -> None:
    """A line on stdout."""
    _write(visible(text) + "\n")


def print_text(text: str) -> None:
    """Text of several lines on stdout for a program or a file, to which it goes as it is; a terminal is protected."""
    _write(visible(text, keep="\n\t") if sys.stdout.isatty() else text)


def warn(text: str) -> None:
    """A line on stderr."""
    sys.stderr.write(f"planner: {visible(text)}\n")


def fail(text: str) -> None:
    """The one line on stderr that says why a command fails."""
    warn(" ".join(text.split()))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], title: str | None = None) -> None:
    """A table on stdout. Numbers are right-aligned; a column whose head starts with "<" is left-aligned text."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    title = None if title is None else visible(title)
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    cells = [[_cell(value) for value in row] for row in rows]
    for index, column in enumerate(columns):
        left, head = column.startswith("<"), visible(column.removeprefix("<"))
        # a number is never cut short, however narrow the terminal
        least = None if left else max([len(head), *(len(row[index]) for row in cells)])
        table.add_column(head, justify="left" if left else "right", no_wrap=not left, min_width=least)
    for row in cells:
        table.add_row(*row)
    width = None if sys.stdout.isatty() else 10_000
    Console(width=width, highlight=False, markup=False, emoji=False).print(table)


@contextmanager
def progress_bar(what: str) -> "Iterator[Progress | None]":
    """A progress bar on stderr; None where stderr is no terminal or NO_COLOR is set."""
    from os import environ

    if not sys.stderr.isatty() or environ.get("NO_COLOR"):
        yield None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        """Rows per second."""

        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:,.0f}/s" if task.speed else "-/s")

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(visible(what), total=None)

        def update(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield update


def usd(amount: float | None) -> str:
    """Dollars as text."""
    if amount is None:
        return "-"
    return f"-${-amount:,.2f}" if amount < 0 else f"${amount:,.2f}"


def percent(ratio: float | None, digits: int = 1) -> str:
    """A ratio as text, in per cent."""
    return "-" if ratio is None else f"{ratio:.{digits}%}"


def number(value: float, digits: int = 0) -> str:
    """A number as text: digits in groups, and in scientific notation where there would be too many."""
    return f"{value:,.{digits}f}" if abs(value) < _LONG else f"{value:.3e}"


def _write(text: str) -> None:
    try:
        sys.stdout.write(text)
    except BrokenPipeError as error:
        raise ReaderGone from error


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, int):
        return number(value)
    if isinstance(value, float):
        return number(value, 2)
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="minutes")
    return visible(str(value))
