"""A part of a sample, or of demand per window, is expanded by itself: it has the requests that the whole has there."""

import json
from pathlib import Path
from typing import Any

import pytest

from planner.trace import windows
from tests.conftest import Cli
from tests.helpers.expanded import START_US, rows, sample, totals
from tests.helpers.logs import HISTOGRAMS, SMALL, folder
from tests.helpers.replays import FLEET_SETS

QUARTER_US = 900_000_000
PART = ("--from", "2025-03-01T00:30Z", "--until", "2025-03-01T01:15+00:00")
WINDOWS = """window_start,window_end,requests,input_tokens,cached_input_tokens,output_tokens
2025-03-01T00:00:00Z,2025-03-01T00:10:00Z,7,7001,100,70
2025-03-01T00:10:00Z,2025-03-01T00:20:00Z,0,50,0,5
2025-03-01T00:20:00Z,2025-03-01T00:30:00Z,11,900,900,13
2025-03-01T00:40:00Z,2025-03-01T00:50:00Z,5,333,4,29
"""


@pytest.fixture
def sampled(cli: Cli, tmp_path: Path) -> None:
    """The sample of 90 minutes from midnight on, imported as s."""
    assert cli("trace", "import", str(sample(tmp_path / "s.csv")), "--name", "s").code == 0


@pytest.fixture
def windowed(cli: Cli, tmp_path: Path) -> None:
    """Demand per window, with a silent one and a gap, imported as w."""
    (tmp_path / "w.csv").write_text(WINDOWS)
    assert cli("trace", "import", "w.csv", "--name", "w").code == 0


def between(found: list[Any], first_us: int, end_us: int) -> list[Any]:
    """Requests that arrive from one time to another, both from the start."""
    return [row for row in found if first_us <= row["arrival_us"] - START_US < end_us]


@pytest.mark.usefixtures("sampled")
def test_a_part_has_the_requests_of_the_whole_there(cli: Cli) -> None:
    cli("trace", "expand", "s", "--to", "full", "--seed", "7")
    assert cli("trace", "expand", "s", "--to", "part", "--seed", "7", *PART).code == 0
    inside = between(rows(cli, "full"), 2 * QUARTER_US, 5 * QUARTER_US)
    assert rows(cli, "part") == inside
    assert len({row["session_id"] for row in inside}) > 100


@pytest.mark.usefixtures("sampled")
def test_a_part_has_the_totals_of_its_cells(cli: Cli) -> None:
    found = cli("trace", "expand", "s", "--to", "part", *PART, "--json").json
    own = [row for row in totals(cli, "s") if 2 <= row["cell"] - START_US // QUARTER_US < 5]
    assert totals(cli, "part") == own
    asked = sum(row["requests"] for row in own)
    assert (found["rows"], found["rows_kept"], found["rows_drawn"]) == (asked, asked // 10, asked - asked // 10)
    assert (found["part_start"], found["part_end"]) == ("2025-03-01T00:30:00+00:00", "2025-03-01T01:15:00+00:00")
    notes = " ".join(found["notes"])
    assert f"{found['rows_drawn']:,} of {asked:,} requests are drawn by seed" in notes
    assert "of sessions that begin before the part or go on after it, the requests within it are there" in notes


@pytest.mark.usefixtures("sampled")
def test_a_part_is_planned_as_its_own_time(cli: Cli) -> None:
    """And not as a day with silence around it."""
    told = cli("trace", "expand", "s", "--to", "part", *PART)
    assert "part: 2025-03-01T00:30:00+00:00 to 2025-03-01T01:15:00+00:00, " in told.out
    planned = cli("plan", "--trace", "part", *FLEET_SETS, "--json").json
    assert planned["node_hours"] == pytest.approx(planned["mean_nodes"] * 0.75)
    assert [hour["start"] for hour in planned["hours"]] == ["2025-03-01T08:00:00+08:00", "2025-03-01T09:00:00+08:00"]
    notes = " ".join(planned["notes"])
    assert "90.0% of the requests were drawn from trace s, by seed 1" in notes
    assert "silence" not in notes
    settings = json.loads(cli("sql", "SELECT settings FROM trace WHERE name = 'part'", "--json").json[0]["settings"])
    assert settings["span"] == settings["expanded_from"]["part"] == {"start_s": 1740789000, "end_s": 1740791700}


@pytest.mark.usefixtures("sampled")
def test_a_part_is_replayed(cli: Cli) -> None:
    cli("trace", "expand", "s", "--to", "part", *PART)
    last = ("--from", "2025-03-01T01:00Z", "--to", "2025-03-01T01:15Z")
    replayed = cli("replay", "--trace", "part", *FLEET_SETS, *last, "--json")
    assert replayed.code == 0, replayed.err
    assert replayed.json["requests"] == sum(row["requests"] for row in totals(cli, "s", ["cell"])[4:5])


@pytest.mark.usefixtures("sampled")
def test_one_end_alone_goes_on_to_the_end_of_the_trace(cli: Cli) -> None:
    cli("trace", "expand", "s", "--to", "full")
    late = cli("trace", "expand", "s", "--to", "late", "--from", "2025-03-01T01:00Z", "--json").json
    early = cli("trace", "expand", "s", "--to", "early", "--until", "2025-03-01T01:00Z", "--json").json
    assert (late["part_end"], early["part_start"]) == ("2025-03-01T01:30:00+00:00", "2025-03-01T00:00:00+00:00")
    assert rows(cli, "early") + rows(cli, "late") == rows(cli, "full")


@pytest.mark.usefixtures("sampled")
def test_the_same_part_is_known_and_another_is_not(cli: Cli) -> None:
    first = cli("trace", "expand", "s", "--to", "part", *PART, "--json").json
    again = cli("trace", "expand", "s", "--to", "part", *PART, "--json").json
    assert again == {**first, "is_known": True}
    other = cli("trace", "expand", "s", "--to", "part", PART[0], PART[1])
    assert (other.code, 'a trace "part" is already stored' in other.err) == (1, True)


@pytest.mark.usefixtures("windowed")
def test_a_part_of_windows_has_the_requests_of_the_whole_there(cli: Cli) -> None:
    cli("trace", "expand", "w", "--to", "full")
    part = cli("trace", "expand", "w", "--to", "part", "--from", "2025-03-01T00:20Z", "--until", "2025-03-01T00:35Z")
    assert part.code == 0, part.err
    assert rows(cli, "part") == between(rows(cli, "full"), 1_200_000_000, 2_100_000_000)
    # what the silent window before it asks for is carried by its first requests, as in the whole
    assert sum(row["output_tokens"] for row in rows(cli, "part")) == 5 + 13


@pytest.mark.usefixtures("windowed")
def test_tokens_that_are_carried_after_the_part_are_said(cli: Cli) -> None:
    asked = ("--to", "part", "--until", "2025-03-01T00:20Z", "--json")
    notes = " ".join(cli("trace", "expand", "w", *asked).json["notes"])
    assert "1 windows have tokens and no request; the next one that has some carries them" in notes
    assert "5 output tokens have no request to carry them" in notes


def test_the_coverage_of_a_part_is_its_own(cli: Cli, tmp_path: Path) -> None:
    clients = folder(tmp_path / "g", SMALL, HISTOGRAMS)
    cli("trace", "import", str(clients), "--name", "g", "--start", "2025-03-01T00:00Z")
    early = cli("trace", "expand", "g", "--to", "early", "--until", "2025-03-01T00:20Z", "--json").json
    late = cli("trace", "expand", "g", "--to", "late", "--from", "2025-03-01T00:20Z", "--json").json
    assert "300 requests of unknown lengths are left out" in early["notes"]
    assert "unknown lengths" not in " ".join(late["notes"])
    covered = {name: cli("trace", "show", name, "--json").json["coverage"] for name in ("early", "late")}
    assert covered["early"] == {"requests": 306, "requests_with_lengths": 6, "request_share": 6 / 306}
    assert covered["late"] == {"requests": 30, "requests_with_lengths": 30, "request_share": 1.0}


@pytest.mark.usefixtures("sampled")
@pytest.mark.parametrize(
    ("words", "why"),
    [
        (
            ("--from", "2025-03-01T00:10Z"),
            "--from 2025-03-01T00:10:00+00:00 is within a quarter of an hour, in which the totals of trace s are kept; "
            "write 2025-03-01T00:00:00+00:00 or 2025-03-01T00:15:00+00:00",
        ),
        (("--until", "2025-03-01T00:15:01Z"), "--until 2025-03-01T00:15:01+00:00 is within a quarter of an hour"),
        (
            ("--from", "2025-02-28T23:45Z"),
            "--from 2025-02-28T23:45:00+00:00 is outside of trace s, which covers 2025-03-01T00:00:00+00:00 to "
            "2025-03-01T01:30:00+00:00",
        ),
        (("--until", "2025-03-01T01:45Z"), "--until 2025-03-01T01:45:00+00:00 is outside of trace s"),
        (
            ("--from", "2025-03-01T01:00Z", "--until", "2025-03-01T00:30Z"),
            "--from 2025-03-01T01:00:00+00:00 is not before --until 2025-03-01T00:30:00+00:00; swap or correct them",
        ),
        (("--from", "2025-03-01T01:30Z"), "--from 2025-03-01T01:30:00+00:00 is not before --until"),
        (("--from", "2025-03-01T00:30"), '"2025-03-01T00:30" has no offset; write it as 2025-03-01T00:30'),
        (("--until", "noon"), '"noon" is not a time; write it as'),
        (("--from", ""), '"" is not a time'),
    ],
)
def test_a_time_that_is_no_part_is_refused_in_one_line(cli: Cli, words: tuple[str, ...], why: str) -> None:
    refused = cli("trace", "expand", "s", "--to", "part", *words)
    assert refused.code in (1, 2)
    assert refused.err.count("\n") == 1
    assert why in refused.err
    assert len(cli("trace", "list", "--json").json) == 1


@pytest.mark.usefixtures("windowed")
def test_a_part_that_cuts_a_window_or_has_no_request_is_refused(cli: Cli) -> None:
    cut = cli("trace", "expand", "w", "--to", "part", "--from", "2025-03-01T00:05Z")
    assert (cut.code, cut.err.count("\n")) == (2, 1)
    assert (
        "--from 2025-03-01T00:05:00+00:00 is within a window of trace w, whose requests are not known one by one; "
        "write 2025-03-01T00:00:00+00:00 or 2025-03-01T00:10:00+00:00"
    ) in cut.err
    silent = cli("trace", "expand", "w", "--to", "part", "--from", "2025-03-01T00:10Z", "--until", "2025-03-01T00:20Z")
    assert (silent.code, silent.err.count("\n")) == (1, 1)
    assert (
        "trace w has no request from 2025-03-01T00:10:00+00:00 to 2025-03-01T00:20:00+00:00; expand another part"
        in silent.err
    )


def test_a_silent_part_of_a_sample_is_refused(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text(
        "arrival,input_tokens,output_tokens,sample_weight\n2025-03-01T00:00Z,10,5,3\n2025-03-01T02:00Z,10,5,3\n"
    )
    cli("trace", "import", "s.csv", "--name", "s", "--timezone", "Asia/Kathmandu")
    refused = cli("trace", "expand", "s", "--to", "part", "--from", "2025-03-01T01:00Z", "--until", "2025-03-01T02:00Z")
    # by the clock of the trace
    assert "trace s has no request from 2025-03-01T06:45:00+05:45 to 2025-03-01T07:45:00+05:45" in refused.err


@pytest.mark.usefixtures("sampled")
def test_a_part_of_a_trace_that_is_too_long_to_expand_can_be_drawn(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "MOST_ROWS", 2_500)
    refused = cli("trace", "expand", "s", "--to", "full")
    assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert "3,600 requests would be drawn, and 2,500 is the limit; expand a shorter part, with --from" in refused.err
    assert cli("trace", "expand", "s", "--to", "part", *PART).code == 0
