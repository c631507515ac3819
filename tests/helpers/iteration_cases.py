"""Random small replays step by step, and the fast engine run and compared with the reference."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from math import inf

import numpy as np
from hypothesis import strategies as st

from planner.core.replay.iterations.model import PromptTable, Replica
from planner.core.replay.iterations.stage import IterationStage
from planner.core.replay.requests.kernels.layout import FULL, LATE, LONG
from planner.core.replay.requests.model import BALANCERS, Lives, QueueRules, Requests, Span
from planner.core.replay.requests.stages import FirstSizes
from planner.units import Floats, Ints
from tests.helpers.iteration_reference import Asked, Iterations
from tests.helpers.replay_cases import chain, lives, step_tables

EXACT = tuple(name for name in BALANCERS if name != "least-kv")
"""Balancers that a replay step by step can follow."""
STATUS = {FULL: "rejected-queue", LATE: "rejected-timeout", LONG: "rejected-length"}


@dataclass(frozen=True, kw_only=True)
class IterationCase:
    """follows, think_us: of requests that follow others, none where they all come by themselves."""

    replica: Replica
    lives: Lives
    rules: QueueRules
    requests: Requests
    end_us: float
    follows: Ints
    think_us: Floats


@st.composite
def replicas(draw: st.DrawFn) -> Replica:
    """Small units: a few rows, steps of a few tokens, KV that is soon full. Times are dyadic, or not at all."""
    sequences = draw(st.integers(1, 4) | st.integers(2, 12))
    batched = sequences + draw(st.integers(0, 4) | st.integers(0, 60))
    width = draw(st.sampled_from((1, 4, 16)))
    knots = -(-batched // width) + 1
    rising = np.cumsum([draw(st.integers(0, 8)) for _ in range(knots)]) * width / 8
    prompts = rising + np.arange(sequences + 1)[:, None] * draw(st.sampled_from((0.0, 0.25))) + 0.5
    size = draw(st.sampled_from((1, 2, 4, 16, 16)))
    replica = Replica(
        steps=draw(step_tables(sequences)),
        prompts=PromptTable(width, prompts),
        context_us=draw(st.integers(0, 4)) / 64,
        max_batched_tokens=batched,
        max_sequences=sequences,
        prefill_first=draw(st.booleans()),
        kv_blocks=-(-draw(st.integers(20, 80) | st.integers(60, 400)) // size),
        block_tokens=size,
        stream_blocks=draw(st.sampled_from((0, 0, 0, 1))),
        first_us=draw(st.sampled_from((0.0, 0.0, 2.5))),
        first_us_per_token=draw(st.sampled_from((0.0, 0.125))),
        longest_tokens=draw(st.sampled_from((1 << 62, 1 << 62, 50))),
    )
    return replica.slower(draw(st.sampled_from((1.0, 1 / 3))), draw(st.sampled_from((1.0, 1 / 7))))


@st.composite
def followers(draw: st.DrawFn, count: int, span: int) -> tuple[Ints, Floats]:
    """In a third of the cases requests follow others."""
    if draw(st.integers(0, 2)):
        return np.zeros(0, np.int64), np.zeros(0)
    back = [draw(st.sampled_from((0, 1, 1, 2, 3))) for _ in range(count)]
    follows = np.array([seq - gap if 0 < gap <= seq else -1 for seq, gap in enumerate(back)], np.int64)
    think = [draw(st.sampled_from((0.0, 0.5, span / 64, span / 8))) for _ in range(count)]
    return follows, np.array(think, np.float64)


@st.composite
def iteration_cases(draw: st.DrawFn) -> IterationCase:
    """Bursts and ties, load from light to far too much, units that come and go."""
    replica = draw(replicas())
    row = st.tuples(
        st.sampled_from((0, 0, 0, 1, 2, 5, 9)),  # gap before it, in parts of the span
        st.integers(0, 40) | st.integers(0, 8),
        st.sampled_from((0.0, 0.5, 1.0)),  # share of the input that was cached
        st.integers(0, 12) | st.integers(2, 40),
        st.integers(0, 2),
        st.integers(-1, 4),
        st.integers(0, 30),  # seed of its blocks
    )
    rows = np.array([draw(row) for _ in range(draw(st.integers(1, 40)))])
    gaps, inputs, shares, outputs, classes, sessions, seeds = rows.T
    step_us = replica.steps.at(replica.max_sequences, 10.0 * replica.max_sequences)
    work_us = outputs.sum() * step_us / replica.max_sequences + float(replica.prompts.us[0, 1]) * len(rows)
    load = draw(st.integers(1, 4)) * draw(st.sampled_from((0.1, 0.5, 0.8, 1.05, 2.0)))
    span = 1 + int(work_us / load)
    columns = {
        "arrival_us": np.cumsum(gaps) * span / max(gaps.sum(), 1),
        "input_tokens": inputs,
        "cached_input_tokens": np.floor(inputs * shares),
        "output_tokens": outputs,
        "class_id": classes,
        "session_id": sessions,
    }
    block_tokens = draw(st.sampled_from((0, 0, 0, 4, 16)))
    chains = [chain(int(tokens), int(seed), block_tokens or 8) for tokens, seed in zip(inputs, seeds, strict=True)]
    blocks = {}
    if block_tokens or draw(st.sampled_from((False, False, True))):
        blocks["block_from"] = np.cumsum([0, *(len(each) for each in chains)])
        blocks["block_ids"] = np.array([block for each in chains for block in each], np.int64)
    follows, think = draw(followers(len(rows), span))
    return IterationCase(
        replica=replica,
        lives=draw(lives(span, False)),
        rules=QueueRules(
            prefill_balancer=draw(st.sampled_from(EXACT)),
            seed=draw(st.integers(0, 1000)),
            queue_limit=draw(st.sampled_from((0, 0, 1, 3))),
            timeout_us=draw(st.sampled_from((inf, inf, 0.0, span / 16, span / 4))),
            retries=draw(st.sampled_from((0, 0, 1, 3))),
            retry_after_us=draw(st.sampled_from((0.25, span / 16, span / 2))),
            block_tokens=block_tokens,
        ),
        requests=Requests(**{name: column.astype(np.int64) for name, column in columns.items()}, **blocks),
        end_us=draw(st.sampled_from((*[span * 100.0] * 3, span * 1.5, float(span), float(span // 2)))),
        follows=follows,
        think_us=think,
    )


def until(end_us: float, classes: int = 3) -> Span:
    return Span(from_us=0.0, to_us=end_us + 1.0, end_us=end_us, classes=classes)


def run_engine(case: IterationCase, chunks: Iterable[int] = (), span: Span | None = None) -> IterationStage:
    """To the end, fed in chunks that end before these rows; arrays begin small and have to grow."""
    requests, first = case.requests, FirstSizes(pool=4, affinities=2)
    stage = IterationStage(
        case.replica, case.lives, case.rules, span or until(case.end_us), keep=len(requests), first=first
    )
    if len(case.follows):
        stage.follow(requests, case.follows, case.think_us)
    else:
        for begin, end in pairwise([0, *chunks, len(requests)]):
            stage.feed(requests.part(slice(begin, end)))
    stage.finish()
    return stage


def run_reference(case: IterationCase) -> Iterations:
    reference = Iterations(case.replica, case.lives, case.rules, case.requests, case.follows, case.think_us)
    reference.run(case.end_us)
    return reference


def fared(stage: IterationStage) -> list[tuple[object, ...]]:
    """What became of each request, as `wanted` has it."""
    return [
        (
            STATUS.get(int(kept["status"]), "in-flight") if np.isnan(kept["finish_us"]) else "completed",
            *(float(kept[name]) for name in ("first_us", "finish_us")),
            *(int(kept[name]) for name in ("unit", "step", "moved", "lost", "preempted")),
        )
        for kept in stage.kept
    ]


def wanted(request: Asked) -> tuple[object, ...]:
    times, counts = (request.first, request.finish), (request.moved, request.lost, request.preempted)
    return request.status, *times, request.unit, request.step, *counts


def compare(case: IterationCase, chunks: Iterable[int]) -> Iterations:
    """Assert that requests, units and samples are those of the reference, to the last bit."""
    reference, stage = run_reference(case), run_engine(case, chunks)
    assert repr(fared(stage)) == repr([wanted(request) for request in reference.requests])
    assert repr(stage.drain_us.tolist()) == repr([unit.drained for unit in reference.units])
    for name, values in (
        ("passed", [unit.steps for unit in reference.units]),
        ("steps", [unit.row_steps for unit in reference.units]),
        ("preempted", [unit.preempted for unit in reference.units]),
        ("moved", [unit.moved for unit in reference.units]),
        ("lost", [unit.lost[1] for unit in reference.units]),
    ):
        assert stage.work[name].tolist() == values, name
    assert stage.prompts.units["lost"].tolist() == [unit.lost[0] for unit in reference.units]
    names = ("at_us", "tokens", "requests", "kv", "streams")
    assert [tuple(float(row[name]) for name in names) for row in stage.samples] == reference.samples
    came, hours = [reference.requests[seq] for seq in reference.came], stage.prompts.hours
    assert hours["hit_tokens"].sum() == sum(request.hits for request in came)
    assert hours["input_tokens"].sum() == sum(request.tokens for request in came)
    assert hours["retried"].sum() == sum(request.tries for request in came)
    return reference
