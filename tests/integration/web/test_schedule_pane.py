"""Schedules of the plan that is seen: every format, its file, and what differs from that of a stored run."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from planner.errors import UsageError
from planner.export.run import WRITERS, export_run
from planner.runs.read import load_run
from planner.store import Store
from planner.web.panes import runs, schedule
from planner.web.panes.schedule import SchedulePreview
from planner.web.state import State
from planner.web.workbench import ServerSettings, Workbench
from tests.helpers.served import Server

ROOM = {"fleet.nodes": "60"}
"""Nodes to lend."""
Shown = Callable[..., SchedulePreview]


@pytest.fixture(scope="module")
def bench(own: tuple[Path, list[str]], tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    """A store of its own, as runs are stored in it."""
    db, files = own
    copy = shutil.copy(db, tmp_path_factory.mktemp("schedules") / "planner.duckdb")
    lends = {"PLANNER__TRAINING__LEND": "true"}
    return Workbench(ServerSettings(db=copy, sources={"own": files[0]}, environment=lends))


@pytest.fixture(scope="module")
def shown(bench: Workbench) -> Shown:
    def show(a: dict[str, str] | None = None, **pane: str) -> SchedulePreview:
        document = schedule.show(bench, State(scenario="own", a={**ROOM, **(a or {})}, pane=pane)).document
        assert isinstance(document, SchedulePreview)
        return document

    return show


def test_without_a_stored_run_there_is_nothing_to_compare_with(shown: Shown) -> None:
    told = shown()
    assert (told.to, told.against, told.difference) == ("keda", None, ())
    assert told.export is not None


@pytest.mark.parametrize("to", WRITERS)
def test_a_saved_plan_has_the_same_export_under_its_name_and_a_moved_slider_changes_lines(
    bench: Workbench, shown: Shown, to: str
) -> None:
    saved = runs.save(bench, State(scenario="own", a=ROOM)).document
    assert isinstance(saved, runs.SavedDocument)
    told = shown(to=to)
    stored = load_run(Store(bench.settings.db), saved.run_id)
    assert (told.problem, told.against, told.difference) == (None, saved.run_id, ())
    assert told.export is not None
    assert told.export.text is not None
    exported = export_run(stored, stored.scenario, told.to).text
    assert told.export.text.replace("unsaved", saved.run_id) == exported
    moved = shown({"trace.demand_factor": "2"}, to=to)
    assert moved.difference[:2] == (f"--- {saved.run_id}", "+++ this plan")


def test_what_a_format_cannot_express_is_told_in_place(shown: Shown) -> None:
    told = shown(to="keda", week="largest")
    assert told.export is None
    assert "a typical week needs every weekday" in (told.problem or "")
    # formats with dates have no week that recurs
    assert shown(to="csv", week="largest").problem is None
    assert "lends no nodes" in (shown({"fleet.nodes": "4"}, to="slurm").problem or "")


def test_a_run_that_is_not_stored_is_told_beside_the_export(shown: Shown) -> None:
    told = shown(against="run-99999")
    assert told.export is not None
    assert 'no run "run-99999"' in (told.difference_problem or "")


def test_what_is_no_format_is_refused(shown: Shown) -> None:
    with pytest.raises(UsageError, match='"nomad" is not a format'):
        shown(to="nomad")


def test_the_file_comes_as_an_attachment_of_its_kind(server: Server) -> None:
    file = server.get("/schedule/keda.yaml?pane.to=keda")
    assert file.status == 200
    assert file.headers["content-disposition"] == 'attachment; filename="keda.yaml"'
    assert file.headers["content-type"] == "application/yaml"
    assert file.text == server.get("/schedule.json?pane.to=keda").json["export"]["text"]
    assert "kind: ScaledObject" in server.get("/schedule").text
    assert server.get("/schedule/keda.yaml?pane.week=largest").status == 422
