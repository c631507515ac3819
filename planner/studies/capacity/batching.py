"""What batching costs and gains with a model on a kind of node: curves, windows, rules, pipelines, one user alone."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from planner.capacity.engines import decode_engine, notes
from planner.catalogue.read import batching, hardware
from planner.core.fleet.batching import (
    DepthRule,
    batch_at,
    collect,
    idle_expert_probability,
    pipeline_bubble,
    ridge_tokens,
    single_stream_roofline,
    tokens_per_expert,
)
from planner.core.fleet.decode import OVERLAPS, step_us, tokens_per_s_per_node
from planner.core.fleet.engine import Engine
from planner.core.fleet.operating import ImbalanceAt, operating_point, usd_per_million_tokens, usd_per_node_hour
from planner.core.fleet.prefill import us_per_missed_token
from planner.errors import UsageError
from planner.settings.workloads import BatchingFile
from planner.studies.capacity.overview import Study, over_batch
from planner.units import S_PER_HOUR

WINDOWS_MS = (0.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2000.0)
"""Collection windows that are compared. Assumed: from none to what a user notices."""
USED = 0.5
"""Share of a GPU's prefill that arrivals use where no rate is given. Assumed."""


def batching_study(
    study: Study,
    *,
    arrivals_per_s: float | None = None,
    windows_ms: Sequence[float] = WINDOWS_MS,
    tick_ms: float = 0.0,
    most: int = 8,
    file: str = "deepseek-r1",
) -> dict[str, Any]:
    """Every view on batching of one engine, JSON-ready. arrivals_per_s: of one GPU's prefill. Raises UsageError."""
    what_ifs = batching(file)
    engine, imbalance_at = study.decode()
    return {
        "notes": notes(study.settings),
        "node": engine.hardware.name,
        "model": engine.model.name,
        "curve": _curve(study, engine),
        "collection": _windows(study, arrivals_per_s, windows_ms, tick_ms, most),
        "queue_depth_rules": _rules(study, engine, imbalance_at, what_ifs),
        "pipeline_bubbles": [
            {**item.model_dump(), "bubble": pipeline_bubble(item.stages, item.micro_batches)}
            for item in what_ifs.pipeline
        ],
        "ridge_tokens": ridge_tokens(engine) if engine.model.experts else None,
        "one_user": one_user(study, what_ifs),
        "sources": what_ifs.provenance,
    }


def one_user(study: Study, what_ifs: BatchingFile) -> dict[str, Any]:
    """One user alone on one node beside the fleet: what the memory allows, the model says and users report."""
    node = hardware(study.settings.hardware)
    served, imbalance_at = study.decode()
    fleet = operating_point(served, study.workload.kv_tokens, study.target_ms, imbalance_at)
    alone = study.settings.model_copy(
        update={"weights": what_ifs.single_user.weights, "redundant_experts": 0, "calibration": None}
    )
    try:
        engine = decode_engine(alone, node.gpus_per_node)
    except UsageError as error:
        return {"weights": what_ifs.single_user.weights, "fits": False, "memory": str(error)}
    step = float(step_us(engine, 1 / node.gpus_per_node, study.workload.kv_tokens))
    rates = {
        "roofline": single_stream_roofline(engine, node.gpus_per_node),
        "modelled": 1e6 / step,
        "reported": what_ifs.single_user.reported_tokens_per_s,
    }
    an_hour = usd_per_node_hour(engine)
    costs = {name: an_hour / (rate * S_PER_HOUR) * 1e6 for name, rate in rates.items()}
    return {
        "weights": what_ifs.single_user.weights,
        "fits": True,
        "memory": f"{engine.weights_gb:.1f} GB of weights per GPU leave {engine.kv_gb:.1f} GB",
        "tokens_per_s": rates,
        "usd_per_million_tokens": costs,
        "fleet_usd_per_million_tokens": fleet.usd_per_million_tokens,
        "times_the_fleet": {name: cost / fleet.usd_per_million_tokens for name, cost in costs.items()},
        "why": (
            "one stream reads the weights of its experts for one token; in the fleet "
            f"{fleet.streams:g} streams on each GPU share every read, and no GPU holds more than a few experts"
        ),
    }


def _curve(study: Study, engine: Engine) -> list[dict[str, Any]]:
    """Batch 1 to the cap; with experts also the tokens that each gets and how often one gets none."""
    rows = over_batch(study)
    if engine.model.experts is None:
        return rows
    batches = 2 if engine.splits_batches else 1
    tokens = np.array([row["streams"] for row in rows]) * engine.rows_per_stream * engine.expert_parallel / batches
    spread = zip(tokens_per_expert(engine.model, tokens), idle_expert_probability(engine.model, tokens), strict=True)
    return [
        {**row, "tokens_per_expert": float(each), "idle_expert_probability": float(idle)}
        for row, (each, idle) in zip(rows, spread, strict=True)
    ]


def _windows(
    study: Study, arrivals_per_s: float | None, windows_ms: Sequence[float], tick_ms: float, most: int
) -> dict[str, Any]:
    """Prompts collected for one GPU's prefill, by window."""
    engine, load = study.prefill, study.workload
    missed = load.input_tokens * (1 - load.hit_ratio)
    each_s = float(us_per_missed_token(engine, load.missed_context_tokens)) * missed / 1e6
    pass_s = engine.model.layers * engine.overheads.layer_us / 1e6

    def service_s(batch: float) -> float:
        return pass_s + batch * each_s

    rate = USED / each_s if arrivals_per_s is None else arrivals_per_s
    rows = [
        {"window_ms": window, **asdict(collect(window / 1e3, rate, most, service_s, tick_ms / 1e3))}
        for window in windows_ms
    ]
    return {"arrivals_per_s": rate, "largest_batch": most, "tick_ms": tick_ms, "prompt_ms": each_s * 1e3, "rows": rows}


def _rules(study: Study, engine: Engine, imbalance_at: ImbalanceAt, what_ifs: BatchingFile) -> list[dict[str, Any]]:
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
            {
                "from_depth": rule.from_depth,
                "streams": batch,
                "overlap": on < off,
                "tpot_ms": min(on, off) / engine.accepted / 1e3,
                "tokens_per_s_per_node": rate,
                "usd_per_million_tokens": usd_per_million_tokens(engine, rate),
            }
        )
    return rows
