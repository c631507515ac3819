"""Values that cannot be meant: each is refused in one line that names it and its limit, before anything is done."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from planner.catalogue.scenarios import load_scenario
from planner.core.economics.ledger import Costs, Revenue
from planner.errors import UsageError
from planner.planning.idle import idle_notes
from planner.planning.price import check_countable
from planner.settings.plain import check_name, check_text
from tests.conftest import SMALL, Cli, minute_log

NINES = "9" * 20
MOST = str(2**63 - 1)


def refusal(cli: Cli, *words: str) -> str:
    """The one line that a command is refused with."""
    result = cli(*words)
    assert (result.code in (1, 2), result.out, result.err.count("\n")) == (True, "", 1), result
    return result.err


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("trace.scale=5e-324", "trace.scale: Input should be greater than or equal to 0.000001, got 5e-324"),
        (f"trace.days={MOST}", "trace.days: Input should be less than or equal to 3660"),
        (f"fleet.gpus_per_node={MOST}", "fleet.gpus_per_node: Input should be less than or equal to 1024"),
        (f"fleet.nodes={MOST}", "fleet.nodes: Input should be less than or equal to 100000"),
        (f"trace.seed={NINES}", "trace.seed: Input should be less than or equal to 9223372036854775807"),
        ("economics.training_rate_ratio=1e308", "training_rate_ratio: Input should be less than or equal to 1000"),
        ("fleet.start_up_s=86401", "fleet.start_up_s: Input should be less than or equal to 86400"),
        ("interval_s={}", "interval_s: Input should be a valid integer, got {}"),
        ("fleet.nodes=true", "fleet.nodes: true is not a number; write a number"),
        ("trace.weekday_factors=[true, 1, 1, 1, 1, 1, 1]", "trace.weekday_factors: true is not a number"),
        ("economics.off_peak=1", "economics.off_peak: 1 is neither true nor false; write true or false"),
        ("trace.start_at=1", "trace.start_at: 1 is a number and not a time; write it as 2025-02-27T22:00:00+08:00"),
        ('trace.start_at="1"', "trace.start_at: 1 is a number and not a time"),
        ("trace.start_at=0001-01-01T00:00:00Z", "greater than or equal to 1970-01-01T00:00:00Z"),
        ("fleet.step.decode=300", "a scaling step takes 5,412 nodes and the fleet has 278; raise nodes, or lower"),
        ('policy.name=""', "policy.name: is an empty text"),
        ('fleet.node_type="a\\u001b[31m"', "fleet.node_type: has the character U+001B, which is not printed"),
        ("fleet.nodes=0x" + "f" * 5000, "got a whole number of 20,000 bits"),
        (
            "trace.days=3000",
            "288,000 intervals of 900 s, and at most 200,000 are planned; lower it, or raise interval_s",
        ),
        ("trace.demand_factor=1000000", "167,160,000,000 rows, and at most 1,000,000,000 are drawn"),
    ],
)
def test_a_value_that_cannot_be_planned_is_refused_with_its_limit(override: str, told: str, cli: Cli) -> None:
    assert told in refusal(cli, "plan", "--set", override)
    assert not Path("planner.duckdb").exists()


def test_demand_that_cannot_be_counted_is_refused_before_it_is_drawn(cli: Cli) -> None:
    told = refusal(cli, "plan", "--set", "trace.growth_per_day=10", "--set", "trace.days=2000")
    assert "the demand is too large to be counted; lower trace.days" in told


def test_money_that_cannot_be_stored_is_refused() -> None:
    most = 2**63
    costs = Costs(inference=[0], training=[0], idle=[0], fleet=[most - 1], training_charge=[0])
    check_countable(costs, Revenue([most - 1], [0], ()))
    with pytest.raises(UsageError, match=r"all tokens earn 9\.22e\+12 USD over the plan"):
        check_countable(costs, Revenue([most], [0], ()))


@pytest.mark.parametrize("given", ["fifo", "/dev/zero", "/", "endless", "x" * 300, "a\0b"])
@pytest.mark.parametrize(
    "words",
    [
        ("plan", "{}"),
        ("scenario", "validate", "{}"),
        ("schedule", "list", "--jobs", "{}"),
        ("plan", "--set", "economics.gpu_rates={}"),
        ("plan", "--set", "economics.price_sheet={}"),
        ("plan", "--set", "training.jobs={}"),
        ("plan", "--set", "trace.profile={}"),
        ("plan", "--policy", "timetable", "--set", "policy.timetable={}"),
        ("plan", "--set", "fleet.capacity=modelled", "--set", "fleet.engine.calibration={}"),
        ("plan", "--what-if", "{}"),
        ("trace", "import", "log.csv", "--name", "t", "--mapping", "{}"),
        ("capacity", "fit", "{}"),
        ("experts", "--load", "{}"),
        ("experts", "--previous", "{}"),
        ("plan", "--db", "{}"),
    ],
)
def test_a_file_option_takes_regular_files_of_a_sensible_size(words: tuple[str, ...], given: str, cli: Cli) -> None:
    os.mkfifo("fifo")
    with Path("endless").open("wb") as file:
        # a hole: nothing is written
        file.truncate(2**40)
    minute_log(Path("log.csv"), [(1, 1)])
    if given == "endless" and "--db" in words:
        return
    refusal(cli, *(word.replace("{}", given) for word in words))
    assert not Path("planner.duckdb").exists()


def test_a_timetable_of_nul_characters_is_no_text(cli: Cli) -> None:
    Path("times.csv").write_bytes(b"\0" * 1000)
    told = refusal(cli, "plan", "--policy", "timetable", "--set", "policy.timetable=times.csv")
    assert "times.csv: has NUL characters and is not text" in told


@pytest.mark.parametrize("db", ["", "/", "/dev/null"])
def test_a_store_is_a_file(db: str, cli: Cli) -> None:
    assert "name a file with --db" in refusal(cli, "run", "list", "--db", db)


@pytest.mark.parametrize("now", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59-12:00", "9999-12-31T23:59:59"])
def test_nights_are_between_1970_and_2200(now: str, cli: Cli) -> None:
    jobs = '[[job]]\nname = "j"\nat = "02:30"\n[job.log]\npath = "{date}.csv"\n'
    Path("jobs.toml").write_text(jobs)
    assert f'"{now}" is not from 1970-01-01 to 2200-01-01' in refusal(cli, "schedule", "list", "--now", now)


def test_an_argument_that_is_not_utf_8_is_named_by_its_place() -> None:
    words = [sys.executable, "-m", "planner", "plan", b"caf\xe9.toml"]
    done = subprocess.run(words, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr == b"planner: argument 2 is not UTF-8 text: 'caf\\udce9.toml'; write it in UTF-8\n"


@pytest.mark.parametrize(
    ("name", "told"), [("", "is an empty text"), ("x" * 201, "has 201 bytes"), ("a\x1b[31m", "U+001B")]
)
def test_a_trace_has_a_name_that_can_be_shown(name: str, told: str, cli: Cli) -> None:
    minute_log(Path("log.csv"), [(1, 1)])
    for words in (("trace", "generate", "--name", name), ("trace", "import", "log.csv", "--name", name)):
        assert f"--name {told}" in refusal(cli, *words).replace("has the character ", "")
    assert not Path("planner.duckdb").exists()


def test_names_may_be_of_any_script() -> None:
    assert check_name("Zürich 東京 می‌خواهم") == "Zürich 東京 می‌خواهم"
    assert check_text("", may_be_empty=True) == ""


def test_a_policy_is_named_once(cli: Cli) -> None:
    told = refusal(cli, "plan", "--policy", "fixed", "--set", "policy.name=reactive")
    assert "both name a policy; leave one out" in told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("interval_s = {}\n", "interval_s: Input should be a valid integer, got {}"),
        ("[replay]\nretries = false\n", "replay.retries: false is not a number; write a number"),
        ("[nonsense]\n", "nonsense: is not a known field"),
        ("[fleet.observed]\n", "fleet.observed.source: is missing; add it"),
        ('[provenance]\n"fleet.nods" = "set: mine"\n', 'provenance: "fleet.nods" is not a field'),
        ('[provenance]\n"fleet.nodes" = "mine"\n', 'provenance: "fleet.nodes" does not begin with one of published'),
        ("a = " + "[" * 5000, "has tables or lists in each other more than 32 deep"),
        ("fleet.nodes = " + "9" * 5000, "is not valid TOML"),
        ("a" + ".a" * 3000 + " = 1\n", "has tables or lists in each other more than 32 deep"),
    ],
)
def test_what_a_scenario_file_says_is_followed_or_refused(text: str, told: str, cli: Cli) -> None:
    Path("own.toml").write_text(text)
    assert told in refusal(cli, "plan", "own.toml")


def test_an_empty_table_of_settings_says_nothing() -> None:
    Path("own.toml").write_text("[fleet]\n[policy]\n[provenance]\n")
    loaded = load_scenario("own.toml")
    assert (loaded.scenario, loaded.origins) == (load_scenario().scenario, {})


@pytest.mark.parametrize(
    ("sets", "told"),
    [
        (["policy.tolerance=0.2"], "policy.tolerance has no effect on this plan: used by reactive"),
        (
            ["policy.quantile=0.5"],
            "policy.quantile has no effect on this plan: used with policy.demand_source=forecast",
        ),
        (
            ["training.lend=false", "training.restore_s=5", "training.max_nodes=2"],
            "training.restore_s, training.max_nodes have no effect on this plan: used with training.lend=true",
        ),
        (
            ["forecast.method=day-of-week", "forecast.ignore=['2025-02-27']"],
            "forecast.method, forecast.ignore have no effect on this plan: used with policy.demand_source=forecast",
        ),
        (
            ["policy.name=fixed", "policy.demand_source=forecast", "forecast.accept=['2025-02-27']"],
            "forecast.accept has no effect on this plan: used by night-training and predictive and slo",
        ),
        (["forecast.horizon_s=3600"], "forecast.horizon_s has no effect on this plan: used by planner forecast"),
        (["trace.growth_per_day=0.1"], "trace.growth_per_day has no effect on this plan: used over more days than one"),
        (["replay.window_ms=7"], "replay.window_ms has no effect on this plan: used with replay.queue_mode=window"),
        (["policy.tolerance=0.2", "policy.name=reactive"], None),
    ],
)
def test_a_setting_that_changes_nothing_is_said(sets: list[str], told: str | None) -> None:
    assert idle_notes(load_scenario(None, sets).scenario) == (() if told is None else (told,))


def test_a_plan_says_which_settings_change_nothing(cli: Cli) -> None:
    minute_log(Path("log.csv"), [(300, 200)] * 10)
    assert cli("trace", "import", "log.csv", "--name", "t").code == 0
    Path("own.toml").write_text("[policy]\ntolerance = 0.2\n")
    words = [word for each in (*SMALL, "replay.window_ms=7") for word in ("--set", each)]
    notes = cli("plan", "own.toml", "--trace", "t", *words, "--json").json["notes"]
    assert [note for note in notes if "no effect" in note] == [
        "policy.tolerance has no effect on this plan: used by reactive",
        "replay.window_ms has no effect on this plan: used with replay.queue_mode=window",
    ]


JOB = '[[job]]\nname = "main"\nat = "02:30"\nlog.path = "logs/{date}.csv"\n'
TRAINING = 'name = "x"\n[[job]]\nname = "a"\nhours = 1\n'


@pytest.mark.parametrize(
    ("words", "text", "told"),
    [
        ("schedule list --jobs", "notify = {}\n" + JOB, "notify: {}"),
        ("schedule list --jobs", JOB + "drift = {}\n", "job.0.drift: {}"),
        *(
            ("schedule list --jobs", f"{JOB}log.{field} = {{}}\n", f"job.0.log.{field}: {{}}")
            for field in ("columns", "where", "constants", "metrics")
        ),
        (
            "trace import log.csv --name t --mapping",
            'format = "csv"\ncolumns = {}\nwhere = {}',
            "columns: {}; where: {}",
        ),
        ("plan --set training.jobs=", TRAINING + "gpus = 8\nprovenance = {}\n", "job.0.provenance: {}"),
        ("plan --set economics.price_sheet=", "off_peak = {}\n", "off_peak: {}"),
        ("plan --set fleet.capacity=modelled --set fleet.engine.model=", "attention = {}\n", "attention: {}"),
        (
            "plan --set economics.gpu_rates=",
            'name = "x"\ndescription = "y"\n',
            "own.toml: has no rates; add a table, such as [rental] with usd_per_gpu_hour, kind and source\n",
        ),
        # a list is empty only where nothing is written in it, not where its entries are wrong
        (
            "plan --set training.jobs=",
            TRAINING + "gpus = true\n",
            "own.toml: job.0.gpus: true is not a number; write a number\n",
        ),
        ("plan --set training.jobs=", 'name = "x"\njob = []\n', "own.toml: job: is an empty list; give at least 1\n"),
        (
            "trace import log.csv --name t --mapping",
            "format = []\n",
            "own.toml: format: is an empty list; give at least 1\n",
        ),
        ("schedule list --jobs", "job = []\n", "own.toml: job: none is defined; add a table [[job]]\n"),
        ("schedule list --jobs", "job = 3\n", "own.toml: job: Input should be a valid list, got 3\n"),
        (
            "schedule list --jobs",
            JOB + "log.metrics.requests = []\n",
            "log.metrics.requests: is an empty list; give at least 1\n",
        ),
        (
            "schedule list --jobs",
            JOB + "[[job.export]]\n",
            "own.toml: job.0.export.0.to: is missing; add it; job.0.export.0.path: is",
        ),
    ],
)
def test_what_is_empty_in_a_file_is_refused_in_plain_words(words: str, text: str, told: str, cli: Cli) -> None:
    minute_log(Path("log.csv"), [(1, 1)])
    Path("own.toml").write_text(text)
    *options, last = words.split()
    given = (f"{last}own.toml",) if last.endswith("=") else (last, "own.toml")
    refused = refusal(cli, *options, *given)
    for each in told.split("; ") if "{}" in told else (told,):
        assert each.replace("{}", "is an empty table; write something in it, or leave it out") in refused
    assert "Tuple" not in refused
