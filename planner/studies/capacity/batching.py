"""Costs and gains of batching with a model on a kind of node: curves, windows, rules, pipelines, a single user."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from planner.capacity.documents import BatchRow
from planner.capacity.engines import decode_engine, notes
from planner.catalogue.read import batching, hardware
from planner.core.fleet.batching import (
    CollectedBatch,
    DepthRule,
    batch_at,
    collect,
    idle_expert_probability,
    pipeline_bubble,
    ridge_tokens,
    single_stream_roofline,
    tokens_per_expert,
)
from planner.core.fleet.decode import step_us, tokens_per_s_per_node
from planner.core.fleet.engine import Engine
from planner.core.fleet.operating import ImbalanceAt, operating_point, usd_per_million_tokens, usd_per_node_hour
from planner.core.fleet.prefill import us_per_missed_token
from planner.core.fleet.step import OVERLAPS, pass_overheads_us
from planner.documents import Document, Maybe
from planner.errors import UsageError
from planner.settings.closed import WeightDtype
from planner.settings.workloads import BatchingFile
from planner.studies.capacity.curves import sweep_batch
from planner.studies.capacity.study import EngineStudy
from planner.units import S_PER_HOUR

WINDOWS_MS = (0.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2000.0)
"""Collection windows that are compared. Assumed: from none to what a user notices."""
USED = 0.5
"""Share of a GPU's prefill that arrivals use where no rate is given. Assumed."""


@dataclass(frozen=True, kw_only=True)
class BatchingRow(BatchRow):
    """Decode at one batch, and what it means for the experts of a model that has them."""

    tokens_per_expert: Maybe[float] = None
    """Mean tokens per routed expert in a step."""
    idle_expert_probability: Maybe[float] = None
    """Probability that an expert gets no token in a step."""


@dataclass(frozen=True, kw_only=True)
class WindowLength(Document):
    """One collection window."""

    window_ms: float


@dataclass(frozen=True, kw_only=True)
class WindowRow(CollectedBatch, WindowLength):
    """Prompts collected in one window."""


@dataclass(frozen=True, kw_only=True)
class PromptCollection(Document):
    """Prompts collected for one GPU's prefill, by window."""

    arrivals_per_s: float
    largest_batch: int
    tick_ms: float
    """How often the server checks its queue; 0: at once."""
    prompt_ms: float
    """Prefill of one prompt, without the overhead of a pass."""
    rows: tuple[WindowRow, ...]


@dataclass(frozen=True, kw_only=True)
class DepthRuleRow(Document):
    """Decode at the batch that a rule chooses for a queue length and above."""

    from_depth: int
    """Requests waiting."""
    streams: float
    """Per GPU."""
    overlap: bool
    """Whether two overlapped micro-batches are faster than one batch."""
    tpot_ms: float
    tokens_per_s_per_node: float
    usd_per_million_tokens: float


@dataclass(frozen=True, kw_only=True)
class PipelineBubble(Document):
    """A pipeline, and the share of the time that it idles."""

    stages: int
    micro_batches: int
    bubble: float


@dataclass(frozen=True, kw_only=True)
class OneUserFigures(Document):
    """A figure of a single user, by the source of the speed."""

    roofline: float
    """Memory bandwidth over the bytes of the active weights."""
    modelled: float
    reported: float
    """Reported by users of such a node."""


@dataclass(frozen=True, kw_only=True)
class OneUserMemory(Document):
    """Whether the model fits on one node for a single user."""

    weights: WeightDtype
    fits: bool
    memory: str
    """How the memory is divided, or why the model does not fit."""


@dataclass(frozen=True, kw_only=True)
class OneUser(OneUserMemory):
    """A single user on one node that the model fits on, compared with the fleet."""

    fits: Literal[True] = True
    tokens_per_s: OneUserFigures
    usd_per_million_tokens: OneUserFigures
    fleet_usd_per_million_tokens: float
    times_the_fleet: OneUserFigures
    """Cost per token over the fleet's."""
    why: str


@dataclass(frozen=True, kw_only=True)
class BatchingDocument(Document):
    """What batching costs and gains."""

    notes: tuple[str, ...]
    node: str
    model: str
    curve: tuple[BatchingRow, ...]
    """Decode from batch 1 to the memory limit."""
    collection: PromptCollection
    queue_depth_rules: tuple[DepthRuleRow, ...]
    pipeline_bubbles: tuple[PipelineBubble, ...]
    ridge_tokens: float | None
    """Tokens over all GPUs from which an expert is compute-bound; null for a dense model."""
    one_user: OneUser | OneUserMemory
    sources: dict[str, str]
    """Where the rules, pipelines and reports come from."""


def study_batching(
    study: EngineStudy,
    *,
    arrivals_per_s: float | None = None,
    windows_ms: Sequence[float] = WINDOWS_MS,
    tick_ms: float = 0.0,
    most: int = 8,
    file: str = "deepseek-r1",
) -> BatchingDocument:
    """All figures on batching of one engine. arrivals_per_s: of one GPU's prefill. Raises UsageError."""
    what_ifs = batching(file)
    engine, imbalance_at = study.decode()
    return BatchingDocument(
        notes=tuple(notes(study.settings)),
        node=engine.hardware.name,
        model=engine.model.name,
        curve=_curve(study, engine),
        collection=_collect(study, arrivals_per_s, windows_ms, tick_ms=tick_ms, most=most),
        queue_depth_rules=_apply_rules(study, engine, imbalance_at, what_ifs),
        pipeline_bubbles=tuple(
            PipelineBubble(
                stages=each.stages,
                micro_batches=each.micro_batches,
                bubble=pipeline_bubble(each.stages, each.micro_batches),
            )
            for each in what_ifs.pipeline
        ),
        ridge_tokens=ridge_tokens(engine) if engine.model.experts else None,
        one_user=_serve_one_user(study, what_ifs),
        sources=what_ifs.provenance,
    )


def _serve_one_user(study: EngineStudy, what_ifs: BatchingFile) -> OneUser | OneUserMemory:
    """A single user on one node compared with the fleet: by memory, by the model and as reported by users."""
    node, single = hardware(study.settings.hardware), what_ifs.single_user
    served, imbalance_at = study.decode()
    fleet = operating_point(served, study.workload.kv_tokens, study.target_ms, imbalance_at)
    alone = study.settings.model_copy(update={"weights": single.weights, "redundant_experts": 0, "calibration": None})
    try:
        engine = decode_engine(alone, node.gpus_per_node)
    except UsageError as error:
        return OneUserMemory(weights=single.weights, fits=False, memory=str(error))
    step = float(step_us(engine, 1 / node.gpus_per_node, study.workload.kv_tokens))
    rates = OneUserFigures(
        roofline=single_stream_roofline(engine, node.gpus_per_node),
        modelled=1e6 / step,
        reported=single.reported_tokens_per_s,
    )
    an_hour = usd_per_node_hour(engine)
    costs = OneUserFigures(**{name: an_hour / (rate * S_PER_HOUR) * 1e6 for name, rate in vars(rates).items()})
    return OneUser(
        weights=single.weights,
        memory=f"{engine.weights_gb:.1f} GB of weights per GPU leave {engine.kv_gb:.1f} GB",
        tokens_per_s=rates,
        usd_per_million_tokens=costs,
        fleet_usd_per_million_tokens=fleet.usd_per_million_tokens,
        times_the_fleet=OneUserFigures(
            **{name: cost / fleet.usd_per_million_tokens for name, cost in vars(costs).items()}
        ),
        why=(
            "one stream reads the weights of its experts for one token; in the fleet "
            f"{fleet.streams:g} streams on each GPU share every read, and no GPU holds more than a few experts"
        ),
    )


def _curve(study: EngineStudy, engine: Engine) -> tuple[BatchingRow, ...]:
    """Batch 1 to the memory limit; with experts also the tokens of each and the probability of none."""
    rows = sweep_batch(study)
    if engine.model.experts is None:
        return tuple(BatchingRow(**vars(row)) for row in rows)
    batches = 2 if engine.splits_batches else 1
    tokens = np.array([row.streams for row in rows]) * engine.rows_per_stream * engine.expert_parallel / batches
    spread = zip(tokens_per_expert(engine.model, tokens), idle_expert_probability(engine.model, tokens), strict=True)
    return tuple(
        BatchingRow(**vars(row), tokens_per_expert=float(each), idle_expert_probability=float(idle))
        for row, (each, idle) in zip(rows, spread, strict=True)
    )


def _collect(
    study: EngineStudy, arrivals_per_s: float | None, windows_ms: Sequence[float], *, tick_ms: float, most: int
) -> PromptCollection:
    """Prompts collected for one GPU's prefill, by window."""
    engine, load = study.prefill, study.workload
    missed = load.input_tokens * (1 - load.hit_ratio)
    each_s = float(us_per_missed_token(engine, load.missed_context_tokens)) * missed / 1e6
    pass_s = pass_overheads_us(engine) / 1e6

    def service_s(batch: float) -> float:
        return pass_s + batch * each_s

    rate = USED / each_s if arrivals_per_s is None else arrivals_per_s
    rows = (
        WindowRow(window_ms=window, **vars(collect(window / 1e3, rate, most, service_s, tick_s=tick_ms / 1e3)))
        for window in windows_ms
    )
    return PromptCollection(
        arrivals_per_s=rate, largest_batch=most, tick_ms=tick_ms, prompt_ms=each_s * 1e3, rows=tuple(rows)
    )


def _apply_rules(
    study: EngineStudy, engine: Engine, imbalance_at: ImbalanceAt, what_ifs: BatchingFile
) -> tuple[DepthRuleRow, ...]:
    """Decode at the batches that rules by queue depth choose, overlapped or not, whichever is faster."""
    rules = [DepthRule(rule.from_depth, rule.batch) for rule in what_ifs.rule]
    rows = []
    for rule in rules:
        batch = float(batch_at(rules, rule.from_depth))
        imbalance = imbalance_at(np.asarray(batch))
        on, off = (
            float(step_us(replace(engine, overlap=choice), batch, study.workload.kv_tokens, imbalance=imbalance))
            for choice in OVERLAPS
        )
        rate = float(tokens_per_s_per_node(engine, batch, min(on, off)))
        rows.append(
            DepthRuleRow(
                from_depth=rule.from_depth,
                streams=batch,
                overlap=on < off,
                tpot_ms=min(on, off) / engine.accepted / 1e3,
                tokens_per_s_per_node=rate,
                usd_per_million_tokens=usd_per_million_tokens(engine, rate),
            )
        )
    return tuple(rows)
