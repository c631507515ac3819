"""A full disk: one line says so, and no part of what was to be written is there."""

import gzip
import re
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pytest

from planner.files import atomic_write
from tests.conftest import SMALL, Cli, Result, minute_log

pytestmark = pytest.mark.usefixtures("new_stores")

SPACE = r"(File too large|No space left on device)"
PLAN = ("--trace", "small", *(word for setting in SMALL for word in ("--set", setting)))
STEPS = "streams,kv_tokens,step_ms\n" + "".join(f"{n},4000,{20 + n / 8}\n" for n in (16, 32, 64, 128, 256))


@contextmanager
def full_disk(room: int = 0) -> Iterator[None]:
    """Files may not grow beyond this many bytes: the system refuses as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def files(folder: Path) -> dict[str, bytes]:
    """All files, but for the log of a store that could not be written, which the next one who writes takes away."""
    found = (path for path in folder.rglob("*") if path.is_file() and path.name != "planner.duckdb.wal")
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def refused(cli: Cli, folder: Path, *words: str, room: int = 0) -> Result:
    """Run a command on a full disk; it leaves every file as it was."""
    before = files(folder)
    with full_disk(room):
        result = cli(*words)
    assert result.code == 1
    assert re.fullmatch(rf"planner: [^\n]*: {SPACE}; [^\n]*\n", result.err), result.err
    assert files(folder) == before
    return result


@pytest.fixture
def place(tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a store, in which is a small trace with a plan, and logs; the temporary folder is in it too."""
    log = minute_log(tmp_path / "log.csv", [(300, 300)] * 30)
    pl.read_csv(log).write_parquet(tmp_path / "log.parquet")
    (tmp_path / "log.parquet.gz").write_bytes(gzip.compress((tmp_path / "log.parquet").read_bytes()))
    (tmp_path / "steps.csv").write_text(STEPS)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    # it takes seconds to bundle the scripts of pages
    monkeypatch.setattr("planner.report.pages.chart_script", lambda: "")
    assert cli("trace", "import", "log.csv", "--format", "csv", "--name", "small").code == 0
    assert cli("plan", *PLAN).code == 0
    return tmp_path


WRITING = {
    "new": ("scenario", "init", "--out", "out.toml"),
    "export": ("export", "--to", "json", "--out", "out.json"),
    "report": ("report", "--out", "out"),
    "csv": ("trace", "export", "small", "--out", "out.csv"),
    "parquet": ("trace", "export", "small", "--out", "out.parquet"),
    "timetable": ("optimize", *PLAN, "--save", "out.csv"),
    "chart": ("capacity", "--sweep", "batch", "--chart", "out.html"),
    "fit": ("capacity", "fit", "steps.csv", "--out", "out.toml"),
}


@pytest.mark.parametrize("name", WRITING)
def test_a_file_that_has_no_room_is_not_there(name: str, place: Path, cli: Cli) -> None:
    for room in (0, 100):
        result = refused(cli, place, *WRITING[name], room=room)
        assert result.err.startswith("planner: out")
        assert "draft" not in result.err
    assert not (place / "out").exists()


def test_a_file_that_has_no_room_leaves_the_one_that_was_there(place: Path, cli: Cli) -> None:
    words = ("export", "--to", "json", "--out", "out.json")
    assert cli(*words).code == 0
    refused(cli, place, *words, room=100)


STORING = {
    "new": ("trace", "import", "log.csv", "--format", "csv", "--name", "n", "--db", "other.duckdb"),
    "import": ("trace", "import", "log.csv", "--format", "csv", "--name", "n"),
    "packed": ("trace", "import", "log.parquet.gz", "--format", "parquet", "--name", "n"),
    "generate": ("trace", "generate", "--scale", "0.0001", "--name", "n"),
    "plan": ("plan", *PLAN),
    "sweep": ("sweep", *PLAN, "--cases", "10"),
    "delete": ("trace", "delete", "small"),
}


@pytest.mark.parametrize("name", STORING)
def test_a_store_that_has_no_room_is_as_it_was(name: str, place: Path, cli: Cli) -> None:
    refused(cli, place, *STORING[name])
    assert cli("run", "list").code == 0


def test_a_link_stays_and_what_it_leads_to_is_whole(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    link, target = tmp_path / "link.txt", tmp_path / "far" / "file.txt"
    link.symlink_to(target)
    for text in ("first", "second"):
        with atomic_write(link) as draft:
            draft.write_text(text)
        assert (link.is_symlink(), target.read_text()) == (True, text)
    with full_disk(), pytest.raises(OSError, match=r"too large.*link\.txt"), atomic_write(link) as draft:
        draft.write_text("third")
    assert target.read_text() == "second"
    assert [path.name for path in (tmp_path / "far").iterdir()] == ["file.txt"]


def test_a_new_file_never_takes_the_place_of_another(tmp_path: Path) -> None:
    path = tmp_path / "scenario.toml"
    with pytest.raises(FileExistsError), atomic_write(path, new=True):
        path.write_text("mine")  # another process is faster
    assert path.read_text() == "mine"
    with pytest.raises(FileExistsError), atomic_write(path, new=True):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["scenario.toml"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("words", [("scenario", "list"), ("scenario", "list", "--json")])
def test_output_that_has_no_room_is_said_in_one_line(words: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "planner", *words], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert ended.returncode == 1
    assert ended.stderr == "planner: output: cannot be written: No space left on device; free some space\n"
