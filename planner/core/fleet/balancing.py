"""How evenly request balancers load the ranks of a decode unit, measured in a simulation. Pure.

A decode unit runs in lock step: in every step each stream gets one token, so all ranks wait for the slowest one and
the imbalance, largest over mean, enters the step time. A request joins the rank that the balancer picks, with its
input as context, stays as many steps as it has output tokens, and its context grows by one a step. Arrivals are
Poisson. A balancer sees the load at the moment of the pick, requests before it in the same step included; it does not
know how long a request will stay.

random               any rank
round-robin          one rank after the other
power-of-two         of two random ranks the one with fewer streams
join-shortest-queue  the rank with the fewest streams
least-kv             the rank with the fewest cached tokens
two-key              the rank with the smallest max(kv / mean kv, streams / mean streams), before the request joins
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from planner.errors import CannotServe, UsageError
from planner.units import Floats, Ints

BALANCERS = ("random", "round-robin", "power-of-two", "join-shortest-queue", "least-kv", "two-key")
"""Names of the balancers; the index of a name is its number in the kernel."""
SAMPLE_EVERY = 64
"""Steps between samples. Computed: samples 1,024 steps apart correlate by 0.2 at most on the reference population."""
ACTIVE_EXPERTS = 8
"""Experts per token. Published: DeepSeek-V3 configuration."""


@dataclass(frozen=True, kw_only=True)
class SimulatedImbalance:
    """Time means of one run: largest over mean of the ranks' KV tokens and streams, and their 99th percentiles.

    streams: per rank, in the mean; context: tokens per stream.
    """

    kv: float
    count: float
    kv_p99: float
    count_p99: float
    streams: float
    context: float


@dataclass(frozen=True, kw_only=True)
class MeasuredImbalance:
    """A row of the table: largest over mean of KV tokens and streams on that many ranks with that many streams each."""

    balancer: str
    ranks: int
    streams: float
    kv: float
    count: float
    kv_p99: float
    count_p99: float


@dataclass(frozen=True)
class BalancerTable:
    """Measured imbalance on a grid of ranks and streams for every balancer.

    Raises UsageError if a balancer is not measured exactly once at every point of its grid.
    """

    rows: tuple[MeasuredImbalance, ...]

    def __post_init__(self) -> None:
        for name in self.balancers:
            own = self._of(name)
            points = {(row.ranks, row.streams) for row in own}
            grid = len({ranks for ranks, _ in points}) * len({streams for _, streams in points})
            if not len(own) == len(points) == grid:
                raise UsageError(
                    f"{name} has {len(own)} rows for a grid of {grid} ranks and streams; measure each once"
                )

    @property
    def balancers(self) -> tuple[str, ...]:
        """Names of the measured balancers, in the order of the rows."""
        return tuple(dict.fromkeys(row.balancer for row in self.rows))

    def at(self, balancer: str, ranks: int, streams: float) -> MeasuredImbalance:
        """Imbalance of a balancer on that many ranks with that many streams each in the mean.

        Linear in 1/sqrt(streams) and in sqrt(ln ranks) between measured points: the largest of G sums of B lengths
        lies about sqrt(2 ln G / B) above the mean. On eighteen held-out cells (3 to 216 ranks, 3 to 350 streams)
        the shipped table is within 0.015 of the measured kv from 12 streams on and 0.04 below, and within 0.02 of the
        count, their noise included; percentiles at few streams are off by up to 0.4.
        Raises CannotServe outside the measured points, and UsageError for unknown balancers.
        """
        own = self._of(balancer)
        if not own:
            raise UsageError(f'"{balancer}" is not a measured balancer; use one of {", ".join(self.balancers)}')
        all_ranks, all_streams = sorted({row.ranks for row in own}), sorted({row.streams for row in own})
        _check_inside("ranks", ranks, all_ranks)
        _check_inside("streams per rank", streams, all_streams)
        cells = {(row.ranks, row.streams): row for row in own}

        def between(field: str) -> float:
            by_ranks = [
                np.interp(
                    -1 / np.sqrt(streams),
                    -1 / np.sqrt(all_streams),
                    [getattr(cells[row, column], field) for column in all_streams],
                )
                for row in all_ranks
            ]
            return float(np.interp(np.sqrt(np.log(ranks)), np.sqrt(np.log(all_ranks)), by_ranks))

        values = {field: between(field) for field in ("kv", "count", "kv_p99", "count_p99")}
        return MeasuredImbalance(balancer=balancer, ranks=ranks, streams=streams, **values)

    def _of(self, balancer: str) -> list[MeasuredImbalance]:
        return [row for row in self.rows if row.balancer == balancer]


def measure(
    balancer: str,
    ranks: int,
    streams: float,
    *,
    input_tokens: Ints,
    output_tokens: Ints,
    seed: int,
    steps: int,
    warm_up: int | None = None,
    every: int = SAMPLE_EVERY,
) -> SimulatedImbalance:
    """Imbalance of a unit in the steady state, over that many steps.

    input_tokens, output_tokens: (requests,), the population that requests are drawn from, pair by pair. streams: per
    rank in the mean; by Little's law it sets the arrival rate. warm_up: steps before; left out, the longest output:
    then every request that could still be there has arrived, and the number of streams is exactly stationary.
    every: steps between samples. Raises UsageError for what cannot be simulated.
    """
    _check_run(balancer, ranks, streams, steps, warm_up, every)
    inputs, outputs = np.asarray(input_tokens, np.int64), np.asarray(output_tokens, np.int64)
    if inputs.ndim != 1 or inputs.shape != outputs.shape or not inputs.size or inputs.min() < 0 or outputs.min() < 1:
        raise UsageError(
            "give every request an input of 0 tokens or more and an output of 1 or more, as many inputs as outputs"
        )
    from planner.core.fleet.kernels import balancer as balancer_kernels

    before = int(outputs.max()) if warm_up is None else warm_up
    random = np.random.default_rng(seed)
    arrivals = random.poisson(ranks * streams / outputs.mean(), before + steps)
    drawn = random.integers(0, len(inputs), int(arrivals.sum()))
    uniform = random.random((len(drawn), 2))
    samples = balancer_kernels.run(
        balancer=BALANCERS.index(balancer),
        ranks=ranks,
        arrivals=arrivals,
        input_tokens=inputs[drawn],
        output_tokens=outputs[drawn],
        uniform=uniform,
        first_sample=before,
        every=every,
    )
    most_kv, all_kv, most_streams, all_streams = samples.T
    # an empty unit is balanced
    kv = np.where(all_kv > 0, most_kv * ranks / np.maximum(all_kv, 1), 1.0)
    count = np.where(all_streams > 0, most_streams * ranks / np.maximum(all_streams, 1), 1.0)
    return SimulatedImbalance(
        kv=float(kv.mean()),
        count=float(count.mean()),
        kv_p99=float(np.quantile(kv, 0.99)),
        count_p99=float(np.quantile(count, 0.99)),
        streams=float(all_streams.mean() / ranks),
        context=float(all_kv.sum() / max(all_streams.sum(), 1)),
    )


def expert_sampling(gpus: int, tokens: ArrayLike, *, active: int = ACTIVE_EXPERTS) -> Floats:
    """Largest over mean of the GPUs' expert load from sampling alone: 1 + sqrt(2 ln gpus / (active tokens)).

    tokens: per GPU and layer, any shape, which is that of the result. active: experts that each token chooses.
    An estimate for experts that are all equally likely: a GPU gets active * tokens copies give or take their square
    root, and the largest of G normal deviates lies up to sqrt(2 ln G) above the mean. That is an upper bound of its
    mean, so the noise is overestimated: 1.2 times the simulated one on 144 GPUs, 1.3 on 32, 1.5 on 8. It holds
    where counts are about normal, active * tokens above 4 ln gpus; experts of unequal load come on top.
    Raises UsageError for what is not positive.
    """
    per_gpu = np.asarray(tokens, np.float64)
    if gpus < 1 or active < 1 or not (per_gpu > 0).all():
        raise UsageError("GPUs, tokens per GPU and active experts must be above 0")
    noise: Floats = 1 + np.sqrt(2 * np.log(gpus) / (active * per_gpu))
    return noise


def _check_inside(what: str, value: float, measured: list[int] | list[float]) -> None:
    if not measured[0] <= value <= measured[-1]:
        raise CannotServe(
            f"balancers are measured for {measured[0]:g} to {measured[-1]:g} {what}, not for {value:g}", "imbalance"
        )


def _check_run(balancer: str, ranks: int, streams: float, steps: int, warm_up: int | None, every: int) -> None:
    if balancer not in BALANCERS:
        raise UsageError(f'"{balancer}" is not a balancer; use one of {", ".join(BALANCERS)}')
    if ranks < 2 or not 0 < streams < np.inf:
        raise UsageError(
            f"a unit needs at least 2 ranks and more than 0 streams on each, not {ranks} ranks and {streams:g} streams"
        )
    if steps < 1 or every < 1 or (warm_up is not None and warm_up < 0):
        raise UsageError("steps and every must be at least 1, and warm_up at least 0")
