"""Mooncake traces and their kin: what no single row tells is told by all of them, or by an option, and said."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from planner.errors import UsageError
from planner.store import Store
from planner.trace.documents import ImportAccount
from tests.conftest import Cli
from tests.helpers.imports import imported, requests_of, write

START = datetime(2026, 11, 2, tzinfo=UTC)
START_US = 1_793_577_600_000_000
US = 1_000_000


def log(tmp_path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    return write(tmp_path / "m.jsonl", "\n".join(map(json.dumps, rows)) + "\n")


def timed(tmp_path: Path, times: Sequence[object]) -> Path:
    return log(tmp_path, [{"timestamp": at, "input_length": 9, "output_length": 1, "hash_ids": [0]} for at in times])


def read(store: Store, path: Path, **options: object) -> ImportAccount:
    return imported(store, path, "mooncake", **{"start": START, **options})


def arrivals(store: Store) -> list[int]:
    """Microseconds from the start."""
    return [row[0] - START_US for row in requests_of(store)]


@pytest.mark.parametrize(
    ("times", "unit", "told"),
    [
        ([0, 27482, 30535], "ms", "which 3 rows are too few to tell; if they are seconds, give --time-unit s"),
        ([at * 1000 for at in range(50)], "ms", ""),  # more than a quarter of an hour between two, if it were seconds
        (list(range(50)), "ms", "which 50 rows are too few to tell"),
        ([0.0, 0.2, 3600.4], "s", "because they have fractions"),
        (["0.25", "1.5"], "s", "because they have fractions"),
        ([0.5, 9_000_000.25], "ms", "in seconds half of the requests would come more than 9,000,000 s after"),
        ([at * 153.846 for at in range(40)], "ms", "in seconds half of the requests would come more than 154 s after"),
        ([at * 1.5 for at in range(40)], "s", "because they have fractions"),
        ([0, 1, 2], "ms", "which 3 rows are too few to tell"),
        ([at // 3 for at in range(300)], "s", "because in ms there would be 3,020 requests a second"),
        ([at * 4 for at in range(300)], "ms", "with 250 requests a second; if they are seconds, give --time-unit s"),
        ([at * 150 for at in range(300)], "ms", ""),
    ],
)
def test_rows_tell_the_unit_of_times(store: Store, tmp_path: Path, times: list[Any], unit: str, told: str) -> None:
    account = read(store, timed(tmp_path, times))
    scale = US if unit == "s" else 1000
    assert arrivals(store) == pytest.approx([float(at) * scale for at in times], abs=1)
    assert told in " ".join(account.notes)
    assert bool(account.notes) == bool(told)


@pytest.mark.parametrize(("unit", "unit_us"), [("s", US), ("ms", 1000), ("us", 1)])
def test_a_stated_unit_is_taken(store: Store, tmp_path: Path, unit: str, unit_us: int) -> None:
    account = read(store, timed(tmp_path, [0, 2, 7.5]), time_unit=unit)
    assert arrivals(store) == [0, 2 * unit_us, -(-7.5 * unit_us // 1)]
    assert account.notes == ()


def test_times_since_1970_are_what_they_are(store: Store, tmp_path: Path) -> None:
    at_ms = START_US // 1000
    imported(store, timed(tmp_path, [at_ms, at_ms + 250]), "mooncake")
    assert arrivals(store) == [0, 250_000]


def test_times_far_from_the_start_are_refused(store: Store, tmp_path: Path) -> None:
    account = read(store, timed(tmp_path, [0, START_US // 1000]), is_started=True)
    assert account.rows_imported == 1
    (reason,) = account.rejects
    assert "more than ten years from --start" in reason


@pytest.mark.parametrize("size", [16, 64, 100, 512, 1024])
def test_rows_tell_the_size_of_blocks(store: Store, tmp_path: Path, size: int) -> None:
    tokens = [5 * size, 3 * size + 1, 8 * size - 1, 7 * size + 1]
    ids = [list(range(-(-count // size))) for count in tokens]
    rows = [
        {"timestamp": at, "input_length": count, "output_length": 1, "hash_ids": own}
        for at, (count, own) in enumerate(zip(tokens, ids, strict=True))
    ]
    account = read(store, log(tmp_path, rows))
    assert (account.block_tokens, account.rows_imported) == (size, 4)
    told = f"prefix blocks have {size:,} tokens, the only size that fits the ids of all rows"
    assert told in " ".join(account.notes) or size == 512
    assert [row[2] for row in requests_of(store)] == [0, 3 * size + 1, 5 * size, 7 * size + 1]


def test_the_usual_size_is_taken_where_it_fits(store: Store, tmp_path: Path) -> None:
    account = read(store, log(tmp_path, [{"timestamp": 0, "input_length": 300, "output_length": 1, "hash_ids": [7]}]))
    assert (account.block_tokens, account.notes) == (512, ())


def test_rows_that_the_size_of_most_does_not_fit_are_refused(store: Store, tmp_path: Path) -> None:
    lengths = [(64, 4), (100, 7), (17, 2), (1000, 2)]
    rows = [
        {"timestamp": at, "input_length": tokens, "output_length": 1, "hash_ids": list(range(blocks))}
        for at, (tokens, blocks) in enumerate(lengths)
    ]
    account = read(store, log(tmp_path, rows))
    assert account.block_tokens == 16
    assert account.rejects == {"hash_ids does not hold one id per 16 input tokens": 1}
    assert "prefix blocks have 16 tokens, which fits the ids of 3 of 4 rows" in " ".join(account.notes)


def test_a_stated_size_is_taken_and_refuses_what_it_does_not_fit(cli: Cli, tmp_path: Path) -> None:
    lengths = [(300, 3), (100, 1), (300, 2)]
    rows = [
        {"timestamp": at, "input_length": tokens, "output_length": 1, "hash_ids": list(range(blocks))}
        for at, (tokens, blocks) in enumerate(lengths)
    ]
    path = str(log(tmp_path, rows))
    found = cli("trace", "import", path, "--name", "m", "--block-tokens", "128", "--json").json
    assert (found["block_tokens"], found["rows_imported"]) == (128, 2)
    assert found["rejects"] == {"hash_ids does not hold one id per 128 input tokens": 1}
    text = "arrival,input_tokens,output_tokens\n1,2,3\n"
    refused = cli("trace", "import", str(write(tmp_path / "l.csv", text)), "--name", "c", "--block-tokens", "16")
    assert (refused.code, "format csv does not leave their size open" in refused.err) == (2, True)


def test_sessions_are_kept_and_turns_without_a_time_are_refused(cli: Cli, tmp_path: Path) -> None:
    rows = [
        {"session_id": "b", "timestamp": 0, "input_length": 300, "output_length": 4, "hash_ids": [1]},
        {"session_id": "b", "delay": 2000, "input_length": 300, "output_length": 4, "hash_ids": [1]},
        {"session_id": "a", "timestamp": 5, "input_length": 300, "output_length": 4, "hash_ids": [1]},
        {"session_id": "b", "timestamp": 9, "input_length": 300, "output_length": 4, "hash_ids": [1]},
    ]
    found = cli("trace", "import", str(log(tmp_path, rows)), "--name", "m", "--json").json
    assert found["rejects"] == {"has a delay and no timestamp: when it arrives depends on the answer before it": 1}
    sessions = cli("sql", "SELECT session_id FROM request ORDER BY request_seq", "--format", "json").json
    assert [row["session_id"] for row in sessions] == [1, 0, 1]


@pytest.mark.parametrize("time", ["timestamp", "created_time"])
@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [("input_length", "output_length"), ("input_tokens", "output_tokens"), ("prompt_length", "completion_tokens")],
)
def test_other_names_of_the_fields_are_read(store: Store, tmp_path: Path, time: str, inputs: str, outputs: str) -> None:
    path = log(tmp_path, [{time: 20, inputs: 300, outputs: 40, "hash_ids": [1]}])
    if (time, inputs) == ("created_time", "prompt_length"):
        with pytest.raises(Exception, match="is not a known log format"):
            imported(store, path, "auto")
        return
    assert imported(store, path, "auto").format == "mooncake"
    assert requests_of(store) == [(20_000, 300, 0, 40)]


def test_unknown_output_is_refused(store: Store, tmp_path: Path) -> None:
    rows = [
        {"timestamp": at, "input_length": 9, "output_length": out, "hash_ids": [1]} for at, out in ((0, None), (1, 2))
    ]
    rows.append({"timestamp": 2, "input_length": 9, "hash_ids": [1]})
    account = read(store, log(tmp_path, rows))
    assert account.rejects == {"output_length is not a whole number from 0 to 2147483647": 2}


@pytest.mark.parametrize(
    "ids",
    [
        [[2**64 - 59, 3], [2**64 - 59, 2**63]],
        [[-12, 3], [-12, 12]],
        [[-(2**63), 0], [-(2**63), 1]],
        [[2**64 - 1, 2**63 - 1], [2**64 - 1, 5]],
    ],
)
def test_ids_of_64_bits_stay_apart(cli: Cli, tmp_path: Path, ids: list[list[int]]) -> None:
    rows = [
        {"timestamp": 10 * at, "input_length": 1000, "output_length": 1, "hash_ids": own} for at, own in enumerate(ids)
    ]
    found = cli("trace", "import", str(log(tmp_path, rows)), "--name", "m", "--json").json
    assert found["cached_input_tokens"] == 512
    assert "so all are numbered from 0" in " ".join(found["notes"])
    stored = cli("sql", "SELECT block_id FROM request_block ORDER BY request_seq, block_index", "--format", "json").json
    numbers = [row["block_id"] for row in stored]
    everyone = sorted({number for own in ids for number in own})
    assert numbers == [everyone.index(number) for own in ids for number in own]


def test_negative_ids_beside_unsigned_ones_are_refused(store: Store, tmp_path: Path) -> None:
    rows = [
        {"timestamp": at, "input_length": 300, "output_length": 1, "hash_ids": own}
        for at, own in enumerate([[2**64 - 59], [-12]])
    ]
    account = read(store, log(tmp_path, rows))
    assert account.rows_imported == 1
    assert "which no ids of 64 bits can both be" in next(iter(account.rejects))


def test_what_is_exported_says_its_unit(cli: Cli, tmp_path: Path) -> None:
    text = "arrival,input_tokens,output_tokens\n2025-03-01T00:00:00.000250Z,5,1\n2025-03-01T00:00:00.100500Z,6,2\n"
    cli("trace", "import", str(write(tmp_path / "l.csv", text)), "--name", "t")
    assert "--time-unit ms" in cli("trace", "export", "t", "--out", "o.jsonl").out


def test_a_unit_has_no_effect_on_formats_with_their_own(store: Store, tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "TIMESTAMP,ContextTokens,GeneratedTokens\n2025-03-01 00:00:00,5,1\n")
    with pytest.raises(UsageError, match="--block-tokens 16: format azure does not leave their size open"):
        imported(store, path, "azure", block_tokens=16)
