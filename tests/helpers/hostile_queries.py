"""Addresses that nobody's page makes: what a state takes, bent, doubled, cut and mixed with what breaks others."""

import random
from collections.abc import Iterator
from urllib.parse import quote, urlencode

from planner.web.controls import PATHS, POLICY

_KEYS = (
    "scenario", "trace", "from", "to", "compare", "token", "export.training_jobs", "trace.file", "store", "__proto__",
    "policy", "policy.", ".name", "fleet.nodes.x", "name", "description", "b.", "b.b.fleet.nodes", "pane.", "pane.side",
    "pane.slider", "b.pane.side", *PATHS, *(f"b.{path}" for path in PATHS),
)  # fmt: skip
_VALUES = (
    "", "0", "-0", "1", "-1", "0.5", "1e3", "1e-300", "1e300", "1e999", "-1e15", "999999999999999", "nan", "inf",
    "-Infinity", "0x10", "1_000", "١٢", "½", "1e", "--", "true", "null", "[]", "{}", "a", "b", "reactive", "predictive",
    "none", "../../etc/passwd", "/etc/passwd", "C:\\x", "http://example.org/", "'; DROP TABLE run; --", '" OR 1=1',
    "<script>alert(1)</script>", "{{7*7}}", "{% raw %}", "${x}", "%s%n", "a\nb", "a\rb", "a\0b", "\u202e", "\ufeff",
    "\ud7ff", "\U0001f4a9", "x" * 300, "x" * 3000, "2025-02-27T10:00", "2025-13-45", "9999-12-31T23:59:59+14:00",
    "0001-01-01", "10:00", "2026-11-02T08:00", "2026-11-02T20:00+08:00", "reactive\"\nfleet.nodes=1", "own-roles",
)  # fmt: skip
_RAW = ("%", "%zz", "%ff%fe", "%00", "&&&&", "====", ";", "?", "#", "+", "\xff\xfe", "%ud800", "a=1;b=2", "=", "&=&")


def hostile_queries(seed: int, count: int) -> Iterator[str]:
    """So many of them, the same for the same seed."""
    chance = random.Random(seed)
    for _ in range(count):
        query = _pairs(chance)
        for _ in range(chance.choice((0, 0, 1, 3))):
            place = chance.randrange(len(query) + 1)
            cut = place + chance.choice((0, 0, 1, 5))
            query = query[:place] + chance.choice(_RAW) + query[cut:]
        yield query


def _pairs(chance: random.Random) -> str:
    pairs = [(chance.choice(_KEYS), _value(chance)) for _ in range(chance.choice((1, 1, 1, 2, 2, 3, 80)))]
    if chance.random() < 0.1:
        return "&".join(f"{key}={quote(text, safe=chance.choice(('', '&=;/')))}" for key, text in pairs)
    return urlencode(pairs)


def _value(chance: random.Random) -> str:
    if chance.random() < 0.25:
        return f"{chance.uniform(-1, 3) * 10 ** chance.randrange(-6, 9):.{chance.randrange(1, 17)}g}"
    if chance.random() < 0.05:
        return chance.choice(PATHS) + "=" + chance.choice(_VALUES)
    return chance.choice(_VALUES)


ALL_PATHS_AT_THEIR_ENDS = tuple(
    f"{path}={text}"
    for path in PATHS
    if path != POLICY
    for text in ("0", "-1", "1e-12", "0.5", "1", "2", "1e6", "1e12", "999999999999999")
)
"""Values that are numbers, and mostly no setting that makes sense."""
