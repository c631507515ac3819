"""Where the counters of servers are there: one that is not there tells nothing, which is not to count nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from planner.units import Bools, Floats

_LEAST_SHARE = 0.01
"""Assumed share of what a window counted above which it lacks a counter that was not there meanwhile. A server may
begin to count requests when the first one ends, after its tokens."""


@dataclass(frozen=True, kw_only=True)
class Presence:
    """A series of a counter: its labels, when it was first and last seen, and its growth in windows from one on."""

    labels: Mapping[str, str]
    first_s: float
    last_s: float
    from_window: int
    grown: Floats


def lacking(told: Sequence[Presence], other: Sequence[Presence], marks_s: Floats, step_s: int) -> Bools:
    """The windows in which a server that served, as what is told grew, lacks the other counter.

    Servers are the same where all labels agree that both counters have. Where none is the same, as with counters of a
    gateway and of the servers behind it, it is only told whether there is any.

    marks_s: edges of the windows. step_s: of the samples, by which the end of what was seen is uncertain.
    """
    seen, keys = _seen(told, other)
    lacks = np.zeros(len(marks_s) - 1, bool)
    without, total = np.zeros(len(lacks)), np.zeros(len(lacks))
    for series in told:
        own = slice(series.from_window, series.from_window + len(series.grown))
        span = seen.get(_server(series, keys))
        if span is None:
            lacks[own] |= series.grown > 0
            continue
        begins = np.maximum(marks_s[:-1][own], series.first_s)
        ends = np.minimum(marks_s[1:][own], series.last_s)
        shared = np.minimum(ends, span[1] + step_s) - np.maximum(begins, span[0] - step_s)
        share = 1 - np.clip(shared, 0, None) / np.maximum(ends - begins, 1e-9)
        without[own] += np.clip(share, 0, 1) * series.grown
        total[own] += series.grown
    return lacks | (without > _LEAST_SHARE * total)


def _seen(
    told: Sequence[Presence], other: Sequence[Presence]
) -> tuple[dict[tuple[str, ...], tuple[float, float]], list[str]]:
    """When a counter was first and last seen, by server; and the labels that tell servers apart."""
    keys = sorted(set.intersection(*(set(series.labels) for series in (*told, *other))))
    if not {_server(series, keys) for series in told} & {_server(series, keys) for series in other}:
        keys = []
    seen: dict[tuple[str, ...], tuple[float, float]] = {}
    for series in other:
        server = _server(series, keys)
        first_s, last_s = seen.get(server, (series.first_s, series.last_s))
        seen[server] = min(first_s, series.first_s), max(last_s, series.last_s)
    return seen, keys


def _server(series: Presence, keys: Sequence[str]) -> tuple[str, ...]:
    return tuple(series.labels[key] for key in keys)
