"""What is lent to training, on the page: windows that make up what the plan lends, and jobs placed on them."""

from pathlib import Path

import pytest

from planner.web.panes import training
from planner.web.panes.base import PaneView
from planner.web.state import State
from planner.web.workbench import ServerSettings, Workbench
from tests.helpers.served import Server

ROOT = Path(__file__).parents[3]


def made(own: tuple[Path, list[str]], **environment: str) -> PaneView:
    """The pane of a fleet with nodes to spare. environment: settings of training."""
    db, files = own
    settings = {f"PLANNER__TRAINING__{name}": text for name, text in environment.items()}
    bench = Workbench(ServerSettings(db=db, sources={"own": files[0]}, environment=settings))
    return training.show(bench, State(scenario="own", a={"fleet.nodes": "60"}))


def test_windows_make_up_what_is_lent(own: tuple[Path, list[str]]) -> None:
    view = made(own, LEND="true")
    told = view.document
    assert isinstance(told, training.TrainingDocument)
    assert told.training_node_hours == pytest.approx(sum(each.training_node_hours for each in told.windows))
    assert told.training_node_hours > told.useful_training_node_hours > 0
    assert told.jobs is None
    (lent,) = view.charts
    parts = lent.table.select("loading_node_hours", "useful_node_hours").sum().row(0)
    assert sum(parts) == pytest.approx(told.training_node_hours)


def test_jobs_of_the_scenario_are_listed_and_drawn(own: tuple[Path, list[str]]) -> None:
    view = made(own, LEND="true", JOBS=str(ROOT / "examples" / "training-jobs.toml"))
    assert {row["job"] for row in view.tables["training_jobs"].to_dicts()} == {"fine-tune", "evaluate"}
    assert [chart.name for chart in view.charts] == ["lent", "jobs"]


def test_a_scenario_that_lends_nothing_says_how_to_lend(server: Server) -> None:
    assert not server.get("/training.json").json["lend"]
    assert "<code>training.lend = true</code>" in server.get("/training").text
