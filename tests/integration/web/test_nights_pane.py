"""Nights on the page: what was planned, needed and came, their reports, and how to begin where there is none."""

from datetime import timedelta
from pathlib import Path

import pytest

from planner.report import pages
from planner.store import Store, publish, published_path
from planner.web.panes import nights, runs
from planner.web.panes.base import PaneView
from planner.web.panes.nights import NightsDocument
from planner.web.state import State
from planner.web.workbench import ServerSettings, Workbench
from tests.helpers.nights import FIRST, Service, days, night, write_jobs, write_log
from tests.helpers.served import Server

NIGHTS = 4
ANY = State(scenario="any")


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store after four nights, whose logs tell what two of the planned days needed."""
    folder = tmp_path_factory.mktemp("nights")
    for place, day in enumerate(days(FIRST - timedelta(days=1), NIGHTS + 1)):
        write_log(folder, day, 1.0 if place < NIGHTS - 1 else 1.5)
    service = Service(folder, write_jobs(folder))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("planner.nightly.night.write_report", lambda _run, folder, **_: folder.mkdir(parents=True))
        patch.setattr("planner.nightly.announce.publish", lambda _store: None)
        for day in days(FIRST, NIGHTS):
            assert service.run(night(day)) in (0, 3)
    return service.store.path


def bench(db: Path) -> Workbench:
    return Workbench(ServerSettings(db=db, sources={}))


def shown(db: Path) -> tuple[NightsDocument, PaneView]:
    view = nights.show(bench(db), ANY)
    assert isinstance(view.document, NightsDocument)
    return view.document, view


def test_every_night_has_its_plan_and_days_whose_log_came_what_they_needed(db: Path) -> None:
    told, view = shown(db)
    (job,) = told.jobs
    assert (job.job, told.published) == ("n", False)
    assert [each.logical_date for each in job.nights] == days(FIRST, NIGHTS)[::-1]
    assert all(each.status == "done" and each.run_id for each in job.nights)
    known = {each.planned_day: each.needed_node_hours for each in job.nights}
    assert {day.day: day.needed_node_hours for day in job.days} == {
        day: needed for day, needed in known.items() if needed is not None
    }
    assert job.days[0].day == FIRST + timedelta(days=2)
    # half as much again came as the day before
    assert job.days[0].output_tokens > job.days[0].forecast_output_tokens
    assert [chart.name for chart in view.charts] == ["nights-0"]
    assert view.tables["days-0"]["day"].to_list() == [day.day.isoformat() for day in job.days]


def test_a_night_leads_to_the_report_of_its_run(db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # what draws charts takes eleven seconds to put together, and says nothing of the run
    monkeypatch.setattr(pages.vl_convert, "javascript_bundle", lambda: "")
    (job,) = shown(db)[0].jobs
    run_id = job.nights[0].run_id
    assert run_id is not None
    page = runs.report(bench(db), State(scenario="any", pane={"run": run_id})).decode()
    assert f"capacity plan {run_id}</title>" in page


def test_the_published_copy_is_read_while_the_store_is_written(db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(Store(db))
    monkeypatch.setattr(nights, "readable", lambda store: (Store(published_path(store.path)), True))
    told, _ = shown(db)
    assert told.published
    assert len(told.jobs[0].nights) == NIGHTS


def test_without_a_night_the_page_says_how_to_begin(server: Server, tmp_path: Path) -> None:
    assert server.get("/nights.json").json["jobs"] == []
    assert "planner schedule list --example &gt; jobs.toml" in server.get("/nights").text
    assert shown(tmp_path / "none.duckdb")[0].jobs == ()
