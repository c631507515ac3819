"""Whatever stands in an address, the answer is a page that says what is wrong with it, and the server goes on."""

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from planner.web.panes import PANES
from planner.web.workbench import ServerSettings
from tests.helpers.asked_in_process import Get, application_here
from tests.helpers.hostile_queries import ALL_PATHS_AT_THEIR_ENDS, hostile_queries
from tests.helpers.served import Server

QUERIES = int(os.environ.get("PLANNER_TEST_ADDRESSES", "1000"))
"""`make fuzz` asks for ten thousand."""
SEED = 17
QUICK = {"X-Planner-Quick": "1"}
PATHS = (
    "/", "/", "/answer.json", "/swing.json", "/jobs", "/nowhere", *(f"/{name}" for name in PANES),
    *(f"/{name}.json" for name in PANES),
)  # fmt: skip


@pytest.fixture(scope="module")
def get(own: tuple[Path, list[str]]) -> Iterator[Get]:
    db, files = own
    with application_here(ServerSettings(db=db, sources={Path(file).stem: file for file in files})) as made:
        yield made


@pytest.mark.slow
def test_hostile_addresses_are_answered_without_a_fault(get: Get) -> None:
    chance = random.Random(SEED)
    seen = set()
    for query in hostile_queries(SEED, QUERIES):
        path = chance.choice(PATHS)
        status, text = get(path, query)
        assert status in (200, 400, 404, 422), f"{path}?{query}: {status} {text}"
        assert "Traceback" not in text
        assert path.endswith(".json") or "<script>alert" not in text
        seen.add(status)
    assert seen == {200, 400, 404, 422}, "some of them are taken, so that plans are tried too"


@pytest.mark.parametrize("query", ALL_PATHS_AT_THEIR_ENDS)
@pytest.mark.parametrize("scenario", ["own-aggregated", "own-roles"])
def test_settings_far_from_their_sliders_give_a_plan_or_say_why_not(get: Get, scenario: str, query: str) -> None:
    status, text = get("/answer.json", f"scenario={scenario}&{query}")
    assert status in (200, 422), text


def test_hundreds_of_them_leave_a_real_server_as_it_was(server: Server) -> None:
    chance = random.Random(SEED + 1)
    for query in hostile_queries(SEED + 1, 300):
        sent = "".join(letter if "!" <= letter <= "~" else f"%{ord(letter):02x}" for letter in query)
        answer = server.get(f"{chance.choice(PATHS)}?{sent}", QUICK)
        assert answer.status in (200, 400, 404, 422), f"{query}: {answer.text}"
    assert server.get("/").status == 200
