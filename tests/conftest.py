"""Shared fixtures. Tests read like a specification: what a user relies on, one statement each."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # workers share the cores already; read when numpy is imported

import contextlib
import gc
import io
import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from hypothesis import HealthCheck, settings

from planner.catalogue.scenarios import load_scenario
from planner.cli import app
from planner.cli.documents import DOCUMENTS, document_type
from planner.documents import schema
from planner.settings.scenario import Scenario
from planner.store import Store
from planner.store.database import write_empty

if TYPE_CHECKING:
    from tests.helpers.live_pages import Driver, LivePages

_SWITCHES = (
    "PLANNER_TEST_TRACES",
    "PLANNER_TEST_POINTS",
    "PLANNER_TEST_MUTATIONS",
    "PLANNER_TEST_SCENARIOS",
    "PLANNER_TEST_ADDRESSES",
    "PLANNER_TEST_CALLS",
    "PLANNER_TEST_CORRUPTIONS",
    "PLANNER_TEST_STATEMENTS",
    "PLANNER_TEST_NIGHTS",
    "PLANNER_TEST_KILLS",
    "PLANNER_TEST_DISKS",
    "PLANNER_TEST_PICTURES",
    "PLANNER_UPDATE_GOLDEN",
)
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
settings.load_profile("default")


@dataclass(frozen=True)
class Result:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Cli = Callable[..., Result]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long begins first, so that no process is left alone with it at the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def pytest_collection_finish() -> None:
    """What is there for the whole run is not searched for garbage, which takes as long as some tests each time."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    gc.unfreeze()


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test runs in an empty folder, with an environment that sets nothing."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("PLANNER_") and name not in _SWITCHES]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def _empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store without a trace or a run, made once."""
    path = tmp_path_factory.mktemp("empty") / "planner.duckdb"
    write_empty(path, path)
    return path


@pytest.fixture
def new_stores() -> None:
    """Asked for by tests of how stores are made."""


@pytest.fixture(autouse=True)
def _copied_stores(request: pytest.FixtureRequest, _empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere a new store is a copy of one that was made in this process: to make it takes longer than many tests."""
    if "new_stores" not in request.fixturenames:
        monkeypatch.setattr("planner.store.database.write_empty", lambda draft, _path: shutil.copy(_empty, draft))


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Runs a command in this process."""

    def run(*words: str) -> Result:
        with monkeypatch.context() as patch:
            return run_command(patch, *words)

    return run


def run_command(patch: pytest.MonkeyPatch, *words: str) -> Result:
    """Run a command in this process; a --json output is held against its schema. patch: undone by the caller."""
    out, err = io.BytesIO(), io.StringIO()
    patch.setattr(sys, "argv", ["planner", *words])
    patch.setattr(sys, "stdout", io.TextIOWrapper(out, write_through=True))
    patch.setattr(sys, "stderr", err)
    code = app.execute()
    hold_against_schema(words, code, out.getvalue())
    return Result(code, out.getvalue().decode(errors="replace"), err.getvalue())


def hold_against_schema(words: Sequence[str], code: int, out: bytes) -> None:
    """What a command prints with --json is a document of the type that it is registered with."""
    if code not in (0, 3) or not ("--json" in words or ("--format", "json") in pairwise(words)):
        return
    command = next(name for name in (" ".join(words[:2]), words[0]) if name in DOCUMENTS)
    if DOCUMENTS[command]:
        validator_of(command).validate(json.loads(out))


@cache
def validator_of(command: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(schema(document_type(command)))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store that does not exist yet."""
    return Store(tmp_path / "planner.duckdb", wait_s=10)


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the default trace and no run, made once."""
    from planner.planning.prepare import ensure_trace

    path = tmp_path_factory.mktemp("drawn") / "planner.duckdb"
    ensure_trace(Store(path), load_scenario().scenario, now=NOW)
    return path


@pytest.fixture(scope="session")
def _planned(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the default trace and one default plan, made once."""
    from planner.planning.plan import plan_and_store

    path = tmp_path_factory.mktemp("planned") / "planner.duckdb"
    shutil.copy(drawn, path)
    plan_and_store(Store(path), load_scenario().scenario, now=NOW)
    return path


@pytest.fixture
def planned(_planned: Path, tmp_path: Path) -> Store:
    """A copy of the store with the default trace and one default plan, at the default place."""
    shutil.copy(_planned, tmp_path / "planner.duckdb")
    return Store(tmp_path / "planner.duckdb", wait_s=10)


@pytest.fixture(scope="session")
def shared_traces() -> Path:
    """The folder of real traces; tests that need it skip where it is not."""
    folder = os.environ.get("PLANNER_TEST_TRACES")
    if not folder or not Path(folder).is_dir():
        pytest.skip("real traces are not here: set PLANNER_TEST_TRACES to their folder")
    return Path(folder)


@pytest.fixture(scope="session")
def shared_points() -> Path:
    """The file of measured points, named or beside the real traces; tests that need it skip where it is not."""
    named, traces = os.environ.get("PLANNER_TEST_POINTS"), os.environ.get("PLANNER_TEST_TRACES")
    path = Path(named) if named else Path(traces).parent / "reference" / "serving_points.csv" if traces else None
    if path is None or not path.is_file():
        pytest.skip("measured points are not here: set PLANNER_TEST_POINTS to their file")
    return path


SMALL = (
    "timezone=UTC",
    "interval_s=60",
    "fleet.nodes=12",
    "fleet.gpus_per_node=1",
    "fleet.prefill.nodes=1",
    "fleet.prefill.tokens_per_s_per_node=10",
    "fleet.decode.nodes=2",
    "fleet.decode.tokens_per_s_per_node=5",
    "fleet.base.prefill=1",
    "fleet.base.decode=1",
    "fleet.step.prefill=1",
    "fleet.step.decode=1",
    "fleet.start_up_s=10",
    "fleet.drain_deadline_s=5",
    "training.restore_s=20",
    "policy.floor_nodes=3",
    "policy.target_utilisation=1.0",
    "policy.day_window=23:59-24:00",
)
"""A fleet to compute by hand: a step is 3 nodes and carries 10 input and 10 output tokens a second. Base and floor are
one step, and there are four."""


def small_scenario(*overrides: str) -> Scenario:
    """The small fleet, with further fields set."""
    return load_scenario(None, [*SMALL, *overrides]).scenario


def minute_log(path: Path, minutes: list[tuple[int, int]], start: str = "2025-03-01T00:00") -> Path:
    """A CSV log with one request in the middle of every minute, asking for these input and output tokens."""
    hour = start[:13]
    rows = [f"{hour}:{minute:02d}:30Z,{i},{o}" for minute, (i, o) in enumerate(minutes)]
    path.write_text("arrival,input_tokens,output_tokens\n" + "\n".join(rows) + "\n")
    return path


@pytest.fixture(scope="session")
def _driver() -> Iterator["Driver"]:
    """The browser, started once; tests that need it skip where it is not."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not found:
        pytest.skip("no Chromium here: apt-get install chromium")
    from tests.helpers.live_pages import driven

    with driven(found) as driver:
        yield driver


@pytest.fixture
def browse(_driver: "Driver") -> Iterator["LivePages"]:
    """Opens pages in a browser. A line on the console, an error or a request to elsewhere fails the test."""
    from tests.helpers.live_pages import LivePages

    with _driver.used() as browser:
        pages = LivePages(browser)
        yield pages
        assert pages.close() == []


class PrometheusServer:
    """A Prometheus on loopback that knows the given samples; `url` is its address."""

    def __init__(self, folder: Path, samples: str) -> None:
        (folder / "samples").write_text(samples + "# EOF\n")
        (folder / "prometheus.yml").write_text("{}\n")
        blocks = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "samples", "data"]
        subprocess.run(blocks, cwd=folder, check=True, capture_output=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
        self.url = f"http://{address}"
        options = {"config.file": "prometheus.yml", "storage.tsdb.path": "data", "web.listen-address": address}
        words = [f"--{name}={value}" for name, value in {**options, "storage.tsdb.retention.time": "100y"}.items()]
        log = subprocess.DEVNULL
        self._process = subprocess.Popen(["prometheus", *words], cwd=folder, stdout=log, stderr=log)
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise

    def _wait(self) -> None:
        for _ in range(600):
            assert self._process.poll() is None, "Prometheus has ended"
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/-/ready", timeout=5):
                return
            time.sleep(0.1)
        raise AssertionError("Prometheus is not ready after a minute")

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(30)


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Starts a Prometheus with samples in OpenMetrics' text, and gives its address; skips where there is none."""
    if not (shutil.which("prometheus") and shutil.which("promtool")):
        pytest.skip("no Prometheus here: apt-get install prometheus")
    servers: list[PrometheusServer] = []

    def start(samples: str) -> str:
        folder = tmp_path / f"prometheus-{len(servers)}"
        folder.mkdir()
        servers.append(PrometheusServer(folder, samples))
        return servers[-1].url

    yield start
    for server in servers:
        server.stop()


def eplb_cases() -> list[dict[str, Any]]:
    """Recorded results of DeepSeek's EPLB, beside the real traces."""
    path = Path(os.environ.get("PLANNER_TEST_TRACES", "nowhere")).parent / "reference" / "eplb_cases.json"
    if not path.is_file():
        pytest.skip("recorded EPLB cases are not here: set PLANNER_TEST_TRACES to the folder beside them")
    cases: list[dict[str, Any]] = json.loads(path.read_text())["cases"]
    return cases
