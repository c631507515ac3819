"""Killed or told to end at any point, every command that writes leaves whole results only: what was being made is gone
at once after a signal, and at the next start after a kill. `make fuzz` does ten times as many."""

import gzip
import json
import os
import random
import signal
import tempfile
import time
import tomllib
from collections import Counter
from datetime import date
from itertools import count
from pathlib import Path

import polars as pl
import pytest

from planner.store import Store
from tests.conftest import SMALL, Cli, minute_log
from tests.helpers.nights import days, night, write_jobs, write_log
from tests.helpers.processes import Started, started

KILLS = int(os.environ.get("PLANNER_TEST_KILLS", "18"))
SIGNALS = KILLS // 2
WORDS = {signal.SIGTERM: "terminated", signal.SIGINT: "interrupted", signal.SIGHUP: "hung up"}
SETS = tuple(word for setting in SMALL for word in ("--set", setting))
SMALL_PLAN = ("--trace", "small", *SETS)
FIRST = date(2025, 3, 2)
WHOLE = """
SELECT
    (SELECT count(*) FROM run) = (SELECT count(DISTINCT run_id) FROM plan_interval),
    (SELECT count(*) FROM plan_interval) = (SELECT count(*) FROM ledger_interval),
    (SELECT coalesce(sum(arrived), 0)::BIGINT FROM replay_run) = (SELECT count(*) FROM replay_request),
    (SELECT coalesce(sum(row_count), 0)::BIGINT FROM trace) = (SELECT count(*) FROM request),
    (SELECT count(*) FROM trace) = (SELECT count(*) FROM duckdb_tables() WHERE schema_name = 'trace_data'),
    (SELECT count(*) FROM job_run WHERE status = 'done') <= (SELECT count(*) FROM run WHERE kind = 'nightly'),
    (SELECT count(DISTINCT logical_date) FROM run WHERE kind = 'nightly') =
        (SELECT count(*) FROM run WHERE kind = 'nightly'),
"""


class Place:
    """A folder in which commands are ended at random moments."""

    def __init__(self, folder: Path, cli: Cli, seed: int) -> None:
        self.folder, self.cli = folder, cli
        self.random = random.Random(seed)
        self.longest_s: Counter[str] = Counter()
        self.visits: Counter[str] = Counter()
        self.next_names = count()

    def fill(self, nights: int) -> None:
        """A store with a trace and a plan, logs of several kinds, and a nightly job."""
        log = minute_log(self.folder / "log.csv", [(300 + i % 7 * 40, 300 + i % 5 * 30) for i in range(60)])
        pl.read_csv(log).write_parquet(self.folder / "log.parquet")
        (self.folder / "log.parquet.gz").write_bytes(gzip.compress((self.folder / "log.parquet").read_bytes()))
        for name in ("tmp", "out"):
            (self.folder / name).mkdir()
        for day in days(FIRST.replace(day=1), nights + 2):
            write_log(self.folder, day)
        write_jobs(self.folder, f"first = {FIRST}\nexport = [{{ to = 'csv', path = 'plans/{{date}}.csv' }}]")
        assert self.cli("trace", "import", "log.csv", "--format", "csv", "--name", "small").code == 0
        assert self.cli("plan", *SMALL_PLAN).code == 0

    def words(self, name: str) -> tuple[str, ...]:
        """A command that writes, with names of its own for what it writes."""
        self.visits[name] += 1
        number = self.visits[name]
        reading = ("trace", "import", "--name", f"{name}{number}", "--format")
        commands: dict[str, tuple[str, ...]] = {
            "generate": ("trace", "generate", "--scale", "0.0005", "--name", f"generated{number}"),
            "import": (*reading, "csv", "log.csv"),
            "parquet": (*reading, "parquet", "log.parquet"),
            "packed": (*reading, "parquet", "log.parquet.gz"),
            "store": (*reading, "csv", "log.csv", "--db", f"new{number}.duckdb"),
            "plan": ("plan", *SMALL_PLAN, "--set", f"fleet.nodes={12 + 3 * (number % 7)}"),
            "replay": ("replay", "--set", "trace.demand_factor=0.001", "--set", "trace.scale=0.1", "--keep-requests"),
            "report": ("report", "run-00001", "--out", "out/report"),
            "export": ("export", "run-00001", "--to", "json", "--out", "out/plan.json"),
            "trace export": ("trace", "export", "small", "--out", "out/small.csv"),
            "init": ("scenario", "init", "--out", f"out/scenario{number}.toml"),
            "compare": ("compare", *SMALL_PLAN),
            "optimize": ("optimize", *SMALL_PLAN, "--save", "out/best.csv"),
            "sweep": ("sweep", *SMALL_PLAN, "--cases", "20", "--out", "out/sweep"),
            "night": ("schedule", "run-due", "--now", night(days(FIRST, number)[-1]).isoformat()),
        }
        return commands[name]

    def end(self, name: str, number: signal.Signals) -> tuple[int, str]:
        """Start a command and send it a signal at a random moment; its exit code and messages."""
        message = self.folder / "tmp" / "messages"
        message.unlink(missing_ok=True)
        with started(*self.words(name), err=message) as process:
            process.wait_until(message)
            begin = time.monotonic()
            time.sleep(self.random.uniform(0.0, self.longest_s[name] or 1.0))
            process.send(number)
            code = process.wait()
            took_s = time.monotonic() - begin
        text = message.read_text()
        message.unlink()
        if code == 0:
            # it was faster: signals come earlier the next time
            self.longest_s[name] = took_s
        return code, text

    def start(self) -> None:
        """An ordinary start: one command that reads the store, and one that writes into the folder of files."""
        assert self.cli("trace", "list").code == 0
        assert self.cli("scenario", "init", "--out", f"out/next{next(self.next_names)}.toml").code == 0
        for folder in (path for path in self.folder.rglob("*") if path.is_dir() and "nightly" not in path.parts):
            if any(path.name.startswith(".") for path in folder.iterdir()):
                # the next report is written there
                assert (
                    self.cli("scenario", "init", "--out", str(folder / f"next{next(self.next_names)}.toml")).code == 0
                )
        if any(path.name.startswith(".") for path in (self.folder / "nightly").rglob("*")):
            # a look at a time at which nothing is due
            assert self.cli("schedule", "run-due", "--now", night(FIRST.replace(day=1)).isoformat()).code == 0

    def left(self) -> list[str]:
        """What is hidden, or temporary, but for the lock of the nightly service."""
        hidden = [path for path in self.folder.rglob(".*") if path.name != ".planner.duckdb.scheduler"]
        return sorted(str(path.relative_to(self.folder)) for path in (*hidden, *(self.folder / "tmp").iterdir()))

    def check(self) -> None:
        """Every store opens and has whole traces, runs and nights, and every file is complete."""
        for path in self.folder.glob("*.duckdb"):
            with Store(path, wait_s=10).read() as session:
                (row,) = session.connection.execute(WHOLE).fetchall()
            # a published copy has no requests
            assert all(row if "published" not in path.name else row[:2]), (path, row)
        for path in self.folder.rglob("*"):
            if path.is_file() and not path.name.startswith(".") and path.suffix in ENDS:
                content = path.read_bytes()
                assert content.rstrip(b"\n").endswith(ENDS[path.suffix]), path
                if path.suffix == ".json":
                    json.loads(content)
                if path.suffix == ".toml":
                    tomllib.loads(content.decode())


ENDS = {
    ".html": b"</html>",
    ".svg": b"</svg>",
    ".png": b"IEND\xaeB`\x82",
    ".csv": b"",
    ".json": b"}",
    ".toml": b"",
}
NAMES = (
    *("store", "import", "report", "plan", "packed", "night", "replay", "export", "sweep", "generate"),
    *("init", "night", "parquet", "optimize", "trace export", "import", "compare", "plan"),
)


@pytest.fixture
def place(tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Place:
    # the server that forks planners has a temporary folder of its own
    assert Started("--version").wait() == 0
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    made = Place(tmp_path, cli, seed=KILLS)
    made.fill(nights=KILLS // 3 + 2)
    return made


@pytest.mark.slow
def test_a_kill_leaves_whole_results_and_the_next_start_leaves_nothing_else(place: Place) -> None:
    killed = 0
    for number in range(KILLS):
        code, _ = place.end(NAMES[number % len(NAMES)], signal.SIGKILL)
        killed += code == -signal.SIGKILL
        place.check()
        place.start()
        assert place.left() == [], NAMES[number % len(NAMES)]
    assert killed >= KILLS // 2


@pytest.mark.slow
def test_a_signal_leaves_whole_results_and_nothing_else(place: Place) -> None:
    ended = 0
    for number in range(SIGNALS):
        name, sent = NAMES[number % len(NAMES)], list(WORDS)[number % len(WORDS)]
        code, text = place.end(name, sent)
        place.check()
        assert place.left() == [], name
        assert "Traceback" not in text
        if code == 128 + sent:
            ended += 1
            assert text.splitlines()[-1] == f"planner: {WORDS[sent]}; no result was stored"
        elif name == "night":
            # it ends in an orderly way
            assert code in (0, 1, -sent)
        else:
            # it had ended already, or had not begun
            assert code in (0, -sent), (name, text)
    assert ended >= SIGNALS // 3
