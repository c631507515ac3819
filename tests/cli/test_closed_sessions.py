"""`replay.sessions=closed` on fleets whose prefill and decode are apart: what shifts, what is kept, what is refused."""

from pathlib import Path

import pytest

from tests.conftest import Cli
from tests.helpers.conversations import APART, write_log

CLOSED = ("--set", "replay.sessions=closed")


@pytest.fixture
def fleet(tmp_path: Path, cli: Cli) -> str:
    """A scenario, and a log of two hours of 300 conversations in the store."""
    write_log(tmp_path / "log.csv")
    cli("trace", "import", "log.csv", "--name", "log")
    path = tmp_path / "apart.toml"
    path.write_text(APART)
    return str(path)


def test_turns_come_when_they_came_where_answers_are_as_fast_as_on_idle_units(cli: Cli, fleet: str) -> None:
    open_, found = cli("replay", fleet, "--json").json, cli("replay", fleet, *CLOSED, "--json").json
    assert open_["shifts"] is None
    shifts = found["shifts"]
    assert shifts["turns"] > 500
    assert shifts["absent"] == 0
    # one stream at a time, mostly: some answers take a little longer beside others, and none is faster
    assert -1e-3 < shifts["p50_s"] < 1e-3
    assert 0 < shifts["p99_s"] < 0.1
    assert found["requests"] == open_["requests"] == found["completed"] + found["in_flight"] + found["rejected"]
    assert found["ttft_ms"]["p50"] == pytest.approx(open_["ttft_ms"]["p50"], rel=0.02)
    assert found["tpot_ms"]["p99"] == pytest.approx(open_["tpot_ms"]["p99"], rel=0.02)
    shown = cli("replay", fleet, *CLOSED).out
    assert f"closed: {shifts['turns']:,} later turns, {shifts['mean_s']:+,.2f} s against the trace" in shown


def test_turns_come_later_where_answers_are_late(cli: Cli, fleet: str) -> None:
    failing = ("--set", "failures.per_node_per_day=100", "--set", "failures.repair_s=60")
    found = cli("replay", fleet, *CLOSED, *failing, "--json").json
    shifts = found["shifts"]
    assert found["failures"]["decode"]["units"] > 0
    # whoever waits for a unit to be repaired comes as much later, and some not before the end
    assert shifts["p99_s"] > found["ttft_ms"]["p99"] / 1e3 > 0
    assert shifts["mean_s"] > 10
    assert shifts["absent"] > 0
    assert found["requests"] == found["completed"] + found["in_flight"] + found["rejected"]
    assert found["waited_for_repair"] > 0


@pytest.mark.parametrize(
    "sets",
    [
        ("replay.queue_mode=window", "replay.window_ms=200"),
        ("replay.queue_mode=depth", "replay.depth_rules=0:1,2:4"),
        ("replay.prefill_balancer=prefix-aware", "replay.decode_balancer=random"),
        ("replay.ranks=exact",),
        ("replay.timeout_s=0.02", "replay.queue_limit=1", "replay.retries=2", "replay.retry_after_s=0.5"),
    ],
)
def test_all_rules_of_queues_hold_in_a_closed_loop(cli: Cli, fleet: str, sets: tuple[str, ...]) -> None:
    found = cli("replay", fleet, *CLOSED, *(word for text in sets for word in ("--set", text)), "--json").json
    assert found["requests"] == found["completed"] + found["in_flight"] + found["rejected"] > 400
    assert found["shifts"]["turns"] > 500
    assert abs(found["shifts"]["p50_s"]) < 0.25


def test_the_ends_of_bands_are_closed_loops_too(cli: Cli, fleet: str) -> None:
    found = cli("replay", fleet, *CLOSED, "--bands", "--json").json
    bands = {band["figure"]: band for band in found["bands"]}
    for figure in ("ttft_ms.p50", "tpot_ms.p50"):
        assert bands[figure]["low"] < bands[figure]["value"] < bands[figure]["high"]


@pytest.mark.parametrize("serving", ["disaggregated", "aggregated"])
def test_rows_of_requests_are_those_that_came_in_the_window(cli: Cli, fleet: str, serving: str) -> None:
    both = ("--set", "fleet.serving=aggregated", "--set", "fleet.unit={ gpus = 2 }")
    failing = ("--set", "failures.per_node_per_day=200", "--set", "failures.repair_s=900")
    sets = both if serving == "aggregated" else ()
    found = cli("replay", fleet, *CLOSED, *failing, *sets, "--keep-requests", "--json").json
    counts = "SELECT status, count(*) AS requests FROM replay_request GROUP BY status"
    rows = {row["status"]: row["requests"] for row in cli("sql", counts, "--format", "json").json}
    assert found["shifts"]["absent"] > 0
    assert sum(rows.values()) == found["requests"]
    assert rows["completed"] == found["completed"]
    assert rows.get("in-flight", 0) == found["in_flight"]


def test_what_cannot_be_closed_is_refused_in_a_line(cli: Cli, fleet: str, tmp_path: Path) -> None:
    text = (tmp_path / "log.csv").read_text().splitlines()
    (tmp_path / "alone.csv").write_text("\n".join(line.rpartition(",")[0] for line in text) + "\n")
    cli("trace", "import", "alone.csv", "--name", "alone")
    for more, told in (
        (("--trace", "alone"), "trace alone has no sessions; set replay.sessions=open"),
        (("--set", "trace.demand_factor=2"), "turns would be repeated or left out; set replay.sessions=open"),
    ):
        refused = cli("replay", fleet, *CLOSED, *more)
        assert (refused.code, refused.out) == (2, "")
        assert told in refused.err
        assert refused.err.count("\n") == 1
