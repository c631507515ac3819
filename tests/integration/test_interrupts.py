"""Ctrl-C ends what a command is doing in seconds, with one line, and nothing is half-written. Signals are real."""

import os
import signal
import subprocess
import sys
import time
from contextlib import AbstractContextManager
from itertools import pairwise
from math import inf
from pathlib import Path
from typing import Any

import pytest

from planner.store import Store
from planner.store.database import locked_down
from tests.conftest import Cli, minute_log

LONGEST_S = 20
"""Bound on a hang."""
TRIES = 3
"""The fastest of so many ends is judged: other tests run beside it."""
LINE = "planner: interrupted; no result was stored\n"
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def computed_s(number: int) -> float:
    """Seconds that a process has computed so far, in all its threads."""
    fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def interrupted(*words: str, after_cpu_s: float = 2.5) -> tuple[int, str, float]:
    """The exit code of a command that gets a SIGINT, what it says, and how long it still runs.

    after_cpu_s: seconds of computing by which it is in the middle of its work: to start takes one.
    """
    with subprocess.Popen(
        [sys.executable, "-m", "planner", *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        while process.poll() is None and computed_s(process.pid) < after_cpu_s:
            time.sleep(0.02)
        assert process.poll() is None, "it has ended before it could be interrupted"
        begin = time.monotonic()
        process.send_signal(signal.SIGINT)
        try:
            message = process.communicate(timeout=LONGEST_S)[1]
        finally:
            process.kill()
    return process.returncode, message, time.monotonic() - begin


@pytest.mark.parametrize(
    "query",
    [
        "SELECT count(*) FROM range(10000000) a(x), range(10000000) b(y) WHERE (x * y) % 7 = 3",
        "SELECT x FROM range(2000000000) a(x) ORDER BY hash(x)",
        # one value, in which DuckDB cannot be interrupted: the process ends without it
        "SELECT levenshtein(repeat('ab', 100000), repeat('ba', 100000))",
    ],
)
def test_a_query_ends_within_a_second(planned: Store, query: str) -> None:
    took_s: list[float] = []
    while len(took_s) < TRIES and min(took_s, default=inf) >= 1:
        code, message, still_s = interrupted("sql", query)
        assert (code, message) == (130, LINE)
        took_s.append(still_s)
    assert min(took_s) < 1, took_s


def test_an_import_ends_and_leaves_no_trace(tmp_path: Path, cli: Cli) -> None:
    rows = "".join(f"{second},5,3\n" for second in range(1000))
    (tmp_path / "long.csv").write_text("arrival,input_tokens,output_tokens\n" + rows * 3000)
    minute_log(tmp_path / "l.csv", [(5, 5)] * 3)
    assert cli("trace", "import", "l.csv", "--name", "short").code == 0
    assert interrupted("trace", "import", "long.csv", "--name", "long", after_cpu_s=2.2)[:2] == (130, LINE)
    assert [trace["trace"] for trace in cli("trace", "list", "--json").json] == ["short"]


def test_an_expansion_of_a_part_ends_and_leaves_no_trace(tmp_path: Path, cli: Cli) -> None:
    head = "window_start,window_end,requests,input_tokens,output_tokens\n"
    minutes = [f"2025-03-01T{at // 60:02d}:{at % 60:02d}:00Z" for at in range(121)]
    windows = "".join(f"{begin},{end},1000000,9000000,5000000\n" for begin, end in pairwise(minutes))
    (tmp_path / "w.csv").write_text(head + windows)
    assert cli("trace", "import", "w.csv", "--name", "w").code == 0
    part = ("--to", "part", "--from", minutes[30])
    assert interrupted("trace", "expand", "w", *part)[:2] == (130, LINE)
    assert [trace["trace"] for trace in cli("trace", "list", "--json").json] == ["w"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["planner.duckdb", "w.csv"]


def test_the_deadline_of_a_query_names_the_limit_and_the_cure(planned: Store, cli: Cli) -> None:
    endless = "SELECT count(*) FROM range(10000000) a(x), range(10000000) b(y) WHERE (x * y) % 7 = 3"
    result = cli("sql", endless, "--timeout", "0.3")
    assert (result.code, result.out) == (1, "")
    assert result.err == (
        "planner: the query was stopped after --timeout 0.3 s; narrow it, or give it more time with --timeout\n"
    )
    assert cli("sql", "SELECT 1 AS one", "--json").json == [{"one": 1}], "the store can be used again"


def test_the_time_of_a_query_begins_once_nobody_else_has_the_store(
    planned: Store, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(*words: Any, **limits: Any) -> AbstractContextManager[Any]:
        time.sleep(0.5)
        return locked_down(*words, **limits)

    monkeypatch.setattr("planner.store.adhoc.locked_down", late)
    assert cli("sql", "SELECT 1 AS one", "--timeout", "0.4", "--json").json == [{"one": 1}]
    endless = "SELECT count(*) FROM range(10000000) a(x), range(10000000) b(y) WHERE (x * y) % 7 = 3"
    assert "was stopped after --timeout 0.4 s" in cli("sql", endless, "--timeout", "0.4").err


@pytest.mark.parametrize(
    ("words", "cure"),
    [
        (("--timeout", "0"), "--timeout 0: give seconds, more than 0 and at most 86,400"),
        (("--timeout", "nan"), "give seconds"),
        (("--timeout", "1e30"), "give seconds"),
        (("--memory-limit", "1"), "--memory-limit 1: give MiB, from 64 to 1,048,576"),
    ],
)
def test_limits_that_cannot_be_are_refused(planned: Store, cli: Cli, words: tuple[str, ...], cure: str) -> None:
    result = cli("sql", "SELECT 1", *words)
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert cure in result.err


def test_a_result_takes_no_more_memory_than_the_query(planned: Store, cli: Cli) -> None:
    result = cli("sql", "SELECT repeat('x', 1000) AS x FROM range(1000000)", "--memory-limit", "64", "--format", "csv")
    assert (result.code, result.out) == (1, "")
    assert result.err == ("planner: the query needs more than --memory-limit 64 (MiB); narrow it, or raise the limit\n")
    counted = cli("sql", "SELECT repeat('x', 1000) AS x FROM range(1000000)", "--memory-limit", "64").out
    assert "999,800 more rows" in counted, "a table keeps what it shows"
