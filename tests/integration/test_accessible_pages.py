"""Pages for everybody: nothing that axe-core finds serious, nothing cut, on phones and screens, light and dark."""

import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from tests.conftest import run_command
from tests.helpers.live_pages import LivePages, Scheme, assert_accessible, assert_fits, screenshot
from tests.helpers.nights import FIRST, Service, days, night, write_jobs, write_log
from tests.helpers.replays import EVENING, SETS

LOOKS: tuple[tuple[int, Scheme], ...] = ((390, "light"), (1024, "dark"), (1400, "light"))
HOURLY = ("interval_s=3600", "trace.scale=0.0002")


def sets(*overrides: str) -> list[str]:
    return [word for override in overrides for word in ("--set", override)]


Make = Callable[[Path, Callable[..., None]], None]


def report(folder: Path, planner: Callable[..., None]) -> None:
    planner("plan", *sets(*HOURLY))
    planner("report", "--out", str(folder))


def replayed(folder: Path, planner: Callable[..., None]) -> None:
    planner("replay", *SETS, *EVENING)
    planner("report", "--out", str(folder))


def fortnight(folder: Path, planner: Callable[..., None]) -> None:
    planner("plan", *sets(*HOURLY, "trace.days=14"))
    planner("report", "--out", str(folder))


def compared(folder: Path, planner: Callable[..., None]) -> None:
    planner("compare", "--policies", "predictive,fixed", "--no-level", *sets(*HOURLY), "--out", str(folder))


def swept(folder: Path, planner: Callable[..., None]) -> None:
    planner("sweep", "--cases", "6", *sets(*HOURLY), "--out", str(folder))


def forecast(folder: Path, planner: Callable[..., None]) -> None:
    drawn = sets(*HOURLY, "trace.days=7", "trace.noise=0.05")
    planner("forecast", *drawn, "--method", "seasonal-naive", "--out", str(folder))


def nights(folder: Path, _planner: Callable[..., None]) -> None:
    for day in days(FIRST - timedelta(days=1), 6):
        write_log(folder, day)
    service = Service(folder, write_jobs(folder))
    for past in range(3):
        service.run(night(FIRST + timedelta(days=past)))
    shutil.copy(service.jobs.out / "index.html", folder)


PAGES: dict[str, Make] = {
    make.__name__: make for make in (report, replayed, fortnight, compared, swept, forecast, nights)
}


@pytest.fixture(scope="session")
def written(_planned: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Gives a page by its name: written when it is first asked for."""
    root = tmp_path_factory.mktemp("pages")

    def page(name: str) -> Path:
        folder = root / name
        if not folder.exists():
            folder.mkdir()
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("PLANNER_DB", str(shutil.copy(_planned, root / f"{name}.duckdb")))

                def planner(*words: str) -> None:
                    done = run_command(patch, *words)
                    assert done.code in (0, 3), done.err

                PAGES[name](folder, planner)
        return folder / "index.html"

    return page


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_everybody_can_read_it(name: str, written: Callable[[str], Path], browse: LivePages) -> None:
    for width, scheme in LOOKS:
        page = browse(written(name), width=width, scheme=scheme)
        charts = page.locator("body").get_attribute("data-charts") or "0"
        page.locator(f'body[data-drawn="{charts}"]' if charts != "0" else "body").wait_for(state="attached")
        screenshot(page, f"{name}-{width}-{scheme}")
        assert_fits(page)
        assert_accessible(page)
