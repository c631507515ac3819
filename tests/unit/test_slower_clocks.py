"""Units whose times all are longer by a factor: the same units on a slower clock."""

from dataclasses import replace

import numpy as np
import pytest

from planner.core.replay.requests.model import Lives, QueueRules, Requests, StepTables
from tests.helpers.replay_cases import Case
from tests.helpers.replay_engine import SERVICE, busy_case, run, units, until_empty


def test_prompts_and_decode_steps_are_slowed_each_by_its_own_factor() -> None:
    # 100 tokens of 1 us after a pass of 10 us; then two steps of 1 ms
    service = replace(SERVICE, pass_us=10.0)
    one = np.ones(1, np.int64)
    request = Requests(
        arrival_us=0 * one,
        input_tokens=100 * one,
        cached_input_tokens=0 * one,
        output_tokens=3 * one,
        class_id=0 * one,
        session_id=-one,
    )
    for slow, first_us, finish_us in (
        (service, 110.0, 2110.0),
        (service.slower(3.0, 1.0), 330.0, 2330.0),
        (service.slower(1.0, 2.0), 110.0, 4110.0),
        (service.slower(0.5, 0.25), 55.0, 555.0),
    ):
        prefill, decode = run((slow, units(1), units(1), QueueRules(), request, 1e6), until_empty(request))
        assert prefill.kept["first_us"].tolist() == [first_us]
        assert decode.kept["finish_us"].tolist() == [finish_us]


def test_a_slower_unit_holds_as_much_as_before() -> None:
    slow = SERVICE.slower(2.0, 3.0)
    changed = {"missed_us", "context_us", "pass_us", "steps"}
    for name, value in vars(SERVICE).items():
        assert name in changed or getattr(slow, name) == value
    steps = StepTables(np.array([1.0, 1.0]), np.array([0.0, 0.5]), np.array([2.0, 2.0]), np.array([0.0, 0.25]))
    # 10 tokens of KV: the larger of 1 + 5 and 2 + 2.5
    assert (steps.at(1, 10.0), steps.slower(3.0).at(1, 10.0)) == (6.0, 18.0)


@pytest.mark.parametrize("load", [0.7, 1.2])
def test_on_a_clock_of_half_the_speed_everything_takes_twice_as_long(load: float) -> None:
    """Requests at half the rate find units of half the speed just as the others find theirs: all times double."""
    whole = _kept(_slow(busy_case(1, load, 3000), 1))
    half = _kept(_slow(busy_case(1, load, 3000), 2))
    for name in ("first_us", "finish_us"):
        np.testing.assert_array_equal(half[name], 2 * whole[name])
        assert np.isfinite(whole[name]).sum() > 2000
    assert half["unit"].tolist() == whole["unit"].tolist()


def _slow(case: Case, factor: int) -> Case:
    """A case on another clock: every time of it is longer. Balancers that count, as work is rounded to nanoseconds."""
    service, prefill, decode, rules, requests, end_us = case
    clock = replace(service.slower(factor, factor), kv_us_per_token=factor * service.kv_us_per_token)
    lives = (
        Lives(*(factor * times for times in (each.serve_us, each.drain_us, each.gone_us))) for each in (prefill, decode)
    )
    rules = replace(
        rules,
        prefill_balancer="join-shortest-queue",
        decode_balancer="least-kv",
        timeout_us=factor * rules.timeout_us,
    )
    return clock, *lives, rules, replace(requests, arrival_us=factor * requests.arrival_us), factor * end_us  # type: ignore[return-value]


def _kept(case: Case) -> dict[str, np.ndarray]:
    prefill, decode = run(case, until_empty(case[4]))
    return {"first_us": prefill.kept["first_us"], "finish_us": decode.kept["finish_us"], "unit": decode.kept["unit"]}
