"""Where logs are and what they are: folders, patterns, packed files, and formats told from their beginnings."""

import gzip
import json
import os
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from planner.errors import TraceError
from planner.store import Store
from planner.trace.documents import ImportAccount
from planner.trace.imports import unpacking
from planner.trace.imports.importer import import_trace
from planner.trace.imports.job import ImportOptions
from tests.conftest import NOW, Cli
from tests.helpers.imports import requests_of, write
from tests.helpers.logs import AZURE, MOONCAKE

LINES = "arrival,input_tokens,output_tokens\n"


def imported(
    store: Store, *paths: str | Path, name: str = "t", format_name: str = "auto", **options: object
) -> ImportAccount:
    chosen = ImportOptions(**{"timezone": "UTC", "start": datetime(1970, 1, 1, tzinfo=UTC), **options})  # type: ignore[arg-type]
    return import_trace(store, paths, format_name=format_name, name=name, options=chosen, now=NOW, version="test")


@pytest.mark.parametrize(
    ("log", "found"),
    [
        (AZURE, "azure"),
        ("\ufeff" + AZURE, "azure"),
        (LINES + "1,2,3\n", "csv"),
        ("\n".join(json.dumps(row) for row in MOONCAKE), "mooncake"),
        (json.dumps(MOONCAKE), "mooncake"),
        (json.dumps(MOONCAKE, indent=1), "mooncake"),
    ],
)
def test_a_format_is_told_from_the_beginning_of_a_file(store: Store, tmp_path: Path, log: str, found: str) -> None:
    assert imported(store, write(tmp_path / "log", log)).format == found


def test_parquet_is_told_from_its_columns(store: Store, tmp_path: Path) -> None:
    columns = {"TIMESTAMP": ["2024-05-10 00:00:00.009930+00:00"], "ContextTokens": [2162], "GeneratedTokens": [5]}
    pl.DataFrame(columns).write_parquet(tmp_path / "a.parquet")
    assert imported(store, tmp_path / "a.parquet").format == "azure"
    assert requests_of(store) == [(1_715_299_200_009_930, 2162, None, 5)]


def test_what_may_be_two_formats_is_refused_with_their_names(store: Store, tmp_path: Path) -> None:
    header = "TIMESTAMP,ContextTokens,GeneratedTokens,arrival,input_tokens,output_tokens"
    log = write(tmp_path / "l.csv", f"{header}\n2024-05-10 00:00:00,1,1,1,1,1\n")
    with pytest.raises(TraceError, match=r"l\.csv: may be azure or csv; say which with --format"):
        imported(store, log)


def test_what_is_no_known_log_says_what_it_has(store: Store, tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"is not a known log format \(it has a, b\); give --format"):
        imported(store, write(tmp_path / "l.csv", "b,a\n1,2\n"))
    with pytest.raises(TraceError, match="is not a known log format; give --format"):
        imported(store, write(tmp_path / "l.json", "{nothing"))


@pytest.mark.parametrize("mark", [";", "\t", "|"])
@pytest.mark.parametrize("format_name", ["auto", "csv"])
def test_other_marks_between_columns_are_read(store: Store, tmp_path: Path, mark: str, format_name: str) -> None:
    log = write(tmp_path / "l.csv", (LINES + "1,2,3\n").replace(",", mark))
    assert imported(store, log, format_name=format_name).format == "csv"
    assert requests_of(store) == [(1_000_000, 2, None, 3)]


def test_mapped_columns_are_looked_for_by_their_own_names(store: Store, tmp_path: Path) -> None:
    log = write(tmp_path / "l.csv", "when,in,out\n1,2,3\n")
    columns = {"arrival": "when", "input_tokens": "in", "output_tokens": "out"}
    assert imported(store, log, columns=columns).format == "csv"


@pytest.mark.parametrize("pack", ["gzip", "zstd"])
def test_packed_logs_are_read_as_they_are(store: Store, tmp_path: Path, pack: str) -> None:
    packed = gzip.compress(AZURE.encode()) if pack == "gzip" else pa.compress(AZURE.encode(), pack, asbytes=True)
    imported(store, write(tmp_path / "packed", packed), name="packed")
    imported(store, write(tmp_path / "plain", AZURE), name="plain")
    assert requests_of(store, "packed") == requests_of(store, "plain")


def test_a_packed_log_that_breaks_off_says_so(store: Store, tmp_path: Path) -> None:
    rows = "".join(f"{second},{second * 7919 % 1000},1\n" for second in range(50_000))
    packed = gzip.compress((LINES + rows).encode())
    with pytest.raises(TraceError, match=r"cannot be unpacked as gzip .*check that the file is complete"):
        imported(store, write(tmp_path / "l.csv.gz", packed[: len(packed) // 2]))


def test_a_file_that_unpacks_without_end_is_stopped(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking, "_RATIO_FROM_BYTES", 1 << 20)
    bomb = gzip.compress(LINES.encode() + b"1,2,3\n" * 1_000_000)
    with pytest.raises(TraceError, match="unpacks to more than 200 times its size"):
        imported(store, write(tmp_path / "l.csv.gz", bomb))
    assert not store.path.exists()


def test_daily_files_are_one_trace_by_folder_and_by_pattern(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    write(folder / "2025-03-02.csv", LINES + "2025-03-02T00:00:00Z,3,3\n")
    write(folder / "2025-03-01.csv.gz", gzip.compress((LINES + "2025-03-01T00:00:00Z,1,1\n").encode()))
    write(folder / "README.md", "about")
    write(folder / ".hidden.csv", "x")
    outcome = imported(store, folder, name="folder")
    assert outcome.skipped == ("README.md",)
    assert [row[1] for row in requests_of(store, "folder")] == [1, 3]
    imported(store, str(folder / "2025-*.csv*"), name="pattern")
    assert requests_of(store, "pattern") == requests_of(store, "folder")
    with pytest.raises(TraceError, match="matches no file"):
        imported(store, str(folder / "2026-*"), name="none")


def test_a_pattern_that_matches_folders_alone_means_what_is_in_them(store: Store, tmp_path: Path) -> None:
    for day in (1, 2):
        (tmp_path / f"day-{day}").mkdir()
        write(tmp_path / f"day-{day}" / "l.csv", LINES + f"{day},{day},1\n")
    imported(store, str(tmp_path / "day-*"), name="folders")
    assert [row[1] for row in requests_of(store, "folders")] == [1, 2]
    imported(store, str(tmp_path / "day-*" / "**"), name="files")
    assert requests_of(store, "files") == requests_of(store, "folders")
    (tmp_path / "nothing").mkdir()
    with pytest.raises(TraceError, match="nothing: has no log file"):
        imported(store, str(tmp_path / "noth*"))


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_log_that_is_there_packed_and_not_would_count_twice(store: Store, tmp_path: Path, suffix: str) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    write(folder / "l.csv", LINES + "1,2,3\n")
    packed = gzip.compress((LINES + "1,2,3\n").encode())
    write(folder / f"l.csv{suffix}", packed)
    with pytest.raises(
        TraceError, match=rf"l\.csv and .*l\.csv{suffix} are the same log by their names.*; leave one out"
    ):
        imported(store, folder)


@pytest.mark.parametrize("format_name", ["auto", "csv"])
def test_what_cannot_be_opened_or_read_twice_gets_one_line(store: Store, tmp_path: Path, format_name: str) -> None:
    (tmp_path / "loop.csv").symlink_to(tmp_path / "loop.csv")
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "chunk-0-trace.csv").symlink_to(tmp_path / "loop.csv")
    for path, message in (
        (tmp_path / "loop.csv", "loop.csv: cannot be read: Too many levels of symbolic links; check the path"),
        (tmp_path / "pipe.csv", "pipe.csv: is not a regular file, and a log is read more than once"),
        (tmp_path, "chunk-0-trace.csv: cannot be read: Too many levels"),
        ("a\0b", "cannot be read: embedded null byte"),
    ):
        with pytest.raises(TraceError, match=message):
            imported(store, path, format_name=format_name)


def test_files_of_two_formats_are_no_trace(store: Store, tmp_path: Path) -> None:
    one, other = write(tmp_path / "a.csv", AZURE), write(tmp_path / "l.csv", LINES + "1,1,1\n")
    with pytest.raises(TraceError, match=r"a\.csv is azure and .*l\.csv is csv; import them as two traces"):
        imported(store, one, other)


def test_the_same_file_twice_would_count_twice(store: Store, tmp_path: Path) -> None:
    one, other = write(tmp_path / "a.csv", AZURE), write(tmp_path / "b.csv", AZURE)
    with pytest.raises(TraceError, match="have the same content; leave one out"):
        imported(store, one, other)


def test_a_log_that_is_stored_already_is_known_by_its_bytes(cli: Cli, store: Store, tmp_path: Path) -> None:
    log = str(write(tmp_path / "l.csv", LINES + "1,1,1\nx,1,1\n"))
    first = cli("trace", "import", log, "--name", "t", "--json").json
    again = cli("trace", "import", str(write(tmp_path / "copy.csv", Path(log).read_bytes())), "--name", "t", "--json")
    assert again.code == 0
    assert "is already stored as t; it was not read again" in again.err
    assert again.json == {**first, "known_as": "t"}
    other = cli("trace", "import", log, "--name", "u", "--json")
    assert "is already stored as t; it is now stored as u too" in other.err
    assert other.json["known_as"] == "t"
    with pytest.raises(TraceError, match="is already stored; delete it"):
        imported(store, log, name="t", time_unit="ms")


def test_what_lies_between_records_of_a_document_does_not_matter(store: Store, tmp_path: Path) -> None:
    rows = [json.dumps(row, indent=2) for row in MOONCAKE]
    outcome = imported(store, write(tmp_path / "l.json", "\n\n".join(rows)))
    assert outcome.rows == 4


def test_a_broken_record_of_a_document_costs_only_itself(store: Store, tmp_path: Path) -> None:
    lines = ["[", *(json.dumps(row) + "," for row in MOONCAKE[:2]), "{nonsense: 1},", json.dumps(MOONCAKE[3]), "]"]
    outcome = imported(store, write(tmp_path / "l.json", "\n".join(lines)))
    assert dict(outcome.rejects) == {"is not JSON": 1}
    assert (outcome.rows_read, outcome.rows) == (4, 3)
    with store.read() as session:
        assert session.connection.execute("SELECT line FROM import_reject").fetchall() == [(4,)]


def test_lines_of_a_document_are_counted_over_everything_that_is_no_record(store: Store, tmp_path: Path) -> None:
    """Documents are read in pieces; records and rubbish lie across their edges."""
    record = json.dumps(MOONCAKE[0], indent=1)
    parts = [record, "{rubbish", "rubbish", '"a word"', record] * 3000
    imported(store, write(tmp_path / "l.json", "[\n" + "\n".join(parts) + "\n]"))
    step, first = 2 * (record.count("\n") + 1) + 3, record.count("\n") + 3
    with store.read() as session:
        rows = session.connection.execute("SELECT line, reason FROM import_reject ORDER BY line").fetchall()
        assert session.connection.execute("SELECT count(*) FROM request").fetchall() == [(6000,)]
    reasons = ["is not JSON", "is not JSON", "is not a JSON object"]
    wanted = [(first + step * turn + place, reason) for turn in range(3000) for place, reason in enumerate(reasons)]
    assert rows == wanted


def test_rows_out_of_order_across_files_are_sorted(store: Store, tmp_path: Path) -> None:
    late, early = pl.DataFrame({"arrival": [5, 6]}), pl.DataFrame({"arrival": [1, 9]})
    for name, frame in (("a.parquet", late), ("b.parquet", early)):
        frame.with_columns(input_tokens=pl.col("arrival"), output_tokens=1).write_parquet(tmp_path / name)
    imported(store, tmp_path / "a.parquet", tmp_path / "b.parquet")
    assert [row[1] for row in requests_of(store)] == [1, 5, 6, 9]
