"""Lines of requests in prefill: looked through, and taken out of units that drain or fail. Compiled.

Lines are linked lists through the pool. Importing this module imports numba.
"""

import numpy as np

from planner.core.replay.requests.kernels.home import alone_ns, units_of
from planner.core.replay.requests.kernels.layout import (
    NEXT_US,
    NOBODY,
    WAITING,
    Record,
    Records,
    at_address,
    carray,
    loads_of,
)
from planner.core.replay.requests.kernels.tally import count_pass, count_queued
from planner.jit import njit
from planner.units import Ints


@njit
def pool_of(book: Record) -> Records:
    return carray(at_address(book.pool_at), (book.pool_rows,), WAITING)


@njit
def here(books: Records, places: Ints) -> int:
    """Write down the places of requests in prefill, found one by one, and give their number.

    They are in queues, in passes, without a unit, or to come again. Those that are read again are among them.
    """
    book = books[0]
    units = units_of(book)
    count = _walk(book, book.homeless_head, places, 0)
    count = _walk(book, book.retry_head, places, count)
    for number in range(book.units_rows):
        count = _walk(book, units[number].head, places, count)
        count = _walk(book, units[number].pass_head, places, count)
    return count


@njit
def _walk(book: Record, place: int, places: Ints, count: int) -> int:
    """Write down the places of a list after the first so many."""
    while place != NOBODY:
        places[count] = place
        count += 1
        place = np.int64(pool_of(book)[place].following)
    return count


@njit
def not_begun(book: Record, unit: Record) -> int:
    """Take all requests out of a unit's queue that it has not begun, and give their line. Those begun stand first."""
    pool = pool_of(book)
    last, place = NOBODY, unit.head
    while place != NOBODY and pool[place].piece >= 0:
        last, place = place, np.int64(pool[place].following)
    line = place
    while place != NOBODY:
        unit.waiting -= 1
        unit.waiting_missed -= pool[place].missed
        place = np.int64(pool[place].following)
    unit.tail = last
    if last != NOBODY:
        pool[last].following = NOBODY
    else:
        unit.head = NOBODY
        if unit.pass_head == NOBODY and unit.place != NOBODY:
            loads_of(book)[NEXT_US, unit.place] = np.inf
    return line


@njit
def all_of(book: Record, unit: Record, at: float) -> int:
    """Take all requests out of a unit that fails now, and give their line: those of the pass, then the queue.

    What it read of them is lost, and so are hits that only this unit had.
    """
    pool = pool_of(book)
    line, last = (unit.pass_head if unit.pass_head != NOBODY else unit.head), unit.pass_head
    if line == NOBODY:
        return NOBODY
    while last != NOBODY and pool[last].following != NOBODY:
        last = np.int64(pool[last].following)
    if last != NOBODY:
        pool[last].following = unit.head
    if unit.pass_head != NOBODY:
        # the rest of it does not happen
        count_pass(book, at, loads_of(book)[NEXT_US, unit.place], unit.work_share, -1.0)
    unit.pass_head = unit.head = unit.tail = NOBODY
    loads_of(book)[NEXT_US, unit.place] = np.inf
    place = line
    while place != NOBODY:
        request = pool[place]
        count_queued(book, at, 1 if request.piece >= 0 else 0)
        request.missed += request.done - request.cached
        request.done = request.cached
        request.piece = -1
        request.work_ns = alone_ns(book, np.int64(request.missed), np.int64(request.done))
        unit.lost += 1
        place = np.int64(request.following)
    return line
