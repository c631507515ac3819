"""How soon the page answers while a slider moves, and what a thousand moves leave in memory: `make bench`.

Nothing here is a time limit. A move goes from the input event to the frame with the answer, in a browser; its ratio is
to the plan itself in this process.
"""

import json
import shutil
import statistics
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from planner.planning.plan import plan
from planner.web.state import parse
from planner.web.workbench import ServerSettings, Workbench
from tests.helpers.live_pages import LivePages, driven
from tests.helpers.served import Server, served

pytestmark = [pytest.mark.benchmark(group="page"), pytest.mark.browser]
SCENARIO = "deepseek-2025-02-27"
MOVES = 200
MANY = 1_000
SCALE = "0.0002"
"""The trace is drawn this small: a move plans from its demand by interval, of which there are as many at any scale."""
DAYS = {"day": "1", "fortnight": "14"}
SLIDERS = ("policy.target_utilisation", "trace.demand_factor", "fleet.nodes", "economics.gpu_usd_per_hour")

_MOVE = """async ([path, count, first]) => {
    const field = document.querySelector(`[name="${path}"]`);
    const low = Number(field.min), high = Number(field.max), step = Number(field.step);
    const taken = [];
    for (let move = first; move < first + count; move++) {
        const before = Number(document.body.dataset.settled);
        const part = 0.3 + 0.6 * ((move * 0.6180339887) % 1);
        field.value = low + Math.round((high - low) * part / step) * step;
        const begin = performance.now();
        field.dispatchEvent(new Event("input", { bubbles: true }));
        while (Number(document.body.dataset.settled) === before) await new Promise(requestAnimationFrame);
        await new Promise(requestAnimationFrame); // the frame with the answer
        taken.push(performance.now() - begin);
        await new Promise((done) => setTimeout(done, 20));
    }
    return taken;
}"""


def moved(page: Page, path: str, count: int, first: int) -> list[float]:
    """Milliseconds from the input event of each move to the frame with its answer."""
    taken: list[float] = page.evaluate(_MOVE, [path, count, first])
    return taken


def percentile(taken: list[float], share: float) -> float:
    return sorted(taken)[min(int(len(taken) * share), len(taken) - 1)]


@pytest.fixture(scope="module")
def pages() -> Iterator[LivePages]:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not found:
        pytest.skip("no Chromium here: apt-get install chromium")
    with driven(found) as driver, driver.used() as browser:
        opened = LivePages(browser)
        yield opened
        assert opened.close() == []


@pytest.fixture(scope="module", params=list(DAYS))
def serving(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Server]]:
    folder = tmp_path_factory.mktemp(request.param)
    with served(folder, folder / "planner.duckdb", SCENARIO, environment=environment(request.param)) as server:
        assert server.get("/").status == 200
        yield request.param, server


def environment(name: str) -> Mapping[str, str]:
    return {"PLANNER__TRACE__SCALE": SCALE, "PLANNER__TRACE__DAYS": DAYS[name]}


def plan_ms(db: Path, name: str) -> float:
    """What a plan takes in this process, everything that it is made of at hand."""
    settings = ServerSettings(db=db, sources={SCENARIO: SCENARIO}, environment=environment(name))
    prepared = Workbench(settings).prepared(parse("", (SCENARIO,)), "a")
    taken = []
    for _ in range(20):
        begin = time.perf_counter()
        plan(prepared)
        taken.append((time.perf_counter() - begin) * 1e3)
    return statistics.median(taken)


def test_a_slider_is_answered_while_it_moves(serving: tuple[str, Server], pages: LivePages, benchmark: Any) -> None:
    name, server = serving
    begin = time.perf_counter()
    assert server.get("/").status == 200
    first_ms = (time.perf_counter() - begin) * 1e3
    page = opened(pages, server)
    moved(page, SLIDERS[0], 10, 0)
    each = MOVES // len(SLIDERS)
    taken = {path: moved(page, path, each, 10) for path in SLIDERS}
    every = [ms for times in taken.values() for ms in times]
    alone = plan_ms(server.db, name)
    p50, p95 = percentile(every, 0.5), percentile(every, 0.95)
    print(
        f"\n{name}: the first view {first_ms:.0f} ms; {len(every)} moves: p50 {p50:.0f} ms, p95 {p95:.0f} ms, "
        f"{p50 / alone:.0f} times the plan itself ({alone:.1f} ms)"
    )
    print(json.dumps({path: round(percentile(times, 0.95)) for path, times in taken.items()}))
    benchmark.pedantic(lambda: moved(page, SLIDERS[0], 1, 500), rounds=3)


def test_a_thousand_moves_leave_nothing(serving: tuple[str, Server], pages: LivePages, benchmark: Any) -> None:
    """Of the processes' memory and of the page's, less than a tenth is more after the last eight hundred moves."""
    name, server = serving
    page = opened(pages, server)
    tools = page.context.new_cdp_session(page)

    def heap_bytes() -> int:
        tools.send("HeapProfiler.collectGarbage")
        used: int = tools.send("Runtime.getHeapUsage")["usedSize"]
        return used

    seen = []
    for hundred in range(MANY // 100):
        moved(page, SLIDERS[hundred % len(SLIDERS)], 100, hundred * 100)
        seen.append((server.memory_bytes(), heap_bytes(), page.evaluate("document.querySelectorAll('*').length")))
    for place, what in enumerate(("processes, MB", "the page's heap, MB", "elements of the page, millions")):
        print(f"\n{name}: {what}:", *(f"{values[place] / 1e6:.3f}" for values in seen))
    for early, late in zip(seen[1], seen[-1], strict=True):
        assert late < 1.1 * early
    benchmark.pedantic(lambda: moved(page, SLIDERS[0], 1, 500), rounds=3)


def opened(pages: LivePages, server: Server) -> Page:
    page = pages(server.address)
    page.wait_for_selector("body[data-drawn]")
    page.wait_for_selector("#live:not([data-pending]):not([aria-busy])")
    return page
