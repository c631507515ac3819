"""What files a log may be: however the same rows are packed, separated, encoded or wrapped, they are the same trace."""

import bz2
import csv
import gzip
import io
import json
import lzma
import os
import sqlite3
import tarfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.ipc as ipc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.errors import TraceError
from planner.store import Store
from planner.store.staging import staging
from planner.trace.imports import documents, unpacking
from planner.trace.imports import readers as formats
from planner.trace.imports.parse import parse
from planner.trace.imports.unpacking import Log
from tests.conftest import Cli
from tests.helpers.imports import OPTIONS, imported, requests_of, write

HEADER = "arrival,input_tokens,output_tokens\n"
ROWS = "1,10,1\n2,20,2\n"
FIELDS = ("startTime", "prompt_tokens", "completion_tokens", "model")
Row = Mapping[str, str]


def comma(rows: Sequence[Row], delimiter: str = ",", line_end: str = "\n") -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, FIELDS, delimiter=delimiter, lineterminator=line_end)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def lines(rows: Sequence[Row]) -> str:
    return "\n".join(json.dumps(row) for row in rows)


def zipped(name: str, data: bytes, **others: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in {name: data, **others}.items():
            archive.writestr(member, content)
    return packed.getvalue()


def table(rows: Sequence[Row], kind: str) -> bytes:
    columns = pa.table({name: pa.array([row[name] for row in rows], pa.string()) for name in FIELDS})
    out = io.BytesIO()
    if kind == "parquet":
        pl.DataFrame(columns).write_parquet(out)
    elif kind == "file":
        with ipc.new_file(out, columns.schema) as writer:
            writer.write_table(columns, max_chunksize=2)
    else:
        with ipc.new_stream(out, columns.schema) as writer:
            writer.write_table(columns, max_chunksize=2)
    return out.getvalue()


CONTAINERS: dict[str, Callable[[Sequence[Row]], bytes]] = {
    "csv": lambda rows: comma(rows).encode(),
    "csv, byte order mark": lambda rows: comma(rows).encode("utf-8-sig"),
    "csv, crlf": lambda rows: comma(rows, line_end="\r\n").encode(),
    "semicolons": lambda rows: comma(rows, ";").encode(),
    "tabs": lambda rows: comma(rows, "\t").encode(),
    "pipes": lambda rows: comma(rows, "|").encode(),
    "utf-16": lambda rows: comma(rows).encode("utf-16"),
    "utf-16, big endian": lambda rows: b"\xfe\xff" + comma(rows).encode("utf-16-be"),
    "utf-32": lambda rows: comma(rows).encode("utf-32"),
    "gzip": lambda rows: gzip.compress(comma(rows).encode()),
    "bz2": lambda rows: bz2.compress(comma(rows).encode()),
    "bz2, two streams": lambda rows: bz2.compress(comma(rows).encode()[:9]) + bz2.compress(comma(rows).encode()[9:]),
    "xz": lambda rows: lzma.compress(comma(rows).encode()),
    "xz, two streams": lambda rows: lzma.compress(comma(rows).encode()[:9]) + lzma.compress(comma(rows).encode()[9:]),
    "zstd": lambda rows: pa.compress(comma(rows).encode(), "zstd", asbytes=True),
    "lz4": lambda rows: pa.compress(comma(rows).encode(), "lz4", asbytes=True),
    "lines": lambda rows: lines(rows).encode(),
    "lines, utf-16": lambda rows: lines(rows).encode("utf-16"),
    "lines, gzip": lambda rows: gzip.compress(lines(rows).encode()),
    "lines with commas": lambda rows: lines(rows).replace("\n", ",\n").encode() + b",\n",
    "with separators": lambda rows: "".join(f"\x1e{json.dumps(row)}\n" for row in rows).encode(),
    "array": lambda rows: json.dumps(rows).encode(),
    "array, printed": lambda rows: json.dumps(rows, indent=1).encode(),
    "array, trailing comma": lambda rows: ("[" + lines(rows).replace("\n", ",\n") + ",\n]").encode(),
    "on one line": lambda rows: "".join(json.dumps(row) for row in rows).encode(),
    "envelope": lambda rows: json.dumps({"data": rows, "total": len(rows), "page": 1}).encode(),
    "envelope, printed": lambda rows: json.dumps({"page": 1, "data": rows}, indent=2).encode(),
    "parquet": lambda rows: table(rows, "parquet"),
    "parquet, gzip": lambda rows: gzip.compress(table(rows, "parquet")),
    "arrow": lambda rows: table(rows, "file"),
    "arrow stream": lambda rows: table(rows, "stream"),
    "arrow, zstd": lambda rows: pa.compress(table(rows, "file"), "zstd", asbytes=True),
}
ROW = st.fixed_dictionaries(
    {
        "startTime": st.sampled_from(["2026-11-02T09:00:00Z", "2026-11-02 10:00:00.5+01:00", "soon", ""]),
        "prompt_tokens": st.integers(0, 10_000).map(str) | st.sampled_from(["x", "1.5", "-1"]),
        "completion_tokens": st.integers(0, 500).map(str),
        "model": st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="\\\ufffd"), max_size=6),
    }
)
WITH_HEADER = ("csv", "utf", "semi", "tabs", "pipes", "gzip", "bz2", "xz", "zstd", "lz4")
OWN_LINES = (*WITH_HEADER, "lines", "parquet", "arrow")


@settings(max_examples=3, deadline=None)
@given(st.lists(ROW, min_size=1, max_size=12))
def test_the_same_rows_in_every_container_are_the_same_requests(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Row]
) -> None:
    folder = tmp_path_factory.mktemp("containers")
    reader = formats.readers()["litellm"]
    packed = {name: pack(rows) for name, pack in CONTAINERS.items()}
    logs = [Log(write(folder / str(place), data)) for place, data in enumerate(packed.values())]
    for number, name in enumerate(("csv", "gzip", "lines", "parquet", "arrow")):
        logs.append(Log(write(folder / f"{number}.zip", zipped("inside", packed[name])), "inside"))
    query = "SELECT file_index, line, arrival_us, input_tokens, output_tokens, class, reason FROM parsed ORDER BY ALL"
    found: list[list[tuple[object, ...]]] = [[] for _ in logs]
    with staging() as stage:
        for index, log in enumerate(logs):
            assert formats.why_empty(log) is None
            parse(stage, index, log, reader, OPTIONS)
        for index, *row in stage.connection.execute(query).fetchall():
            found[index].append(tuple(row))
    expected = [row[1:] for row in found[0]]
    assert len(expected) == len(rows), "every row is imported or refused"
    for log, own, name in zip(logs, found, [*packed, *["zip"] * 5], strict=True):
        assert sorted(map(repr, (row[1:] for row in own))) == sorted(map(repr, expected)), (name, log)
        if name.startswith(OWN_LINES):
            first = 2 if name.startswith(WITH_HEADER) else 1
            assert [row[0] for row in own] == list(range(first, first + len(rows))), name
            assert [row[1:] for row in own] == expected, name


# archives and compressed files


def test_the_logs_in_an_archive_are_one_trace_and_called_by_its_name(store: Store, tmp_path: Path, cli: Cli) -> None:
    bad = (HEADER + "3,30,3\nsoon,1,1\n").encode()
    data = zipped("days/1.csv", (HEADER + ROWS).encode(), **{"days/2.csv": bad, "README.md": b"x", ".hidden.csv": b"x"})
    write(tmp_path / "week.zip", data)
    outcome = imported(store, tmp_path / "week.zip", "auto")
    assert [row[1] for row in requests_of(store)] == [10, 20, 30]
    assert outcome.skipped == ("week.zip:README.md",)
    refused = cli("sql", "SELECT file, line FROM import_reject", "--format", "json").json
    assert refused == [{"file": "week.zip:days/2.csv", "line": 3}]


def test_a_file_is_known_again_in_an_archive(store: Store, tmp_path: Path) -> None:
    log = write(tmp_path / "l.csv", HEADER + ROWS)
    imported(store, log, "csv", name="plain")
    packed = write(tmp_path / "l.zip", zipped("l.csv", log.read_bytes()))
    assert imported(store, packed, "csv", name="packed").known_as == "plain"
    folder = tmp_path / "both"
    folder.mkdir()
    log.rename(folder / "l.csv")
    packed.rename(folder / "l.zip")
    with pytest.raises(TraceError, match=r"l\.csv and .*l\.zip:l\.csv have the same content; leave one out"):
        imported(store, folder, "csv", name="twice")


def encrypted(data: bytes) -> bytes:
    """The archive with the mark of encryption, in the local header and in the directory."""
    directory = data.index(b"PK\x01\x02")
    return data[:6] + b"\x01" + data[7 : directory + 8] + b"\x01" + data[directory + 9 :]


def test_what_cannot_be_unpacked_here_is_refused_with_the_cure(store: Store, tmp_path: Path) -> None:
    plain = (HEADER + ROWS).encode()
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("l.csv"))
    sqlite3.connect(tmp_path / "log.sqlite").execute("CREATE TABLE log (arrival)").connection.close()
    refused = {
        "locked.zip": (encrypted(zipped("l.csv", plain)), r"locked\.zip:l\.csv: is encrypted; unpack it with its pass"),
        "nested.zip": (zipped("l.zip", zipped("l.csv", plain)), r"nested\.zip:l\.zip: is a zip archive inside another"),
        "tar.zip": (zipped("l.csv", tar.getvalue()), r"tar\.zip:l\.csv: is a tar archive; unpack it first"),
        "l.tar": (tar.getvalue(), r"is a tar archive; unpack it first"),
        "l.tar.gz": (gzip.compress(tar.getvalue()), r"is a tar archive; unpack it first"),
        "l.gz.gz": (gzip.compress(gzip.compress(plain)), "is compressed twice; unpack it first"),
        "l.7z": (b"7z\xbc\xaf\x27\x1c" + bytes(40), "is a 7z archive; unpack it first"),
        "l.avro": (b"Obj\x01" + bytes(40), "is an Avro file; save it as Parquet or JSON lines first"),
        "l.xls": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(40), "is an old Excel workbook; save the sheet as CSV"),
        "l.xlsx": (
            zipped("[Content_Types].xml", b"<x/>", **{"xl/workbook.xml": b"<x/>"}),
            "workbook.* save its sheet as CSV",
        ),
        "none.zip": (zipped("a.md", b"x", **{"b.md": b"y"}), r"none\.zip: has no log file; put \.csv"),
        "cut.zip": (zipped("l.csv", plain)[:-30], r"cut\.zip: cannot be read as a zip archive .*is complete"),
        "cut.bz2": (bz2.compress(plain)[:-12], r"cut\.bz2: cannot be unpacked as bz2"),
        "cut.xz": (lzma.compress(plain)[:-12], r"cut\.xz: cannot be unpacked as xz after"),
        "u.csv": (plain.decode().encode("utf-16-le"), "is UTF-16 without a byte order mark; save it as UTF-8"),
        "log.sqlite": ((tmp_path / "log.sqlite").read_bytes(), "is a SQLite database; save its table as CSV first"),
    }
    for name, (data, message) in refused.items():
        for format_name in ("auto", "csv"):
            with pytest.raises(TraceError, match=message):
                imported(store, write(tmp_path / name, data), format_name)
    assert not store.path.exists()


@pytest.mark.parametrize("pack", ["bz2", "xz", "lz4", "zip"])
def test_a_file_that_unpacks_without_end_is_stopped(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: str
) -> None:
    monkeypatch.setattr(unpacking, "_RATIO_FROM_BYTES", 1 << 20)
    rows = HEADER.encode() + b"1,2,3\n" * 2_000_000
    packers: dict[str, Callable[[bytes], bytes]] = {
        "bz2": bz2.compress,
        "xz": lambda data: lzma.compress(data, preset=0),
        "lz4": lambda data: pa.compress(data, "lz4", asbytes=True),
        "zip": lambda data: zipped("l.csv", data),
    }
    with pytest.raises(TraceError, match="unpacks to more than 200 times its size"):
        imported(store, write(tmp_path / f"l.{pack}", packers[pack](rows)), "auto")


# CSV as others write it


@pytest.mark.parametrize(
    ("before", "mark"),
    [("sep=;\n", ";"), ('"sep=,"\r\n', ","), ("# exported\n# by me\n", ","), ("\n\r\n", "\t"), ("\n#x\nsep=|\n", "|")],
)
def test_lines_before_the_header_are_passed_over_and_counted(
    store: Store, tmp_path: Path, before: str, mark: str, cli: Cli
) -> None:
    log = write(tmp_path / "l.csv", before + (HEADER + ROWS + "soon,1,1\n3\n").replace(",", mark))
    assert imported(store, log, "auto").rows == 2
    rows = cli("sql", "SELECT line, reason FROM import_reject ORDER BY line", "--format", "json").json
    first = before.count("\n") + 4
    assert rows == [
        {"line": first, "reason": "arrival is not a time"},
        {"line": first + 1, "reason": "has 1 fields and the header has 3"},
    ]


def test_a_header_may_be_a_comment(store: Store, tmp_path: Path) -> None:
    imported(store, write(tmp_path / "l.csv", "# by me\n#" + HEADER + ROWS), "auto")
    assert [row[1] for row in requests_of(store)] == [10, 20]


def classes_of(store: Store) -> list[str | None]:
    with store.read() as session:
        query = "SELECT class FROM request JOIN request_class USING (trace_id, class_id) ORDER BY request_seq"
        return [row[0] for row in session.connection.execute(query).fetchall()]


@pytest.mark.parametrize(
    ("mark", "written", "meant"),
    [
        (",", r'"say \"hi\", ok"', 'say "hi", ok'),
        (",", r'"say \"hi\""', 'say "hi"'),
        (";", r'"{\"a\": \"b\\c\"}"', r'{"a": "b\c"}'),
        (",", r'"say ""hi"", ok"', 'say "hi", ok'),
        (",", r'"C:\dir\"', "C:\\dir\\"),
        (",", r'"{""a"": ""say \""hi\"", ok""}"', r'{"a": "say \"hi\", ok"}'),
        ("\t", r'{"a": "say \\"hi\\""}', r'{"a": "say \"hi\""}'),
        ("\t", r"a\\nb\tc", "a\\nb\tc"),
        ("\t", '"a\tb"', "a\tb"),
        ("\t", r"team\north", r"team\north"),
    ],
)
def test_quotes_are_doubled_or_escaped_with_a_backslash(
    store: Store, tmp_path: Path, mark: str, written: str, meant: str
) -> None:
    head = mark.join(("arrival", "input_tokens", "output_tokens", "class"))
    rows = [mark.join(fields) for fields in (("1", "10", "1", written), ("2", "20", "2", "x"))]
    outcome = imported(store, write(tmp_path / "l.csv", "\n".join([head, *rows]) + "\n"), "csv")
    assert outcome.rows == outcome.rows_read == 2
    assert classes_of(store) == [meant, "x"]


@pytest.mark.parametrize("mark", [",", "\t"])
def test_a_field_without_a_value_is_not_text(store: Store, tmp_path: Path, mark: str) -> None:
    r"""PostgreSQL, MySQL and Hive write \N."""
    text = "arrival,input_tokens,output_tokens,class\n1,10,1,\\N\n2,\\N,2,x\n".replace(",", mark)
    outcome = imported(store, write(tmp_path / "l.csv", text), "csv")
    assert dict(outcome.rejects) == {"input_tokens is not a whole number from 0 to 2147483647": 1}
    with store.read() as session:
        assert session.connection.execute("SELECT count(*) FROM request_class").fetchall() == [(0,)]


@pytest.mark.parametrize("head", [HEADER, HEADER.replace("\n", ",\n"), HEADER.replace("\n", ",,\n")])
def test_a_separator_at_the_end_of_rows_is_no_column(store: Store, tmp_path: Path, head: str) -> None:
    more = "," * max(1, head.count(",") - 2)
    log = write(tmp_path / "l.csv", head + ROWS.replace("\n", f"{more}\n"))
    assert imported(store, log, "auto").rows == 2


def test_a_log_without_a_header_says_so(store: Store, tmp_path: Path) -> None:
    log = write(tmp_path / "l.tsv", "req-1\t2026-11-02 09:00:00\t100\t5\n")
    for format_name in ("auto", "csv", "litellm"):
        with pytest.raises(TraceError, match=r"its first line has values instead of names; add a header"):
            imported(store, log, format_name)


# JSON as others write it

RECORD = {"startTime": "2026-11-02T09:00:00Z", "prompt_tokens": 100, "completion_tokens": 5}


def records(*tokens: int) -> list[str]:
    return [json.dumps({**RECORD, "prompt_tokens": number}) for number in tokens]


@pytest.mark.parametrize("between", ["", ",", " ", "\n", ",\n", "\n\n"])
def test_a_broken_record_costs_only_itself_on_one_line_too(store: Store, tmp_path: Path, between: str) -> None:
    one, two, three = records(1, 2, 3)
    broken = two.replace(": 2", ": [{2}")
    outcome = imported(store, write(tmp_path / "l.json", between.join([one, broken, three])), "auto")
    assert [row[1] for row in requests_of(store)] == [1, 3]
    assert (outcome.rows_read, outcome.rows_rejected) == (3, 1)


def test_lines_with_several_records_are_split_wherever_they_are(store: Store, tmp_path: Path) -> None:
    """Braces inside strings are text."""
    odd = json.dumps({**RECORD, "model": 'a}{b"},'})
    rows = [*records(1), "".join(records(2, 3)), odd, records(4)[0] + ",", "{}{", *records(5)]
    outcome = imported(store, write(tmp_path / "l.jsonl", "\n".join(rows)), "auto")
    assert sorted(row[1] for row in requests_of(store)) == [1, 2, 3, 4, 5, 100]
    assert outcome.rows_read == 7
    with store.read() as session:
        assert session.connection.execute("SELECT line FROM import_reject").fetchall() == [(5,)]


def test_a_row_that_is_too_long_says_what_to_leave_out(cli: Cli, tmp_path: Path) -> None:
    long = f'2026-11-02T09:00:01Z,1,2,"{"x" * (17 << 20)}"'
    rows = ["arrival,input_tokens,output_tokens,prompt", "2026-11-02T09:00:00Z,1,2,a", long]
    result = cli("trace", "import", str(write(tmp_path / "l.csv", "\n".join(rows))), "--name", "t")
    assert result.code == 1
    assert "a row after line 2 is longer than 8 MiB" in result.err
    assert "leave out the column of its long texts, such as prompts, or close its quote" in result.err


def test_a_log_that_is_written_again_is_looked_at_again(store: Store, tmp_path: Path) -> None:
    log = tmp_path / "l.json"
    for place, name in enumerate(("input_tokens", "inputxtokens")):
        write(log, json.dumps({"arrival": "2026-11-02T09:00:00Z", name: 1, "output_tokens": 1}))
        os.utime(log, ns=(place, place))
        if name == "input_tokens":
            assert imported(store, log, "auto").rows == 1
        else:
            with pytest.raises(TraceError, match="inputxtokens"):
                imported(store, log, "auto")


@pytest.mark.parametrize("size", [1 << 20, 9 << 20])
@pytest.mark.parametrize("shape", ["lines", "array", "one line"])
def test_a_long_record_is_read_first_or_later(store: Store, tmp_path: Path, size: int, shape: str) -> None:
    long = json.dumps({"messages": "x" * size, **RECORD})
    rows = [long, *records(1), long]
    text = {"lines": "\n".join(rows), "array": json.dumps([json.loads(row) for row in rows]), "one line": "".join(rows)}
    assert imported(store, write(tmp_path / "l.json", text[shape]), "auto").rows == 3


def test_a_document_of_many_records_may_be_longer_than_a_record(store: Store, tmp_path: Path) -> None:
    page = {
        "data": [{"messages": "x" * (6 << 20), **RECORD}, {**RECORD, "metadata": json.dumps({"a": "y" * 2000})}] * 3
    }
    assert imported(store, write(tmp_path / "page.json", json.dumps(page)), "auto").rows == 6


@pytest.mark.parametrize("format_name", ["auto", "litellm", "jsonl"])
def test_a_record_beyond_the_limit_is_refused_with_the_cure(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format_name: str
) -> None:
    monkeypatch.setattr(documents, "MOST_CHARS", 1 << 20)
    path = write(tmp_path / "l.json", json.dumps({"data": [RECORD, {"messages": "x" * (2 << 20)}], **RECORD}))
    with pytest.raises(
        TraceError, match="the record at line 1 is longer than 1 MiB, and none may be; save its records"
    ):
        imported(store, path, format_name)


def test_a_page_that_is_cut_off_says_so(store: Store, tmp_path: Path) -> None:
    page = json.dumps({"data": [RECORD, RECORD]})
    with pytest.raises(TraceError, match="is not JSON: it ends early; check that the file is complete"):
        imported(store, write(tmp_path / "l.json", page[:-30]), "auto")
    rows = write(tmp_path / "rows.json", json.dumps([RECORD, RECORD])[:-30])
    assert dict(imported(store, rows, "auto").rejects) == {"is not JSON: it ends early": 1}


def test_a_format_is_told_from_more_than_the_first_record(store: Store, tmp_path: Path) -> None:
    first = ['{"resourceMetrics": []}', "rubbish", "[1]", '{"level": "info"}']
    outcome = imported(store, write(tmp_path / "a.jsonl", "\n".join([*first, *records(1)])), "auto")
    assert (outcome.format, outcome.rows, outcome.rows_read) == ("litellm", 1, 5)
    cut = records(1)[0][20:]
    outcome = imported(store, write(tmp_path / "b.jsonl", "\n".join([cut, *records(2, 3)])), "auto", name="cut")
    assert (outcome.format, outcome.rows, outcome.rows_read) == ("litellm", 2, 3)


def test_an_envelope_without_records_is_a_log_without_rows(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "pages"
    folder.mkdir()
    write(folder / "1.json", json.dumps({"data": [RECORD], "page": 1, "total": 1}))
    write(folder / "2.json", json.dumps({"data": [], "page": 2, "total": 1}))
    outcome = imported(store, folder, "auto")
    assert (outcome.rows, outcome.empty) == (1, ("2.json",))


@pytest.mark.parametrize("wrap", [lambda spans: {"trace": {"resourceSpans": spans}}, lambda spans: {"batches": spans}])
def test_spans_in_the_answers_of_tempo_are_found(
    store: Store, tmp_path: Path, wrap: Callable[[list[object]], object]
) -> None:
    usage = {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": "9", "gen_ai.usage.output_tokens": "2"}
    attributes = [{"key": key, "value": {"stringValue": value}} for key, value in usage.items()]
    own = {"spanId": "1", "name": "chat", "startTimeUnixNano": "1793610001000000000", "attributes": attributes}
    log = write(tmp_path / "t.json", json.dumps(wrap([{"scopeSpans": [{"spans": [own]}]}])))
    assert imported(store, log, "auto").format == "otel"
    assert [row[1:] for row in requests_of(store)] == [(9, None, 2)]


# tables with types


@pytest.mark.parametrize("kind", ["file", "stream"])
def test_a_damaged_arrow_file_is_refused_in_one_line(store: Store, tmp_path: Path, kind: str) -> None:
    rows = [dict(zip(FIELDS, ("2026-11-02T09:00:00Z", "1", "1", "m"), strict=True))] * 9
    whole = table(rows, kind)
    reader = formats.readers()["litellm"]
    refused = 0
    with staging() as stage:
        for index, place in enumerate(range(8, len(whole), 61)):
            log = write(tmp_path / f"{place}.arrow", whole[:place] + b"\xff\xfe\xfd" + whole[place + 3 :])
            try:
                parse(stage, index, Log(log), reader, OPTIONS)
            except TraceError as error:
                refused += "\n" not in str(error)
        assert stage.request_counts().rows_read % len(rows) == 0
        assert 0 < refused == index + 1 - stage.request_counts().rows_read // len(rows)
    with pytest.raises(TraceError, match="is not an Arrow file; check the file"):
        imported(store, write(tmp_path / "cut.arrow", whole[: len(whole) // 2]), "litellm", name="cut")


# folders


def test_folders_are_looked_into_and_files_called_by_their_place(store: Store, tmp_path: Path, cli: Cli) -> None:
    for day, rows in (("day=1", "1,10,1\nx,1,1\n"), ("day=2/hour=3", "2,20,2\n")):
        (tmp_path / "logs" / day).mkdir(parents=True)
        write(tmp_path / "logs" / day / "part-0.csv", HEADER + rows)
    for aside in ("_temporary", ".staged"):
        (tmp_path / "logs" / aside).mkdir()
        write(tmp_path / "logs" / aside / "part-1.csv", HEADER + "3,30,3\n")
    write(tmp_path / "logs" / "_SUCCESS", "")
    (tmp_path / "logs" / "latest").symlink_to(tmp_path / "logs" / "day=1")
    outcome = imported(store, tmp_path / "logs", "auto")
    assert [row[1] for row in requests_of(store)] == [10, 20]
    assert outcome.skipped == ("_SUCCESS", "_temporary/", "latest/")
    refused = cli("sql", "SELECT file, line FROM import_reject", "--format", "json").json
    assert refused == [{"file": "day=1/part-0.csv", "line": 3}]


def test_files_without_endings_are_logs_where_no_other_is(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "bucket" / "2026" / "11"
    folder.mkdir(parents=True)
    write(folder / "stream-1-2026-11-02", "".join(records(1, 2)))
    write(folder / "notes.md", "about")
    assert imported(store, tmp_path / "bucket", "auto").skipped == ("2026/11/notes.md",)
    write(folder / "l.jsonl", "\n".join(records(3)))
    outcome = imported(store, tmp_path / "bucket", "auto", name="named")
    assert (outcome.rows, outcome.skipped) == (1, ("2026/11/notes.md", "2026/11/stream-1-2026-11-02"))


def test_a_delta_table_has_rows_that_were_replaced(store: Store, tmp_path: Path) -> None:
    (tmp_path / "t" / "_delta_log").mkdir(parents=True)
    write(tmp_path / "t" / "part-0.csv", HEADER + ROWS)
    with pytest.raises(TraceError, match=r"is a Delta table.*export it to Parquet first"):
        imported(store, tmp_path / "t", "auto")


def test_files_without_rows_are_counted_and_named(tmp_path: Path, cli: Cli) -> None:
    folder = tmp_path / "days"
    folder.mkdir()
    write(folder / "1.csv", HEADER)
    write(folder / "2.csv", HEADER + ROWS)
    write(folder / "3.csv", HEADER)
    write(folder / "4.csv", "")
    write(folder / "5.csv.gz", gzip.compress(b""))
    write(folder / "6.csv", "\ufeff# nothing today\n" + HEADER + "\n")
    write(folder / "7.json", "[]\n")
    zipfile.ZipFile(folder / "7.zip", "w").close()
    pl.DataFrame(schema={"arrival": pl.Int64}).write_parquet(folder / "8.parquet")
    pl.DataFrame(schema={"arrival": pl.Int64}).write_ipc(folder / "9.arrow")
    result = cli("trace", "import", str(folder), "--name", "t", "--json")
    assert result.code == 0
    assert result.json["rows_read"] == result.json["rows_imported"] == 2
    without = ["1.csv", "3.csv", "4.csv", "5.csv.gz", "6.csv", "7.json", "7.zip", "8.parquet", "9.arrow"]
    assert result.json["empty"] == without
    assert f"9 logs have no row: {', '.join(without)}" in result.err


def test_logs_that_are_all_without_rows_are_one_clear_error(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "days"
    folder.mkdir()
    for name, text in (("1.csv", HEADER), ("2.csv", ""), ("3.jsonl", "\n")):
        write(folder / name, text)
    with pytest.raises(
        TraceError, match=r"1\.csv: has no row below its header, and neither has one of the 2 other logs; name a log"
    ):
        imported(store, folder, "auto")
    assert not store.path.exists()
