"""How far the capacity model is from a file of measured points: by metric, GPU, model, engine and concurrency."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from planner.capacity.bands import widths
from planner.capacity.setups import engine_name, gpu_name
from planner.core.fleet.engine import Engine
from planner.documents import Document
from planner.errors import PlannerError
from planner.settings.bands import Metric
from planner.studies.capacity.measured.points_table import PointsTable
from planner.studies.capacity.scorecard.cases import Case, Predictions, cases_of, predicted
from planner.studies.capacity.scorecard.streams import StreamFigures, stream_figures, stream_ratios
from planner.units import Floats

CONCURRENCIES = (1, 8, 32, 128)
"""Ends of the groups by concurrency, as benchmarks step it."""
LOW_CONCURRENCY = 8.0
"""Up to which a time to the first token is judged: beyond, it is waiting in a queue that a benchmark made."""


METRICS: dict[str, Metric] = {
    "tpot_ms": "tpot",
    "ttft_ms": "ttft",
    "tokens_per_s": "throughput",
    "prefill_ms": "prefill",
}
"""Metrics that have a band, by their names in files of points."""


@dataclass(frozen=True, kw_only=True)
class ErrorFigures(Document):
    """Errors of a number of points: relative, model over measured less one."""

    count: int
    median: float | None
    """Median of the errors' sizes."""
    p90: float | None
    """Size that nine in ten errors do not exceed."""
    bias: float | None
    """Median error with its sign."""
    within_20: float | None
    """Share of points whose error is at most a fifth."""
    covered_90: float | None
    """Share of points inside the model's 90 % band; null where it has none."""


@dataclass(frozen=True, kw_only=True)
class GroupErrors(ErrorFigures):
    """Errors of the points of one group."""

    group: str
    metric: str


@dataclass(frozen=True, kw_only=True)
class ScoredPoint(Document):
    """One point and what the model says."""

    id: str
    metric: str
    measured: float
    model: float
    error: float
    """Relative: model over measured, less one."""
    low: float | None
    """Lower end of the model's 90 % band; null where it has none."""
    high: float | None
    """Upper end."""


@dataclass(frozen=True, kw_only=True)
class Inexpressible(Document):
    """Points that the model cannot say anything of, and why."""

    points: int
    why: str


@dataclass(frozen=True, kw_only=True)
class Scorecard(Document):
    """The capacity model compared with a file of measured points."""

    file: str
    points: int
    """In the file."""
    suspect: int
    """Marked as wrong in the file, and left out of all errors."""
    expressible: int
    """That the model has a figure for."""
    inexpressible: tuple[Inexpressible, ...]
    tpot: ErrorFigures
    ttft: ErrorFigures
    """At a concurrency of at most 8."""
    throughput: ErrorFigures
    """Output tokens per second, at full load or of a batch."""
    prefill: ErrorFigures
    """Time to compute the prompts of a batch."""
    streams: StreamFigures
    """Most streams within a target for the time per output token."""
    by_gpu: tuple[GroupErrors, ...]
    by_model: tuple[GroupErrors, ...]
    by_engine: tuple[GroupErrors, ...]
    by_concurrency: tuple[GroupErrors, ...]
    rows: tuple[ScoredPoint, ...]
    notes: tuple[str, ...]


def score(table: PointsTable) -> Scorecard:
    """The model's errors on all points of a table that are not suspect and that it can express."""
    frame = table.frame.filter(~pl.col("suspect"))
    cases = list(cases_of(frame))
    said = _predict(cases, len(frame))
    known = frame.with_columns(said.table).filter(pl.col("planner_model").is_not_nan())
    errors = known["planner_model"].to_numpy() / known["value"].to_numpy() - 1
    scored = known.with_columns(pl.Series("planner_error", errors))
    return Scorecard(
        file=table.source,
        points=len(table.frame),
        suspect=len(table.frame) - len(frame),
        expressible=len(known),
        inexpressible=_inexpressible(said.reasons),
        tpot=_figures(_of(scored, "tpot_ms")),
        ttft=_figures(_of(scored, "ttft_ms").filter(pl.col("concurrency") <= LOW_CONCURRENCY)),
        throughput=_figures(_of(scored, "tokens_per_s")),
        prefill=_figures(_of(scored, "prefill_ms")),
        streams=stream_figures(stream_ratios(case, case.engine) for case in cases if case.engine is not None),
        by_gpu=_grouped(scored, "gpu", gpu_name),
        by_model=_grouped(scored, "model", str),
        by_engine=_grouped(scored, "backend", _engine_word),
        by_concurrency=_by_concurrency(scored),
        rows=tuple(
            ScoredPoint(
                id=row["id"],
                metric=row["metric"],
                measured=row["value"],
                model=row["planner_model"],
                error=row["planner_error"],
                low=None if np.isnan(row["planner_low"]) else row["planner_low"],
                high=None if np.isnan(row["planner_high"]) else row["planner_high"],
            )
            for row in scored.iter_rows(named=True)
        ),
        notes=table.notes,
    )


@dataclass(frozen=True)
class _Said:
    """What the model says of each row: a table of values and ends of bands, NaN where there are none; and why."""

    table: pl.DataFrame
    reasons: list[str | None]


def _predict(cases: Sequence[Case], count: int) -> _Said:
    values, lows, highs = (np.full(count, np.nan) for _ in range(3))
    reasons: list[str | None] = [None] * count
    for case in cases:
        if case.engine is None:
            for place in case.index:
                reasons[place] = case.why
            continue
        said = predicted(case, case.engine)
        values[case.index] = said.values
        lows[case.index], highs[case.index] = _bands(case, case.engine, said)
        for place, reason in zip(case.index, said.reasons, strict=True):
            reasons[place] = reason
    return _Said(pl.DataFrame({"planner_model": values, "planner_low": lows, "planner_high": highs}), reasons)


def _bands(case: Case, engine: Engine, said: Predictions) -> tuple[Floats, Floats]:
    """Both ends of the 90 % band of each row."""
    low, high = (np.full(len(said.values), np.nan) for _ in range(2))
    for name, metric in METRICS.items():
        rows = (case.rows["metric"] == name).to_numpy()
        below, above = widths(engine, metric, prompt_share=said.prompt_shares[rows])
        if metric == "throughput":
            below, above = above, below
        low[rows], high[rows] = said.values[rows] * np.exp(-below), said.values[rows] * np.exp(above)
    return low, high


def _inexpressible(reasons: Sequence[str | None]) -> tuple[Inexpressible, ...]:
    told = [reason for reason in reasons if reason is not None]
    counts = {reason: told.count(reason) for reason in dict.fromkeys(told)}
    return tuple(Inexpressible(points=count, why=why) for why, count in sorted(counts.items(), key=lambda x: -x[1]))


def _engine_word(backend: str | None) -> str:
    try:
        return engine_name(backend)
    except PlannerError:
        return backend or "not told"


def _of(scored: pl.DataFrame, metric: str) -> pl.DataFrame:
    return scored.filter(pl.col("metric") == metric)


def _figures(rows: pl.DataFrame) -> ErrorFigures:
    errors = rows["planner_error"].to_numpy()
    if not len(errors):
        return ErrorFigures(count=0, median=None, p90=None, bias=None, within_20=None, covered_90=None)
    sizes = np.abs(errors)
    return ErrorFigures(
        count=len(errors),
        median=float(np.median(sizes)),
        p90=float(np.quantile(sizes, 0.9)),
        bias=float(np.median(errors)),
        within_20=float(np.mean(sizes <= 0.2)),
        covered_90=_covered(rows),
    )


def _covered(rows: pl.DataFrame) -> float | None:
    """Share of points inside their band; None where there are no bands."""
    banded = rows.filter(pl.col("planner_low").is_not_nan())
    if not len(banded):
        return None
    inside = (banded["value"] >= banded["planner_low"]) & (banded["value"] <= banded["planner_high"])
    return float(inside.to_numpy().mean())


def _grouped(scored: pl.DataFrame, column: str, named: Callable[[str], str]) -> tuple[GroupErrors, ...]:
    words = {word: named(word) for word in scored[column].unique().to_list()}
    named_rows = scored.with_columns(pl.Series("planner_group", [words[word] for word in scored[column].to_list()]))
    return tuple(
        GroupErrors(group=str(group), metric=str(metric), **vars(_figures(rows)))
        for (group, metric), rows in sorted(named_rows.group_by("planner_group", "metric"), key=lambda x: x[0])
    )


def _by_concurrency(scored: pl.DataFrame) -> tuple[GroupErrors, ...]:
    groups = []
    low = 0
    for high in (*CONCURRENCIES, None):
        inside = scored.filter(
            (pl.col("concurrency") > low) & (pl.lit(True) if high is None else pl.col("concurrency") <= high)
        )
        name = f"above {low}" if high is None else f"{low + 1} to {high}" if high > 1 else "1"
        for (metric,), rows in sorted(inside.group_by("metric"), key=lambda x: x[0]):
            groups.append(GroupErrors(group=name, metric=str(metric), **vars(_figures(rows))))
        low = high or low
    return tuple(groups)
