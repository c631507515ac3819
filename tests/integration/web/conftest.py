"""A server of `planner serve` for the tests of a module, with a small day of a fleet of one's own."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.served import Server, own_day, served


@pytest.fixture(scope="session")
def _drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    return own_day(tmp_path_factory.mktemp("own"))


@pytest.fixture(scope="module")
def own(_drawn: tuple[Path, list[str]], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A store of the module's own, and two scenarios' files: units that read and decode, and units of either role."""
    db, files = _drawn
    return Path(shutil.copy(db, tmp_path_factory.mktemp("store"))), files


@pytest.fixture(scope="module")
def server(own: tuple[Path, list[str]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on loopback, without a token."""
    db, files = own
    with served(tmp_path_factory.mktemp("served"), db, *files) as made:
        made.get("/")
        yield made
        assert made.log == ""
