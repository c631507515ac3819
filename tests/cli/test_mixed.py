"""planner mixed plan and replay: pools of several kinds for one service."""

import json
import shutil
from pathlib import Path

import pytest

from planner.store import Store
from tests.conftest import Cli, minute_log
from tests.helpers.mixed import mix_file
from tests.helpers.pages import ROOT

MINUTES = [(4800, 1200), (0, 2400), (9600, 240), (0, 9000)]
"""As in tests/unit/test_mixing.py."""


@pytest.fixture
def mix(tmp_path: Path, cli: Cli) -> Path:
    """The mixed fleet, with four minutes in the store."""
    assert cli("trace", "import", str(minute_log(tmp_path / "log.csv", MINUTES)), "--name", "minutes").code == 0
    return mix_file(tmp_path)


def test_four_minutes_by_hand(mix: Path, cli: Cli) -> None:
    done = cli("mixed", "plan", str(mix), "--trace", "minutes", "--json")
    assert done.code == 3
    assert "shortfall is 6.6079% of tokens and slo.max_shortfall_ratio allows 1.0000%" in done.err
    plan = done.json
    weights = [interval["routes"][0]["weights"]["both"] for interval in plan["intervals"]]
    assert weights == [pytest.approx(share) for share in (0.875, 0.75, 0.9375, 2 / 3)]
    # the last minute is planned ahead: units load for 10 s before it
    assert [interval["nodes"] for interval in plan["intervals"]] == [
        {"both": 3, "apart": 3},
        {"both": 4, "apart": 3},
        {"both": 4, "apart": 12},
        {"both": 4, "apart": 12},
    ]
    assert plan["peak_nodes"] == 16
    # 15 node-minutes at $4 an hour and 30 at $2
    assert plan["node_hours"] == pytest.approx(45 / 60)
    assert plan["cost_usd"] == pytest.approx((15 * 4 + 30 * 2) / 60, abs=1e-5)
    # of 6000 output tokens the first carries 4800, of 3000 the second 2400
    assert plan["shortfall_tokens"] == 1800
    assert [interval["fits"] for interval in plan["intervals"]] == [True, True, True, False]
    assert plan["saved_usd"] is None
    for name in ("node_hours", "shortfall_tokens"):
        assert sum(pool[name] for pool in plan["pools"]) == pytest.approx(plan[name])


def test_the_plans_of_pools_are_runs_whose_demand_adds_up_to_the_trace(mix: Path, cli: Cli, store: Store) -> None:
    plan = cli("mixed", "plan", str(mix), "--trace", "minutes", "--json").json
    runs = [cli("run", "show", pool["run_id"], "--json").json for pool in plan["pools"]]
    assert [run["scenario"] for run in runs] == ["mix both", "mix apart"]
    assert sum(run["requests"] for run in runs) == 4
    assert sum(run["input_tokens"] for run in runs) == 14_400
    assert sum(run["output_tokens"] for run in runs) == 12_840
    assert [run["cost_usd"] for run in runs] == [pool["cost_usd"] for pool in plan["pools"]]
    with store.read() as session:
        assert [row["kind"] for row in session.rows("run_record", run_id=plan["pools"][0]["run_id"])] == ["plan"]


def test_ways_to_route_and_each_pool_alone_stand_side_by_side(mix: Path, cli: Cli) -> None:
    wide = ("--set", "slo.max_shortfall_ratio=1")
    done = cli("mixed", "plan", str(mix), "--trace", "minutes", *wide)
    assert done.code == 0, done.err
    told = [line.split()[0] for line in done.out.splitlines() if line.strip()]
    assert told[-5:-1] == ["cheapest", "proportional", "both", "apart"]
    splits = cli("mixed", "plan", str(mix), "--trace", "minutes", *wide, "--json").json["splits"]
    assert [(each["split"], each["pool"]) for each in splits] == [
        ("cheapest", None),
        ("proportional", None),
        ("alone", "both"),
        ("alone", "apart"),
    ]
    assert [each["fits"] for each in splits] == [False] * 4
    # 9000 output tokens, of which the first alone carries 4800, and 40 of 41.25 units of input minutes
    assert splits[2]["shortfall_tokens"] == 4200


def test_a_pool_that_carries_everything_shows_what_mixing_saves(tmp_path: Path, cli: Cli) -> None:
    minute_log(tmp_path / "log.csv", [(2400, 600)] * 4)
    assert cli("trace", "import", "log.csv", "--name", "minutes").code == 0
    done = cli("mixed", "plan", str(mix_file(tmp_path)), "--trace", "minutes", "--json")
    assert done.code == 0, done.err
    plan = done.json
    alone = next(each for each in plan["splits"] if each["pool"] == "both")
    assert alone["fits"]
    assert plan["saved_usd"] == pytest.approx(alone["cost_usd"] - plan["cost_usd"])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[[pool]]\nname = "both"\nscenario = "both.toml"\n', "a mixed fleet has at least two pools; add a [[pool]]"),
        (
            2 * '[[pool]]\nname = "both"\nscenario = "both.toml"\n',
            "pool both is given more than once; give every pool its own name",
        ),
        (
            'colour = 1\n[[pool]]\nname = "a"\nscenario = "both.toml"\n[[pool]]\nname = "b"\nscenario = "both.toml"\n',
            "colour: is not a known field; remove it or correct its name",
        ),
        (
            '[[pool]]\nname = "a"\nscenario = "both.toml"\n[[pool]]\nname = "b"\nscenario = "none.toml"\n',
            'none.toml": give one of ',
        ),
        ("", "pool: is missing; add it"),
    ],
)
def test_a_file_that_is_wrong_gets_one_line(text: str, told: str, tmp_path: Path, cli: Cli) -> None:
    path = mix_file(tmp_path)
    path.write_text(f'name = "mix"\ndescription = "pools"\n{text}')
    done = cli("mixed", "plan", str(path))
    assert done.code in (1, 2)
    assert told in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("plan", "none.toml"), "none.toml: cannot be read"),
        (("plan", "mix.toml", "--trace", "other"), 'no trace "other"'),
        (("plan", "mix.toml", "--set", "fleet.nodes=1"), "raise nodes"),
        (
            ("replay", "mix.toml", "--trace", "minutes", "--set", "replay.sessions=closed"),
            "mix both: replay.sessions is closed, and the turns of a session may go to several pools",
        ),
        (("replay", "mix.toml", "--trace", "minutes"), "a replay warms up for 30 min before it counts"),
        (("replay", "mix.toml", "--all", "--to", "2025-03-01T00:02Z"), "--all counts the whole plan"),
    ],
)
def test_what_cannot_be_done_gets_one_line(words: tuple[str, ...], told: str, mix: Path, cli: Cli) -> None:
    done = cli("mixed", *words)
    assert done.code in (1, 2)
    assert told in done.err
    assert done.err.count("\n") == 1


def test_pools_share_intervals_and_clock(mix: Path, cli: Cli) -> None:
    mix_file(mix.parent, apart=["interval_s=120"])
    done = cli("mixed", "plan", str(mix), "--trace", "minutes")
    assert "interval_s is 60 in the scenario of pool both and 120 in that of pool apart; set both" in done.err
    mix_file(mix.parent, apart=["timezone=Asia/Tokyo"])
    done = cli("mixed", "plan", str(mix), "--trace", "minutes")
    assert "timezone is UTC in the scenario of pool both and Asia/Tokyo in that of pool apart" in done.err


def test_a_policy_that_sees_the_profile_would_plan_for_all_pools(drawn: Path, tmp_path: Path, cli: Cli) -> None:
    shutil.copy(drawn, tmp_path / "planner.duckdb")
    both = mix_file(tmp_path, both=["policy.demand_source=profile"])
    done = cli("mixed", "plan", str(both), "--set", "interval_s=900")
    assert done.code == 2
    assert "mix both: policy.demand_source is profile, which knows the demand of all pools" in done.err


def test_nodes_and_trace_are_those_of_the_file_and_of_the_first_pool(mix: Path, cli: Cli) -> None:
    mix_file(mix.parent, both=["trace.name=minutes"], apart=["trace.name=other"])
    mix.write_text(mix.read_text().replace('scenario = "both.toml"\n', 'scenario = "both.toml"\nnodes = 6\n'))
    plan = cli("mixed", "plan", str(mix), "--json").json
    assert plan["trace"] == "minutes"
    assert [pool["nodes"] for pool in plan["pools"]] == [6, 12]
    assert "pool apart: the requests are those of pool both, and not those that its scenario names" in plan["notes"]


@pytest.fixture
def chat(tmp_path: Path, cli: Cli) -> Path:
    """The mixed fleet of the examples, and two hours of requests of two classes."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    rows = ["arrival,input_tokens,output_tokens,class"]
    for second in range(0, 7200, 2):
        minute, rest = divmod(second, 60)
        name = "long" if second % 20 == 0 else "chat"
        length = 8000 if name == "long" else 1000
        rows.append(f"2025-03-01T{8 + minute // 60:02d}:{minute % 60:02d}:{rest:02d}+08:00,{length},200,{name}")
    (tmp_path / "log.csv").write_text("\n".join(rows) + "\n")
    assert cli("trace", "import", "log.csv", "--name", "chat").code == 0
    path = tmp_path / "examples" / "mixed-llama-70b.toml"
    # so few requests cost least in one pool
    path.write_text(path.read_text().replace("[[pool]]", 'split = "proportional"\n\n[[pool]]', 1))
    return path


def test_every_request_of_a_replay_goes_to_one_pool(chat: Path, cli: Cli, store: Store) -> None:
    window = ("--from", "2025-03-01T08:30+08:00", "--to", "2025-03-01T09:30+08:00")
    done = cli("mixed", "replay", str(chat), "--trace", "chat", *window, "--json")
    assert done.code == 0, done.err
    replay = done.json
    assert replay["requests"] == replay["completed"] + replay["in_flight"] + replay["rejected"] == 1800
    assert sum(pool["requests"] for pool in replay["pools"]) == 1800
    assert all(0 < pool["requests"] < 1800 for pool in replay["pools"])
    assert sum(pool["simulated_requests"] for pool in replay["pools"]) == 3600
    assert {each["class"]: each["requests"] for each in replay["classes"]} == {"chat": 1620, "long": 180}
    assert sum(hour["requests"] for hour in replay["hours"]) == 1800
    stored = [cli("run", "show", pool["run_id"], "--json").json for pool in replay["pools"]]
    assert [run["scenario"] for run in stored] == ["llama-70b-mixed h100", "llama-70b-mixed h200"]
    with store.read() as session:
        counted = session.connection.execute(
            "SELECT metric, sum(request_count) FROM latency_histogram GROUP BY metric"
        ).fetchall()
    # as many latencies as requests that have them, which together are those of the whole
    assert dict(counted)["e2e"] == replay["completed"]
    means = [(pool["completed"], pool["e2e_ms"]["mean"]) for pool in replay["pools"]]
    assert replay["e2e_ms"]["mean"] == pytest.approx(sum(count * ms for count, ms in means) / replay["completed"])
    assert json.dumps(replay["notes"]).count("a router balances by load as it comes") == 1


def test_turns_of_a_session_stay_in_their_pool_and_what_that_does_to_shares_is_said(chat: Path, cli: Cli) -> None:
    rows = (chat.parents[1] / "log.csv").read_text().splitlines()
    # sessions of twenty turns, all of one class
    turns = [f"{row},{row.rpartition(',')[2]}-{number // 400}-{number % 20}" for number, row in enumerate(rows[1:])]
    (chat.parents[1] / "turns.csv").write_text("\n".join([f"{rows[0]},session_id", *turns]) + "\n")
    assert cli("trace", "import", "turns.csv", "--name", "turns").code == 0
    window = ("--from", "2025-03-01T08:30+08:00", "--to", "2025-03-01T09:30+08:00")
    replay = cli("mixed", "replay", str(chat), "--trace", "turns", *window, "--json").json
    assert sum(pool["requests"] for pool in replay["pools"]) == 1800
    (note,) = (note for note in replay["notes"] if note.startswith("a later turn of a session goes to the pool of the"))
    for pool in replay["pools"]:
        assert f"{pool['name']} {pool['request_share']:.1%} ({pool['routed_share']:.1%})" in note
        # sessions have twenty turns, most of them in the window
        assert pool["request_share"] != pytest.approx(pool["routed_share"], abs=1e-3)
    assert sum(pool["routed_share"] for pool in replay["pools"]) == pytest.approx(1)
    without = cli("mixed", "replay", str(chat), "--trace", "chat", *window, "--json").json
    assert not any("later turn" in note for note in without["notes"])


def test_a_replay_in_words_and_its_limit(chat: Path, cli: Cli) -> None:
    window = ("--from", "2025-03-01T08:30+08:00", "--to", "2025-03-01T08:45+08:00")
    done = cli("mixed", "replay", str(chat), "--trace", "chat", *window, "--set", "slo.min_attainment=1.0")
    assert "450: 450 completed" in done.out
    assert [line.split()[0] for line in done.out.splitlines() if line.strip()][-3:] == ["h100", "h200", "together"]
    limits = ("--set", "slo.min_attainment=1.0", "--set", "slo.ttft_ms=1")
    tight = cli("mixed", "replay", str(chat), "--trace", "chat", *window, *limits)
    assert tight.code == 3
    assert "of requests are within both targets and slo.min_attainment requires 100.00%" in tight.err


def test_the_run_of_a_pool_is_not_replayed_as_if_it_had_all_requests(mix: Path, cli: Cli) -> None:
    plan = cli("mixed", "plan", str(mix), "--trace", "minutes", "--json").json
    run_id = plan["pools"][1]["run_id"]
    done = cli("replay", run_id)
    assert done.code == 1
    assert f"{run_id} was planned for other demand than that of its scenario" in done.err
    assert "`planner mixed replay`" in done.err


def test_requests_of_a_changed_demand_are_shared_too(chat: Path, cli: Cli) -> None:
    window = ("--from", "2025-03-01T08:30+08:00", "--to", "2025-03-01T08:45+08:00", "--set", "trace.demand_factor=1.5")
    done = cli("mixed", "replay", str(chat), "--trace", "chat", *window, "--json")
    assert done.code == 0, done.err
    replay = done.json
    alone = cli("replay", str(chat.parent / "llama-70b-h200.toml"), "--trace", "chat", *window, "--json").json
    assert replay["requests"] == alone["requests"] == 675
    assert sum(pool["requests"] for pool in replay["pools"]) == 675
    assert all(pool["requests"] > 0 for pool in replay["pools"])
