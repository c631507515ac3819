"""Plans follow from the stored requests by the rule, and change with everything they depend on."""

from pathlib import Path

import pytest

from planner.catalogue.scenarios import load_scenario
from planner.planning.plan import plan_and_store
from planner.runs.read import read_run
from planner.store import Store
from tests.conftest import NOW, SMALL, Cli, Result, minute_log


def figures(store: Store, *overrides: str) -> dict[str, object]:
    run_id = plan_and_store(store, load_scenario(None, overrides).scenario, now=NOW)
    with store.read() as session:
        return vars(read_run(session, run_id).summary)


@pytest.mark.parametrize("seed", [1, 2, 3, 99])
def test_the_published_day_comes_out_for_every_seed(planned: Store, cli: Cli, seed: int) -> None:
    summary = figures(planned, f"trace.seed={seed}")
    assert summary["peak_nodes"] == 278
    assert summary["mean_nodes"] == 226.75
    assert summary["node_hours"] == 5442
    assert summary["cost_usd"] == 87_072
    assert summary["fleet_cost_usd"] == 106_752
    assert summary["revenue_usd"] == pytest.approx(562_100, abs=0.01)
    assert 5.45 <= summary["margin_ratio"] <= 5.46  # type: ignore[operator]
    assert summary["steady_shortfall_tokens"] == 0
    rows = {row["quantity"]: row for row in cli("reference", "--set", f"trace.seed={seed}", "--json").json["rows"]}
    assert rows["intervals_equal_to_published"]["computed"] >= 85
    assert rows["night_intervals_equal_to_published"]["computed"] >= 23
    assert rows["intervals_equal_to_published"]["published"] == 96
    assert rows["night_intervals_equal_to_published"]["published"] == 34
    assert abs(rows["kv_tokens_per_output_token"]["relative_error"]) < 0.01


@pytest.mark.parametrize(
    ("overrides", "key", "compare"),
    [
        (["trace.demand_factor=0.5"], "mean_nodes", "<"),
        (["trace.demand_factor=0.5"], "revenue_usd", "<"),
        (["trace.demand_factor=1.5"], "steady_shortfall_tokens", ">"),
        (["policy.day_window=06:00-24:00"], "mean_nodes", ">"),
        (["policy.day_window=10:00-22:00"], "mean_nodes", "<"),
        (["policy.floor_nodes=128"], "mean_nodes", ">"),
        (["policy.target_utilisation=0.7"], "mean_nodes", ">"),
        (["fleet.decode.tokens_per_s_per_node=20000", "fleet.prefill.tokens_per_s_per_node=99000"], "mean_nodes", "<"),
        (["fleet.step.prefill=6", "fleet.step.decode=2", "fleet.nodes=308"], "mean_nodes", ">"),
        (["economics.gpu_rate=spot"], "cost_usd", "<"),
        (["economics.price_sheet=deepseek-v3"], "revenue_usd", "<"),
        (["policy.name=fixed"], "mean_nodes", ">"),
        (["policy.demand_source=previous"], "mean_nodes", ">"),
    ],
)
def test_the_outcome_follows_what_goes_in(planned: Store, overrides: list[str], key: str, compare: str) -> None:
    before, after = figures(planned), figures(planned, *overrides)
    assert after[key] < before[key] if compare == "<" else after[key] > before[key]  # type: ignore[operator]


def test_the_published_timetable_is_the_published_timeline(planned: Store, cli: Cli) -> None:
    rows = {row["quantity"]: row for row in cli("reference", "--set", "policy.name=timetable", "--json").json["rows"]}
    assert rows["intervals_equal_to_published"]["computed"] == 96
    assert rows["cost_usd"]["computed"] == 87_072


def test_a_timetable_makes_nodes_and_cost_an_input(planned: Store, cli: Cli) -> None:
    rows = cli("reference", "--set", "policy.name=timetable", "--json").json["rows"]
    kinds = {row["quantity"]: row["kind"] for row in rows}
    assert kinds["mean_nodes"] == kinds["cost_usd"] == kinds["intervals_equal_to_published"] == "input"
    assert kinds["revenue_usd"] == "emergent"


@pytest.mark.parametrize("interval_s", [420, 1800])
def test_published_figures_do_not_depend_on_the_interval(planned: Store, cli: Cli, interval_s: int) -> None:
    rows = {
        row["quantity"]: row for row in cli("reference", "--set", f"interval_s={interval_s}", "--json").json["rows"]
    }
    assert rows["node_hours"]["published"] == 5442
    assert "intervals_equal_to_published" not in rows


def test_a_day_window_without_a_night_has_no_night_intervals(planned: Store, cli: Cli) -> None:
    rows = cli("reference", "--set", "policy.day_window=00:00-24:00", "--json").json["rows"]
    assert "night_intervals_equal_to_published" not in {row["quantity"] for row in rows}


def test_reference_is_about_the_profiles_own_trace(planned: Store, cli: Cli) -> None:
    assert "leave out trace.name" in cli("reference", "--set", "trace.name=other").err


def test_a_fixed_fleet_under_the_floor_is_raised_and_says_so(planned: Store, cli: Cli) -> None:
    sets = ("--set", "policy.fixed_prefill_units=1", "--set", "policy.fixed_decode_units=1")
    plan = cli("plan", "--policy", "fixed", *sets, "--json").json
    assert plan["peak_nodes"] == 68
    assert "96 intervals were raised to the floor of 68 nodes" in plan["notes"]


def test_a_timetable_says_which_rows_come_late_and_refuses_what_cannot_be(planned: Store, cli: Cli) -> None:
    text = "interval_start,prefill_units,decode_units\n2025-02-27T00:00,8,2\n2025-02-27T08:10,29,9\n"
    Path("tt.csv").write_text(text)
    plan = cli("plan", "--policy", "timetable", "--set", "policy.timetable=tt.csv", "--json").json
    assert any("the first at 08:10" in note for note in plan["notes"])
    Path("tt.csv").write_text(text.replace("29", "-5"))
    refused = cli("plan", "--policy", "timetable", "--set", "policy.timetable=tt.csv")
    assert refused.code == 2
    assert "tt.csv line 3: -5 is not from 0 to 100,000" in refused.err


def test_intervals_that_do_not_divide_an_hour_say_what_that_means(planned: Store, cli: Cli) -> None:
    notes = cli("plan", "--set", "interval_s=420", "--json").json["notes"]
    assert any("do not divide an hour" in note and "24.03 h" in note for note in notes)


def test_a_stored_trace_by_name_still_knows_its_profile(planned: Store, cli: Cli) -> None:
    name = cli("trace", "list", "--json").json[0]["trace"]
    plan = cli("plan", "--trace", name, "--set", "policy.demand_source=profile", "--json").json
    assert plan["mean_nodes"] == 226.75


def test_an_imported_trace_has_no_profile_to_see(cli: Cli, tmp_path: Path) -> None:
    cli("trace", "import", str(minute_log(tmp_path / "log.csv", FOUR)), "--format", "csv", "--name", "four")
    result = small(cli, "four", "policy.demand_source=profile")
    assert result.code == 2
    assert "was imported" in result.err


def test_a_sample_without_exact_cells_says_how_uncertain_an_interval_is(planned: Store, cli: Cli) -> None:
    notes = cli("plan", "--set", "interval_s=300", "--json").json["notes"]
    assert any("if they are an independent sample, the standard error" in note for note in notes)
    assert any("exact" in note for note in cli("plan", "--json").json["notes"])


def test_the_profile_as_demand_source_decides_as_the_trace_it_promises(planned: Store) -> None:
    own, promised = figures(planned), figures(planned, "policy.demand_source=profile")
    assert promised["mean_nodes"] == own["mean_nodes"]
    assert promised["demand_source"] == "profile"


@pytest.mark.parametrize("interval_s", [60, 300, 420, 1500, 3600])
def test_any_interval_from_one_to_sixty_minutes_plans_all_tokens(planned: Store, interval_s: int) -> None:
    summary = figures(planned, f"interval_s={interval_s}")
    assert summary["input_tokens"] == 608_000_000_000
    assert summary["intervals"] == -(-86_400 // interval_s)


def test_the_same_plan_twice_has_the_same_digest_and_another_seed_another(planned: Store) -> None:
    one, two, other = figures(planned), figures(planned), figures(planned, "fleet.start_up_s=60")
    assert one["result_digest"] == two["result_digest"] != other["result_digest"]


def small(cli: Cli, name: str, *overrides: str) -> Result:
    sets = [word for override in (*SMALL, *overrides) for word in ("--set", override)]
    return cli("plan", "--trace", name, *sets, "--json")


FOUR = [(600, 100), (700, 1250), (100, 100), (2000, 0)]


def test_four_minutes_by_hand(cli: Cli, tmp_path: Path) -> None:
    log = minute_log(tmp_path / "log.csv", FOUR)
    assert cli("trace", "import", str(log), "--format", "csv", "--name", "four").code == 0
    result = small(cli, "four", "economics.gpu_rate=rental")
    # a step of three nodes carries 600 of each a minute: 1, 3, 1 and 4 steps; 3 + 9 + 3 + 12 node-minutes
    plan = result.json
    units = cli("sql", "SELECT prefill_units, decode_units, inference_nodes FROM plan_interval ORDER BY interval_start",
                "--format", "json").json  # fmt: skip
    assert [(row["prefill_units"], row["decode_units"], row["inference_nodes"]) for row in units] == [
        (1, 1, 3),
        (3, 3, 9),
        (1, 1, 3),
        (4, 4, 12),
    ]
    assert plan["peak_nodes"] == 12
    assert plan["mean_nodes"] == 27 / 4
    assert plan["node_hours"] == 27 / 60
    assert plan["cost_usd"] == pytest.approx(27 / 60 * 2, abs=1e-6)
    assert plan["fleet_cost_usd"] == pytest.approx(48 / 60 * 2, abs=1e-6)
    # in the second minute 2 steps load for 10 s and drain for 5 s; in the last 3 steps load for 10 s
    assert plan["shortfall_tokens"] == 0 + 0
    assert plan["requests"] == 4
    # 9, 3, 9, 0 nodes are lent
    assert plan["training_node_hours"] == pytest.approx(21 / 60)
    # the six that come back for the third minute load for 20 s
    assert plan["useful_training_node_hours"] == pytest.approx(21 / 60 - 6 * 20 / 3600)


@pytest.mark.parametrize(
    ("overrides", "nodes"),
    [
        ((), [3, 9, 3, 12]),
        (("policy.floor_nodes=6",), [6, 9, 6, 12]),
        (("policy.day_window=00:02-00:03",), [3, 9, 12, 12]),
        (("fleet.prefill.tokens_per_s_per_node=20", "fleet.decode.tokens_per_s_per_node=10"), [3, 6, 3, 6]),
        (("policy.target_utilisation=0.5",), [6, 12, 3, 12]),
        (("fleet.step.prefill=3", "fleet.step.decode=3"), [3, 12, 3, 12]),
        (("policy.demand_source=previous",), [3, 3, 9, 9]),
        (("policy.name=fixed", "policy.fixed_prefill_units=2", "policy.fixed_decode_units=1"), [4, 4, 4, 4]),
    ],
)
def test_four_minutes_change_with_floor_window_capacity_step_and_source(
    cli: Cli, tmp_path: Path, overrides: tuple[str, ...], nodes: list[int]
) -> None:
    log = minute_log(tmp_path / "log.csv", FOUR)
    cli("trace", "import", str(log), "--format", "csv", "--name", "four")
    assert small(cli, "four", *overrides).code in (0, 3)
    rows = cli("sql", "SELECT inference_nodes FROM plan_interval ORDER BY interval_start", "--format", "json").json
    assert [row["inference_nodes"] for row in rows] == nodes


def test_a_plan_changes_with_the_stored_rows(cli: Cli, tmp_path: Path) -> None:
    log = minute_log(tmp_path / "log.csv", FOUR)
    cli("trace", "import", str(log), "--format", "csv", "--name", "four")
    before = small(cli, "four").json
    cli("trace", "export", "four", "--out", "edited.csv")
    text = Path("edited.csv").read_text()
    Path("edited.csv").write_text(text.replace(",2000,", ",50,"))
    cli("trace", "import", "edited.csv", "--format", "csv", "--name", "edited")
    after = small(cli, "edited").json
    assert (before["peak_nodes"], after["peak_nodes"]) == (12, 9)
    assert before["input_tokens"] - after["input_tokens"] == 1950


def test_a_missed_limit_is_stored_printed_and_exits_three(cli: Cli, tmp_path: Path) -> None:
    log = minute_log(tmp_path / "log.csv", [(600, 600), (9000, 9000)])
    cli("trace", "import", str(log), "--format", "csv", "--name", "big")
    result = small(cli, "big")
    assert result.code == 3
    # 9,000 of each against 2,400: 6,600 steady; 3 steps load for 10 s: 300 more of each
    query = (
        "SELECT steady_shortfall_input_tokens AS s, start_up_shortfall_output_tokens AS u "
        "FROM plan_interval ORDER BY interval_start"
    )
    rows = cli("sql", query, "--format", "json").json
    assert rows == [{"s": 0, "u": 0}, {"s": 6600, "u": 300}]
    assert result.json["shortfall_tokens"] == 2 * 6900
    assert result.json["shortfall_ratio"] == pytest.approx(2 * 6900 / 19_200)
    assert result.json["missed_limits"]
    assert "slo.max_shortfall_ratio" in result.err
    assert small(cli, "big", "slo.max_shortfall_ratio=1").code == 0
    assert "economics.budget_usd" in small(cli, "big", "slo.max_shortfall_ratio=1", "economics.budget_usd=0.01").err


def test_empty_minutes_and_no_tokens_at_all_plan_without_special_cases(cli: Cli, tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("arrival,input_tokens,output_tokens\n2025-03-01T00:00:10Z,0,0\n2025-03-01T00:09:10Z,0,0\n")
    cli("trace", "import", str(log), "--format", "csv", "--name", "none")
    plan = small(cli, "none")
    assert plan.code == 0, plan.err
    assert plan.json["intervals"] == 10
    assert plan.json["shortfall_ratio"] == 0
    assert cli("report", "--out", "r").code == 0
    assert cli("trace", "show", "none").code == 0


def test_local_hours_follow_the_zone_even_where_it_is_off_by_half_an_hour(cli: Cli, tmp_path: Path) -> None:
    log = minute_log(tmp_path / "log.csv", [(10, 10)] * 50)
    cli("trace", "import", str(log), "--format", "csv", "--name", "india")
    hours = small(cli, "india", "timezone=Asia/Kolkata").json["hours"]
    assert [hour["start"] for hour in hours] == ["2025-03-01T05:00:00+05:30", "2025-03-01T06:00:00+05:30"]
    assert [hour["requests"] for hour in hours] == [30, 20]


def test_a_night_with_a_clock_change_keeps_all_its_hours(cli: Cli, tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    hours = [f"2025-10-25T{hour:02d}:30:00Z" for hour in range(22, 24)] + [
        f"2025-10-26T{h:02d}:30:00Z" for h in range(4)
    ]
    log.write_text("arrival,input_tokens,output_tokens\n" + "\n".join(f"{at},1,1" for at in hours) + "\n")
    cli("trace", "import", str(log), "--format", "csv", "--name", "dst")
    rows = small(cli, "dst", "timezone=Europe/Berlin", "interval_s=900").json["hours"]
    assert [row["start"][11:] for row in rows] == [
        "00:00:00+02:00", "01:00:00+02:00", "02:00:00+02:00", "02:00:00+01:00", "03:00:00+01:00", "04:00:00+01:00",
    ]  # fmt: skip
    assert [row["requests"] for row in rows] == [1] * 6
