"""Bands of replays: how far the times that they rest on may be off, and what users then get of the same fleet."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from planner.capacity.bands import TimeBand, UnitBands, unit_bands
from planner.capacity.units import service_of
from planner.catalogue.scenarios import load_scenario
from tests.conftest import Cli
from tests.helpers.replays import EVENING, SETS, SMALL

ASKED = ("replay", *SETS, *EVENING)
LATENCIES = tuple(f"{metric}_ms.{quantile}" for metric in ("ttft", "tpot") for quantile in ("p50", "p90", "p99"))
SHARES = tuple(f"slo.{name}_attainment" for name in ("ttft", "tpot", "both"))
TIMES = UnitBands(TimeBand(0.5, 1.25, measured=False), TimeBand(0.75, 1.5, measured=True))
"""Of prompts and of decode steps."""


def figure(document: Any, path: str) -> float:
    for key in path.split("."):
        document = document[key]
    return float(document)


def bands_of(document: Any) -> dict[str, Any]:
    return {band["figure"]: band for band in document["bands"]}


def test_a_replay_says_how_far_the_times_of_units_may_be_off(cli: Cli) -> None:
    found, shown = cli(*ASKED, "--json").json, cli(*ASKED).out
    bands = unit_bands(load_scenario(None, list(SMALL)).scenario.fleet)
    for name, band in (("decode_steps", bands.steps), ("prompts", bands.prompts)):
        assert found["time_factors"][name] == {"low": band.low, "high": band.high, "measured": False}
        assert f"{band.low:.2f} to {band.high:.2f} times as long" in shown
    assert found["bands"] == []
    assert "; --bands replays both ends\n" in shown
    assert cli("sql", "SELECT count(*) AS rows FROM run_band", "--json").json == [{"rows": 0}]


def test_the_ends_are_the_replays_of_units_so_fast_and_so_slow(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("planner.studies.replay.run.unit_bands", lambda _fleet: TIMES)
    found = cli(*ASKED, "--bands", "--json").json
    bands = bands_of(found)
    assert set(bands) == {*LATENCIES, *SHARES}
    plain = cli(*ASKED, "--json").json
    ends = []
    for prompts, steps in ((0.5, 0.75), (1.25, 1.5)):
        with monkeypatch.context() as patched:
            patched.setattr(
                "planner.studies.replay.service.service_of",
                lambda *asked, by=(prompts, steps): service_of(*asked).slower(*by),
            )
            ends.append(cli(*ASKED, "--json").json)
    for name, band in bands.items():
        assert band["value"] == figure(found, name) == figure(plain, name)
        three = [figure(each, name) for each in (plain, *ends)]
        assert (band["low"], band["high"]) == (min(three), max(three))
        assert band["measured"] == ("tpot" in name)
    for name in LATENCIES:
        assert bands[name]["low"] < bands[name]["value"] < bands[name]["high"]
    changing = {"run_id", "wall_s", "requests_per_s", "bands"}
    assert {key: value for key, value in found.items() if key not in changing} == {
        key: value for key, value in plain.items() if key not in changing
    }


def test_bands_are_printed_beside_their_figures_and_stored_with_the_run(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("planner.studies.replay.run.unit_bands", lambda _fleet: TIMES)
    found, shown = cli(*ASKED, "--bands", "--json").json, cli(*ASKED, "--bands").out
    median = bands_of(found)["tpot_ms.p50"]
    assert f"p50 {median['value']:.1f} ms ({median['low']:.1f} to {median['high']:.1f})" in shown
    assert "decode steps 0.75 to 1.50 times as long, measured here: from a calibration" in shown
    assert "prompts 0.50 to 1.25 times as long, estimated" in shown
    rows = cli("sql", "--name", "run_bands", "--param", f"run_id={found['run_id']}", "--format", "json").json
    assert {row["figure"]: row for row in rows} == bands_of(found)
    # they are not those of the plan, whose capacities are observed
    assert cli("run", "show", found["run_id"], "--json").json["bands"] == []
    assert "90 % bands" not in cli("run", "show", found["run_id"]).out


def test_the_report_of_a_replay_shows_its_bands(cli: Cli) -> None:
    plain = cli(*ASKED, "--json").json["run_id"]
    banded = cli(*ASKED, "--bands", "--json").json
    cli("report", plain, "--out", "plain")
    cli("report", banded["run_id"], "--out", "banded")
    assert not Path("plain/replay_bands.csv").exists()
    assert "90 % band" not in Path("plain/index.html").read_text()
    table = {row["figure"]: row for row in pl.read_csv("banded/replay_bands.csv").to_dicts()}
    band = bands_of(banded)["ttft_ms.p99"]
    assert table["TTFT p99 (ms)"]["high"] == pytest.approx(band["high"])
    assert table["TTFT in time (%)"]["low"] == pytest.approx(100 * bands_of(banded)["slo.ttft_attainment"]["low"])
    page = Path("banded/index.html").read_text()
    assert f'<td class="n">{band["high"]:,.2f}</td>' in page
    assert "units so slow do not keep up" not in page


def test_where_units_so_slow_do_not_keep_up_latencies_have_no_upper_end(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    lame = UnitBands(TimeBand(0.8, 1000.0, measured=False), TimeBand(0.8, 1.2, measured=False))
    monkeypatch.setattr("planner.studies.replay.run.unit_bands", lambda _fleet: lame)
    found, shown = cli(*ASKED, "--bands", "--json").json, cli(*ASKED, "--bands").out
    bands = bands_of(found)
    assert all(bands[name]["high"] is None for name in LATENCIES)
    assert bands["slo.both_attainment"]["low"] == 0
    assert bands["slo.both_attainment"]["high"] >= bands["slo.both_attainment"]["value"]
    (note,) = [note for note in found["notes"] if note.startswith("bands: ")]
    assert "had not finished when the simulation ended" in note
    assert " or more)" in shown
    assert note in shown
    cli("report", found["run_id"], "--out", "r")
    assert "units so slow do not keep up" in Path("r/index.html").read_text()


def test_where_queues_grow_at_the_slow_end_a_note_says_so(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    # prompts take 17 % of the GPUs: seven times as long, they take more than there are
    overloaded = UnitBands(TimeBand(0.8, 7.0, measured=False), TimeBand(0.8, 1.2, measured=False))
    monkeypatch.setattr("planner.studies.replay.run.unit_bands", lambda _fleet: overloaded)
    found = cli(*ASKED, "--bands", "--json").json
    (note,) = [note for note in found["notes"] if note.startswith("bands: ")]
    assert "does not keep up with the requests: queues grow by" in note
    bands = bands_of(found)
    # minutes, of a queue that began with the simulation
    assert bands["ttft_ms.p50"]["value"] < 1000 < 60_000 < bands["ttft_ms.p50"]["high"]
    assert not [note for note in cli(*ASKED, "--json").json["notes"] if note.startswith("bands: ")]


def test_a_plan_on_modelled_capacity_is_replayed_with_the_units_that_it_has(cli: Cli) -> None:
    asked = (*ASKED, "--set", "fleet.capacity=modelled")
    plan = bands_of(cli("plan", *SETS, "--set", "fleet.capacity=modelled", "--json").json)
    found = cli(*asked, "--bands", "--json").json
    assert set(bands_of(found)) == {*LATENCIES, *SHARES}
    rows = cli("sql", "--name", "run_bands", "--param", f"run_id={found['run_id']}", "--format", "json").json
    assert {row["figure"]: row for row in rows} == {**plan, **bands_of(found)}
    # what the plan may need of slower units is another question than what users feel of those that it has
    assert found["cost_usd"] == cli(*asked, "--json").json["cost_usd"]
    assert bands_of(cli("run", "show", found["run_id"], "--json").json) == plan


def test_a_stored_run_is_replayed_with_bands(cli: Cli) -> None:
    run_id = cli("plan", *SETS, "--json").json["run_id"]
    found = cli("replay", run_id, *EVENING, "--bands", "--json").json
    assert bands_of(found) == bands_of(cli(*ASKED, "--bands", "--json").json)
