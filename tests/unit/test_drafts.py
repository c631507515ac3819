"""Drafts are removed by whoever made them, or swept by the next one; never while somebody uses them."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from planner import drafts
from planner.drafts import (
    draft_file,
    draft_folder,
    import_folder,
    is_in_use,
    sweep,
    sweep_beside_store,
    sweep_imports,
)

DAY_S = 24 * 3600
HOLDER = """
import sys, time
from pathlib import Path
from planner.drafts import draft_file, draft_folder
with draft_file(Path("plan.csv")) as file, draft_folder(Path("planner.duckdb")) as folder:
    file.write_text("half")
    (folder / "planner.duckdb").write_text("half")
    print("ready", flush=True)
    time.sleep(60)
"""


@contextmanager
def holder() -> Iterator[subprocess.Popen[str]]:
    """Another process that uses a draft of a file and one of a store in the working folder."""
    environment = {**os.environ, "PYTHONPATH": str(Path(drafts.__file__).parents[1])}
    with subprocess.Popen([sys.executable, "-c", HOLDER], stdout=subprocess.PIPE, text=True, env=environment) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        try:
            yield other
        finally:
            other.kill()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def age(path: Path, seconds: float) -> Path:
    """Put back when a file or folder was changed."""
    then = time.time() - seconds
    os.utime(path, (then, then))
    return path


def of_another_machine(path: Path) -> Path:
    """A draft with the name that another machine would have given it."""
    name = re.sub(r"-[0-9a-f]{8}-[0-9a-f]{8}-([0-9a-f]{8})$", r"-00000000-00000000-\1", path.name)
    return path.rename(path.with_name(name))


def killed_draft(folder: Path, *, is_folder: bool = False) -> Path:
    """What a kill leaves: a draft that nobody holds."""
    with draft_folder(folder / "plan.csv") if is_folder else draft_file(folder / "plan.csv") as draft:
        name = draft.name
    path = folder / name
    if is_folder:
        path.mkdir()
        (path / "inside").write_text("half")
    else:
        path.write_text("half")
    return path


def test_a_draft_in_use_by_another_process_stays_and_is_swept_once_that_is_killed(tmp_path: Path) -> None:
    with holder() as other:
        before = names(tmp_path)
        assert len(before) == 2
        sweep(tmp_path)
        sweep_beside_store(tmp_path / "planner.duckdb")
        assert names(tmp_path) == before
        other.send_signal(signal.SIGKILL)
        other.wait(30)
        assert names(tmp_path) == before
        sweep(tmp_path)
        assert names(tmp_path) == []


def test_a_draft_in_use_by_this_process_stays(tmp_path: Path) -> None:
    with draft_file(tmp_path / "plan.csv") as draft, draft_folder(tmp_path / "plan.csv") as folder:
        sweep(tmp_path)
        assert draft.is_file()
        assert folder.is_dir()
    assert names(tmp_path) == []


def test_who_makes_a_draft_sweeps_the_place_first(tmp_path: Path) -> None:
    killed_draft(tmp_path)
    killed_draft(tmp_path, is_folder=True)
    with draft_file(tmp_path / "other.csv") as draft:
        assert names(tmp_path) == [draft.name]


@pytest.mark.parametrize("is_folder", [False, True])
def test_a_draft_of_another_machine_goes_after_a_day(tmp_path: Path, is_folder: bool) -> None:
    left = of_another_machine(killed_draft(tmp_path, is_folder=is_folder))
    age(left, DAY_S - 60)
    sweep(tmp_path)
    assert names(tmp_path) == [left.name]
    age(left, DAY_S + 60)
    sweep(tmp_path)
    assert names(tmp_path) == []


def test_what_only_looks_alike_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    notes = tmp_path / "planner-import-00000000"
    notes.mkdir()
    likes = (".plan.csv.0a1b2c3d", ".plan.csv.planner-draft-mine", "planner-import.csv", ".planner.duckdb.new-mine")
    for path in (notes / "notes.txt", *(tmp_path / name for name in likes)):
        path.write_text("mine")
        age(path, 9 * DAY_S)
    age(notes, 9 * DAY_S)
    link = tmp_path / killed_draft(tmp_path).name
    link.unlink()
    link.symlink_to(notes)
    before = names(tmp_path)
    sweep_imports()
    sweep_beside_store(tmp_path / "planner.duckdb")
    assert names(tmp_path) == before
    assert names(notes) == ["notes.txt"]


def test_what_an_earlier_version_left_goes_after_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = tmp_path / "planner-import-ab_0cd1e"
    folder.mkdir()
    lefts = [
        folder / "log-0.parquet",
        folder / "duckdb_temp_storage_DEFAULT-0.tmp",
        folder,
        tmp_path / ".planner.duckdb.new-0a1b2c3d",
        tmp_path / ".planner.duckdb.new-0a1b2c3d.wal",
        tmp_path / ".planner.published.duckdb.draft",
        tmp_path / "..planner.published.duckdb.draft.new-0a1b2c3d",
    ]
    for left in lefts:
        if left != folder:
            left.write_text("half")
    for left in lefts:
        age(left, DAY_S - 60)
    before = names(tmp_path)
    sweep_imports()
    sweep_beside_store(tmp_path / "planner.duckdb")
    assert names(tmp_path) == before
    for left in lefts:
        age(left, DAY_S + 60)
    sweep_imports()
    sweep_beside_store(tmp_path / "planner.duckdb")
    assert names(tmp_path) == []


def test_a_draft_that_was_moved_into_its_place_is_not_missed(tmp_path: Path) -> None:
    with draft_file(tmp_path / "plan.csv") as draft:
        draft.write_text("whole")
        draft.replace(tmp_path / "plan.csv")
    assert names(tmp_path) == ["plan.csv"]


def test_a_name_as_long_as_a_file_system_takes_has_a_draft(tmp_path: Path) -> None:
    for name in ("a" * 255, "ö" * 127):
        with draft_file(tmp_path / name) as draft:
            draft.replace(tmp_path / name)
        assert names(tmp_path) == [name]
        (tmp_path / name).unlink()


def test_a_process_that_is_about_to_end_removes_its_drafts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with draft_file(tmp_path / "plan.csv"), import_folder() as folder:
        (folder / "table-0.parquet").write_text("half")
        drafts.discard_all()
        assert names(tmp_path) == []


def test_where_the_file_system_knows_no_locks_age_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = killed_draft(tmp_path)

    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", refuse)
    sweep(tmp_path)
    assert left.exists()
    age(left, DAY_S + 60)
    sweep(tmp_path)
    assert not left.exists()


def test_a_draft_of_another_user_is_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who may read it can tell by its lock; of one that may not be read nothing is known, so it is taken to be."""
    aim = tmp_path / "store.waiting"
    assert not is_in_use(aim)
    with draft_file(aim) as draft:
        draft.chmod(0o400)
        assert is_in_use(aim)
    assert not is_in_use(aim)
    (tmp_path / draft.name).touch()
    assert not is_in_use(aim), "its owner has gone"

    def refused(*_args: object) -> int:
        raise PermissionError

    monkeypatch.setattr(drafts.os, "open", refused)
    assert is_in_use(aim)
