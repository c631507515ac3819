"""Any log: paths, records in envelopes, JSON inside columns, constants, conditions, mappings of one's own, dry runs."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.store.fields import segmentations
from planner.store.staging import staging
from planner.trace.imports import readers as formats
from planner.trace.imports import sources
from planner.trace.imports.job import ImportOptions
from planner.trace.imports.parse import parse
from planner.units import from_us
from tests.conftest import Cli
from tests.helpers.gateway_logs import imported
from tests.helpers.imports import OPTIONS

AT = "2025-03-03T09:00:00Z"
USAGE = {"prompt_tokens": 100, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 64}}
PATHS = ("--column", "arrival=at", "--column", "input_tokens=usage.prompt_tokens",
         "--column", "output_tokens=usage.completion_tokens",
         "--column", "cached_input_tokens=usage.prompt_tokens_details.cached_tokens")  # fmt: skip
FIGURES = (100, 64, 5)


def jsonl(path: Path, *records: object) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def refusal(cli: Cli, path: Path, *words: str) -> str:
    result = cli("trace", "import", str(path), "--name", "t", *words)
    assert result.code in (1, 2)
    assert result.err.count("\n") == 1
    return result.err


def figures(account: dict[str, Any]) -> tuple[int, ...]:
    return tuple(account[name] for name in ("input_tokens", "cached_input_tokens", "output_tokens"))


@pytest.mark.parametrize(
    "record",
    [
        {"at": AT, "usage": USAGE},
        {"at": AT, "usage": json.dumps(USAGE)},  # JSON inside a text
        {"at": AT, "usage": {**USAGE, "prompt_tokens_details": json.dumps({"cached_tokens": 64})}},
        {"at": AT, "usage.prompt_tokens": 100, "usage.completion_tokens": 5,
         "usage.prompt_tokens_details": {"cached_tokens": 64}},
        # a name that has dots comes before a path
        {"at": AT, "usage": {**USAGE, "prompt_tokens": 7}, "usage.prompt_tokens": 100},
        {"at": AT, "usage": {**USAGE, "prompt_tokens_details": {"cached_tokens": 1},
                             "prompt_tokens_details.cached_tokens": 64}},
    ],
)  # fmt: skip
def test_json_records_are_read_by_paths(record: object, tmp_path: Path, cli: Cli) -> None:
    account = imported(cli, jsonl(tmp_path / "l.jsonl", record), "--format", "jsonl", *PATHS)
    assert figures(account) == FIGURES
    assert account["format"] == "jsonl"


@pytest.mark.parametrize("envelope", ["logs", "data.items", "hits.hits", "a.b.c"])
def test_records_in_an_envelope_are_found_by_themselves_or_by_name(envelope: str, tmp_path: Path, cli: Cli) -> None:
    page: object = [{"at": AT, "usage": USAGE}, {"at": AT, "usage": USAGE}]
    for key in reversed(envelope.split(".")):
        page = {key: page, "total": 2}
    path = jsonl(tmp_path / "l.json", page)
    assert imported(cli, path, *PATHS)["rows_imported"] == 2
    named = ("--format", "jsonl", "--records", envelope, *PATHS, "--dry-run", "--json")
    assert cli("trace", "import", str(path), *named).json["rows_imported"] == 2
    message = refusal(cli, path, "--format", "jsonl", "--records", "rows", "--dry-run", *PATHS)
    assert "has no records under rows" in message
    assert "correct the key" in message


ROW = {"at": AT, "usage": USAGE}


@pytest.mark.parametrize(
    ("document", "keys"),
    [
        ({"gpt": [ROW, ROW], "llama": [ROW]}, ["gpt", "llama"]),
        (
            {"requests": {"ok": [ROW], "cached": [ROW, ROW], "x": [{"y": 1}]}},
            ["requests.ok", "requests.cached"],
        ),
        ({"a": {"items": [ROW]}, "b": {"items": [ROW, ROW]}}, ["a.items", "b.items"]),
    ],
)
def test_of_several_lists_of_records_none_is_dropped_without_a_word(
    document: object, keys: list[str], tmp_path: Path, cli: Cli
) -> None:
    path = jsonl(tmp_path / "l.json", document)
    message = refusal(cli, path, "--format", "jsonl", *PATHS)
    assert f"has records under 2 keys ({', '.join(keys)})" in message
    assert " ".join(f"--records {key}" for key in keys) in message
    named = ("--format", "jsonl", *PATHS, "--dry-run", "--json")
    both = [word for key in keys for word in ("--records", key)]
    assert cli("trace", "import", str(path), *named, *both).json["rows_imported"] == 3
    assert cli("trace", "import", str(path), *named, *both, *both).json["rows_imported"] == 3
    one = cli("trace", "import", str(path), *named, "--records", keys[0]).json["rows_imported"]
    assert one + cli("trace", "import", str(path), *named, "--records", keys[1]).json["rows_imported"] == 3


def test_lists_of_records_on_lines_of_their_own_are_not_dropped_either(tmp_path: Path, cli: Cli) -> None:
    path = jsonl(tmp_path / "l.jsonl", {"gpt": [ROW]}, {"llama": [ROW]})
    assert "has records under 2 keys (gpt, llama)" in refusal(cli, path, "--format", "jsonl", *PATHS)


def test_records_with_the_usual_names_need_no_option(tmp_path: Path, cli: Cli) -> None:
    record = {"arrival": AT, "input_tokens": 10, "output_tokens": 2, "class": "m", "session_id": "s"}
    assert imported(cli, jsonl(tmp_path / "l.jsonl", record))["format"] == "jsonl"


def test_elements_of_lists_are_read_by_their_place(tmp_path: Path, cli: Cli) -> None:
    record = {"arrival": AT, "tokens": [{"n": 10}, {"n": 2}]}
    path = jsonl(tmp_path / "l.jsonl", record)
    account = imported(cli, path, "--column", "input_tokens=tokens.0.n", "--column", "output_tokens=tokens.1.n")
    assert figures(account) == (10, 0, 2)


def test_json_inside_a_csv_column_is_read_by_a_path(tmp_path: Path, cli: Cli) -> None:
    path = tmp_path / "l.csv"
    quoted = json.dumps(USAGE).replace('"', '""')
    path.write_text(f'at,usage,note\n{AT},"{quoted}",x\n{AT},not JSON,y\n')
    account = imported(cli, path, "--format", "csv", *PATHS)
    assert figures(account) == FIGURES
    assert account["rejects"] == {"input_tokens is not a whole number from 0 to 2147483647": 1}


@pytest.mark.parametrize(
    "usage",
    [
        [USAGE],
        [json.dumps(USAGE)],
        pa.array([[("prompt_tokens", "100"), ("completion_tokens", "5"),
                   ("prompt_tokens_details", '{"cached_tokens":64}')]], pa.map_(pa.string(), pa.string())),
    ],
)  # fmt: skip
def test_nested_columns_of_parquet_are_read_by_paths(usage: Any, tmp_path: Path, cli: Cli) -> None:
    path = tmp_path / "l.parquet"
    pq.write_table(pa.table({"at": [AT], "usage": usage}), path)
    assert figures(imported(cli, path, "--format", "parquet", *PATHS)) == FIGURES


def test_a_parquet_column_whose_name_has_dots_comes_before_a_struct(tmp_path: Path, cli: Cli) -> None:
    path = tmp_path / "l.parquet"
    pq.write_table(pa.table({"at": [AT], "usage": [{**USAGE, "prompt_tokens": 7}], "usage.prompt_tokens": [100]}), path)
    assert figures(imported(cli, path, *PATHS)) == FIGURES


NAMES = (
    "line",
    "fault",
    "file_index",
    "file_row_number",
    "log",
    "raw",
    "column 0",
    "Model",
    "model",
    "MODEL",
    "Input_Tokens",
)


def hiding(folder: Path, kind: str) -> Path:
    """A log with columns whose names readers might use themselves, or that differ in case only."""
    row = {**{name: f"own {name}" for name in NAMES}, "arrival": AT, "input_tokens": 100, "output_tokens": 5}
    path = folder / f"l.{kind}"
    if kind == "jsonl":
        return jsonl(path, row)
    if kind == "csv":
        path.write_text(",".join(row) + "\n" + ",".join(map(str, row.values())) + "\n")
    else:
        pq.write_table(pa.table({name: [value] for name, value in row.items()}), path)
    return path


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_column_is_the_one_of_that_very_name(kind: str, name: str, tmp_path: Path, cli: Cli) -> None:
    words = ("--format", kind, "--column", f"class={name}", "--where", f"{name}=own {name}")
    account = imported(cli, hiding(tmp_path, kind), *words)
    assert (account["rows_imported"], account["input_tokens"]) == (1, 100)
    stored = cli("sql", "SELECT class FROM request_class", "--format", "json").json
    assert stored == [{"class": f"own {name}"}]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_column_whose_name_has_another_case_is_another_column(kind: str, tmp_path: Path, cli: Cli) -> None:
    message = refusal(cli, hiding(tmp_path, kind), "--format", kind, "--column", "input_tokens=INPUT_TOKENS")
    assert "no column INPUT_TOKENS" in message or "have no INPUT_TOKENS" in message


def test_numbers_of_rows_are_those_of_the_file_also_where_it_has_a_column_for_them(tmp_path: Path, cli: Cli) -> None:
    rows = {"file_row_number": [70, 80], "arrival": [AT, "never"], "input_tokens": [1, 1], "output_tokens": [1, 1]}
    pq.write_table(pa.table(rows), tmp_path / "l.parquet")
    assert imported(cli, tmp_path / "l.parquet")["rows_imported"] == 1
    assert cli("sql", "SELECT line FROM import_reject", "--format", "json").json == [{"line": 2}]


def test_a_path_that_is_not_there_is_named_with_what_is(tmp_path: Path, cli: Cli) -> None:
    path = jsonl(tmp_path / "l.jsonl", {"at": AT, "usage": USAGE})
    message = refusal(cli, path, "--format", "jsonl", "--column", "arrival=at", "--column", "input_tokens=usage.prompt",
                      "--column", "output_tokens=usage.completion_tokens")  # fmt: skip
    assert "its first records have no usage.prompt (it has at, usage.prompt_tokens, usage.completion_tokens" in message
    assert "map it with --column FIELD=NAME" in message


def test_a_log_without_times_may_be_of_one_moment(tmp_path: Path, cli: Cli) -> None:
    path = jsonl(tmp_path / "l.jsonl", {"input_tokens": 61, "output_tokens": 2370})
    assert "give --constant arrival=TIME" in refusal(cli, path, "--format", "jsonl")
    account = imported(cli, path, "--format", "jsonl", "--constant", f"arrival={AT}")
    assert account["first_arrival"] == "2025-03-03T09:00:00+00:00"


def test_constants_hold_for_every_row(tmp_path: Path, cli: Cli) -> None:
    path = tmp_path / "l.csv"
    path.write_text(f"arrival,input_tokens\n{AT},10\n{AT},20\n")
    account = imported(
        cli, path, "--constant", "output_tokens=7", "--constant", "sample_weight=20", "--constant", "class=chat"
    )
    assert account["sample_weight"] == 20
    assert figures(account) == (600, 0, 280)
    assert cli("sql", "SELECT class FROM request_class", "--format", "json").json == [{"class": "chat"}]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--constant", "output_tokens=many"), '--constant output_tokens: "many" is not a whole number from 0'),
        (("--constant", "sample_weight=0"), '--constant sample_weight: "0" is not a whole number from 1'),
        (("--constant", "output_tokens=1.5"), "is not a whole number"),
        (("--constant", "class"), "--constant: write FIELD=VALUE"),
        (("--constant", "colour=red"), "--constant colour: format csv has the fields arrival"),
        (("--constant", "class=a", "--constant", "class=b"), "--constant class is given more than once"),
        (("--constant", "class=a", "--column", "class=m"), "class is given by --column and by --constant"),
        (("--column", "class=" + ".".join("abcdefghi")), "has more than 8 parts"),
        (("--where", "m"), "--where: write COLUMN=VALUE"),
        (("--where", "model=a"), "has no column model"),
        (("--mapping", "none.toml"), "none.toml: no such mapping"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(
    words: tuple[str, ...], message: str, tmp_path: Path, cli: Cli
) -> None:
    path = tmp_path / "l.csv"
    path.write_text(f"arrival,input_tokens,output_tokens,m\n{AT},10,2,x\n")
    assert message in refusal(cli, path, "--format", "csv", *words)


@pytest.mark.parametrize(
    ("words", "kept", "left_out"),
    [
        (("--where", "m.name=a"), 2, 2),
        (("--where", "m.name=a", "--where", "m.name=b"), 3, 1),
        (("--where", "m.name=a", "--where", "ok=true"), 1, 3),
        (("--where", "status=200"), 2, 2),
    ],
)
def test_rows_are_chosen_by_what_they_hold(
    words: tuple[str, ...], kept: int, left_out: int, tmp_path: Path, cli: Cli
) -> None:
    rows = [("a", True, 200), ("a", False, 500), ("b", True, 200.0), ("c", None, None)]
    records = [
        {"arrival": AT, "input_tokens": 1, "output_tokens": 1, "m": {"name": name}, "ok": ok, "status": status}
        for name, ok, status in rows
    ]
    path = jsonl(tmp_path / "l.jsonl", *records, "not an object")
    account = imported(cli, path, *words)
    assert (account["rows_imported"], account["rows_left_out"], account["rows_rejected"]) == (kept, left_out, 1)
    assert account["rows_read"] == 5
    rows_of = "1 row" if left_out == 1 else f"{left_out} rows"
    assert f"{rows_of} left out by {' '.join(words)}" in account["notes"]
    shown = cli("trace", "show", "t", "--json").json
    assert (shown["rows_read"], shown["rows_left_out"], shown["rows_rejected"]) == (5, left_out, 1)


def test_where_holds_for_windows_and_tables_too(tmp_path: Path, cli: Cli) -> None:
    windows = tmp_path / "w.csv"
    windows.write_text(
        "window_start,window_end,requests,input_tokens,output_tokens,model\n"
        "2025-03-03T09:00Z,2025-03-03T10:00Z,5,50,5,a\n2025-03-03T09:00Z,2025-03-03T10:00Z,7,70,7,b\n"
    )
    assert imported(cli, windows, "--where", "model=b")["requests"] == 7
    table = tmp_path / "t.parquet"
    columns = {"arrival": [AT, AT, AT], "input_tokens": [1, 2, 4], "output_tokens": [1, 1, 1], "n": [1.0, 2.0, None]}
    pq.write_table(pa.table(columns), table)
    account = cli("trace", "import", str(table), "--name", "p", "--where", "n=2", "--json").json
    assert (account["input_tokens"], account["rows_left_out"]) == (2, 2)


def test_a_condition_that_no_row_meets_stores_nothing(tmp_path: Path, cli: Cli) -> None:
    path = jsonl(tmp_path / "l.jsonl", {"arrival": AT, "input_tokens": 1, "output_tokens": 1, "m": "a"})
    assert "all 1 rows are left out by --where m=b" in refusal(cli, path, "--where", "m=b")


def test_formats_that_are_not_read_row_by_row_take_no_condition(tmp_path: Path, cli: Cli) -> None:
    path = jsonl(tmp_path / "l.jsonl", {"resourceSpans": []})
    assert "--where a: format otel has no columns" in refusal(cli, path, "--format", "otel", "--where", "a=b")


ROWS = st.lists(
    st.fixed_dictionaries(
        {"t": st.sampled_from([AT, "never", None]), "u": st.sampled_from([{"i": 3}, {"i": -1}, {}, None, "x"]),
         "m": st.sampled_from(["a", "b", None])}
    ),
    min_size=1, max_size=60,
)  # fmt: skip


@settings(max_examples=20, deadline=None)
@given(ROWS)
def test_rows_read_are_imported_refused_or_left_out(rows: list[dict[str, object]]) -> None:
    from tempfile import TemporaryDirectory

    options = ImportOptions(
        timezone="UTC",
        start=from_us(0),
        columns={"arrival": "t", "input_tokens": "u.i"},
        constants={"output_tokens": "1"},
        where={"m": ("a",)},
    )
    rows = [*rows, {"t": AT, "u": {"i": 1}, "m": "a"}]
    with TemporaryDirectory() as folder, staging() as stage:
        path = jsonl(Path(folder) / "l.jsonl", *rows)
        parse(stage, 0, sources.expand([path]).logs[0], formats.readers()["jsonl"], options)
        counts = stage.request_counts()
        refused = sum(stage.reasons().values())
    kept = [row for row in rows if row["m"] == "a"]
    good = [row for row in kept if row["t"] == AT and isinstance(row["u"], dict) and row["u"].get("i", -1) > 0]
    assert counts.rows_read == len(rows)
    assert counts.rows_left_out == len(rows) - len(kept)
    assert counts.rows_imported == len(good)
    assert counts.rows_rejected == refused == len(kept) - len(good)


def test_a_path_means_names_with_dots_first() -> None:
    assert segmentations("a.b.c") == [("a.b.c",), ("a.b", "c"), ("a", "b.c"), ("a", "b", "c")]


MAPPING = """
format = ["jsonl", "csv"]
timezone = "Europe/Berlin"

[columns]
arrival = "at"
input_tokens = ["usage.prompt_tokens", "usage.input_tokens"]
output_tokens = "usage.completion_tokens"

[constants]
sample_weight = 20

[where]
ok = true
"""


def test_a_mapping_of_ones_own_says_all_that_options_say(tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "mine.toml").write_text(MAPPING)
    rows = [{"at": "2025-03-03T09:00:00", "usage": USAGE, "ok": True}, {"at": "2025-03-03T09:00:00", "ok": False}]
    path = jsonl(tmp_path / "l.jsonl", *rows)
    account = imported(cli, path, "--mapping", str(tmp_path / "mine.toml"))
    assert (account["requests"], account["rows_left_out"], account["format"]) == (20, 1, "jsonl")
    assert account["first_arrival"] == "2025-03-03T09:00:00+01:00"


def test_options_take_precedence_over_the_mapping(tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "mine.toml").write_text(MAPPING)
    path = jsonl(tmp_path / "l.jsonl", {"at": "2025-03-03T09:00:00", "usage": USAGE, "ok": False, "n": 3})
    words = ("--where", "ok=false", "--constant", "sample_weight=5", "--column", "output_tokens=n", "--timezone", "UTC")
    account = imported(cli, path, "--mapping", str(tmp_path / "mine.toml"), *words)
    assert (account["sample_weight"], account["output_tokens"]) == (5, 15)
    assert account["first_arrival"] == "2025-03-03T09:00:00+00:00"
    message = refusal(cli, path, "--mapping", str(tmp_path / "mine.toml"), "--format", "parquet")
    assert "--format parquet: the mapping" in message


OWN = """
format = ["jsonl", "csv", "parquet"]
times_in = "UTC"

[columns]
arrival = "at"
id = "call"
parent_id = "above"
input_tokens = "usage.in* + usage.cache*"
output_tokens = "usage.out*"

[[refuse]]
column = ["status", "code"]
pattern = "^[45]"
reason = "failed"
"""


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_a_mapping_refuses_what_is_no_call_and_adds_up_keys_that_begin_alike(
    suffix: str, tmp_path: Path, cli: Cli
) -> None:
    (tmp_path / "mine.toml").write_text(OWN)
    usage = {"in": 1, "in_audio": 2, "cache_read": 4, "out": 8, "out_reasoning": 16, "total": 31}
    rows: list[dict[str, Any]] = [
        {"call": "a", "above": None, "status": "200", "code": None, "usage": usage},
        {"call": "b", "above": "a", "status": "200", "code": 299, "usage": usage},
        {"call": "c", "above": "a", "status": "503", "code": None, "usage": usage},
        {"call": "d", "above": None, "status": "-", "code": 429, "usage": usage},
        # what was cached is not the whole of the input
        {"call": "e", "above": None, "status": "200", "code": None, "usage": {**usage, "in": None, "in_audio": None}},
    ]
    rows = [{"at": "2025-03-03T09:00:00", **row} for row in rows]
    path = tmp_path / f"l.{suffix}"
    if suffix == "parquet":
        pl.DataFrame(rows).write_parquet(path)
    elif suffix == "csv":
        pl.DataFrame([{**row, "usage": json.dumps(row["usage"])} for row in rows]).write_csv(path)
    else:
        jsonl(path, *rows)
    account = imported(cli, path, "--mapping", str(tmp_path / "mine.toml"), "--timezone", "Asia/Shanghai")
    assert account["rejects"] == {
        "failed: code is 429": 1,
        "failed: status is 503": 1,
        "input_tokens is not a whole number from 0 to 2147483647": 1,
        "sums up the model calls below it, which are counted themselves": 1,
    }
    assert (account["rows_imported"], account["input_tokens"], account["output_tokens"]) == (1, 7, 24)
    assert account["first_arrival"] == "2025-03-03T17:00:00+08:00"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "format: is missing; add it"),
        ('format = "xml"', "format"),
        ('format = "csv"\ncolour = 1', "colour: is not a known field; remove it or correct its name"),
        ('format = "csv"\n[columns]\ncolour = "c"', "columns.colour: is not a field of csv; use arrival"),
        (
            'format = "windows"\n[columns]\narrival = "at"',
            "columns.arrival: is not a field of windows; use window_start",
        ),
        ('format = ["csv", "windows"]', "name one kind"),
        ('format = "csv"\n[columns]\nclass = ""', "columns: class is an empty text"),
        ('format = "csv"\n[constants]\noutput_tokens = "x"', 'constants.output_tokens: "x" is not a whole number'),
        ('format = "csv"\n[constants]\nsample_weight = 1.5', "constants.sample_weight"),
        ('format = "csv"\n[columns]\nclass = "m"\n[constants]\nclass = "a"', "class is in columns and in constants"),
        ('format = "csv"\nrecords = "data"', "records and each are for JSON"),
        ('format = "csv"\ntimezone = "Mars"', '"Mars" is not an IANA time zone'),
        ('format = "csv"\ntime_format = "%H"', "does not tell year, month, day and hour"),
        ('format = "csv"\ntime_unit = "h"', "time_unit"),
        ('format = "csv"\ntimes_in = "Mars"', '"Mars" is not an IANA time zone'),
        (
            'format = "csv"\n[[refuse]]\ncolumn = "m"\npattern = "(?!a)"\nreason = "no"',
            'refuse.0.pattern: "(?!a)" is not a regular expression of RE2',
        ),
        ('format = "csv"\n[[refuse]]\ncolumn = "m"', "refuse.0.reason: is missing"),
        ('format = "csv"\nsignatures = [["a"]]', "signatures: is for mappings that are shipped"),
        ("format = ", "is not valid TOML"),
    ],
)
def test_a_mapping_is_refused_in_one_line_that_names_the_key(text: str, message: str, tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "mine.toml").write_text(text)
    path = jsonl(tmp_path / "l.jsonl", {"arrival": AT, "input_tokens": 1, "output_tokens": 1})
    error = refusal(cli, path, "--mapping", str(tmp_path / "mine.toml"))
    assert "mine.toml: " in error
    assert message in error


def test_a_dry_run_shows_what_would_be_stored_and_refused_and_stores_nothing(tmp_path: Path, cli: Cli) -> None:
    rows = [
        {"at": AT, "usage": USAGE, "m": "a"},
        {"at": "x", "usage": USAGE, "m": "a"},
        {"at": AT, "usage": {}, "m": "b"},
    ]
    path = jsonl(tmp_path / "l.jsonl", *rows)
    words = ("trace", "import", str(path), *PATHS, "--column", "class=m", "--where", "m=a", "--dry-run")
    found = cli(*words, "--json").json
    assert (found["format"], found["rows_read"], found["rows_imported"], found["rows_left_out"]) == ("jsonl", 3, 1, 1)
    assert found["columns"]["input_tokens"] == "usage.prompt_tokens"
    assert found["rejects"] == [
        {"reason": "arrival is not a time", "rejected": 1, "first_file": "l.jsonl", "first_line": 2}
    ]
    assert found["first_rows"] == [
        {"file": "l.jsonl", "line": 1, "arrival": "2025-03-03T09:00:00+00:00", "input_tokens": 100,
         "cached_input_tokens": 64, "output_tokens": 5, "class": "a", "session": None}
    ]  # fmt: skip
    assert found["problem"] is None
    shown = cli(*words)
    assert "1 of 3 rows would be imported as jsonl" in shown.out
    assert "refused 1: arrival is not a time (the first at l.jsonl, line 2)" in shown.out
    assert "nothing is stored" in shown.out
    assert not (tmp_path / "planner.duckdb").exists()


def test_a_dry_run_says_why_the_whole_would_be_refused_and_ends_as_the_import_would(tmp_path: Path, cli: Cli) -> None:
    path = tmp_path / "w.csv"
    path.write_text("window_start,window_end,requests,input_tokens,output_tokens\nx,y,1,1,1\n")
    assert [cli("trace", "import", str(path), *words).code for words in (("--dry-run",), ("--name", "w"))] == [1, 1]
    result = cli("trace", "import", str(path), "--dry-run", "--json")
    assert result.code == 1
    found = result.json
    assert (found["rows_imported"], found["first_rows"]) == (0, [])
    assert "no row can be imported" in found["problem"]


def test_a_dry_run_of_windows_shows_them(tmp_path: Path, cli: Cli) -> None:
    path = tmp_path / "w.csv"
    path.write_text(
        "window_start,window_end,requests,input_tokens,output_tokens\n2025-03-03T09:00Z,2025-03-03T10:00Z,5,50,5\n"
    )
    row = cli("trace", "import", str(path), "--dry-run", "--json").json["first_rows"][0]
    assert (row["requests"], row["end"]) == (5, "2025-03-03T10:00:00+00:00")


def test_a_dry_run_is_for_files(cli: Cli) -> None:
    result = cli("trace", "import", "http://127.0.0.1:1", "--dry-run")
    assert result.code == 2
    assert "--dry-run is for files" in result.err


def test_options_without_new_settings_are_what_they_were() -> None:
    assert OPTIONS.constants == OPTIONS.where == {}


def test_all_problems_of_a_mapping_come_at_once(tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "mine.toml").write_text(
        'format = "jsonl"\ntime_unit = "h"\n[columns]\ninput_tokens = ["x", 5]\ncolour = "c"\n'
        "[constants]\nsize = 1\nclass = []\n"
    )
    path = jsonl(tmp_path / "l.jsonl", {"arrival": AT, "input_tokens": 1, "output_tokens": 1})
    error = refusal(cli, path, "--mapping", str(tmp_path / "mine.toml"))
    assert "columns.input_tokens.1: Input should be a valid string, got 5; " in error
    assert "constants.class: Input should be a valid boolean or integer or number or string, got []; " in error
    assert "time_unit: Input should be 's', 'ms', 'us' or 'ns', got 'h'; " in error
    assert "columns.colour: is not a field of jsonl; " in error
    assert "constants.size: is not a field of jsonl; " in error
    assert [error.count(name) for name in ("input_tokens.1", "colour", "constants.class")] == [1, 1, 1]


def test_fields_that_contradict_each_other_are_named_with_all_that_are_unknown(tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "mine.toml").write_text(
        'format = "csv"\nrecords = "data"\n[columns]\ncolour = "c"\nclass = "m"\n[constants]\nclass = "a"\nsize = 1\n'
    )
    error = refusal(cli, jsonl(tmp_path / "l.jsonl", {}), "--mapping", str(tmp_path / "mine.toml"))
    told = ("class is in columns and in constants", "records and each are", "columns.colour: is", "constants.size: is")
    assert [error.count(each) for each in told] == [1, 1, 1, 1]


def test_a_path_that_is_not_there_is_named_with_the_format_that_reads_any(tmp_path: Path, cli: Cli) -> None:
    path = jsonl(tmp_path / "l.jsonl", {"at": AT, "usage": USAGE})
    error = refusal(cli, path, "--column", "arrival=at", "--column", "input_tokens=usage.prompt_token")
    assert (
        "is not a known log format (it has at, usage), and nothing at usage.prompt_token; --format jsonl reads any"
        in error
    )
    table = tmp_path / "l.csv"
    table.write_text(f"at,tokens\n{AT},5\n")
    error = refusal(cli, table, "--column", "arrival=time")
    assert "and nothing at time; --format csv reads any columns that --column names" in error


def test_what_no_reader_of_times_or_numbers_takes_names_the_cure(tmp_path: Path, cli: Cli) -> None:
    path = tmp_path / "l.csv"
    path.write_text("arrival,input_tokens,output_tokens\n24.12.2025 10:00,5,6\n")
    assert "say how times are written, as --time-format '%d.%m.%Y %H:%M:%S', or check the file" in refusal(cli, path)
    assert "say how" not in refusal(cli, path, "--time-format", "%d/%m/%Y %H:%M")
    path.write_text(f'arrival,input_tokens,output_tokens\n{AT},"1299,0",6\n')
    assert "numbers are read as 1234, 1,234 or 1 234, and no comma is read as a decimal point" in refusal(cli, path)
