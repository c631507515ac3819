"""A fleet of replicas at 70 % load for figures of speed, and its requests."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import duckdb
import numpy as np
import polars as pl

from planner.core.replay.iterations.model import PromptTable, Replica
from planner.core.replay.iterations.stage import IterationStage
from planner.core.replay.requests.model import Lives, QueueRules, Requests, Span, StepTables
from planner.settings.replay import BalancerName

T = TypeVar("T")
CHUNK = 1 << 12
"""As many as a replay feeds at once."""
NAMES = ("arrival_us", "input_tokens", "cached_input_tokens", "output_tokens")


def replica() -> Replica:
    """Times like those of a model of 70 G parameters on four GPUs, such that steps are as many as a batch of 50 has."""
    rows = np.arange(257)
    slope = np.full(257, 0.045)
    prompts = np.tile(800.0 + np.arange(33) * 256 * 35.0, (257, 1))
    return Replica(
        steps=StepTables(12_000 + 30.0 * rows, slope, 13_000 + 10.0 * rows, slope),
        prompts=PromptTable(256, prompts),
        context_us=0.0006,
        max_batched_tokens=8192,
        max_sequences=256,
        prefill_first=False,
        kv_blocks=28_900,
        block_tokens=16,
    )


@dataclass(frozen=True)
class Mix:
    """Mean input and output tokens, and requests a second of a unit at 70 % of what it can do."""

    input_tokens: int
    output_tokens: int
    per_s: float


MIXES = (Mix(1500, 300, 6.96), Mix(3600, 1000, 1.5))


def write_requests(path: Path, mix: Mix, units: int, count: int) -> float:
    """A file of requests at random times, lengths lognormal with a sigma of 0.9, a quarter of the input cached.

    Returns the last arrival.
    """
    rng = np.random.default_rng(1)
    arrival = np.cumsum(rng.exponential(1e6 / (units * mix.per_s), count)).astype(np.int64)

    def lengths(mean: int, most: int) -> np.ndarray:
        drawn = rng.lognormal(np.log(mean) - 0.9**2 / 2, 0.9, count)
        return np.clip(drawn, 1, most).astype(np.int64)

    inputs, outputs = lengths(mix.input_tokens, 100_000), lengths(mix.output_tokens, 8000)
    columns = zip(NAMES, (arrival, inputs, inputs // 4, outputs), strict=True)
    pl.DataFrame(dict(columns)).write_parquet(path)
    return float(arrival[-1])


def read_requests(path: Path) -> Iterator[Requests]:
    """Its requests, chunk by chunk, in order of arrival, as they lie in the file."""
    reader = duckdb.sql(f"SELECT * FROM '{path}'").to_arrow_reader(CHUNK)
    for batch in reader:
        columns = {name: batch.column(name).to_numpy() for name in NAMES}
        none = np.zeros(batch.num_rows, np.int64)
        yield Requests(**columns, class_id=none, session_id=none - 1)


def replay_all(
    batches: Iterable[Requests], units: int, end_us: float, balancer: BalancerName = "join-shortest-queue"
) -> IterationStage:
    lives = Lives(np.zeros(units), np.full(units, np.inf), np.full(units, np.inf))
    span = Span(from_us=0.0, to_us=end_us, end_us=end_us)
    stage = IterationStage(replica(), lives, QueueRules(prefill_balancer=balancer), span)
    for requests in batches:
        stage.feed(requests)
    stage.finish()
    return stage


def processor_seconds(work: Callable[[], T]) -> tuple[float, T]:
    """Time of work on the processor, the least of three, and what it gives."""
    taken = []
    for _ in range(3):
        begin = time.process_time()
        found = work()
        taken.append(time.process_time() - begin)
    return min(taken), found
