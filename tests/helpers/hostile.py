"""Calls with hostile input: what a command may do with it, and how its end is judged."""

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import pytest

from planner.text import visible
from tests.conftest import Cli, Result

CPU_S = 10
"""Most that a call may compute, in seconds of all its threads; other tests beside it do not change them."""
WAIT_S = 60
"""A bound on calls that wait for something without computing: generous, as the machine is shared."""


class Hung(BaseException):
    """A call did not end in time. Not an Exception, so that nothing takes it for a failure of its own."""


@contextmanager
def bounded(what: object, cpu_s: int = CPU_S, wait_s: int = WAIT_S) -> Iterator[None]:
    """Fails the test where the block computes for longer than allowed, or does not end in time."""

    def ring(number: int, _frame: FrameType | None) -> NoReturn:
        raise Hung(f"computes for more than {cpu_s} s" if number == signal.SIGPROF else f"no end after {wait_s} s")

    timers = {signal.SIGPROF: (signal.ITIMER_PROF, cpu_s), signal.SIGALRM: (signal.ITIMER_REAL, wait_s)}
    before = {number: signal.signal(number, ring) for number in timers}
    try:
        for timer, seconds in timers.values():
            signal.setitimer(timer, seconds)
        yield
    except Hung as hung:
        pytest.fail(f"{what}: {hung}")
    finally:
        for number, (timer, _) in timers.items():
            signal.setitimer(timer, 0)
            signal.signal(number, before[number])


@dataclass(frozen=True)
class Place:
    """Where calls are made: a working folder, and one for temporary files."""

    folder: Path
    temporary: Path

    def leftovers(self) -> list[str]:
        """What a command leaves that nobody asked for: drafts, hidden files, temporary files."""
        # the lock of a store's scheduler stays on purpose
        hidden = [path.name for path in self.folder.rglob(".*") if path.suffix != ".scheduler"]
        return sorted([*hidden, *(path.name for path in self.temporary.iterdir())])


def judged(cli: Cli, place: Place, words: Sequence[str], what: object) -> Result:
    """Run a command: it ends in time, in a known way, with one line on a failure, and leaves nothing behind."""
    shown = f"{what}: planner {' '.join(ascii(word)[:90] for word in words)}"
    with bounded(shown):
        try:
            result = cli(*words)
        except Exception as error:
            raise AssertionError(f"{shown}: {type(error).__name__}: {str(error)[:300]}") from error
    assert result.code in (0, 1, 2, 3), f"{shown}: {result}"
    assert "Traceback" not in result.err + result.out, shown
    assert visible(result.err, keep="\n") == result.err, f"{shown}: {result.err!r}"
    if result.code:
        last = result.err.rstrip("\n").split("\n")[-1] if result.err else ""
        # the nightly service writes its log in JSON, a line an event
        assert last.startswith(("planner: ", '{"at": ')), f"{shown}: {result.err!r}"
        assert len(last) > len("planner: it fails"), f"{shown}: {result.err!r}"
    assert place.leftovers() == [], shown
    return result


LEFT_OUT = {("schedule", "run"), ("reference",)}
"""Commands that end on a signal alone, or work on the built-in day only."""


def commands(group: Any, before: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command with its words."""
    for name, command in sorted(group.commands.items()):
        if hasattr(command, "commands"):
            yield from commands(command, (*before, name))
        elif (*before, name) not in LEFT_OUT:
            yield (*before, name), command
