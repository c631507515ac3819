"""What units did by minute, and what requests got by hour of arrival. Compiled; importing this imports numba.

Times are split at the ends of minutes, and end with the simulation, so that shares of time are exact.
"""

import numpy as np

from planner.core.replay.iterations.kernels.layout import kept_of, minutes_of, phase_of
from planner.core.replay.requests.kernels.choice import BUCKETS, bucket_of
from planner.core.replay.requests.kernels.layout import (
    DECODE_HOUR,
    E2E,
    HOUR_US,
    MINUTE_US,
    READ,
    TPOT,
    Record,
    Records,
    at_address,
    carray,
)
from planner.core.replay.requests.kernels.tally import hour_of, minute_end, minute_of, queue_of
from planner.jit import inlined
from planner.units import Floats


@inlined
def minute_at(state: Record, at: float) -> int:
    """The minute of a time. Most are in the one looked up last, which saves a division."""
    if at < state.minute_from_us or at >= state.minute_to_us:
        state.minute = minute_of(state, at)
        state.minute_from_us, state.minute_to_us = state.minute * MINUTE_US, (state.minute + 1) * MINUTE_US
        if state.minute == state.minutes_rows - 1:
            state.minute_to_us = np.inf
    return np.int64(state.minute)


@inlined
def count_queued(state: Record, at: float, change: int) -> None:
    """So many requests wait from now on; fewer where it is below 0."""
    minute = minute_at(state, at)
    tally = queue_of(state)[minute]
    tally[0] += change
    tally[1] += change * (minute_end(state, minute) - at)


@inlined
def count_time(
    state: Record, from_us: float, to_us: float, rows: int, kv: int, used: int, prompts: bool, share: float
) -> None:
    """Tally the time of a step, or of the part of one that happens."""
    minutes = minutes_of(state)
    to_us = min(to_us, state.end_us)
    tally = minutes[minute_at(state, from_us)]
    tally.most_blocks = max(tally.most_blocks, used)
    while from_us < to_us:
        minute = minute_at(state, from_us)
        until = min(to_us, minute_end(state, minute))
        tally = minutes[minute]
        lasts = until - from_us
        tally.busy_us += lasts
        tally.stream_us += lasts * rows
        tally.kv_token_us += lasts * kv
        tally.block_us += lasts * used
        if prompts:
            tally.prompt_us += lasts
            tally.work_us += lasts * share
        from_us = until


@inlined
def count_run(state: Record, unit: Record, ends: Floats, phases: Records) -> int:
    """Tally the steps that a unit goes ahead, all of which have ended; the blocks it has taken after them."""
    minutes = minutes_of(state)
    run, rows, used, kv = unit.run, unit.rows, unit.used, unit.kv
    here = phase_of(state, unit.steps)
    minute = minute_at(state, ends[0])
    if ends[run] >= minute_end(state, minute):
        for step in range(run):
            used += phases[here]
            here = here + 1 if here + 1 < state.page_tokens else 0
            count_time(state, ends[step], ends[step + 1], rows, kv, used, prompts=False, share=0.0)
            tally = minutes[minute_at(state, ends[step + 1])]
            tally.output_tokens += rows
            tally.steps += 1
            kv += rows
        return used
    tally = minutes[minute]
    kv_us, block_us, before = 0.0, 0.0, ends[0]
    for step in range(run):
        used += phases[here]
        here = here + 1 if here + 1 < state.page_tokens else 0
        lasts = ends[step + 1] - before
        before = ends[step + 1]
        kv_us += lasts * kv
        block_us += lasts * used
        kv += rows
    lasts = before - ends[0]
    tally.busy_us += lasts
    tally.stream_us += lasts * rows
    tally.kv_token_us += kv_us
    tally.block_us += block_us
    tally.most_blocks = max(tally.most_blocks, used)
    tally.output_tokens += run * rows
    tally.steps += run
    return used


@inlined
def count_first(state: Record, request: Record) -> None:
    """Tally the first token of a request."""
    if state.kept_rows > 0:
        kept = kept_of(state)[request.seq]
        kept.status = READ
        kept.first_us = request.first_us
    if state.from_us <= request.arrival_us < state.to_us:
        ttft = carray(at_address(state.ttft_at), (state.hours_rows, state.classes, BUCKETS), np.int32)
        waited = request.first_us - request.arrival_us
        tally = hour_of(state, request.arrival_us, request.class_id)
        tally.read += 1
        tally.first += request.output_tokens > 0
        tally.ttft_us += waited
        tally.ttft_met += waited <= state.ttft_us
        ttft[int((request.arrival_us - state.from_us) / HOUR_US), request.class_id, bucket_of(waited)] += 1


@inlined
def count_done(state: Record, request: Record, finish_us: float) -> None:
    """Tally a request that is complete, as it is told."""
    arrival_us, output_tokens, class_id = request.arrival_us, request.output_tokens, request.class_id
    if arrival_us < state.from_us or arrival_us >= state.to_us:
        return
    hours = carray(at_address(state.stream_hours_at), (state.hours_rows, state.classes), DECODE_HOUR)
    histograms = carray(at_address(state.histograms_at), (2, state.hours_rows, state.classes, BUCKETS), np.int32)
    hour, whole = int((arrival_us - state.from_us) / HOUR_US), finish_us - arrival_us
    tally = hours[hour, class_id]
    tally.completed += 1
    tally.e2e_us += whole
    histograms[E2E, hour, class_id, bucket_of(whole)] += 1
    met = request.first_us - arrival_us <= state.ttft_us
    if output_tokens > 1:
        each = (finish_us - request.first_us) / (output_tokens - 1)
        histograms[TPOT, hour, class_id, bucket_of(each)] += 1
        tally.tpot_us += each
        tally.with_tpot += 1
        tally.tpot_met += each <= state.tpot_us
        met = met and each <= state.tpot_us
    tally.good += met
