"""The page plans what its command plans: whatever the sliders say, on three fleets."""

import json
import random
import shlex
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from planner.catalogue.read import DEFAULT_SCENARIO
from planner.core.policy import POLICIES
from planner.web.controls import POLICY, SLIDERS, command_words, shown
from planner.web.workbench import ServerSettings
from tests.conftest import Cli
from tests.helpers.asked_in_process import Get, application_here
from tests.helpers.served import own_day

SETTINGS = 4
"""Random settings of each fleet, of one to four sliders."""
PUBLISHED = f"""extends = "{DEFAULT_SCENARIO}"
name = "published"
[trace]
scale = 0.0002
"""
"""The published day, drawn from few of its requests."""


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A store, and three fleets by name: the published one, units that read and decode, units of either role."""
    folder = tmp_path_factory.mktemp("day")
    db, files = own_day(folder)
    published = folder / "published.toml"
    published.write_text(PUBLISHED)
    return db, {Path(file).stem: str(file) for file in (published, *files)}


@pytest.fixture(scope="module")
def get(day: tuple[Path, dict[str, str]]) -> Iterator[Get]:
    db, sources = day
    with application_here(ServerSettings(db=db, sources=sources)) as made:
        yield made


@pytest.mark.slow
@pytest.mark.parametrize("fleet", range(3))
@pytest.mark.parametrize("seed", range(SETTINGS))
def test_the_page_and_its_command_make_the_same_plan(
    get: Get, day: tuple[Path, dict[str, str]], cli: Cli, fleet: int, seed: int
) -> None:
    db, sources = day
    scenario = list(sources)[fleet]
    settings = moved(get, scenario, random.Random(1000 * fleet + seed))
    status, text = get("/answer.json", urlencode({"scenario": scenario, **settings}))
    if status != 200:
        refused = cli(*command_words(sources[scenario], settings, None)[1:], "--db", str(db))
        assert status == 422, text
        assert refused.code in (1, 2), f"{text} {refused.err}"
        return
    side = json.loads(text)["a"]
    words = shlex.split(side["command"])
    assert words[:2] == ["planner", "plan"]
    planned = cli(*words[1:], "--json", "--db", str(db))
    assert planned.code in (0, 3), planned.err
    assert planned.json["result_digest"] == side["plan"]["result_digest"]
    differing = {name for name, value in side["plan"].items() if planned.json.get(name) != value}
    drawn = {"trace", "notes"} if "trace.demand_factor" in settings and scenario == "published" else set()
    assert differing <= {"run_id", "created_at", *drawn}, "every figure is the same, not the digest alone"


def moved(get: Get, scenario: str, chance: random.Random) -> dict[str, str]:
    """Some of the page's sliders somewhere between their ends, on their steps, and sometimes another policy."""
    status, text = get("/answer.json", urlencode({"scenario": scenario}))
    assert status == 200, text
    controls = {each["path"]: each for each in json.loads(text)["a"]["controls"]}
    settings = {}
    for path in chance.sample(sorted(SLIDERS), chance.randrange(1, 5)):
        control = controls[path]
        steps = int((control["high"] - control["low"]) / control["step"])
        settings[path] = shown(path, control["low"] + chance.randrange(steps + 1) * control["step"])
    if chance.random() < 0.5:
        settings[POLICY] = chance.choice([name for name in controls[POLICY]["choices"] if name in POLICIES])
    return settings
