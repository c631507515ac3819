"""Sessions in a closed loop: which request comes after which, how long its user thinks, and what latency shifts. Pure.

A log tells when turns came, and seldom when answers ended. The time to think is what passed in the log from one turn to
the next, less what the answer in between takes on an idle unit: so at light load turns come when they came, and as much
later as load makes answers late.
"""

from dataclasses import dataclass

import numpy as np

from planner.core.replay.requests.model import QueueRules, Requests, Service
from planner.units import US_PER_S, Floats, Ints

NONE = -1
"""No request before it."""


def turns_before(session_id: Ints) -> Ints:
    """By request the one before it in its session, NONE where there is none. session_id: in order of arrival, or -1."""
    order = np.argsort(session_id, kind="stable")
    own = session_id[order]
    before = np.full(len(own), NONE, np.int64)
    later = np.flatnonzero((own[1:] == own[:-1]) & (own[1:] >= 0)) + 1
    before[order[later]] = order[later - 1]
    return before


def answered_apart_us(service: Service, rules: QueueRules, ranks: int, requests: Requests) -> Floats:
    """What each request takes from its arrival to its last token on idle units of two roles. ranks: of a decode unit.

    Steps are those of its mean KV.
    """
    missed = requests.input_tokens - requests.cached_input_tokens
    passes = np.maximum(-(-missed // service.chunk_tokens), 1)
    work = missed * (service.missed_us + service.context_us * (requests.cached_input_tokens + missed / 2))
    read = passes * service.pass_us + work * max(1.0, 1 / (service.prefill_ranks * service.prefill_share))
    if rules.mode == "window":
        read += np.where(missed < service.pass_tokens, rules.window_us, 0.0)
    count, steps = np.maximum(requests.output_tokens - 1, 0), service.steps
    # a stream is on one rank, which sets the pace as if all held as much
    kv_tokens = ranks * (requests.input_tokens + np.maximum(count - 1, 0) / 2)
    step = np.maximum(
        steps.low_us[1] + steps.low_us_per_token[1] * kv_tokens,
        steps.high_us[1] + steps.high_us_per_token[1] * kv_tokens,
    )
    sent = np.where(count > 0, requests.input_tokens * service.kv_us_per_token, 0.0)
    alone: Floats = read + sent + count * step
    return alone


def thinking_us(requests: Requests, before: Ints, alone_us: Floats) -> Floats:
    """How long users think before each request that follows another, at least no time; 0 for others."""
    follows = before != NONE
    gap = np.zeros(len(requests))
    earlier = before[follows]
    gap[follows] = requests.arrival_us[follows] - requests.arrival_us[earlier] - alone_us[earlier]
    thinks: Floats = np.maximum(gap, 0.0)
    return thinks


@dataclass(frozen=True, kw_only=True)
class ArrivalShifts:
    """What a closed loop changed of arrivals. turns: requests that follow others; absent: those that did not come.

    hasty: those that came in the log before the answer that they follow could end on an idle unit. Seconds by which the
    others came later than in the log (earlier: below 0): mean, and what half, and 99 of 100 do not exceed; None where
    none came.
    """

    turns: int
    absent: int
    hasty: int
    mean_s: float | None
    p50_s: float | None
    p99_s: float | None


def shifts_of(requests: Requests, before: Ints, thinks_us: Floats, came_us: Floats) -> ArrivalShifts:
    """What changed of arrivals. came_us: when each came, nan where it did not."""
    follows = before != NONE
    later_s = (came_us - requests.arrival_us)[follows & np.isfinite(came_us)] / US_PER_S
    p50, p99 = np.quantile(later_s, (0.5, 0.99), method="inverted_cdf") if len(later_s) else (None, None)
    return ArrivalShifts(
        turns=int(follows.sum()),
        absent=int((follows & ~np.isfinite(came_us)).sum()),
        hasty=int((follows & (thinks_us == 0)).sum()),
        mean_s=float(later_s.mean()) if len(later_s) else None,
        p50_s=None if p50 is None else float(p50),
        p99_s=None if p99 is None else float(p99),
    )
