"""The fast replay step by step against the slow one, request by request."""

from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.helpers.iteration_cases import IterationCase, compare, iteration_cases, run_reference

HUNDRED = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))


@st.composite
def cuts(draw: st.DrawFn, rows: int) -> list[int]:
    """Where a trace is cut into chunks, some of them empty."""
    return sorted(draw(st.lists(st.integers(0, rows), max_size=5)))


@pytest.mark.parametrize("quarter", range(4))
@HUNDRED
@given(case=iteration_cases(), data=st.data())
def test_every_request_fares_as_in_the_reference(quarter: int, case: IterationCase, data: st.DataObject) -> None:
    # four times a hundred cases, so that processes share them
    compare(case, data.draw(cuts(len(case.requests))))


def test_the_random_cases_reach_what_is_to_be_compared() -> None:
    seen: Counter[str] = Counter()

    @settings(max_examples=300, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(iteration_cases())
    def collect(case: IterationCase) -> None:
        reference = run_reference(case)
        order = "prompts first" if case.replica.prefill_first else "rows first"
        seen.update({request.status for request in reference.requests})
        for name in ("moved", "lost", "preempted", "tries", "hits"):
            seen[name] += any(getattr(request, name) for request in reference.requests)
        seen[f"preempted, {order}"] += any(unit.preempted for unit in reference.units)
        seen["routed hits"] += case.rules.block_tokens > 0 and any(request.hits for request in reference.requests)
        seen["follows"] += bool((case.follows >= 0).any())
        seen["drained"] += any(unit.drained > 0 for unit in reference.units)
        seen["waits for a unit"] += bool((case.lives.serve_us > 0).all())
        seen[case.rules.prefill_balancer] += 1

    collect()
    assert len(seen) == 21
    assert min(seen.values()) >= 5, seen
