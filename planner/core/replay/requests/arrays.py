"""The arrays that a stage begins with: rows of units, what happens to the fleet, linked places of a pool. Pure."""

import numpy as np

from planner.core.replay.requests.kernels import layout
from planner.core.replay.requests.kernels.layout import NIL, Records
from planner.core.replay.requests.model import Lives


def unit_rows(lives: Lives, kind: np.dtype[np.void]) -> Records:
    """Units before they serve."""
    units = np.zeros(len(lives), kind)
    for name in {"place", "slot", "head", "tail", "pass_head", "far", "last_rank"} & set(kind.names or ()):
        units[name] = NIL
    units["drains_us"], units["drain_took_us"] = lives.drain_us, np.nan
    if "leaves_us" in (kind.names or ()):
        units["leaves_us"] = np.inf
    return units


def fleet_events(lives: Lives, end_us: float) -> Records:
    """What happens to the fleet until the end, in order. A unit that drains as it begins to serve takes no work.

    A unit that has failed has no further events.
    """
    every = np.ones(len(lives), np.bool_)
    kinds = [
        (layout.TAKE, lives.serve_us, lives.serve_us < lives.stop_us),
        (layout.STOP, lives.stop_us, lives.serve_us < lives.stop_us),
        (layout.ASSIGN, lives.serve_us, every),
        (layout.DRAIN, lives.drain_us, lives.drain_us < lives.fail_us),
        (layout.DEADLINE, lives.gone_us, lives.gone_us < lives.fail_us),
        (layout.FAIL, lives.fail_us, every),
    ]
    rows = [(float(at[unit]), kind, int(unit)) for kind, at, which in kinds for unit in np.flatnonzero(which)]
    return np.array(sorted(row for row in rows if row[0] <= end_us), layout.EVENT)


def link_places(pool: Records, first: int, then: int) -> Records:
    """Link the places of a pool, from a first one on, into a free list that continues elsewhere."""
    pool["following"][first:] = np.arange(first + 1, len(pool) + 1)
    pool["following"][-1] = then
    return pool
