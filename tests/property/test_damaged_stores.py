"""However a store is damaged, every command gives an answer or one line, and never a traceback. `make fuzz` damages it
100 times instead of ten, and runs all commands on each instead of a third."""

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from planner.store import Store
from tests.conftest import SMALL, Cli, minute_log, run_command

FEW = 10
CORRUPTIONS = int(os.environ.get("PLANNER_TEST_CORRUPTIONS", FEW))
HEADERS, BLOCK = 3 * 4096, 1 << 18
"""A DuckDB file: three headers, then blocks, each with a checksum of its own."""
SETS = tuple(word for setting in SMALL for word in ("--set", setting))
COMMANDS: tuple[tuple[str, ...], ...] = (
    ("run", "list"),
    ("run", "show"),
    ("run", "diff", "run-00001", "run-00002"),
    ("trace", "list"),
    ("trace", "show", "t"),
    ("trace", "export", "t", "--out", "t.csv"),
    ("sql", "SELECT * FROM request"),
    ("sql", "SELECT count(COLUMNS(*)) FROM plan_interval", "--json"),
    ("sql", "--name", "run_hours", "--format", "csv"),
    ("sql", "--name", "trace_lengths", "--param", "trace_id=t"),
    ("plan", "--trace", "t", *SETS),
    ("pricing", "--trace", "t", *SETS),
    ("compare", "--trace", "t", *SETS),
    ("forecast", "--trace", "t", *SETS),
    ("export", "--to", "csv"),
    ("report", "--out", "r"),
    ("schedule", "history"),
    ("doctor",),
    ("trace", "import", "l.csv", "--name", "u"),
    ("trace", "delete", "t"),
    ("run", "delete", "run-00001"),
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
    """A store with a trace and two plans of it."""
    folder = tmp_path_factory.mktemp("whole")
    log = minute_log(folder / "l.csv", [(300 + 10 * minute, 200) for minute in range(60)])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert run_command(patch, "trace", "import", str(log), "--name", "t").code == 0
        for _ in range(2):
            result = run_command(patch, "plan", "--trace", "t", *SETS)
            assert result.code == 0, result.err
    return (folder / "planner.duckdb").read_bytes()


@pytest.mark.parametrize("seed", range(CORRUPTIONS))
def test_no_command_fails_otherwise_than_in_one_line(seed: int, whole: bytes, tmp_path: Path, cli: Cli) -> None:
    chance = random.Random(seed)
    data = bytearray(whole)
    WAYS[seed % len(WAYS)](data, chance)
    minute_log(tmp_path / "l.csv", [(5, 5)] * 3)
    path = tmp_path / "planner.duckdb"
    for words in COMMANDS if CORRUPTIONS > FEW else chance.sample(COMMANDS, len(COMMANDS) // 3):
        if not path.exists() or path.read_bytes() != data:
            path.write_bytes(data)
        Path(f"{path}.wal").unlink(missing_ok=True)
        result = cli(*words, "--db", str(path))
        assert result.code in (0, 1, 2, 3), words
        if result.code in (1, 2):
            lines = [line for line in result.err.splitlines() if not line.startswith("planner: note: ")]
            assert len(lines) == 1, (words, result.err)
            assert "Stack Trace" not in result.err


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
