"""Replaying every request through a plan, as people ask for it: windows, figures, what is stored, what is refused."""

import json
import time
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import planner
from planner.capacity.engines import Workload, balanced_engine, decode_engine
from planner.capacity.units import lives_of, service_of
from planner.catalogue.scenarios import load_scenario
from planner.core.replay.requests.kernels import choice as choice_kernels
from planner.core.replay.requests.latency import SUB_BUCKETS, bucket_edges_us, quantiles_ms
from planner.core.replay.requests.model import Lives, Span
from planner.documents import to_json
from planner.store import Store
from planner.studies.replay.account import held_us
from tests.conftest import NOW, Cli
from tests.helpers.replays import EVENING, FLEET_SETS, NIGHT, SETS, SMALL


def test_a_replay_accounts_for_every_request(cli: Cli, store: Store) -> None:
    found = cli("replay", *SETS, *EVENING, "--json").json
    assert found["requests"] == found["completed"] + found["in_flight"] + found["rejected"] > 10_000
    assert found["rejected"] == 0
    for name in ("ttft_ms", "tpot_ms", "e2e_ms"):
        values = found[name]
        assert values["p50"] <= values["p90"] <= values["p95"] <= values["p99"]
    assert 0 < found["kv_peak_ratio"] < 1
    (hour,) = found["hours"]
    assert hour["requests"] == found["requests"]
    with store.read() as session:
        (row,) = session.connection.execute(
            "SELECT arrived, completed, kind FROM replay_run JOIN run USING (run_id)"
        ).fetchall()
        counted = dict(
            session.connection.execute(
                "SELECT metric, sum(request_count)::BIGINT FROM latency_histogram GROUP BY metric"
            ).fetchall()
        )
        minutes = session.connection.execute("SELECT count(*) FROM replay_minute").fetchall()[0][0]
    assert row == (found["requests"], found["completed"], "replay")
    assert counted["e2e"] == found["completed"]
    assert counted["ttft"] >= found["completed"]
    assert minutes == 75
    shares = cli("sql", "--name", "replay_percentiles", "--format", "json").json
    (median,) = [row for row in shares if (row["metric"], row["percentile"]) == ("ttft", 50)]
    assert median["latency_ms"] == pytest.approx(found["ttft_ms"]["p50"], rel=1e-6)
    assert len(cli("sql", "--name", "replay_minutes", "--format", "json").json) == 75
    (stored,) = cli("sql", "--name", "replay_hours", "--format", "json").json
    for name in ("requests", "completed", "rejected", "both_attainment"):
        assert stored[name] == hour[name]
    for name in (
        "prefill_queue_requests",
        "decode_queue_requests",
        "prefill_busy",
        "prefill_utilisation",
        "decode_busy",
    ):
        assert stored[name] == pytest.approx(hour[name], rel=1e-9)
    assert stored["streams_per_unit"] == pytest.approx(32 * hour["streams_per_gpu"], rel=1e-9)
    assert stored["output_tokens_per_s_per_stream"] == pytest.approx(hour["tokens_per_s_per_stream"], rel=1e-9)
    assert 0 < hour["prefill_utilisation"] <= hour["prefill_busy"] <= 1
    assert cli("sql", "--name", "replay_summary", "--format", "json").json[0]["arrived"] == found["requests"]


def test_the_same_replay_gives_the_same_figures(cli: Cli) -> None:
    one, two = (cli("replay", *SETS, *EVENING, "--json").json for _ in range(2))
    changing = ("run_id", "wall_s", "requests_per_s")
    assert {k: v for k, v in one.items() if k not in changing} == {k: v for k, v in two.items() if k not in changing}


def test_a_program_gets_the_document_that_is_printed(cli: Cli, store: Store) -> None:
    printed = cli("replay", *SETS, *EVENING, "--json").json
    scenario = load_scenario(None, list(SMALL)).scenario
    start, end = (datetime.fromisoformat(moment) for moment in EVENING[1::2])
    done = planner.replay(store, scenario, start=start, end=end, now=NOW, clock=time.perf_counter)
    run_id, document = planner.store_replay(store, done, now=NOW)
    assert document.run_id == run_id != printed["run_id"]
    assert document.window_start == start
    assert document.hours[0].requests == document.requests == printed["requests"]
    changing = ("run_id", "wall_s", "requests_per_s")
    assert {k: v for k, v in to_json(document).items() if k not in changing} == {
        k: v for k, v in printed.items() if k not in changing
    }


def test_streams_decode_as_fast_as_the_model_says(cli: Cli) -> None:
    """Time per token in the middle of the load is the step time at the streams and KV that the replay found."""
    found = cli("replay", *SETS, *EVENING, "--json").json
    (hour,) = found["hours"]
    scenario = load_scenario(None, list(SMALL)).scenario
    service = service_of(scenario.fleet, scenario.replay, 4989.0)
    streams = round(hour["streams_per_gpu"] * 32)
    step = service.steps.at(streams, hour["kv_occupancy"] * service.kv_capacity_tokens)
    assert found["tpot_ms"]["mean"] == pytest.approx(step / 1e3, rel=0.05)
    assert hour["tokens_per_s_per_stream"] == pytest.approx(1e6 / step, rel=0.05)


def test_units_that_leave_at_night_drain_and_lose_nothing(cli: Cli) -> None:
    found = cli("replay", *SETS, *NIGHT, "--json").json
    assert found["requests"] == found["completed"] + found["in_flight"]
    assert found["drain_s"]
    assert max(found["drain_s"]) < 120 + 1
    assert found["moved"] > 0
    # time in steps includes the drain, and so does the time in which units are there
    assert found["decode_busy"] <= 1.001
    units = cli("sql", "--name", "replay_units", "--format", "json").json
    assert [row["drain_s"] for row in units if row["role"] == "decode" and row["drains_from"]] == found["drain_s"]
    assert sum(row["moved"] for row in units) == found["moved"]
    assert all(row["drains_from"] is None or row["drains_from"] > row["serves_from"] for row in units)
    shown = cli("replay", *SETS, *NIGHT).out
    assert f"{len(found['drain_s'])} decode units, empty after {max(found['drain_s']):,.1f} s at most" in shown


def test_ranks_kept_one_by_one_are_about_as_uneven_as_measured(cli: Cli) -> None:
    found = cli("replay", *SETS, *EVENING, "--set", "replay.ranks=exact", "--json").json
    assert found["ranks"] == "exact"
    replayed, table = (found["imbalance"][f"rank_kv_imbalance_{name}"] for name in ("mean", "table"))
    assert replayed == pytest.approx(table, rel=0.05)
    shown = cli("replay", *SETS, *EVENING, "--set", "replay.ranks=exact").out
    assert f"ranks exact: KV {replayed:.3f} as replayed, KV {table:.3f} in the balancer's table" in shown


def test_balancers_and_queues_are_settings(cli: Cli) -> None:
    even = cli("replay", *SETS, *EVENING, "--json").json
    random = cli("replay", *SETS, *EVENING, "--set", "replay.decode_balancer=random", "--json").json
    assert random["imbalance"]["kv_imbalance_mean"] > even["imbalance"]["kv_imbalance_mean"]
    impatient = cli("replay", *SETS, *EVENING, "--set", "replay.timeout_s=0.2", "--json").json
    assert impatient["rejected"] > 0
    assert impatient["requests"] == impatient["completed"] + impatient["in_flight"] + impatient["rejected"]
    assert even["retried"] == impatient["retried"] == 0
    stubborn = cli("replay", *SETS, *EVENING, "--set", "replay.timeout_s=0.2", "--set", "replay.retries=3", "--json")
    assert 0 < stubborn.json["retried"] < 3 * impatient["rejected"]
    assert stubborn.json["rejected"] < impatient["rejected"]


def test_a_window_of_seconds_has_the_figures_of_its_minute(cli: Cli) -> None:
    found = cli("replay", *SETS, "--from", "2025-02-27T20:00:10+08:00", "--to", "2025-02-27T20:00:50+08:00", "--json")
    assert found.json["tokens_per_s_per_stream"] == pytest.approx(31.7, rel=0.02)
    assert found.json["hours"][0]["kv_occupancy"] == found.json["kv_occupancy"] > 0


def test_hours_that_begin_inside_a_minute_add_up_and_are_the_same_in_sql(cli: Cli) -> None:
    for start, end in (("20:00:30", "21:17:13.5"), ("20:00:30", "20:00:40"), ("20:59:59.5", "21:00:00.5")):
        window = ("--from", f"2025-02-27T{start}+08:00", "--to", f"2025-02-27T{end}+08:00")
        found = cli("replay", *SETS, *window, "--json").json
        for name in ("requests", "completed", "output_tokens", "cost_usd"):
            assert sum(hour[name] for hour in found["hours"]) == pytest.approx(found[name], rel=1e-12)
        stored = cli("sql", "--name", "replay_hours", "--format", "json").json
        assert len(stored) == len(found["hours"])
        for row, hour in zip(stored, found["hours"], strict=True):
            assert row["requests"] == hour["requests"]
            assert row["output_tokens_per_s_per_stream"] == pytest.approx(hour["tokens_per_s_per_stream"], rel=1e-9)
            for name in ("prefill_queue_requests", "decode_queue_requests", "prefill_busy", "decode_busy"):
                assert row[name] == pytest.approx(hour[name], rel=1e-9)


def test_cost_is_per_token_that_was_delivered(cli: Cli) -> None:
    even = cli("replay", *SETS, *EVENING, "--json").json
    impatient = cli("replay", *SETS, *EVENING, "--set", "replay.timeout_s=0.2", "--json").json
    assert even["cost_usd"] == impatient["cost_usd"]
    for found in (even, impatient):
        (hour,) = found["hours"]
        each = found["cost_usd"] / found["output_tokens"] * 1e6
        assert found["cost_usd_per_million_output_tokens"] == hour["cost_usd_per_million_output_tokens"] == each
    # the window lies between equal ones, so what comes in is what goes out
    assert even["output_tokens"] == pytest.approx(even["requests"] * 1005, rel=0.02)
    delivered = impatient["completed"] / even["completed"]
    assert impatient["output_tokens"] == pytest.approx(even["output_tokens"] * delivered, rel=0.05)


def test_who_still_waits_when_the_target_has_passed_has_missed_it(cli: Cli, store: Store) -> None:
    """One request a pass is far too slow: the queue grows, and only the first of the window are read by the end."""
    slow = ("--set", "replay.queue_mode=depth", "--set", "replay.depth_rules=0:1")
    found = cli("replay", *SETS, *EVENING, *slow, "--keep-requests", "--json").json
    with store.read() as session:
        rows = session.connection.sql("SELECT ttft_us, status FROM replay_request").pl()
    assert (rows["ttft_us"].null_count()) > 0.5 * found["requests"]
    attained = (rows["ttft_us"] <= 5e6).sum() / len(rows)
    assert found["slo"]["ttft_attainment"] == found["hours"][0]["ttft_attainment"] == attained
    (stored,) = cli("sql", "--name", "replay_attainment", "--format", "json").json
    assert stored["ttft_attainment"] == attained
    assert stored["both_attainment"] == found["slo"]["both_attainment"] <= attained


def test_who_is_rejected_is_not_within_the_target(cli: Cli) -> None:
    found = cli("replay", *SETS, *EVENING, "--set", "replay.timeout_s=0.2", "--json").json
    assert found["slo"]["ttft_attainment"] < 1 - 0.9 * found["rejected"] / found["requests"]


def test_a_stored_run_is_replayed_as_it_was_planned(cli: Cli, store: Store) -> None:
    planned = cli("plan", *SETS, "--json").json
    found = cli("replay", planned["run_id"], *EVENING, "--json").json
    with store.read() as session:
        one, two = (session.frame("run_intervals", run_id=run_id) for run_id in (planned["run_id"], found["run_id"]))
    assert one.equals(two)
    refused = cli("replay", planned["run_id"], "--set", "fleet.nodes=40")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "set replay.* and failures.* fields only" in refused.err
    missing = cli("replay", "run-00077")
    assert (missing.code, missing.err.count("\n")) == (1, 1)


def test_a_stored_plan_that_comes_out_otherwise_is_not_replayed(cli: Cli, store: Store) -> None:
    run_id = cli("plan", *SETS, "--json").json["run_id"]
    with store.write() as session:
        session.connection.execute("UPDATE plan_interval SET decode_units = decode_units + 1")
    refused = cli("replay", run_id, *EVENING)
    assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert "makes a different plan of its scenario; plan the scenario again" in refused.err


def test_modelled_capacities_are_those_of_the_plan_that_is_replayed(cli: Cli) -> None:
    modelled = ("--set", "fleet.capacity=modelled", *SETS)
    planned = cli("plan", *modelled, "--json").json
    found = cli("replay", *modelled, *EVENING, "--json").json
    again = cli("run", "diff", planned["run_id"], found["run_id"], "--json").json
    assert again["intervals_with_other_nodes"] == 0
    assert found["capacity"] == "modelled"


def test_requests_are_kept_one_by_one_where_asked_for(cli: Cli, store: Store) -> None:
    found = cli("replay", *SETS, *EVENING, "--set", "replay.timeout_s=0.5", "--keep-requests", "--json").json
    with store.read() as session:
        rows = session.connection.sql("SELECT * FROM replay_request ORDER BY request_index").pl()
    assert len(rows) == found["requests"]
    assert (rows["status"] == "completed").sum() == found["completed"]
    assert rows["status"].str.starts_with("rejected").sum() == found["rejected"] > 0
    assert rows["ttft_us"].mean() / 1e3 == pytest.approx(found["ttft_ms"]["mean"])
    assert rows["e2e_us"].mean() / 1e3 == pytest.approx(found["e2e_ms"]["mean"])
    assert rows["arrival_us"].is_sorted()
    assert rows.filter(pl.col("status") != "completed")["e2e_us"].null_count() == found["rejected"] + found["in_flight"]


def test_attainment_by_class_adds_up(cli: Cli, tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    rows = (f"2025-03-01T{m // 60:02d}:{m % 60:02d}:{s:02d}Z,900,300,{s % 3}" for m in range(120) for s in range(60))
    log.write_text("arrival,input_tokens,output_tokens,class\n" + "\n".join(rows) + "\n")
    assert cli("trace", "import", str(log), "--format", "csv", "--name", "c").code == 0
    found = cli("replay", *FLEET_SETS, "--set", "trace.name=c", "--all", "--json").json
    assert [row["class"] for row in found["classes"]] == ["0", "1", "2"]
    assert sum(row["requests"] for row in found["classes"]) == found["requests"]
    assert all(row["slo"]["both_attainment"] is not None for row in found["classes"])
    shown = cli("replay", *FLEET_SETS, "--set", "trace.name=c", "--all").out
    assert "TTFT in time" in shown


def test_hits_follow_the_route_where_a_trace_has_blocks(cli: Cli, tmp_path: Path) -> None:
    log, turns = tmp_path / "log.jsonl", 40
    rows = [
        {"timestamp": 2000 * row, "input_length": 512 * (2 + row // turns), "output_length": 20,
         "hash_ids": [row % turns * 1000 + block for block in range(2 + row // turns)]}
        for row in range(turns * 100)
    ]  # fmt: skip
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert cli("trace", "import", str(log), "--format", "mooncake", "--name", "m").code == 0
    ratios = {}
    for balancer in ("prefix-aware", "random"):
        sets = [f"replay.prefill_balancer={balancer}", "replay.hits=routed", "policy.name=fixed", "trace.name=m"]
        words = [word for item in sets for word in ("--set", item)]
        ratios[balancer] = cli("replay", *FLEET_SETS, *words, "--all", "--json").json["hit_ratio"]
    assert ratios["random"] < 0.6 < 0.9 < ratios["prefix-aware"]
    refused = cli("replay", *SETS, "--set", "replay.hits=routed")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "has no prefix blocks" in refused.err


def test_the_page_for_people_tells_percentiles(cli: Cli) -> None:
    shown = cli("replay", *SETS, *EVENING).out
    for word in ("TTFT", "TPOT", "E2E", "p99", "within target", "tok/s per stream"):
        assert word in shown


def test_the_report_of_a_replay_draws_what_users_felt(cli: Cli, tmp_path: Path) -> None:
    cli("replay", *SETS, *EVENING)
    assert cli("report", "--out", str(tmp_path / "page")).code == 0
    for name in ("latency.svg", "attainment.svg", "use.svg", "latency.csv", "attainment.csv", "use.csv"):
        assert (tmp_path / "page" / name).stat().st_size > 100
    page = (tmp_path / "page" / "index.html").read_text()
    assert "Latency for users" in page
    assert "Balancers: prefill two-key, decode two-key; the GPUs of a decode unit\nuse the measured imbalance" in page
    assert "latencies are modelled at most" not in page
    assert "decode queue" in (tmp_path / "page" / "use.svg").read_text()


def test_the_report_of_a_plan_says_nothing_of_replays(cli: Cli, tmp_path: Path) -> None:
    cli("plan", *SETS)
    assert cli("report", "--out", str(tmp_path / "page")).code == 0
    page = (tmp_path / "page" / "index.html").read_text()
    assert "Replayed, request by request" not in page
    assert "latencies are modelled at most" in page


def test_a_replay_that_misses_the_attainment_asked_for_exits_3(cli: Cli, store: Store) -> None:
    asked = ("--set", "slo.ttft_ms=1000", "--set", "slo.min_attainment=0.9")
    missed = cli("replay", *SETS, *EVENING, *asked)
    assert (missed.code, missed.err.count("\n")) == (3, 1)
    assert "of requests are within both targets and slo.min_attainment requires 90.00%" in missed.err
    told = cli("replay", *SETS, *EVENING, *asked, "--json")
    assert told.code == 3
    assert len(told.json["missed_limits"]) == 1
    met = cli("replay", *SETS, *EVENING, "--set", "slo.min_attainment=0.9", "--json")
    assert (met.code, met.json["missed_limits"]) == (0, [])


def test_a_replay_cut_short_says_that_its_latencies_flatter(cli: Cli) -> None:
    late = ("--from", "2025-02-28T11:50+08:00")
    shown = cli("replay", *SETS, *late).out
    assert "had not finished when the simulation ended, so latencies are those of the faster requests" in shown
    assert "had not finished" not in cli("replay", *SETS, *EVENING).out


def test_a_deleted_replay_leaves_nothing(cli: Cli, store: Store) -> None:
    run_id = cli("replay", *SETS, *EVENING, "--json").json["run_id"]
    assert cli("run", "delete", run_id).code == 0
    with store.read() as session:
        for table in ("run", "replay_run", "replay_interval", "latency_histogram", "replay_minute", "replay_unit"):
            assert session.connection.execute(f"SELECT count(*) FROM {table}").fetchall() == [(0,)]


@pytest.mark.parametrize(
    ("arguments", "cure"),
    [
        (("--from", "yesterday"), "write it as"),
        (("--from", "2025-02-27T20:00"), "has no offset"),
        (("--from", "2024-02-27T20:00+08:00"), "not inside the plan"),
        (("--from", "2025-02-27T20:00+08:00", "--to", "2025-02-27T19:00+08:00"), "window is empty"),
        (("--from", "2025-02-27T12:10+08:00"), "warms up for 30 min"),
        (("--to", "2025-02-27T12:20+08:00"), "count from 2025-02-27T12:30:00+08:00 or later"),
        (("--to", "2025-03-01T00:00+08:00"), "up to 2025-02-28T12:00:00+08:00 or earlier"),
        (("--all", "--from", "2025-02-27T20:00+08:00"), "leave out --from and --to"),
        (("--set", "replay.warm_up_s=60"), "replay.warm_up_s"),
        (("--set", "replay.depth_rules=1:4"), "do not ascend from 0"),
        (("--set", "replay.decode_balancer=luck"), "replay.decode_balancer"),
        (("--set", "replay.decode_balancer=prefix-aware"), "decode units keep no prefixes"),
        (("--set", "replay.prefill_balancer=prefix-aware"), "has neither prefix blocks nor sessions; use two-key"),
        (("--set", "fleet.engine.weights=bf16"), "does not fit"),
    ],
)
def test_what_cannot_be_replayed_gives_one_line(cli: Cli, arguments: tuple[str, ...], cure: str) -> None:
    result = cli("replay", *SETS, *arguments)
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert cure in result.err


def import_log(cli: Cli, folder: Path, minutes: int, name: str) -> None:
    """A log of a request a second, fewer output tokens every 20 minutes."""
    seconds = range(60 * minutes)
    rows = (f"2025-03-01T{s // 3600:02d}:{s // 60 % 60:02d}:{s % 60:02d}Z,900,{400 - s // 1200 * 10}" for s in seconds)
    log = folder / f"{name}.csv"
    log.write_text("arrival,input_tokens,output_tokens\n" + "\n".join(rows) + "\n")
    assert cli("trace", "import", str(log), "--format", "csv", "--name", name).code == 0


def test_the_busiest_hour_is_one_that_can_be_warmed_up(cli: Cli, tmp_path: Path) -> None:
    import_log(cli, tmp_path, 75, "short")
    found = cli("replay", *FLEET_SETS, "--set", "trace.name=short", "--json").json
    assert (found["window_start"], found["window_end"]) == ("2025-03-01T08:30:00+08:00", "2025-03-01T09:00:00+08:00")
    assert found["requests"] == 1800


def test_a_trace_that_is_too_short_to_warm_up_is_refused_as_that(cli: Cli, tmp_path: Path) -> None:
    import_log(cli, tmp_path, 25, "tiny")
    for window in ((), ("--all",), ("--from", "2025-03-01T00:10Z")):
        result = cli("replay", *FLEET_SETS, "--set", "trace.name=tiny", *window)
        assert (result.code, result.err.count("\n")) == (2, 1)
        assert "the plan has only 30 min; use a longer trace" in result.err


def test_an_imported_sample_is_refused_with_the_cure(cli: Cli, tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    rows = "\n".join(f"2025-03-01T00:{m:02d}:00Z,100,10,5" for m in range(60))
    log.write_text("arrival,input_tokens,output_tokens,sample_weight\n" + rows + "\n")
    assert cli("trace", "import", str(log), "--format", "csv", "--name", "s").code == 0
    result = cli("replay", "--set", "trace.name=s", "--all")
    assert result.code == 2
    assert "each row standing for 5 requests; draw the missing ones with `planner trace expand" in result.err


def test_the_steps_of_a_unit_are_those_of_the_engine() -> None:
    scenario = load_scenario().scenario
    service = service_of(scenario.fleet, scenario.replay, 4989.0)
    engine, imbalance_at = balanced_engine(scenario.fleet.engine, decode_engine(scenario.fleet.engine, 144))
    from planner.core.fleet.decode import step_us

    for per_gpu in (1, 40, 97, 128):
        exact = step_us(engine, per_gpu, 4989.0, imbalance=imbalance_at(np.asarray(float(per_gpu))))
        assert service.steps.at(per_gpu * 144, per_gpu * 144 * 4989.0) == pytest.approx(float(exact), rel=1e-9)
    assert service.kv_capacity_tokens == pytest.approx(144 * engine.kv_gb * 1e9 / 70_272, rel=1e-3)
    assert Workload.named("deepseek-2025-02-27").kv_tokens == 4989


def test_lives_are_counted_from_the_origin_and_units_that_stay_never_drain() -> None:
    from planner.core.replay.intervals.lifetimes import Life

    lives = [
        Life(role="decode", units=2, nodes=36, joined_s=0, ready_s=0, drain_s=7200, left_s=7200),
        Life(role="decode", units=1, nodes=18, joined_s=0, ready_s=0, drain_s=3000, left_s=3600),
        Life(role="prefill", units=1, nodes=4, joined_s=900, ready_s=1080, drain_s=7200, left_s=7200),
    ]
    found = lives_of(lives, "decode", 1000.0, 120.0, 7200)
    assert found.serve_us.tolist() == [0, 0, 0]
    assert found.drain_us.tolist() == [np.inf, np.inf, 2000e6]
    assert found.gone_us.tolist() == [np.inf, np.inf, 2120e6]
    assert lives_of(lives, "prefill", 1000.0, 120.0, 7200).serve_us.tolist() == [80e6]


def test_units_are_held_until_they_have_ended_what_they_began() -> None:
    lives = Lives(np.array([0.0, 30e6, 0.0]), np.array([np.inf, 90e6, 120e6]), np.array([np.inf, 200e6, 200e6]))
    span = Span(from_us=0.0, to_us=1.0, end_us=180e6)
    assert held_us(lives, np.array([np.nan, 0.0, 15e6]), span).tolist() == [150e6, 150e6, 75e6]
    assert held_us(lives, np.array([np.nan, 20e6, np.inf]), span).tolist() == [150e6, 170e6, 120e6]
    assert held_us(lives, np.array([np.nan, 20e6, np.inf]), Span(from_us=0.0, to_us=1.0, end_us=150e6)).tolist() == [
        150e6,
        170e6,
        60e6,
    ]


@given(st.lists(st.floats(1, 1e10), min_size=1, max_size=200), st.sampled_from([0.5, 0.9, 0.99]))
def test_a_quantile_of_a_histogram_is_within_its_bucket(latencies: list[float], share: float) -> None:
    counts = np.zeros(choice_kernels.BUCKETS, np.int64)
    for each in latencies:
        counts[choice_kernels.bucket_of(each)] += 1
    exact = sorted(latencies)[max(1, int(np.ceil(share * len(latencies)))) - 1]
    (found,) = quantiles_ms(counts, (share,))
    assert found is not None
    assert found * 1e3 == pytest.approx(exact, rel=0.004)


def test_kernels_and_readers_have_the_same_buckets() -> None:
    assert SUB_BUCKETS == choice_kernels.SUB_BUCKETS
    edges = bucket_edges_us(choice_kernels.BUCKETS)
    for bucket in (0, 1, 127, 128, 3000):
        assert choice_kernels.bucket_of(float(edges[bucket])) == bucket
        assert choice_kernels.bucket_of(float(np.nextafter(edges[bucket + 1], 0))) == bucket


AGGREGATED = ("fleet.serving=aggregated", "fleet.unit={gpus=32, tokens_per_s=[[100000, 30000]]}")


@pytest.mark.parametrize(
    ("sets", "told", "traces"),
    [
        ((*AGGREGATED, "replay.ranks=exact"), "replay.ranks=measured", 0),
        ((*AGGREGATED, "replay.queue_mode=window"), "use at-once", 0),
        ((*AGGREGATED, "replay.prefill_balancer=least-kv"), "use two-key", 0),
        # the plan's sample shows that the whole trace has none
        (("replay.sessions=closed",), "has no sessions; set replay.sessions=open", 1),
        ((*AGGREGATED, "replay.sessions=closed"), "has no sessions; set replay.sessions=open", 1),
        (("replay.hits=routed",), "has no prefix blocks; set replay.hits=trace", 1),
        (("replay.prefill_balancer=prefix-aware",), "has neither prefix blocks nor sessions; use two-key", 1),
    ],
)
def test_settings_are_checked_before_a_trace_is_drawn_at_full_scale(
    cli: Cli, sets: tuple[str, ...], told: str, traces: int
) -> None:
    more = tuple(word for text in sets for word in ("--set", text))
    refused = cli("replay", *SETS, *EVENING, *more)
    assert (refused.code, refused.out, refused.err.count("\n")) == (2, "", 1)
    assert told in refused.err
    drawn = cli("trace", "list", "--json").json if traces else []
    assert [trace["sample_weight"] > 1 for trace in drawn] == [True] * traces
    assert Path("planner.duckdb").exists() == bool(traces)
