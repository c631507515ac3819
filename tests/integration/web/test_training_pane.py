"""What is lent to training, on the page: windows that make up what the plan lends, and jobs placed on them."""

from pathlib import Path

import pytest

from planner.web.panes import training
from planner.web.state import State
from planner.web.workbench import ServerSettings, Workbench
from tests.helpers.served import Server

ROOT = Path(__file__).parents[3]


def test_windows_make_up_what_is_lent_and_the_page_says_which_jobs_there_are(server: Server) -> None:
    told = server.get("/training.json").json
    assert told["training_node_hours"] == pytest.approx(sum(each["training_node_hours"] for each in told["windows"]))
    assert told["training_node_hours"] == server.get("/answer.json").json["a"]["plan"]["training_node_hours"] > 0
    assert told["jobs"] is None
    page = server.get("/training").text
    assert 'id="chart-lent"' in page
    assert "names no training jobs" in page


def test_jobs_of_the_scenario_are_listed_and_drawn(own: tuple[Path, list[str]]) -> None:
    db, files = own
    jobs = {"PLANNER__TRAINING__JOBS": str(ROOT / "examples" / "training-jobs.toml")}
    bench = Workbench(ServerSettings(db=db, sources={"own": files[0]}, environment=jobs))
    view = training.show(bench, State(scenario="own"))
    assert {row["job"] for row in view.tables["training_jobs"].to_dicts()} == {"fine-tune", "evaluate"}
    assert [chart.name for chart in view.charts] == ["lent", "jobs"]
