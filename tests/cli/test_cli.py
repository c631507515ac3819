"""The command line: data on stdout, one JSON document, exit codes, one line with the cure."""

import json
import os
import subprocess
import sys
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from planner.cli.options import moment
from planner.errors import UsageError
from planner.settings.scenario import Scenario
from planner.store import Store
from tests.conftest import Cli, minute_log

PLAN_KEYS = {
    "run_id", "scenario", "trace", "policy", "interval_s", "intervals", "peak_nodes", "mean_nodes", "node_hours",
    "training_node_hours", "requests", "input_tokens", "cached_input_tokens", "output_tokens", "cost_usd",
    "revenue_usd", "margin_ratio", "fleet_cost_usd", "shortfall_tokens", "shortfall_ratio", "demand_source", "hours",
}  # fmt: skip


def planner(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "planner", *words],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=120,
        check=False,
    )


def test_a_plan_on_a_new_machine_draws_plans_stores_and_prints_24_hours(cli: Cli) -> None:
    result = cli("plan")
    assert result.code == 0, result.err
    assert result.err == ""
    assert "peak 278, mean 226.75" in result.out
    assert sum(line.strip().startswith("2025-02-2") for line in result.out.splitlines()) == 24
    assert Path("planner.duckdb").exists()


def test_plan_json_has_the_promised_keys_and_times_with_offset(planned: Store, cli: Cli) -> None:
    document = cli("plan", "--json").json
    assert set(document) >= PLAN_KEYS
    assert len(document["hours"]) == 24
    assert set(document["hours"][0]) >= {"start", "mean_nodes", "peak_nodes", "cost_usd", "revenue_usd"}
    assert document["hours"][0]["start"] == "2025-02-27T12:00:00+08:00"
    assert sum(hour["cost_usd"] for hour in document["hours"]) == pytest.approx(document["cost_usd"])
    assert cli("run", "show", document["run_id"], "--json").json == document


def test_reference_json_has_rows_with_kinds(planned: Store, cli: Cli) -> None:
    rows = cli("reference", "--json").json["rows"]
    assert all(set(row) >= {"quantity", "computed", "published", "relative_error", "kind"} for row in rows)
    assert {row["kind"] for row in rows} == {"input", "fitted", "inferred", "emergent"}
    kinds = {row["quantity"]: row["kind"] for row in rows}
    assert kinds["peak_nodes"] == "input"
    assert kinds["trough_nodes"] == "inferred"
    assert kinds["mean_nodes"] == kinds["night_intervals_equal_to_published"] == "emergent"


def test_reference_stores_no_run(planned: Store, cli: Cli) -> None:
    before = cli("run", "list", "--json").json
    assert cli("reference").code == 0
    assert cli("run", "list", "--json").json == before


BOUNDS = ("--policy", "scheduled-bounds", "--set", "policy.bounds=[]")
"""No bounds: the example has half of the nodes, in base units of 68 and whole steps of 30."""


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["plan", "--nope"], 2, "No such option: --nope; see `planner plan --help`"),
        (["nope"], 2, "No such command 'nope'"),
        (["trace"], 2, "Missing command; see `planner trace --help`"),
        (["plan", "nowhere"], 2, 'no scenario "nowhere": give one of deepseek-2025-02-27'),
        (["plan", "--set", "fleet.node=1"], 2, "did you mean fleet.nodes?"),
        (["plan", "--set", "fleet"], 2, "write --set path.to.field=value"),
        (["plan", "--policy", "guess"], 2, "use one of night-training, fixed, timetable"),
        (
            ["plan", "--policy", "predictive@forecast"],
            2,
            "give --policy predictive --set policy.demand_source=forecast",
        ),
        (["plan", *BOUNDS], 2, "floor_nodes=158}]"),
        (["plan", *BOUNDS, "--set", "fleet.nodes=90"], 2, "floor_nodes=68}]"),
        (["plan", "--set", "trace.classes="], 2, "trace.classes: is set to nothing; give a value"),
        (["plan", "--trace", "t"], 1, "no store at planner.duckdb; create one with `planner trace import`"),
        (["plan", "--set", "economics.gpu_rate=free"], 2, "rental, owned, reserved, on-demand, spot"),
        (["plan", "--set", "economics.price_sheet=gold"], 2, "deepseek-r1, deepseek-v3"),
        (["plan", "--set", "trace.profile=x"], 2, 'no load profile "x"'),
        (["plan", "--policy", "timetable", "--set", "policy.timetable=x.csv"], 2, '"x.csv" cannot be read'),
        (["trace", "show", "t"], 1, "no store at"),
        (["trace", "generate", "--scale", "0.3"], 2, "use 0.333333 (1/3)"),
        (["trace", "generate", "--weekdays", "1,2"], 2, "give seven"),
        (["trace", "generate", "--from", "soon"], 2, "is not a time"),
        (["trace", "import", "x", "--format", "csv", "--name", "n"], 1, "x: cannot be read"),
        (["trace", "import", "x", "--format", "csv", "--name", "n", "--cache", "0"], 2, "number of blocks, 1 or more"),
        (["trace", "import", "x", "--format", "csv", "--name", "n", "--timezone", "Mars"], 2, "IANA time zone"),
        (["trace", "import", "x", "--format", "csv", "--name", "n", "--time-unit", "h"], 2, "use one of s, ms, us"),
        (["trace", "import", "x", "--format", "csv", "--name", "n", "--column", "a"], 2, "write FIELD=NAME"),
        (["trace", "import", "x", "--format", "csv"], 2, "Missing option '--name'"),
        (["sql"], 2, "give either a QUERY or --name NAMED"),
        (["sql", "--name", "nope"], 1, "the named queries are"),
        (["sql", "SELECT 1", "--format", "xls"], 2, "use table, csv, json or parquet"),
        (["run", "show"], 1, "no store at"),
        (["report"], 1, "no store at"),
        (["scenario", "show", "nowhere"], 2, "no scenario"),
        (["config", "show", "--set", "x=1"], 2, "is not a known field"),
    ],
)
def test_a_mistake_gets_one_line_with_the_cure_and_stores_nothing(
    cli: Cli, words: list[str], code: int, message: str
) -> None:
    result = cli(*words)
    assert result.code == code
    assert message in result.err
    assert result.err.startswith("planner: ")
    assert result.err.count("\n") == 1
    assert result.out == ""
    assert not Path("planner.duckdb").exists()


@pytest.mark.parametrize("words", [("trace", "delete", "x"), ("run", "delete", "run-00001")])
def test_what_deletes_makes_no_store(cli: Cli, tmp_path: Path, words: tuple[str, ...]) -> None:
    result = cli(*words)
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert result.err.startswith("planner: no store at planner.duckdb; create one with")
    assert list(tmp_path.iterdir()) == []


def test_runs_and_traces_that_are_not_there_list_those_that_are(planned: Store, cli: Cli) -> None:
    assert "run-00001" in cli("run", "show", "nope").err
    assert "deepseek-2025-02-27-" in cli("trace", "show", "nope").err


def test_environment_and_flags_override_the_scenario(planned: Store, monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    monkeypatch.setenv("PLANNER__POLICY__FLOOR_NODES", "98")
    trough = "SELECT min(inference_nodes) AS trough FROM plan_interval WHERE run_id = '{}'"
    run = cli("plan", "--json").json["run_id"]
    assert cli("sql", trough.format(run), "--format", "json").json == [{"trough": 98}]
    run = cli("plan", "--json", "--set", "policy.floor_nodes=128").json["run_id"]
    assert cli("sql", trough.format(run), "--format", "json").json == [{"trough": 128}]
    shown = cli("config", "show", "--json").json
    assert shown["overridden"][0]["origin"] == "environment PLANNER__POLICY__FLOOR_NODES"


def test_a_scenario_is_shown_whole_with_what_set_its_values(cli: Cli) -> None:
    start = "2025-02-28T00:00:00+00:00"
    sets = ("--set", "fleet.nodes=300", "--set", f"trace.start_at={start}")
    shown = cli("scenario", "show", "--json", *sets).json
    assert shown.pop("origins") == {path: f"flag --set {path}" for path in ("fleet.nodes", "trace.start_at")}
    assert Scenario.model_validate(shown).fleet.nodes == 300
    assert cli("config", "show", "--json", *sets).json["overridden"] == [
        {"path": "fleet.nodes", "value": 300, "origin": "flag --set fleet.nodes"},
        {"path": "trace.start_at", "value": start, "origin": "flag --set trace.start_at"},
    ]


def test_the_store_is_the_flags_then_the_environments(
    cli: Cli, planned: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLANNER_DB", "other.duckdb")
    assert "no store at other.duckdb" in cli("run", "list").err
    assert cli("run", "list", "--db", "planner.duckdb").code == 0
    assert cli("config", "show", "--json").json["db"]["origin"] == "environment PLANNER_DB"


def test_runs_are_listed_compared_and_deleted(planned: Store, cli: Cli) -> None:
    other = cli("plan", "--set", "policy.floor_nodes=98", "--json").json["run_id"]
    difference = cli("run", "diff", "run-00001", other, "--json").json
    assert difference["settings"] == {"policy.floor_nodes": [68, 98]}
    assert difference["intervals_compared"] == 96
    assert difference["intervals_with_other_nodes"] == 8
    assert difference["figures"]["mean_nodes"][1] > difference["figures"]["mean_nodes"][0]
    assert cli("run", "diff", "run-00001", other).code == 0
    assert len(cli("run", "list", "--json").json) == 2
    assert cli("run", "delete", other, "--json").json == {"run_id": other, "deleted": True}
    assert [run["run_id"] for run in cli("run", "list", "--json").json] == ["run-00001"]
    left = cli("sql", "SELECT count(DISTINCT run_id) AS runs FROM plan_interval", "--format", "json").json
    assert left == [{"runs": 1}]


def test_traces_are_listed_shown_and_deleted_and_their_runs_stay(planned: Store, cli: Cli) -> None:
    (trace,) = cli("trace", "list", "--json").json
    assert trace["sample_weight"] == 1000
    shown = cli("trace", "show", trace["trace"], "--json").json
    assert shown["cache_hit_ratio"] == 0.5625
    assert shown["kv_tokens_per_output_token"] == pytest.approx(4989, rel=0.01)
    assert 0 < shown["kv_standard_error"] < 50
    assert len(shown["hours"]) == 24
    assert "standard error of the sample" in cli("trace", "show", trace["trace"]).out
    assert cli("trace", "delete", trace["trace"], "--json").json["runs_kept"] == ["run-00001"]
    assert cli("trace", "list", "--json").json == []
    assert cli("run", "show", "run-00001").code == 0


def test_generating_the_same_trace_twice_stores_it_once(planned: Store, cli: Cli) -> None:
    again = cli("trace", "generate", "--json")
    assert again.code == 0
    assert "is already stored as" in again.err
    window = ("--from", "2025-02-27T20:00", "--to", "2025-02-27T20:15", "--scale", "0.01", "--name", "window")
    made = cli("trace", "generate", *window, "--json").json
    assert made["trace"] == "window"
    assert made["sample_weight"] == 100
    assert "is already stored" in cli("trace", "generate", "--scale", "0.002", "--name", "window").err


def test_scenarios_are_written_checked_and_shown(cli: Cli) -> None:
    assert cli("scenario", "init", "--out", "mine.toml", "--set", "fleet.nodes=300").code == 0
    assert "already exists" in cli("scenario", "init", "--out", "mine.toml").err
    assert cli("scenario", "validate", "mine.toml", "--json").json == {
        "scenario": "deepseek-2025-02-27",
        "valid": True,
        "problems": [],
    }
    assert cli("scenario", "show", "mine.toml", "--json").json["fleet"]["nodes"] == 300
    bad = cli("scenario", "validate", "mine.toml", "--set", "fleet.nodes=1", "--set", "timezone=x", "--json")
    assert bad.code == 2
    assert len(bad.json["problems"]) == 2
    assert cli("scenario", "list", "--json").json[0]["name"] == "deepseek-2025-02-27"


def test_doctor_checks_and_names_what_fails(planned: Store, cli: Cli) -> None:
    assert cli("doctor", "--json").json["ok"]
    Path("broken.duckdb").write_text("no database")
    broken = cli("doctor", "--db", "broken.duckdb")
    assert broken.code == 1
    assert "is not a DuckDB database" in " ".join(broken.out.split())


# ---- sql


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM run",
        "INSERT INTO run SELECT * FROM run",
        "CREATE TABLE t (a INTEGER)",
        "CREATE TEMP TABLE t AS SELECT 1",
        "CREATE TEMP VIEW v AS SELECT 1",
        "CREATE MACRO m() AS 1",
        "SET threads = 1",
        "SET VARIABLE x = 1",
        "RESET threads",
        "PRAGMA memory_limit='1GB'",
        "ATTACH 'other.duckdb'",
        "COPY run TO 'stolen.csv'",
        "COPY (SELECT 1) TO 'stolen.csv'",
        "EXPORT DATABASE 'stolen'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "PREPARE p AS SELECT 1",
        "CALL pragma_version()",
        "CHECKPOINT",
        "BEGIN",
        "SELECT 1; DELETE FROM run",
        "SELECT 1; SELECT 2",
        "SELECT * FROM read_csv('secret.csv')",
        "SELECT * FROM 'secret.csv'",
        "SELECT * FROM read_text('secret.csv')",
        "SELECT * FROM read_blob('/etc/passwd')",
        "SELECT * FROM glob('*')",
        "SELECT * FROM parquet_scan('secret.parquet')",
        "SELECT * FROM read_json('http://127.0.0.1:9/x')",
        "SELECT getenv('HOME')",
        "SELECT * FROM duckdb_secrets()",
        "SELECT * FROM df",
        "EXPLAIN ANALYZE DELETE FROM run",
        "nonsense",
        "",
    ],
)
def test_sql_reaches_nothing_but_the_store_and_changes_nothing(planned: Store, cli: Cli, query: str) -> None:
    Path("secret.csv").write_text("a\n1\n")
    before = planned.path.read_bytes()
    df = pl.DataFrame({"a": [1]})
    result = cli("sql", query, "--format", "json")
    assert result.code in (1, 2), result.out
    assert result.out == ""
    assert result.err.count("\n") == 1
    assert planned.path.read_bytes() == before
    assert sorted(path.name for path in Path().iterdir()) == ["planner.duckdb", "secret.csv"]
    assert df.height == 1


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1 AS a",
        "WITH x AS (SELECT 1) FROM x",
        "DESCRIBE run",
        "SUMMARIZE run",
        "SHOW TABLES",
        "EXPLAIN SELECT 1",
    ],
)
def test_sql_answers_every_kind_of_reading(planned: Store, cli: Cli, query: str) -> None:
    assert cli("sql", query).code == 0


def test_a_message_repeats_the_beginning_of_a_long_query_only(planned: Store, cli: Cli) -> None:
    result = cli("sql", "x" * 100_000)
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert len(result.err) < 600
    assert result.err.endswith("xxx...\n")


def test_a_format_that_a_list_does_not_have_is_refused(cli: Cli) -> None:
    for words in (("--list",), ("--tables",)):
        result = cli("sql", *words, "--format", "csv")
        assert (result.code, result.err) == (2, 'planner: --format "csv": use table or json\n')


def test_sql_prints_json_csv_and_parquet(planned: Store, cli: Cli) -> None:
    query = "SELECT run_id, peak_nodes, mean_nodes, created_at FROM run_summary"
    assert cli("sql", query, "--format", "json").json == [
        {"run_id": "run-00001", "peak_nodes": 278, "mean_nodes": 226.75, "created_at": "2026-01-02T03:04:05+00:00"}
    ]
    assert cli("sql", query, "--format", "csv").out.splitlines()[0] == "run_id,peak_nodes,mean_nodes,created_at"
    assert cli("sql", "SELECT notes FROM run", "--format", "csv").code == 0
    binary = subprocess.run(
        [sys.executable, "-m", "planner", "sql", query, "--format", "parquet"], capture_output=True, check=True
    ).stdout
    Path("out.parquet").write_bytes(binary)
    assert pl.read_parquet("out.parquet")["peak_nodes"].to_list() == [278]


def test_sql_prints_what_json_and_csv_have_no_word_for(planned: Store, cli: Cli) -> None:
    assert cli("sql", "SELECT 'nan'::DOUBLE AS a, 'inf'::DOUBLE AS b, 1.5 AS c, sum(7) AS d", "--json").json == [
        {"a": None, "b": None, "c": 1.5, "d": 7}
    ]
    for format_name in ("json", "csv", "table"):
        result = cli("sql", "SELECT INTERVAL 1 MONTH AS x", "--format", format_name)
        assert result.code == 1
        assert "cast it to VARCHAR" in result.err
        assert result.err.count("\n") == 1
    assert cli("sql", "SELECT (INTERVAL 1 MONTH)::VARCHAR AS x", "--json").json == [{"x": "1 month"}]


def test_tables_never_cut_a_number_short(planned: Store, cli: Cli) -> None:
    wide = cli("sql", "--name", "run_hours").out
    assert "…" not in wide
    assert "32,339,229,000" in wide


def test_a_run_that_is_not_there_is_no_empty_table(planned: Store, cli: Cli) -> None:
    assert 'no run "nope"' in cli("sql", "--name", "run_hours", "--param", "run_id=nope").err


def test_runs_on_other_grids_are_not_compared_interval_by_interval(planned: Store, cli: Cli) -> None:
    other = cli("plan", "--set", "interval_s=420", "--json").json["run_id"]
    assert cli("run", "diff", "run-00001", other, "--json").json["intervals_compared"] == 0
    assert "differ in length" in cli("run", "diff", "run-00001", other).out


def test_weekday_factors_may_be_typed_as_a_list_with_commas(cli: Cli) -> None:
    shown = cli("scenario", "show", "--set", "trace.weekday_factors=1,1,1,1,1,0.8,0.7", "--json")
    assert shown.json["trace"]["weekday_factors"] == [1, 1, 1, 1, 1, 0.8, 0.7]
    assert "give seven" in cli("scenario", "show", "--set", "trace.weekday_factors=1,1").err


def test_a_profile_of_ones_own_needs_a_known_zone(cli: Cli) -> None:
    from planner.trace.synthetic.profile import load_profile

    source = load_profile("deepseek-2025-02-27").path
    for name in ("deepseek-2025-02-27-hourly.csv", "deepseek-2025-02-27-nodes.csv"):
        Path(name).write_text((source.parent / name).read_text())
    Path("own.toml").write_text(source.read_text().replace("Asia/Shanghai", "Mars/Foo", 1))
    assert "is not an IANA time zone" in cli("trace", "generate", "own.toml").err
    Path("own.toml").write_text(source.read_text().replace('name = "deepseek-2025-02-27"', 'name = "own"', 1))
    assert cli("plan", "--set", "trace.profile=own.toml").code == 0
    assert cli("report", "--out", "r").code == 0
    # by name it is planned from its rows; its profile is found again, and known to have changed or gone
    assert cli("trace", "generate", "own.toml", "--seed", "5", "--name", "mine").code == 0
    by_profile = ("plan", "--trace", "mine", "--set", "policy.demand_source=profile")
    assert cli(*by_profile).code == 0
    assert cli("sql", "SELECT seed FROM run ORDER BY run_id DESC LIMIT 1", "--json").json == [{"seed": 5}]
    Path("own.toml").write_text(Path("own.toml").read_text().replace("sigma = 0.8", "sigma = 0.7"))
    assert cli("plan", "--trace", "mine").code == 0
    assert "has changed since trace mine was drawn" in cli(*by_profile).err
    Path("own.toml").unlink()
    assert cli("plan", "--trace", "mine").code == 0
    assert cli("report", "--out", "r2").code == 0
    assert "no load profile" in Path("r2/provenance.csv").read_text()
    assert "no load profile" in cli(*by_profile).err


def test_a_trace_without_output_shows_and_plans(cli: Cli) -> None:
    Path("l.csv").write_text("arrival,input_tokens,output_tokens\n1,5,0\n")
    assert cli("trace", "import", "l.csv", "--format", "csv", "--name", "none").code == 0
    assert cli("trace", "show", "none", "--json").json["kv_tokens_per_output_token"] is None
    assert "nan" not in cli("trace", "show", "none").out


def test_every_public_query_runs_by_name(planned: Store, cli: Cli) -> None:
    assert cli("plan", "--set", "training.jobs=mixed").code == 0
    assert cli("sweep", "--cases", "2").code == 0
    listed = cli("sql", "--list", "--format", "json").json
    values = {"run_id": "run-00002", "trace_id": "1", "start_us": "1740628800000000", "end_us": "1740715200000000"}
    values["sweep_id"] = "sweep-00001"
    for query in listed:
        words = [word for key in query["params"] for word in ("--param", f"{key}={values.get(key, '900000000')}")]
        result = cli("sql", "--name", query["name"], *words, "--format", "json")
        assert result.code == 0, result.err
        # nothing was rejected, replayed, compared or modelled, there was no night, and the trace has requests
        bare = (
            "trace_rejects",
            "comparisons",
            "demand_windows",
            "job_runs",
            "nights",
            "plan_actual_days",
            "run_bands",
            "run_forecast",
        )
        told = result.json or query["name"] in bare or query["name"].startswith("replay_")
        assert told, query["name"]


def test_a_named_query_about_a_run_takes_the_newest_by_default(planned: Store, cli: Cli) -> None:
    assert len(cli("sql", "--name", "run_hours", "--format", "json").json) == 24
    assert "needs --param trace_id=..." in cli("sql", "--name", "trace_lengths").err
    assert "has no parameter x" in cli("sql", "--name", "run_list", "--param", "x=1").err


def test_the_register_of_tables_is_printed(cli: Cli) -> None:
    tables = cli("sql", "--tables", "--format", "json").json
    assert {"trace", "request", "run", "plan_interval"} <= {table["table"] for table in tables}
    assert cli("sql", "--tables").code == 0


# ---- as a process


def test_output_is_one_json_document_and_stderr_is_silent_when_no_terminal(planned: Store) -> None:
    result = planner("plan", "--json")
    assert result.returncode == 0
    assert result.stderr == ""
    json.loads(result.stdout)


def test_version_and_help_need_no_store() -> None:
    assert planner("--version").stdout.startswith("planner 0.")
    for words in ([], ["plan"], ["trace", "import"], ["sql"]):
        result = planner(*words, "--help")
        assert result.returncode == 0
        assert "Usage:" in result.stdout
    assert planner().returncode == 2


def test_help_loads_none_of_the_heavy_libraries() -> None:
    code = (
        "import sys, planner.cli.app as a; sys.argv = ['planner', '--help']; a.execute(); "
        "heavy = {'duckdb', 'polars', 'pyarrow', 'numba', 'altair', 'pydantic', 'numpy', 'rich'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"


def test_planning_a_stored_trace_loads_neither_compiler_nor_charts(planned: Store) -> None:
    code = (
        "import sys, planner.cli.app as a; sys.argv = ['planner', 'plan']; a.execute(); "
        "print(sorted({'numba', 'altair', 'vl_convert'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"


def test_a_reader_that_goes_away_is_no_error(planned: Store) -> None:
    many = "SELECT request_seq, arrival_us FROM request"
    with subprocess.Popen(
        [sys.executable, "-m", "planner", "sql", many, "--format", "csv"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == 0


@pytest.mark.parametrize("words", [("run", "list"), ("trace", "list"), ("sql", "SELECT 1")])
def test_an_interrupt_while_duckdb_works_ends_in_one_line(
    planned: Store, cli: Cli, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise RuntimeError("Query interrupted")

    monkeypatch.setattr("polars.from_arrow", interrupted)
    result = cli(*words)
    assert (result.code, result.err) == (130, "planner: interrupted; no result was stored\n")


def test_a_time_without_an_offset_gets_the_one_of_its_clock() -> None:
    with pytest.raises(UsageError, match=r"write it as 2026-07-14T10:00\+02:00 \(Europe/Berlin\) or 2026-07-14T10:00Z"):
        moment("2026-07-14T10:00", ZoneInfo("Europe/Berlin"))
    with pytest.raises(UsageError, match=r"write it as 2026-12-14T00:00:05\+01:00 "):
        moment("2026-12-14T00:00:05", ZoneInfo("Europe/Berlin"))
    with pytest.raises(UsageError, match=r"is not a time; write it as 2025-02-27T22:00\+09:00"):
        moment("soon", ZoneInfo("Asia/Tokyo"))


def test_a_named_query_takes_a_trace_by_its_name(cli: Cli) -> None:
    log = minute_log(Path("log.csv"), [(100, 10), (300, 30)])
    cli("trace", "import", str(log), "--name", "two")
    query = ("sql", "--name", "trace_lengths", "--format", "json", "--param")
    by_name, by_number = (cli(*query, f"trace_id={trace}").json for trace in ("two", "1"))
    assert by_name == by_number
    assert by_name[0]["mean"] == 200
    assert 'no trace "three"; the stored ones are two' in cli(*query, "trace_id=three").err


def test_one_is_one_row_and_requests_that_fit_are_not_counted(cli: Cli) -> None:
    log = minute_log(Path("log.csv"), [(100, 10)])
    assert "1 of 1 row imported as csv" in cli("trace", "import", str(log), "--name", "one").out
    shown = cli("trace", "show", "one", "--scenario", "deepseek-2025-02-27").out
    assert shown.startswith("one: 1 row\n")
    assert "1 request, 100 input tokens" in shown
    assert "can serve" not in shown
