"""Which counters of a monitoring server tell a field: their names in every version, or those that the user maps."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from planner.errors import UsageError

FIELDS = ("requests", "input_tokens", "cached_input_tokens", "output_tokens")
NEEDED = ("input_tokens", "output_tokens", "requests")
"""Without these there is nothing to plan."""
OWN = "prometheus"
"""The format of counters that the user names, all of them."""
_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:.]*")
_CAUTIONS = {
    "gpu_prefix_cache_hits": "{name} counts tokens in later versions of vLLM and blocks in its first ones: if hits are "
    "too few by the tokens of a block, they are blocks",
}
"""Published: descriptions of the metric in the engines' code."""
_PREFIX = r"[:_]"
"""Exporters and recording rules write the colon of a name as an underscore."""


@dataclass(frozen=True)
class Counter:
    """Names of one counter, the preferred one first; parts: as patterns for whole names."""

    names: tuple[str, ...]
    patterns: tuple[str, ...]

    @property
    def matcher(self) -> str:
        """What selects it in PromQL."""
        return '__name__=~"' + "|".join(self.patterns).replace("\\", "\\\\") + '"'

    def preference(self, name: str) -> int:
        """The place of a name among the patterns."""
        return next((at for at, pattern in enumerate(self.patterns) if re.fullmatch(pattern, name)), len(self.patterns))


def cautions(names: Iterable[str]) -> Iterator[str]:
    """What the user is to know of counters that a server has."""
    for name in names:
        yield from (text.format(name=name) for key, text in _CAUTIONS.items() if key in name)


@dataclass(frozen=True)
class CounterNames:
    """What tells each field: ways, of which the first that the server has is taken, each a sum of counters."""

    ways: Mapping[str, Sequence[tuple[Counter, ...]]]

    def all_of(self, field: str) -> str:
        """The preferred names of a field's ways, for messages."""
        return (
            " or ".join(" + ".join(counter.names[0] for counter in way) for way in self.ways[field]) or "none is named"
        )

    def counters(self, fields: Sequence[str]) -> Iterator[Counter]:
        """All counters of some fields."""
        for field in fields:
            for way in self.ways[field]:
                yield from way


def shipped_names(prefix: str, metrics: Mapping[str, Sequence[str]]) -> CounterNames:
    """The names that a reader lists: see the readers' files for how they are written."""
    return CounterNames({field: tuple(_ways(prefix, metrics[field])) for field in FIELDS})


def with_own(names: CounterNames, own: Mapping[str, Sequence[str]]) -> CounterNames:
    """The same with the counters that the user maps, those of one field added up. Raises UsageError."""
    for field, metrics in own.items():
        if field not in FIELDS:
            raise UsageError(f"--metric {field}: is not one of {', '.join(FIELDS)}; write --metric {FIELDS[0]}=NAME")
        for metric in metrics:
            if not _METRIC.fullmatch(metric):
                raise UsageError(f"--metric {field}={metric}: is not the name of a metric; give the name alone")
    mapped = {
        field: (tuple(Counter((metric,), (re.escape(metric),)) for metric in metrics),)
        for field, metrics in own.items()
    }
    return CounterNames({**names.ways, **mapped})


def _ways(prefix: str, ways: Sequence[str]) -> Iterator[tuple[Counter, ...]]:
    for way in ways:
        yield tuple(_counter(prefix, term.split("|")) for term in way.split(" + "))


def _counter(prefix: str, names: Sequence[str]) -> Counter:
    is_total = not names[0].endswith(("_sum", "_count"))
    ending = "(_total)?" if is_total else ""
    return Counter(
        tuple(f"{prefix}:{name}{'_total' if is_total else ''}" for name in names),
        tuple(f"{prefix}{_PREFIX}{name}{ending}" for name in names),
    )
