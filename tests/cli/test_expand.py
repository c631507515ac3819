"""Samples and demand per window become traces with every request: totals kept, the rest drawn by seed, and said."""

import json
from pathlib import Path

import pytest

from tests.conftest import Cli
from tests.helpers.expanded import START_US, WEIGHT, rows, sample, totals
from tests.helpers.replays import FLEET_SETS


@pytest.fixture
def sampled(cli: Cli, tmp_path: Path) -> None:
    """The sample, imported as s."""
    assert cli("trace", "import", str(sample(tmp_path / "s.csv")), "--name", "s").code == 0


@pytest.mark.usefixtures("sampled")
def test_a_sample_is_expanded_with_the_totals_of_its_cells(cli: Cli) -> None:
    found = cli("trace", "expand", "s", "--to", "full", "--json").json
    assert (found["trace"], found["origin"], found["sample_weight"]) == ("full", "expanded", 1)
    assert (found["rows"], found["requests"], found["rows_kept"], found["rows_drawn"]) == (3600, 3600, 360, 3240)
    assert (found["expanded_from"], found["seed"], found["is_known"]) == ("s", 1, False)
    assert totals(cli, "full") == totals(cli, "s")
    assert len(totals(cli, "full")) == 12


@pytest.mark.usefixtures("sampled")
def test_rows_of_the_sample_are_kept_and_others_are_like_one_of_their_cell(cli: Cli) -> None:
    cli("trace", "expand", "s", "--to", "full")
    own, full = ([tuple(row.values()) for row in rows(cli, name)] for name in ("s", "full"))
    assert set(own) <= set(full)
    shapes = {(row[0] // 900_000_000, *row[1:5]) for row in own}
    assert {(row[0] // 900_000_000, *row[1:5]) for row in full} == shapes
    assert full == sorted(full, key=lambda row: row[0])
    assert full[0][0] >= START_US
    assert full[-1][0] < START_US + 90 * 60_000_000


@pytest.mark.usefixtures("sampled")
def test_sessions_come_as_often_as_a_row_stands_for_requests(cli: Cli) -> None:
    cli("trace", "expand", "s", "--to", "full")
    per_session: dict[str, dict[int, list[int]]] = {}
    for name in ("s", "full"):
        per_session[name] = {}
        for row in rows(cli, name):
            if row["session_id"] is not None:
                per_session[name].setdefault(row["session_id"], []).append(row["input_tokens"])
    own, full = per_session["s"], per_session["full"]
    assert len(full) == WEIGHT * len(own)
    assert all(full[number] == turns for number, turns in own.items())
    # a copy of a session is the same conversation at another time, its turns in order
    assert sorted(map(tuple, full.values())) == sorted(tuple(turns) for turns in own.values() for _ in range(WEIGHT))


@pytest.mark.usefixtures("sampled")
def test_the_seed_alone_decides(cli: Cli) -> None:
    for name, seed in (("one", "5"), ("again", "5"), ("other", "6")):
        assert cli("trace", "expand", "s", "--to", name, "--seed", seed).code == 0
    assert rows(cli, "one") == rows(cli, "again") != rows(cli, "other")
    known = cli("trace", "expand", "s", "--to", "one", "--seed", "5", "--json")
    assert known.json["is_known"]
    assert "already stored as one; nothing was drawn" in known.err


@pytest.mark.usefixtures("sampled")
def test_a_plan_of_an_expanded_trace_says_so(cli: Cli) -> None:
    cli("trace", "expand", "s", "--to", "full")
    planned = cli("plan", "--trace", "full", "--json").json
    assert "90.0% of the requests were drawn from trace s, by seed 1" in " ".join(planned["notes"])
    of_sample = cli("plan", "--trace", "s", "--json").json
    for key in ("requests", "input_tokens", "cached_input_tokens", "output_tokens", "node_hours", "cost_usd"):
        assert planned[key] == of_sample[key]
    told = cli("trace", "show", "full")
    assert "full: 3,600 rows\n" in told.out


@pytest.mark.usefixtures("sampled")
def test_a_replay_of_a_sample_names_the_cure_which_works(cli: Cli) -> None:
    refused = cli("replay", "--trace", "s", *FLEET_SETS)
    assert refused.code != 0
    assert "draw the missing ones with `planner trace expand s --to FULL` and replay that" in refused.err
    cli("trace", "expand", "s", "--to", "full")
    hour = ("--from", "2025-03-01T00:30Z", "--to", "2025-03-01T01:00Z")
    replayed = cli("replay", "--trace", "full", *FLEET_SETS, *hour, "--json").json
    asked = [row["requests"] for row in totals(cli, "s", ["cell"])]
    assert replayed["requests"] == sum(asked[2:4])


WINDOWS = """window_start,window_end,requests,input_tokens,cached_input_tokens,output_tokens
2025-03-01T00:00:00Z,2025-03-01T00:10:00Z,7,7001,100,70
2025-03-01T00:10:00Z,2025-03-01T00:20:00Z,0,0,0,0
2025-03-01T00:20:00Z,2025-03-01T00:30:00Z,11,900,900,13
"""


def test_requests_are_drawn_from_windows_with_their_totals(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "w.csv").write_text(WINDOWS)
    cli("trace", "import", "w.csv", "--name", "w")
    refused = cli("replay", "--trace", "w")
    assert "draw them with `planner trace expand w --to FULL`" in refused.err
    found = cli("trace", "expand", "w", "--to", "full", "--json").json
    assert (found["rows"], found["rows_kept"], found["rows_drawn"]) == (18, 0, 18)
    sums = cli(
        "sql",
        f"SELECT (arrival_us - {START_US}) // 600000000 AS w, count(*) AS n, sum(input_tokens) AS i, "
        "sum(cached_input_tokens) AS c, sum(output_tokens) AS o FROM request GROUP BY w ORDER BY w",
        "--format",
        "json",
    ).json
    assert [tuple(row.values()) for row in sums] == [(0, 7, 7001, 100, 70), (2, 11, 900, 900, 13)]


def test_tokens_of_windows_without_a_request_are_said(cli: Cli, tmp_path: Path) -> None:
    text = WINDOWS.replace("00:20:00Z,0,0,0,0", "00:20:00Z,0,50,0,5")
    text += "2025-03-01T00:30:00Z,2025-03-01T00:40:00Z,0,0,0,9\n"
    (tmp_path / "w.csv").write_text(text)
    cli("trace", "import", "w.csv", "--name", "w")
    notes = " ".join(cli("trace", "expand", "w", "--to", "full", "--json").json["notes"])
    assert "2 windows have tokens and no request; the next one that has some carries them" in notes
    assert "9 output tokens have no request to carry them" in notes


@pytest.mark.usefixtures("sampled")
@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("none", "--to", "full"), 'no trace "none"; the stored ones are s'),
        (("s", "--to", "s"), 'a trace "s" is already stored'),
        (("s", "--to", " "), "--to is an empty text"),
    ],
)
def test_what_cannot_be_expanded_is_refused(cli: Cli, words: tuple[str, ...], why: str) -> None:
    refused = cli("trace", "expand", *words)
    assert refused.code in (1, 2)
    assert why in refused.err
    assert len(cli("trace", "list", "--json").json) == 1


def test_a_whole_trace_needs_no_expansion(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("arrival,input_tokens,output_tokens\n2025-03-01T00:00Z,10,5\n")
    cli("trace", "import", "a.csv", "--name", "a")
    refused = cli("trace", "expand", "a", "--to", "full")
    assert (refused.code, "trace a has every request" in refused.err) == (1, True)


def test_a_synthetic_sample_keeps_the_time_that_it_covers(cli: Cli) -> None:
    part = ("--from", "2025-02-27T20:00+08:00", "--to", "2025-02-27T21:00+08:00")
    cli("trace", "generate", "--name", "g", "--scale", "0.1", "--demand-factor", "0.001", *part)
    found = cli("trace", "expand", "g", "--to", "full", "--json").json
    assert found["requests"] == found["rows"] > 5_000
    assert totals(cli, "full", ["cell"]) == totals(cli, "g", ["cell"])
    spans = cli("sql", "SELECT settings FROM trace WHERE name = 'full'", "--format", "json").json
    assert json.loads(spans[0]["settings"])["span"] == {"start_s": 1740657600, "end_s": 1740661200}


def test_unknown_cached_tokens_stay_unknown(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text(
        "arrival,input_tokens,output_tokens,sample_weight\n"
        + "".join(f"2025-03-01T00:{minute:02d}:00Z,100,10,3\n" for minute in range(5))
    )
    (tmp_path / "w.csv").write_text(
        "window_start,window_end,requests,input_tokens,output_tokens\n"
        "2025-03-01T00:00:00Z,2025-03-01T00:10:00Z,7,7001,70\n"
    )
    for name in ("s", "w"):
        assert cli("trace", "import", f"{name}.csv", "--name", name).code == 0
        assert cli("trace", "expand", name, "--to", f"full-{name}").code == 0
    query = "SELECT count(*) AS n, count(r.cached_input_tokens) AS known FROM request AS r JOIN trace USING (trace_id)"
    counted = cli("sql", f"{query} WHERE origin = 'expanded'", "--format", "json").json
    assert counted == [{"n": 22, "known": 0}]
