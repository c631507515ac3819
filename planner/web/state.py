"""What an address says: which scenario, which settings are changed in plan A and in plan B, which time is looked at."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, tzinfo
from urllib.parse import parse_qsl, urlencode

from planner.errors import UsageError
from planner.text import quoted
from planner.web.controls import PATHS, command_words, override

B = "b."
"""How the settings of plan B begin: those in which it differs from A."""
_PLAIN = ("scenario", "trace", "from", "to")
"""Keys of an address beside settings. What panes need of their own begins with `pane.`."""
_PANE = "pane."
_LINES = str.maketrans("\r\n\t", "   ")
_MOST_KEYS = 64
_FIRST_YEAR, _LAST_YEAR = 1970, 2261
"""Assumed: requests come in these; times in nanoseconds end in 2262."""
_MOST_LETTERS = 2_000


@dataclass(frozen=True, kw_only=True)
class State:
    """The state of a page.

    Attributes:
        scenario: Name of the scenario.
        trace: Name of a stored trace in place of the scenario's own; None for that.
        a: Settings of plan A that are changed, as text, by path.
        b: Settings of plan B beyond those of A; None where there is no plan B.
        start: First moment that is looked at, as text; None for the plan's.
        end: Last one.
        pane: What a pane needs of its own, by key.
    """

    scenario: str
    trace: str | None = None
    a: Mapping[str, str] = field(default_factory=dict)
    b: Mapping[str, str] | None = None
    start: str | None = None
    end: str | None = None
    pane: Mapping[str, str] = field(default_factory=dict)

    @property
    def sides(self) -> tuple[str, ...]:
        """The plans that are looked at."""
        return ("a",) if self.b is None else ("a", "b")

    @property
    def side(self) -> str:
        """The plan that a pane is about which shows one of them."""
        return "b" if self.b is not None and self.pane.get("side") == "b" else "a"

    def changes(self, side: str) -> dict[str, str]:
        """The settings of a plan that differ from the scenario's."""
        return dict(self.a) if side == "a" or self.b is None else {**self.a, **self.b}

    def times(self, zone: tzinfo) -> tuple[datetime | None, datetime | None]:
        """First and last moment that are looked at; those without an offset are of a zone. Raises UsageError."""
        return _moment(self.start, zone), _moment(self.end, zone)

    def overrides(self, side: str) -> list[str]:
        """The same as `--set` takes them. Raises UsageError."""
        return [override(path, text) for path, text in self.changes(side).items()]

    def query(self, **changed: str | None) -> str:
        """The address of this state, with some of its plain keys changed."""
        return urlencode(self.pairs(**changed))

    def pairs(self, **changed: str | None) -> dict[str, str]:
        """What its address says, by key."""
        pairs = {"scenario": self.scenario, "trace": self.trace, "from": self.start, "to": self.end}
        pairs |= self.a
        if self.b is not None:
            pairs |= {"compare": "1", **{f"{B}{path}": text for path, text in self.b.items()}}
        pairs |= {f"{_PANE}{key}": text for key, text in self.pane.items()} | changed
        return {key: text for key, text in pairs.items() if text is not None}

    def with_b(self) -> "State":
        """The same with a plan B, which is A at first."""
        return self if self.b is not None else replace(self, b={})

    def without_b(self) -> "State":
        return replace(self, b=None)

    def with_trace(self, name: str) -> "State":
        """The same with another trace, and with nothing that a pane needs of its own."""
        return replace(self, trace=name, pane={})

    def with_setting(self, side: str, path: str, text: str) -> "State":
        """The same with a setting of one plan at another value."""
        if side == "a" or self.b is None:
            return replace(self, a={**self.a, path: text})
        return replace(self, b={**self.b, path: text})

    def command(self, side: str, source: str) -> str:
        """The command that plans one of both, for a shell. source: the scenario as commands name it."""
        return shlex.join(command_words(source, self.changes(side), self.trace))


def parse(query: str, scenarios: Sequence[str]) -> State:
    """Read an address.

    Args:
        query: What follows the question mark.
        scenarios: The names that may be asked for; the first where none is.

    Raises:
        UsageError: What is not a state of a page: too long, a key that is not known, a name that is not served.
    """
    if len(query) > _MOST_LETTERS * 4:
        raise UsageError("the address is too long; go back to the first page")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=_MOST_KEYS, errors="strict")
    except ValueError as error:
        raise UsageError("the address cannot be read; go back to the first page") from error
    given = dict(pairs)
    known = {*_PLAIN, "compare", *PATHS, *(f"{B}{path}" for path in PATHS)}
    for key, text in pairs:
        if key not in known and not key.startswith(_PANE):
            raise UsageError(f"{quoted(key, 60)} is not a setting of this page; remove it from the address")
        if not f"{key}{_on_one_line(key, text)}".isprintable() or len(text) > _MOST_LETTERS:
            raise UsageError(
                f"{quoted(key, 60)} has a value that cannot be read, or of more than {_MOST_LETTERS:,} characters; "
                "correct the address"
            )
    if len(given) < len(pairs):
        raise UsageError("the address has a setting twice; leave one of them out")
    name = given.get("scenario") or scenarios[0]
    if name not in scenarios:
        raise UsageError(
            f"{quoted(name, 60)} is not a scenario of this page; use one of {', '.join(scenarios)}, or name it to "
            "`planner serve`"
        )
    a = {path: given[path] for path in PATHS if given.get(path)}
    b = {path: given[f"{B}{path}"] for path in PATHS if given.get(f"{B}{path}")}
    state = State(
        scenario=name,
        trace=given.get("trace") or None,
        a=a,
        b=b if b or given.get("compare") else None,
        start=given.get("from") or None,
        end=given.get("to") or None,
        pane={key.removeprefix(_PANE): text for key, text in pairs if key.startswith(_PANE)},
    )
    for side in state.sides:
        state.overrides(side)
    return state


def _moment(text: str | None, zone: tzinfo) -> datetime | None:
    """A moment that an address says, in UTC. Raises UsageError."""
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
        at = (at if at.tzinfo else at.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise _no_time(text) from error
    if not _FIRST_YEAR <= at.year <= _LAST_YEAR:
        raise _no_time(text)
    return at


def _no_time(text: str) -> UsageError:
    return UsageError(f"{quoted(text, 60)} is not a time of a plan; choose one on the timeline")


def _on_one_line(key: str, text: str) -> str:
    """The text of a key, where a pane's may have several lines, as queries have."""
    return text.translate(_LINES) if key.startswith(_PANE) else text
