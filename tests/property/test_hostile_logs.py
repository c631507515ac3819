"""Logs that were made to do harm: each is read, with every row accounted for, or refused in one line."""

import gzip
import io
import json
import os
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Cli
from tests.helpers.hostile import Place, judged

HEADER = b"arrival,input_tokens,output_tokens\n"
ROW = b"2025-03-01T00:00:00Z,5,3\n"


def csv(*rows: bytes, header: bytes = HEADER) -> bytes:
    return header + b"".join(row + b"\n" for row in rows)


def zipped(**members: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return packed.getvalue()


def bomb(layers: int) -> bytes:
    """Zeros packed again and again: a few kilobytes for 20 MB."""
    data = b"0" * 20_000_000
    for _ in range(layers):
        data = gzip.compress(data, 9)
    return data


def nested(depth: int, inside: str = "1") -> bytes:
    return ('{"a":' * depth + inside + "}" * depth + "\n").encode()


REQUEST = {"timestamp": "2025-03-01T00:00:00Z", "input_tokens": 5, "output_tokens": 3}
LOGS: dict[str, Callable[[], bytes]] = {
    "deep arrays.jsonl": lambda: b"[" * 100_000 + b"]" * 100_000,
    "deep objects.jsonl": lambda: nested(50_000),
    "deep but open.json": lambda: b'{"a":[' * 20_000,
    "deep in a record.jsonl": lambda: json.dumps(REQUEST)[:-1].encode() + b',"x":' + nested(2000)[:-1] + b"}\n",
    "a line without end.csv": lambda: HEADER + b"1" * 12_000_000,
    "a field without end.jsonl": lambda: b'{"timestamp":"' + b"x" * 12_000_000,
    "a long class.csv": lambda: csv(ROW[:-1] + b"," + b"c" * 500_000, header=HEADER[:-1] + b",class\n"),
    "ten thousand columns.csv": lambda: csv(b",".join([b"1"] * 10_000), header=b",".join([b"c"] * 10_000) + b"\n"),
    "binary.csv": lambda: bytes(random.Random(1).randrange(256) for _ in range(20_000)),
    "binary rows.csv": lambda: csv(*(bytes(random.Random(n).randrange(256) for _ in range(80)) for n in range(200))),
    "an executable.log": lambda: b"\x7fELF\x02\x01\x01" + b"\0" * 5000,
    "nul.csv": lambda: b"\0" * 100_000,
    "nul in a row.csv": lambda: csv(ROW[:-1], b"2025-03-01T00:00:01Z,\0,3"),
    "invalid utf-8.csv": lambda: csv(ROW[:-1], b"2025-03-01T00:00:01Z,5,3\xff\xfe\xc3"),
    "overlong utf-8.jsonl": lambda: b'{"timestamp":"\xc0\xaf\xed\xa0\x80","input_tokens":5,"output_tokens":3}\n',
    "half a character.jsonl": lambda: json.dumps({**REQUEST, "model": "\ud800"}).encode() + b"\n",
    "half a utf-16.csv": lambda: csv(ROW[:-1]).decode().encode("utf-16")[:-1],
    "zip bomb.zip": lambda: zipped(**{"log.csv": HEADER + b"0" * 20_000_000}),
    "zip in zip.zip": lambda: zipped(**{"log.zip": zipped(**{"log.csv": csv(ROW[:-1])})}),
    "zip of paths.zip": lambda: zipped(**{"../../log.csv": csv(ROW[:-1]), "/etc/log.csv": csv(ROW[:-1])}),
    "gzip bomb.csv.gz": lambda: bomb(1),
    "gzip in gzip.csv.gz": lambda: bomb(3),
    "a quote without end.csv": lambda: csv(b'"2025-03-01T00:00:00Z,5,3', *[ROW[:-1]] * 5000),
    "quotes.csv": lambda: csv(b'"' * 99_999),
    "header only.csv": lambda: HEADER,
    "no header.csv": lambda: ROW * 3,
    "empty.csv": lambda: b"",
    "spaces.csv": lambda: b" \n\t\n\r\n" * 1000,
    "400 digits.csv": lambda: csv(b"2025-03-01T00:00:00Z," + b"9" * 400 + b",3", b"9" * 400 + b",5,3", ROW[:-1]),
    "400 digits.jsonl": lambda: b'{"timestamp":1,"input_tokens":' + b"9" * 400 + b',"output_tokens":3}\n',
    "odd numbers.csv": lambda: csv(
        *(b"2025-03-01T00:00:00Z,%s,3" % each for each in (b"nan", b"-0", b"1e400", b"0x10", b"1_0", b"\xd9\xa3")),
        ROW[:-1],
    ),
    "times at the ends.csv": lambda: csv(
        b"0001-01-01T00:00:00Z,5,3",
        b"9999-12-31T23:59:59Z,5,3",
        b"294247-01-10T04:00:54Z,5,3",
        b"infinity,5,3",
        b"-9223372036854775808,5,3",
        b"2025-02-30T25:61:61Z,5,3",
        ROW[:-1],
    ),
    "numbers as times.jsonl": lambda: b"".join(
        b'{"timestamp":%s,"input_tokens":5,"output_tokens":3}\n' % each for each in (b"1e308", b"-1", b"null", b"[]")
    ),
    "escapes.csv": lambda: csv(
        b"2025-03-01T00:00:00Z,5,3,\x1b]0;owned\x07\x1b[2J", header=b"arrival,input_tokens,output_tokens,class\n"
    ),
    "escapes in the header.csv": lambda: csv(ROW[:-1], header=b"arrival,\x1b[31minput_tokens,output_tokens\n"),
    "formulas.csv": lambda: csv(b"2025-03-01T00:00:00Z,5,3,=cmd|' /C calc'!A0", header=HEADER[:-1] + b",class\n"),
    "keys twice.jsonl": lambda: b'{"timestamp":1,"timestamp":2,"input_tokens":5,"input_tokens":6,"output_tokens":3}\n',
    "parquet by name.parquet": lambda: b"PAR1" + b"\0" * 2000 + b"PAR1",
    "arrow by name.arrow": lambda: b"ARROW1\0\0" + b"\xff" * 2000,
}


@pytest.mark.parametrize("name", LOGS)
def test_a_hostile_log_is_accounted_for_or_refused_in_one_line(
    name: str, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(tmp_path / "work", tmp_path / "temporary")
    for folder in (place.folder, place.temporary):
        folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(place.temporary))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.chdir(place.folder)
    Path(name).write_bytes(LOGS[name]())
    known = Path(name).suffix in (".csv", ".jsonl")
    for words in ([], ["--format", name.rpartition(".")[2]] if known else ["--format", "csv"], ["--dry-run"]):
        into = [] if "--dry-run" in words else ["--name", f"t{len(words)}"]
        result = judged(cli, place, ["trace", "import", name, *into, "--json", *words], name)
        if result.code == 0 and into:
            account = result.json
            assert account["rows_read"] == account["rows_imported"] + account["rows_rejected"]
            assert account["rows_rejected"] == sum(account["rejects"].values())
            judged(cli, place, ["trace", "show", into[1]], name)
            judged(cli, place, ["trace", "list"], name)
    assert {path.name for path in Path().iterdir()} - {name} <= {"planner.duckdb"}


@pytest.mark.parametrize("source", ["fifo", "/dev/zero", "/dev/stdin", "gone.csv", "link.csv", "x" * 300, "a\0b", ""])
def test_what_is_not_a_file_is_no_log(source: str, tmp_path: Path, cli: Cli) -> None:
    os.mkfifo("fifo")
    Path("link.csv").symlink_to("link.csv")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    result = judged(cli, Place(tmp_path, temporary), ["trace", "import", source, "--name", "t"], source)
    assert result.code in (1, 2)
    assert not Path("planner.duckdb").exists()
