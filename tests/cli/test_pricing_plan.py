"""`planner pricing`: what was published of prices comes out, plans follow the changed demand, mistakes get one line."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

import planner
from planner.store import Store
from planner.trace.synthetic.profile import load_profile
from tests.conftest import SMALL, Cli, Result, minute_log

PAGE = Path(planner.__file__).parent.parent / "docs" / "how-to" / "price-by-load.md"
BLOG = ("pricing", "--rule", "utilisation-blog")
HEAD = 'name = "own"\ndescription = "ours"\nprovenance = "assumed"\nsource = "us"\n'


def own_rule(text: str) -> str:
    """The path of a rule file with these lines after its head."""
    Path("own.toml").write_text(HEAD + text)
    return "own.toml"


def of(found: dict[str, Any], basis: str, definition: str | None = None) -> dict[str, Any]:
    """What a rule earns on a basis; changes of revenue by elasticity."""
    (row,) = [row for row in found["bases"] if row["on"] == basis and row["utilisation"] in (definition, None)]
    changes = {each["elasticity"]: each["revenue_change_ratio"] for each in row["revenue_changes"]}
    return {**row, "changes": changes}


def levels(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {level["level"]: level for level in found["levels"]}


def refused(result: Result) -> str:
    """The one line of what cannot be meant."""
    assert (result.code, result.out) == (2, "")
    assert result.err.count("\n") == 1
    return result.err


# what was published, and what follows from it


def test_the_blogs_rule_earns_on_the_published_hours_what_the_reference_says(planned: Store, cli: Cli) -> None:
    """Within half a point: by definition of utilisation, by elasticity, and with every cheap hour filled."""
    found = cli(*BLOG, "--json").json
    by_load = of(found, "published hours", "load-over-peak")
    expected = {0.0: 0.128, -0.5: 0.059, -1.0: 0.0, -1.5: -0.050}
    assert by_load["changes"] == pytest.approx(expected, abs=0.0006)
    assert of(found, "published hours", "nodes-over-fleet")["changes"][0.0] == pytest.approx(0.151, abs=0.0006)
    assert of(found, "published hours", "load-per-node")["changes"][0.0] == pytest.approx(0.190, abs=0.0006)
    assert by_load["filled_revenue_change_ratio"] == pytest.approx(0.291, abs=0.0006)
    assert by_load["filled_nodes_change_ratio"] == pytest.approx(0.194, abs=0.0006)
    # the plan's own hours have the same load, and nodes that differ a little
    own = of(found, "plan by hours", "load-over-peak")
    assert own["changes"] == pytest.approx(by_load["changes"], abs=1e-4)
    assert of(found, "plan by hours", "nodes-over-fleet")["changes"][0.0] == pytest.approx(0.151, abs=0.005)
    assert any("cannot hold" in note for note in found["notes"])


def test_the_discount_takes_12_8_per_cent_by_hours_and_12_5_by_quarter_hours(planned: Store, cli: Cli) -> None:
    """The window begins and ends at half past, in hours whose load falls and rises: less than half of it is inside."""
    found = cli("pricing", "--json").json
    assert of(found, "published hours")["changes"][0.0] == pytest.approx(-0.128, abs=0.0005)
    assert of(found, "plan by hours")["changes"][0.0] == pytest.approx(-0.128, abs=0.0005)
    assert of(found, "plan by 15 min")["changes"][0.0] == pytest.approx(-0.125, abs=0.0005)
    quarters = load_profile("deepseek-2025-02-27").cell_share.reshape(24, 4)
    # half past midnight and half past eight in Shanghai are in the hours 12 and 20 from noon
    inside = quarters[12, 2:].sum() + quarters[20, :2].sum()
    even = (quarters[12].sum() + quarters[20].sum()) / 2
    apart = of(found, "plan by 15 min")["changes"][0.0] - of(found, "plan by hours")["changes"][0.0]
    assert apart == pytest.approx(0.75 * (even - inside), abs=1e-6)
    by_hours = cli("pricing", "--json", "--set", "interval_s=3600").json
    assert levels(by_hours)["same-volume"]["revenue_change_ratio"] == pytest.approx(-0.128, abs=0.0005)
    assert any("windows begin or end inside 2 hours" in note for note in found["notes"])
    assert not any("windows begin or end" in note for note in by_hours["notes"])


def test_at_the_same_volume_the_discount_is_the_ledgers_to_the_micro_dollar(planned: Store, cli: Cli) -> None:
    sets = ("--set", "economics.other_share=0.3", "--set", "economics.unpaid_share=0.1")
    plan, found = cli("plan", *sets, "--json").json, cli("pricing", *sets, "--json").json
    assert levels(found)["same-volume"]["revenue_usd"] == plan["expected_revenue_usd"]
    listed = levels(found)["list"]
    same = ("cost_usd", "peak_nodes", "mean_nodes", "node_hours", "training_node_hours", "shortfall_tokens", "requests")
    assert {key: listed[key] for key in same} == {key: plan[key] for key in same}


def test_all_traffic_at_the_list_price_of_v3_earns_280_6_thousand_dollars(planned: Store, cli: Cli) -> None:
    listed = levels(cli("pricing", "--set", "economics.price_sheet=deepseek-v3", "--json").json)["list"]
    assert listed["revenue_usd"] == pytest.approx(280_600, abs=50)
    assert listed["margin_ratio"] == pytest.approx(2.22, abs=0.005)


# prices that meet the utilisation they lead to


@pytest.mark.parametrize("definition", ["load-over-peak", "load-per-node"])
def test_a_rule_that_slopes_settles_and_its_prices_are_those_of_its_outcome(
    planned: Store, cli: Cli, definition: str
) -> None:
    words = ("--elasticity", "-0.5", "--ramp", "0.1", "--utilisation", definition, "--set", "interval_s=3600")
    found = cli(*BLOG, *words, "--json").json
    assert found["fixed_point"]["converged"]
    assert found["fixed_point"]["residual"] <= 1e-7
    assert found["hours_of"] == "following"
    for hour in found["hours"]:
        share, ramp = hour["utilisation"], lambda at, low, high: low + (high - low) * min(max(at, 0), 1)
        price = ramp((share - 0.45) / 0.1, 0.7, 1.0) if share < 0.65 else ramp((share - 0.75) / 0.1, 1.0, 1.2)
        assert hour["price_ratio"] == pytest.approx(price, abs=1e-5)


def test_a_rule_that_jumps_does_not_settle_and_nothing_stands_in_for_it(planned: Store, cli: Cli) -> None:
    found = cli(*BLOG, "--elasticity", "-0.5", "--json").json
    assert not found["fixed_point"]["converged"]
    assert found["fixed_point"]["unsettled_intervals"] > 0
    assert found["fixed_point"]["residual"] > 1e-3
    assert list(levels(found)) == ["list", "same-volume", "responding"]
    assert found["hours_of"] == "responding"
    (note,) = [note for note in found["notes"] if "DO NOT SETTLE" in note]
    assert "set once, from the utilisation at list prices" in note


def test_without_an_answer_prices_and_volumes_do_not_depend_on_each_other(planned: Store, cli: Cli) -> None:
    for words in (BLOG, ("pricing",)):
        found = cli(*words, "--json").json
        assert found["fixed_point"] is None
        assert list(levels(found)) == ["list", "same-volume"]
        assert all(hour["load_change_ratio"] == 0 for hour in found["hours"])


# the plan for the changed demand


def test_shifted_demand_is_planned_anew_and_conserved(planned: Store, cli: Cli) -> None:
    found = cli("pricing", "--shift", "0.1", "--json").json
    before, after = levels(found)["list"], levels(found)["responding"]
    for key in ("requests", "input_tokens", "cached_input_tokens", "output_tokens"):
        assert after[key] == before[key]
    assert after["node_hours"] > before["node_hours"]
    assert after["training_node_hours"] < before["training_node_hours"]
    assert after["revenue_usd"] < levels(found)["same-volume"]["revenue_usd"] < before["revenue_usd"]
    for key, level in (("", after), ("_before", before)):
        assert sum(hour[f"revenue_usd{key}"] for hour in found["hours"]) == pytest.approx(level["revenue_usd"])
        assert sum(hour[f"cost_usd{key}"] for hour in found["hours"]) == pytest.approx(level["cost_usd"])
        assert sum(hour[f"mean_nodes{key}"] for hour in found["hours"]) == pytest.approx(level["node_hours"])


def small(cli: Cli, tmp_path: Path, *words: str) -> Result:
    """Two minutes with 1,200 and 600 of each kind of token on the small fleet; twice the price, then half of it."""
    log = minute_log(tmp_path / "log.csv", [(1200, 1200), (600, 600)])
    cli("trace", "import", str(log), "--format", "csv", "--name", "two")
    rule = own_rule(
        'kind = "time"\n[[windows]]\nwindow = "00:00-00:01"\nprice_ratio = 2\n'
        '[[windows]]\nwindow = "00:01-00:02"\nprice_ratio = 0.5\n'
    )
    sets = [word for override in (*SMALL, "trace.name=two") for word in ("--set", override)]
    return cli("pricing", "--rule", rule, *words, *sets)


def test_a_day_of_two_minutes_by_hand(cli: Cli, tmp_path: Path) -> None:
    result = small(cli, tmp_path, "--elasticity", "-1", "--json")
    found = levels(result.json)
    # a step of three nodes carries 600 of each a minute: two steps and one; then 600 and 1,200 tokens, one and two
    assert [found[name]["node_hours"] * 60 for name in found] == [9, 9, 9]
    assert [found[name]["output_tokens"] for name in found] == [1800, 1800, 1800]
    # $0.55 + $2.19 per million of each: 1,800 at list; 1,200 twice and 600 half as dear; 600 twice, 1,200 half
    assert [found[name]["revenue_usd"] for name in found] == [0.004932, 0.007398, 0.004932]
    # a step that leaves after the first minute drains for 5 of its seconds, one that joins for the second loads for 10
    assert [found[name]["shortfall_tokens"] for name in found] == [100, 100, 200]
    assert result.code == 3
    assert "shortfall" in result.err
    (hour,) = result.json["hours"]
    assert (hour["price_ratio"], hour["load_change_ratio"]) == (1.25, 0.0)
    assert [basis["on"] for basis in result.json["bases"]] == ["plan by hours", "plan by 1 min"]


def test_a_policy_that_cannot_see_the_change_says_so_and_keeps_its_nodes(planned: Store, cli: Cli) -> None:
    for source, words in (("policy.name=fixed", "does not look"), ("policy.demand_source=profile", "knows nothing")):
        result = cli("pricing", "--elasticity", "-0.5", "--set", source, "--json")
        found = levels(result.json)
        assert found["responding"]["node_hours"] == found["list"]["node_hours"]
        assert any(words in note for note in result.json["notes"])


def test_minutes_without_load_are_priced_as_idle(cli: Cli, tmp_path: Path) -> None:
    log = minute_log(tmp_path / "log.csv", [(600, 600), (0, 0), (0, 0), (300, 300)])
    cli("trace", "import", str(log), "--format", "csv", "--name", "gap")
    sets = [word for override in (*SMALL, "trace.name=gap") for word in ("--set", override)]
    for definition in ("load-over-peak", "nodes-over-fleet", "load-per-node"):
        result = cli(*BLOG, "--utilisation", definition, "--elasticity", "-0.3", *sets, "--json")
        assert result.code in (0, 3)
        assert result.json["utilisation"]["definition"] == definition


def test_a_discount_that_begins_after_the_trace_changes_no_price(planned: Store, cli: Cli) -> None:
    log = minute_log(Path("log.csv"), [(600, 600)] * 3, start="2024-05-01T17:00")
    cli("trace", "import", str(log), "--format", "csv", "--name", "old")
    found = cli("pricing", "--set", "trace.name=old", "--json").json
    assert levels(found)["same-volume"]["revenue_change_ratio"] == 0
    assert "the rule changes no price on this plan: the discount holds from 2025-02-26" in found["notes"]


# the command


def test_the_document_has_the_keys_that_are_relied_on(planned: Store, cli: Cli) -> None:
    found = cli(*BLOG, "--elasticity", "-0.2", "--ramp", "0.2", "--json").json
    assert {"scenario", "trace", "policy", "interval_s", "rule", "prices", "utilisation", "assumed", "levels",
            "fixed_point", "bases", "hours_of", "hours", "missed_limits", "notes"} == set(found)  # fmt: skip
    assert found["assumed"] == {"elasticity": -0.2, "shift": 0.0, "sensitivity": 1.0}
    assert len(found["hours"]) == 24
    assert found["hours"][0]["start"] == "2025-02-27T12:00:00+08:00"
    assert len(found["bases"]) == 9
    assert -0.2 in of(found, "published hours", "load-over-peak")["changes"]
    assert json.dumps(found)


def test_what_is_printed_names_the_definition_what_is_assumed_and_the_basis(planned: Store, cli: Cli) -> None:
    out = cli(*BLOG, "--elasticity", "-0.5", "--ramp", "0.1").out
    for text in ("utilisation is load-over-peak", "published hours", "plan by 15 min", "nodes-over-fleet",
                 "elasticity -0.5, shift 0% and sensitivity 1 are assumed", "an industry blog of 2025",
                 "rule, prices follow", "settle after", "ramps of 10%"):  # fmt: skip
        assert text in out, text
    assert "deepseek-r1, 16:30-00:30 UTC: 25% of list, from 2025-02-26" in cli("pricing").out


def test_the_rule_that_the_documentation_shows_is_one(planned: Store, cli: Cli) -> None:
    blocks = re.findall(r"```toml [^\n]*\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (text,) = [block for block in blocks if "nights-and-weekends" in block]
    Path("own.toml").write_text(text)
    found = cli("pricing", "--rule", "own.toml", "--json").json
    # the plan is from Thursday 05:00 to Friday 05:00 in Berlin: one hour of one night, seven of the next
    assert [hour["price_ratio"] for hour in found["hours"]] == [0.5] + [1.0] * 16 + [0.5] * 7


def test_nothing_is_stored_but_the_trace(planned: Store, cli: Cli) -> None:
    cli("pricing", "--elasticity", "-0.5")
    assert len(cli("run", "list", "--json").json) == 1


@pytest.mark.parametrize(
    ("words", "cure"),
    [
        (("--rule", "happy-hour"), 'no pricing rule "happy-hour": give one of off-peak, utilisation-blog, or the path'),
        (("--elasticity", "0.5"), "--elasticity is 0.5: demand does not grow with its price; use -10 to 0"),
        (("--elasticity", "nan"), "--elasticity is nan"),
        (("--elasticity", "-8"), "more than the limit of 1,000"),
        (("--shift", "1.5"), "--shift is 1.5: it is a share of the demand; use 0 to 1"),
        (("--sensitivity", "-1"), "--sensitivity is -1"),
        (("--utilisation", "gpu"), "are for rules by utilisation, and off-peak is not one; leave them out"),
        (("--ramp", "0.1"), "are for rules by utilisation"),
        (("--rule", "utilisation-blog", "--utilisation", "gpu"), "give one of load-over-peak, nodes-over-fleet"),
        (("--rule", "utilisation-blog", "--ramp", "0.9"), "make ramp smaller"),
        (("--rule", "utilisation-blog", "--ramp", "nan"), "--ramp is nan"),
        (("--set", "economics.gpu_rate=gift"), 'no rate "gift"'),
    ],
)
def test_a_mistake_gets_one_line_with_its_cure(planned: Store, cli: Cli, words: tuple[str, ...], cure: str) -> None:
    assert cure in refused(cli("pricing", *words))


@pytest.mark.parametrize(
    ("text", "cure"),
    [
        ('kind = "time"', "needs windows"),
        ('kind = "lunar"', "kind: Input should be 'time', 'utilisation' or 'price-sheet'"),
        ('kind = "time"\n[[windows]]\nwindow = "01:00-02:00"\nprice_ratio = 0\n', "greater than 0, got 0"),
        ('kind = "time"\n[[windows]]\nwindow = "01:00-02:00"\nprice_ratio = -1\n', "greater than 0, got -1"),
        (
            'kind = "time"\n[[windows]]\nwindow = "01:00-02:00"\nprice_ratio = 1\n'
            '[[windows]]\nwindow = "01:30-03:00"\nprice_ratio = 2\nweekdays = ["sun"]\n',
            "1 and 2 overlap on sun at 01:30; give every minute one price",
        ),
        ("kind = ", "is not valid TOML"),
    ],
)
def test_a_rule_file_that_cannot_be_meant_is_named(cli: Cli, text: str, cure: str) -> None:
    message = refused(cli("pricing", "--rule", own_rule(text)))
    assert cure in message
    assert "own.toml" in message


def test_sheets_without_a_discount_are_named(cli: Cli) -> None:
    Path("mine.toml").write_text(
        'name = "mine"\ndescription = "d"\nsource = "us"\nkind = "assumed"\n'
        "[usd_per_million_tokens]\ncached_input = 0.1\nuncached_input = 0.1\noutput = 0.1\n"
    )
    message = refused(cli("pricing", "--set", "economics.price_sheet=mine.toml"))
    assert "price sheet mine states no discount; add [off_peak] to it" in message
    assert "for example --rule utilisation-blog" in message
    inside = Path("mine.toml").read_text().replace("[usd", "[economics.price_sheet.usd")
    Path("own.toml").write_text(f"[economics.price_sheet]\n{inside}")
    assert "mine states no discount; set economics.price_sheet.off_peak in the scenario" in refused(
        cli("pricing", "own.toml")
    )
