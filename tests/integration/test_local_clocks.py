"""Logs in local time: hours that the clock shows twice or never, numbers in any unit, formats of one's own."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pytest

from planner.store import Store
from planner.store.local_times import LocalClock, changes, install
from tests.conftest import Cli
from tests.helpers.imports import requests_of, write

ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "Asia/Kathmandu",
    "Asia/Shanghai",
)


@pytest.fixture
def database() -> Iterator[duckdb.DuckDBPyConnection]:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    yield connection
    connection.close()


def micros(at: datetime) -> int:
    return (at.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


@pytest.mark.parametrize("zone", ZONES)
def test_what_a_clock_shows_is_the_moment_that_zoneinfo_says(zone: str, database: duckdb.DuckDBPyConnection) -> None:
    """Around every change of the clock and in quiet times; twice-shown times have two moments, unshown ones none."""
    install(database, LocalClock(zone, lambda text: text))
    around = [datetime(2026, 7, 1), datetime(1999, 12, 31, 23, 59, 59)]
    for change in changes(zone):
        shown = datetime(1970, 1, 1) + timedelta(seconds=change.at_s + change.before_s)
        around += [shown + timedelta(minutes=minutes) for minutes in (-61, -60, -31, -30, -1, 0, 1, 29, 30, 59, 60, 61)]
    database.execute("CREATE TABLE shown (micros BIGINT)")
    database.executemany("INSERT INTO shown VALUES (?)", [[micros(at)] for at in around])
    rows = database.execute("SELECT local_to_utc(micros), local_to_second(micros) FROM shown").fetchall()
    for at, (first, second) in zip(around, rows, strict=True):
        moments = sorted({at.replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC) for fold in (0, 1)})
        real = [moment for moment in moments if moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None) == at]
        expected = [micros(moment.replace(tzinfo=None)) for moment in real]
        assert [value for value in (first, second) if value is not None] == expected, at


def csv(times: list[str]) -> str:
    return "arrival,input_tokens,output_tokens\n" + "".join(f"{at},{n},1\n" for n, at in enumerate(times, 1))


def imported(cli: Cli, times: list[str], *words: str) -> object:
    write(Path("l.csv"), csv(times))
    return cli("trace", "import", "l.csv", "--name", "t", "--json", *words).json


BERLIN = ("--timezone", "Europe/Berlin")
FOLD = [
    "2026-10-25 01:30",
    "2026-10-25 02:10",
    "2026-10-25 02:50",
    "2026-10-25 02:10",
    "2026-10-25 02:50",
    "2026-10-25 03:10",
]


def hours(store: Store) -> dict[int, int]:
    """Input tokens, which number the rows -> UTC hour."""
    return {row[1]: datetime.fromtimestamp(row[0] / 1e6, UTC).hour for row in requests_of(store)}


def unknown(requests: int) -> list[str]:
    """The note on a log without cached tokens."""
    return [f"cached input is unknown for {requests} of {requests} requests; planned as none cached"]


def test_the_order_tells_the_two_times_of_a_repeated_hour_apart(cli: Cli, store: Store) -> None:
    told = imported(cli, FOLD, *BERLIN)
    assert hours(store) == {1: 23, 2: 0, 3: 0, 4: 1, 5: 1, 6: 2}
    assert told["notes"] == [  # type: ignore[index]
        "the clock of Europe/Berlin was put back: 4 requests of the repeated hour are told apart by their order",
        *unknown(6),
    ]


def test_a_repeated_hour_out_of_order_is_divided_and_that_is_said(cli: Cli, store: Store) -> None:
    told = imported(cli, [FOLD[0], *FOLD[1:5:2], *FOLD[2:5:2], FOLD[5]], *BERLIN)
    assert sorted(hours(store).values()) == [0, 0, 1, 1, 2, 23]
    assert "4 requests of the repeated hour" in told["notes"][0]  # type: ignore[index]
    assert "give times with an offset" in told["notes"][0]  # type: ignore[index]


def test_a_file_from_the_newest_row_to_the_oldest_is_in_order_too(cli: Cli, store: Store) -> None:
    imported(cli, FOLD[::-1], *BERLIN)
    assert hours(store) == {1: 2, 2: 1, 3: 1, 4: 0, 5: 0, 6: 23}


def test_a_step_back_in_a_file_from_the_newest_row_to_the_oldest_tells_nothing(cli: Cli) -> None:
    told = imported(cli, [FOLD[5], FOLD[2], FOLD[1], FOLD[0]], *BERLIN)
    assert "the order of 2 requests of the repeated hour does not tell" in told["notes"][0]  # type: ignore[index]


def several(cli: Cli, *files: list[str]) -> list[str]:
    """The notes of an import of several files."""
    names = [f"{place}.csv" for place in range(len(files))]
    for name, times in zip(names, files, strict=True):
        write(Path(name), csv(times).replace(",1\n", f",{name[0]}\n"))
    notes: list[str] = cli("trace", "import", *names, "--name", "t", "--json", *BERLIN).json["notes"]
    return notes


def test_the_order_in_one_file_says_nothing_about_another(cli: Cli, store: Store) -> None:
    single = [*FOLD[:3], FOLD[5]]
    notes = several(cli, single, single)
    assert "the order of 4 requests of the repeated hour does not tell" in notes[0]
    at_0, at_1 = ([row for row in requests_of(store) if row[3] == file] for file in (0, 1))
    assert [row[0] for row in at_0] == [row[0] for row in at_1]


def test_servers_that_each_log_in_order_are_told_apart_each_by_itself(cli: Cli, store: Store) -> None:
    notes = several(cli, FOLD, FOLD)
    assert "8 requests of the repeated hour are told apart by their order" in notes[0]
    found = [(row[1], datetime.fromtimestamp(row[0] / 1e6, UTC).hour) for row in requests_of(store)]
    assert sorted(found) == sorted([(1, 23), (2, 0), (3, 0), (4, 1), (5, 1), (6, 2)] * 2)


def test_of_files_that_tell_and_others_that_do_not_both_are_counted(cli: Cli) -> None:
    told, untold, *_ = several(cli, FOLD, [FOLD[0], FOLD[1], FOLD[5]])
    assert "4 requests of the repeated hour are told apart by their order" in told
    assert "the order of 1 requests of the repeated hour does not tell" in untold


def test_times_that_do_not_exist_are_refused_by_row(cli: Cli) -> None:
    told = imported(cli, ["2026-03-29 01:30", "2026-03-29 02:30", "2026-03-29 03:30"], *BERLIN)
    assert told["rejects"] == {"arrival does not exist: the clock was put forward": 1}  # type: ignore[index]


@pytest.mark.parametrize("year", ["0001", "1600", "5026", "9999"])
def test_years_of_no_log_are_said_to_be_that(cli: Cli, year: str) -> None:
    told = imported(cli, ["2026-01-01 00:00", f"{year}-01-01 00:00", f"{year}-01-01T00:00Z"], *BERLIN)
    assert told["rejects"] == {"arrival is of a year that no log is of": 2}  # type: ignore[index]


def test_times_with_an_offset_have_no_repeated_hour(cli: Cli, store: Store) -> None:
    told = imported(cli, [f"{at}:00+02:00" for at in FOLD], *BERLIN)
    assert told["notes"] == unknown(6)  # type: ignore[index]
    assert set(hours(store).values()) == {23, 0, 1}


def windows(cli: Cli, name: str, *spans: str) -> dict[str, Any]:
    """Import windows of 2026-10-25, each "from-to"; the first has 1 request, the next 2, and so on."""
    rows = ["window_start,window_end,requests,input_tokens,output_tokens"]
    for count, (start, end) in enumerate((span.split("-") for span in spans), 1):
        rows.append(f"2026-10-25 {start},2026-10-25 {end},{count},{count},1")
    write(Path(f"{name}.csv"), "\n".join(rows) + "\n")
    result = cli("trace", "import", f"{name}.csv", "--name", name, "--json", *BERLIN)
    assert result.code == 0, result.err
    told: dict[str, Any] = result.json
    assert told["rows_read"] == told["rows_imported"] + told["rows_rejected"]
    return told


def in_utc(cli: Cli, name: str) -> list[tuple[str, str, int]]:
    """Start, end and requests of stored windows, in UTC."""
    query = (
        "SELECT strftime(make_timestamp(d.window_start_us), '%H:%M') AS s, "
        "strftime(make_timestamp(d.window_end_us), '%H:%M') AS e, d.requests AS n FROM demand_window AS d "
        f"JOIN trace USING (trace_id) WHERE name = '{name}' ORDER BY d.window_start_us"
    )
    return [(row["s"], row["e"], row["n"]) for row in cli("sql", query, "--format", "json").json]


TWICE = (
    "window_start is shown twice by the clock of its zone, and the order of the rows does not tell which; give it with "
    "an offset"
)
HOURS = [("23:00", "00:00", 1), ("00:00", "01:00", 2), ("01:00", "02:00", 3), ("02:00", "03:00", 4)]


def test_windows_of_a_repeated_hour_are_told_apart_by_their_order(cli: Cli) -> None:
    told = windows(cli, "up", "01:00-02:00", "02:00-03:00", "02:00-03:00", "03:00-04:00")
    assert in_utc(cli, "up") == HOURS
    assert told["notes"][0] == (
        "the clock of Europe/Berlin was put back: 2 windows of the repeated hour are told apart by their order"
    )
    # the newest first
    windows(cli, "down", "03:00-04:00", "02:00-03:00", "02:00-03:00", "01:00-02:00")
    assert [(start, end, 5 - count) for start, end, count in in_utc(cli, "down")] == HOURS
    # the end as the clock shows it, which is put back at that moment
    windows(cli, "shown", "01:00-02:00", "02:00-02:00", "02:00-03:00", "03:00-04:00")
    assert in_utc(cli, "shown") == HOURS


def test_shorter_windows_of_a_repeated_hour_are_told_apart_by_the_step_back(cli: Cli) -> None:
    windows(cli, "w", "01:30-02:00", "02:00-02:30", "02:30-03:00", "02:00-02:30", "02:30-03:00", "03:00-03:30")
    assert in_utc(cli, "w") == [
        ("23:30", "00:00", 1), ("00:00", "00:30", 2), ("00:30", "01:00", 3),
        ("01:00", "01:30", 4), ("01:30", "02:00", 5), ("02:00", "02:30", 6),
    ]  # fmt: skip


def test_windows_of_several_rows_are_told_apart_by_as_many_as_the_window_beside_them_has(cli: Cli) -> None:
    windows(cli, "w", *["01:00-02:00"] * 2, *["02:00-03:00"] * 4, *["03:00-04:00"] * 2)
    assert in_utc(cli, "w") == [
        ("23:00", "00:00", 1 + 2), ("00:00", "01:00", 3 + 4), ("01:00", "02:00", 5 + 6), ("02:00", "03:00", 7 + 8),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("spans", "refused"),
    [
        (["01:00-02:00", "02:00-03:00", "03:00-04:00"], 1),  # of the first, of the second, or of both
        (["01:00-02:00", "02:00-02:30", "02:30-03:00", "03:00-04:00"], 2),
        (["01:00-02:00", *["02:00-03:00"] * 3, "03:00-04:00"], 3),
        (["02:00-03:00", "04:00-05:00", "02:00-03:00", "03:00-04:00"], 2),
    ],
)
def test_windows_that_the_order_does_not_tell_apart_need_an_offset(spans: list[str], refused: int, cli: Cli) -> None:
    told = windows(cli, "w", *spans)
    assert told["rejects"] == {TWICE: refused}
    assert not [note for note in told["notes"] if "put back" in note]
    shown = cli("trace", "import", "w.csv", "--dry-run", "--json", *BERLIN).json
    assert (shown["rows_imported"], shown["rows_rejected"]) == (len(spans) - refused, refused)


def test_a_window_over_a_repeated_hour_has_it_twice(cli: Cli) -> None:
    windows(cli, "w", "00:00-06:00", "06:00-12:00")
    assert in_utc(cli, "w") == [("22:00", "05:00", 1), ("05:00", "11:00", 2)]


MOMENT_S = 1_793_610_004


@pytest.mark.parametrize(("unit", "per_s"), [("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)])
def test_numbers_since_1970_are_read_in_the_unit_that_is_stated_and_no_other(
    unit: str, per_s: int, cli: Cli, store: Store
) -> None:
    imported(cli, [str(MOMENT_S * per_s)], "--time-unit", unit)
    assert requests_of(store)[0][0] == MOMENT_S * 10**6
    for other in {"s", "ms", "us", "ns"} - {unit}:
        result = cli("trace", "import", "l.csv", "--name", "u", "--time-unit", other)
        assert (result.code, result.err.count("\n")) == (1, 1)
        assert "--time-unit" in result.err


def test_numbers_since_1970_are_not_counted_from_a_start(cli: Cli) -> None:
    write(Path("l.csv"), csv([str(MOMENT_S)]))
    result = cli("trace", "import", "l.csv", "--name", "t", "--start", "2026-11-02")
    assert result.code == 1
    assert "leave --start out" in result.err


def test_a_start_that_is_not_known_is_said(cli: Cli) -> None:
    told = imported(cli, ["0.5", "7"])
    assert "the trace begins in 1970; state it with --start" in told["notes"][0]  # type: ignore[index]
    told = imported(cli, ["0.5", "8"], "--start", "2026-11-02", "--name", "u")
    assert told["notes"] == unknown(2)  # type: ignore[index]
    assert told["first_arrival"] == "2026-11-02T00:00:00.500000+00:00"  # type: ignore[index]


def test_options_without_effect_are_refused_or_said(cli: Cli) -> None:
    told = imported(cli, ["2026-11-02 09:00"], "--start", "2026-11-02")
    no_effect = "--start has no effect: the log has no times that are numbers"
    assert told["notes"] == [no_effect, *unknown(1)]  # type: ignore[index]
    write(Path("a.csv"), "TIMESTAMP,ContextTokens,GeneratedTokens\n2026-11-02 09:00:00,1,1\n")
    result = cli("trace", "import", "a.csv", "--name", "a", "--time-unit", "ms")
    assert (result.code, "leave it out" in result.err) == (2, True)


def test_a_zone_other_than_that_of_the_writer_is_said(cli: Cli) -> None:
    write(Path("l.csv"), "startTime,prompt_tokens,completion_tokens\n2026-11-02 09:00:00,1,1\n")
    told = cli("trace", "import", "l.csv", "--name", "a", "--timezone", "Europe/Berlin", "--json").json
    assert told["first_arrival"] == "2026-11-02T09:00:00+01:00"
    assert told["notes"][0].startswith(
        "times without an offset are read in Europe/Berlin, and what writes litellm logs writes them in UTC: leave"
    )
    told = cli("trace", "import", "l.csv", "--name", "b", "--json").json
    assert not any("offset" in note for note in told["notes"])


@pytest.mark.parametrize(
    "text",
    ["2026-11-02T09:00:00+16:00", "2026-11-02T09:00:00+05:75", "2026-11-02T24:00:00Z", "2026-11-02T09:00:60Z"],
)
def test_what_looks_like_an_iso_time_and_is_none_is_refused(cli: Cli, text: str) -> None:
    told = imported(cli, ["2026-11-02T09:00:00+14:00", text])
    assert told["rejects"] == {"arrival is not a time": 1}  # type: ignore[index]
    assert told["first_arrival"] == "2026-11-01T19:00:00+00:00"  # type: ignore[index]


def test_times_in_a_format_of_ones_own(cli: Cli, store: Store) -> None:
    told = imported(cli, ["02.11.2026 09:00:04", "2026-11-02 09:00:05"], "--time-format", "%d.%m.%Y %H:%M:%S")
    assert told["rejects"] == {"arrival is not written as --time-format says": 1}  # type: ignore[index]
    assert requests_of(store)[0][0] == MOMENT_S * 10**6
    result = cli("trace", "import", "l.csv", "--name", "u", "--time-format", "%H:%M")
    assert (result.code, "does not tell year, month, day and hour" in result.err) == (2, True)


@pytest.mark.parametrize(
    ("time", "form"),
    [("2026-11-02T10:00:04+0100", "%Y-%m-%dT%H:%M:%S%z"), ("02/Nov/2026:04:00:04 -0500", "%d/%b/%Y:%H:%M:%S %z")],
)
def test_a_format_of_ones_own_may_tell_the_offset(time: str, form: str, cli: Cli, store: Store) -> None:
    imported(cli, [time], "--time-format", form, *BERLIN)
    assert requests_of(store)[0][0] == MOMENT_S * 10**6


@pytest.mark.parametrize(
    ("form", "reason"),
    [
        ("%Y-%m-%d %H:%M:%S %Z", "strptime reads the name of a zone without its offset; read an offset with %z"),
        ("%s", "has %s, which is no letter of strptime"),
        ("%Y-%m-%d %H%", "has %, which is no letter of strptime"),
        ("%Y-%m-%d %%Z", "does not tell year, month, day and hour"),
        ("%Y-%m-%d %I:%M", "does not tell year, month, day and hour"),
    ],
)
def test_a_format_that_cannot_be_is_refused_for_what_is_wrong_with_it(form: str, reason: str, cli: Cli) -> None:
    write(Path("l.csv"), csv(["2026-11-02 09:00:04"]))
    result = cli("trace", "import", "l.csv", "--name", "t", "--time-format", form)
    assert (result.code, reason in result.err) == (2, True)


def test_a_form_of_ones_own_is_not_stated_where_it_has_no_effect(cli: Cli) -> None:
    told = imported(cli, ["20261102090004"], "--time-format", "%Y%m%d%H%M%S")
    assert told["first_arrival"] == "2026-11-02T09:00:04+00:00"  # type: ignore[index]
    for times, options, reason in (
        (["1793610001"], ("--time-format", "%Y-%m-%d %H:%M"), "arrival is not written as --time-format says"),
        (["2026-11-02T09:00"], ("--time-format", "%d.%m.%Y %H:%M"), "arrival is not written as --time-format says"),
        (["5"], ("--time-format", "%d.%m.%Y %H:%M", "--time-unit", "s"), "give one of them"),
    ):
        write(Path("l.csv"), csv(times))
        result = cli("trace", "import", "l.csv", "--name", "u", *options)
        assert result.code != 0
        assert reason in result.err
    write(Path("l.jsonl"), '{"timestamp": 0, "input_length": 5, "output_length": 4, "hash_ids": [1]}\n')
    result = cli("trace", "import", "l.jsonl", "--name", "u", "--time-format", "%d.%m.%Y %H:%M")
    assert (result.code, "are numbers; leave it out" in result.err) == (2, True)


def test_a_dry_run_shows_the_times_and_the_notes_of_the_import(cli: Cli) -> None:
    """02:40 comes back to 02:10 on the night on which Berlin puts its clock back."""
    rows = [f"2026-10-25 {at}:00,100,5" for at in ("01:50", "02:40", "02:10", "03:10")]
    Path("l.csv").write_text("\n".join(["arrival,input_tokens,output_tokens", *rows]) + "\n")
    words = ("trace", "import", "l.csv", "--timezone", "Europe/Berlin", "--json")
    dry = cli(*words, "--dry-run").json
    stored = cli(*words, "--name", "t").json
    assert [row["arrival"][11:22] for row in dry["first_rows"]] == [
        "01:50:00+02", "02:40:00+02", "02:10:00+01", "03:10:00+01"
    ]  # fmt: skip
    assert dry["notes"] == [note for note in stored["notes"] if "put back" in note]
    assert "2 requests of the repeated hour are told apart by their order" in dry["notes"][0]
