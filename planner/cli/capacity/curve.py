"""planner capacity --sweep."""

from pathlib import Path
from typing import TYPE_CHECKING

from planner.cli.capacity.heading import conditions, heading, print_notes
from planner.cli.output import number, print_json, print_line, print_table
from planner.errors import ServingObstacle, UsageError
from planner.runs.bands import BASIS

if TYPE_CHECKING:
    from planner.capacity.documents import CapacityCurve, EpRow
    from planner.studies.capacity.study import EngineStudy

_OBSTACLES: dict[ServingObstacle, str] = {
    "memory": "does not fit",
    "target": "misses target",
    "imbalance": "balance not measured",
}
"""What keeps a unit from serving, abbreviated for the table; --json has the whole reason."""


def show_curve(study: "EngineStudy", what: str, chart: Path | None, as_json: bool) -> None:
    """Print a curve as a table, and draw it if a chart was asked for."""
    from planner.studies.capacity.curves import SWEEPS, sweep

    swept = next((name for name in SWEEPS if name == what), None)
    if swept is None:
        raise UsageError(f'no curve over "{what}"; use --sweep {", ".join(SWEEPS)}')
    curve = sweep(study, swept)
    fixed = conditions(curve, swept=swept, gpus=study.prefill_gpus if swept == "hit" else study.decode_gpus)
    if chart is not None:
        from planner.report.curves import write_curve

        write_curve(curve, chart, fixed)
    if as_json:
        print_json(curve)
        return
    print_line(f"{heading(curve)}, {fixed}")
    _print_rows(curve)
    print_line(
        f"  90 % band of these times: {curve.times.low:.2f} to {curve.times.high:.2f}, {BASIS[curve.times.measured]}"
    )
    print_notes(curve.notes)
    if chart is not None:
        print_line(f"{chart}")


def _print_rows(curve: "CapacityCurve") -> None:
    """The rows as a table: a column for each of their fields."""
    from planner.capacity.documents import EpRow

    columns = [name for name in vars(curve.rows[0]) if name not in ("why", "reason")]
    heads = [name.replace("_", " ") for name in columns]
    rows = [[_figure(name, getattr(row, name)) for name in columns] for row in curve.rows]
    if curve.sweep == "ep":
        heads.append("<why")
        rows = [[*cells, _why(row)] for cells, row in zip(rows, curve.rows, strict=True) if isinstance(row, EpRow)]
    print_table(heads, rows)


def _why(row: "EpRow") -> str:
    """Why a unit serves no more, or not at all, in a few words."""
    if row.streams:
        return row.why
    return _OBSTACLES[row.reason] if row.reason else "cannot serve"


def _figure(name: str, value: object) -> object:
    if name.startswith("usd") and isinstance(value, float):
        return f"${value:,.4f}"
    if isinstance(value, float):
        return number(value) if value == int(value) or abs(value) >= 1000 else number(value, 2)
    return value
