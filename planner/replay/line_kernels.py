"""Lines of requests in prefill: counted, and taken out of units that drain or fail. Compiled.

Lines are linked lists through the pool. Importing this module imports numba.
"""

import numpy as np

from planner.jit import njit
from planner.replay.home_kernels import alone_ns, units_of
from planner.replay.layout_kernels import NEXT_US, NOBODY, WAITING, Record, Records, at_address, carray, loads_of


@njit
def pool_of(book: Record) -> Records:
    return carray(at_address(book.pool_at), (book.pool_rows,), WAITING)


@njit
def waiting(books: Records) -> int:
    """Requests that count, and that are in prefill, found one by one: in queues, passes, without a unit, or to come.

    Those that are read again are among them.
    """
    book = books[0]
    pool, units = pool_of(book), units_of(book)
    count = _counting(book, pool, book.homeless_head) + _counting(book, pool, book.retry_head)
    for number in range(book.units_rows):
        count += _counting(book, pool, units[number].head) + _counting(book, pool, units[number].pass_head)
    return count


@njit
def _counting(book: Record, pool: Records, place: int) -> int:
    """Requests of a list that count."""
    count = 0
    while place != NOBODY:
        count += book.from_us <= pool[place].arrival_us < book.to_us
        place = np.int64(pool[place].following)
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
def all_of(book: Record, unit: Record) -> int:
    """Take all requests out of a unit that fails, and give their line: those of the pass, then the queue.

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
    unit.pass_head = unit.head = unit.tail = NOBODY
    loads_of(book)[NEXT_US, unit.place] = np.inf
    place = line
    while place != NOBODY:
        request = pool[place]
        request.missed += request.done - request.cached
        request.done = request.cached
        request.piece = -1
        request.work_ns = alone_ns(book, np.int64(request.missed), np.int64(request.done))
        unit.lost += 1
        place = np.int64(request.following)
    return line
