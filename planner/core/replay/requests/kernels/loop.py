"""Prefill and decode side by side in a closed loop, where requests come after the ends of others. Compiled.

What happens next in either stage, or comes, happens next. At one moment it is as in the open replay: steps end and
begin first, then the decode fleet changes, then prefill has its events, then requests come. Importing this module
imports numba.
"""

import numpy as np

from planner.core.replay.requests.kernels.choice import PREFIX_AWARE
from planner.core.replay.requests.kernels.decode import advance_fleet, take_over
from planner.core.replay.requests.kernels.followers import call_followers, heap_of, pop_comer
from planner.core.replay.requests.kernels.layout import HANDED, NIL, Record, Records, at_address, carray
from planner.core.replay.requests.kernels.prefill import advance_to, count_arrival, dispatch, enter, send_by_blocks
from planner.core.replay.requests.kernels.step import advance_all
from planner.core.replay.requests.kernels.tally import count_read
from planner.jit import njit
from planner.units import Floats, Ints


@njit
def follow(
    prefills: Records,
    decodes: Records,
    loops: Records,
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
    before_us: float,
) -> bool:
    """Let everything before a time happen; False where a pool has no room for what happens next, which has not.

    Requests that follow none come at their time. came_us: gets the time at which each came.
    """
    prefill, decode, loop = prefills[0], decodes[0], loops[0]
    while True:
        comes, at = _next_comer(loop, arrival_us, follows)
        stepped_us = min(decode.fleet_us, decode.soonest_us)
        if min(stepped_us, prefill.horizon_us, at) >= before_us:
            return True
        if stepped_us <= min(prefill.horizon_us, at):
            if decode.fleet_us <= stepped_us:
                advance_fleet(decodes, stepped_us)
            else:
                advance_all(decode, stepped_us)
        elif prefill.horizon_us <= at:
            there = prefill.pool_rows - prefill.room
            if there > prefill.out_rows or decode.used + there > decode.pool_rows:
                return False
            advance_to(prefill, prefill.horizon_us)
            if prefill.out > 0:
                _hand_over(prefills, decodes)
        elif prefill.room == 0:
            return False
        else:
            came_us[comes] = at
            if comes == loop.next_row:
                loop.next_row += 1
            else:
                pop_comer(loop)
            tokens, hits = input_tokens[comes], cached_input_tokens[comes]
            place = enter(
                prefill,
                comes,
                at,
                tokens,
                hits,
                output_tokens[comes],
                class_id=class_id[comes],
                session_id=session_id[comes],
            )
            if place == NIL:
                call_followers(loop, comes, at)
            elif block_from.shape[0] > 0 and (prefill.routed or prefill.balancer == PREFIX_AWARE):
                hits = send_by_blocks(prefill, place, at, block_ids[block_from[comes] : block_from[comes + 1]])
            else:
                dispatch(prefill, place, at, prefill.queue_limit)
            count_arrival(prefill, at, tokens, hits, output_tokens[comes], class_id=class_id[comes])


@njit
def _next_comer(loop: Record, arrival_us: Ints, follows: Ints) -> tuple[int, float]:
    """The request that comes next, of those that follow none or others, and when; NIL where none is known to come."""
    size = follows.shape[0]
    while loop.next_row < size and follows[loop.next_row] != NIL:
        loop.next_row += 1
    comes, at = np.int64(NIL), np.inf
    if loop.next_row < size:
        comes, at = loop.next_row, float(arrival_us[loop.next_row])
    if loop.comers > 0:
        times, comers = heap_of(loop)
        if times[0] < at or (times[0] == at and comers[0] < comes):
            return comers[0], times[0]
    return comes, at


@njit
def _hand_over(prefills: Records, decodes: Records) -> None:
    """Hand over what prefill has read."""
    prefill = prefills[0]
    count_read(prefills)
    out = carray(at_address(prefill.out_at), (prefill.out_rows,), HANDED)
    take_over(decodes, out, prefill.out)
    prefill.out = 0
