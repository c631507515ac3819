"""Sessions in a closed loop on fleets whose prefill and decode are apart: against the reference, and by what must hold.

Requests that follow others come a thought after these were complete or were rejected for good.
"""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planner.core.replay.requests.model import BALANCERS
from tests.helpers.replay_cases import Case, cases, loops, slowed
from tests.helpers.replay_engine import Loop, assert_same, run_closed, until
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
