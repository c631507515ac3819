"""What a replay says of its targets, and of the speed of streams that was published."""

from dataclasses import replace

import pytest

from planner.catalogue.scenarios import load_scenario
from planner.planning.prepare import ensure_trace
from planner.settings.scenario import Scenario
from planner.store import Store
from planner.studies.replay.document import LatencySummary
from planner.studies.replay.notes import stream_notes, target_note
from tests.conftest import NOW, Cli
from tests.helpers.replays import EVENING, SETS


def latency(p50: float | None) -> LatencySummary:
    return LatencySummary(mean=p50, p50=p50, p90=p50, p95=p50, p99=p50)


def scenario(*overrides: str) -> Scenario:
    return load_scenario(None, overrides).scenario


def test_the_targets_are_explained_in_one_sentence_with_the_median_beside_them() -> None:
    assert target_note(scenario().slo, latency(51.8)) == (
        "targets: a first token within 5,000 ms (slo.ttft_ms), and for each further token of a request at most 50 ms "
        "on average (slo.tpot_ms), which is 20.0 tokens/s; the median request takes 51.8 ms, 3.6% over it"
    )
    assert target_note(scenario().slo, latency(45.0)).endswith("the median request takes 45.0 ms, 10.0% under it")
    assert target_note(scenario("slo.tpot_ms=40").slo, latency(None)).endswith("which is 25.0 tokens/s")


def test_the_shipped_day_stands_to_the_published_speed_by_its_mean(planned: Store) -> None:
    trace = ensure_trace(planned, scenario(), now=NOW)
    (busy,) = stream_notes(scenario(), trace, 19.2, (), whole=False)
    assert busy == (
        "streams of DeepSeek's published day, 27-28 February 2025 had 20 to 22 tokens/s on average over the whole; "
        "here the mean is 19.2, below that, in this window alone: replayed with --all the whole day has 21.0, and its "
        "busiest hours are below"
    )
    (whole,) = stream_notes(scenario(), trace, 21.0, (), whole=True)
    assert whole.endswith("here the mean is 21.0, inside that")
    (changed,) = stream_notes(scenario("fleet.start_up_s=60"), trace, 22.5, (), whole=False)
    assert changed.endswith("here the mean is 22.5, above that, in this window alone: --all replays the whole")


@pytest.mark.parametrize(
    "other", ["fleet.engine.hardware=h200", "fleet.decode.nodes=9", "fleet.observed.least_tokens_per_s_per_stream="]
)
def test_another_fleet_is_not_compared_with_the_published_speed(planned: Store, other: str) -> None:
    trace = ensure_trace(planned, scenario(), now=NOW)
    assert stream_notes(scenario(other), trace, 21.0, (), whole=True) == []
    assert stream_notes(scenario(), replace(trace, cached_input_tokens=0), 21.0, (), whole=True) == []


def test_hours_below_the_published_speed_are_counted(planned: Store, cli: Cli) -> None:
    document = cli("replay", *SETS, *EVENING, "--json").json
    assert document["notes"][0].startswith("targets: a first token within 5,000 ms")
    assert (document["ttft_target_ms"], document["tpot_target_ms"]) == (5000, 50)
    shown = cli("replay", *SETS, *EVENING).out
    assert f" within 50 ms (median {document['tpot_ms']['p50']:,.1f} ms), both " in shown
    assert not any("is a sample" in note for note in document["notes"])
    assert "  note: targets: a first token within 5,000 ms" in shown
