"""Requests that follow others in a closed loop: who is to come when those before them have ended. Compiled.

A loop is a record with the fields of `layout.LOOP`, be it that alone or the state of a stage that has them among
others. Importing this module imports numba.
"""

import numpy as np

from planner.core.replay.requests.kernels.layout import LOOP, NIL, Record, at_address, carray, floats, ints
from planner.jit import njit
from planner.units import Floats, Ints


@njit
def loop_of(state: Record) -> Record:
    """The loop that a stage is in, which has one."""
    return carray(at_address(state.loop_at), (1,), LOOP)[0]


@njit
def heap_of(loop: Record) -> tuple[Floats, Ints]:
    """Those that are to come: when, and which."""
    rows = loop.comers_rows
    return (
        carray(at_address(loop.comer_us_at), (rows,), np.float64),
        carray(at_address(loop.comers_at), (rows,), np.int64),
    )


@njit
def call_followers(loop: Record, seq: int, at: float) -> None:
    """A request has ended, so those that follow it are to come after their users have thought."""
    if loop.follows == 0:
        return
    # first followers by request, then next followers of the same
    children = ints(loop.children_at, 2 * loop.comers_rows)
    think = floats(loop.think_at, loop.comers_rows)
    child = children[seq]
    while child != NIL:
        _push(loop, at + think[child], child)
        child = children[loop.comers_rows + child]


@njit
def _push(loop: Record, at: float, seq: int) -> None:
    times, comers = heap_of(loop)
    hole = loop.comers
    loop.comers += 1
    while hole > 0:
        above = (hole - 1) // 2
        if times[above] < at or (times[above] == at and comers[above] < seq):
            break
        times[hole], comers[hole] = times[above], comers[above]
        hole = above
    times[hole], comers[hole] = at, seq


@njit
def pop_comer(loop: Record) -> int:
    """Take the next that is to come out of the heap."""
    times, comers = heap_of(loop)
    first = comers[0]
    loop.comers -= 1
    size = loop.comers
    at, seq, hole = times[size], comers[size], 0
    while 2 * hole + 1 < size:
        below = 2 * hole + 1
        other = below + 1
        if other < size and (
            times[other] < times[below] or (times[other] == times[below] and comers[other] < comers[below])
        ):
            below = other
        if at < times[below] or (at == times[below] and seq < comers[below]):
            break
        times[hole], comers[hole] = times[below], comers[below]
        hole = below
    times[hole], comers[hole] = at, seq
    return first
