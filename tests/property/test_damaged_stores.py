"""However a store is damaged, every command gives an answer or one line, and never a traceback. `make fuzz` damages it
100 times instead of ten, and runs all commands on each instead of a tenth of them."""

import json
import os
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer

from planner.cli.app import app
from planner.store import Store
from tests.conftest import SMALL, Cli, minute_log, run_command
from tests.helpers.hostile import bounded, commands
from tests.helpers.logs import MOONCAKE
from tests.helpers.nights import FIRST, night, write_jobs, write_log

FEW = 10
CORRUPTIONS = int(os.environ.get("PLANNER_TEST_CORRUPTIONS", FEW))
HEADERS, BLOCK = 3 * 4096, 1 << 18
"""A DuckDB file: three headers, then blocks, each with a checksum of its own."""
SETS = tuple(word for setting in SMALL for word in ("--set", setting))
OWN = (
    *("--model", "llama-3.1-70b", "--node", "h100", "--nodes", "28", "--timezone", "UTC"),
    *("--gpu-usd-per-hour", "2.10", "--usd-per-million", "0.40,0.10,1.60"),
)
MIXED = """
name = "both"
description = "Twice the same"
split = "proportional"
pool = [{ name = "a", scenario = "deepseek-2025-02-27" }, { name = "b", scenario = "deepseek-2025-02-27" }]
"""
PLANNED = ("--trace", "t", *SETS)
COMMANDS: tuple[tuple[str, ...], ...] = (
    ("run", "list"),
    ("run", "show"),
    ("run", "diff", "run-00001", "run-00002"),
    ("trace", "list"),
    ("trace", "show", "t"),
    ("trace", "export", "t", "--out", "t.csv"),
    ("trace", "expand", "windows", "--to", "requests"),
    ("trace", "generate", "--scale", "0.0001", "--name", "drawn"),
    ("sql", "SELECT * FROM request"),
    ("sql", "SELECT count(COLUMNS(*)) FROM plan_interval", "--json"),
    ("sql", "--name", "run_hours", "--format", "csv"),
    ("sql", "--name", "trace_lengths", "--param", "trace_id=t"),
    ("plan", *PLANNED),
    ("pricing", *PLANNED),
    ("compare", *PLANNED),
    ("optimize", *PLANNED, "--time-limit", "0.1"),
    ("sweep", *PLANNED, "--cases", "2"),
    ("replay", "--trace", "t", "--keep-requests"),
    ("resilience", *PLANNED),
    ("forecast", "--trace", "days", *SETS, "--set", "interval_s=3600"),
    ("capacity", "cache", "blocks"),
    ("scenario", "init", "--trace", "t", *OWN, "--out", "own.toml"),
    ("config", "show"),
    ("export", "--to", "csv"),
    ("report", "--out", "r"),
    ("schedule", "run-due", "--jobs", "jobs.toml", "--now", night(FIRST).isoformat()),
    ("schedule", "history"),
    ("doctor",),
    ("trace", "import", "l.csv", "--name", "u"),
    ("trace", "delete", "t"),
    ("run", "delete", "run-00001"),
    ("mixed", "plan", "mixed.toml", *PLANNED),
    ("mixed", "replay", "mixed.toml", "--trace", "t"),
)

Corruption = Callable[[bytearray, random.Random], None]


def overwrite(data: bytearray, start: int, by: bytes) -> None:
    data[start : start + len(by)] = by[: len(data) - start]


def cut(data: bytearray, chance: random.Random) -> None:
    del data[chance.randrange(len(data)) :]


def one_bit(data: bytearray, chance: random.Random) -> None:
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def many_bytes(data: bytearray, chance: random.Random) -> None:
    for _ in range(chance.choice([10, 100, 1000])):
        data[chance.randrange(len(data))] = chance.randrange(256)


def a_header(data: bytearray, chance: random.Random) -> None:
    data[chance.randrange(HEADERS)] = chance.randrange(256)


def zeros(data: bytearray, chance: random.Random) -> None:
    overwrite(data, chance.randrange(len(data) // 4096) * 4096, bytes(4096 * chance.choice([1, 4, 64])))


def garbage(data: bytearray, chance: random.Random) -> None:
    overwrite(data, chance.randrange(len(data)), chance.randbytes(chance.choice([16, 512, 5000])))


def blocks_swapped(data: bytearray, chance: random.Random) -> None:
    """Which no checksum tells."""
    one, other = (HEADERS + BLOCK * chance.randrange((len(data) - HEADERS) // BLOCK) for _ in range(2))
    first, second = bytes(data[one : one + BLOCK]), bytes(data[other : other + BLOCK])
    overwrite(data, one, second)
    overwrite(data, other, first)


def a_block_twice(data: bytearray, chance: random.Random) -> None:
    one, other = (HEADERS + BLOCK * chance.randrange((len(data) - HEADERS) // BLOCK) for _ in range(2))
    overwrite(data, one, bytes(data[other : other + BLOCK]))


WAYS: tuple[Corruption, ...] = (
    cut,
    one_bit,
    many_bytes,
    a_header,
    zeros,
    garbage,
    blocks_swapped,
    a_block_twice,
)


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A store with a trace and two plans of it, one with prefix blocks, one of windows, and one of two days."""
    folder = tmp_path_factory.mktemp("whole")
    minute_log(folder / "t.csv", [(300 + 10 * minute, 200) for minute in range(60)])
    (folder / "blocks.jsonl").write_text("\n".join(json.dumps(row) for row in MOONCAKE))
    begins = [datetime(2025, 3, 1, tzinfo=UTC) + timedelta(hours=hour) for hour in range(49)]
    windows = [f"{at.isoformat()},{end.isoformat()},2,90,0,30" for at, end in pairwise(begins)]
    head = "window_start,window_end,requests,input_tokens,cached_input_tokens,output_tokens"
    (folder / "windows.csv").write_text("\n".join([head, *windows]))
    (folder / "days.csv").write_text(
        "\n".join(["arrival,input_tokens,output_tokens", *(f"{at.isoformat()},9,3" for at in begins)])
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for file in ("t.csv", "blocks.jsonl", "windows.csv", "days.csv"):
            result = run_command(patch, "trace", "import", file, "--name", Path(file).stem)
            assert result.code == 0, result.err
        for _ in range(2):
            result = run_command(patch, "plan", "--trace", "t", *SETS)
            assert result.code == 0, result.err
        content = (folder / "planner.duckdb").read_bytes()
        # what is compiled once in a checkout is compiled before calls are bounded
        result = run_command(patch, "replay", "--trace", "t", "--keep-requests")
        assert result.code == 0, result.err
    return content


@pytest.fixture
def place(whole: bytes, tmp_path: Path) -> Path:
    """The store's file, beside a log to import and a night to do."""
    minute_log(tmp_path / "l.csv", [(5, 5)] * 3)
    write_log(tmp_path, FIRST - timedelta(days=1))
    write_jobs(tmp_path)
    (tmp_path / "mixed.toml").write_text(MIXED)
    (tmp_path / "planner.duckdb").write_bytes(whole)
    return tmp_path / "planner.duckdb"


def test_every_command_that_opens_a_store_is_among_them() -> None:
    """But for the service, which is the same nights until a signal comes, and the page, which goes on and says so."""
    opening = {words for words, command in commands(typer.main.get_command(app)) if has_store(command)} - {("serve",)}
    assert opening - {words for call in COMMANDS for words in (call[:1], call[:2])} == set()


def has_store(command: Any) -> bool:
    return any(parameter.name == "db" for parameter in command.params)


@pytest.mark.parametrize(
    "words", COMMANDS if CORRUPTIONS > FEW else COMMANDS[::FEW], ids=lambda words: " ".join(words[:2])
)
def test_they_are_right_where_the_store_is_sound(words: tuple[str, ...], place: Path, cli: Cli) -> None:
    result = cli(*words, "--db", str(place))
    assert result.code in (0, 3), result.err


@pytest.mark.parametrize("seed", range(CORRUPTIONS))
def test_no_command_fails_otherwise_than_in_one_line(seed: int, whole: bytes, place: Path, cli: Cli) -> None:
    data = bytearray(whole)
    WAYS[seed % len(WAYS)](data, random.Random(seed))
    for words in COMMANDS if CORRUPTIONS > FEW else COMMANDS[seed % FEW :: FEW]:
        if not place.exists() or place.read_bytes() != data:
            place.write_bytes(data)
        Path(f"{place}.wal").unlink(missing_ok=True)
        with bounded((seed, words)):
            result = cli(*words, "--db", str(place))
        assert result.code in (0, 1, 2, 3), words
        assert "Traceback" not in result.err, (words, result.err)
        assert "Stack Trace" not in result.err, (words, result.err)
        if result.code in (1, 2):
            assert len(failures(result.err)) == 1, (seed, words, result.err)


def failures(err: str) -> list[str]:
    """What a command says that is no note. Of a night, which logs a line an event in JSON, its last word."""
    lines = [line for line in err.splitlines() if not line.startswith("planner: note: ")]
    events = [json.loads(line) for line in lines if line.startswith("{")]
    assert not any("traceback" in event for event in events), events
    told = [line for line in lines if not line.startswith("{")]
    return told or [str(event["message"]) for event in events if event["event"] == "failed"]


def test_damage_that_is_met_while_reading_is_named_with_a_cure(whole: bytes, tmp_path: Path, cli: Cli) -> None:
    """Every block of data is overwritten, and the first one that is read says so."""
    data = bytearray(whole)
    for start in range(HEADERS, len(data), BLOCK):
        overwrite(data, start + BLOCK // 2, b"\xff" * 64)
    (tmp_path / "planner.duckdb").write_bytes(data)
    for words in (("run", "list"), ("sql", "SELECT * FROM request"), ("trace", "list")):
        result = cli(*words)
        assert (result.code, result.err.count("\n")) == (1, 1)
        assert "planner.duckdb: is damaged and cannot be read" in result.err
        assert "restore it from a backup, or name another file with --db" in result.err


def test_a_fault_of_ours_on_a_sound_store_keeps_its_traceback(planned: Store) -> None:
    with pytest.raises(ValueError, match="ours"), planned.read():
        raise ValueError("ours")
    with pytest.raises(ValueError, match="ours"), planned.write():
        raise ValueError("ours")
