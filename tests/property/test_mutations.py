"""Whatever happens to a log: one line says why it cannot be read, or every row is imported or refused. `make fuzz`
does 10,000 mutations instead of a few hundred."""

import bz2
import gzip
import io
import json
import lzma
import os
import random
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from planner.errors import PlannerError
from planner.store import Store
from planner.store.staging import RowCounts, Staging, staging
from planner.trace.imports import importer, servegen, sources
from planner.trace.imports import readers as formats
from planner.trace.imports.job import ImportOptions, params_of
from planner.trace.imports.parse import parse
from planner.trace.imports.unpacking import Log
from tests.conftest import NOW
from tests.helpers.logs import (
    AIPERF,
    AIPERF_CANCELLED,
    AZURE,
    BURST_1,
    BURST_3,
    DAYS,
    HISTOGRAMS,
    INFERENCE_PERF,
    LITELLM,
    MOONCAKE,
    SMALL,
    folder,
    qwen,
    span,
)
from tests.helpers.measured import measured

MUTATIONS = int(os.environ.get("PLANNER_TEST_MUTATIONS", "400"))
BATCH = 100
OPTIONS = ImportOptions(timezone="UTC", start=datetime(1970, 1, 1, tzinfo=UTC))


def lines(*records: object) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in records).encode()


QWEN = [qwen(159, -1, 61.114, 1, 2, 3, 4), qwen(160, 159, 62, 1, 2, 3, 5), qwen(7, 6, 64, 9, 9, 9, 9)]
SPANS = [span(5, gen_ai__usage__input_tokens=9, gen_ai__usage__output_tokens=5), span(7, http__method="GET")]
LOGS: dict[str, tuple[str, bytes]] = {
    "azure": ("azure", AZURE.encode()),
    "azure-lmm": (
        "azure-lmm",
        b"TIMESTAMP,NumImages,ContextTokens,GeneratedTokens\n" + b"2025-01-01 00:00:00,2,9,1\n" * 9,
    ),
    "burstgpt 1": ("burstgpt", "\n".join([BURST_1[0], *BURST_1[1:] * 9]).encode()),
    "burstgpt 3": ("burstgpt", "\n".join([BURST_3[0], *BURST_3[1:] * 3]).encode()),
    "csv": (
        "csv",
        b'arrival,input_tokens,output_tokens,class,block_ids,block_tokens\n1,5,3,"a\nb",1 2,4\n2,5,3,c,7 8,4\n',
    ),
    "windows": ("windows", b"window_start,window_end,requests,input_tokens,output_tokens\n0,60,5,9,1\n60,120,1,1,1\n"),
    "litellm csv": (
        "litellm",
        b'startTime,prompt_tokens,completion_tokens,metadata\n2025-03-01T00:00:01,5,6,"{""a"":1}"\n',
    ),
    "litellm": ("litellm", json.dumps(LITELLM, indent=1).encode()),
    "mooncake": ("mooncake", lines(*MOONCAKE)),
    "mooncake array": ("mooncake", json.dumps(MOONCAKE).encode()),
    "qwen": ("qwen", lines(*QWEN)),
    "aiperf": ("aiperf", lines(AIPERF, AIPERF_CANCELLED)),
    "inference-perf": ("inference-perf", json.dumps(INFERENCE_PERF).encode()),
    "openai-usage": ("openai-usage", lines(*DAYS)),
    "openai-usage page": ("openai-usage", json.dumps({"object": "page", "data": DAYS}, indent=2).encode()),
    "otel": ("otel", lines({"resourceSpans": [{"scopeSpans": [{"spans": SPANS}]}]}, *SPANS)),
}
ODD_VALUES: tuple[bytes, ...] = (
    b"NaN",
    b"nan",
    b"Infinity",
    b"-1",
    b"1e308",
    b"1e309",
    b"9" * 400,
    b"9223372036854775808",
    b"-0",
    b"0x10",
    b"1_000",
    b"null",
    b"true",
    b'""',
    b"[]",
    b"{}",
    b"[[[[",
    b"\xff\xfe",
    b"\xc3",
    b"\x00",
    b"\xf0\x9f\x92\xa9",
    b"' OR 1=1 --",
    b"$start_us",
    b"294247-01-10 04:00:54",
    b"0000-00-00 00:00:00",
    b"2025-02-30T25:61:61Z",
    b"2025-01-01T00:00:00+99:99",
    b"1" + b"0" * 5000,
)


@contextmanager
def a_refusal_is_one_line(where: object) -> Iterator[None]:
    """What a user is told of what cannot be read; anything else that is raised is a defect."""
    try:
        yield
    except PlannerError as error:
        if "\n" in str(error):
            pytest.fail(f"{where}: {error}")


Mutation = Callable[[bytes, random.Random], bytes]


def replaced(data: bytes, chance: random.Random, start: int, length: int, by: bytes) -> bytes:
    return data[:start] + by + data[start + length :]


def an_odd_value(data: bytes, chance: random.Random) -> bytes:
    """A number or word becomes something else."""
    at = chance.randrange(len(data) + 1)
    ends = [end for end in (data.find(mark, at) for mark in (b",", b"\n", b"}", b'"')) if end >= 0]
    return data[:at] + chance.choice(ODD_VALUES) + data[min(ends, default=len(data)) :]


def shuffled_columns(data: bytes, chance: random.Random) -> bytes:
    """The fields of the header, or of one line, change places."""
    rows = data.split(b"\n")
    place = chance.choice([0, chance.randrange(len(rows))])
    fields = rows[place].split(b",")
    chance.shuffle(fields)
    rows[place] = b",".join(fields)
    return b"\n".join(rows)


def a_doubled_line(data: bytes, chance: random.Random) -> bytes:
    """A line, often the header, comes again somewhere."""
    rows = data.split(b"\n")
    rows.insert(chance.randrange(len(rows) + 1), rows[chance.choice([0, chance.randrange(len(rows))])])
    return b"\n".join(rows)


def shuffled_lines(data: bytes, chance: random.Random) -> bytes:
    rows = data.split(b"\n")
    chance.shuffle(rows)
    return b"\n".join(rows)


def a_doubled_column(data: bytes, chance: random.Random) -> bytes:
    rows = data.split(b"\n")
    fields = rows[0].split(b",")
    rows[0] = b",".join([*fields, chance.choice(fields)])
    return b"\n".join(rows)


def a_changed_byte(data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data) + 1)
    return data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]


def some_bytes_gone(data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data) + 1)
    return data[:at] + data[at + chance.randrange(1, 40) :]


def zipped(data: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("l.csv", data)
    return packed.getvalue()


MUTATORS: dict[str, Mutation] = {
    "cut": lambda data, chance: data[: chance.randrange(len(data) + 1)],
    "beheaded": lambda data, chance: data[chance.randrange(len(data) + 1) :],
    "odd value": an_odd_value,
    "odd values": lambda data, chance: an_odd_value(an_odd_value(data, chance), chance),
    "columns": shuffled_columns,
    "lines": shuffled_lines,
    "line twice": a_doubled_line,
    "column twice": a_doubled_column,
    "byte": a_changed_byte,
    "bytes gone": some_bytes_gone,
    "crlf": lambda data, _: data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"),
    "bom": lambda data, _: b"\xef\xbb\xbf" + data,
    "utf-16": lambda data, _: data.decode("utf-8", "replace").encode("utf-16"),
    "blank lines": lambda data, _: data.replace(b"\n", b"\n\n"),
    "no line ends": lambda data, _: data.replace(b"\n", b" "),
    "other quotes": lambda data, _: data.replace(b'"', b"'"),
    "open quote": lambda data, chance: replaced(data, chance, chance.randrange(len(data) + 1), 0, b'"'),
    "deep": lambda data, chance: replaced(data, chance, chance.randrange(len(data) + 1), 0, b"[" * 3000),
    "twice": lambda data, _: data + data,
    "gzip": lambda data, _: gzip.compress(data),
    "gzip cut": lambda data, chance: gzip.compress(data)[: chance.randrange(1, 60)],
    "gzip byte": lambda data, chance: a_changed_byte(gzip.compress(data), chance),
    "bz2": lambda data, _: bz2.compress(data),
    "xz byte": lambda data, chance: a_changed_byte(lzma.compress(data), chance),
    "zip": lambda data, _: zipped(data),
    "zip byte": lambda data, chance: a_changed_byte(zipped(data), chance),
    "zstd byte": lambda data, chance: a_changed_byte(pa.compress(data, "zstd", asbytes=True), chance),
}


def mutated(data: bytes, chance: random.Random) -> bytes:
    for name in chance.choices(list(MUTATORS), k=chance.choice([1, 1, 2, 3])):
        data = MUTATORS[name](data, chance)
    return data


def parsed(stage: Staging, index: int, path: Path, name: str) -> None:
    """What an import does with a file before it stores anything. Raises PlannerError."""
    logs = sources.expand([path])
    reader = formats.readers()[name]
    parse(stage, index, logs.logs[0], reader, OPTIONS)


@pytest.mark.parametrize("first", range(0, MUTATIONS, BATCH))
def test_no_mutation_of_a_log_fails_otherwise_than_in_one_line_or_loses_a_row(first: int, tmp_path: Path) -> None:
    kind = "window" if first // BATCH % 4 == 3 else "request"
    keys = [key for key, (name, _) in LOGS.items() if formats.readers()[name].demand == (kind == "window")]
    with staging(kind) as stage:
        for index in range(BATCH):
            chance = random.Random(first + index)
            name, data = LOGS[chance.choice(keys)]
            path = tmp_path / f"{index}.log"
            path.write_bytes(mutated(data, chance))
            with a_refusal_is_one_line(first + index):
                formats.reader_of("auto", [Log(path)], {})
            with a_refusal_is_one_line(first + index):
                parsed(stage, index, path, name)
        check_accounts(stage, kind)
        assert counted(stage, kind).rows_imported, "some logs are read"


def counted(stage: Staging, kind: str) -> RowCounts:
    return stage.window_counts() if kind == "window" else stage.request_counts()


def check_accounts(stage: Staging, kind: str) -> None:
    """Rows read = imported + refused, and what is imported can be taken out, in order, within what can be stored."""
    counts = counted(stage, kind)
    rejects = sum(batch.num_rows for batch in stage.rejects(1000))
    assert rejects == sum(stage.reasons().values())
    if kind == "window":
        rows = stage.windows()
        assert (rows["end_us"] > rows["start_us"]).all()
        assert (rows["cached_input_tokens"] <= rows["input_tokens"]).all()
        taken, numbers = rows.height, ("requests", "input_tokens", "cached_input_tokens", "output_tokens")
        assert all((rows[name] >= 0).all() for name in numbers)
        assert all(rows[name].is_not_null().all() for name in numbers if name != "cached_input_tokens")
    else:
        columns = ["arrival_us", "input_tokens", "cached_input_tokens", "output_tokens", "class_id", "session_id"]
        batches = [pl.from_arrow(batch) for batch in stage.requests(columns, 1000, numbered_sessions=False)]
        frame = pl.concat(batches) if batches else pl.DataFrame(schema=dict.fromkeys(columns, pl.Int64))
        assert isinstance(frame, pl.DataFrame)
        assert frame["arrival_us"].is_sorted()
        for name in columns[:5]:
            assert name == "cached_input_tokens" or frame[name].is_not_null().all()
            assert name == "arrival_us" or frame[name].cast(int).is_between(0, 2**31 - 1).all()
        taken = frame.height
    assert counts.rows_read == taken + rejects
    assert counts.rows_imported == taken


@pytest.mark.parametrize("seed", range(max(MUTATIONS // 20, 20)))
def test_a_mutated_parquet_file_is_read_or_refused_in_one_line(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    path = tmp_path / "l.parquet"
    count = 500
    frame = pl.DataFrame({"arrival": range(count), "input_tokens": range(count), "output_tokens": [1] * count})
    frame = frame.with_columns(
        chance.choice([pl.lit(1), pl.col("input_tokens").cast(pl.Float64) / 3, pl.lit("x"), pl.lit(None)]).alias(
            chance.choice(frame.columns)
        )
    )
    frame.write_parquet(path)
    data = path.read_bytes()
    for _ in range(chance.choice([0, 1, 1, 5])):
        data = a_changed_byte(data, chance) if chance.random() < 0.7 else some_bytes_gone(data, chance)
    path.write_bytes(data)
    with staging() as stage, a_refusal_is_one_line(seed):
        parsed(stage, 0, path, "parquet")
        check_accounts(stage, "request")


@pytest.mark.parametrize("seed", range(max(MUTATIONS // 20, 20)))
def test_a_mutated_servegen_folder_is_read_or_refused_in_one_line(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    path = folder(tmp_path / "g", SMALL, HISTOGRAMS)
    victim = chance.choice(sorted(path.iterdir()))
    victim.write_bytes(mutated(victim.read_bytes(), chance))
    with staging("window") as stage, a_refusal_is_one_line(seed):
        clients = servegen.clients_of(path)
        for index, client in enumerate(clients):
            stage.parse("servegen", index, servegen.batches(client), params_of(OPTIONS))
        check_accounts(stage, "window")
        servegen.coverage(stage.windows(), clients, 0)


@pytest.mark.parametrize("seed", range(max(MUTATIONS // 20, 20)))
def test_a_mutated_log_is_stored_whole_or_not_at_all(seed: int, store: Store, tmp_path: Path) -> None:
    chance = random.Random(seed)
    name, data = LOGS[chance.choice(list(LOGS))]
    logs = []
    for number in range(chance.choice([1, 1, 2])):
        logs.append(tmp_path / f"{number}.log")
        logs[-1].write_bytes(mutated(data, chance))
    options = replace(OPTIONS, draw=chance.choice([None, 1, 3]) if formats.readers()[name].demand else None)
    with a_refusal_is_one_line(seed):
        importer.import_trace(
            store, logs, format_name=chance.choice([name, "auto"]), name="t", options=options, now=NOW, version="test"
        )
    if not store.path.exists():
        return
    query = (
        "SELECT rows_read, rows_rejected, row_count, origin, (SELECT count(*) FROM import_reject), "
        "(SELECT count(*) FROM request), (SELECT sum(requests)::BIGINT FROM demand_window), "
        "(SELECT count(*) FROM request_block WHERE block_id IS NULL OR block_id < 0) FROM trace"
    )
    with store.read() as session:
        rows = session.connection.execute(query).fetchall()
    for read, refused, stored, origin, rejects, requests, counted, odd_blocks in rows:
        assert (refused, stored) == (rejects, counted if origin == "windows" else requests)
        assert read >= refused
        assert origin == "windows" or options.draw or read == stored + refused
        assert odd_blocks == 0


SLOW_TO_RETURN = """
import sys, time
from planner.trace.imports import containers

read = containers._ReadAhead.read
containers._ReadAhead.read = lambda file, size=-1: (read(file, size), time.sleep(0.15))[0]
from planner.cli import app

sys.argv = ["planner", "trace", "import", "l.csv", "--name", "t"]
sys.exit(app.execute())
"""
"""An import whose reading thread takes its time between a read and Arrow."""


def test_a_refused_import_does_not_end_before_the_thread_that_reads(tmp_path: Path) -> None:
    """Which would abort the process."""
    (tmp_path / "l.csv").write_bytes(b"TIMESTAMP,ContextTokens,GeneratedTokens\n" + b"0" * 40_000_000)
    done = subprocess.run(
        [sys.executable, "-c", SLOW_TO_RETURN], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr


def test_a_line_without_end_does_not_fill_the_memory(tmp_path: Path) -> None:
    """300 MB of one byte in 300 kB; what a process that imports nothing needs is about 200 MB."""
    bomb = gzip.compress(b"TIMESTAMP,ContextTokens,GeneratedTokens\n" + b"0" * 300_000_000, 1)
    (tmp_path / "l.csv.gz").write_bytes(bomb)
    done = measured("trace", "import", "l.csv.gz", "--name", "t")
    assert done.exit_code == 1
    assert done.err.count("\n") == 1, done.err
    assert done.gigabytes < 1.5
