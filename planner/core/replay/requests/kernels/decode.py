"""Decode units: requests from prefill, and units that serve, drain and hand over. Compiled; imports numba.

What a unit does in its steps is in `kernels.step`; what lasts from chunk to chunk is in the stage's state and arrays
(`kernels.layout`).
"""

import numpy as np

from planner.core.replay.requests.kernels.choice import add_unit, choose_unit, close_unit
from planner.core.replay.requests.kernels.followers import call_followers, loop_of
from planner.core.replay.requests.kernels.layout import (
    ASSIGN,
    COUNT,
    DECODE_KEPT,
    DRAIN,
    FAIL,
    FIRST,
    LOST,
    NEXT_US,
    NIL,
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
    enqueue,
    leavers_of,
    leaving_of,
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
def take_over(states: Records, rows: Records, count: int) -> None:
    """Take requests over from prefill, in the order of time. Requests of one token or none are complete."""
    state = states[0]
    pool = pool_of(state)
    for row in range(count):
        handed = rows[row]
        at, again = handed.at_us, handed.output_tokens < 0
        if handed.output_tokens <= 1 and not again:
            complete(state, handed, at, at)
            if state.loop_at != 0:
                call_followers(loop_of(state), handed.seq, at)
            continue
        if at >= state.fleet_us:
            _fleet_until(state, at)
        if at >= state.soonest_us:
            advance_all(state, at)
        if at >= state.sample_us:
            _sample(state, at)
        place = state.used
        state.used += 1
        request = pool[place]
        request.arrival_us = handed.arrival_us
        request.first_us = at
        request.ready_us = at + handed.input_tokens * state.kv_us_per_token
        request.seq = handed.seq
        request.departs = 1 - handed.output_tokens
        request.context = handed.input_tokens
        request.output_tokens = handed.output_tokens
        request.class_id = handed.class_id
        if again:
            lost = _lost_of(state)[-1 - handed.output_tokens]
            request.first_us = lost.first_us
            request.departs, request.output_tokens = -lost.to_go, lost.output_tokens
        count_queued(state, at, 1)
        enqueue(state, place, choose_unit(state, state.balancer, handed.seq, ROLE))


@njit
def advance_fleet(states: Records, until_us: float) -> None:
    """Let everything up to and including a time happen to the fleet; what failed units held is listed as lost."""
    _fleet_until(states[0], until_us)


@njit
def finish(states: Records, until_us: float) -> None:
    """Let everything up to and including a time, which is finite, happen, and give all that is done its times."""
    _fleet_until(states[0], until_us)
    advance_all(states[0], until_us)
    settle(states[0])


@njit
def _fleet_until(state: Record, until_us: float) -> None:
    """Units that come, go, and hand their stragglers over, in order of time up to and including one."""
    events, units, numbers = events_of(state), units_of(state), numbers_of(state)
    while True:
        fleet, leaver, leaves = np.inf, NIL, np.inf
        if state.next_event < state.events_rows:
            fleet = events[state.next_event].at_us
        for place in range(state.open):
            if units[numbers[place]].leaves_us < leaves:
                leaver, leaves = numbers[place], units[numbers[place]].leaves_us
        state.fleet_us = min(fleet, leaves)
        if state.fleet_us > until_us:
            return
        advance_all(state, state.fleet_us)
        if fleet <= leaves:
            _fleet_event(state)
        else:
            _leave(state, leaver)


@njit
def _fleet_event(state: Record) -> None:
    event = events_of(state)[state.next_event]
    state.next_event += 1
    unit, next_us = units_of(state)[event.unit], loads_of(state)[NEXT_US]
    place = NIL
    if event.kind == TAKE:
        _open(state, event.unit)
    elif event.kind == STOP:
        unit.takes = 0
        close_unit(state, unit.place)
    elif event.kind == ASSIGN:
        place = state.unassigned_head
        state.unassigned_head = state.unassigned_tail = NIL
    elif event.kind == DRAIN:
        place = unit.head
        unit.head = unit.tail = NIL
        unit.drain_took_us = np.inf if unit.streams > 0 else 0.0
        if unit.streams == 0 and unit.place != NIL:
            next_us[unit.place] = np.inf
    elif event.kind == FAIL:
        _fail(state, event.unit, event.at_us)
    elif unit.streams > 0:
        unit.leaves_us = next_us[unit.place]
    while place != NIL:
        following = np.int64(pool_of(state)[place].following)
        _dispatch(state, place, event.at_us)
        place = following


@njit
def _open(state: Record, number: int) -> None:
    """Put a unit into the table, and leave those out that are empty and take no work."""
    numbers, loads, units, owners = (
        numbers_of(state),
        loads_of(state),
        units_of(state),
        ints(state.owners_at, state.slots),
    )
    settle(state)
    kept = 0
    for place in range(state.open):
        unit = units[numbers[place]]
        if not unit.takes and unit.streams == 0:
            owners[unit.slot] = NIL
            continue
        numbers[kept] = numbers[place]
        loads[:, kept] = loads[:, place]
        kept += 1
    loads[:, kept : state.open] = np.inf
    add_unit(state, kept, number)
    slot = 0
    while owners[slot] != NIL:
        slot += 1
    owners[slot] = number
    units[number].slot = slot
    units[number].takes = 1
    for place in range(state.open):
        units[numbers[place]].place = place


@njit
def _streams_of(state: Record, number: int) -> Ints:
    """Take all streams out of a unit; their places, the next to end first. Their fields are as of those that wait."""
    unit, pool, left = units_of(state)[number], pool_of(state), units_of(state)[number].streams
    places, seq, departs = np.empty(left, np.int64), np.empty(left, np.int64), np.empty(left, np.int64)
    count = 0
    for place in range(state.used):
        if pool[place].departs > unit.steps and pool[place].unit == number:
            places[count], seq[count], departs[count] = place, pool[place].seq, pool[place].departs
            count += 1
    order = np.argsort(seq)
    order = order[np.argsort(departs[order], kind="mergesort")]
    leaving_of(state, unit.slot)[:] = 0
    if state.exact:
        ranks_of(state, unit.slot)[:] = 0
    if state.listed:
        leavers_of(state, unit.slot)[:] = NIL
    unit.far = NIL
    unit.streams = unit.kv_tokens = 0
    for place in places:
        request = pool[place]
        request.departs = unit.steps - request.departs
        request.context += unit.steps
    return places[order]


@njit
def _leave(state: Record, number: int) -> None:
    """The step in progress at the deadline has ended: streams that are left go to others."""
    unit, pool = units_of(state)[number], pool_of(state)
    at, left = unit.leaves_us, unit.streams
    unit.leaves_us = np.inf
    if left == 0:
        return
    places = _streams_of(state, number)
    unit.drain_took_us = at - unit.drains_us
    unit.moved = left
    state.moved += left
    count_queued(state, at, left)
    for place in places:
        if state.kept_rows > 0:
            carray(at_address(state.kept_at), (state.kept_rows,), DECODE_KEPT)[pool[place].seq].moved += 1
    for place in places:
        _dispatch(state, place, at)


@njit
def _lost_of(state: Record) -> Records:
    return carray(at_address(state.lost_at), (state.lost_rows,), LOST)


@njit
def _fail(state: Record, number: int, at: float) -> None:
    """Write all that a unit holds to the list of lost requests, its streams and then its queue, and let it be gone."""
    unit, pool = units_of(state)[number], pool_of(state)
    if unit.streams == 0 and unit.head == NIL:
        return
    if unit.streams > 0:
        # the rest of the step does not happen
        ends_us = min(loads_of(state)[NEXT_US, unit.place], unit.leaves_us)
        count_step(state, at, ends_us, unit.streams, unit.kv_tokens, -1.0)
    for place in _streams_of(state, number):
        _lose(state, unit, pool[place])
    place = unit.head
    while place != NIL:
        _lose(state, unit, pool[place])
        count_queued(state, at, -1)
        place = np.int64(pool[place].following)
    unit.head = unit.tail = NIL
    loads_of(state)[NEXT_US, unit.place] = np.inf


@njit
def _lose(state: Record, unit: Record, request: Record) -> None:
    lost = _lost_of(state)[state.lost]
    state.lost += 1
    unit.lost += 1
    lost.arrival_us, lost.first_us = request.arrival_us, request.first_us
    lost.seq, lost.class_id, lost.output_tokens = request.seq, request.class_id, request.output_tokens
    lost.context, lost.to_go = request.context, -request.departs
    request.departs = 0
    if state.kept_rows > 0:
        carray(at_address(state.kept_at), (state.kept_rows,), DECODE_KEPT)[request.seq].lost += 1


@njit
def _dispatch(state: Record, place: int, at: float) -> None:
    """Choose a unit anew for a request whose KV has to travel. All units' states are those of the moment."""
    request = pool_of(state)[place]
    advance_all(state, at)
    request.ready_us = at + request.context * state.kv_us_per_token
    enqueue(state, place, choose_unit(state, state.balancer, request.seq, ROLE))


@njit
def _sample(state: Record, at: float) -> None:
    """How uneven the load is over the units that take work, and over the ranks inside them."""
    loads, units, numbers = loads_of(state), units_of(state), numbers_of(state)
    row = carray(at_address(state.samples_at), (state.samples_rows,), SAMPLE)[state.samples]
    state.samples += 1
    state.sample_us = (np.floor(at / state.sample_every_us) + 1) * state.sample_every_us
    most, most_tokens, within, within_tokens, seen = 0.0, 0.0, 0.0, 0.0, 0
    for place in range(state.open):
        unit = units[numbers[place]]
        if unit.takes:
            most, most_tokens = max(most, loads[COUNT, place]), max(most_tokens, loads[FIRST, place])
            if state.exact and unit.kv_tokens > 0:
                ranks = ranks_of(state, unit.slot)
                within += ranks[0].max() * state.ranks / unit.streams
                within_tokens += ranks[1].max() * state.ranks / unit.kv_tokens
                seen += 1
    row.at_us = at
    row.kv = most_tokens * state.candidates / state.total_first if state.total_first > 0 else 1.0
    row.streams = most * state.candidates / state.total_second if state.total_second > 0 else 1.0
    row.rank_kv = within_tokens / seen if seen > 0 else 1.0
    row.rank_streams = within / seen if seen > 0 else 1.0
