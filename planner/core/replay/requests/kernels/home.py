"""Sending requests where their session or prefix was before: homes of sessions and blocks, hits. Compiled.

The unit that had a session or block last is its home, and none is forgotten; a unit that drains or fails takes no work
any more, so that its sessions and blocks go elsewhere. Importing this module imports numba.
"""

import numpy as np

from planner.core.replay.requests.kernels.choice import PREFIX_AWARE, TWO_KEY, choose_unit, mixed
from planner.core.replay.requests.kernels.layout import (
    NOBODY,
    PREFILL_UNIT,
    SECOND,
    Record,
    Records,
    at_address,
    carray,
    ints,
    loads_of,
    numbers_of,
)
from planner.jit import njit
from planner.units import Ints

ROLE = 0


@njit
def units_of(book: Record) -> Records:
    return carray(at_address(book.units_at), (book.units_rows,), PREFILL_UNIT)


@njit
def alone_us(book: Record, missed: int, done: int) -> float:
    """One rank alone for so many tokens after so much context."""
    return missed * (book.missed_us + book.context_us * (done + missed / 2))


@njit
def alone_ns(book: Record, missed: int, done: int) -> float:
    """The same in whole nanoseconds, so that loads are sums without rounding."""
    return np.floor(alone_us(book, missed, done) * 1000 + 0.5)


@njit
def choose_by_session(book: Record, request: Record) -> int:
    """The unit that had the session before, unless it is far busier than the mean: then by two keys."""
    homes = _homes(book)
    # blocks are numbered from 0 up in the same table, and NOBODY is no key
    slot = _home_slot(book, NOBODY - 1 - request.session_id)
    place = _place_at_home(book, request, homes[slot])
    if place == NOBODY:
        place = choose_unit(book, TWO_KEY, request.seq, ROLE)
        homes[slot] = numbers_of(book)[place]
    return place


@njit
def choose_by_blocks(book: Record, request: Record, block_ids: Ints) -> int:
    """The balancer's unit, prefix-aware the one that had the first block last, unless it is far busier than the mean.

    Where hits are found by routing, they are the leading blocks that the chosen unit had last.
    """
    homes, size = _homes(book), block_ids.shape[0]
    holder, held = np.int64(NOBODY), 0
    while held < size:
        home = homes[_home_slot(book, block_ids[held])]
        if home == NOBODY or (held > 0 and home != holder):
            break
        holder = home
        held += 1
    if book.routed:
        _set_hits(book, request, held)
    if book.candidates == 0:
        place = np.int64(NOBODY)
    else:
        place = _place_at_home(book, request, holder) if book.balancer == PREFIX_AWARE else np.int64(NOBODY)
        if place == NOBODY:
            place = choose_unit(book, book.balancer, request.seq, ROLE)
    unit = numbers_of(book)[place] if place != NOBODY else np.int64(NOBODY)
    if book.routed and unit != holder:
        _set_hits(book, request, 0)
    if unit != NOBODY:
        for block in block_ids:
            homes[_home_slot(book, block)] = unit
    return place


@njit
def _set_hits(book: Record, request: Record, blocks: int) -> None:
    """Let so many leading blocks of a prompt that has not been begun be there already."""
    tokens = np.int64(request.missed) + np.int64(request.done)
    request.done = min(blocks * book.block_tokens, tokens)
    request.missed = tokens - request.done
    request.work_ns = alone_ns(book, request.missed, request.done)


@njit
def _place_at_home(book: Record, request: Record, home: int) -> int:
    """The place of the unit that had what a request begins with; NOBODY where it takes no work, or has far too much."""
    units = units_of(book)
    if home == NOBODY or not units[home].takes:
        return NOBODY
    place = np.int64(units[home].place)
    mine, own = loads_of(book)[SECOND, place] * book.candidates, request.work_ns * book.candidates
    return place if mine <= 2 * book.total_second + own else np.int64(NOBODY)


@njit
def _homes(book: Record) -> Ints:
    """Units by slot of the table of sessions or blocks."""
    return carray(at_address(book.homes_at), (2, book.homes_rows), np.int64)[1]


@njit
def _home_slot(book: Record, key: int) -> int:
    """Where the unit of a session or block is kept: open addressing in a table that is never full."""
    keys = ints(book.homes_at, book.homes_rows)
    mask = book.homes_rows - 1
    slot = np.int64(mixed(np.uint64(key)) & np.uint64(mask))
    while keys[slot] != key:
        if keys[slot] == NOBODY:
            keys[slot] = key
            book.homes += 1
            break
        slot = (slot + 1) & mask
    return slot


@njit
def rehash(old: Ints, new: Ints) -> None:
    """Move a table of homes into a larger one."""
    mask = new.shape[1] - 1
    for row in range(old.shape[1]):
        if old[0, row] != NOBODY:
            slot = np.int64(mixed(np.uint64(old[0, row])) & np.uint64(mask))
            while new[0, slot] != NOBODY:
                slot = (slot + 1) & mask
            new[:, slot] = old[:, row]
