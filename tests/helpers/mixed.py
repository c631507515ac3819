"""A mixed fleet to compute by hand: the small fleet of units that do both beside the small one of two roles.

A node of the first costs $4 an hour and carries 20 output tokens a second alone, or 10 beside 40 input tokens; it has
four, and no floor. The second comes in steps of three nodes at $2 that carry 10 input and 10 output tokens a second; it
has four of these, and one is its floor.
"""

import json
import tomllib
from collections.abc import Sequence
from pathlib import Path

from tests.conftest import SMALL
from tests.helpers.aggregated import UNITS

BOTH = (*SMALL, *UNITS, "policy.name=predictive", "policy.demand_source=trace")
APART = (*SMALL, "policy.name=predictive", "policy.demand_source=trace")


def scenario_file(path: Path, fields: Sequence[str]) -> Path:
    """A scenario with fields as in --set."""
    lines = []
    for name, value in dict(field.split("=", 1) for field in fields).items():
        try:
            tomllib.loads(f"x = {value}")
        except tomllib.TOMLDecodeError:
            value = json.dumps(value)
        lines.append(f"{name} = {value}")
    path.write_text("\n".join(lines) + "\n")
    return path


def mix_file(folder: Path, split: str = "cheapest", both: Sequence[str] = (), apart: Sequence[str] = ()) -> Path:
    """The mixed fleet. both, apart: further fields of its pools."""
    scenario_file(folder / "both.toml", [*BOTH, *both])
    scenario_file(folder / "apart.toml", [*APART, *apart])
    path = folder / "mix.toml"
    path.write_text(
        f'name = "mix"\ndescription = "two pools"\nsplit = "{split}"\n'
        '[[pool]]\nname = "both"\nscenario = "both.toml"\n[[pool]]\nname = "apart"\nscenario = "apart.toml"\n'
    )
    return path
