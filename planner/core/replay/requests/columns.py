"""Columns of requests for kernels, and of those that follow others. Pure."""

import numpy as np

from planner.core.replay.requests.kernels.layout import NIL
from planner.core.replay.requests.model import Requests
from planner.errors import UsageError
from planner.units import Floats, Ints

_NONE = np.zeros(0, np.int64)


def columns_of(requests: Requests, arriving: int) -> dict[str, Ints]:
    """Columns of one kind, so that kernels are compiled once."""
    columns = {name: _column(getattr(requests, name)[:arriving]) for name in Requests.COLUMNS}
    columns["block_from"] = columns["block_ids"] = _NONE
    if requests.block_from is not None and requests.block_ids is not None:
        columns["block_from"] = _column(requests.block_from[: arriving + 1])
        columns["block_ids"] = _column(requests.block_ids[: requests.block_from[arriving]])
    return columns


def children_of(follows: Ints) -> Ints:
    """By request its first follower, then by request the next that follows the same; NIL for none."""
    size = len(follows)
    children = np.full(2 * size, NIL, np.int64)
    order = np.argsort(follows, kind="stable")
    order = order[follows[order] != NIL]
    parents = follows[order]
    same = parents[1:] == parents[:-1]
    children[size + order[:-1][same]] = order[1:][same]
    first = np.insert(~same, 0, True)[: len(order)]
    children[parents[first]] = order[first]
    return children


def check_followers(size: int, follows: Ints, think_us: Floats) -> None:
    """Raises UsageError for requests that follow none before them, and for times to think that are no times."""
    if len(follows) != size or len(think_us) != size:
        raise UsageError(
            f"{size} requests, {len(follows)} that they follow and {len(think_us)} times to think; give one of each"
        )
    wrong = np.flatnonzero((follows < NIL) | (follows >= np.arange(size)))
    if len(wrong):
        raise UsageError(f"request {wrong[0]} follows {follows[wrong[0]]}, which is not before it; correct its order")
    if not (np.isfinite(think_us) & (np.asarray(think_us) >= 0)).all():
        raise UsageError("times to think must be finite and not negative; correct them")


def _column(column: Ints) -> Ints:
    return np.require(column, np.int64, ["C", "W"])
