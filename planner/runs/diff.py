"""What differs between two stored runs."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from planner.core.fleet.units import EVERY_ROLE
from planner.documents import Document, Time
from planner.runs.read import RunView

Figure = int | float | str | Time | None


@dataclass(frozen=True, kw_only=True)
class RunDifference(Document):
    """What differs between two runs: settings, figures, and intervals with other nodes or units."""

    runs: tuple[str, str]
    settings: dict[str, tuple[Any, Any]]
    """By path of the scenario's field: its value in either run; null if one has no such field."""
    figures: dict[str, tuple[Figure, Figure]]
    """By name of the figure: its value in either run."""
    same_intervals: bool
    """Whether both runs have intervals of the same length; if not, intervals are not compared."""
    intervals_compared: int
    intervals_with_other_nodes: int
    intervals_with_other_units: int


def diff_runs(before: RunView, after: RunView) -> RunDifference:
    """What differs between two runs."""
    settings = {
        path: values
        for path, values in _changed(json.loads(before.record.settings), json.loads(after.record.settings)).items()
        if not path.startswith("provenance")
    }
    figures = (_figures_of(before), _figures_of(after))
    left_out = ("run_id", "created_at", "result_digest")
    names = [name for name in dict.fromkeys((*figures[0], *figures[1])) if name not in left_out]
    pairs = {name: (figures[0].get(name), figures[1].get(name)) for name in names}
    same_length = before.summary.interval_s == after.summary.interval_s
    comparable = before.intervals if same_length else before.intervals.clear()
    both = comparable.join(after.intervals, on="interval_start", how="inner", suffix="_other")
    units = [f"{role}_units" for role in EVERY_ROLE]
    return RunDifference(
        runs=(before.summary.run_id, after.summary.run_id),
        settings=settings,
        figures={name: pair for name, pair in pairs.items() if pair[0] != pair[1]},
        same_intervals=same_length,
        intervals_compared=both.height,
        intervals_with_other_nodes=_differ(both, ["inference_nodes"]),
        intervals_with_other_units=_differ(both, units),
    )


def _differ(both: pl.DataFrame, columns: list[str]) -> int:
    """Rows in which any of the columns differs between two runs."""
    return both.filter(pl.any_horizontal(pl.col(name) != pl.col(f"{name}_other") for name in columns)).height


def _figures_of(run: RunView) -> Mapping[str, Figure]:
    """The figures of a run, those of its training jobs under names of their own."""
    jobs = vars(run.jobs.summary) if run.jobs else {}
    return {**vars(run.summary), **{f"training_jobs.{name}": value for name, value in jobs.items()}}


def _changed(before: Any, after: Any, path: str = "") -> dict[str, tuple[Any, Any]]:
    """The leaves of two trees of JSON that differ, by path."""
    if isinstance(before, dict) and isinstance(after, dict):
        changes: dict[str, tuple[Any, Any]] = {}
        for key in dict.fromkeys((*before, *after)):
            changes |= _changed(before.get(key), after.get(key), f"{path}.{key}" if path else key)
        return changes
    return {path: (before, after)} if before != after else {}
