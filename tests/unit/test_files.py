"""Files that appear whole or not at all."""

import os
import threading
from pathlib import Path

import pytest

from planner.files import atomic_write


def test_a_file_takes_its_name_when_all_is_written(tmp_path: Path) -> None:
    path = tmp_path / "f.txt"
    path.write_text("old")
    with atomic_write(path) as draft:
        draft.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_what_goes_wrong_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "f.txt"
    path.write_text("old")
    with pytest.raises(UnicodeEncodeError), atomic_write(path) as draft, draft.open("w", encoding="ascii") as file:
        file.writelines(["half", "ö"])
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_links_and_pipes_keep_their_place(tmp_path: Path) -> None:
    target, link, pipe = tmp_path / "f.txt", tmp_path / "link", tmp_path / "pipe"
    target.write_text("old")
    link.symlink_to(target)
    with atomic_write(link) as path:
        path.write_text("new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    with atomic_write(pipe) as path:
        path.write_text("through")
    reader.join(30)
    assert read == ["through"]
    assert pipe.is_fifo()
