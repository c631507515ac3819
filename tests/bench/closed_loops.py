"""`make loops`: measured servings once more, as closed loops of a unit that does both.

Every aggregated condition of the file that PLANNER_TEST_POINTS names is simulated at its concurrency and lengths. Times
per output token must be as near to the measured ones as the capacity model's are, or nearer; first tokens at a
concurrency of up to 64 within 30 % in the median.

Loops are those of the clients. All users start together and ask ten times each, one request after the other: so do
InferenceX (--num-prompts, ten times --max-concurrency) and NVIDIA (genai-perf in scripts of Dynamo: --request-count,
ten times --concurrency; later scripts of aiconfigurator ask fifty times). What clients ask to warm up is left out.
Where lengths are those of InferenceX, prompts and answers are up to 20 % shorter than told (--random-range-ratio 0.8).
Elsewhere answers are as long as told (standard deviation 0, end of text ignored), and prompts up to 2 % shorter, as
random texts are other tokens when read.

Means over requests are compared, but medians where the client writes medians.

Steps are those of the servers. What NVIDIA measured is assumed to be launched as its aiconfigurator does it
(generator/rule_plugin/benchmark): a step of vLLM and TensorRT-LLM has room for one prompt, all users and 1,500 tokens
more, one of SGLang for as many whole prompts as 1,500 tokens more than one hold. Others are taken to have what the
engine has by itself.

Users are held up by what an engine takes outside of steps. The steps that first tokens were measured to come late by
are told on top, and hold nobody up: users of one length who wait for them come out of step, all at once, and then wait
for each other. First tokens of the conditions that are not InferenceX's are off by 46 % where they do, by 23 % where
they do not, which is why; it is all one where lengths differ.
"""

import os
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from planner.capacity.aggregated import StepLimits, first_us, replica_of, step_limits
from planner.capacity.engines import Workload
from planner.core.fleet.engine import Engine
from planner.core.fleet.serving import held_streams
from planner.core.replay.iterations.model import Replica
from planner.studies.capacity.measured.points_file import read_points_file
from planner.studies.capacity.scorecard.cases import Case, cases_of, predicted
from planner.units import Floats, Ints
from tests.helpers.kernel_loop import kernel_loop

ASKED_EACH = 10
"""Requests of each user, as many as InferenceX has."""
INFERENCEX = {(1024, 1024), (8192, 1024), (1024, 8192)}
"""Input and output tokens of its conditions."""
SHORTER = 0.02
"""Assumed: of prompts whose length is told as one number."""
SHORTER_INFERENCEX = 0.2
LAUNCHER = "aiconfigurator"
"""Word in the source of what InferenceX and NVIDIA measured."""
MEDIANS = "token_position_decode_slo"
"""Word in the source of what a client measured that writes medians alone: benchmark_serving_random.py of InferenceX."""
ROOM = 1500
"""Tokens of a step beside a prompt and all users. Published: aiconfigurator, generator/rule_plugin/benchmark."""
MOST_TTFT_USERS = 64
MOST_TTFT_ERROR = 0.3
"""Median of first tokens, as asked for."""


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A measured condition: relative errors of the loop's times, and of the capacity model's time per token."""

    engine: str
    lengths_known: bool
    users: int
    tpot: float
    model_tpot: float
    ttft: float | None


def compared(frame: pl.DataFrame) -> Iterator[Compared]:
    """All aggregated conditions of a file of points that the model can express."""
    wanted = (pl.col("serving") == "aggregated") & (pl.col("metric") == "tpot_ms") & ~pl.col("suspect")
    for case in cases_of(frame.filter(wanted)):
        if case.engine is not None:
            yield from _of_case(case, case.engine)


def _of_case(case: Case, engine: Engine) -> Iterator[Compared]:
    said = predicted(case, engine).values
    for row, model in zip(case.rows.iter_rows(named=True), said, strict=True):
        if np.isnan(model):
            continue
        inputs, outputs, users = (max(round(row[name]), least) for name, least in _WHOLE)
        loop = Loop(users=users, inputs=inputs, outputs=outputs)
        source = str(row.get("source") or "")
        requests = loop_times(
            engine, case.gpus, loop, loop.launched(engine, case.gpus, source), seed=zlib.crc32(row["id"].encode())
        )
        tpot_us, ttft_us = (float((np.median if MEDIANS in source else np.mean)(each)) for each in requests)
        told = row["measured_ttft_ms"]
        yield Compared(
            engine=engine.profile.name,
            lengths_known=loop.of_inferencex,
            users=users,
            tpot=tpot_us / 1e3 / row["value"] - 1,
            model_tpot=model / row["value"] - 1,
            ttft=None if told is None else ttft_us / 1e3 / float(told) - 1,
        )


_WHOLE = (("isl", 1), ("osl", 2), ("concurrency", 1))
"""Columns of a condition, and their least values."""


@dataclass(frozen=True, kw_only=True)
class Loop:
    """Users of a condition, and tokens of their requests as told."""

    users: int
    inputs: int
    outputs: int

    @property
    def of_inferencex(self) -> bool:
        return (self.inputs, self.outputs) in INFERENCEX

    def launched(self, engine: Engine, gpus: int, source: str) -> StepLimits:
        """Limits of the server that was measured."""
        if self.of_inferencex or LAUNCHER not in source:
            return step_limits(engine, gpus)
        groups = gpus // (engine.tensor_parallel * engine.pipeline_parallel)
        tokens = self.inputs + -(-self.users // groups) + ROOM
        if engine.profile.prompts.place == "between":
            # SGLang reads whole prompts up to as many tokens (max_prefill_tokens), in chunks of its own size
            whole = (self.inputs + ROOM) // self.inputs * self.inputs
            tokens = min(whole, engine.profile.limits.max_batched_tokens)
        return step_limits(engine, gpus, max_batched_tokens=tokens)

    def lengths(self, seed: int) -> tuple[Ints, Ints]:
        """Tokens of all prompts and of all answers, as clients draw them."""
        rng, count = np.random.default_rng(seed), self.users * ASKED_EACH
        if self.of_inferencex:
            prompts, answers = (_shorter(rng, count, each, SHORTER_INFERENCEX) for each in (self.inputs, self.outputs))
            return prompts, np.maximum(answers, 2)
        return _shorter(rng, count, self.inputs, SHORTER), np.full(count, self.outputs, np.int64)


def loop_times(engine: Engine, gpus: int, loop: Loop, limits: StepLimits, *, seed: int) -> tuple[Floats, Floats]:
    """Times per output token and to the first token of all requests of users in a closed loop, us."""
    held = int(held_streams(engine, gpus, loop.users, loop.inputs + loop.outputs))
    room = max(limits.max_batched_tokens, held + 1)
    replica, late_us = _replica(engine, gpus, loop, replace(limits, max_sequences=held, max_batched_tokens=room))
    prompts, answers = loop.lengths(seed)
    answered = kernel_loop(replica, loop.users, prompts, answers)
    return (answered.last_us - answered.first_us) / (answers - 1), answered.first_us - answered.asked_us + late_us


def _replica(engine: Engine, gpus: int, loop: Loop, limits: StepLimits) -> tuple[Replica, float]:
    """A unit that holds users up by what its engine takes outside of steps, and what first tokens come late besides."""
    workload = Workload(
        kv_tokens=loop.inputs + loop.outputs / 2,
        hit_ratio=0.0,
        missed_context_tokens=loop.inputs / 2,
        input_tokens=float(loop.inputs),
        output_tokens=float(loop.outputs),
    )
    replica = replica_of(engine, gpus, workload, limits)
    # as many as the model takes to fit are begun, be their memory a page short of it
    roomy = replace(replica, kv_blocks=replica.kv_blocks + limits.max_sequences * (loop.inputs + loop.outputs))
    outside_us = engine.profile.prompts.first_token_us
    late_us = first_us(engine, replica, limits.max_sequences, workload.kv_tokens) - outside_us
    return replace(roomy, first_us=outside_us), late_us


def _shorter(rng: np.random.Generator, count: int, tokens: int, shorter: float) -> Ints:
    drawn: Ints = np.maximum(1, np.rint(tokens * rng.uniform(1 - shorter, 1, count))).astype(np.int64)
    return drawn


def main() -> int:
    points = list(compared(read_points_file(Path(os.environ["PLANNER_TEST_POINTS"])).frame))
    known = [each for each in points if each.lengths_known]
    groups = {"all": points, "InferenceX": known, "others": [each for each in points if not each.lengths_known]}
    groups |= {name: [each for each in points if each.engine == name] for name in sorted({e.engine for e in points})}
    for name, some in groups.items():
        tpot, model = _told([e.tpot for e in some]), _told([e.model_tpot for e in some])
        print(f"{name:14s} TPOT {tpot}; capacity model {model}; TTFT {_told(_early(some))}")
    worse = [
        what
        for what, missed in (
            ("TPOT", _over_model(points) > 0),
            ("TPOT of InferenceX", _over_model(known) > 0),
            ("TTFT", _median(_early(points)) > MOST_TTFT_ERROR),
        )
        if missed
    ]
    if worse:
        print(f"worse than asked for: {', '.join(worse)}", file=sys.stderr)
    return 1 if worse else 0


def _early(points: list[Compared]) -> list[float]:
    return [each.ttft for each in points if each.ttft is not None and each.users <= MOST_TTFT_USERS]


def _over_model(points: list[Compared]) -> float:
    return _median([each.tpot for each in points]) - _median([each.model_tpot for each in points])


def _median(errors: list[float]) -> float:
    return float(np.median(np.abs(errors)))


def _told(errors: list[float]) -> str:
    if not errors:
        return "none"
    bias, p90 = float(np.median(errors)), float(np.quantile(np.abs(errors), 0.9))
    return f"{_median(errors):6.2%} (bias {bias:+6.1%}, p90 {p90:.1%}) of {len(errors):,}"


if __name__ == "__main__":
    sys.exit(main())
