"""Schedules to export, made by hand."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from planner.catalogue.scenarios import load_scenario
from planner.core.demand import Grid
from planner.export.formats.schedule import Charge, ExportSchedule, RoleUnits, TrainingWindow
from planner.units import to_us

EXPORT = load_scenario().scenario.export


def schema_of(name: str) -> dict[str, Any]:
    """What a target publishes of its objects or calls."""
    found: dict[str, Any] = json.loads((Path(__file__).parents[1] / "data" / "schemas" / f"{name}.json").read_text())
    return found


def schedule(
    prefill: list[int],
    decode: list[int] | None = None,
    *,
    start: datetime = datetime(2026, 6, 1, tzinfo=UTC),
    zone: str = "UTC",
    interval_s: int = 3600,
    lent: tuple[TrainingWindow, ...] = (),
    **export: str,
) -> ExportSchedule:
    """A schedule of two roles, of 4 and 18 nodes a unit."""
    grid = Grid(to_us(start), interval_s, len(prefill))
    return ExportSchedule(
        run_id="run-00001",
        scenario="small",
        policy="fixed",
        zone=ZoneInfo(zone),
        grid=grid,
        roles=(
            RoleUnits(name="prefill", workload="prefill", nodes_per_unit=4, units=np.array(prefill)),
            RoleUnits(
                name="decode", workload="decode", nodes_per_unit=18, units=np.array(decode or [2] * len(prefill))
            ),
        ),
        training_nodes=np.zeros(len(prefill), np.int64),
        lent=lent,
        charges=(),
        node_type="H800",
        gpus_per_node=8,
        drain_deadline_s=120,
        settings=EXPORT.model_copy(update=export),
    )


def aggregated(units: list[int], *, units_per_node: int = 4, **names: Any) -> ExportSchedule:
    """A schedule of units that do both, several to a node. names: as those of `schedule`."""
    both = RoleUnits(
        name="aggregated",
        workload="inference",
        nodes_per_unit=1,
        units=np.array(units),
        units_per_node=units_per_node,
    )
    return replace(schedule(units, **names), roles=(both,))


def small(**export: str) -> ExportSchedule:
    """A day of six steps and two training windows, costing 16 USD per node-hour."""
    start = datetime(2026, 6, 1, 4, tzinfo=UTC)
    prefill = [29] * 12 + [20] * 2 + [8] * 6 + [20, 26, 29, 29]
    decode = [9] * 12 + [6] * 2 + [2] * 6 + [6, 8, 9, 9]
    at = [to_us(start + timedelta(hours=hour)) for hour in range(25)]
    plan = schedule(
        prefill,
        decode,
        start=start,
        zone="Asia/Shanghai",
        lent=(TrainingWindow(at[12], at[20], 90), TrainingWindow(at[14], at[20], 120)),
        **export,
    )
    held = [4 * p + 18 * d for p, d in zip(prefill, decode, strict=True)]
    lent = [0] * 12 + [90] * 2 + [210] * 6 + [0] * 4
    charges = [
        Charge(
            start_us=at[hour],
            end_us=at[hour + 1],
            use=use,
            node_s=nodes * 3600,
            cost_usd_micros=nodes * 16_000_000,
        )
        for hour in range(24)
        for use, nodes in (
            ("inference", held[hour]),
            ("training", lent[hour]),
            ("idle", 278 - held[hour] - lent[hour]),
        )
    ]
    return replace(plan, charges=tuple(charges))


def lending(**export: str) -> ExportSchedule:
    """The same day, with the nodes that it lends in every interval."""
    return replace(small(**export), training_nodes=np.array([0] * 12 + [90] * 2 + [210] * 6 + [0] * 4))
