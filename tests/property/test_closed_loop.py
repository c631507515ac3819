"""Sessions in a closed loop on fleets whose prefill and decode are apart: against the reference, and by what must hold.

Requests that follow others come a thought after these were complete or were rejected for good.
"""

from collections import Counter
from dataclasses import replace
from math import isnan

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planner.core.replay.requests.model import BALANCERS
from tests.helpers.replay_cases import Case, cases, loops, slowed
from tests.helpers.replay_engine import Loop, assert_same, busy_case, fared, run, run_closed, until
from tests.helpers.replay_reference import Replay

HUNDRED = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))


@st.composite
def closed_cases(draw: st.DrawFn) -> tuple[Case, Loop]:
    """Random small replays in which most requests follow others, some so long that none can serve them."""
    case = draw(cases() | cases(stressed=True))
    loop = draw(loops(len(case[4]), int(case[4].arrival_us[-1]) + 1))
    if draw(st.integers(0, 3)) == 0:
        case = (replace(case[0], longest_tokens=40), *case[1:])
    factor = draw(st.sampled_from((1.0, 2.0**18)))
    return slowed(case, factor), (loop[0], loop[1] * factor)


def referred(case: Case, loop: Loop, ranks: int = 1, rank_balancer: str = "two-key") -> Replay:
    """The reference, run to the end."""
    reference = Replay(*case[:5], ranks, rank_balancer, *loop)
    reference.run(case[5])
    return reference


@pytest.mark.parametrize("quarter", range(4))
@HUNDRED
@given(closed=closed_cases(), data=st.data())
def test_every_request_comes_and_fares_as_in_the_reference(
    quarter: int, closed: tuple[Case, Loop], data: st.DataObject
) -> None:
    # four times a hundred cases, so that processes share them
    case, loop = closed
    ranks, rank_balancer = data.draw(st.sampled_from((1, 1, 2, 5))), data.draw(st.sampled_from(BALANCERS))
    reference = referred(case, loop, ranks, rank_balancer)
    stages, came = run_closed(case, until(case[5]), loop, ranks, rank_balancer)
    wanted = [request.arrival if request.arrival <= case[5] else np.nan for request in reference.requests]
    assert repr(came.tolist()) == repr([float(at) for at in wanted])
    assert_same(reference, stages, case[5])


def test_the_random_cases_reach_what_is_to_be_compared() -> None:
    seen: Counter[str] = Counter()

    @settings(max_examples=300, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(closed_cases())
    def collect(closed: tuple[Case, Loop]) -> None:
        (case, loop), rules = closed, closed[0][3]
        reference = referred(case, loop)
        later = [request for request in reference.requests if loop[0][request.seq] >= 0]
        came = [request for request in later if request.arrival <= case[5]]
        before = [reference.requests[loop[0][request.seq]] for request in came]
        seen["absent"] += len(came) < len(later)
        seen["at once"] += any(loop[1][request.seq] == 0 for request in came)
        seen.update({f"after {request.outcome.status}" for request in before})
        seen["after a failure in decode"] += any(request.outcome.lost for request in before)
        seen["after coming again"] += any(request.outcome.tries for request in before)
        seen["prefill failed"] += any(unit.log.lost for unit in reference.prefill)
        seen["drained"] += any(unit.log.drain_us > 0 for unit in (*reference.prefill, *reference.decode))
        seen["waited for a unit"] += bool(came and min(case[1].serve_us.min(), case[2].serve_us.min()) > 0)
        seen["routed hits"] += rules.block_tokens > 0 and any(request.outcome.hits for request in came)
        seen[rules.mode] += bool(came)
        seen[rules.prefill_balancer] += bool(came)

    collect()
    assert len(seen) == 22, seen
    assert min(seen.values()) >= 5, seen


@HUNDRED
@given(cases() | cases(stressed=True), st.data())
def test_where_nobody_comes_later_a_closed_loop_is_the_open_replay(case: Case, data: st.DataObject) -> None:
    case = slowed(case, 2.0**20)
    requests, span = case[4], until(case[5])
    open_ = run(case, span)
    follows, _ = data.draw(loops(len(requests), 1))
    gap_us = requests.arrival_us - open_[1].kept["finish_us"][follows]
    waits = (follows >= 0) & (gap_us >= 0)
    loop = np.where(waits, follows, -1), np.where(waits, gap_us, 0.0)
    closed, came = run_closed(case, span, loop)
    arrived = requests.arrival_us <= case[5]
    assert came[arrived].tolist() == requests.arrival_us[arrived].tolist()
    for one, other in zip(open_, closed, strict=True):
        assert repr(one.kept.tolist()) == repr(other.kept.tolist())
        assert repr(one.drain_us.tolist()) == repr(other.drain_us.tolist())
        assert (one.samples == other.samples).all()
        for name in one.minutes.dtype.names:
            # units are visited, and times summed, in another order
            np.testing.assert_allclose(one.minutes[name], other.minutes[name], 1e-12)
        for name in one.hours.dtype.names:
            np.testing.assert_allclose(one.hours[name], other.hours[name], 1e-12)
    assert (open_[0].ttft == closed[0].ttft).all()
    assert (open_[1].histograms == closed[1].histograms).all()


@HUNDRED
@given(closed_cases())
def test_no_request_is_lost_and_who_follows_comes_a_thought_after_the_end(closed: tuple[Case, Loop]) -> None:
    case, (follows, think_us) = closed
    (prefill, decode), came = run_closed(case, until(case[5]), (follows, think_us))
    hours, rejected = prefill.hours, sum(prefill.hours[why].sum() for why in ("full", "late", "long"))
    there = prefill.in_flight + decode.in_flight
    assert hours["arrived"].sum() == (~np.isnan(came)).sum()
    assert hours["arrived"].sum() == decode.hours["completed"].sum() + rejected + there
    ends_us = decode.kept["finish_us"]
    for seq, before in enumerate(follows):
        if before < 0:
            assert came[seq] == case[4].arrival_us[seq] or case[4].arrival_us[seq] > case[5]
        elif not isnan(ends_us[before]):
            due = ends_us[before] + think_us[seq]
            assert came[seq] == due or (isnan(came[seq]) and due > case[5])
        elif isnan(came[before]):
            assert isnan(came[seq])


@pytest.mark.parametrize("ranks", [1, 6])
def test_a_busy_fleet_fares_as_in_the_reference(ranks: int) -> None:
    case = busy_case(7, 1.0, 4000)
    back = np.random.default_rng(7).integers(0, 400, 4000)
    follows = np.where(back > 0, np.arange(4000) - back, -1)
    loop = np.where(follows >= 0, follows, -1), np.full(4000, 500.0)
    reference = referred(case, loop, ranks, "least-kv")
    stages, came = run_closed(case, until(case[5]), loop, ranks, "least-kv")
    assert_same(reference, stages, case[5])
    assert sum(row[0] == "completed" for row in fared(stages)) > 1000
    assert (came > case[4].arrival_us).sum() > 500
    moved = np.flatnonzero(stages[1].kept["moved"])
    assert np.isfinite(came[np.isin(loop[0], moved)]).any()
