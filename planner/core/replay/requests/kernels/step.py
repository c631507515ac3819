"""A decode unit step by step: queue, admission, steps, leavers, and the times of those that left. Compiled.

A step costs no visit to its requests. When a request is admitted, the step after which it leaves is known: it is
counted to that step's leavers, and the unit records when each of its steps ended. Every so many steps, and when the
pool is full, the pool is read from end to end and requests whose last step has ended get their times.
"""

import numpy as np
from numpy.typing import NDArray

from planner.core.replay.requests.kernels.choice import BUCKETS, add_load, bucket_of, choose
from planner.core.replay.requests.kernels.followers import call_followers, loop_of
from planner.core.replay.requests.kernels.layout import (
    DECODE_HOUR,
    DECODE_KEPT,
    DECODE_UNIT,
    E2E,
    HOUR_US,
    NEXT_US,
    NIL,
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
from planner.core.replay.requests.kernels.lists import wait_for_unit
from planner.core.replay.requests.kernels.tally import count_queued, count_step, decode_minutes, minute_end, minute_of
from planner.jit import njit
from planner.units import Floats, Ints

ROLE = 1


@njit
def pool_of(state: Record) -> Records:
    return carray(at_address(state.pool_at), (state.pool_rows,), STREAM)


@njit
def units_of(state: Record) -> Records:
    return carray(at_address(state.units_at), (state.units_rows,), DECODE_UNIT)


@njit
def leaving_of(state: Record, slot: int) -> Ints:
    """Streams and KV that leave a unit by step."""
    return carray(at_address(state.leaving_at + slot * RING * 16), (RING, 2), np.int64)


@njit
def leavers_of(state: Record, slot: int) -> NDArray[np.int32]:
    """First of the streams that leave a unit by step, where they are listed."""
    return carray(at_address(state.leavers_at + slot * RING * 4), (RING,), np.int32)


@njit
def ranks_of(state: Record, slot: int) -> Floats:
    """Streams and KV of a unit by rank."""
    width = padded(state.ranks)
    return carray(at_address(state.ranks_at + slot * width * 16), (2, width), np.float64)[:, : state.ranks]


@njit
def enqueue(state: Record, place: int, chosen: int) -> None:
    """Put a request in the queue of a unit, or of those that wait for one."""
    pool = pool_of(state)
    request = pool[place]
    request.following = NIL
    if chosen == NIL:
        wait_for_unit(state, pool, place)
        return
    state.last_unit = numbers_of(state)[chosen]
    unit = units_of(state)[state.last_unit]
    if unit.head == NIL:
        unit.head = place
        if unit.streams == 0:
            next_us = max(unit.clock_us, request.ready_us)
            loads_of(state)[NEXT_US, chosen] = next_us
            state.soonest_us = min(state.soonest_us, next_us)
    else:
        pool[unit.tail].following = place
    unit.tail = place
    add_load(state, chosen, 1.0, request.context, 1.0)


@njit
def advance_all(state: Record, until_us: float) -> None:
    next_us = loads_of(state)[NEXT_US]
    soonest = np.inf
    for place in range(state.open):
        if next_us[place] <= until_us:
            _advance(state, place, until_us)
        soonest = min(soonest, next_us[place])
    state.soonest_us = soonest


@njit
def _advance(state: Record, place: int, until_us: float) -> None:
    """Take a unit through every step boundary up to and including a time."""
    unit, next_us = units_of(state)[numbers_of(state)[place]], loads_of(state)[NEXT_US]
    slot = unit.slot
    leaving, ends_us = leaving_of(state, slot), floats(state.ends_us_at + slot * RING * 8, RING)
    minutes = decode_minutes(state)
    now, streams, tokens = next_us[place], unit.streams, unit.kv_tokens
    went, grown = 0, 0
    while now <= until_us:
        minute = minute_of(state, now)
        tally = minutes[minute]
        if streams > 0:
            unit.steps += 1
            step = unit.steps & (RING - 1)
            ends_us[step] = now
            tally.tokens += streams
            left, change = leaving[step, 0], streams - leaving[step, 1]
            leaving[step, 0] = leaving[step, 1] = 0
            if state.listed:
                _end_listed(state, unit, now)
            went += left
            grown += change
            streams -= left
            tokens += change
            if step & (RING // 2 - 1) == 0:
                _half_round(state, unit)
            if streams == 0 and unit.drain_took_us == np.inf:
                unit.drain_took_us = now - unit.drains_us
        unit.clock_us = now
        if unit.leaves_us < np.inf:
            now = np.inf
            break
        if unit.head != NIL:
            unit.streams, unit.kv_tokens = streams, tokens
            _admit(state, unit)
            streams, tokens = unit.streams, unit.kv_tokens
        if streams == 0:
            now = np.inf
            if unit.head != NIL:
                now = max(unit.clock_us, pool_of(state)[unit.head].ready_us)
            continue
        lasts = _step_us(state, slot, streams, tokens)
        now += lasts
        tally.kv_tokens_most = max(tally.kv_tokens_most, tokens + streams * state.kv_stream_tokens)
        if now > minute_end(state, minute):
            count_step(state, unit.clock_us, now, streams, tokens, 1.0)
            continue
        tally.busy_us += lasts
        tally.stream_us += lasts * streams
        tally.kv_token_us += lasts * tokens
    unit.streams, unit.kv_tokens = streams, tokens
    next_us[place] = now
    if unit.takes:
        add_load(state, place, -went, grown, -went)


@njit
def _step_us(state: Record, slot: int, streams: int, tokens: float) -> float:
    line = floats(state.lines_at + streams * 32, 4)
    paced = float(tokens)
    if state.exact:
        # the fullest rank sets the pace: as if every rank held as much
        paced = ranks_of(state, slot)[1].max() * state.ranks
    low, high = line[0] + line[1] * paced, line[2] + line[3] * paced
    return low if low > high else high


@njit
def _admit(state: Record, unit: Record) -> None:
    """Take requests from the queue while the next is ready and there is room, at a step boundary."""
    pool, now = pool_of(state), unit.clock_us
    place, streams, tokens, before = unit.head, unit.streams, unit.kv_tokens, unit.streams
    while place != NIL:
        request = pool[place]
        context = np.int64(request.context)
        taken = tokens + context + (streams + 1) * state.kv_stream_tokens
        full = streams >= state.most_streams or taken > state.kv_capacity_tokens
        if request.ready_us > now or (full and streams > 0):
            break
        following = np.int64(request.following)
        streams += 1
        tokens += context
        if state.exact:
            _take_rank(state, unit, request)
        request.unit = numbers_of(state)[unit.place]
        request.departs = unit.steps - request.departs
        request.context = context - unit.steps
        _count_leaver(state, unit, place)
        place = following
    unit.head = place
    if place == NIL:
        unit.tail = NIL
    unit.streams, unit.kv_tokens = streams, tokens
    if streams > before:
        count_queued(state, now, before - streams)


@njit
def _count_leaver(state: Record, unit: Record, place: int) -> None:
    """Count a stream to the leavers of its step, or put it among those that leave beyond the ring."""
    request = pool_of(state)[place]
    if request.departs - unit.steps >= RING:
        request.following = unit.far
        unit.far = place
        return
    step = request.departs & (RING - 1)
    leaving = leaving_of(state, unit.slot)
    leaving[step, 0] += 1
    leaving[step, 1] += request.context + request.departs
    request.following = NIL
    if state.listed:
        leavers = leavers_of(state, unit.slot)
        request.following = leavers[step]
        leavers[step] = place


@njit
def _half_round(state: Record, unit: Record) -> None:
    """Every half round of the ring: count those that leave within the next round, and let no end be overwritten."""
    place = unit.far
    unit.far = NIL
    while place != NIL:
        following = np.int64(pool_of(state)[place].following)
        _count_leaver(state, unit, place)
        place = following
    if unit.steps - unit.settled > RING // 2:
        settle(state)


@njit
def _take_rank(state: Record, unit: Record, request: Record) -> None:
    ranks = ranks_of(state, unit.slot)
    row = 8 * padded(state.ranks)
    count_at = state.ranks_at + unit.slot * 2 * row
    rank = choose(
        balancer=state.rank_balancer,
        size=state.ranks,
        candidates=state.ranks,
        numbers_at=state.rank_numbers_at,
        count_at=count_at,
        first_at=count_at + row,
        second_at=count_at,
        total_first=ranks[1].sum(),
        total_second=ranks[0].sum(),
        seed=state.seed,
        seq=request.seq,
        role=ROLE + 1,
        last=unit.last_rank,
    )
    unit.last_rank = request.rank = rank
    ranks[0, rank] += 1
    ranks[1, rank] += request.context


@njit
def _end_listed(state: Record, unit: Record, at: float) -> None:
    """Let those listed for the step that ends leave their ranks, and call those that follow them."""
    pool, ranks, leavers, step = (
        pool_of(state),
        ranks_of(state, unit.slot),
        leavers_of(state, unit.slot),
        unit.steps & (RING - 1),
    )
    if state.exact:
        for rank in range(state.ranks):
            ranks[1, rank] += ranks[0, rank]
    place = np.int64(leavers[step])
    leavers[step] = NIL
    while place != NIL:
        request = pool[place]
        if state.exact:
            ranks[0, request.rank] -= 1
            ranks[1, request.rank] -= request.context + request.departs
        if state.loop_at != 0:
            call_followers(loop_of(state), request.seq, at)
        place = np.int64(request.following)
        request.following = NIL


@njit
def settle(state: Record) -> None:
    """Give every request whose last step has ended its times."""
    pool, units, numbers = pool_of(state), units_of(state), numbers_of(state)
    for place in range(state.used):
        _settle_one(state, pool[place], units)
    for place in range(state.open):
        units[numbers[place]].settled = units[numbers[place]].steps


@njit
def _settle_one(state: Record, request: Record, units: Records) -> bool:
    """Whether a request is done; one whose last step has ended gets its times."""
    step = np.int64(request.departs)
    if step <= 0 or step > units[request.unit].steps:
        return step == 0
    slot = units[request.unit].slot
    now = floats(state.ends_us_at + slot * RING * 8, RING)[step & (RING - 1)]
    complete(state, request, request.first_us, now)
    if state.kept_rows > 0:
        kept = carray(at_address(state.kept_at), (state.kept_rows,), DECODE_KEPT)[request.seq]
        kept.unit = request.unit
        kept.step = step
    request.departs = 0
    return True


@njit
def complete(state: Record, request: Record, first_us: float, now: float) -> None:
    """Tally a request that is complete now: a stream, or one from prefill that needs no step."""
    arrival_us, output_tokens, class_id = request.arrival_us, request.output_tokens, request.class_id
    if state.kept_rows > 0:
        carray(at_address(state.kept_at), (state.kept_rows,), DECODE_KEPT)[request.seq].finish_us = now
    if arrival_us < state.from_us or arrival_us >= state.to_us:
        return
    hours = carray(at_address(state.hours_at), (state.hours_rows, state.classes), DECODE_HOUR)
    histograms = carray(at_address(state.histograms_at), (2, state.hours_rows, state.classes, BUCKETS), np.int32)
    hour, whole = int((arrival_us - state.from_us) / HOUR_US), now - arrival_us
    tally = hours[hour, class_id]
    tally.completed += 1
    tally.e2e_us += whole
    histograms[E2E, hour, class_id, bucket_of(whole)] += 1
    met = first_us - arrival_us <= state.ttft_us
    if output_tokens > 1:
        each = (now - first_us) / (output_tokens - 1)
        histograms[TPOT, hour, class_id, bucket_of(each)] += 1
        tally.tpot_us += each
        tally.with_tpot += 1
        tally.tpot_met += each <= state.tpot_us
        met = met and each <= state.tpot_us
    tally.good += met


@njit
def compact(states: Records, where: NDArray[np.int32]) -> None:
    """Drop requests that are done from the pool; those that stay move to its front. where: (pool_rows,) to write to."""
    state = states[0]
    pool, units, numbers = pool_of(state), units_of(state), numbers_of(state)
    kept = 0
    for place in range(state.used):
        where[place] = kept
        if not _settle_one(state, pool[place], units):
            pool[kept] = pool[place]
            kept += 1
    for place in range(kept):
        if pool[place].following != NIL:
            pool[place].following = where[pool[place].following]
    state.used = kept
    if state.unassigned_head != NIL:
        state.unassigned_head, state.unassigned_tail = where[state.unassigned_head], where[state.unassigned_tail]
    for place in range(state.open):
        unit = units[numbers[place]]
        unit.settled = unit.steps
        if unit.head != NIL:
            unit.head, unit.tail = where[unit.head], where[unit.tail]
        if unit.far != NIL:
            unit.far = where[unit.far]
        if state.listed:
            leavers = leavers_of(state, unit.slot)
            for step in range(RING):
                if leavers[step] != NIL:
                    leavers[step] = where[leavers[step]]
