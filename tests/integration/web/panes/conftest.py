"""One server for each module: a small fleet, and a trace of an hour."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from planner.store import Store
from tests.conftest import minute_log
from tests.helpers.imports import imported
from tests.helpers.served_panes import Served, served, small_file


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the server's store, planner.duckdb."""
    return tmp_path_factory.mktemp("served")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Served]:
    log = minute_log(folder / "log.csv", [(60 + minute, 120) for minute in range(60)])
    imported(Store(folder / "planner.duckdb"), log, "csv", "hour")
    with served(folder / "planner.duckdb", str(small_file(folder / "small.toml", "trace.name=hour"))) as each:
        yield each
