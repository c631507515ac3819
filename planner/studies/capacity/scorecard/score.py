"""How far the capacity model is from a file of measured points: by metric, GPU, model, engine and concurrency."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from planner.capacity.setups import engine_name, gpu_name
from planner.documents import Document
from planner.errors import PlannerError
from planner.studies.capacity.measured.points_table import PointsTable
from planner.studies.capacity.scorecard.cases import Case, cases_of, predicted
from planner.studies.capacity.scorecard.streams import StreamFigures, stream_figures, stream_ratios
from planner.units import Floats

CONCURRENCIES = (1, 8, 32, 128)
"""Ends of the groups by concurrency, as benchmarks step it."""
LOW_CONCURRENCY = 8.0
"""Up to which a time to the first token is judged: beyond, it is waiting in a queue that a benchmark made."""


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
    values, reasons = _predict(cases, len(frame))
    known = frame.with_columns(pl.Series("planner_model", values)).filter(pl.Series(~np.isnan(values)))
    errors = known["planner_model"].to_numpy() / known["value"].to_numpy() - 1
    scored = known.with_columns(pl.Series("planner_error", errors))
    return Scorecard(
        file=table.source,
        points=len(table.frame),
        suspect=len(table.frame) - len(frame),
        expressible=len(known),
        inexpressible=_inexpressible(reasons),
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
            )
            for row in scored.iter_rows(named=True)
        ),
        notes=table.notes,
    )


def _predict(cases: Sequence[Case], count: int) -> tuple[Floats, list[str | None]]:
    values: Floats = np.full(count, np.nan)
    reasons: list[str | None] = [None] * count
    for case in cases:
        if case.engine is None:
            found, why = np.full(len(case.index), np.nan, np.float64), [case.why] * len(case.index)
        else:
            found, why = predicted(case, case.engine)
        values[case.index] = found
        for place, reason in zip(case.index, why, strict=True):
            reasons[place] = reason
    return values, reasons


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
        covered_90=None,
    )


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
