"""Nodes that fail: what their units held is begun again, lives are drawn as they should be, spare units as counted."""

from dataclasses import replace
from itertools import product
from math import inf, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.catalogue.scenarios import load_scenario
from planner.core.replay.requests.failures import (
    PackedAvailability,
    RoleAvailability,
    UnitFailures,
    chance_of,
    covered,
    fewest_spares,
    fewest_spares_of,
    with_failures,
    with_spares,
)
from planner.core.replay.requests.model import Lives, QueueRules, Requests, Service, Span
from planner.core.replay.requests.stages import DecodeStage
from planner.errors import UsageError
from planner.settings.replay import BalancerName
from planner.studies.replay.rules import unit_failures
from planner.studies.resilience.run import PER_NODE_PER_DAY
from tests.conftest import Cli
from tests.helpers.replay_engine import SERVICE, busy_case, compare, run, units
from tests.helpers.replay_units import Outcome
from tests.helpers.replays import EVENING, SETS

HOUR = 3600e6
FAILING = ("--set", "failures.per_node_per_day=20", "--set", "failures.repair_s=900")


def fleet(*fails_us: float) -> Lives:
    """Units that are there from the start and fail at these times."""
    always = units(len(fails_us))
    return replace(always, fail_us=np.array(fails_us))


def asked(*rows: tuple[int, int, int, int]) -> Requests:
    """Requests: arrival, input, cached input, output."""
    arrival, tokens, cached, output = np.array(rows, np.int64).T
    none = np.zeros(len(rows), np.int64)
    return Requests(
        arrival_us=arrival,
        input_tokens=tokens,
        cached_input_tokens=cached,
        output_tokens=output,
        class_id=none,
        session_id=none - 1,
    )


def outcomes(requests: Requests, prefill: Lives, decode: Lives, service: Service = SERVICE) -> list[Outcome]:
    """What becomes of requests, by the engine and the reference alike."""
    reference = compare((service, prefill, decode, QueueRules(), requests, 1e6), [], 1, "two-key")
    return [request.outcome for request in reference.requests]


def test_a_stream_whose_unit_fails_is_read_again_and_goes_on_from_the_last_token_sent() -> None:
    # read in 100 us, steps of 1000 us; the third is lost at 2600; 100 + 2 tokens are read in 102 us; two steps to go
    (one,) = outcomes(asked((0, 100, 0, 5)), units(1), fleet(2600.0, inf))
    assert (one.first_token_us, one.finish_us, one.decode_unit, one.lost) == (100.0, 2702.0 + 2000.0, 1, 1)


def test_cached_tokens_are_read_again_too_and_their_kv_travels() -> None:
    service = replace(SERVICE, kv_us_per_token=10.0)
    # 40 tokens are read, then 100 travel for 1000 us; a step begins at 1040; lost at 1500; again 100 read and sent
    (one,) = outcomes(asked((0, 100, 60, 2)), units(1), fleet(1500.0, inf), service)
    assert (one.first_token_us, one.finish_us) == (40.0, 1500.0 + 100 + 1000 + 1000)


def test_what_waits_in_the_line_of_a_unit_that_fails_is_read_again() -> None:
    service = replace(SERVICE, kv_us_per_token=10.0)
    # fails while the KV is on its way
    (one,) = outcomes(asked((0, 100, 0, 2)), units(1), fleet(600.0, inf), service)
    assert (one.first_token_us, one.finish_us, one.finish_step) == (100.0, 600.0 + 100 + 1000 + 1000, 1)


def test_reading_again_waits_behind_what_prefill_has_in_hand() -> None:
    # the second request is read from 2500 to 2900, the first again from there on
    one, two = outcomes(asked((0, 100, 0, 5), (2500, 400, 0, 1)), units(1), fleet(2600.0, inf))
    assert two.finish_us == 2900.0
    assert one.finish_us == 2900.0 + 102 + 2000


def test_what_is_read_again_comes_before_what_arrives_at_the_same_moment() -> None:
    one, two = outcomes(asked((0, 100, 0, 5), (2600, 400, 0, 1)), units(1), fleet(2600.0, inf))
    assert (one.finish_us, two.finish_us) == (2702.0 + 2000, 2702.0 + 400)


def test_two_failures_cost_two_readings() -> None:
    # lost at 2600 with two steps done, read by 2702, a step by 3702; lost at 4000, 103 tokens read by 4103, a step
    (one,) = outcomes(asked((0, 100, 0, 5)), units(1), fleet(2600.0, 4000.0, inf))
    assert (one.lost, one.finish_us) == (2, 5103.0)


def test_streams_of_a_unit_past_its_deadline_that_fails_in_its_last_step_are_read_again() -> None:
    decode = Lives(np.zeros(2), np.array([1000.0, inf]), np.array([1500.0, inf]), np.array([1900.0, inf]))
    (one,) = outcomes(asked((0, 100, 0, 5)), units(1), decode)
    # one step by 1100; the next would have ended at 2100 and moved it on
    assert (one.lost, one.moved, one.finish_us) == (1, 0, 1900.0 + 101 + 3000)


def test_with_no_unit_left_streams_wait_for_one_that_comes() -> None:
    decode = Lives(np.array([0.0, 9000.0]), np.full(2, inf), np.full(2, inf), np.array([2600.0, inf]))
    (one,) = outcomes(asked((0, 100, 0, 5)), units(1), decode)
    assert one.finish_us == 9000.0 + 2000
    (never,) = outcomes(asked((0, 100, 0, 5)), units(1), fleet(2600.0))
    assert (never.status, never.first_token_us) == ("in-flight", 100.0)


def test_what_a_prefill_unit_had_read_is_lost_and_read_elsewhere_from_the_start() -> None:
    service = replace(SERVICE, chunk_tokens=50, pass_tokens=50)
    # 100 missed tokens in two passes, of which the second is lost at 60; meanwhile unit 2 reads another request
    one, two = outcomes(asked((0, 120, 20, 1), (10, 30, 0, 1)), fleet(60.0, 5.0, inf), units(1), service)
    assert (one.prefill_unit, one.first_token_us) == (2, 160.0)
    assert (two.prefill_unit, two.first_token_us) == (2, 40.0)


def test_a_queue_of_a_failed_prefill_unit_goes_on_elsewhere_in_order() -> None:
    one, two, three = outcomes(asked((0, 100, 0, 1), (1, 50, 0, 1), (2, 10, 0, 1)), fleet(60.0), units(1))
    assert {each.status for each in (one, two, three)} == {"in-flight"}
    prefill = Lives(np.array([0.0, 1000.0]), np.full(2, inf), np.full(2, inf), np.array([60.0, inf]))
    found = outcomes(asked((0, 100, 0, 1), (1, 50, 0, 1), (2, 10, 0, 1)), prefill, units(1))
    assert [each.first_token_us for each in found] == [1100.0, 1150.0, 1160.0]


def test_one_that_is_read_again_is_neither_rejected_nor_counted_twice() -> None:
    rules = QueueRules(queue_limit=1, timeout_us=50.0)
    requests = asked((0, 100, 0, 5), (2590, 100, 0, 1), (2595, 5, 0, 1))
    case = (SERVICE, units(1), fleet(2600.0, inf), rules, requests, 1e6)
    reference = compare(case, [], 1, "two-key")
    # it waits 90 us behind the second, longer than anybody may, and behind the third, more than may wait
    assert [each.outcome.status for each in reference.requests] == ["completed", "completed", "rejected-timeout"]
    prefill, decode = run(case, Span(from_us=0.0, to_us=1e6, end_us=1e6))
    assert (prefill.hours["read"].sum(), prefill.ttft.sum(), prefill.hours["ttft_us"].sum()) == (2, 2, 200.0)
    assert (decode.hours["completed"].sum(), decode.lost) == (2, 1)


def test_those_to_be_read_again_are_not_rejected_where_no_prefill_unit_was_there_either() -> None:
    prefill = Lives(np.array([0.0, 9000.0]), np.full(2, inf), np.full(2, inf), np.array([2000.0, inf]))
    decode = Lives(np.array([0.0, 9000.0]), np.full(2, inf), np.full(2, inf), np.array([2600.0, inf]))
    requests = asked((0, 10, 0, 5), (20, 10, 0, 5), (40, 10, 0, 5), (2700, 10, 0, 1), (2800, 10, 0, 1))
    reference = compare((SERVICE, prefill, decode, QueueRules(queue_limit=1), requests, 1e6), [], 1, "two-key")
    # all find a unit at 9000, where one may wait while another is read; those that came for the first time are too many
    found = [request.outcome.status for request in reference.requests]
    assert found == ["completed", "completed", "completed", "rejected-queue", "rejected-queue"]


def with_blocks(requests: Requests, *blocks: list[int]) -> Requests:
    """The same with these prefix blocks."""
    edges = np.cumsum([0, *(len(each) for each in blocks)])
    return replace(
        requests, block_from=edges, block_ids=np.array([block for each in blocks for block in each], np.int64)
    )


def faring(requests: Requests, prefill: Lives, rules: QueueRules) -> list[Outcome]:
    """What becomes of requests of one token, by the engine and the reference alike."""
    reference = compare((SERVICE, prefill, units(1), rules, requests, 1e6), [1], 1, "two-key")
    return [request.outcome for request in reference.requests]


def test_the_blocks_of_a_unit_that_fails_are_gone() -> None:
    rules = QueueRules(prefill_balancer="prefix-aware", block_tokens=10)
    requests = asked((0, 20, 0, 1), (100, 20, 0, 1), (200, 20, 0, 1), (300, 20, 0, 1))
    found = faring(with_blocks(requests, *[[7, 8]] * 4), fleet(150.0, inf), rules)
    # the first unit has the blocks for the second prompt, and nobody for the third, which leaves them to the other unit
    assert [(one.prefill_unit, one.hits) for one in found] == [(0, 0), (0, 20), (1, 0), (1, 20)]
    assert [one.first_token_us for one in found] == [20.0, 100.0, 220.0, 300.0]


def test_a_prompt_in_a_unit_that_fails_is_read_anew_without_the_hits_it_had_there() -> None:
    rules = QueueRules(prefill_balancer="prefix-aware", block_tokens=10)
    requests = with_blocks(asked((0, 20, 0, 1), (100, 60, 0, 1)), [7, 8], [7, 8, 9, 10, 11, 12])
    _, two = faring(requests, fleet(130.0, inf), rules)
    # 40 missed tokens would have been read by 140; all 60 are read in the other unit
    assert (two.hits, two.prefill_unit, two.first_token_us) == (20, 1, 190.0)


def test_a_session_moves_from_a_unit_that_fails_to_another_for_good() -> None:
    requests = asked(*((at, 20, 0, 1) for at in (0, 100, 200, 300, 400)))
    requests = replace(requests, session_id=np.array([1, 1, 1, 2, 1]))
    found = faring(requests, fleet(110.0, inf, inf), QueueRules(prefill_balancer="prefix-aware"))
    # of empty units the first; the second prompt is read anew
    assert [one.prefill_unit for one in found] == [0, 1, 1, 1, 1]
    assert found[1].first_token_us == 130.0


def test_who_waited_too_long_when_a_unit_fails_is_rejected_and_comes_again() -> None:
    rules = QueueRules(timeout_us=50.0, retries=1, retry_after_us=1000.0)
    one, two = faring(asked((0, 100, 0, 1), (30, 10, 0, 1)), fleet(70.0, inf), rules)
    # the other unit, empty, read the second; the first waited 70 us, which its pass began in time and did not end
    assert (two.prefill_unit, two.first_token_us, two.tries) == (1, 40.0, 0)
    assert (one.status, one.tries, one.first_token_us) == ("completed", 1, 1070.0 + 100)


def test_those_that_are_read_again_are_in_flight_and_counted_by_their_arrival() -> None:
    requests = asked((0, 100, 0, 5), (200, 100, 0, 5), (2700, 100, 0, 5))
    # both streams are lost at 2600; the first is read again by 2702, the second, and the third, not before the end
    decode = Lives(np.array([0.0, 2650.0]), np.full(2, inf), np.full(2, inf), np.array([2600.0, inf]))
    case = (SERVICE, units(1), decode, QueueRules(), requests, 2750.0)
    for from_us, to_us, inside in (
        (0.0, 1.0, (0, 1)),
        (200.0, 201.0, (1, 0)),
        (0.0, 2700.0, (1, 1)),
        (0.0, 3e3, (2, 1)),
    ):
        stages = run(case, Span(from_us=from_us, to_us=to_us, end_us=2750.0))
        assert tuple(stage.in_flight for stage in stages) == inside
        assert stages[0].hours["arrived"].sum() == sum(inside)
    late = run(case, Span(from_us=2600.0, to_us=2601.0, end_us=2750.0))
    assert [stage.in_flight for stage in late] == [0, 0], "a failure is no arrival"


@pytest.mark.parametrize("balancer", ["prefix-aware", "two-key"])
def test_a_busy_fleet_that_fails_fares_as_in_the_reference_with_retries_and_routed_hits(balancer: BalancerName) -> None:
    service, prefill, decode, rules, requests, end_us = busy_case(4, 0.8, 3000)
    failures = UnitFailures(mtbf_us=end_us / 3, down_us=end_us / 20)
    prefill, decode = (
        with_failures(lives, failures, seed=6, role=role, end_us=end_us) for role, lives in enumerate((prefill, decode))
    )
    chains = [[seq % 20, *([20 + seq % 60] * int(tokens > 16))] for seq, tokens in enumerate(requests.input_tokens)]
    requests = with_blocks(requests, *chains)
    rules = replace(
        rules,
        prefill_balancer=balancer,
        block_tokens=16,
        queue_limit=40,
        timeout_us=500.0,
        retries=2,
        retry_after_us=800.0,
    )
    case = (service, prefill, decode, rules, requests, end_us)
    reference = compare(case, range(400, 3000, 400), 1, "least-kv")
    outcomes = [request.outcome for request in reference.requests]
    assert min(sum(unit.log.lost for unit in units) for units in (reference.prefill, reference.decode)) > 20
    assert min(sum(outcome.tries > 0 for outcome in outcomes), sum(outcome.hits > 0 for outcome in outcomes)) > 100
    assert {outcome.status for outcome in outcomes} > {"completed", "in-flight", "rejected-timeout"}


@pytest.mark.parametrize("ranks", [1, 6])
def test_a_busy_fleet_that_fails_fares_as_in_the_reference(ranks: int) -> None:
    service, prefill, decode, rules, requests, end_us = busy_case(3, 0.7, 4000)
    failures = UnitFailures(mtbf_us=end_us / 3, down_us=end_us / 20)
    prefill, decode = (
        with_failures(lives, failures, seed=5, role=role, end_us=2 * end_us)
        for role, lives in enumerate((prefill, decode))
    )
    compare((service, prefill, decode, rules, requests, 2 * end_us), range(500, 4000, 500), ranks, "least-kv")
    stages = run(
        (service, prefill, decode, rules, requests, 2 * end_us), Span(from_us=0.0, to_us=end_us + 1, end_us=2 * end_us)
    )
    lost = [int(stage.units["lost"].sum()) for stage in stages]
    assert min(lost) > 20
    completed, hours = stages[1].hours["completed"].sum(), stages[0].hours
    inside = len(stages[0].in_system) + len(stages[1].in_system)
    assert completed + hours["full"].sum() + hours["late"].sum() + inside == hours["arrived"].sum() == 4000
    assert completed > 3000


def test_a_stage_is_never_taken_past_a_failure_unawares() -> None:
    decode = DecodeStage(SERVICE, fleet(5.0), QueueRules(), Span(from_us=0.0, to_us=10.0, end_us=10.0))
    with pytest.raises(AssertionError, match="a unit fails before"):
        decode.finish()


def test_a_unit_fails_after_it_begins_to_serve() -> None:
    with pytest.raises(UsageError, match="cannot fail before it begins to serve"):
        Lives(np.array([5.0]), np.array([inf]), np.array([inf]), np.array([4.0]))


def test_units_fail_once_in_their_mtbf_and_are_gone_for_the_repair() -> None:
    failures, end_us = UnitFailures(mtbf_us=50 * HOUR, down_us=4 * HOUR), 1000 * HOUR
    lives = with_failures(units(200), failures, seed=1, role=1, end_us=end_us)
    served = (np.minimum(lives.stop_us, end_us) - np.minimum(lives.serve_us, end_us)).sum()
    failed = int((lives.fail_us <= end_us).sum())
    # a Poisson number: within 3.3 standard deviations but once in a thousand
    assert abs(failed - served / failures.mtbf_us) < 3.3 * sqrt(served / failures.mtbf_us)
    assert failed > 3000
    again = np.sort(lives.serve_us[200:])
    assert np.allclose(again, np.sort(lives.fail_us[lives.fail_us < end_us - failures.down_us] + failures.down_us))


def test_a_replay_begins_with_as_many_units_down_as_there_are_in_the_long_run() -> None:
    failures = UnitFailures(mtbf_us=30 * HOUR, down_us=10 * HOUR)
    lives = with_failures(units(4000), failures, seed=2, role=0, end_us=20 * HOUR)
    for at_us in (0.0, 5 * HOUR, 19 * HOUR):
        up = int(((lives.serve_us <= at_us) & (at_us < lives.stop_us)).sum())
        assert abs(up - 3000) < 3.3 * sqrt(4000 * 0.75 * 0.25)


def test_draws_depend_on_seed_role_and_number_and_on_no_other_unit() -> None:
    failures = UnitFailures(mtbf_us=2 * HOUR, down_us=HOUR)

    def drawn(count: int, seed: int, role: int) -> list[float]:
        found = with_failures(units(count), failures, seed=seed, role=role, end_us=9 * HOUR)
        return found.fail_us[:count].tolist()

    assert drawn(5, 1, 0) == drawn(9, 1, 0)[:5]
    assert len({tuple(drawn(5, seed, role)) for seed in (1, 2) for role in (0, 1)}) == 4


def test_the_plan_ends_the_lives_of_units_that_fail() -> None:
    lives = Lives(np.array([0.0, 2 * HOUR]), np.full(2, 5 * HOUR), np.full(2, 6 * HOUR))
    failures = UnitFailures(mtbf_us=HOUR / 2, down_us=HOUR / 4)
    for seed in range(20):
        found = with_failures(lives, failures, seed=seed, role=0, end_us=50 * HOUR)
        assert (found.drain_us == 5 * HOUR).all()
        assert (found.serve_us <= 5 * HOUR).all()
        assert found.fail_us[found.fail_us < inf].max() <= 6 * HOUR
        assert found.serve_us[1] == 2 * HOUR, "a unit that comes later comes whole"


def test_without_failures_lives_stay_as_they_are() -> None:
    lives = units(3)
    assert with_failures(lives, UnitFailures(inf, HOUR), seed=1, role=0, end_us=HOUR) is lives
    assert unit_failures(load_scenario().scenario, "decode").mtbf_us == inf


def test_a_unit_fails_as_often_as_all_its_nodes_together() -> None:
    scenario = load_scenario(None, ["failures.per_node_per_day=0.01"]).scenario
    decode = unit_failures(scenario, "decode")
    assert decode.mtbf_us == pytest.approx(24 / 0.18 * HOUR)
    assert decode.down_us == (3600 + 180) * 1e6
    assert decode.availability == pytest.approx(133.3333 / (133.3333 + 1.05))
    assert unit_failures(scenario, "prefill").mtbf_us == pytest.approx(24 / 0.04 * HOUR)


@given(st.integers(0, 9), st.integers(0, 10), st.sampled_from((0.0, 0.2, 0.5, 0.9, 0.999, 1.0)))
def test_the_chance_of_enough_units_is_that_of_all_cases_one_by_one(count: int, needed: int, up: float) -> None:
    cases = product((True, False), repeat=count)
    chances = [up ** sum(case) * (1 - up) ** (count - sum(case)) for case in cases if sum(case) >= needed]
    assert chance_of(count, needed, up) == pytest.approx(sum(chances), abs=1e-12)


@given(
    st.tuples(st.integers(1, 20), st.integers(-3, 3), st.integers(1, 5), st.floats(0.6, 0.999)),
    st.tuples(st.integers(1, 20), st.integers(-3, 3), st.integers(1, 20), st.floats(0.6, 0.999)),
    st.sampled_from((0.5, 0.9, 0.99, 0.9999)),
)
def test_the_spares_are_those_of_all_that_attain_the_target_with_the_fewest_nodes(
    one: tuple[int, int, int, float], other: tuple[int, int, int, float], target: float
) -> None:
    prefill, decode = (
        RoleAvailability(needed, max(0, needed + more), nodes, up) for needed, more, nodes, up in (one, other)
    )
    found = fewest_spares(prefill, decode, target)

    def nodes(spares: tuple[int, int]) -> int:
        return spares[0] * prefill.nodes + spares[1] * decode.nodes

    most = nodes(found)
    for spares in product(range(most // prefill.nodes + 1), range(most // decode.nodes + 1)):
        if nodes(spares) < most:
            assert prefill.attainment(spares[0]) * decode.attainment(spares[1]) < target
    assert prefill.attainment(found[0]) * decode.attainment(found[1]) >= target * (1 - 1e-12)


@given(st.integers(1, 4), st.integers(0, 9), st.integers(1, 9), st.floats(0.6, 0.999))
def test_units_of_a_node_that_fails_are_all_gone(shared: int, planned: int, needed: int, up: float) -> None:
    role = PackedAvailability(needed=needed, planned=planned, nodes=1, availability=up, units_per_node=shared)
    for spares in range(3):
        on_nodes = [min(shared, planned + spares - first) for first in range(0, planned + spares, shared)]
        chance = sum(
            up ** sum(case) * (1 - up) ** (len(case) - sum(case))
            for case in product((True, False), repeat=len(on_nodes))
            if sum(units for units, there in zip(on_nodes, case, strict=True) if there) >= needed
        )
        assert role.attainment(spares) == pytest.approx(chance, abs=1e-12)
        assert role.spare_nodes(spares) == len(on_nodes) - -(-planned // shared)


def test_spares_that_fill_a_node_take_none_and_bring_little() -> None:
    # five units on nodes of two, and four are needed: a full node that fails leaves three, until a third one is full
    role = PackedAvailability(needed=4, planned=5, nodes=1, availability=0.9, units_per_node=2)
    assert role.attainment(0) == pytest.approx(0.9**2)
    assert role.attainment(1) == pytest.approx(0.9**3 + 3 * 0.9**2 * 0.1)
    assert [role.spare_nodes(spares) for spares in (0, 1, 2, 3)] == [0, 0, 1, 1]
    assert fewest_spares_of(role, 0.97) == 1
    with pytest.raises(UsageError, match=r"1000 spare units do not attain 0.99 \(units 0.01% available\)"):
        fewest_spares_of(replace(role, availability=0.0001), 0.99)


def test_a_target_out_of_reach_is_told() -> None:
    role = RoleAvailability(needed=2, planned=2, nodes=1, availability=0.0001)
    with pytest.raises(UsageError, match=r"1000 spare units do not attain 0.99 \(prefill units 0.01%"):
        fewest_spares(role, role, 0.99)


def test_time_covered_is_that_with_enough_units_of_both_roles() -> None:
    prefill, decode = fleet(60.0, inf), fleet(inf, 80.0)
    assert covered([(prefill, [(0, 2)]), (decode, [(0, 1)])], 0.0, 100.0) == pytest.approx(0.6)
    assert covered([(prefill, [(0, 1)]), (decode, [(0, 2)])], 50.0, 100.0) == pytest.approx(0.6)
    assert covered([(prefill, [(0, 2)]), (decode, [(0, 2)])], 70.0, 100.0) == 0.0
    assert covered([(with_spares(prefill, 1), [(0, 2)]), (with_spares(decode, 1), [(0, 2)])], 0.0, 100.0) == 1.0


def test_time_covered_is_that_with_enough_units_of_each_interval() -> None:
    # two units until 60, and one after: two are needed to 40, none to 80 and one on
    needs = [(0, 2), (40, 0), (80, 1)]
    assert covered([(fleet(60.0, inf), needs)], 0.0, 100.0) == 1.0
    assert covered([(fleet(60.0, inf), [(0, 2), (40, 0), (80, 2)])], 0.0, 100.0) == pytest.approx(0.8)
    assert covered([(fleet(30.0, inf), needs)], 0.0, 100.0) == pytest.approx(0.9)


def test_drawn_failures_leave_as_much_time_covered_as_the_probabilities_say() -> None:
    failures = (UnitFailures(20 * HOUR, HOUR), UnitFailures(10 * HOUR, 2 * HOUR))
    prefill = RoleAvailability(6, 7, 4, failures[0].availability)
    decode = RoleAvailability(3, 4, 18, failures[1].availability)
    shares = []
    for seed in range(400):
        lives = [
            with_failures(units(count), each, seed=seed, role=role, end_us=HOUR)
            for role, (count, each) in enumerate(zip((7, 4), failures, strict=True))
        ]
        shares.append(covered([(lives[0], [(0, 6)]), (lives[1], [(0, 3)])], 0.0, HOUR))
    error = float(np.std(shares, ddof=1)) / sqrt(len(shares))
    assert abs(np.mean(shares) - prefill.attainment(0) * decode.attainment(0)) < 3.3 * error
    assert error < 0.03


def test_a_rate_of_zero_changes_no_figure(cli: Cli) -> None:
    changing = ("run_id", "wall_s", "requests_per_s")
    none, zero = (
        cli("replay", *SETS, *EVENING, *more, "--json").json for more in ((), ("--set", "failures.per_node_per_day=0"))
    )
    assert {k: v for k, v in none.items() if k not in changing} == {k: v for k, v in zero.items() if k not in changing}
    assert none["failures"] == {role: {"units": 0, "requests": 0} for role in ("prefill", "decode", "aggregated")}


def test_a_replay_with_failures_loses_no_request_and_takes_longer(cli: Cli) -> None:
    calm, failing = (cli("replay", *SETS, *EVENING, *more, "--json").json for more in ((), FAILING))
    assert failing["requests"] == calm["requests"] == failing["completed"] + failing["in_flight"] + failing["rejected"]
    for role in ("prefill", "decode"):
        assert failing["failures"][role]["units"] > 0
        assert failing["failures"][role]["requests"] > 0
    assert failing["failures"]["aggregated"] == {"units": 0, "requests": 0}
    assert failing["e2e_ms"]["mean"] > calm["e2e_ms"]["mean"]
    assert "failed decode units" in cli("replay", *SETS, *EVENING, *FAILING).out


def test_the_same_failures_give_the_same_figures_and_others_others(cli: Cli) -> None:
    one, same, other = (
        cli("replay", *SETS, *EVENING, *FAILING, "--set", f"failures.seed={seed}", "--json").json["e2e_ms"]
        for seed in (1, 1, 2)
    )
    assert one == same != other


def test_the_recommendation_is_what_the_binomial_gives(cli: Cli) -> None:
    found = cli("resilience", "--json").json
    rate = PER_NODE_PER_DAY
    assert (found["per_node_per_day"], found["target"]) == (rate, 0.999)
    assert rate == pytest.approx(0.00296, rel=0.002)
    assert found["rate_source"].startswith("published: ")
    together = {0: 1.0, 1: 1.0}
    for name, nodes, count in (("prefill", 4, 29), ("decode", 18, 9)):
        role = found["roles"][name]
        assert (role["unit_nodes"], role["needed_units"], role["planned_units"]) == (nodes, count, count)
        up = (24 / nodes / rate) / (24 / nodes / rate + 1.05)
        assert role["availability"] == pytest.approx(up)
        assert role["expected_units_down"] == pytest.approx(count * (1 - up))
        by_spares = {each["spare_units"]: each["attainment"] for each in role["attainment_by_spares"]}
        assert by_spares[0] == pytest.approx(up**count)
        assert by_spares[1] == pytest.approx(up ** (count + 1) + (count + 1) * up**count * (1 - up))
        assert role["spare_units"] == 1
        together = {spares: together[spares] * by_spares[spares] for spares in together}
    assert found["attainment_without_spares"] == pytest.approx(together[0])
    assert found["attainment"] == pytest.approx(together[1])
    assert together[0] < 0.999 <= together[1]
    assert (found["spare_nodes"], found["nodes_beyond_fleet"]) == (22, 22)
    assert found["spare_cost_usd_per_day"] == 22 * 8 * 2 * 24
    assert found["replays"] is None


def test_a_plan_with_room_needs_fewer_spares_and_a_higher_target_more(cli: Cli) -> None:
    afternoon = cli("resilience", "--from", "2025-02-27T12:00+08:00", "--to", "2025-02-27T13:00+08:00", "--json").json
    assert (afternoon["spare_nodes"], afternoon["spare_cost_usd_per_day"]) == (0, 0)
    assert afternoon["roles"]["prefill"]["needed_units"] < afternoon["roles"]["prefill"]["planned_units"]
    strict = cli("resilience", "--target", "0.999999", "--json").json
    assert strict["spare_nodes"] > 22
    assert strict["attainment"] >= 0.999999


def test_replays_check_the_recommendation(cli: Cli) -> None:
    words = ("resilience", *SETS, *EVENING, *FAILING, "--target", "0.9", "--replay", "--seeds", "2")
    found = cli(*words, "--json").json
    assert found["rate_source"].startswith("set: ")
    kinds = found["replays"]
    assert list(kinds) == ["without_failures", "with_failures", "with_failures_and_spares"]
    assert [len(kind["seeds"]) for kind in kinds.values()] == [1, 2, 2]
    assert [row["seed"] for row in kinds["with_failures"]["seeds"]] == [1, 2]
    spares = {name: role["spare_units"] for name, role in found["roles"].items()}
    assert kinds["with_failures_and_spares"]["spare_units"] == {"aggregated": 0, **spares}
    for kind in kinds.values():
        for row in kind["seeds"]:
            assert row["arrived"] == row["completed"] + row["in_flight"] + row["rejected"]
    calm, bare, spared = kinds.values()
    assert (calm["covered"], sum(each["units"] for each in calm["failures"].values())) == (1.0, 0)
    assert bare["covered"] < spared["covered"]
    assert bare["both_attainment"] < min(calm["both_attainment"], spared["both_attainment"])
    assert bare["worst_both_attainment"] <= bare["both_attainment"]


def test_where_nothing_fails_in_a_replay_that_is_said(cli: Cli) -> None:
    rate = ("--set", "failures.per_node_per_day=0.000001")
    shown = cli("resilience", *SETS, *EVENING, *rate, "--replay", "--seeds", "3").out
    assert "without failures" in shown
    assert "note: no unit failed in any of these draws" in shown


@pytest.mark.parametrize(
    ("arguments", "cure"),
    [
        (("--target", "1"), "--target 1 is not a share of the time; give a number between 0 and 1"),
        (("--target", "nan"), "is not a share of the time"),
        (("--target", "often"), "--target"),
        (("--seeds", "0", "--replay"), "--seeds"),
        (("--seeds", "3"), "add --replay"),
        (("--from", "yesterday"), "write it as"),
        (("--from", "2024-02-27T20:00+08:00"), "not inside the plan"),
        (("--set", "failures.per_node_per_day=-1"), "failures.per_node_per_day"),
        (("--set", "failures.repair_s=soon"), "failures.repair_s"),
        (("--set", "failures.mtbf_h=3"), "failures.mtbf_h: is not a known field"),
        (("--set", "failures.per_node_per_day=900"), "spare units do not attain"),
    ],
)
def test_what_cannot_be_meant_gives_one_line(cli: Cli, arguments: tuple[str, ...], cure: str) -> None:
    result = cli("resilience", *arguments)
    assert (result.code, result.err.count("\n"), result.out) == (2, 1, "")
    assert cure in result.err
