"""Requests that arrive, and units that come, drain, fail and go, in order of time. Compiled; importing imports numba.

At one moment steps end and begin first, then units past their deadline hand over, then the fleet changes, then those
come that were rejected, then others. What lasts from chunk to chunk is in the stage's state and arrays
(`kernels.layout`).
"""

import numpy as np
from numpy.typing import NDArray

from planner.core.replay.iterations.kernels.layout import (
    AFTER,
    SAMPLES,
    ends_of,
    kept_of,
    links_of,
    pool_of,
    rests_of,
    work_of,
)
from planner.core.replay.iterations.kernels.lines import (
    HERE,
    dispatch,
    join,
    regroup,
    send_anew,
    take_place,
    turn_back,
)
from planner.core.replay.iterations.kernels.tally import count_first, count_queued
from planner.core.replay.iterations.kernels.unit import boundary, leave, settle, stop, take_all
from planner.core.replay.requests.kernels.affinity import choose_by_blocks, units_of
from planner.core.replay.requests.kernels.choice import PREFIX_AWARE, close_unit
from planner.core.replay.requests.kernels.followers import call_followers, heap_of, pop_comer
from planner.core.replay.requests.kernels.layout import (
    ASSIGN,
    COUNT,
    DEADLINE,
    DRAIN,
    FAIL,
    LONG,
    NEXT_US,
    NIL,
    SECOND,
    STOP,
    TAKE,
    Record,
    Records,
    at_address,
    carray,
    events_of,
    loads_of,
    numbers_of,
    prefetch,
)
from planner.core.replay.requests.kernels.prefill import open_unit
from planner.core.replay.requests.kernels.tally import hour_of
from planner.jit import inlined, njit
from planner.units import Floats, Ints

_AT_ONCE = 8
"""Requests of a column in a cache line."""


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
    """Take requests in, in order of arrival; everything before the last arrival has happened afterwards.

    block_from: empty where requests have no blocks.
    """
    state, blocks = states[0], block_from.shape[0] > 0
    for row in range(arrival_us.shape[0]):
        if row % _AT_ONCE == 0:
            ahead = (row + 2 * _AT_ONCE) * 8
            prefetch(arrival_us.ctypes.data + ahead)
            prefetch(input_tokens.ctypes.data + ahead)
            prefetch(cached_input_tokens.ctypes.data + ahead)
            prefetch(output_tokens.ctypes.data + ahead)
            prefetch(class_id.ctypes.data + ahead)
        at = float(arrival_us[row])
        while _next_us(state) <= at:
            _happen(state)
        entry = _enter(
            state,
            first_seq + row,
            at,
            input_tokens[row],
            cached_input_tokens[row],
            output_tokens[row],
            class_id=class_id[row],
            session_id=session_id[row],
        )
        if blocks and entry != NIL:
            _send_by_blocks(state, entry, at, block_ids[block_from[row] : block_from[row + 1]])
        elif entry != NIL:
            dispatch(state, entry, at, state.queue_limit)


@njit
def follow(
    states: Records,
    arrival_us: Ints,
    input_tokens: Ints,
    cached_input_tokens: Ints,
    output_tokens: Ints,
    class_id: Ints,
    session_id: Ints,
    block_from: Ints,
    block_ids: Ints,
    follows: Ints,
    came_us: Floats,
) -> None:
    """Let all requests arrive up to the end: those that follow none at their time, others after those they follow.

    came_us: gets the time at which each came.
    """
    state, blocks, row = states[0], block_from.shape[0] > 0, 0
    while True:
        while row < follows.shape[0] and follows[row] != NIL:
            row += 1
        at, comes = np.inf, row
        if row < follows.shape[0]:
            at = float(arrival_us[row])
        if state.comers > 0:
            times, comers = heap_of(state)
            if times[0] < at or (times[0] == at and comers[0] < row):
                at, comes = times[0], comers[0]
        if _next_us(state) <= min(at, state.end_us):
            _happen(state)
            continue
        if at > state.end_us:
            return
        if comes == row:
            row += 1
        else:
            pop_comer(state)
        came_us[comes] = at
        entry = _enter(
            state,
            comes,
            at,
            input_tokens[comes],
            cached_input_tokens[comes],
            output_tokens[comes],
            class_id=class_id[comes],
            session_id=session_id[comes],
        )
        if blocks and entry != NIL:
            _send_by_blocks(state, entry, at, block_ids[block_from[comes] : block_from[comes + 1]])
        elif entry != NIL:
            dispatch(state, entry, at, state.queue_limit)


@njit
def advance(states: Records, until_us: float) -> None:
    """Let everything up to and including a time, which is finite, happen."""
    while _next_us(states[0]) <= until_us:
        _happen(states[0])


@inlined
def _fleet_us(state: Record) -> float:
    return events_of(state)[state.next_event].at_us if state.next_event < state.events_rows else np.inf


@inlined
def _again_us(state: Record) -> float:
    return rests_of(state)[state.retry_head].tried_us if state.retry_head != NIL else np.inf


@inlined
def _next_us(state: Record) -> float:
    """When the next happens that happens by itself."""
    return min(np.float64(state.soonest_us), _fleet_us(state), _again_us(state))


@njit
def _happen(state: Record) -> None:
    """Let the next that happens by itself happen."""
    soonest, fleet, again = state.soonest_us, _fleet_us(state), _again_us(state)
    if soonest <= min(fleet, again):
        state.visits += 1
        number = numbers_of(state)[state.soonest]
        if work_of(state)[number].leaves_us < np.inf:
            number = _before_leavers(state, number, soonest)
        if work_of(state)[number].leaves_us < np.inf:
            _hand_over(state, number, soonest)
        else:
            boundary(state, number, soonest)
    elif fleet <= again:
        _fleet_event(state)
    else:
        _retry(state)


@njit
def _before_leavers(state: Record, number: int, at: float) -> int:
    """The unit that is next at a moment at which one hands over: others first, so that they see what they get then."""
    next_us, numbers, units = loads_of(state)[NEXT_US], numbers_of(state), work_of(state)
    for place in range(state.open):
        if next_us[place] == at and units[numbers[place]].leaves_us == np.inf:
            return numbers[place]
    return number


@inlined
def _enter(
    state: Record, seq: int, at: float, tokens: int, cached: int, output_tokens: int, class_id: int, session_id: int
) -> int:
    """A place of the pool for a request that arrives; NIL for one that no unit can serve."""
    if at >= state.sample_us:
        _sample(state, at)
    if state.kept_rows > 0:
        kept_of(state)[seq].arrival_us = at
    prompt = max(tokens, 1)
    blocks = (prompt + max(output_tokens, 1) - 1 + state.page_tokens - 1) // state.page_tokens + state.stream_blocks
    too_long = tokens + output_tokens > state.longest_tokens or blocks > state.kv_blocks
    done = 0 if state.routed else min(cached, prompt - 1)
    if state.from_us <= at < state.to_us:
        tally = hour_of(state, at, class_id)
        tally.arrived += 1
        tally.long += too_long
        tally.input_tokens += tokens
        tally.hit_tokens += done
    if too_long:
        if state.kept_rows > 0:
            kept_of(state)[seq].status = LONG
        call_followers(state, seq, at)
        return NIL
    entry = take_place(state)
    request = pool_of(state)[entry]
    request.arrival_us = at
    request.begun = request.had = 0
    request.prompt, request.output_tokens = prompt, output_tokens
    request.hit = request.done = done
    request.missed = prompt - done
    request.seq, request.class_id = seq, class_id
    if state.rests:
        rest = rests_of(state)[entry]
        rest.tried_us, rest.session_id, rest.tries = at, session_id, 0
    count_queued(state, at, 1)
    return entry


@njit
def _send_by_blocks(state: Record, entry: int, at: float, block_ids: Ints) -> None:
    """Send a request that arrives to a unit, by its prefix blocks where they matter."""
    if not (state.routed or state.balancer == PREFIX_AWARE):
        dispatch(state, entry, at, state.queue_limit)
        return
    request = pool_of(state)[entry]
    chosen = choose_by_blocks(state, request, block_ids)
    if state.routed:
        request.done = request.hit = min(np.int64(request.done), request.prompt - 1)
        request.missed = request.prompt - request.done
        if state.from_us <= at < state.to_us:
            hour_of(state, at, request.class_id).hit_tokens += request.done
    join(state, entry, chosen, at, state.queue_limit)


@njit
def _retry(state: Record) -> None:
    """The next that was rejected comes again."""
    entry = state.retry_head
    at = rests_of(state)[entry].tried_us
    state.retry_head = np.int64(pool_of(state)[entry].following)
    if state.retry_head == NIL:
        state.retry_tail = NIL
    count_queued(state, at, 1)
    dispatch(state, entry, at, state.queue_limit)


@njit
def _fleet_event(state: Record) -> None:
    event = events_of(state)[state.next_event]
    state.next_event += 1
    role, unit, at = units_of(state)[event.unit], work_of(state)[event.unit], event.at_us
    if event.kind == TAKE:
        open_unit(state, event.unit)
        regroup(state)
    elif event.kind == STOP:
        role.takes = 0
        close_unit(state, role.place)
        regroup(state)
    elif event.kind == ASSIGN:
        entry = state.unassigned_head
        state.unassigned_head = state.unassigned_tail = NIL
        _send_all(state, entry, at, state.queue_limit)
    elif event.kind == DRAIN:
        entry = _take_not_begun(state, unit)
        role.drain_took_us = 0.0 if unit.running == 0 else np.inf
        _send_all(state, entry, at, 0)
    elif unit.running > 0 and event.kind == DEADLINE:
        turn_back(state, unit, role.place, at)
        unit.leaves_us = loads_of(state)[NEXT_US, role.place]
    elif unit.running > 0 and event.kind == FAIL:
        stop(state, event.unit, at)
        entry = take_all(state, event.unit, at)
        _count_lost(state, role, unit, entry)
        _send_all(state, entry, at, 0)


@njit
def _send_all(state: Record, entry: int, at: float, limit: int) -> None:
    """Send a list of requests to units anew. They come together: a unit that is idle begins with all it gets."""
    pool = pool_of(state)
    while entry != NIL:
        following = np.int64(pool[entry].following)
        send_anew(state, pool[entry])
        dispatch(state, entry, at, limit)
        entry = following


@njit
def _take_not_begun(state: Record, unit: Record) -> int:
    """Take all requests out of a unit's line that it has not begun, and give their list. Those preempted come first."""
    pool, last, entry = pool_of(state), NIL, np.int64(unit.head)
    while entry != NIL and pool[entry].begun == HERE:
        last, entry = entry, np.int64(pool[entry].following)
    head = entry
    while entry != NIL:
        unit.waiting -= 1
        entry = np.int64(pool[entry].following)
    unit.tail = last
    if last == NIL:
        unit.head = NIL
    else:
        pool[last].following = NIL
    return head


@njit
def _count_lost(state: Record, role: Record, unit: Record, entry: int) -> None:
    """Count requests that were in a unit that failed: those that had no token yet, and others."""
    pool = pool_of(state)
    while entry != NIL:
        request = pool[entry]
        if request.had > 0:
            unit.lost += 1
        else:
            role.lost += 1
        if state.kept_rows > 0:
            kept_of(state)[request.seq].lost += 1
        entry = np.int64(request.following)


@njit
def _hand_over(state: Record, number: int, at: float) -> None:
    """The step in progress at a unit's deadline has ended: what is left goes to others."""
    unit, role, pool = work_of(state)[number], units_of(state)[number], pool_of(state)
    settle(state, unit, number)
    leave(state, unit, number, at)
    head = take_all(state, number, at)
    role.drain_took_us = at - role.drains_us
    entry = head
    while entry != NIL:
        unit.moved += 1
        state.moved += 1
        if state.kept_rows > 0:
            kept_of(state)[pool[entry].seq].moved += 1
        entry = np.int64(pool[entry].following)
    _send_all(state, head, at, 0)


@njit
def _sample(state: Record, at: float) -> None:
    """Sample the imbalance of load over the units that take work."""
    loads, roles, numbers, units = loads_of(state), units_of(state), numbers_of(state), work_of(state)
    row = carray(at_address(state.samples_at), (state.samples_rows,), SAMPLES)[state.samples]
    state.samples += 1
    state.sample_us = (np.floor(at / state.sample_every_us) + 1) * state.sample_every_us
    most, total = np.zeros(4), np.zeros(4)
    for place in range(state.open):
        number = numbers[place]
        if not roles[number].takes:
            continue
        unit, ends = units[number], ends_of(state, number)
        rows, kv, tokens, ended = unit.rows, unit.kv, loads[SECOND, place], 0
        if unit.mixed and ends[0] > at:
            rows, kv = unit.mixed_rows, unit.mixed_kv
        else:
            tokens -= unit.piece_tokens
            while ended < unit.run and ends[ended + 1] <= at:
                ended += 1
        now = (tokens, loads[COUNT, place], float(kv + rows * ended), float(rows))
        for key in range(4):
            most[key] = max(most[key], now[key])
            total[key] += now[key]
    for key in range(4):
        most[key] = most[key] * state.candidates / total[key] if total[key] > 0 else 1.0
    row.at_us = at
    row.tokens, row.requests, row.kv, row.streams = most[0], most[1], most[2], most[3]
    row.rank_kv = row.rank_streams = 1.0


@njit
def finish(states: Records, until_us: float, entries: Ints, told: NDArray[np.bool_]) -> int:
    """Let everything up to and including the end happen; the places of requests in the system and their number.

    told: gets whether each had its first token.
    """
    advance(states, until_us)
    state = states[0]
    pool, links, units = pool_of(state), links_of(state), work_of(state)
    count = _walk(state, state.unassigned_head, entries, told, 0)
    count = _walk(state, state.retry_head, entries, told, count)
    for number in range(state.units_rows):
        if units[number].running > 0:
            stop(state, number, until_us)
        count = _walk(state, units[number].head, entries, told, count)
        entry = np.int64(units[number].first)
        while entry != NIL:
            request = pool[entry]
            entries[count] = entry
            told[count] = request.had > 0 or (request.missed == 0 and request.read_us <= until_us)
            count += 1
            entry = np.int64(links[entry, AFTER])
    for row in range(count):
        if told[row]:
            count_first(state, pool[entries[row]])
    return count


@njit
def _walk(state: Record, entry: int, entries: Ints, told: NDArray[np.bool_], count: int) -> int:
    """Write the places of a list after the first so many."""
    pool = pool_of(state)
    while entry != NIL:
        entries[count] = entry
        told[count] = pool[entry].had > 0
        count += 1
        entry = np.int64(pool[entry].following)
    return count
