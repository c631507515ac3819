"""Sessions in a closed loop: which request comes after which, how long its user thinks, and what latency shifts. Pure.

A log tells when turns came, and seldom when answers ended. The time to think is what passed in the log from one turn to
the next, less what the answer in between takes on an idle unit: so at light load turns come when they came, and as much
later as load makes answers late.
"""

from dataclasses import dataclass

import numpy as np

from planner.core.replay.iterations.model import Replica
from planner.core.replay.requests.model import Requests
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


def answered_alone_us(replica: Replica, requests: Requests) -> Floats:
    """What each request takes from its arrival to its last token on an idle unit."""
    inputs, outputs = requests.input_tokens, requests.output_tokens
    missed = np.maximum(inputs - requests.cached_input_tokens, 1)
    full, rest = np.divmod(missed, replica.max_batched_tokens)
    prompt = full * replica.prompts.at(0, replica.max_batched_tokens) + np.where(rest > 0, _prompts(replica, rest), 0.0)
    attended = missed * (inputs - missed + missed / 2) * replica.context_us
    steps = replica.steps
    kv_tokens = inputs + outputs / 2
    step = np.maximum(
        steps.low_us[1] + steps.low_us_per_token[1] * kv_tokens,
        steps.high_us[1] + steps.high_us_per_token[1] * kv_tokens,
    )
    told = replica.first_us + replica.first_us_per_token * inputs
    alone: Floats = told + prompt + attended + np.maximum(outputs - 1, 0) * step
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


NO_SHIFTS = ArrivalShifts(turns=0, absent=0, hasty=0, mean_s=None, p50_s=None, p99_s=None)
"""Of a window without requests."""


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


def _prompts(replica: Replica, tokens: Ints) -> Floats:
    """As PromptTable.at, of prompts alone."""
    table = replica.prompts
    taken: Floats = np.interp(tokens, table.width * np.arange(table.us.shape[1]), table.us[0])
    return taken
