"""Training jobs as people plan with them: lists from files, what became of each, what is stored, shown and refused."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.catalogue import read as catalogue
from planner.core.demand import Grid
from planner.core.replay.intervals.lending import LentWindow
from planner.core.replay.jobs.outcome import JobOutcome, JobsPlan, jobs_of, run_jobs
from planner.planning.plan import plan_and_store
from planner.runs.read import load_run
from planner.settings.training_jobs import JobList, TrainingJob
from planner.store import Store
from planner.units import to_us
from tests.conftest import NOW, SMALL, Cli, Result, minute_log, small_scenario

FOUR = [(600, 100), (700, 1250), (100, 100), (2000, 0)]
"""Four minutes of the small fleet of one-GPU nodes: 9, 3, 9 and 0 of them are lent."""
SHANGHAI = ZoneInfo("Asia/Shanghai")


def listed(*jobs: dict[str, Any]) -> JobList:
    return JobList.model_validate({"name": "own", "job": [{"name": f"j{i}", **job} for i, job in enumerate(jobs)]})


def grid(start: str, hours: int, zone: str = "Asia/Shanghai") -> Grid:
    return Grid(to_us(datetime.fromisoformat(start).replace(tzinfo=ZoneInfo(zone))), 3600, hours)


def releases(job: dict[str, Any], over: Grid, zone: str = "Asia/Shanghai") -> list[tuple[float, float | None]]:
    """Earliest start and deadline of every job, hours from the plan's start."""
    found = jobs_of(listed({"gpus": 1, "hours": 1, **job}), small_scenario().training, over, ZoneInfo(zone))
    return [(one.release_s / 3600, None if one.deadline_s is None else one.deadline_s / 3600) for one in found]


def outcomes(
    jobs: JobList, windows: list[LentWindow], *overrides: str, known: bool = True, hours: int = 10
) -> JobsPlan:
    """Jobs on windows of nodes of 8 GPUs, in a plan from midnight in Shanghai."""
    scenario = small_scenario("fleet.gpus_per_node=8", "timezone=Asia/Shanghai", "training.restore_s=0", *overrides)
    over = grid("2025-03-01T00:00", hours)
    asked = jobs_of(jobs, scenario.training, over, scenario.zone)
    return run_jobs(asked, windows, over, scenario.fleet, scenario.training, known=known)


def only(plan: JobsPlan) -> JobOutcome:
    (one,) = plan.outcomes
    return one


def hours(start: float, end: float, nodes: int) -> LentWindow:
    return LentWindow(round(start * 3600), round(start * 3600), round(end * 3600), nodes)


NIGHT = [hours(0, 10, 1)]


# when jobs come


def test_a_job_without_a_start_may_start_with_the_plan_and_a_daily_one_every_24_hours_after_it() -> None:
    assert releases({}, grid("2025-03-01T12:00", 60)) == [(0, None)]
    assert releases({"daily": True}, grid("2025-03-01T12:00", 60)) == [(0, None), (24, None), (48, None)]


def test_hours_count_from_the_plans_start() -> None:
    over = grid("2025-03-01T12:00", 48)
    assert releases({"start": 1.5, "deadline": 8}, over) == [(1.5, 8)]
    assert releases({"start": 1.5, "deadline": 8, "daily": True}, over) == [(1.5, 8), (25.5, 32)]
    assert releases({"start": 48}, over) == []


def test_local_times_come_once_or_every_night_with_the_next_deadline_after_each() -> None:
    over = grid("2025-03-01T12:00", 48)
    night = {"start": "23:30", "deadline": "08:00"}
    assert releases(night, over) == [(11.5, 20)]
    assert releases({**night, "daily": True}, over) == [(11.5, 20), (35.5, 44)]
    assert releases({"start": "12:00", "deadline": "12:00", "daily": True}, over) == [(0, 24), (24, 48)]
    assert releases({"start": "24:00"}, over) == [(12, None)]


def test_a_deadline_may_lie_beyond_the_plan() -> None:
    assert releases({"start": "23:30", "deadline": "08:00"}, grid("2025-03-01T12:00", 12)) == [(11.5, 20)]


def test_local_times_follow_the_clock_where_it_changes() -> None:
    # Berlin, the night to 26 October 2025: 02:00 to 03:00 comes twice
    over = grid("2025-10-25T12:00", 48, "Europe/Berlin")
    job = {"start": "01:00", "deadline": "06:00", "daily": True}
    assert releases(job, over, "Europe/Berlin") == [(13, 19), (38, 43)]


def test_jobs_stand_in_order_of_their_earliest_start_then_of_the_list() -> None:
    jobs = listed({"gpus": 1, "hours": 1, "start": 5}, {"gpus": 1, "hours": 1}, {"gpus": 1, "hours": 1, "start": 5})
    found = jobs_of(jobs, small_scenario().training, grid("2025-03-01T00:00", 10), SHANGHAI)
    assert [one.name for one in found] == ["j1", "j0", "j2"]


def test_loading_is_the_scenarios_unless_the_job_says_otherwise() -> None:
    jobs = listed({"gpus": 1, "hours": 1}, {"gpus": 1, "hours": 1, "restart_s": 0})
    found = jobs_of(jobs, small_scenario("training.restore_s=77").training, grid("2025-03-01T00:00", 10), SHANGHAI)
    assert [one.restart_s for one in found] == [77, 0]


# what becomes of them


def test_a_finished_job_says_when_and_is_worth_its_node_hours() -> None:
    one = only(outcomes(listed({"gpus": 4, "hours": 3, "deadline": 3, "usd_per_node_hour": 10}), NIGHT))
    assert (one.status, one.finished_s, one.deadline_met, one.reason) == ("finished", 3 * 3600, True, "")
    assert one.value_micros == 15_000_000, "half a node for three hours"


def test_a_job_that_is_late_goes_on_and_is_worth_nothing() -> None:
    one = only(outcomes(listed({"gpus": 8, "hours": 3, "deadline": 2, "usd_per_node_hour": 10}), NIGHT))
    assert (one.status, one.deadline_met, one.value_micros) == ("finished", False, 0)


def test_a_deadline_that_passed_is_missed_and_one_beyond_the_plan_is_open() -> None:
    def job(deadline: float) -> JobOutcome:
        asked = {"gpus": 8, "hours": 20, "deadline": deadline, "usd_per_node_hour": 10}
        return only(outcomes(listed(asked), NIGHT))

    assert (job(10).deadline_met, job(10).value_micros) == (False, 0)
    assert (job(30).deadline_met, job(30).value_micros) == (None, 100_000_000)
    assert job(30).reason == "10 of 20 h are done when the plan ends"


def test_lost_and_loading_hours_are_worth_nothing() -> None:
    asked = {"gpus": 8, "hours": 9, "checkpoint_s": 3600, "restart_s": 1800, "usd_per_node_hour": 10}
    plan = outcomes(listed(asked), [hours(0, 4, 1), hours(5, 10, 1)])
    one = only(plan)
    # 3.5 h of progress, of which 3 are kept; then 4.5 h until the plan ends
    assert [(s.restarting_s, s.kept_s, s.lost_s) for s in one.segments] == [(1800, 10800, 1800), (1800, 16200, 0)]
    assert (one.call_backs, one.value_micros) == (1, 75_000_000)
    assert (plan.lent_gpu_s, plan.unused_gpu_s) == (9 * 3600 * 8, 0)


@pytest.mark.parametrize(
    ("job", "windows", "known", "reason"),
    [
        ({}, [], True, "no node is lent"),
        ({"preemptible": False}, NIGHT, False, "not preemptible, and the policy does not know ahead"),
        ({"gpus": 24}, [hours(0, 5, 2), hours(6, 9, 2)], True, "it needs 3 nodes, and at most 2 are lent at a time"),
        ({"preemptible": False, "hours": 6}, [hours(0, 5, 1)], True, "no nodes are lent for the 6 h that it needs"),
        (
            {"hours": 6, "start": 4.5},
            [hours(0, 5, 1)],
            True,
            "no nodes are lent long enough for it to keep any progress",
        ),
    ],
)
def test_a_job_that_never_started_says_why(
    job: dict[str, Any], windows: list[LentWindow], known: bool, reason: str
) -> None:
    one = only(outcomes(listed({"gpus": 8, "hours": 1, **job}), windows, known=known))
    assert one.status == "not started"
    assert reason in one.reason


def test_a_job_that_others_kept_out_says_so() -> None:
    plan = outcomes(listed({"gpus": 8, "hours": 50}, {"gpus": 8, "hours": 1}), NIGHT)
    assert [one.status for one in plan.outcomes] == ["unfinished", "not started"]
    assert plan.outcomes[1].reason == "other jobs held the GPUs"


@given(
    st.lists(st.tuples(st.integers(0, 8), st.integers(1, 6), st.integers(1, 4)), max_size=5),
    st.lists(
        st.fixed_dictionaries(
            {
                "gpus": st.sampled_from([1, 3, 8, 16]),
                "hours": st.floats(0.01, 12),
                "checkpoint_s": st.integers(60, 9000),
                "restart_s": st.integers(0, 4000),
                "preemptible": st.booleans(),
                "daily": st.booleans(),
            }
        ),
        min_size=1,
        max_size=6,
    ),
    st.sampled_from(["first-fit", "deadline-first", "value-first"]),
    st.booleans(),
)
def test_lent_gpu_seconds_are_useful_lost_loading_or_unused(
    lent: list[tuple[int, int, int]], jobs: list[dict[str, Any]], rule: str, known: bool
) -> None:
    windows = [hours(start, min(start + length, 30), nodes) for start, length, nodes in lent]
    plan = outcomes(listed(*jobs), windows, f"training.placement={rule}", known=known, hours=30)
    held = sum(one.useful_gpu_s + one.lost_gpu_s + one.restarting_gpu_s for one in plan.outcomes)
    assert held + plan.unused_gpu_s == plan.lent_gpu_s == sum(w.nodes * (w.end_s - w.start_s) * 8 for w in windows)
    assert plan.unused_gpu_s >= 0
    for one in plan.outcomes:
        assert (one.useful_gpu_s == one.job.work_s * one.job.gpus) == (one.status == "finished")
        assert (one.reason == "") == (one.status == "finished")


# what is stored and shown


def imported(cli: Cli, tmp_path: Path) -> None:
    log = minute_log(tmp_path / "log.csv", FOUR)
    assert cli("trace", "import", str(log), "--format", "csv", "--name", "four").code == 0


def small(cli: Cli, *overrides: str) -> Result:
    sets = [word for override in (*SMALL, *overrides) for word in ("--set", override)]
    return cli("plan", "--trace", "four", *sets, "--json")


OWN = """
name = "own"

[[job]]
name = "long"
gpus = 2
hours = 0.05
checkpoint_s = 30
restart_s = 10
usd_per_node_hour = 36

[[job]]
name = "wide"
gpus = 8
hours = 0.01
restart_s = 0
start = "00:02"
deadline = "00:03"
usd_per_node_hour = 3.6
"""


def test_four_minutes_with_two_jobs_by_hand(cli: Cli, tmp_path: Path) -> None:
    imported(cli, tmp_path)
    Path("own.toml").write_text(OWN)
    plan = small(cli, "training.jobs=own.toml").json
    # of 9 lent nodes 6 go after a minute and come back for the third; all go after that. "long" keeps two of the three
    # that stay for three minutes: 10 s of loading, 170 s of progress, of which 150 are kept. "wide" asks for eight at
    # once, and seven are left
    jobs = plan["jobs"]
    assert (jobs["job_list"], jobs["placement"]) == ("own.toml", "first-fit")
    assert jobs["lent_node_hours"] == pytest.approx((9 + 3 + 9) / 60)
    assert jobs["useful_node_hours"] == pytest.approx(300 / 3600)
    assert jobs["lost_node_hours"] == pytest.approx(40 / 3600)
    assert jobs["restarting_node_hours"] == pytest.approx(20 / 3600)
    assert jobs["unused_node_hours"] == pytest.approx((21 * 60 - 360) / 3600)
    assert jobs["value_usd"] == pytest.approx(3.0)
    assert (jobs["finished"], jobs["unfinished"], jobs["not_started"]) == (0, 1, 1)
    assert (jobs["deadlines_met"], jobs["deadlines_missed"]) == (0, 1)
    long, wide = jobs["jobs"]
    assert (long["job"], long["status"], long["first_start"]) == ("long", "unfinished", "2025-03-01T00:00:00+00:00")
    (segment,) = long["segments"]
    assert (segment["node_slots"], segment["ending"], segment["end"][11:19]) == ([0, 1], "called back", "00:03:00")
    assert segment["useful_gpu_hours"] == pytest.approx(300 / 3600)
    assert (wide["reason"], wide["segments"]) == ("other jobs held the GPUs", [])
    assert wide["deadline"] == "2025-03-01T00:03:00+00:00"


def test_value_and_urgency_change_who_comes_first(cli: Cli, tmp_path: Path) -> None:
    imported(cli, tmp_path)
    text = OWN.replace('start = "00:02"\ndeadline = "00:03"', "deadline = 0.02")
    Path("own.toml").write_text(text)
    for placement, first in (("first-fit", "long"), ("deadline-first", "wide"), ("value-first", "long")):
        jobs = small(cli, "training.jobs=own.toml", f"training.placement={placement}").json["jobs"]["jobs"]
        started = [job["job"] for job in jobs if job["first_start"] == "2025-03-01T00:00:00+00:00"]
        assert started == [first]


def test_tables_and_views_hold_the_same_account(cli: Cli, tmp_path: Path) -> None:
    imported(cli, tmp_path)
    Path("own.toml").write_text(OWN)
    run_id = small(cli, "training.jobs=own.toml").json["run_id"]
    (account,) = cli("sql", "SELECT * FROM training_account", "--format", "json").json
    parts = [account[f"{part}_node_hours"] for part in ("useful", "lost", "restarting", "unused")]
    assert sum(parts) == pytest.approx(account["lent_node_hours"])
    jobs = cli("sql", "--name", "run_jobs", "--format", "json").json
    assert [row["job"] for row in jobs] == ["long", "wide"]
    segments = cli("sql", "--name", "run_job_segments", "--format", "json").json
    assert [(row["job"], row["node_slot"], row["gpus"]) for row in segments] == [("long", 0, 1), ("long", 1, 1)]
    for part in ("useful", "lost", "restarting"):
        assert sum(row[f"{part}_gpu_s"] for row in segments) == pytest.approx(jobs[0][f"{part}_gpu_hours"] * 3600)
    assert cli("run", "delete", run_id).code == 0
    for table in ("training_job", "training_job_run", "training_account"):
        assert cli("sql", f"SELECT count(*) AS n FROM {table}", "--format", "json").json == [{"n": 0}]


def test_a_plan_without_jobs_is_as_it_was(planned: Store, cli: Cli) -> None:
    plain = cli("run", "show", "--json").json
    assert plain["jobs"] is None
    assert "training jobs" not in cli("run", "show").out
    with_jobs = cli("plan", "--set", "training.jobs=mixed", "--json").json
    changed = {key for key in plain if plain[key] != with_jobs[key]} - {"run_id", "created_at"}
    assert changed == {"jobs", "notes", "result_digest", "planner_version"} - {"planner_version"}
    assert cli("sql", "--name", "run_training_account", "--param", "run_id=run-00001", "--format", "json").json == []


def test_the_digest_covers_the_jobs(planned: Store, cli: Cli) -> None:
    digests = [
        cli("plan", "--set", "training.jobs=mixed", "--set", f"training.placement={rule}", "--json").json[
            "result_digest"
        ]
        for rule in ("first-fit", "first-fit", "deadline-first")
    ]
    assert digests[0] == digests[1] != digests[2]


def test_the_nightly_job_finishes_in_the_freed_hours_of_the_published_day(planned: Store, cli: Cli) -> None:
    plan = cli("plan", "--what-if", "nightly-training", "--json").json
    (job,) = plan["jobs"]["jobs"]
    assert (job["job"], job["status"], job["deadline_met"]) == ("nightly-incremental", "finished", True)
    assert (job["first_start"][11:16], job["finished"][11:19]) == ("00:00", "01:02:30"), "an hour and 150 s of loading"
    assert plan["jobs"]["useful_node_hours"] == pytest.approx(0.5)


def test_a_daily_job_comes_every_night_of_a_longer_plan(planned: Store, cli: Cli) -> None:
    arguments = ("--set", "trace.days=3", "--set", "trace.scale=0.0002", "--set", "training.jobs=nightly-incremental")
    jobs = cli("plan", *arguments, "--json").json["jobs"]["jobs"]
    assert [(job["first_start"], job["deadline_met"]) for job in jobs] == [
        (f"2025-{day}T00:00:00+08:00", True) for day in ("02-28", "03-01", "03-02")
    ]


def test_deadline_first_meets_in_the_mixed_list_what_first_fit_misses(planned: Store, cli: Cli) -> None:
    missed = {
        rule: cli("plan", "--set", "training.jobs=mixed", "--set", f"training.placement={rule}", "--json").json["jobs"][
            "deadlines_missed"
        ]
        for rule in ("first-fit", "deadline-first")
    }
    assert missed == {"first-fit": 1, "deadline-first": 0}


def test_jobs_that_cannot_be_interrupted_do_not_start_where_the_policy_only_sees_the_past(
    planned: Store, cli: Cli
) -> None:
    sets = ("--set", "training.jobs=mixed", "--set", "policy.demand_source=previous")
    jobs = {job["job"]: job for job in cli("plan", *sets, "--json").json["jobs"]["jobs"]}
    assert "does not know ahead" in jobs["evaluation"]["reason"]
    assert jobs["nightly-incremental"]["status"] == "finished"


def test_a_run_shows_its_jobs_and_a_diff_what_another_rule_changes(planned: Store, cli: Cli) -> None:
    for rule in ("first-fit", "deadline-first"):
        cli("plan", "--set", "training.jobs=mixed", "--set", f"training.placement={rule}")
    shown = cli("run", "show", "run-00002").out
    assert "training jobs of mixed, first-fit: 4 of 6 finished, 2 deadlines met, 1 missed" in shown
    assert "post-training of 02-28 00:30: 4.5 of 5 h are done when the plan ends" in shown
    figures = cli("run", "diff", "run-00002", "run-00003", "--json").json["figures"]
    assert figures["training_jobs.deadlines_missed"] == [1, 0]
    assert "training_jobs.lent_node_hours" not in figures
    assert cli("run", "diff", "run-00001", "run-00002", "--json").json["figures"]["training_jobs.jobs"] == [None, 6]


def test_jobs_that_do_not_come_within_the_plan_are_named(cli: Cli, tmp_path: Path) -> None:
    imported(cli, tmp_path)
    Path("own.toml").write_text(OWN.replace('"00:02"', '"05:00"'))
    plan = small(cli, "training.jobs=own.toml").json
    assert "training jobs that may not start before the plan ends: wide" in plan["notes"]
    Path("own.toml").write_text('name = "o"\n[[job]]\nname = "late"\ngpus = 1\nhours = 1\nstart = 7\n')
    jobs = small(cli, "training.jobs=own.toml").json["jobs"]
    assert jobs["jobs"] == []
    assert jobs["unused_node_hours"] == jobs["lent_node_hours"] > 0
    assert cli("run", "show").code == 0
    assert cli("report", "--out", "r").code == 0
    assert not Path("r/jobs.csv").exists(), "there is nothing to draw"


# the report


def test_the_page_has_the_jobs_as_chart_and_table(planned: Store, cli: Cli) -> None:
    cli("plan", "--set", "training.jobs=mixed")
    assert cli("report", "--out", "r").code == 0
    page = Path("r/index.html").read_text()
    assert "<h2>Training jobs</h2>" in page
    assert 'id="chart-jobs"' in page
    assert ">post-training</td>" in page
    assert ">yes</td>" in page, "deadlines that are met, in words"
    assert ">jobs/post-training.deadline</td>" in page, "what the jobs ask for is part of the provenance"
    jobs = pl.read_csv("r/training_jobs.csv")
    assert jobs["job"].to_list()[:2] == ["pre-training", "nightly-incremental"]
    assert jobs["first_start_at"][1] == "2025-02-28T00:00:00+08:00"
    for name in ("jobs.svg", "jobs.png", "jobs.csv"):
        assert Path("r", name).stat().st_size > 1000


def test_the_drawn_gpu_hours_are_the_stored_ones(planned: Store) -> None:
    from planner.catalogue.scenarios import load_scenario
    from planner.report.job_charts import job_charts

    run = load_run(planned, plan_and_store(planned, load_scenario(None, ["training.jobs=mixed"]).scenario, now=NOW))
    assert run.jobs is not None
    (chart,) = job_charts(run, run.jobs)
    drawn = [row for rows in chart.spec["datasets"].values() for row in rows if "above" in row]
    names = {"useful": "useful", "lost": "lost", "loading": "restarting", "unused": "unused"}
    for state, name in names.items():
        gpu_hours = sum((row["above"] - row["below"]) / 4 for row in drawn if row["state"] == state)
        assert gpu_hours == pytest.approx(getattr(run.jobs.summary, f"{name}_node_hours") * 8), state
    assert chart.table.height == run.jobs.segments.height


def test_the_specification_stays_small_for_many_jobs_over_many_days(planned: Store, cli: Cli) -> None:
    from planner.report.job_charts import job_charts

    one = '[[job]]\nname = "j{}"\ngpus = 4\nhours = {}\ncheckpoint_s = 300\nstart = "00:00"\ndaily = true\n'
    jobs = "".join(one.format(number, 1 + number / 20) for number in range(80))
    Path("many.toml").write_text(f'name = "many"\n{jobs}')
    sets = ("trace.days=14", "trace.scale=0.0002", "training.jobs=many.toml")
    assert cli("plan", *(word for item in sets for word in ("--set", item))).code == 0
    run = load_run(planned)
    assert run.jobs is not None
    (chart,) = job_charts(run, run.jobs)
    assert len(json.dumps(chart.spec)) < 1_500_000
    assert "largest bars are drawn" in chart.description


# the lists


@pytest.mark.parametrize("name", catalogue.names("jobs"))
def test_every_value_of_a_built_in_list_says_where_it_comes_from(name: str) -> None:
    for job in catalogue.job_list(name).job:
        assert set(job.provenance) == job.model_fields_set - {"name", "provenance"}
        for text in job.provenance.values():
            assert text.partition(":")[0] in {"published", "computed", "fitted", "inferred", "assumed"}


def test_every_field_of_a_job_has_a_meaning() -> None:
    assert all(field.description for field in TrainingJob.model_fields.values())


def refused(cli: Cli, job: str, *overrides: str) -> str:
    """The one line that a list with this job is refused with, by plan and by validate."""
    Path("bad.toml").write_text(f'name = "bad"\n[[job]]\nname = "a"\n{job}')
    sets = [word for item in ("training.jobs=bad.toml", *overrides) for word in ("--set", item)]
    planned, checked = cli("plan", *sets), cli("scenario", "validate", *sets)
    assert (planned.code, checked.code) == (2, 2)
    assert planned.out == ""
    assert planned.err.count("\n") == 1
    assert not Path("planner.duckdb").exists(), "nothing is half done"
    line = planned.err.removeprefix("planner: ").strip()
    assert checked.out.strip() == line
    return line


@pytest.mark.parametrize(
    ("job", "message"),
    [
        ("gpus = 4096\nhours = 1", 'job "a" needs 4096 GPUs and the fleet has 2224 (278 nodes of 8); lower its gpus'),
        ("gpus = 12\nhours = 1", "neither part of one node nor whole nodes of 8; use 8 or 16"),
        ("gpus = 4\nhours = -1", "job.0.hours: Input should be greater than 0, got -1"),
        ("gpus = 4\nhours = nan", "job.0.hours"),
        ("gpus = 4\nhours = 1e-9", "less than a second; raise it"),
        ("gpus = 0\nhours = 1", "job.0.gpus: Input should be greater than or equal to 1, got 0"),
        ("gpus = 4", "job.0.hours: is missing; add it"),
        ("gpus = 4\nhours = 1\nhrs = 1", "job.0.hrs: is not a known field"),
        ("gpus = 4\nhours = 1\ncheckpoint_s = 0", "job.0.checkpoint_s: Input should be greater than or equal to 1"),
        ("gpus = 4\nhours = 1\nrestart_s = -5", "job.0.restart_s: Input should be greater than or equal to 0"),
        ('gpus = 4\nhours = 1\nstart = "25:00"', "'25:00' is neither a local time nor hours from the plan's start"),
        ("gpus = 4\nhours = 1\nstart = -2", 'write "HH:MM", or a number of hours from 0 on'),
        ("gpus = 4\nhours = 1\nstart = true", "True is neither a local time"),
        ('gpus = 4\nhours = 1\nstart = "01:00"\ndeadline = 5', "write both in the same way"),
        ("gpus = 4\nhours = 1\nstart = 5\ndeadline = 5", "its deadline of 5 h is not after its start"),
        (
            "gpus = 4\nhours = 1\nusd_per_node_hour = -1",
            "usd_per_node_hour: Input should be greater than or equal to 0",
        ),
        ("gpus = 4\nhours = 1\nusd_per_node_hour = 0.0000001", "is finer than a micro-dollar"),
        ('gpus = 4\nhours = 1\n[[job]]\nname = "a"\ngpus = 1\nhours = 1', 'job "a" is listed more than once'),
        ("gpus = 4\nhours = ", "is not valid TOML"),
    ],
)
def test_a_list_that_cannot_be_meant_gives_one_clear_line(cli: Cli, job: str, message: str) -> None:
    assert message in refused(cli, job)


def test_a_list_without_a_job_is_refused(cli: Cli) -> None:
    Path("none.toml").write_text('name = "none"\njob = []\n')
    assert "none.toml: job: is an empty list; give at least 1\n" in cli("plan", "--set", "training.jobs=none.toml").err


def test_an_unknown_list_names_the_known_ones(cli: Cli) -> None:
    result = cli("plan", "--set", "training.jobs=nightly")
    assert result.code == 2
    assert 'no job list "nightly": give one of mixed, nightly-incremental, or the path of a TOML file' in result.err


def test_an_unknown_placement_names_the_known_ones(cli: Cli) -> None:
    result = cli("plan", "--set", "training.placement=best-fit")
    assert result.code == 2
    assert "training.placement: Input should be 'first-fit', 'deadline-first' or 'value-first'" in result.err


def test_a_smaller_fleet_refuses_a_job_that_a_larger_one_takes(cli: Cli) -> None:
    assert "the fleet has 560 (70 nodes of 8)" in refused(cli, "gpus = 800\nhours = 1", "fleet.nodes=70")
