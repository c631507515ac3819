"""Decode units: requests from prefill, and units that serve, drain and hand over. Compiled; imports numba.

What a unit does in its steps is in `kernels.step`; what lasts from chunk to chunk is in the book and its arrays
(`kernels.layout`).
"""

import numpy as np

from planner.core.replay.requests.kernels.choice import choose_unit, stop, take
from planner.core.replay.requests.kernels.layout import (
    COUNT,
    DECODE_KEPT,
    DRAIN,
    FAIL,
    FIRST,
    HOUSE,
    LOST,
    NEXT_US,
    NOBODY,
    SAMPLE,
    STOP,
    TAKE,
    Record,
    Records,
    at_address,
    carray,
    events_of,
    ints,
    loads_of,
    numbers_of,
)
from planner.core.replay.requests.kernels.step import (
    advance_all,
    complete,
    leavers_of,
    leaving_of,
    line_up,
    pool_of,
    ranks_of,
    settle,
    units_of,
)
from planner.core.replay.requests.kernels.tally import count_queued, count_step
from planner.jit import njit
from planner.units import Ints

ROLE = 1


@njit
def take_over(books: Records, rows: Records, count: int) -> None:
    """Take requests over from prefill, in the order of time. Requests of one token or none are complete."""
    book = books[0]
    pool = pool_of(book)
    for row in range(count):
        handed = rows[row]
        at, again = handed.at_us, handed.output_tokens < 0
        if handed.output_tokens <= 1 and not again:
            complete(book, handed.arrival_us, at, at, handed.output_tokens, handed.class_id, handed.seq)
            continue
        if at >= book.fleet_us:
            _fleet_until(book, at)
        if at >= book.soonest_us:
            advance_all(book, at)
        if at >= book.sample_us:
            _sample(book, at)
        place = book.used
        book.used += 1
        request = pool[place]
        request.arrival_us = handed.arrival_us
        request.first_us = at
        request.ready_us = at + handed.input_tokens * book.kv_us_per_token
        request.seq = handed.seq
        request.departs = 1 - handed.output_tokens
        request.context = handed.input_tokens
        request.output_tokens = handed.output_tokens
        request.class_id = handed.class_id
        if again:
            lost = _lost_of(book)[-1 - handed.output_tokens]
            request.first_us = lost.first_us
            request.departs, request.output_tokens = -lost.to_go, lost.output_tokens
        count_queued(book, at, 1)
        line_up(book, place, choose_unit(book, book.balancer, handed.seq, ROLE))


@njit
def advance_fleet(books: Records, until_us: float) -> None:
    """Let everything up to and including a time happen to the fleet; what failed units held is written down."""
    _fleet_until(books[0], until_us)


@njit
def finish(books: Records, until_us: float) -> None:
    """Let everything up to and including a time, which is finite, happen, and give all that is done its times."""
    _fleet_until(books[0], until_us)
    advance_all(books[0], until_us)
    settle(books[0])


@njit
def _fleet_until(book: Record, until_us: float) -> None:
    """Units that come, go, and hand their stragglers over, in order of time up to and including one."""
    events, units, numbers = events_of(book), units_of(book), numbers_of(book)
    while True:
        fleet, leaver, leaves = np.inf, NOBODY, np.inf
        if book.next_event < book.events_rows:
            fleet = events[book.next_event].at_us
        for place in range(book.open):
            if units[numbers[place]].leaves_us < leaves:
                leaver, leaves = numbers[place], units[numbers[place]].leaves_us
        book.fleet_us = min(fleet, leaves)
        if book.fleet_us > until_us:
            return
        advance_all(book, book.fleet_us)
        if fleet <= leaves:
            _fleet_event(book)
        else:
            _leave(book, leaver)


@njit
def _fleet_event(book: Record) -> None:
    event = events_of(book)[book.next_event]
    book.next_event += 1
    unit, next_us = units_of(book)[event.unit], loads_of(book)[NEXT_US]
    place = NOBODY
    if event.kind == TAKE:
        _open(book, event.unit)
    elif event.kind == STOP:
        unit.takes = 0
        stop(book, unit.place)
    elif event.kind == HOUSE:
        place = book.homeless_head
        book.homeless_head = book.homeless_tail = NOBODY
    elif event.kind == DRAIN:
        place = unit.head
        unit.head = unit.tail = NOBODY
        unit.drain_took_us = np.inf if unit.streams > 0 else 0.0
        if unit.streams == 0 and unit.place != NOBODY:
            next_us[unit.place] = np.inf
    elif event.kind == FAIL:
        _fail(book, event.unit, event.at_us)
    elif unit.streams > 0:
        unit.leaves_us = next_us[unit.place]
    while place != NOBODY:
        following = np.int64(pool_of(book)[place].following)
        _dispatch(book, place, event.at_us)
        place = following


@njit
def _open(book: Record, number: int) -> None:
    """Put a unit into the table, and leave those out that are empty and take no work."""
    numbers, loads, units, owners = numbers_of(book), loads_of(book), units_of(book), ints(book.owners_at, book.slots)
    settle(book)
    kept = 0
    for place in range(book.open):
        unit = units[numbers[place]]
        if not unit.takes and unit.streams == 0:
            owners[unit.slot] = NOBODY
            continue
        numbers[kept] = numbers[place]
        loads[:, kept] = loads[:, place]
        kept += 1
    loads[:, kept : book.open] = np.inf
    take(book, kept, number)
    slot = 0
    while owners[slot] != NOBODY:
        slot += 1
    owners[slot] = number
    units[number].slot = slot
    units[number].takes = 1
    for place in range(book.open):
        units[numbers[place]].place = place


@njit
def _streams_of(book: Record, number: int) -> Ints:
    """Take all streams out of a unit; their places, the next to end first. What they say is as of those that wait."""
    unit, pool, left = units_of(book)[number], pool_of(book), units_of(book)[number].streams
    places, seq, departs = np.empty(left, np.int64), np.empty(left, np.int64), np.empty(left, np.int64)
    found = 0
    for place in range(book.used):
        if pool[place].departs > unit.steps and pool[place].unit == number:
            places[found], seq[found], departs[found] = place, pool[place].seq, pool[place].departs
            found += 1
    order = np.argsort(seq)
    order = order[np.argsort(departs[order], kind="mergesort")]
    leaving_of(book, unit.slot)[:] = 0
    if book.exact:
        ranks_of(book, unit.slot)[:] = 0
        leavers_of(book, unit.slot)[:] = NOBODY
    unit.far = NOBODY
    unit.streams = unit.kv_tokens = 0
    for place in places:
        request = pool[place]
        request.departs = unit.steps - request.departs
        request.context += unit.steps
    return places[order]


@njit
def _leave(book: Record, number: int) -> None:
    """The step in progress at the deadline has ended: streams that are left go to others."""
    unit, pool = units_of(book)[number], pool_of(book)
    at, left = unit.leaves_us, unit.streams
    unit.leaves_us = np.inf
    if left == 0:
        return
    places = _streams_of(book, number)
    unit.drain_took_us = at - unit.drains_us
    unit.moved = left
    book.moved += left
    count_queued(book, at, left)
    for place in places:
        if book.kept_rows > 0:
            carray(at_address(book.kept_at), (book.kept_rows,), DECODE_KEPT)[pool[place].seq].moved += 1
    for place in places:
        _dispatch(book, place, at)


@njit
def _lost_of(book: Record) -> Records:
    return carray(at_address(book.lost_at), (book.lost_rows,), LOST)


@njit
def _fail(book: Record, number: int, at: float) -> None:
    """Write down all that a unit holds, its streams and then its line, and let it be gone."""
    unit, pool = units_of(book)[number], pool_of(book)
    if unit.streams == 0 and unit.head == NOBODY:
        return
    if unit.streams > 0:
        # the rest of the step does not happen
        ends_us = min(loads_of(book)[NEXT_US, unit.place], unit.leaves_us)
        count_step(book, at, ends_us, unit.streams, unit.kv_tokens, -1.0)
    for place in _streams_of(book, number):
        _lose(book, unit, pool[place])
    place = unit.head
    while place != NOBODY:
        _lose(book, unit, pool[place])
        count_queued(book, at, -1)
        place = np.int64(pool[place].following)
    unit.head = unit.tail = NOBODY
    loads_of(book)[NEXT_US, unit.place] = np.inf


@njit
def _lose(book: Record, unit: Record, request: Record) -> None:
    lost = _lost_of(book)[book.lost]
    book.lost += 1
    unit.lost += 1
    lost.arrival_us, lost.first_us = request.arrival_us, request.first_us
    lost.seq, lost.class_id, lost.output_tokens = request.seq, request.class_id, request.output_tokens
    lost.context, lost.to_go = request.context, -request.departs
    request.departs = 0
    if book.kept_rows > 0:
        carray(at_address(book.kept_at), (book.kept_rows,), DECODE_KEPT)[request.seq].lost += 1


@njit
def _dispatch(book: Record, place: int, at: float) -> None:
    """Choose a unit anew for a request whose KV has to travel. All units' states are those of the moment."""
    request = pool_of(book)[place]
    advance_all(book, at)
    request.ready_us = at + request.context * book.kv_us_per_token
    line_up(book, place, choose_unit(book, book.balancer, request.seq, ROLE))


@njit
def _sample(book: Record, at: float) -> None:
    """How uneven the load is over the units that take work, and over the ranks inside them."""
    loads, units, numbers = loads_of(book), units_of(book), numbers_of(book)
    row = carray(at_address(book.samples_at), (book.samples_rows,), SAMPLE)[book.samples]
    book.samples += 1
    book.sample_us = (np.floor(at / book.sample_every_us) + 1) * book.sample_every_us
    most, most_tokens, within, within_tokens, seen = 0.0, 0.0, 0.0, 0.0, 0
    for place in range(book.open):
        unit = units[numbers[place]]
        if unit.takes:
            most, most_tokens = max(most, loads[COUNT, place]), max(most_tokens, loads[FIRST, place])
            if book.exact and unit.kv_tokens > 0:
                ranks = ranks_of(book, unit.slot)
                within += ranks[0].max() * book.ranks / unit.streams
                within_tokens += ranks[1].max() * book.ranks / unit.kv_tokens
                seen += 1
    row.at_us = at
    row.kv = most_tokens * book.candidates / book.total_first if book.total_first > 0 else 1.0
    row.streams = most * book.candidates / book.total_second if book.total_second > 0 else 1.0
    row.rank_kv = within_tokens / seen if seen > 0 else 1.0
    row.rank_streams = within / seen if seen > 0 else 1.0
