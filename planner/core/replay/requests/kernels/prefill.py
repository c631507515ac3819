"""Prefill units, event by event: queues, passes, draining. Compiled; importing this module imports numba.

Requests in prefill are in a pool, one cache line each, whose free places are linked; queues and passes are linked lists
through it. What lasts from chunk to chunk is in the stage's state and its arrays (`kernels.layout`).
"""

import numpy as np

from planner.core.replay.requests.kernels.affinity import (
    ROLE,
    alone_ns,
    alone_us,
    choose_by_blocks,
    choose_by_session,
    units_of,
)
from planner.core.replay.requests.kernels.choice import (
    PREFIX_AWARE,
    add_load,
    add_unit,
    argmin,
    choose_unit,
    close_unit,
)
from planner.core.replay.requests.kernels.followers import call_followers, loop_of
from planner.core.replay.requests.kernels.layout import (
    ASSIGN,
    COUNT,
    DRAIN,
    FAIL,
    FIRST,
    FULL,
    HANDED,
    LATE,
    LONG,
    NEXT_US,
    NIL,
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
from planner.core.replay.requests.kernels.lists import wait_for_retry, wait_for_unit
from planner.core.replay.requests.kernels.queues import pool_of, take_all, take_not_begun
from planner.core.replay.requests.kernels.tally import count_pass, count_queued, hour_of, minute_of, prefill_minutes
from planner.jit import njit
from planner.units import Ints

WINDOW, DEPTH = 1, 2
"""As in `planner.core.replay.requests.model.QUEUE_MODES`."""


@njit
def arrive(
    states: Records,
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
    state, blocks = states[0], block_from.shape[0] > 0
    for row in range(arrival_us.shape[0]):
        at = float(arrival_us[row])
        if at >= state.horizon_us:
            advance_to(state, at)
        place = enter(
            state,
            first_seq + row,
            at,
            input_tokens[row],
            cached_input_tokens[row],
            output_tokens[row],
            class_id=class_id[row],
            session_id=session_id[row],
        )
        if place != NIL and blocks and (state.routed or state.balancer == PREFIX_AWARE):
            chain = block_ids[block_from[row] : block_from[row + 1]]
            cached_input_tokens[row] = send_by_blocks(state, place, at, chain)
        elif place != NIL:
            dispatch(state, place, at, state.queue_limit)
    for row in range(arrival_us.shape[0]):
        tokens, hits = input_tokens[row], cached_input_tokens[row]
        count_arrival(state, float(arrival_us[row]), tokens, hits, output_tokens[row], class_id=class_id[row])


@njit
def enter(
    state: Record, seq: int, at: float, tokens: int, cached: int, output_tokens: int, class_id: int, session_id: int
) -> int:
    """A place of the pool for a request that arrives; NIL for one that is too long."""
    if at >= state.sample_us:
        _sample(state, at)
    if tokens + output_tokens > state.longest_tokens:
        if state.kept_rows > 0:
            carray(at_address(state.kept_at), (state.kept_rows,), PREFILL_KEPT)[seq].status = LONG
        return NIL
    place = state.free
    request = pool_of(state)[place]
    state.free = request.following
    state.room -= 1
    request.arrival_us = request.tried_us = at
    request.tries = 0
    request.missed = tokens - cached
    request.done = cached
    request.cached = 0 if state.routed else cached
    request.piece = -1
    request.work_ns = alone_ns(state, tokens - cached, cached)
    request.output_tokens = output_tokens
    request.class_id = class_id
    request.seq = seq
    request.session_id = session_id
    return place


@njit
def send_by_blocks(state: Record, place: int, at: float, block_ids: Ints) -> int:
    """Send a request that arrives to a unit by its prefix blocks, and give the tokens that it finds."""
    request = pool_of(state)[place]
    chosen = choose_by_blocks(state, request, block_ids)
    request.work_ns = alone_ns(state, np.int64(request.missed), np.int64(request.done))
    hits = np.int64(request.done)
    _join(state, place, chosen, at, state.queue_limit)
    return hits


@njit
def count_arrival(state: Record, at: float, tokens: int, hits: int, output_tokens: int, class_id: int) -> None:
    """Tally a request that arrived, with the hits that it found."""
    too_long = tokens + output_tokens > state.longest_tokens
    if not too_long:
        count_queued(state, at, 1)
    if state.from_us <= at < state.to_us:
        tally = hour_of(state, at, class_id)
        tally.arrived += 1
        tally.long += too_long
        tally.hit_tokens += hits
        tally.input_tokens += tokens


@njit
def _sample(state: Record, at: float) -> None:
    """Sample the imbalance of load over the units that take work."""
    loads, units, numbers = loads_of(state), units_of(state), numbers_of(state)
    row = carray(at_address(state.samples_at), (state.samples_rows,), PREFILL_SAMPLE)[state.samples]
    state.samples += 1
    state.sample_us = (np.floor(at / state.sample_every_us) + 1) * state.sample_every_us
    most, most_tokens, all_tokens, all_requests = 0.0, 0.0, 0.0, 0.0
    for place in range(state.open):
        if units[numbers[place]].takes:
            most, most_tokens = max(most, loads[COUNT, place]), max(most_tokens, loads[FIRST, place])
            all_requests += loads[COUNT, place]
            all_tokens += loads[FIRST, place]
    row.at_us = at
    row.tokens = most_tokens * state.candidates / all_tokens if all_tokens > 0 else 1.0
    row.requests = most * state.candidates / all_requests if all_requests > 0 else 1.0


@njit
def advance(states: Records, until_us: float) -> None:
    """Let everything up to and including a time, which is finite, happen."""
    advance_to(states[0], until_us)


@njit
def read_again(states: Records, lost: Records, first: int, at: float) -> None:
    """Take in what decode units held that fail now, to be read from the start; all before now has happened.

    lost: rows of the decode stage's LOST from `first` on.
    """
    state = states[0]
    pool, events = pool_of(state), events_of(state)
    while state.next_event < state.events_rows and events[state.next_event].at_us <= at:
        _fleet_event(state)
    for row in range(lost.shape[0]):
        place = state.free
        request = pool[place]
        state.free = request.following
        state.room -= 1
        request.arrival_us = lost[row].arrival_us
        request.tried_us = at
        request.tries = 0
        request.missed = lost[row].context
        request.done = request.cached = 0
        request.piece = -1
        request.work_ns = alone_ns(state, lost[row].context, 0)
        request.output_tokens = -1 - (first + row)
        request.class_id = lost[row].class_id
        request.seq = lost[row].seq
        request.session_id = NIL
        count_queued(state, at, 1)
        dispatch(state, place, at, 0)


@njit
def advance_to(state: Record, until_us: float) -> None:
    numbers, units, events = numbers_of(state), units_of(state), events_of(state)
    while True:
        next_us = loads_of(state)[NEXT_US, : padded(state.open)]
        fleet = np.inf
        if state.next_event < state.events_rows:
            fleet = events[state.next_event].at_us
        first = argmin(next_us) if state.open > 0 else NIL
        soonest = next_us[first] if state.open > 0 else np.inf
        again = pool_of(state)[state.retry_head].tried_us if state.retry_head != NIL else np.inf
        state.horizon_us = min(fleet, soonest, again)
        if state.horizon_us > until_us:
            return
        if fleet <= min(soonest, again):
            _fleet_event(state)
        elif again < soonest:
            _retry(state)
        elif units[numbers[first]].pass_head != NIL:
            _end_pass(state, numbers[first], soonest)
        else:
            _start_pass(state, units[numbers[first]], soonest)


@njit
def _fleet_event(state: Record) -> None:
    event = events_of(state)[state.next_event]
    state.next_event += 1
    unit = units_of(state)[event.unit]
    place, limit = NIL, 0
    if event.kind == TAKE:
        open_unit(state, event.unit)
    elif event.kind == STOP:
        unit.takes = 0
        close_unit(state, unit.place)
    elif event.kind == ASSIGN:
        place, limit = state.unassigned_head, state.queue_limit
        state.unassigned_head = state.unassigned_tail = NIL
    elif event.kind == DRAIN:
        place = take_not_begun(state, unit)
        unit.drain_took_us = 0.0 if unit.pass_head == NIL and unit.head == NIL else np.inf
    elif event.kind == FAIL:
        place = take_all(state, unit, event.at_us)
    while place != NIL:
        following = np.int64(pool_of(state)[place].following)
        dispatch(state, place, event.at_us, limit)
        place = following


@njit
def open_unit(state: Record, number: int) -> None:
    """Put a unit into the table, and leave those out that have ended what they began."""
    numbers, loads, units = numbers_of(state), loads_of(state), units_of(state)
    kept = 0
    for place in range(state.open):
        if loads[COUNT, place] < np.inf or loads[NEXT_US, place] < np.inf:
            numbers[kept] = numbers[place]
            loads[:, kept] = loads[:, place]
            kept += 1
    loads[:, kept : state.open] = np.inf
    add_unit(state, kept, number)
    units[number].takes = 1
    for place in range(state.open):
        units[numbers[place]].place = place


@njit
def _retry(state: Record) -> None:
    """The next retry arrives."""
    place = state.retry_head
    request = pool_of(state)[place]
    state.retry_head = request.following
    if state.retry_head == NIL:
        state.retry_tail = NIL
    count_queued(state, request.tried_us, 1)
    dispatch(state, place, request.tried_us, state.queue_limit)


@njit
def dispatch(state: Record, place: int, at: float, limit: int) -> None:
    """Let the balancer send a request to a unit; see _join."""
    request = pool_of(state)[place]
    if state.balancer == PREFIX_AWARE and request.session_id >= 0 and state.candidates > 0:
        chosen = choose_by_session(state, request.seq, request.session_id, request.work_ns)
    else:
        chosen = choose_unit(state, state.balancer, request.seq, ROLE)
    _join(state, place, chosen, at, limit)


@njit
def _join(state: Record, place: int, chosen: int, at: float, limit: int) -> None:
    """Put a request into a unit's queue, or let it wait for a unit, or reject it where so many wait (0: never)."""
    pool = pool_of(state)
    request = pool[place]
    request.following = NIL
    if chosen == NIL:
        wait_for_unit(state, pool, place)
        return
    state.last_unit = numbers_of(state)[chosen]
    unit = units_of(state)[state.last_unit]
    if limit > 0 and unit.waiting >= limit and request.output_tokens >= 0:
        _reject(state, place, FULL, at)
        return
    if unit.head == NIL:
        unit.head = place
    else:
        pool[unit.tail].following = place
    unit.tail = place
    unit.waiting += 1
    unit.waiting_missed += request.missed
    add_load(state, chosen, 1.0, request.missed, request.work_ns)
    if unit.pass_head == NIL:
        _start_pass(state, unit, at)


@njit
def _start_pass(state: Record, unit: Record, at: float) -> None:
    """Start a pass of a unit that has none, where requests wait and the queue's mode says so."""
    next_us = loads_of(state)[NEXT_US]
    next_us[unit.place] = np.inf
    if unit.head == NIL:
        return
    if state.mode == WINDOW and unit.waiting_missed < state.pass_tokens:
        opens = pool_of(state)[unit.head].tried_us + state.window_us
        if at < opens:
            next_us[unit.place] = opens
            state.horizon_us = min(state.horizon_us, opens)
            return
    tokens, begun, longest, total = _fill_pass(state, unit, at)
    if unit.pass_head == NIL:
        return
    # a pass takes as long as its longest piece alone on one rank, or all its work on all ranks
    lasts = state.pass_us + max(longest, total / state.parallel)
    next_us[unit.place] = at + lasts
    state.horizon_us = min(state.horizon_us, at + lasts)
    unit.work_share = total / state.parallel / lasts if lasts > 0 else 0.0
    count_queued(state, at, -begun)
    count_pass(state, at, at + lasts, unit.work_share, 1.0)
    prefill_minutes(state)[minute_of(state, at)].tokens += tokens


@njit
def _fill_pass(state: Record, unit: Record, at: float) -> tuple[int, int, float, float]:
    """Move requests from a unit's queue to its pass, and reject those that waited too long.

    Returns the pass's tokens, requests that had not been begun before, and the longest and the sum of their times.
    """
    pool = pool_of(state)
    most = _batch(state, unit.waiting) if state.mode == DEPTH else unit.waiting
    taken, tokens, begun, longest, total, last = 0, 0, 0, 0.0, 0.0, NIL
    place = unit.head
    while place != NIL:
        request = pool[place]
        following = np.int64(request.following)
        piece = min(np.int64(request.missed), state.chunk_tokens)
        fresh = request.piece < 0
        late = fresh and at - request.tried_us > state.timeout_us and request.output_tokens >= 0
        if not late and taken > 0 and (tokens + piece > state.pass_tokens or taken >= most):
            break
        unit.waiting -= 1
        unit.waiting_missed -= request.missed
        if late:
            if unit.takes:
                add_load(state, unit.place, -1.0, -request.missed, -request.work_ns)
            _reject(state, place, LATE, at)
            place = following
            continue
        begun += fresh
        request.piece = piece
        if last == NIL:
            unit.pass_head = place
        else:
            pool[last].following = place
        last, place = place, following
        taken += 1
        tokens += piece
        work = alone_us(state, piece, request.done)
        longest = max(longest, work)
        total += work
    unit.head = place
    if place == NIL:
        unit.tail = NIL
    if last != NIL:
        pool[last].following = NIL
    return tokens, begun, longest, total


@njit
def _batch(state: Record, depth: int) -> int:
    """The most requests of a pass when so many wait."""
    rules = carray(at_address(state.depth_at), (2, state.depth_rows), np.int64)
    rule = 0
    while rule + 1 < state.depth_rows and rules[0, rule + 1] <= depth:
        rule += 1
    return rules[1, rule]


@njit
def _end_pass(state: Record, number: int, at: float) -> None:
    """Put the requests whose prompt is read out, and the rest back in front; then start the next pass."""
    pool, unit = pool_of(state), units_of(state)[number]
    place, before = unit.pass_head, unit.head
    unit.pass_head = NIL
    unit.passes += 1
    count, missed, work_ns, last = 0, 0, 0.0, NIL
    while place != NIL:
        request = pool[place]
        following = np.int64(request.following)
        work_ns -= request.work_ns
        missed -= request.piece
        request.done += request.piece
        request.missed -= request.piece
        if request.missed > 0:
            request.work_ns = alone_ns(state, request.missed, request.done)
            work_ns += request.work_ns
            unit.waiting += 1
            unit.waiting_missed += request.missed
            if last == NIL:
                unit.head = place
            else:
                pool[last].following = place
            last = place
        else:
            count -= 1
            _write_output(state, request, number, at)
            request.following = state.free
            state.free = place
        place = following
    state.room -= count
    if unit.takes:
        add_load(state, unit.place, count, missed, work_ns)
    if last != NIL:
        # the rest of long prompts continues before all others
        pool[last].following = before
        if before == NIL:
            unit.tail = last
    if unit.head == NIL and unit.drain_took_us == np.inf:
        unit.drain_took_us = at - unit.drains_us
    _start_pass(state, unit, at)


@njit
def _write_output(state: Record, request: Record, number: int, at: float) -> None:
    """Write a request whose prompt is read to the output."""
    handed = carray(at_address(state.out_at), (state.out_rows,), HANDED)[state.out]
    state.out += 1
    handed.at_us = at
    handed.arrival_us = request.arrival_us
    handed.seq = request.seq
    handed.input_tokens = request.done
    handed.output_tokens = request.output_tokens
    handed.class_id = request.class_id
    if state.kept_rows > 0:
        kept = carray(at_address(state.kept_at), (state.kept_rows,), PREFILL_KEPT)[request.seq]
        kept.status = READ
        kept.unit = number
        if request.output_tokens >= 0:
            kept.first_us = at


@njit
def _reject(state: Record, place: int, why: int, at: float) -> None:
    """Reject a request, for good or to be tried again."""
    pool = pool_of(state)
    request = pool[place]
    counts = state.from_us <= request.arrival_us < state.to_us
    count_queued(state, at, -1)
    if request.tries < state.retries:
        request.tries += 1
        request.tried_us = at + state.retry_after_us
        wait_for_retry(state, pool, place)
        state.horizon_us = min(state.horizon_us, request.tried_us)
        if counts:
            hour_of(state, request.arrival_us, request.class_id).retried += 1
        return
    if state.kept_rows > 0:
        carray(at_address(state.kept_at), (state.kept_rows,), PREFILL_KEPT)[request.seq].status = why
    if state.loop_at != 0:
        call_followers(loop_of(state), request.seq, at)
    if counts:
        tally = hour_of(state, request.arrival_us, request.class_id)
        if why == FULL:
            tally.full += 1
        else:
            tally.late += 1
    request.following = state.free
    state.free = place
    state.room += 1
