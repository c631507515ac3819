"""Points of a file by the set-up that they were measured on, and what the model says of each."""

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
import polars as pl

from planner.capacity.setups import Setup, engine_of
from planner.core.fleet.engine import Engine, on_same_kernels
from planner.core.fleet.serving import Load, prefill_us, serve
from planner.errors import PlannerError
from planner.units import Floats

_SETUP_COLUMNS = {
    "model": "model",
    "gpu": "gpu",
    "backend": "backend",
    "backend_version": "backend_version",
    "weights": "weights",
    "kv": "kv",
    "gpus": "n_gpus",
    "tensor_parallel": "tp",
    "data_parallel": "dp",
    "expert_parallel": "moe_ep",
    "expert_tensor": "moe_tp",
}
"""Fields of a set-up by the columns of a file of points."""

STATIC = "static"
"""Word in the column serving of a batch that is prefilled once: no prompt shares its steps."""
FULL_LOAD_USERS = 1e6
"""Users where a point was measured at full load: more than any server has places."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A set-up, and its rows of the table: index is their place in it.

    engine: None where the set-up cannot be expressed; why: the reason then.
    """

    setup: Setup
    index: np.ndarray
    rows: pl.DataFrame
    engine: Engine | None
    gpus: int
    why: str | None


def cases_of(frame: pl.DataFrame) -> Iterator[Case]:
    """The set-ups of a table of points, in the order of their first rows."""
    numbered = frame.with_row_index("row")
    for _, rows in numbered.group_by(*dict.fromkeys(_SETUP_COLUMNS.values()), maintain_order=True):
        first = rows.row(0, named=True)
        setup = Setup(**{each.name: first[_SETUP_COLUMNS[each.name]] for each in fields(Setup)})
        engine, gpus, why = None, setup.server_gpus, None
        try:
            engine, gpus = engine_of(setup)
        except PlannerError as error:
            why = str(error)
        yield Case(setup=setup, index=rows["row"].to_numpy(), rows=rows, engine=engine, gpus=gpus, why=why)


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """What the model says for each row of a case, in the row's unit; NaN, and why, where it cannot say.

    prompt_shares: of times per output token, what prompts of others take.
    """

    values: Floats
    prompt_shares: Floats
    reasons: list[str | None]


def predicted(case: Case, engine: Engine) -> Predictions:
    """What the model says for each row of a case, with the case's engine or another."""
    rows = case.rows
    values: Floats = np.full(len(rows), np.nan)
    shares: Floats = np.zeros(len(rows))
    reasons: list[str | None] = [None] * len(rows)
    for number, row in enumerate(rows.iter_rows(named=True)):
        why = _missing(row)
        if why is not None:
            reasons[number] = why
            continue
        try:
            values[number], shares[number] = _value(engine, case.gpus, row)
        except PlannerError as error:
            reasons[number] = str(error)
    return Predictions(values=values, prompt_shares=shares, reasons=reasons)


def engine_for(engine: Engine, static: bool) -> Engine:
    """The engine that serves users, or a static batch: that is as large as it was measured, be it in a memory that the
    engine would not fill so far."""
    return on_same_kernels(engine, reserve_gb=0.0) if static else engine


def _missing(row: dict[str, object]) -> str | None:
    """What a row would have to tell besides."""
    wanted = ["isl", "osl"] if row["metric"] != "prefill_ms" else ["isl"]
    if row["metric"] != "tokens_per_s" or STATIC in str(row["serving"] or ""):
        wanted.append("concurrency")
    missing = [name for name in wanted if row[name] is None]
    return f"tells no {', '.join(missing)}" if missing else None


def _value(engine: Engine, gpus: int, row: dict[str, object]) -> tuple[float, float]:
    """What the model says of a row, and the share of others' prompts in a time per output token."""
    metric, static = row["metric"], STATIC in str(row["serving"] or "")
    users = FULL_LOAD_USERS if row["concurrency"] is None else float(str(row["concurrency"]))
    inputs, outputs = float(str(row["isl"])), max(float(str(row["osl"] or 1)), 1.0)
    load = Load(concurrency=users, input_tokens=inputs, output_tokens=outputs, prompts_apart=static)
    if metric == "prefill_ms":
        return float(prefill_us(engine, gpus, load)) / 1e3, 0.0
    served = serve(engine_for(engine, static), gpus, load)
    if metric == "tpot_ms":
        return float(served.tpot_us) / 1e3, float(served.prompt_share)
    if metric == "ttft_ms":
        return float(served.ttft_us) / 1e3, 0.0
    whole_us = float(prefill_us(engine, gpus, load)) + float(served.tpot_us) * outputs
    if metric == "e2e_ms":
        return whole_us / 1e3, 0.0
    return (users * outputs / whole_us * 1e6 if static else float(served.tokens_per_s)), 0.0
