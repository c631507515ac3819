"""Trace settings on stored traces: every command reads the same part of the same demand, or refuses."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from planner.catalogue.scenarios import load_scenario
from planner.errors import UsageError
from planner.nightly.day_ahead import plan_ahead
from planner.nightly.expected_demand import ExpectedDemand
from planner.nightly.jobs_file import load_jobs
from planner.planning.prepare import ensure_trace
from planner.planning.selection import reading, selected_demand, selection_of
from planner.store import Store
from planner.trace.demand import binned
from tests.conftest import NOW, Cli
from tests.helpers.imports import imported

FLEET = (
    "timezone=UTC",
    "fleet.nodes=64",
    "fleet.prefill.tokens_per_s_per_node=60",
    "fleet.decode.nodes=4",
    "fleet.decode.tokens_per_s_per_node=0.4",
    "fleet.base.prefill=1",
    "fleet.base.decode=1",
    "fleet.step.prefill=1",
    "fleet.step.decode=1",
    "policy.floor_nodes=8",
    "policy.name=predictive",
    "policy.demand_source=previous",
)
HOUR = ("--from", "2026-11-03T20:00Z", "--to", "2026-11-03T21:00Z")
COMMANDS: dict[str, tuple[str, ...]] = {
    "plan": ("plan",),
    "compare": ("compare", "--policies", "reactive", "--time-limit", "0", "--no-level"),
    "optimize": ("optimize", "--time-limit", "0"),
    "pricing": ("pricing",),
    "sweep": ("sweep", "--cases", "2"),
    "resilience": ("resilience", *HOUR),
    "replay": ("replay", *HOUR),
    "forecast": ("forecast", "--method", "seasonal-naive", "--horizon", "1"),
}
_VOLATILE = {
    "notes",
    "seconds",
    "lp_seconds",
    "wall_s",
    "requests_per_s",
    "run_id",
    "comparison_id",
    "sweep_id",
    "created_at",
}


def log_of(days: int, per_hour: int = 20) -> str:
    """Days from Monday, 2 November 2026: hour h has per_hour + h requests, every third of the class code."""
    rows = ["arrival,input_tokens,output_tokens,class"]
    for number in range(24 * days):
        count = per_hour + number % 24
        for each in range(count):
            second = each * 3_600 // count
            day, hour = divmod(number, 24)
            at = f"2026-11-{2 + day:02d}T{hour:02d}:{second // 60:02d}:{second % 60:02d}Z"
            rows.append(f"{at},{3_000 + each},{100 + each},{'code' if each % 3 == 0 else 'chat'}")
    return "\n".join(rows) + "\n"


@pytest.fixture(scope="module")
def _stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stored")
    (folder / "log.csv").write_text(log_of(days=3))
    imported(Store(folder / "planner.duckdb"), folder / "log.csv", "csv", "log")
    return folder / "planner.duckdb"


@pytest.fixture
def db(_stored: Path, tmp_path: Path) -> Store:
    shutil.copy(_stored, tmp_path / "planner.duckdb")
    return Store(tmp_path / "planner.duckdb")


def sets(*fields: str) -> list[str]:
    return [word for field in (*FLEET, *fields) for word in ("--set", field)]


def figures(document: Any) -> Any:
    """A document without what differs from call to call."""
    if isinstance(document, dict):
        return {key: figures(value) for key, value in document.items() if key not in _VOLATILE}
    return [figures(each) for each in document] if isinstance(document, list) else document


def plan(cli: Cli, *fields: str) -> Any:
    found = cli("plan", "--trace", "log", *sets(*fields), "--json")
    assert found.code in (0, 3), found.err
    return found.json


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_takes_a_trace_and_multiplies_its_demand(cli: Cli, db: Store, command: str) -> None:
    asked = (*COMMANDS[command], "--trace", "log", "--json")
    plain, more = (cli(*asked, *sets(*fields)) for fields in ((), ("trace.demand_factor=1.5",)))
    assert plain.code in (0, 3), plain.err
    assert more.code in (0, 3), more.err
    assert plain.json["trace"] == more.json["trace"] == "log"
    assert figures(plain.json) != figures(more.json)
    assert "demand multiplied by 1.5 (trace.demand_factor)" in json.dumps(more.json)
    assert "trace.demand_factor)" not in json.dumps(plain.json)


@pytest.mark.parametrize("command", [*COMMANDS, "capacity"])
def test_a_trace_given_twice_is_refused(cli: Cli, db: Store, command: str) -> None:
    found = cli(*COMMANDS.get(command, (command,)), "--trace", "log", "--trace", "log")
    assert found.code == 2
    assert "give one trace" in found.err or "give each trace once" in found.err


@pytest.mark.parametrize("command", COMMANDS)
def test_an_option_and_a_setting_do_not_both_name_a_trace(cli: Cli, db: Store, command: str) -> None:
    found = cli(*COMMANDS[command], "--trace", "log", "--set", "trace.name=other")
    assert found.code == 2
    assert "both name a trace; leave one out" in found.err


def test_a_name_that_looks_like_a_number_is_a_name(cli: Cli, db: Store) -> None:
    found = cli("plan", "--trace", "2025")
    assert (found.code, 'no trace "2025"; the stored ones are log' in found.err) == (1, True)


def test_a_factor_of_one_gives_the_same_figures(cli: Cli, db: Store) -> None:
    assert figures(plan(cli)) == figures(plan(cli, "trace.demand_factor=1", "trace.noise=0"))


def test_the_demand_of_a_plan_is_the_stored_one_as_it_is_changed(cli: Cli, db: Store) -> None:
    """Three days of 20 to 43 requests an hour: 756 a day."""
    assert plan(cli)["requests"] == 3 * 756
    assert plan(cli, "trace.demand_factor=1.5")["requests"] == 3 * 1_134
    assert plan(cli, "trace.growth_per_day=0.5")["requests"] == 756 + 1_134 + 1_701
    assert plan(cli, "trace.weekday_factors=[1,2,1,1,1,1,1]")["requests"] == 4 * 756
    noisy, again = (plan(cli, "trace.noise=0.2", "trace.seed=4") for _ in range(2))
    assert noisy["requests"] == again["requests"] != 3 * 756
    assert "with noise of 0.2 by seed 4" in json.dumps(noisy["notes"])
    assert plan(cli, "trace.noise=0.2", "trace.seed=5")["requests"] != noisy["requests"]


def test_a_part_of_the_time_is_taken(cli: Cli, db: Store) -> None:
    assert plan(cli, "trace.days=1")["requests"] == 756
    second = plan(cli, "trace.start_at=2026-11-03T00:00Z", "trace.end_at=2026-11-04T00:00Z", "trace.growth_per_day=1")
    # growth counts from the first day of the trace, of which this is the second
    assert second["requests"] == 2 * 756
    assert any("2026-11-03T00:00:00+00:00 to 2026-11-04T00:00:00+00:00 only" in note for note in second["notes"])
    beyond = plan(cli, "trace.end_at=2026-11-06T00:00Z")
    assert beyond["requests"] == 3 * 756
    assert any("the other 24.00 h are without demand" in note for note in beyond["notes"])


def test_classes_are_selected(cli: Cli, db: Store) -> None:
    code, chat = (plan(cli, f"trace.classes=['{name}']") for name in ("code", "chat"))
    assert code["requests"] + chat["requests"] == 3 * 756
    assert code["requests"] == 3 * sum(-(-count // 3) for count in range(20, 44))
    both = plan(cli, "trace.classes=chat,code")
    assert both["input_tokens"] == plan(cli)["input_tokens"]
    assert any("only requests of code are taken (trace.classes)" in note for note in code["notes"])


def test_a_replay_of_a_class_lists_no_other(cli: Cli, db: Store) -> None:
    def classes(*fields: str) -> list[str]:
        found = cli(*COMMANDS["replay"], "--trace", "log", *sets(*fields), "--json").json
        return [each["class"] for each in found["classes"]]

    assert classes() == ["chat", "code"]
    assert classes("trace.classes=['code']") == ["code"]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_clock_that_nobody_chose_is_said(cli: Cli, db: Store, command: str) -> None:
    note = (
        "local times are those of Asia/Shanghai, as in the built-in scenario, and trace log was imported in UTC: set "
        "timezone=UTC for its clock"
    )
    own = [word for field in FLEET if field != "timezone=UTC" for word in ("--set", field)]
    words = (*COMMANDS[command], "--trace", "log", *own, "--set", "trace.end_at=2026-11-04T00:00Z", "--json")
    assert note in cli(*words).json["notes"]
    assert note not in cli(*words, "--set", "timezone=Asia/Shanghai").json["notes"]


def test_unknown_cached_tokens_of_a_part_are_said_to_be_those_of_the_whole_trace(cli: Cli, db: Store) -> None:
    head = "cached input is unknown for 2,268 of "
    assert f"{head}2,268 requests; planned as none cached" in plan(cli)["notes"]
    part = plan(cli, "trace.classes=['code']")["notes"]
    assert f"{head}the 2,268 requests of the whole trace; planned as none cached" in part


@pytest.mark.parametrize("command", COMMANDS)
def test_classes_that_a_trace_does_not_have_are_refused(cli: Cli, db: Store, command: str) -> None:
    found = cli(*COMMANDS[command], "--trace", "log", *sets("trace.classes=['chat', 'typo']"))
    assert found.code == 1
    assert "trace log has no class typo; trace.classes takes some of chat, code" in found.err


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("trace.profile=deepseek-2025-02-27", "trace.profile is what a trace is drawn from, and a stored one is read"),
        ("trace.scale=0.5", "trace.scale is the share of a profile's requests that is drawn"),
        ("trace.seed=7", "trace.seed has no effect on a stored trace that nothing is drawn for"),
        ("trace.days=4", "trace.days is 4, and trace log has 3.00 days"),
        ("trace.start_at=2026-11-03T00:01Z", "is not on a mark of 15 min; move it onto one"),
        ("trace.start_at=2027-11-03T00:00Z", "holds none of it; correct trace.start_at or trace.end_at"),
        ("trace.demand_factor=1e300", "trace.demand_factor: Input should be less than or equal to 1000000"),
        ("trace.classes=[]", "at least 1"),
        ("trace.classes=['chat', 'chat']", "names chat twice"),
    ],
)
def test_what_a_stored_trace_cannot_follow_is_refused(cli: Cli, db: Store, field: str, words: str) -> None:
    found = cli("plan", "--trace", "log", *sets(field))
    assert found.code in (1, 2)
    assert words in found.err
    assert "Traceback" not in found.err
    with db.read() as session:
        assert session.frame("run_list").height == 0


def test_classes_of_a_trace_that_is_drawn_are_refused(cli: Cli) -> None:
    found = cli("plan", "--set", "trace.classes=chat")
    assert found.code == 2
    assert "one drawn from a profile has none; name a trace with --trace" in found.err


def test_the_profile_is_no_source_of_a_changed_trace(cli: Cli, planned: Store) -> None:
    with planned.read() as session:
        name = session.frame("trace_list")["name"][0]
    asked = ("plan", "--trace", name, "--policy", "predictive", "--set", "policy.demand_source=profile")
    assert cli(*asked).code in (0, 3)
    found = cli(*asked, "--set", "trace.demand_factor=1.1")
    assert found.code == 2
    assert "knows nothing of the changes that the scenario makes" in found.err


def test_settings_for_a_profile_stay_with_it(cli: Cli, db: Store, tmp_path: Path) -> None:
    """A scenario file that draws a small trace, and a trace named on the command line instead."""
    trace = '[trace]\nprofile = "deepseek-2025-02-27"\ndemand_factor = 0.02\nscale = 0.01\ndays = 2\nnoise = 0.1\n'
    (tmp_path / "own.toml").write_text(trace)
    found = cli("plan", "own.toml", "--trace", "log", *sets(), "--json").json
    assert found["requests"] == 3 * 756
    assert any("is not applied to a stored trace (trace.demand_factor, trace.noise)" in n for n in found["notes"])
    typed = cli("plan", "own.toml", "--trace", "log", *sets("trace.demand_factor=2"), "--json").json
    assert typed["requests"] == 6 * 756


def test_settings_beside_the_name_of_a_trace_apply_to_it(cli: Cli, db: Store, tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text('[trace]\nname = "log"\ndemand_factor = 2\ndays = 1\n')
    assert cli("plan", "own.toml", *sets(), "--json").json["requests"] == 2 * 756


def test_a_run_is_replayed_with_what_it_took(cli: Cli, db: Store) -> None:
    planned = plan(cli, "trace.demand_factor=1.5", "trace.days=2", "trace.classes=chat")
    found = cli("replay", planned["run_id"], *HOUR, "--json")
    assert found.code == 0, found.err
    # 20 to 21 h has 40 requests, of which 26 are of chat; a remainder may be carried over either end
    assert abs(found.json["requests"] - 39) <= 1
    assert any("are made: some are repeated or left out at random" in note for note in found.json["notes"])
    refused = cli("replay", planned["run_id"], "--trace", "log")
    assert refused.code == 2
    assert "is replayed with its own trace; leave out --trace" in refused.err


@pytest.mark.parametrize(("factor", "requests"), [(0.5, 20), (1, 40), (2.5, 100)])
def test_replays_repeat_and_leave_out_requests(cli: Cli, db: Store, factor: float, requests: int) -> None:
    found = cli("replay", "--trace", "log", *HOUR, *sets(f"trace.demand_factor={factor}"), "--json").json
    assert found["requests"] == requests == found["completed"] + found["in_flight"]
    said = [note for note in found["notes"] if note.startswith(("trace log:", "the demand is changed"))]
    assert len(said) == (0 if factor == 1 else 2)


def test_replays_that_look_at_prefixes_refuse_changed_requests(cli: Cli, tmp_path: Path) -> None:
    rows = [json.dumps({"timestamp": 1_000 * at, "input_length": 1_024, "output_length": 5, "hash_ids": [1, at]})
            for at in range(7_200)]  # fmt: skip
    (tmp_path / "log.jsonl").write_text("\n".join(rows))
    asked = ("--format", "mooncake", "--name", "blocks", "--start", "2026-11-03T19:00Z")
    assert cli("trace", "import", "log.jsonl", *asked).code == 0
    replay = ("replay", "--trace", "blocks", *HOUR, *sets("trace.demand_factor=0.5"))
    for field in ("replay.hits=routed", "replay.prefill_balancer=prefix-aware"):
        found = cli(*replay, "--set", field)
        assert found.code == 2
        assert "repeated or left out would find more or less of their prefix" in found.err
    assert cli(*replay).code == 0


def test_a_case_of_a_sweep_is_the_plan_of_its_values(cli: Cli, db: Store) -> None:
    """Growth can be varied too: a case at its ends costs what the plan does."""
    vary = [f"{path}=base" for path in ("trace.demand_factor", "trace.noise", "fleet.start_up_s", "cache_hit_ratio")]
    vary += ["gpu_usd_per_hour=base", "nodes_down_ratio=base", "trace.growth_per_day=0.1:0.5"]
    words = [word for each in vary for word in ("--vary", each)]
    found = cli("sweep", "--trace", "log", "--cases", "2", *words, *sets("trace.demand_factor=1.5"), "--json")
    assert found.code == 0, found.err
    with db.read() as session:
        costs = {
            (role, growth): cost
            for role, growth, cost in session.connection.execute(
                "SELECT role, (parameters->>'$.\"trace.growth_per_day\"')::DOUBLE, cost_usd_micros FROM sweep_case"
            ).fetchall()
        }
    for role, growth in (("low", 0.1), ("high", 0.5)):
        planned = plan(cli, "trace.demand_factor=1.5", f"trace.growth_per_day={growth}")
        assert costs[role, growth] == pytest.approx(1e6 * planned["cost_usd"])


def test_forecasts_take_several_traces_as_one(cli: Cli, db: Store, tmp_path: Path) -> None:
    later = log_of(days=1).replace("2026-11-02T", "2026-11-05T")
    (tmp_path / "later.csv").write_text(later)
    imported(db, tmp_path / "later.csv", "csv", "later")
    asked = ("forecast", "--trace", "log", "--trace", "later", "--method", "seasonal-naive", "--horizon", "1")
    found = cli(*asked, *sets("trace.start_at=2026-11-03T00:00Z", "trace.classes=chat"), "--json")
    assert found.code == 0, found.err
    assert found.json["history"]["intervals"] == 3 * 96
    assert len(found.json["notes"]) == 2


def test_everything_that_is_read_of_a_trace_is_narrowed(db: Store) -> None:
    """The workload that capacities are modelled for is that of the classes and the time that are taken."""
    scenario = load_scenario(None, [*FLEET, "trace.name=log", "trace.classes=code", "trace.days=1"]).scenario
    trace = ensure_trace(db, scenario, now=NOW)
    with reading(db, scenario, trace) as session:
        (row,) = session.rows("trace_window_rows", trace_id=trace.trace_id, start_us=0, end_us=2**62)
        demand = selected_demand(session, scenario, trace)
        assert row["row_count"] == demand.requests.sum()
        assert session.rows("trace_workload", trace_id=trace.trace_id)[0]["input_tokens"] == pytest.approx(
            demand.input_tokens.sum() / demand.requests.sum()
        )
    with db.read() as session:
        assert binned(session, trace, 900, scenario.zone).requests.sum() == 3 * 756


def test_nights_plan_for_more_than_the_forecast(db: Store) -> None:
    scenario = load_scenario(None, [*FLEET, "trace.demand_factor=1.5"]).scenario
    with db.read() as session:
        stored = load_scenario(None, [*FLEET, "trace.name=log"]).scenario
    trace = ensure_trace(db, stored, now=NOW)
    with db.read() as session:
        demand = binned(session, trace, scenario.interval_s, scenario.zone)
    outcome = plan_ahead(db, scenario, trace, ExpectedDemand(demand, demand, ("as it was",)))
    assert outcome.demand.requests.sum() == 3 * 1_134
    assert "the forecast: demand multiplied by 1.5 (trace.demand_factor)" in outcome.notes


@pytest.mark.parametrize(
    "field", ["trace.days=2", "trace.noise=0.1", "trace.growth_per_day=0.1", "trace.cache_hit_ratio=0.3"]
)
def test_nights_refuse_what_says_nothing_of_a_day_to_come(tmp_path: Path, field: str) -> None:
    job = f'[[job]]\nname = "j"\nat = "02:00"\nset = ["{field}"]\nlog = {{ path = "log-{{date}}.csv" }}\n'
    (tmp_path / "jobs.toml").write_text(job)
    with pytest.raises(UsageError, match=r"cannot be applied to nights.*set trace\.demand_factor"):
        load_jobs(tmp_path / "jobs.toml")


def test_a_scenario_made_by_a_program_counts_too() -> None:
    scenario = load_scenario(None, ["trace.name=log"]).scenario
    grown = scenario.model_copy(update={"trace": scenario.trace.model_copy(update={"demand_factor": 3.0})})
    assert selection_of(grown).change.demand_factor == 3
    assert not selection_of(scenario).change.active
