"""Lines of requests at units: who joins which, who is rejected, who comes again. Compiled; imports numba."""

import numpy as np

from planner.core.replay.iterations.kernels.layout import (
    GROUP,
    GROUPS,
    RING,
    WORK_BYTES,
    ends_of,
    groups_of,
    kept_of,
    pool_of,
    rests_of,
    work_of,
)
from planner.core.replay.iterations.kernels.tally import count_queued
from planner.core.replay.requests.kernels.affinity import choose_by_session
from planner.core.replay.requests.kernels.choice import (
    PREFIX_AWARE,
    SHORTEST_QUEUE,
    choose_unit,
)
from planner.core.replay.requests.kernels.followers import call_followers
from planner.core.replay.requests.kernels.layout import (
    COUNT,
    FIRST,
    FULL,
    NEXT_US,
    NIL,
    SECOND,
    Record,
    at_address,
    carray,
    loads_of,
    numbers_of,
    padded,
    prefetch,
)
from planner.core.replay.requests.kernels.lists import wait_for_retry, wait_for_unit
from planner.core.replay.requests.kernels.tally import hour_of
from planner.jit import inlined, njit
from planner.units import Ints

ROLE = 0
HERE, ELSEWHERE = 1, 2
"""Where a request was begun: in its unit, or only in one that it had before; 0: not yet."""


@inlined
def set_next(state: Record, place: int, at: float) -> None:
    """When the unit at a place of the table ends what it goes ahead with, or begins; inf: not by itself."""
    _set_load(state, 0, NEXT_US, place, at)
    if at < state.soonest_us or (at == state.soonest_us and place < state.soonest):
        state.soonest_us, state.soonest = at, place
    elif place == state.soonest:
        _find_soonest(state)


@inlined
def _find_soonest(state: Record) -> None:
    """Find the unit that is next."""
    groups = groups_of(state)[0]
    group = least_group(groups)
    place = group * GROUP + first_of(group_of(state, NEXT_US, group), groups[group])
    state.soonest, state.soonest_us = place, loads_of(state)[NEXT_US, place]
    if state.soonest_us < np.inf:
        address = state.work_at + numbers_of(state)[place] * WORK_BYTES
        for line in range(0, WORK_BYTES, 64):
            prefetch(address + line)


@inlined
def _set_load(state: Record, row: int, load: int, place: int, value: float) -> None:
    """Set a load of a unit, and the least of its group."""
    values, new, here = group_of(state, load, place // GROUP), np.float64(value).view(np.int64), place % GROUP
    least = new
    # before the load is set: a vector that is read right after a part of it was written waits for that
    for lane in range(GROUP):
        least = min(least, new if lane == here else values[lane])
    values[here] = new
    groups_of(state)[row, place // GROUP] = least


@inlined
def group_of(state: Record, load: int, group: int) -> Ints:
    """Loads of a group of places as bits, which are ordered as these: none is negative."""
    row = load * padded(state.units_rows) + group * GROUP
    return carray(at_address(state.loads_at + row * 8), (GROUP,), np.int64)


@inlined
def _regroup_one(state: Record, row: int, load: int, group: int) -> None:
    values = group_of(state, load, group)
    least = values[0]
    for place in range(GROUP):
        least = min(least, values[place])
    groups_of(state)[row, group] = least


@inlined
def first_of(values: Ints, least: int) -> int:
    """The first place at which a group has its least load."""
    first = np.int64(GROUP)
    for place in range(GROUP):
        first = min(first, place if values[place] == least else np.int64(GROUP))
    return first


@njit
def regroup(state: Record) -> None:
    """Find the least of every group anew, after the table of units has changed."""
    for group in range((state.units_rows + GROUP - 1) // GROUP):
        _regroup_one(state, 0, NEXT_US, group)
        _regroup_one(state, 1, COUNT, group)
    _find_soonest(state)


@inlined
def least_group(values: Ints) -> int:
    """The first group with the least of all."""
    # without a branch on the loads, which no predictor could guess
    least, groups = values[0], values.shape[0]
    for begin in range(0, groups, GROUPS):
        for group in range(GROUPS):
            least = min(least, values[begin + group])
    first = np.int64(groups)
    for begin in range(0, groups, GROUPS):
        for group in range(GROUPS):
            first = min(first, begin + group if values[begin + group] == least else np.int64(groups))
    return first


@inlined
def add_work(state: Record, place: int, count: float, tokens: float) -> None:
    """Add to what a unit that takes work holds: requests, and prompt tokens not yet computed."""
    loads = loads_of(state)
    if count != 0:
        _set_load(state, 1, COUNT, place, loads[COUNT, place] + count)
    loads[FIRST, place] += count
    loads[SECOND, place] += tokens
    state.total_first += count
    state.total_second += tokens


@inlined
def dispatch(state: Record, entry: int, at: float, limit: int) -> None:
    """Let the balancer send a request to a unit; see join."""
    request = pool_of(state)[entry]
    if state.balancer == SHORTEST_QUEUE and state.candidates > 0:
        counts = groups_of(state)[1]
        group = least_group(counts)
        chosen = group * GROUP + first_of(group_of(state, COUNT, group), counts[group])
    elif state.balancer == PREFIX_AWARE and rests_of(state)[entry].session_id >= 0 and state.candidates > 0:
        chosen = choose_by_session(state, request.seq, rests_of(state)[entry].session_id, np.float64(request.missed))
    else:
        chosen = choose_unit(state, state.balancer, request.seq, ROLE)
    join(state, entry, chosen, at, limit)


@inlined
def join(state: Record, entry: int, chosen: int, at: float, limit: int) -> None:
    """Put a request into a unit's line, or let it wait for a unit, or reject it where so many wait (0: never)."""
    pool = pool_of(state)
    request = pool[entry]
    request.following = NIL
    if chosen == NIL:
        wait_for_unit(state, pool, entry)
        return
    state.last_unit = numbers_of(state)[chosen]
    unit = work_of(state)[state.last_unit]
    if limit > 0 and unit.waiting >= limit and request.begun == 0:
        reject(state, entry, FULL, at)
        return
    add_work(state, chosen, 1.0, request.missed)
    unit.waiting += 1
    if unit.head != NIL:
        # whoever is first cannot be begun before something happens that the unit stops at
        pool[unit.tail].following = entry
    else:
        unit.head = entry
        if unit.running == 0:
            set_next(state, chosen, at)
        else:
            turn_back(state, unit, chosen, at)
        # where it is to be put if its prompt is read in the next step
        leaves = (unit.steps + unit.run + request.output_tokens) & (RING - 1)
        prefetch(state.rings_at + (state.last_unit * RING + leaves) * 4)
    unit.tail = entry


@inlined
def turn_back(state: Record, unit: Record, place: int, at: float) -> None:
    """Let a unit go ahead no further than to the end of its step in progress."""
    ends = ends_of(state, numbers_of(state)[place])
    run = 0
    while ends[run] <= at:
        run += 1
    if run < unit.run:
        unit.run = run
        set_next(state, place, ends[run])


@njit
def reject(state: Record, entry: int, why: int, at: float) -> None:
    """Reject a request, for good or to be tried again."""
    pool = pool_of(state)
    request = pool[entry]
    counts = state.from_us <= request.arrival_us < state.to_us
    count_queued(state, at, -1)
    if state.retries > 0 and rests_of(state)[entry].tries < state.retries:
        rest = rests_of(state)[entry]
        rest.tries += 1
        rest.tried_us = at + state.retry_after_us
        send_anew(state, request)
        wait_for_retry(state, pool, entry)
        if counts:
            hour_of(state, request.arrival_us, request.class_id).retried += 1
        return
    if state.kept_rows > 0:
        kept_of(state)[request.seq].status = why
    if counts:
        tally = hour_of(state, request.arrival_us, request.class_id)
        if why == FULL:
            tally.full += 1
        else:
            tally.late += 1
    call_followers(state, request.seq, at)
    leave_place(state, entry)


@njit
def send_anew(state: Record, request: Record) -> None:
    """Before a request goes to another unit, or comes again: what only its unit had of it is lost."""
    if state.routed or request.had > 0:
        request.hit = 0
    request.done = request.hit
    request.missed = request.prompt + request.had - request.done
    request.begun = ELSEWHERE if request.begun else 0


@inlined
def take_place(state: Record) -> int:
    """A place of the pool."""
    entry = state.free
    state.free = np.int64(pool_of(state)[entry].following)
    state.room -= 1
    return entry


@inlined
def leave_place(state: Record, entry: int) -> None:
    pool_of(state)[entry].following = state.free
    state.free = entry
    state.room += 1
