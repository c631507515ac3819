"""Every command that plans takes every policy, alone and inside the bounds of another."""

from pathlib import Path

import pytest

from planner.catalogue.scenarios import load_scenario
from planner.core.policy import POLICIES
from planner.nightly.day_ahead import plan_ahead
from planner.nightly.expected_demand import ExpectedDemand
from planner.planning.prepare import ensure_trace
from planner.store import Store
from planner.trace.demand import binned
from tests.conftest import NOW, Cli

FLEET = (
    "trace.demand_factor=0.03",
    "trace.scale=0.0025",
    "fleet.nodes=32",
    "fleet.decode.nodes=4",
    "fleet.decode.tokens_per_s_per_node=8000",
    "fleet.base.prefill=1",
    "fleet.base.decode=1",
    "fleet.step.prefill=1",
    "fleet.step.decode=1",
    "policy.floor_nodes=8",
    "policy.timetable=timetable.csv",
    "trace.start_at=2025-02-27T22:00+08:00",
    "trace.end_at=2025-02-28T04:00+08:00",
)
"""Six hours of the published day at three per cent, on one to four units of either role, of 32 GPUs each."""

INSIDE = tuple(name for name in POLICIES if name != "scheduled-bounds")
SETTINGS = {
    **{name: (f"policy.name={name}",) for name in INSIDE},
    **{f"scheduled-bounds of {name}": ("policy.name=scheduled-bounds", f"policy.inside={name}") for name in INSIDE},
}

COMMANDS: dict[str, tuple[str, ...]] = {
    "plan": ("plan",),
    "reference": ("reference",),
    "optimize": ("optimize", "--time-limit", "0"),
    "pricing": ("pricing", "--rule", "utilisation-blog", "--elasticity", "-0.5", "--ramp", "0.2"),
    "sweep": ("sweep", "--cases", "2"),
    "resilience": ("resilience",),
    "replay": ("replay", "--from", "2025-02-28T03:00+08:00", "--to", "2025-02-28T03:01+08:00"),
}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("drawn") / "planner.duckdb"


@pytest.fixture(autouse=True)
def _timetable(tmp_path: Path) -> None:
    (tmp_path / "timetable.csv").write_text("interval_start,inference_nodes\n2025-02-27 22:00,24\n2025-02-28 02:00,8\n")


def sets(*fields: str) -> list[str]:
    return [word for field in (*FLEET, *fields) for word in ("--set", field)]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("policy", SETTINGS)
def test_every_planning_command_takes_every_policy(cli: Cli, drawn: Path, command: str, policy: str) -> None:
    done = cli(*COMMANDS[command], *sets(*SETTINGS[policy]), "--db", str(drawn), "--json")
    # 3: done, and a limit is missed
    assert done.code in (0, 3), done.err
    assert done.json


@pytest.mark.parametrize("policy", [name for name in SETTINGS if "timetable" not in name])
def test_every_policy_plans_where_each_role_scales_by_its_own_demand(cli: Cli, drawn: Path, policy: str) -> None:
    apart = ("fleet.scaling=independent", "policy.night_bundle=false")
    done = cli("plan", *sets(*apart, *SETTINGS[policy]), "--db", str(drawn), "--json")
    assert done.code in (0, 3), done.err
    assert done.json["peak_nodes"] <= 32


def test_a_timetable_of_nodes_is_refused_where_roles_scale_apart(cli: Cli, drawn: Path) -> None:
    done = cli("plan", *sets("fleet.scaling=independent", "policy.name=timetable"), "--db", str(drawn))
    assert done.code == 2
    assert "nodes do not say how many units each role has; give prefill_units and decode_units" in done.err


@pytest.mark.parametrize("inside", INSIDE)
def test_comparisons_take_every_policy(cli: Cli, drawn: Path, inside: str) -> None:
    asked = ("--policies", f"{inside},scheduled-bounds", "--time-limit", "0")
    done = cli("compare", *asked, *sets(f"policy.inside={inside}"), "--db", str(drawn), "--json")
    assert done.code in (0, 3), done.err
    assert {row["policy"] for row in done.json["policies"]} == {inside, "scheduled-bounds"}


@pytest.mark.parametrize("policy", SETTINGS)
def test_nights_take_every_policy(store: Store, policy: str) -> None:
    """The plan of a day to come: of a forecast, which the policy sees instead of the trace."""
    scenario = load_scenario(None, [*FLEET, *SETTINGS[policy]]).scenario
    trace = ensure_trace(store, scenario, now=NOW)
    with store.read() as session:
        demand = binned(session, trace, scenario.interval_s, scenario.zone)
    outcome = plan_ahead(store, scenario, trace, ExpectedDemand(demand, demand, ("as it was",)))
    assert outcome.demand_source in ("forecast", "none")
    assert outcome.notes[-1] == "as it was"
    assert outcome.plan.inference_nodes.max() <= 32
