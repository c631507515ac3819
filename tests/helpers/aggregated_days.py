"""A fleet of units that do both, four to a node, to compute by hand: a unit carries 10 tokens a second of any kind."""

from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.conftest import Cli

AGGREGATED = (
    "timezone=UTC",
    "interval_s=3600",
    "fleet.serving=aggregated",
    "fleet.nodes=4",
    "fleet.gpus_per_node=8",
    "fleet.unit.gpus=2",
    "fleet.unit.tokens_per_s=[[0, 10], [10, 0]]",
    "fleet.start_up_s=10",
    "fleet.drain_deadline_s=5",
    "training.restore_s=20",
    "policy.name=predictive",
    "policy.demand_source=trace",
    "policy.floor_nodes=0",
    "policy.target_utilisation=1.0",
)
UNITS = [9] * 12 + [6] * 2 + [3] * 6 + [5, 8, 9, 9]
"""Units that the hours of a day need."""
NODES = [3] * 12 + [2] * 2 + [1] * 6 + [2, 2, 3, 3]
"""The whole nodes of these, four units to each."""
PLANNED = [max(hours) for hours in pairwise([*UNITS, 9])]
"""Units that are planned for them: a unit loads for 10 s, so that one that serves from an hour on joins before."""


def sets(*more: str) -> list[str]:
    """Settings as words of a command."""
    return [word for setting in (*AGGREGATED, *more) for word in ("--set", setting)]


def import_day(cli: Cli, folder: Path) -> None:
    """The trace `day`: in each of its hours 36,000 tokens for each unit, half of them prompts."""
    rows = [f"2025-03-01T{hour:02d}:30Z,{18_000 * count},{18_000 * count}" for hour, count in enumerate(UNITS)]
    log = folder / "log.csv"
    log.write_text("arrival,input_tokens,output_tokens\n" + "\n".join(rows) + "\n")
    assert cli("trace", "import", str(log), "--format", "csv", "--name", "day").code == 0


def plan(cli: Cli, *more: str) -> dict[str, Any]:
    """A plan of that day."""
    document: dict[str, Any] = cli("plan", "--trace", "day", *sets(*more), "--json").json
    return document
