"""Prefill units, event by event: queues, passes, draining. Compiled; importing this module imports numba.

Requests that are here lie in a pool, one cache line each, whose free places are linked; queues and passes are linked
lists through it. What lasts from chunk to chunk is in the book and its arrays (`kernels.layout`).
"""

import numpy as np

from planner.core.replay.requests.kernels.choice import (
    BUCKETS,
    PREFIX_AWARE,
    bucket_of,
    choose_unit,
    least,
    load,
    stop,
    take,
)
from planner.core.replay.requests.kernels.home import (
    ROLE,
    alone_ns,
    alone_us,
    choose_by_blocks,
    choose_by_session,
    units_of,
)
from planner.core.replay.requests.kernels.layout import (
    COUNT,
    DRAIN,
    FAIL,
    FIRST,
    FULL,
    HANDED,
    HOUR_US,
    HOUSE,
    LATE,
    NEXT_US,
    NOBODY,
    PREFILL_HOUR,
    PREFILL_KEPT,
    PREFILL_SAMPLE,
    READ,
    STOP,
    TAKE,
    Record,
    Records,
    at_address,
    carray,
    events_of,
    loads_of,
    numbers_of,
    padded,
)
from planner.core.replay.requests.kernels.line import all_of, not_begun, pool_of
from planner.core.replay.requests.kernels.tally import count_pass, count_queued, minute_of, prefill_minutes
from planner.jit import njit
from planner.units import Ints

WINDOW, DEPTH = 1, 2
"""As in `planner.core.replay.requests.model.QUEUE_MODES`."""


@njit
def _hour(book: Record, arrival_us: float, class_id: int) -> Record:
    """The tally of a request that counts."""
    hours = carray(at_address(book.hours_at), (book.hours_rows, book.classes), PREFILL_HOUR)
    return hours[int((arrival_us - book.from_us) / HOUR_US), class_id]


@njit
def arrive(
    books: Records,
    arrival_us: Ints,
    input_tokens: Ints,
    cached_input_tokens: Ints,
    output_tokens: Ints,
    class_id: Ints,
    session_id: Ints,
    block_from: Ints,
    block_ids: Ints,
    first_seq: int,
) -> None:
    """Take requests in, in order of arrival; everything up to the last arrival has happened afterwards.

    block_from: empty where requests have no blocks. Where hits are found by routing, they are written to
    cached_input_tokens.
    """
    book, blocks = books[0], block_from.shape[0] > 0
    pool = pool_of(book)
    for row in range(arrival_us.shape[0]):
        at = float(arrival_us[row])
        if at >= book.horizon_us:
            _advance(book, at)
        if at >= book.sample_us:
            _sample(book, at)
        place = book.free
        request = pool[place]
        book.free = request.following
        book.room -= 1
        missed, done = input_tokens[row] - cached_input_tokens[row], cached_input_tokens[row]
        request.arrival_us = at
        request.tried_us = at
        request.tries = 0
        request.missed = missed
        request.done = done
        request.cached = 0 if book.routed else done
        request.piece = -1
        request.work_ns = alone_ns(book, missed, done)
        request.output_tokens = output_tokens[row]
        request.class_id = class_id[row]
        request.seq = first_seq + row
        request.session_id = session_id[row]
        if blocks and (book.routed or book.balancer == PREFIX_AWARE):
            chosen = choose_by_blocks(book, request, block_ids[block_from[row] : block_from[row + 1]])
            cached_input_tokens[row] = request.done
            _join(book, place, chosen, at, book.queue_limit)
        else:
            _dispatch(book, place, at, book.queue_limit)
    for row in range(arrival_us.shape[0]):
        count_queued(book, arrival_us[row], 1)
        if book.from_us <= arrival_us[row] < book.to_us:
            tally = _hour(book, arrival_us[row], class_id[row])
            tally.arrived += 1
            tally.hit_tokens += cached_input_tokens[row]
            tally.input_tokens += input_tokens[row]


@njit
def _sample(book: Record, at: float) -> None:
    """How uneven the load is over the units that take work."""
    loads, units, numbers = loads_of(book), units_of(book), numbers_of(book)
    row = carray(at_address(book.samples_at), (book.samples_rows,), PREFILL_SAMPLE)[book.samples]
    book.samples += 1
    book.sample_us = (np.floor(at / book.sample_every_us) + 1) * book.sample_every_us
    most, most_tokens, all_tokens, everybody = 0.0, 0.0, 0.0, 0.0
    for place in range(book.open):
        if units[numbers[place]].takes:
            most, most_tokens = max(most, loads[COUNT, place]), max(most_tokens, loads[FIRST, place])
            everybody += loads[COUNT, place]
            all_tokens += loads[FIRST, place]
    row.at_us = at
    row.tokens = most_tokens * book.candidates / all_tokens if all_tokens > 0 else 1.0
    row.requests = most * book.candidates / everybody if everybody > 0 else 1.0


@njit
def advance(books: Records, until_us: float) -> None:
    """Let everything up to and including a time, which is finite, happen."""
    _advance(books[0], until_us)


@njit
def read_again(books: Records, lost: Records, first: int, at: float) -> None:
    """Take in what decode units held that fail now, to be read from the start; all before now has happened.

    lost: rows of the decode stage's LOST from `first` on.
    """
    book = books[0]
    pool, events = pool_of(book), events_of(book)
    while book.next_event < book.events_rows and events[book.next_event].at_us <= at:
        _fleet_event(book)
    for row in range(lost.shape[0]):
        place = book.free
        request = pool[place]
        book.free = request.following
        book.room -= 1
        request.arrival_us = lost[row].arrival_us
        request.tried_us = at
        request.tries = 0
        request.missed = lost[row].context
        request.done = request.cached = 0
        request.piece = -1
        request.work_ns = alone_ns(book, lost[row].context, 0)
        request.output_tokens = -1 - (first + row)
        request.class_id = lost[row].class_id
        request.seq = lost[row].seq
        request.session_id = NOBODY
        count_queued(book, at, 1)
        _dispatch(book, place, at, 0)


@njit
def count_read(books: Records) -> None:
    """Tally the requests of the output."""
    book = books[0]
    out = carray(at_address(book.out_at), (book.out_rows,), HANDED)
    ttft = carray(at_address(book.ttft_at), (book.hours_rows, book.classes, BUCKETS), np.int32)
    for row in range(book.out):
        handed = out[row]
        if handed.output_tokens >= 0 and book.from_us <= handed.arrival_us < book.to_us:
            waited = handed.at_us - handed.arrival_us
            tally = _hour(book, handed.arrival_us, handed.class_id)
            tally.read += 1
            tally.ttft_us += waited
            tally.ttft_met += waited <= book.ttft_us
            ttft[int((handed.arrival_us - book.from_us) / HOUR_US), handed.class_id, bucket_of(waited)] += 1


@njit
def _advance(book: Record, until_us: float) -> None:
    numbers, units, events = numbers_of(book), units_of(book), events_of(book)
    while True:
        next_us = loads_of(book)[NEXT_US, : padded(book.open)]
        fleet = np.inf
        if book.next_event < book.events_rows:
            fleet = events[book.next_event].at_us
        first = least(next_us) if book.open > 0 else NOBODY
        soonest = next_us[first] if book.open > 0 else np.inf
        again = pool_of(book)[book.retry_head].tried_us if book.retry_head != NOBODY else np.inf
        book.horizon_us = min(fleet, soonest, again)
        if book.horizon_us > until_us:
            return
        if fleet <= min(soonest, again):
            _fleet_event(book)
        elif again < soonest:
            _try_again(book)
        elif units[numbers[first]].pass_head != NOBODY:
            _end_pass(book, numbers[first], soonest)
        else:
            _start_pass(book, units[numbers[first]], soonest)


@njit
def _fleet_event(book: Record) -> None:
    event = events_of(book)[book.next_event]
    book.next_event += 1
    unit = units_of(book)[event.unit]
    place, limit = NOBODY, 0
    if event.kind == TAKE:
        _open(book, event.unit)
    elif event.kind == STOP:
        unit.takes = 0
        stop(book, unit.place)
    elif event.kind == HOUSE:
        place, limit = book.homeless_head, book.queue_limit
        book.homeless_head = book.homeless_tail = NOBODY
    elif event.kind == DRAIN:
        place = not_begun(book, unit)
        unit.drain_took_us = 0.0 if unit.pass_head == NOBODY and unit.head == NOBODY else np.inf
    elif event.kind == FAIL:
        place = all_of(book, unit, event.at_us)
    while place != NOBODY:
        following = np.int64(pool_of(book)[place].following)
        _dispatch(book, place, event.at_us, limit)
        place = following


@njit
def _open(book: Record, number: int) -> None:
    """Put a unit into the table, and leave those out that have ended what they began."""
    numbers, loads, units = numbers_of(book), loads_of(book), units_of(book)
    kept = 0
    for place in range(book.open):
        if loads[COUNT, place] < np.inf or loads[NEXT_US, place] < np.inf:
            numbers[kept] = numbers[place]
            loads[:, kept] = loads[:, place]
            kept += 1
    loads[:, kept : book.open] = np.inf
    take(book, kept, number)
    units[number].takes = 1
    for place in range(book.open):
        units[numbers[place]].place = place


@njit
def _try_again(book: Record) -> None:
    """The next of the rejected that come again is there."""
    place = book.retry_head
    request = pool_of(book)[place]
    book.retry_head = request.following
    if book.retry_head == NOBODY:
        book.retry_tail = NOBODY
    count_queued(book, request.tried_us, 1)
    _dispatch(book, place, request.tried_us, book.queue_limit)


@njit
def _dispatch(book: Record, place: int, at: float, limit: int) -> None:
    """Let the balancer send a request to a unit; see _join."""
    request = pool_of(book)[place]
    if book.balancer == PREFIX_AWARE and request.session_id >= 0 and book.candidates > 0:
        chosen = choose_by_session(book, request)
    else:
        chosen = choose_unit(book, book.balancer, request.seq, ROLE)
    _join(book, place, chosen, at, limit)


@njit
def _join(book: Record, place: int, chosen: int, at: float, limit: int) -> None:
    """Put a request into a unit's queue, or let it wait for a unit, or reject it where so many wait (0: never)."""
    pool = pool_of(book)
    request = pool[place]
    request.following = NOBODY
    if chosen == NOBODY:
        if book.homeless_head == NOBODY:
            book.homeless_head = place
        else:
            pool[book.homeless_tail].following = place
        book.homeless_tail = place
        return
    book.last_unit = numbers_of(book)[chosen]
    unit = units_of(book)[book.last_unit]
    if limit > 0 and unit.waiting >= limit and request.output_tokens >= 0:
        _reject(book, place, FULL, at)
        return
    if unit.head == NOBODY:
        unit.head = place
    else:
        pool[unit.tail].following = place
    unit.tail = place
    unit.waiting += 1
    unit.waiting_missed += request.missed
    load(book, chosen, 1.0, request.missed, request.work_ns)
    if unit.pass_head == NOBODY:
        _start_pass(book, unit, at)


@njit
def _start_pass(book: Record, unit: Record, at: float) -> None:
    """Start a pass of a unit that has none, where somebody waits and the queue's mode says so."""
    pool, next_us = pool_of(book), loads_of(book)[NEXT_US]
    next_us[unit.place] = np.inf
    if unit.head == NOBODY:
        return
    if book.mode == WINDOW and unit.waiting_missed < book.pass_tokens:
        opens = pool[unit.head].tried_us + book.window_us
        if at < opens:
            next_us[unit.place] = opens
            book.horizon_us = min(book.horizon_us, opens)
            return
    most = _batch(book, unit.waiting) if book.mode == DEPTH else unit.waiting
    taken, tokens, begun, longest, total, last = 0, 0, 0, 0.0, 0.0, NOBODY
    place = unit.head
    while place != NOBODY:
        request = pool[place]
        following = np.int64(request.following)
        piece = min(np.int64(request.missed), book.chunk_tokens)
        fresh = request.piece < 0
        late = fresh and at - request.tried_us > book.timeout_us and request.output_tokens >= 0
        if not late and taken > 0 and (tokens + piece > book.pass_tokens or taken >= most):
            break
        unit.waiting -= 1
        unit.waiting_missed -= request.missed
        if late:
            if unit.takes:
                load(book, unit.place, -1.0, -request.missed, -request.work_ns)
            _reject(book, place, LATE, at)
            place = following
            continue
        begun += fresh
        request.piece = piece
        if last == NOBODY:
            unit.pass_head = place
        else:
            pool[last].following = place
        last, place = place, following
        taken += 1
        tokens += piece
        work = alone_us(book, piece, request.done)
        longest = max(longest, work)
        total += work
    unit.head = place
    if place == NOBODY:
        unit.tail = NOBODY
    if taken > 0:
        pool[last].following = NOBODY
        lasts = book.pass_us + max(longest, total / book.parallel)
        next_us[unit.place] = at + lasts
        book.horizon_us = min(book.horizon_us, at + lasts)
        unit.work_share = total / book.parallel / lasts if lasts > 0 else 0.0
        count_queued(book, at, -begun)
        count_pass(book, at, at + lasts, unit.work_share, 1.0)
        prefill_minutes(book)[minute_of(book, at)].tokens += tokens


@njit
def _batch(book: Record, depth: int) -> int:
    """Requests of a pass at most, when so many wait."""
    rules = carray(at_address(book.depth_at), (2, book.depth_rows), np.int64)
    rule = 0
    while rule + 1 < book.depth_rows and rules[0, rule + 1] <= depth:
        rule += 1
    return rules[1, rule]


@njit
def _end_pass(book: Record, number: int, at: float) -> None:
    """Put the requests whose prompt is read out, and the rest back in front; then start the next pass."""
    pool, unit = pool_of(book), units_of(book)[number]
    place, before = unit.pass_head, unit.head
    unit.pass_head = NOBODY
    unit.passes += 1
    count, missed, work_ns, last = 0, 0, 0.0, NOBODY
    while place != NOBODY:
        request = pool[place]
        following = np.int64(request.following)
        work_ns -= request.work_ns
        missed -= request.piece
        request.done += request.piece
        request.missed -= request.piece
        if request.missed > 0:
            request.work_ns = alone_ns(book, request.missed, request.done)
            work_ns += request.work_ns
            unit.waiting += 1
            unit.waiting_missed += request.missed
            if last == NOBODY:
                unit.head = place
            else:
                pool[last].following = place
            last = place
        else:
            count -= 1
            _put_out(book, request, number, at)
            request.following = book.free
            book.free = place
        place = following
    book.room -= count
    if unit.takes:
        load(book, unit.place, count, missed, work_ns)
    if last != NOBODY:
        # what is left of long prompts goes on before anybody else
        pool[last].following = before
        if before == NOBODY:
            unit.tail = last
    if unit.head == NOBODY and unit.drain_took_us == np.inf:
        unit.drain_took_us = at - unit.drains_us
    _start_pass(book, unit, at)


@njit
def _put_out(book: Record, request: Record, number: int, at: float) -> None:
    """Write a request whose prompt is read to the output."""
    handed = carray(at_address(book.out_at), (book.out_rows,), HANDED)[book.out]
    book.out += 1
    handed.at_us = at
    handed.arrival_us = request.arrival_us
    handed.seq = request.seq
    handed.input_tokens = request.done
    handed.output_tokens = request.output_tokens
    handed.class_id = request.class_id
    if book.kept_rows > 0:
        kept = carray(at_address(book.kept_at), (book.kept_rows,), PREFILL_KEPT)[request.seq]
        kept.status = READ
        kept.unit = number
        if request.output_tokens >= 0:
            kept.first_us = at


@njit
def _reject(book: Record, place: int, why: int, at: float) -> None:
    """Send a request away, to come again or for good."""
    pool = pool_of(book)
    request = pool[place]
    counts = book.from_us <= request.arrival_us < book.to_us
    count_queued(book, at, -1)
    if request.tries < book.retries:
        request.tries += 1
        request.tried_us = at + book.retry_after_us
        request.following = NOBODY
        # all wait as long: who is rejected later comes later
        if book.retry_tail == NOBODY:
            book.retry_head = place
        else:
            pool[book.retry_tail].following = place
        book.retry_tail = place
        book.horizon_us = min(book.horizon_us, request.tried_us)
        if counts:
            _hour(book, request.arrival_us, request.class_id).retried += 1
        return
    if book.kept_rows > 0:
        carray(at_address(book.kept_at), (book.kept_rows,), PREFILL_KEPT)[request.seq].status = why
    if counts:
        tally = _hour(book, request.arrival_us, request.class_id)
        if why == FULL:
            tally.full += 1
        else:
            tally.late += 1
    request.following = book.free
    book.free = place
    book.room += 1
