"""A decode unit step by step: lines, admission, steps, leavers, and the times of those that left. Compiled.

A step costs no visit to its requests. When a request is admitted, the step after which it leaves is known: it is
counted to that step's leavers, and the unit writes down when each of its steps ended. Every so many steps, and when the
pool is full, the pool is read from end to end and requests whose last step has ended get their times.
"""

import numpy as np
from numpy.typing import NDArray

from planner.core.replay.requests.kernels.choice import BUCKETS, bucket_of, choose, load
from planner.core.replay.requests.kernels.layout import (
    DECODE_HOUR,
    DECODE_KEPT,
    DECODE_UNIT,
    E2E,
    HOUR_US,
    NEXT_US,
    NOBODY,
    RING,
    STREAM,
    TPOT,
    Record,
    Records,
    at_address,
    carray,
    floats,
    loads_of,
    numbers_of,
    padded,
)
from planner.core.replay.requests.kernels.tally import count_queued, count_step, decode_minutes, minute_end, minute_of
from planner.jit import njit
from planner.units import Floats, Ints

ROLE = 1


@njit
def pool_of(book: Record) -> Records:
    return carray(at_address(book.pool_at), (book.pool_rows,), STREAM)


@njit
def units_of(book: Record) -> Records:
    return carray(at_address(book.units_at), (book.units_rows,), DECODE_UNIT)


@njit
def leaving_of(book: Record, slot: int) -> Ints:
    """Streams and KV that leave a unit by step."""
    return carray(at_address(book.leaving_at + slot * RING * 16), (RING, 2), np.int64)


@njit
def leavers_of(book: Record, slot: int) -> NDArray[np.int32]:
    """First of the streams that leave a unit by step, where ranks are kept one by one."""
    return carray(at_address(book.leavers_at + slot * RING * 4), (RING,), np.int32)


@njit
def ranks_of(book: Record, slot: int) -> Floats:
    """Streams and KV of a unit by rank."""
    width = padded(book.ranks)
    return carray(at_address(book.ranks_at + slot * width * 16), (2, width), np.float64)[:, : book.ranks]


@njit
def line_up(book: Record, place: int, chosen: int) -> None:
    """Put a request in the line of a unit, or of those that wait for one."""
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
    if unit.head == NOBODY:
        unit.head = place
        if unit.streams == 0:
            next_us = max(unit.clock_us, request.ready_us)
            loads_of(book)[NEXT_US, chosen] = next_us
            book.soonest_us = min(book.soonest_us, next_us)
    else:
        pool[unit.tail].following = place
    unit.tail = place
    load(book, chosen, 1.0, request.context, 1.0)


@njit
def advance_all(book: Record, until_us: float) -> None:
    next_us = loads_of(book)[NEXT_US]
    soonest = np.inf
    for place in range(book.open):
        if next_us[place] <= until_us:
            _advance(book, place, until_us)
        soonest = min(soonest, next_us[place])
    book.soonest_us = soonest


@njit
def _advance(book: Record, place: int, until_us: float) -> None:
    """Take a unit through every step boundary up to and including a time."""
    unit, next_us = units_of(book)[numbers_of(book)[place]], loads_of(book)[NEXT_US]
    slot = unit.slot
    leaving, ends_us = leaving_of(book, slot), floats(book.ends_us_at + slot * RING * 8, RING)
    minutes = decode_minutes(book)
    now, streams, tokens = next_us[place], unit.streams, unit.kv_tokens
    went, grown = 0, 0
    while now <= until_us:
        minute = minute_of(book, now)
        tally = minutes[minute]
        if streams > 0:
            unit.steps += 1
            step = unit.steps & (RING - 1)
            ends_us[step] = now
            tally.tokens += streams
            left, change = leaving[step, 0], streams - leaving[step, 1]
            leaving[step, 0] = leaving[step, 1] = 0
            if book.exact:
                _end_step_of_ranks(book, unit)
            went += left
            grown += change
            streams -= left
            tokens += change
            if step & (RING // 2 - 1) == 0:
                _half_round(book, unit)
            if streams == 0 and unit.drain_took_us == np.inf:
                unit.drain_took_us = now - unit.drains_us
        unit.clock_us = now
        if unit.leaves_us < np.inf:
            now = np.inf
            break
        if unit.head != NOBODY:
            unit.streams, unit.kv_tokens = streams, tokens
            _admit(book, unit)
            streams, tokens = unit.streams, unit.kv_tokens
        if streams == 0:
            now = np.inf
            if unit.head != NOBODY:
                now = max(unit.clock_us, pool_of(book)[unit.head].ready_us)
            continue
        lasts = _step_us(book, slot, streams, tokens)
        now += lasts
        tally.kv_tokens_most = max(tally.kv_tokens_most, tokens)
        if now > minute_end(book, minute):
            count_step(book, unit.clock_us, now, streams, tokens, 1.0)
            continue
        tally.busy_us += lasts
        tally.stream_us += lasts * streams
        tally.kv_token_us += lasts * tokens
    unit.streams, unit.kv_tokens = streams, tokens
    next_us[place] = now
    if unit.takes:
        load(book, place, -went, grown, -went)


@njit
def _step_us(book: Record, slot: int, streams: int, tokens: float) -> float:
    line = floats(book.lines_at + streams * 32, 4)
    paced = float(tokens)
    if book.exact:
        # the fullest rank sets the pace: as if every rank held as much
        paced = ranks_of(book, slot)[1].max() * book.ranks
    low, high = line[0] + line[1] * paced, line[2] + line[3] * paced
    return low if low > high else high


@njit
def _admit(book: Record, unit: Record) -> None:
    """Take requests from the line while the next is ready and there is room, at a step boundary."""
    pool, now = pool_of(book), unit.clock_us
    place, streams, tokens, before = unit.head, unit.streams, unit.kv_tokens, unit.streams
    while place != NOBODY:
        request = pool[place]
        context = np.int64(request.context)
        full = streams >= book.most_streams or tokens + context > book.kv_capacity_tokens
        if request.ready_us > now or (full and streams > 0):
            break
        following = np.int64(request.following)
        streams += 1
        tokens += context
        if book.exact:
            _take_rank(book, unit, request)
        request.unit = numbers_of(book)[unit.place]
        request.departs = unit.steps - request.departs
        request.context = context - unit.steps
        _count_leaver(book, unit, place)
        place = following
    unit.head = place
    if place == NOBODY:
        unit.tail = NOBODY
    unit.streams, unit.kv_tokens = streams, tokens
    if streams > before:
        count_queued(book, now, before - streams)


@njit
def _count_leaver(book: Record, unit: Record, place: int) -> None:
    """Count a stream to the leavers of its step, or put it among those that leave beyond the ring."""
    request = pool_of(book)[place]
    if request.departs - unit.steps >= RING:
        request.following = unit.far
        unit.far = place
        return
    step = request.departs & (RING - 1)
    leaving = leaving_of(book, unit.slot)
    leaving[step, 0] += 1
    leaving[step, 1] += request.context + request.departs
    request.following = NOBODY
    if book.exact:
        leavers = leavers_of(book, unit.slot)
        request.following = leavers[step]
        leavers[step] = place


@njit
def _half_round(book: Record, unit: Record) -> None:
    """Every half round of the ring: count those that leave within the next round, and let no end be overwritten."""
    place = unit.far
    unit.far = NOBODY
    while place != NOBODY:
        following = np.int64(pool_of(book)[place].following)
        _count_leaver(book, unit, place)
        place = following
    if unit.steps - unit.settled > RING // 2:
        settle(book)


@njit
def _take_rank(book: Record, unit: Record, request: Record) -> None:
    ranks = ranks_of(book, unit.slot)
    row = 8 * padded(book.ranks)
    count_at = book.ranks_at + unit.slot * 2 * row
    rank = choose(
        book.rank_balancer,
        book.ranks,
        book.ranks,
        book.rank_numbers_at,
        count_at,
        count_at + row,
        count_at,
        ranks[1].sum(),
        ranks[0].sum(),
        book.seed,
        request.seq,
        ROLE + 1,
        unit.last_rank,
    )
    unit.last_rank = request.rank = rank
    ranks[0, rank] += 1
    ranks[1, rank] += request.context


@njit
def _end_step_of_ranks(book: Record, unit: Record) -> None:
    pool, ranks, leavers, step = (
        pool_of(book),
        ranks_of(book, unit.slot),
        leavers_of(book, unit.slot),
        unit.steps & (RING - 1),
    )
    for rank in range(book.ranks):
        ranks[1, rank] += ranks[0, rank]
    place = np.int64(leavers[step])
    leavers[step] = NOBODY
    while place != NOBODY:
        request = pool[place]
        ranks[0, request.rank] -= 1
        ranks[1, request.rank] -= request.context + request.departs
        place = np.int64(request.following)
        request.following = NOBODY


@njit
def settle(book: Record) -> None:
    """Give every request whose last step has ended its times."""
    pool, units, numbers = pool_of(book), units_of(book), numbers_of(book)
    for place in range(book.used):
        _settle_one(book, pool[place], units)
    for place in range(book.open):
        units[numbers[place]].settled = units[numbers[place]].steps


@njit
def _settle_one(book: Record, request: Record, units: Records) -> bool:
    """Whether a request is done; one whose last step has ended gets its times."""
    step = np.int64(request.departs)
    if step <= 0 or step > units[request.unit].steps:
        return step == 0
    slot = units[request.unit].slot
    now = floats(book.ends_us_at + slot * RING * 8, RING)[step & (RING - 1)]
    complete(book, request.arrival_us, request.first_us, now, request.output_tokens, request.class_id, request.seq)
    if book.kept_rows > 0:
        kept = carray(at_address(book.kept_at), (book.kept_rows,), DECODE_KEPT)[request.seq]
        kept.unit = request.unit
        kept.step = step
    request.departs = 0
    return True


@njit
def complete(
    book: Record, arrival_us: float, first_us: float, now: float, output_tokens: int, class_id: int, seq: int
) -> None:
    if book.kept_rows > 0:
        carray(at_address(book.kept_at), (book.kept_rows,), DECODE_KEPT)[seq].finish_us = now
    if arrival_us < book.from_us or arrival_us >= book.to_us:
        return
    hours = carray(at_address(book.hours_at), (book.hours_rows, book.classes), DECODE_HOUR)
    histograms = carray(at_address(book.histograms_at), (2, book.hours_rows, book.classes, BUCKETS), np.int32)
    hour, whole = int((arrival_us - book.from_us) / HOUR_US), now - arrival_us
    tally = hours[hour, class_id]
    tally.completed += 1
    tally.e2e_us += whole
    histograms[E2E, hour, class_id, bucket_of(whole)] += 1
    met = first_us - arrival_us <= book.ttft_us
    if output_tokens > 1:
        each = (now - first_us) / (output_tokens - 1)
        histograms[TPOT, hour, class_id, bucket_of(each)] += 1
        tally.tpot_us += each
        tally.with_tpot += 1
        tally.tpot_met += each <= book.tpot_us
        met = met and each <= book.tpot_us
    tally.good += met


@njit
def make_room(books: Records, where: NDArray[np.int32]) -> None:
    """Drop requests that are done from the pool; those that stay move to its front. where: (pool_rows,) to write to."""
    book = books[0]
    pool, units, numbers = pool_of(book), units_of(book), numbers_of(book)
    kept = 0
    for place in range(book.used):
        where[place] = kept
        if not _settle_one(book, pool[place], units):
            pool[kept] = pool[place]
            kept += 1
    for place in range(kept):
        if pool[place].following != NOBODY:
            pool[place].following = where[pool[place].following]
    book.used = kept
    if book.homeless_head != NOBODY:
        book.homeless_head, book.homeless_tail = where[book.homeless_head], where[book.homeless_tail]
    for place in range(book.open):
        unit = units[numbers[place]]
        unit.settled = unit.steps
        if unit.head != NOBODY:
            unit.head, unit.tail = where[unit.head], where[unit.tail]
        if unit.far != NOBODY:
            unit.far = where[unit.far]
        if book.exact:
            leavers = leavers_of(book, unit.slot)
            for step in range(RING):
                if leavers[step] != NOBODY:
                    leavers[step] = where[leavers[step]]
