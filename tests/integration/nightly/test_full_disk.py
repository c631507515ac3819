"""Nights on a disk that is really full: a small file system in memory, which is given room before the second try."""

import json
import os
import shutil
import subprocess
import sys
from datetime import time, timedelta
from pathlib import Path

import pytest

from planner.store import Store, published_path
from tests.helpers.nights import FIRST, days, night, write_jobs, write_log

SCRIPT = """
set -e
mount -t tmpfs -o size="$1"k tmpfs disk
cp -r inputs/. disk
cd disk
code=0; "$2" -m planner schedule run-due --jobs jobs.toml --now "$3" 2> ../first.err || code=$?
mount -o remount,size=200m .
again=0; "$2" -m planner schedule run-due --jobs jobs.toml --now "$4" 2> ../second.err || again=$?
cp -r . ../kept
echo "$code $again"
"""


def can_mount() -> bool:
    """Whether this process may mount a file system of its own."""
    if shutil.which("unshare") is None:
        return False
    words = ["unshare", "-m", "sh", "-c", "mount -t tmpfs tmpfs /mnt"]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


@pytest.mark.slow
def test_a_full_disk_is_told_and_the_next_run_finishes(tmp_path: Path) -> None:
    if not can_mount():
        pytest.skip("needs the right to mount a file system")
    # `make nights` tries more sizes: the disk is full in another step for each
    for size in range(4500, 4500 + 1500 * int(os.environ.get("PLANNER_TEST_DISKS", "1")), 1500):
        night_on(tmp_path / str(size), size)


def night_on(folder: Path, size: int) -> None:
    """A night on a disk of so many KiB, and another try with room."""
    inputs, told = folder / "inputs", folder / "told.jsonl"
    inputs.mkdir(parents=True)
    (folder / "disk").mkdir()
    for day in days(FIRST - timedelta(days=2), 2):
        write_log(inputs, day)
    write_jobs(inputs, "retry_s = 0", f"[notify]\ncommand = ['sh', '-c', 'cat >> {told}; echo >> {told}']")
    moments = [night(FIRST, at).isoformat() for at in (time(3), time(4))]
    words = ["unshare", "-m", "sh", "-c", SCRIPT, "sh", str(size), sys.executable, *moments]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    first, second = ((folder / f"{name}.err").read_text() for name in ("first", "second"))
    assert done.stdout.split() == ["1", "0"], (size, done.stderr, first, second)
    documents = [json.loads(line) for line in told.read_text().splitlines() if line]
    assert documents
    for document in documents:
        assert document["status"] == "failed"
        assert "free some space" in document["message"]
    assert "Traceback" not in first + second
    kept = folder / "kept"
    for path in (kept / "planner.duckdb", published_path(kept / "planner.duckdb")):
        with Store(path).read() as session:
            (row,) = session.rows("job_runs")
            assert (row["status"], row["run_id"]) == ("done", "run-00001")
            assert len(session.rows("run_intervals", run_id="run-00001")) == 24
    assert (kept / "nightly" / "n" / str(FIRST) / "index.html").is_file()
    assert f'href="n/{FIRST}/index.html"' in (kept / "nightly" / "index.html").read_text()
