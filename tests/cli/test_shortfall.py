"""A plan that is short says what it really earns, and the fleet that would be enough."""

from pathlib import Path

import pytest

from planner.core.fleet.deployment import Deployment
from planner.core.fleet.units import Units
from planner.settings.scenario import Scenario
from tests.conftest import SMALL, Cli, Result, minute_log, small_scenario

SETS = tuple(word for item in SMALL for word in ("--set", item))
PRICES = "cached_input = 1.0\nuncached_input = 1.0\noutput = 2.0"


def planned(cli: Cli, minutes: list[tuple[int, int]], *sets: str, words: tuple[str, ...] = ("--json",)) -> Result:
    """The plan of a log with a request a minute; a million input tokens earn $1, a million output tokens $2."""
    head = 'name = "plain"\ndescription = "plain"\nkind = "assumed"\nsource = "a test"\n[usd_per_million_tokens]\n'
    Path("plain.toml").write_text(f"{head}{PRICES}\n")
    assert (
        cli("trace", "import", str(minute_log(Path("log.csv"), minutes)), "--format", "csv", "--name", "log").code == 0
    )
    given = [word for item in ("economics.price_sheet=plain.toml", *sets) for word in ("--set", item)]
    return cli("plan", "--trace", "log", *SETS, *given, *words)


def test_served_revenue_is_that_of_the_smaller_share_of_both_roles_in_each_interval(cli: Cli) -> None:
    # four steps carry 2,400 tokens of each kind a minute: beyond that are half of the input of the second minute and a
    # quarter of the output of the third
    plan = planned(cli, [(600, 600), (4800, 1200), (600, 3200)], "policy.name=fixed").json
    assert plan["revenue_usd"] == pytest.approx((600 + 4800 + 600 + 2 * (600 + 1200 + 3200)) / 1e6)
    assert plan["revenue_served_usd"] == pytest.approx((1800 + 7200 / 2 + 7000 * 0.75) / 1e6)
    assert plan["margin_served_ratio"] == pytest.approx(plan["revenue_served_usd"] / plan["cost_usd"] - 1, abs=1e-6)
    assert plan["hours"][0]["revenue_served_usd"] == plan["revenue_served_usd"]
    assert plan["expected_revenue_served_usd"] <= plan["revenue_served_usd"]


def test_a_plan_that_is_not_short_serves_all_its_revenue_and_says_nothing_of_it(cli: Cli) -> None:
    plan = planned(cli, [(600, 600), (2400, 1200)], "fleet.start_up_s=0", "policy.name=fixed").json
    assert plan["shortfall_tokens"] == 0
    assert plan["revenue_served_usd"] == plan["revenue_usd"]
    assert plan["margin_served_ratio"] == plan["margin_ratio"]
    assert plan["need_nodes"] == 12
    assert not any("would carry" in note for note in plan["notes"])
    assert "of it served" not in cli("run", "show").out


def test_a_short_plan_says_the_fleet_that_would_carry_the_demand_and_that_fleet_does(cli: Cli) -> None:
    log = [(600, 600), (4700, 1200)]
    short = planned(cli, log, "policy.name=fixed").json
    assert short["need_nodes"] == 24
    assert short["notes"][0] == (
        "24 nodes would carry the busiest interval at full use, as 8 prefill and 8 decode units; the fleet has 12: "
        "set fleet.nodes=24 to carry it"
    )
    given = ("--trace", "log", *SETS, "--set", "policy.name=fixed", "--json")
    assert cli("plan", *given, "--set", "fleet.nodes=24").json["steady_shortfall_tokens"] == 0
    assert cli("plan", *given, "--set", "fleet.nodes=21").json["steady_shortfall_tokens"] == 4700 - 7 * 600


def test_roles_that_scale_apart_need_their_own_units_only(cli: Cli) -> None:
    # eleven prefill units of a node and a decode unit of two
    apart = ("fleet.scaling=independent", "policy.name=predictive", "fleet.start_up_s=0", "fleet.drain_deadline_s=0")
    short = planned(cli, [(600, 600), (6600, 600)], *apart).json
    assert short["need_nodes"] == 13
    assert short["notes"][0] == (
        "13 nodes would carry the busiest interval at full use, as 11 prefill and 1 decode unit; the fleet has 12: "
        "set fleet.nodes=13 to carry it"
    )
    given = [word for item in (*apart, "fleet.nodes=13") for word in ("--set", item)]
    assert cli("plan", "--trace", "log", *SETS, *given, "--json").json["shortfall_tokens"] == 0


def test_a_bundle_that_night_training_keeps_is_short_where_its_nodes_are_enough_and_says_how_to_end_it(
    cli: Cli,
) -> None:
    # at most four units of each role scale together; seven prefill units and a decode unit take nine nodes
    kept = ("fleet.scaling=independent", "fleet.start_up_s=0", "fleet.drain_deadline_s=0")
    notes = planned(cli, [(600, 600), (4200, 600)], *kept).json["notes"]
    assert notes[0] == (
        "9 nodes would carry the busiest interval at full use, as 7 prefill and 1 decode unit; the fleet has 12, so "
        "that it is enough: the policy holds fewer in intervals that are short"
    )
    assert any(note.endswith("set policy.night_bundle=false to scale them apart") for note in notes)
    given = [word for item in (*kept, "policy.night_bundle=false") for word in ("--set", item)]
    assert cli("plan", "--trace", "log", *SETS, *given, "--json").json["shortfall_tokens"] == 0


def test_a_fleet_that_is_large_enough_is_not_blamed(cli: Cli) -> None:
    held = ("policy.name=fixed", "policy.fixed_prefill_units=2", "policy.fixed_decode_units=2")
    plan = planned(cli, [(600, 600), (2300, 600)], *held).json
    assert plan["need_nodes"] == 12
    assert plan["notes"][0].endswith("so that it is enough: the policy holds fewer in intervals that are short")
    started = cli("plan", "--trace", "log", *SETS, "--set", "policy.demand_source=trace", "--json").json
    assert started["steady_shortfall_tokens"] == 0
    assert started["notes"][0].endswith("so that it is enough: tokens are short only while units start or drain")


def test_the_printed_plan_has_served_beside_demanded_revenue_where_it_is_short(cli: Cli) -> None:
    out = planned(cli, [(600, 600), (4800, 1200)], words=()).out
    assert "  revenue               $0.01 theoretical (margin " in out
    assert "  of it served          $0.00 theoretical (margin " in out
    assert "note: 24 nodes would carry the busiest interval" in out


@pytest.mark.parametrize(
    ("tokens", "units"),
    [
        ((0, 0), Units(1, 1)),
        ((600, 600), Units(1, 1)),
        ((601, 0), Units(2, 2)),
        ((0, 1801), Units(4, 4)),
        ((60_000, 0), Units(100, 100)),
    ],
)
def test_enough_units_are_the_base_and_the_fewest_whole_steps_whatever_is_owned(
    tokens: tuple[int, int], units: Units
) -> None:
    assert Deployment(small_scenario().fleet).enough(*tokens, 60) == units


def test_a_role_that_no_step_holds_needs_more_base_units(cli: Cli) -> None:
    bare: Scenario = small_scenario("fleet.step.prefill=0")
    assert Deployment(bare.fleet).enough(1800, 600, 60) == Units(3, 1)
    plan = planned(cli, [(600, 600), (1800, 1800)], "fleet.step.prefill=0").json
    assert plan["notes"][0].endswith("the fleet has 12: set fleet.base.prefill=3 to carry it")
