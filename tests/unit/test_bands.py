"""90 % bands: wider where less is known of a set-up, narrower by its own points, and the same clock at both ends."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from planner.capacity.bands import OwnMeasurements, TimeBand, model_kind, own_measurements, served_at, time_band, widths
from planner.capacity.engines import decode_engine, usual_settings
from planner.catalogue.read import bands, model
from planner.catalogue.scenarios import load_scenario
from planner.core.fleet.engine import Engine, Scale, on_same_kernels
from planner.core.fleet.operating import balanced, largest_batch, operating_point
from planner.errors import CannotServe
from planner.settings.bands import Metric, OwnPoints
from planner.settings.fleet import EngineSettings
from planner.studies.capacity.measured.points_file import read_points_file
from planner.studies.capacity.scorecard.score import score

POINTS = os.environ.get("PLANNER_TEST_POINTS")
FILE = bands()


def asked(model_name: str = "llama-3.1-70b", node: str = "h100", **changes: object) -> EngineSettings:
    base = usual_settings(load_scenario().scenario.fleet.engine, model_name, node)
    return base.model_copy(update=changes)


def engine(model_name: str = "llama-3.1-70b", node: str = "h100", gpus: int = 8, **changes: object) -> Engine:
    return decode_engine(asked(model_name, node, **changes), gpus)


def width(of: Engine, metric: Metric = "tpot", own: OwnMeasurements | None = None, share: float = 0.0) -> float:
    """The upper width of a band, a logarithm."""
    return float(widths(of, metric, own, prompt_share=share)[1])


def test_a_dense_model_on_a_known_gpu_under_a_known_engine_has_the_narrowest_band() -> None:
    below, above = widths(engine(), "tpot")
    assert (float(below), float(above)) == (FILE.tpot.below, FILE.tpot.above)


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (lambda: engine(node="a800"), "a GPU whose kernels nobody measured"),
        (lambda: engine(node="b300"), "a GPU with few measured points"),
        (lambda: engine(weights="int8"), "a format with few measured points"),
        (lambda: engine("qwen3.5-27b", expert_imbalance=1.0), "a kind of model without measured points"),
        (lambda: engine(name="deepseek-ep"), "an engine that served one model only"),
    ],
)
def test_what_has_few_measured_points_has_a_wider_band(other, why) -> None:  # type: ignore[no-untyped-def]
    assert width(other()) == pytest.approx(FILE.tpot.above * np.exp(FILE.wider.seldom)), why


def test_experts_and_many_prompts_in_a_step_widen_a_band_of_times_per_output_token() -> None:
    mixture = engine("qwen3-235b-a22b")
    assert width(mixture) == pytest.approx(FILE.tpot.above * np.exp(FILE.wider.experts))
    # up to the share from which it widens, nothing changes
    assert width(engine(), share=FILE.wider.prompts_from) == FILE.tpot.above
    beyond = 0.2
    assert width(engine(), share=FILE.wider.prompts_from + beyond) == pytest.approx(
        FILE.tpot.above * np.exp(FILE.wider.prompts * beyond)
    )
    assert width(mixture, "ttft", share=0.9) == FILE.ttft.above


def test_own_points_narrow_the_bands_of_what_they_measure() -> None:
    one, many = OwnMeasurements(points=FILE.own.points[0]), OwnMeasurements(points=10 * FILE.own.points[-1])
    assert width(engine(node="a800"), own=one) == FILE.own.width[0]
    assert width(engine(), own=many) == FILE.own.width[-1], "no narrower than by the most points that were tried"
    assert width(engine(node="a800"), own=replace(one, carried_over=True)) == FILE.own.carried_over[0]
    assert width(engine(), own=replace(one, carried_over=True)) == FILE.tpot.above, "no wider than without any"
    assert width(engine(), "ttft", own=one) == FILE.ttft.above, "times per output token say little of first tokens"
    assert list(FILE.own.width) == sorted(FILE.own.width, reverse=True)
    assert time_band(engine(), "tpot", one).measured
    assert not time_band(engine(), "tpot").measured


def test_a_published_day_counts_as_own_points_that_are_not_the_users() -> None:
    own = load_scenario().scenario.fleet.engine
    found = own_measurements(own, decode_engine(own, 144), 144)
    assert found == OwnMeasurements(points=5, published=True, prompts=True)
    assert not time_band(decode_engine(own, 144), "tpot", found).measured
    assert own_measurements(asked(), engine(), 8) is None


def test_the_band_of_a_rate_is_that_of_its_time_upside_down() -> None:
    band = TimeBand(0.8, 1.25, measured=True)
    time, rate = band.of_time(10.0), band.of_rate(10.0)
    assert (time.low, time.high, time.measured) == (8.0, 12.5, True)
    assert (rate.low, rate.high) == (8.0, 12.5)


@settings(max_examples=60, deadline=None)
@given(
    factor=st.floats(0.5, 2.0),
    kv_tokens=st.floats(100, 20_000),
    target_ms=st.floats(15, 200),
    of=st.sampled_from([engine(), engine("qwen3-235b-a22b", "b200", 8)]),
)
def test_both_ends_are_the_same_system_on_another_clock(
    factor: float, kv_tokens: float, target_ms: float, of: Engine
) -> None:
    slower = on_same_kernels(of, scale=Scale(kernels=factor, overheads=factor))
    streams, rate = served_at(of, kv_tokens, target_ms, balanced, factor)
    batch = largest_batch(slower, kv_tokens, target_ms)
    # where a batch meets the target to the last digit, rounding may decide
    assume(batch == largest_batch(slower, kv_tokens, target_ms * (1 + 1e-9)))
    assume(batch == largest_batch(slower, kv_tokens, target_ms * (1 - 1e-9)))
    assert streams == batch
    if batch:
        assert rate == pytest.approx(operating_point(slower, kv_tokens, target_ms).tokens_per_s_per_node, rel=1e-9)
    else:
        assert rate == 0.0
        with pytest.raises(CannotServe):
            operating_point(slower, kv_tokens, target_ms)


def test_kinds_of_models() -> None:
    assert [model_kind(model(name)) for name in ("llama-3.1-70b", "deepseek-r1", "qwen3.5-27b")] == [
        "dense",
        "experts",
        "recurrent",
    ]


def test_a_file_of_bands_tells_a_width_for_each_number_of_points() -> None:
    with pytest.raises(ValidationError, match="has not as many widths as points"):
        OwnPoints(points=(1, 4), width=(0.2,), carried_over=(0.3, 0.3))
    with pytest.raises(ValidationError, match="ascending"):
        OwnPoints(points=(4, 1), width=(0.2, 0.2), carried_over=(0.3, 0.3))


@pytest.mark.skipif(POINTS is None, reason="needs measured points (PLANNER_TEST_POINTS)")
def test_bands_hold_nine_in_ten_of_the_points_that_the_engines_were_fitted_to() -> None:
    card = score(read_points_file(Path(str(POINTS))))
    # fitted points are nearer than those left out, so more of them are inside
    covered = [figures.covered_90 for figures in (card.tpot, card.ttft, card.throughput, card.prefill)]
    assert all(share is not None and share >= 0.88 for share in covered)
    assert card.tpot.covered_90 == pytest.approx(0.93, abs=0.04), "nor is all inside"
    groups = [
        group.covered_90 for group in (*card.by_gpu, *card.by_model, *card.by_engine) if group.metric == "tpot_ms"
    ]
    assert np.mean([covered >= 0.8 for covered in groups if covered is not None]) >= 0.9
