"""What waited and worked by minute, what was read by hour of arrival. Compiled; importing this imports numba.

Times are split at the ends of minutes, and end with the simulation, so that shares of time are exact.
"""

import numpy as np

from planner.core.replay.requests.kernels.choice import BUCKETS, bucket_of
from planner.core.replay.requests.kernels.layout import (
    DECODE_MINUTE,
    HANDED,
    HOUR_US,
    MINUTE_US,
    PREFILL_HOUR,
    PREFILL_MINUTE,
    Record,
    Records,
    at_address,
    carray,
)
from planner.jit import njit
from planner.units import Floats


@njit
def minute_of(state: Record, at: float) -> int:
    return min(int(at / MINUTE_US), state.minutes_rows - 1)


@njit
def minute_end(state: Record, minute: int) -> float:
    return min((minute + 1) * MINUTE_US, state.end_us)


@njit
def queue_of(state: Record) -> Floats:
    """Of requests that joined a role's queue less those that left it: number, and time to the minute's end."""
    return carray(at_address(state.queue_at), (state.minutes_rows, 2), np.float64)


@njit
def count_queued(state: Record, at: float, change: int) -> None:
    """So many requests wait from now on; fewer where it is below 0."""
    minute = minute_of(state, at)
    tally = queue_of(state)[minute]
    tally[0] += change
    tally[1] += change * (minute_end(state, minute) - at)


@njit
def prefill_minutes(state: Record) -> Records:
    return carray(at_address(state.minutes_at), (state.minutes_rows,), PREFILL_MINUTE)


@njit
def decode_minutes(state: Record) -> Records:
    return carray(at_address(state.minutes_at), (state.minutes_rows,), DECODE_MINUTE)


@njit
def count_pass(state: Record, from_us: float, to_us: float, work_share: float, sign: float) -> None:
    """Tally the time of a pass, or take it back. work_share: of it, what all ranks would need for its work."""
    minutes = prefill_minutes(state)
    to_us = min(to_us, state.end_us)
    while from_us < to_us:
        minute = minute_of(state, from_us)
        until = min(to_us, minute_end(state, minute))
        tally = minutes[minute]
        tally.busy_us += sign * (until - from_us)
        tally.work_us += sign * (until - from_us) * work_share
        from_us = until


@njit
def count_step(state: Record, from_us: float, to_us: float, streams: int, tokens: int, sign: float) -> None:
    """Tally the time of a step, or take it back."""
    minutes = decode_minutes(state)
    to_us = min(to_us, state.end_us)
    while from_us < to_us:
        minute = minute_of(state, from_us)
        until = min(to_us, minute_end(state, minute))
        tally = minutes[minute]
        lasts = sign * (until - from_us)
        tally.busy_us += lasts
        tally.stream_us += lasts * streams
        tally.kv_token_us += lasts * tokens
        from_us = until


@njit
def hour_of(state: Record, arrival_us: float, class_id: int) -> Record:
    """The tally of a request that counts."""
    hours = carray(at_address(state.hours_at), (state.hours_rows, state.classes), PREFILL_HOUR)
    return hours[int((arrival_us - state.from_us) / HOUR_US), class_id]


@njit
def count_read(states: Records) -> None:
    """Tally the requests of the output."""
    state = states[0]
    out = carray(at_address(state.out_at), (state.out_rows,), HANDED)
    ttft = carray(at_address(state.ttft_at), (state.hours_rows, state.classes, BUCKETS), np.int32)
    for row in range(state.out):
        handed = out[row]
        if handed.output_tokens >= 0 and state.from_us <= handed.arrival_us < state.to_us:
            waited = handed.at_us - handed.arrival_us
            tally = hour_of(state, handed.arrival_us, handed.class_id)
            tally.read += 1
            tally.first += handed.output_tokens > 0
            tally.ttft_us += waited
            tally.ttft_met += waited <= state.ttft_us
            ttft[int((handed.arrival_us - state.from_us) / HOUR_US), handed.class_id, bucket_of(waited)] += 1
