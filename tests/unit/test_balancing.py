"""Request balancers: the simulation against a slow one, theory and recorded figures; the table against both."""

import math
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import planner
from planner.core.fleet.balancing import (
    BALANCERS,
    BalancerTable,
    MeasuredImbalance,
    SimulatedImbalance,
    expert_sampling,
    measure,
)
from planner.core.fleet.kernels import balancer as balancer_kernels
from planner.errors import UsageError

SHIPPED: dict[str, Any] = tomllib.loads(
    (Path(planner.__file__).parent / "catalogue" / "data" / "balancers.toml").read_text()
)
TABLE = BalancerTable(tuple(MeasuredImbalance(**row) for row in SHIPPED["rows"]))
FIELDS = ("kv", "count", "kv_p99", "count_p99")


def _population() -> tuple[np.ndarray, np.ndarray]:
    """Request lengths drawn as the table's header says."""
    settings = SHIPPED["population"]
    random = np.random.default_rng(settings["seed"])
    inputs, outputs = (
        np.clip(np.rint(random.lognormal(law["mu"], law["sigma"], settings["requests"])), 1, law["max"]).astype(int)
        for law in (settings["input"], settings["output"])
    )
    return inputs, outputs


INPUTS, OUTPUTS = _population()


def run(balancer: str, ranks: int, streams: float, seed: int, *, warm_up: int | None = None) -> SimulatedImbalance:
    """The reference population on a unit, as long as for the table."""
    return measure(
        balancer,
        ranks,
        streams,
        input_tokens=INPUTS,
        output_tokens=OUTPUTS,
        seed=seed,
        steps=SHIPPED["steps"],
        warm_up=warm_up,
    )


# the simulation


def _choose(balancer: str, kv: list[int], count: list[int], arrival: int, first: float, second: float) -> int:
    ranks = len(kv)
    start = int(first * ranks)
    others = [(start + step) % ranks for step in range(1, ranks)]
    keys: dict[str, Callable[[int], float]] = {
        "join-shortest-queue": lambda rank: count[rank],
        "least-kv": lambda rank: kv[rank],
        "two-key": lambda rank: max(kv[rank] * sum(count), count[rank] * sum(kv)),
    }
    if balancer == "random":
        return start
    if balancer == "round-robin":
        return arrival % ranks
    if balancer == "power-of-two":
        return min(start, others[int(second * (ranks - 1))], key=lambda rank: count[rank])
    return min([start, *others], key=keys[balancer])


def _slow(
    balancer: str, ranks: int, arrivals: list[int], lengths: list[tuple[int, int]], uniform: np.ndarray
) -> list[list[int]]:
    """Every stream of every rank, counted anew in every step."""
    units: list[list[list[int]]] = [[] for _ in range(ranks)]  # per stream: context, tokens to go
    samples = []
    request = 0
    for joining in arrivals:
        units = [[stream for stream in unit if stream[1] > 0] for unit in units]
        for _ in range(joining):
            kv = [sum(context for context, _ in unit) for unit in units]
            rank = _choose(balancer, kv, [len(unit) for unit in units], request, *uniform[request])
            units[rank].append(list(lengths[request]))
            request += 1
        kv = [sum(context for context, _ in unit) for unit in units]
        count = [len(unit) for unit in units]
        samples.append([max(kv), sum(kv), max(count), sum(count)])
        for stream in (stream for unit in units for stream in unit):
            stream[0] += 1
            stream[1] -= 1
    return samples


@settings(max_examples=60)
@given(
    st.sampled_from(BALANCERS),
    st.integers(2, 5),
    st.lists(st.integers(0, 4), min_size=1, max_size=30),
    st.integers(0, 2**32 - 1),
)
def test_every_stream_counted_anew_gives_the_same_loads(
    balancer: str, ranks: int, arrivals: list[int], seed: int
) -> None:
    random = np.random.default_rng(seed)
    inputs, outputs = random.integers(0, 20, sum(arrivals)), random.integers(1, 12, sum(arrivals))
    uniform = random.random((sum(arrivals), 2))
    lengths = list(zip(inputs.tolist(), outputs.tolist(), strict=True))
    slow = _slow(balancer, ranks, arrivals, lengths, uniform)
    for first, every in ((0, 1), (2, 3)):
        fast = balancer_kernels.run(
            balancer=BALANCERS.index(balancer),
            ranks=ranks,
            arrivals=np.array(arrivals),
            input_tokens=inputs,
            output_tokens=outputs,
            uniform=uniform,
            first_sample=first,
            every=every,
        )
        assert fast.tolist() == slow[first::every]


def test_a_request_joins_with_its_input_and_grows_by_one_until_it_leaves() -> None:
    # one request of 10 + 3 tokens at step 0, one of 4 + 1 at step 1, both ranks in turn
    samples = balancer_kernels.run(
        balancer=BALANCERS.index("round-robin"),
        ranks=2,
        arrivals=np.array([1, 1, 0, 0]),
        input_tokens=np.array([10, 4]),
        output_tokens=np.array([3, 1]),
        uniform=np.zeros((2, 2)),
        first_sample=0,
        every=1,
    )
    assert samples.tolist() == [[10, 10, 1, 1], [11, 15, 1, 2], [12, 12, 1, 1], [0, 0, 0, 0]]


@pytest.mark.parametrize(
    ("balancer", "rank"),
    [
        ("random", 1),  # the second of four at 0.3
        ("round-robin", 2),  # six requests before
        ("power-of-two", 0),  # ranks 1 and 0: five streams against two
        ("join-shortest-queue", 2),
        ("least-kv", 3),
        ("two-key", 0),  # over the means 40 and 3: 1.125, 1.67, 1.5 and 1.33
    ],
)
def test_every_balancer_picks_what_its_name_says(balancer: str, rank: int) -> None:
    kv, count = np.array([45, 40, 60, 15]), np.array([2, 5, 1, 4])
    assert balancer_kernels.pick(BALANCERS.index(balancer), kv, count, 6, 0.3, 0.8) == rank


@pytest.mark.parametrize("balancer", ["join-shortest-queue", "least-kv", "two-key"])
def test_equally_good_ranks_are_taken_from_a_random_one_on(balancer: str) -> None:
    kv, count = np.array([7, 9, 7, 9]), np.array([1, 2, 1, 2])
    taken = [balancer_kernels.pick(BALANCERS.index(balancer), kv, count, 0, u, 0.0) for u in (0.0, 0.3, 0.6, 0.9)]
    assert taken == [0, 2, 2, 0]


def test_power_of_two_never_compares_a_rank_with_itself() -> None:
    count = np.array([1, 0, 1])
    picks = {
        balancer_kernels.pick(BALANCERS.index("power-of-two"), count, count, 0, 0.5, second)
        for second in np.linspace(0, 0.999, 50)
    }
    assert picks == {1}
    worst = np.array([0, 1, 0])
    picks = {
        balancer_kernels.pick(BALANCERS.index("power-of-two"), worst, worst, 0, 0.5, second)
        for second in np.linspace(0, 0.999, 50)
    }
    assert picks == {0, 2}


def test_the_unit_holds_the_streams_and_the_context_that_were_asked_for() -> None:
    """Little's law; and 4,989 tokens of KV per output token, published for the day that the population is fitted to."""
    measured = run("random", 144, 88, 1)
    assert measured.streams == pytest.approx(88, rel=0.01)
    assert measured.context == pytest.approx(4_989, rel=0.01)
    by_hand = np.sum(OUTPUTS * (INPUTS + (OUTPUTS - 1) / 2)) / OUTPUTS.sum()
    assert measured.context == pytest.approx(by_hand, rel=0.01)


def test_the_result_does_not_depend_on_a_warm_up_of_the_longest_output_or_more() -> None:
    """Three warm-ups of eight seeds each; the tolerance is four standard errors of a difference."""
    means, errors = [], []
    for warm_up in (None, 65_536, 131_072):
        runs = np.array(
            [[m.kv, m.count, m.streams] for m in (run("two-key", 32, 32, s, warm_up=warm_up) for s in range(8))]
        )
        means.append(runs.mean(axis=0))
        errors.append(runs.std(axis=0, ddof=1) / np.sqrt(len(runs)))
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert (np.abs(means[one] - means[other]) < 4 * np.hypot(errors[one], errors[other])).all()
    short = measure("two-key", 32, 32, input_tokens=INPUTS, output_tokens=OUTPUTS, seed=1, steps=512, warm_up=256)
    assert short.streams < 0.6 * 32


def _largest_poisson(ranks: int, mean: float) -> float:
    """Expected largest of that many independent Poisson numbers."""
    values = range(int(mean + 20 * math.sqrt(mean)))
    below = np.cumsum([math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in values])
    return float(np.sum(1 - np.minimum(below, 1) ** ranks))


def test_random_counts_are_the_largest_of_independent_poisson_numbers() -> None:
    """With random picks every rank is a queue with infinitely many servers: its streams are Poisson in number.

    Where streams are many: among few the mean that the largest is divided by fluctuates too.
    """
    error = SHIPPED["standard_error"]["random"]["count"]
    for row in (row for row in TABLE.rows if row.balancer == "random" and row.ranks * row.streams >= 512):
        assert row.count == pytest.approx(_largest_poisson(row.ranks, row.streams) / row.streams, abs=4 * error)


def test_requests_of_one_length_are_spread_evenly_by_taking_turns() -> None:
    alike = {"input_tokens": np.full(1, 50), "output_tokens": np.full(1, 10), "seed": 3, "steps": 2000}
    even = measure("round-robin", 4, 25, **alike)  # type: ignore[arg-type]
    assert even.count < measure("random", 4, 25, **alike).count  # type: ignore[arg-type]
    assert even.count < 1.02
    assert even.kv < 1.03


def test_the_same_seed_gives_the_same_figures_and_another_others() -> None:
    few = {"input_tokens": INPUTS[:1000], "output_tokens": OUTPUTS[:1000] % 100 + 1, "steps": 500}
    one, again, other = (measure("least-kv", 8, 4, seed=seed, **few) for seed in (1, 1, 2))  # type: ignore[arg-type]
    assert one == again != other


@settings(max_examples=40)
@given(st.sampled_from(BALANCERS), st.integers(2, 9), st.floats(0.05, 20), st.integers(1, 40), st.integers(0, 99))
def test_imbalance_lies_between_one_and_the_number_of_ranks(
    balancer: str, ranks: int, streams: float, longest: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    measured = measure(
        balancer, ranks, streams, input_tokens=random.integers(0, 50, 30),
        output_tokens=random.integers(1, longest + 1, 30), seed=seed, steps=200, every=3,
    )  # fmt: skip
    assert all(1 <= getattr(measured, field) <= ranks + 1e-9 for field in FIELDS)


@pytest.mark.parametrize(
    ("change", "cure"),
    [
        ({"balancer": "luck"}, '"luck" is not a balancer; use one of random, round-robin, .*two-key'),
        ({"ranks": 1}, "at least 2 ranks"),
        ({"streams": 0.0}, "more than 0 streams on each"),
        ({"streams": math.nan}, "more than 0 streams on each"),
        ({"steps": 0}, "at least 1"),
        ({"every": 0}, "at least 1"),
        ({"warm_up": -1}, "warm_up at least 0"),
        ({"input_tokens": np.array([1, 2])}, "as many inputs as outputs"),
        ({"output_tokens": np.array([0])}, "an output of 1 or more"),
        ({"input_tokens": np.array([-1])}, "an input of 0 tokens or more"),
        ({"input_tokens": np.array([], int), "output_tokens": np.array([], int)}, "as many inputs as outputs"),
    ],
)
def test_what_cannot_be_simulated_says_why(change: dict[str, Any], cure: str) -> None:
    good = {"balancer": "random", "ranks": 2, "streams": 1.0, "seed": 1, "steps": 1}
    lengths = {"input_tokens": np.array([1]), "output_tokens": np.array([1])}
    with pytest.raises(UsageError, match=cure):
        measure(**{**good, **lengths, **change})


# the table


def test_the_table_holds_every_balancer_at_every_measured_point() -> None:
    assert TABLE.balancers == BALANCERS
    points = [(row.balancer, row.ranks, row.streams) for row in TABLE.rows]
    assert sorted(points) == sorted(
        (name, ranks, streams)
        for name in BALANCERS
        for ranks in (2, 4, 8, 32, 144, 320)
        for streams in (1, 2, 4, 8, 16, 32, 64, 88, 128, 176, 256, 512)
    )


@pytest.mark.parametrize("balancer", ["random", "two-key"])
def test_a_small_cell_measured_anew_with_all_seeds_is_the_row(balancer: str) -> None:
    """To the last digit: the table is what its header says. A numpy that draws otherwise needs the table anew."""
    runs = [run(balancer, 32, 16, seed) for seed in range(1, SHIPPED["seeds"] + 1)]
    row = TABLE.at(balancer, 32, 16)
    for field in FIELDS:
        assert np.mean([getattr(one, field) for one in runs]) == pytest.approx(getattr(row, field), abs=1e-4)


@pytest.mark.parametrize(
    ("balancer", "ranks", "streams", "deviations"),
    [
        # between the sixteen seeds of the table, for these cells
        ("two-key", 144, 88, (0.0010, 0.0004, 0.0070, 0.0006)),
        ("round-robin", 144, 88, (0.0075, 0.0034, 0.0353, 0.0126)),
        ("least-kv", 144, 88, (0.0008, 0.0023, 0.0038, 0.0138)),
    ],
)
def test_a_large_cell_with_another_seed_is_the_row_within_four_deviations(
    balancer: str, ranks: int, streams: float, deviations: tuple[float, ...]
) -> None:
    measured, row = run(balancer, ranks, streams, 101), TABLE.at(balancer, ranks, streams)
    for field, deviation in zip(FIELDS, deviations, strict=True):
        assert getattr(measured, field) == pytest.approx(getattr(row, field), abs=4 * deviation)


@pytest.mark.parametrize(
    ("balancer", "kv", "count", "kv_deviation", "count_deviation"),
    [
        ("random", 1.40, 1.29, 0.035, 0.025),
        ("round-robin", 1.33, 1.22, 0.038, 0.019),
        ("power-of-two", 1.31, 1.04, 0.027, 0.001),
        ("join-shortest-queue", 1.29, 1.01, 0.024, 0.001),
        ("least-kv", 1.06, 1.27, 0.004, 0.020),
        ("two-key", 1.087, 1.040, 0.005, 0.002),
    ],
)
def test_figures_of_one_short_run_made_elsewhere_lie_in_the_spread_of_short_runs(
    balancer: str, kv: float, count: float, kv_deviation: float, count_deviation: float
) -> None:
    """One seed, a run of unknown length, rounded to 0.01: two deviations of runs of 2,048 steps, and half a digit.

    The deviations are those of 40 seeds; the figures share one draw of requests, so they err together.
    """
    row = TABLE.at(balancer, 144, 88)
    assert row.kv == pytest.approx(kv, abs=2 * kv_deviation + 0.005)
    assert row.count == pytest.approx(count, abs=2 * count_deviation + 0.005)


def test_knowing_both_loads_balances_both() -> None:
    for ranks in (32, 144):
        for streams in (16, 32, 64, 88, 128, 176):
            at = {name: TABLE.at(name, ranks, streams) for name in BALANCERS}
            by_kv, by_count = (sorted(BALANCERS, key=lambda name: getattr(at[name], key)) for key in ("kv", "count"))
            assert by_kv[:2] == ["least-kv", "two-key"]
            assert by_count[0] == "join-shortest-queue"
            assert min(BALANCERS, key=lambda name: at[name].kv + at[name].count) == "two-key"


@pytest.mark.parametrize("balancer", BALANCERS)
def test_more_streams_are_more_even_and_more_ranks_less(balancer: str) -> None:
    streams = np.linspace(16, 176, 30)
    for ranks in (32, 60, 144):
        assert (np.diff([TABLE.at(balancer, ranks, b).kv for b in streams]) < 0).all()
        assert (np.diff([TABLE.at(balancer, ranks, b).count for b in streams]) < 0).all()
    for b in streams:
        assert (np.diff([TABLE.at(balancer, ranks, b).kv for ranks in range(32, 145, 16)]) > 0).all()


def test_a_measured_point_is_returned_as_measured() -> None:
    for row in TABLE.rows:
        found = TABLE.at(row.balancer, row.ranks, row.streams)
        assert [getattr(found, field) for field in FIELDS] == pytest.approx([getattr(row, field) for field in FIELDS])
        assert (found.balancer, found.ranks, found.streams) == (row.balancer, row.ranks, row.streams)


def test_between_measured_points_by_hand() -> None:
    # 1/sqrt: 1/4 and 1/8, and 36 has 1/6, a third of the way from 64; sqrt(ln): 1 and 2 times that of 2 ranks
    rows = tuple(
        MeasuredImbalance(
            balancer="random",
            ranks=ranks,
            streams=streams,
            kv=base + 3 * place,
            count=1.0 + place,
            kv_p99=2.0,
            count_p99=3.0,
        )
        for ranks, base in ((2, 0.0), (16, 100.0))
        for streams, place in ((16.0, 1.0), (64.0, 0.0))
    )
    found = BalancerTable(rows).at("random", 2, 36.0)
    assert (found.kv, found.count, found.kv_p99, found.count_p99) == pytest.approx((1.0, 4 / 3, 2.0, 3.0))
    weight = math.sqrt(3) - 1  # sqrt(ln 8 / ln 2) between 1 and 2
    assert BalancerTable(rows).at("random", 8, 64.0).kv == pytest.approx(100 * weight)


@pytest.mark.parametrize("balancer", BALANCERS)
def test_a_column_left_out_is_found_again_between_its_neighbours(balancer: str) -> None:
    """Without its 64 streams the table interpolates them from 32 and 88, better than a straight line in streams."""
    error = 4 * SHIPPED["standard_error"][balancer]["kv"]
    rest = BalancerTable(tuple(row for row in TABLE.rows if row.streams != 64))
    for ranks in (32, 144):
        true, low, high = (TABLE.at(balancer, ranks, streams).kv for streams in (64, 32, 88))
        found = rest.at(balancer, ranks, 64).kv
        straight = low + (high - low) * (64 - 32) / (88 - 32)
        assert found == pytest.approx(true, abs=0.01 + error)
        assert abs(found - true) < abs(straight - true)


@pytest.mark.parametrize(("balancer", "ranks", "streams"), [("two-key", 72, 48), ("two-key", 48, 22)])
def test_a_cell_that_is_not_in_the_table_is_close_to_a_measurement(balancer: str, ranks: int, streams: float) -> None:
    """Four standard errors of eight seeds, and the interpolation's own error: 0.013 at most over the held-out cells."""
    runs = np.array([[m.kv, m.count] for m in (run(balancer, ranks, streams, seed) for seed in range(21, 29))])
    error = 4 * runs.std(axis=0, ddof=1) / np.sqrt(len(runs))
    found = TABLE.at(balancer, ranks, streams)
    assert (np.abs(runs.mean(axis=0) - [found.kv, found.count]) < 0.013 + error).all()


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        (("luck", 144, 88), '"luck" is not a measured balancer; use one of random, round-robin, power-of-two'),
        (("random", 321, 88), "measured for 2 to 320 ranks, not for 321"),
        (("random", 1, 88), "measured for 2 to 320 ranks, not for 1"),
        (("random", 144, 0.9), "measured for 1 to 512 streams per rank, not for 0.9"),
        (("random", 144, 513), "measured for 1 to 512 streams per rank, not for 513"),
        (("random", 144, math.nan), "measured for 1 to 512 streams per rank"),
    ],
)
def test_nothing_is_extrapolated(question: tuple[str, int, float], answer: str) -> None:
    with pytest.raises(UsageError, match=answer):
        TABLE.at(*question)


def test_a_table_with_a_hole_or_a_double_row_is_refused() -> None:
    with pytest.raises(UsageError, match="random has 71 rows for a grid of 72"):
        BalancerTable(TABLE.rows[1:])
    with pytest.raises(UsageError, match="random has 73 rows for a grid of 72"):
        BalancerTable((*TABLE.rows, TABLE.rows[0]))


# sampling of experts


def _simulated(gpus: int, tokens: int, per_gpu: int, runs: int) -> float:
    """Mean of the largest over mean of copies per GPU: every token chooses 8 different experts, all alike."""
    random = np.random.default_rng(7)
    ratios = []
    for _ in range(runs):
        chosen = random.integers(0, gpus * per_gpu, (gpus * tokens, 8))
        while (double := (np.diff(np.sort(chosen, axis=1), axis=1) == 0).any(axis=1)).any():
            chosen[double] = random.integers(0, gpus * per_gpu, (int(double.sum()), 8))
        copies = np.bincount(chosen.ravel() // per_gpu, minlength=gpus)
        ratios.append(copies.max() / copies.mean())
    return float(np.mean(ratios))


@pytest.mark.parametrize(("tokens", "recorded"), [(44, 1.14), (88, 1.10), (176, 1.07)])
def test_sampling_noise_is_the_recorded_one_and_the_formula_a_little_above(tokens: int, recorded: float) -> None:
    """Twenty runs have a standard error of 0.005 or less; the record is rounded to 0.01."""
    simulated = _simulated(144, tokens, 2, 20)
    assert simulated == pytest.approx(recorded, abs=0.005 + 0.01)
    estimate = float(expert_sampling(144, tokens))
    assert 1.05 < (estimate - 1) / (simulated - 1) < 1.4


def test_the_estimate_by_hand_and_its_shape() -> None:
    # 2 ln 144 = 9.9396, over 8 * 44 = 352
    assert float(expert_sampling(144, 44)) == pytest.approx(1 + math.sqrt(9.9396 / 352), abs=1e-6)
    assert expert_sampling(1, [[1, 2]]).tolist() == [[1.0, 1.0]]
    assert float(expert_sampling(144, 44, active=4)) == pytest.approx(float(expert_sampling(144, 22)))


@given(st.integers(2, 500), st.floats(1, 1e4))
def test_noise_grows_with_gpus_and_falls_with_tokens(gpus: int, tokens: float) -> None:
    assert expert_sampling(gpus + 1, tokens) > expert_sampling(gpus, tokens) > expert_sampling(gpus, 1.1 * tokens) > 1


def test_no_gpus_tokens_or_experts_are_refused() -> None:
    for gpus, tokens, active in ((0, 1, 8), (1, 0, 8), (1, math.nan, 8), (1, 1, 0)):
        with pytest.raises(UsageError, match="must be above 0"):
            expert_sampling(gpus, tokens, active=active)
