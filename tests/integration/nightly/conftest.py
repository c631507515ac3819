"""Fixtures of nights: logs and a jobs file, a first night that was made once, outputs that take no time."""

import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from planner.runs.read import RunView
from tests.helpers.nights import FIRST, Service, days, night, write_jobs, write_log


@pytest.fixture
def real_outputs() -> None:
    """Asked for by tests that look at reports or at the published copy."""


@pytest.fixture(autouse=True)
def _plain_outputs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere a report is a line and nothing is published: that takes as long as the rest of a night.

    A notification is tried again without a pause.
    """

    def write(run: RunView, folder: Path, **_: object) -> None:
        folder.mkdir(parents=True)
        (folder / "index.html").write_text(run.summary.run_id)

    monkeypatch.setattr("planner.nightly.notices.PAUSES_S", (0.0, 0.0))
    if "real_outputs" not in request.fixturenames:
        monkeypatch.setattr("planner.nightly.night.write_report", write)
        monkeypatch.setattr("planner.nightly.announce.publish", lambda _store: None)


@pytest.fixture
def service(tmp_path: Path) -> Service:
    """A job whose logs of six days are there."""
    for day in days(FIRST - timedelta(days=1), 6):
        write_log(tmp_path, day)
    return Service(tmp_path, write_jobs(tmp_path))


@pytest.fixture(scope="session")
def _first_night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder after the first night, with its real report and copy."""
    folder = tmp_path_factory.mktemp("first-night")
    for day in days(FIRST - timedelta(days=1), 6):
        write_log(folder, day)
    assert Service(folder, write_jobs(folder)).run(night(FIRST)) == 0
    return folder


@pytest.fixture
def one_night(tmp_path: Path, _first_night: Path) -> Service:
    """The job of `service` after its first night."""
    shutil.copytree(_first_night, tmp_path, dirs_exist_ok=True)
    return Service(tmp_path, tmp_path / "jobs.toml")
