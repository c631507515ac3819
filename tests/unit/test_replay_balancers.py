"""Balancers of the reference replay by hand."""

import numpy as np
import pytest

from tests.helpers.replay_units import DECODE, PREFILL, Balancer, Load, Outcome, Request, mix, uniform


def ask(seq: int = 0, session: int = -1, work_ns: int = 0) -> Request:
    return Request(
        seq=seq,
        arrival=0,
        input=0,
        output=1,
        session=session,
        done=0,
        missed=0,
        work_ns=work_ns,
        outcome=Outcome(seq=seq),
        blocks=[],
        tried=0.0,
    )


# units 2, 5, 7: number, (tokens, work); means 30 tokens, 60 ns
LOADS = [Load(2, 3, (10, 90)), Load(5, 1, (60, 60)), Load(7, 2, (20, 30))]


@pytest.mark.parametrize(("name", "unit"), [("join-shortest-queue", 5), ("least-kv", 2), ("two-key", 7)])
def test_a_balancer_takes_the_least_by_its_measure(name: str, unit: int) -> None:
    # two keys: max(1/3, 3/2), max(2, 1), max(2/3, 1/2)
    assert Balancer(name=name, role=PREFILL, seed=1).choose(ask(), LOADS) == unit
    level = [Load(4, 1, (5, 2)), Load(6, 1, (5, 2))]
    assert Balancer(name=name, role=PREFILL, seed=1).choose(ask(), level) == 4, "the lowest number of equals"
    assert Balancer(name=name, role=PREFILL, seed=1).choose(ask(), [Load(4, 0, (0, 0)), Load(6, 0, (0, 0))]) == 4


def test_two_keys_ignore_a_key_that_is_nowhere() -> None:
    assert Balancer(name="two-key", role=DECODE, seed=1).choose(ask(), [Load(0, 2, (0, 2)), Load(1, 1, (0, 1))]) == 1


def test_round_robin_goes_on_after_the_unit_chosen_last() -> None:
    balancer = Balancer(name="round-robin", role=PREFILL, seed=1)
    assert [balancer.choose(ask(), LOADS) for _ in range(4)] == [2, 5, 7, 2]
    assert balancer.choose(ask(), LOADS[2:]) == 7
    assert balancer.choose(ask(), LOADS[:2]) == 2


def test_draws_are_those_of_splitmix64() -> None:
    # its first outputs from seed 0 (Vigna's reference implementation)
    step = 0x9E3779B97F4A7C15
    assert [mix(step), mix(2 * step % 2**64)] == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4]
    assert uniform(0, 0, PREFILL, 0) == (mix(0xE220A8397B1DCDAF) >> 11) / 2**53
    assert uniform(0, 3, PREFILL, 1) == (mix(0x6E789E6AA1B965F4 ^ 3) >> 11) / 2**53
    draws = [uniform(7, seq, DECODE, salt) for seq in range(2000) for salt in (0, 1)]
    assert len(set(draws)) == 4000
    assert np.mean(draws) == pytest.approx(0.5, abs=0.02)


def test_random_and_power_of_two_draw_by_seed_and_request() -> None:
    for seq in range(50):
        first, second = (LOADS[int(uniform(9, seq, DECODE, salt) * 3)] for salt in (0, 1))
        assert Balancer(name="random", role=DECODE, seed=9).choose(ask(seq), LOADS) == first.unit
        less = min(first, second, key=lambda load: load.number)
        assert Balancer(name="power-of-two", role=DECODE, seed=9).choose(ask(seq), LOADS) == less.unit
    units_drawn = {Balancer(name="random", role=DECODE, seed=9).choose(ask(seq), LOADS) for seq in range(50)}
    assert units_drawn == {2, 5, 7}


def test_prefix_aware_keeps_a_session_where_it_was_unless_that_is_far_busier() -> None:
    balancer = Balancer(name="prefix-aware", role=PREFILL, seed=1)
    assert balancer.choose(ask(session=3), LOADS) == 7, "a new session goes by two keys"
    busier = [Load(2, 0, (0, 0)), Load(5, 0, (0, 0)), Load(7, 9, (30, 300))]
    assert balancer.choose(ask(session=3, work_ns=100), busier) == 7, "300 = 2 * 100 + 100"
    assert balancer.choose(ask(session=4, work_ns=100), busier) == 2, "another session"
    assert balancer.choose(ask(work_ns=100), busier) == 2, "no session"
    assert balancer.choose(ask(session=3, work_ns=99), busier) == 2
    assert balancer.choose(ask(session=3), LOADS) == 2, "and there it stays"
    assert balancer.choose(ask(session=3), LOADS[1:]) == 7, "unless that unit takes no more work"


def test_prefix_aware_decode_goes_by_two_keys() -> None:
    balancer = Balancer(name="prefix-aware", role=DECODE, seed=1)
    assert balancer.choose(ask(session=3), LOADS) == 7
    assert balancer.choose(ask(session=3), [*LOADS[:2], Load(7, 9, (60, 9))]) == 5
