"""Whatever SQL `planner sql` is given: an answer or one line, soon, and nothing outside the store is read or written.
`make fuzz` runs all statements instead of a tenth."""

import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from planner.store import Store
from tests.conftest import Cli
from tests.helpers.statements import ANSWERED, ENDLESS, REFUSED, lines_of

STEP = 1 if os.environ.get("PLANNER_TEST_STATEMENTS") == "all" else 10
SECRET = "what is not to be read"
LONGEST_S = 60
"""Bound on a hang: a busy machine takes seconds where an idle one takes two."""


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder with files that a query could want."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret.txt").write_text(SECRET)
    (folder / "secret.csv").write_text(f"a\n{SECRET}\n")
    duckdb.connect(str(folder / "other.duckdb")).close()
    return folder


def files_below(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_size for path in folder.rglob("*")}


def test_what_is_no_reading_or_is_wrong_is_refused_in_one_line(planned: Store, outside: Path, cli: Cli) -> None:
    before, content = files_below(outside.parent), planned.path.read_bytes()
    for statement in lines_of(REFUSED)[::STEP]:
        text = statement.format(folder=outside)
        result = cli("sql", text, "--format", "json")
        assert (result.code, result.out, result.err.count("\n")) == (1, "", 1), (text, result)
        assert SECRET not in result.err
        assert "Traceback" not in result.err
    assert files_below(outside.parent) == before
    assert planned.path.read_bytes() == content


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT metadata FROM run",
        "SELECT checksum FROM run",
        "SELECT error('corrupt')",
        "SELECT CAST('corrupted' AS INTEGER)",
    ],
)
def test_words_of_a_users_own_error_are_no_damage(planned: Store, cli: Cli, statement: str) -> None:
    result = cli("sql", statement)
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert "Error: " in result.err
    assert "damaged" not in result.err


@pytest.mark.parametrize("format_name", ["table", "csv", "json"])
def test_every_type_and_name_is_printed(planned: Store, cli: Cli, format_name: str) -> None:
    for statement in lines_of(ANSWERED)[::STEP]:
        text = statement.format().replace("\\n", "\n")
        result = cli("sql", text, "--format", format_name)
        assert (result.code, result.err) == (0, ""), (text, result.err)
        if format_name != "csv":
            assert not any(each in result.out for each in ("\x1b", "\x00", "\u202e"))


@pytest.mark.parametrize("statement", lines_of(ENDLESS)[::STEP])
def test_what_does_not_end_is_ended(planned: Store, statement: str) -> None:
    """In a process of its own, as some end only with it."""
    words = ["sql", statement, "--timeout", "1", "--memory-limit", "400", "--format", "csv"]
    done = subprocess.run(
        [sys.executable, "-m", "planner", *words], capture_output=True, text=True, timeout=LONGEST_S, check=False
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.stderr
    assert "--timeout 1 s" in done.stderr or "--memory-limit 400" in done.stderr
