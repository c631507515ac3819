"""The decode-step model: near the published steps, monotone, and by hand in its limits."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.catalogue.read import decode_points, engine_profile, hardware, model
from planner.core.fleet.decode import Imbalance, step_lines, step_us
from planner.core.fleet.decode import tokens_per_s_per_node as node_rate
from planner.core.fleet.engine import Engine
from planner.core.fleet.step import OVERLAPS, Batch, stages, touched_experts
from planner.errors import UsageError
from planner.settings.engines import EngineOverheads
from planner.studies.capacity.check import check_model

R1, H800, H100 = model("deepseek-r1"), hardware("h800"), hardware("h100")
DEEPSEEK = engine_profile("deepseek-ep")
EP144 = Engine(
    model=R1, hardware=H800, weights="fp8", profile=DEEPSEEK, expert_parallel=144, redundant_experts=32, overlap="on"
)
LLAMA = Engine(model=model("llama-3.1-70b"), hardware=H100, weights="bf16", profile=DEEPSEEK, tensor_parallel=8)
QWEN = Engine(
    model=model("qwen3-235b-a22b"),
    hardware=H100,
    weights="bf16",
    profile=DEEPSEEK,
    expert_parallel=32,
    tensor_parallel=4,
    overlap="on",
)
ENGINES = (
    EP144,
    replace(EP144, overlap="auto"),
    LLAMA,
    QWEN,
    replace(EP144, overlap="off"),
    replace(EP144, rows_per_stream=2.0, accepted=1.6),
)


def test_the_five_published_steps_are_within_five_per_cent_and_production_within_two() -> None:
    rows = check_model().rows
    fitted = [row.relative_error for row in rows if row.kind == "fitted"]
    assert len(fitted) == 5
    assert max(map(abs, fitted)) < 0.05
    assert np.sqrt(np.mean(np.square(fitted))) == pytest.approx(0.03, abs=0.005)
    (production,) = [row for row in rows if row.point.startswith("DeepSeek production")]
    assert abs(production.relative_error) < 0.02


def test_the_shipped_overheads_are_what_a_fit_to_the_points_gives() -> None:
    """Least squares of the relative errors in two unknowns; the shipped pair is rounded and costs little."""

    def errors(layer_us: float, row_us: float) -> np.ndarray:
        overheads = DEEPSEEK.overheads.model_copy(update={"layer_us": layer_us, "row_us": row_us})
        profile = DEEPSEEK.model_copy(update={"overheads": overheads})
        steps = []
        for point in decode_points():
            engine = Engine(
                model=model(point.model),
                hardware=hardware(point.hardware),
                weights="fp8",
                profile=profile,
                expert_parallel=point.expert_parallel,
                redundant_experts=point.redundant_experts,
                rows_per_stream=point.rows_per_stream,
                overlap="on" if point.overlap else "off",
            )
            steps.append(float(step_us(engine, point.streams, point.kv_tokens)) / 1e3 / point.step_ms - 1)
        return np.array(steps)

    none, layer, row = errors(0, 0), errors(1, 0), errors(0, 1)
    (layer_us, row_us), *_ = np.linalg.lstsq(np.column_stack([layer - none, row - none]), -none, rcond=None)
    shipped = DEEPSEEK.overheads
    assert shipped == EngineOverheads(layer_us=60.0, row_us=0.6, step_us=1500.0)
    assert layer_us == pytest.approx(shipped.layer_us, rel=0.2)
    assert row_us == pytest.approx(shipped.row_us, rel=0.2)
    best, used = (np.sqrt(np.mean(errors(*pair) ** 2)) for pair in ((layer_us, row_us), (60.0, 0.6)))
    assert best <= used <= best + 0.003


def test_an_affine_shortcut_is_worse() -> None:
    """A plane through streams and KV length misses the stages by more than a tenth somewhere."""
    streams, kv = (grid.ravel() for grid in np.meshgrid(np.linspace(4, 256, 30), np.linspace(500, 8000, 30)))
    step = step_us(EP144, streams, kv)
    design = np.column_stack([np.ones_like(streams), streams, kv, streams * kv])
    weights = 1 / step
    fit, *_ = np.linalg.lstsq(design * weights[:, None], step * weights, rcond=None)
    assert np.abs(design @ fit / step - 1).max() > 0.03
    plane = design[:, :3]
    fit, *_ = np.linalg.lstsq(plane * weights[:, None], step * weights, rcond=None)
    assert np.abs(plane @ fit / step - 1).max() > 0.1


def test_stages_of_one_layer_by_hand() -> None:
    """256 streams in two micro-batches of 128 rows: 8 copies each of 7,392 and 14,336 bytes; 44.04 M per expert.

    58 of the 61 layers have experts; stages are those of all of them together.
    """
    s = stages(EP144, Batch(streams=256, kv_tokens=4096))
    assert s.shared / 58 == pytest.approx(44.04e6 / 2.4e6, rel=1e-3)
    assert s.dispatch / 58 == pytest.approx(128 * 8 * 7392 / 39.4e3)
    assert s.combine / 58 == pytest.approx(128 * 8 * 14_336 / 39.8e3)
    assert s.routed / 58 == pytest.approx(max(2 * 44.04e6 / 2.4e6, 128 * 8 * 2 * 44.04e6 / 950e6), rel=1e-3)
    assert s.core / 58 == pytest.approx(128 * 4096 * 4.80e-4, rel=1e-3)
    assert s.after / 58 == pytest.approx(52.4, abs=0.1)
    assert s.before / 58 == pytest.approx(61.3 / 2.4, rel=1e-2)
    assert s.prompts == 0


def test_one_stream_reads_the_weights_and_waits_for_little_else() -> None:
    step = float(step_us(EP144, 1, 1))
    weights = 58 * 2 * (18.35 + 25.53 + 36.70 + 52.43) + 3 * (2 * (25.53 + 52.43) + 165.2) + 772
    overhead = 61 * 2 * (60 + 0.6 * 0.5) + 1500
    assert step == pytest.approx(weights + overhead, rel=2e-3)


def test_a_dense_model_has_no_expert_stages_and_adds_up_its_rows_over_the_links() -> None:
    """70.6 B weights in bf16 over 8 GPUs are read at 2.4 TB/s; one row is added up twice in each of 80 layers."""
    s, short = (stages(LLAMA, Batch(streams=1, kv_tokens=context)) for context in (1000, 0))
    assert (s.dispatch, s.combine, s.routed, s.shared) == (0, 0, 0, 0)
    # all its layers are plain: only attention's core grows with the context
    assert (s.before, s.core, s.after) == (0, 0, 0)
    core = float(s.plain - short.plain) / 80
    # 8 streams of the group, 1,000 tokens, 8 KV heads of 128 values, keys and values in bf16, over 8 GPUs at 3 TB/s
    assert core == pytest.approx(8 * 1000 * 2 * 8 * 128 * 2 / 8 / 3.0e6)
    link = 900 / 2 * 40.7 / 50
    all_reduce = float(LLAMA.speeds.all_reduce(8, 8192, 8))
    assert all_reduce == pytest.approx(8 * 2 * 7 / 8 * 8192 * 2 / (link * 1e3))
    assert LLAMA.speeds.all_reduce(8, 8192, 1) == 0
    weights = (12.080e9 + 56.371e9 + 128_256 * 8192) * 2 / 8 / 2.4e6
    step = float(step_us(LLAMA, 1, 1000))
    assert step == pytest.approx(weights + 80 * (core + 2 * all_reduce + 60 + 0.6 * 8) + 1500, rel=1e-3)


def test_a_product_takes_as_long_as_reading_its_weights_or_computing_its_rows() -> None:
    assert EP144.speeds.products([2.4e6], "fp8", 1) == pytest.approx(1.0)
    rows = 10_000
    assert EP144.speeds.products([2.4e6], "fp8", rows) == pytest.approx(2 * 2.4e6 * rows / 1150e6)
    in_bf16 = replace(EP144, weights="bf16").speeds
    assert in_bf16.products([2.4e6], "bf16", rows) == pytest.approx(2 * 2.4e6 * rows / (1150e6 * 989 / 1979))
    in_int4 = replace(EP144, weights="int4").speeds
    assert in_int4.products([2.4e6], "int4", 1) == pytest.approx(0.5)
    # int4 is unpacked and computed in bf16
    assert in_int4.products([2.4e6], "int4", rows) == pytest.approx(2 * 2.4e6 * rows / (1150e6 * 989 / 1979))


def test_few_tokens_touch_few_experts_and_many_touch_all() -> None:
    """One stream sends 8 copies to 8 GPUs of 36 experts each; what the busiest gets is simulated beside."""
    eight = Engine(model=R1, hardware=H800, weights="int4", profile=DEEPSEEK, expert_parallel=8, redundant_experts=32)
    touched = float(touched_experts(eight, np.array(1 / 8)))
    random = np.random.default_rng(1)
    drawn = [np.bincount(random.choice(288, 8, replace=False) // 36, minlength=8).max() for _ in range(4000)]
    assert np.mean(drawn) <= touched <= 1.25 * np.mean(drawn)
    assert float(touched_experts(eight, np.array(64.0))) == 36


def test_experts_that_share_nearby_links_exchange_tokens_faster() -> None:
    near, far = (
        stages(
            Engine(
                model=R1,
                hardware=hardware("gb200"),
                weights="fp8",
                profile=DEEPSEEK,
                expert_parallel=gpus,
                redundant_experts=32,
                overlap="on",
            ),
            Batch(streams=64, kv_tokens=1000),
        )
        for gpus in (72, 144)
    )
    assert near.dispatch < far.dispatch / 10


def test_overlap_costs_small_batches_and_pays_for_large_ones() -> None:
    small, large = ([float(step_us(replace(EP144, overlap=o), b, 4989)) for o in OVERLAPS] for b in (4, 256))
    assert small[0] > small[1]
    assert large[0] < large[1]


def test_auto_takes_what_is_faster_at_the_batch() -> None:
    batches = np.array([4.0, 32.0, 64.0, 256.0])
    on, off, auto = (step_us(replace(EP144, overlap=o), batches, 4989) for o in (*OVERLAPS, "auto"))
    assert (auto == np.minimum(on, off)).all()
    assert (auto == off)[0]
    assert (auto == on)[-1]


def test_a_draft_token_costs_rows_and_gains_tokens() -> None:
    plain, draft = EP144, replace(EP144, rows_per_stream=2.0, accepted=1.6)
    steps = [float(step_us(engine, 64, 4989)) for engine in (plain, draft)]
    assert steps[1] > steps[0]
    assert float(node_rate(draft, 64, steps[1])) == pytest.approx(8 * 64 * 1.6 / steps[1] * 1e6)


positive = st.floats(1, 500)


@given(st.sampled_from(ENGINES), positive, positive, st.floats(100, 50_000), st.floats(100, 50_000), st.floats(1, 2))
def test_more_streams_longer_context_and_imbalance_never_make_a_step_shorter(
    engine: Engine, b1: float, b2: float, l1: float, l2: float, skew: float
) -> None:
    low, high = (float(step_us(engine, b, kv)) for b, kv in ((min(b1, b2), min(l1, l2)), (max(b1, b2), max(l1, l2))))
    assert low <= high * (1 + 1e-12)
    skewed = step_us(engine, b1, l1, imbalance=Imbalance(skew, skew, skew))
    assert float(skewed) >= float(step_us(engine, b1, l1)) * (1 - 1e-12)


@given(st.sampled_from(ENGINES), st.floats(0.01, 1))
def test_even_a_fraction_of_a_stream_keeps_a_step_monotone(engine: Engine, streams: float) -> None:
    assert float(step_us(engine, streams, 1000)) <= float(step_us(engine, streams * 1.1, 1000)) * (1 + 1e-12)


@given(st.sampled_from(ENGINES), st.floats(1, 499))
def test_throughput_grows_with_the_batch(engine: Engine, streams: float) -> None:
    batch = np.array([streams, streams + 1])
    rate = node_rate(engine, batch, step_us(engine, batch, 4989))
    assert rate[1] > rate[0]


@pytest.mark.parametrize(
    ("arguments", "cure"),
    [
        ({"streams": 0, "kv_tokens": 1}, "streams must be above 0"),
        ({"streams": 5000, "kv_tokens": 1}, "at most 1,024"),
        ({"streams": 1, "kv_tokens": -1}, "kv_tokens must be above 0"),
        ({"streams": 1, "kv_tokens": float("nan")}, "kv_tokens must be"),
        ({"streams": 1, "kv_tokens": 1, "imbalance": Imbalance(kv=0.9)}, "an imbalance must be at least 1"),
    ],
)
def test_outside_the_validity_range_is_an_error_and_no_number(arguments: dict[str, Any], cure: str) -> None:
    with pytest.raises(UsageError, match=cure):
        step_us(EP144, **arguments)


@given(st.sampled_from(ENGINES), st.floats(0.1, 500), st.floats(1, 100_000), st.floats(1, 2))
def test_two_lines_in_the_kv_tokens_are_the_same_step(
    engine: Engine, streams: float, context: float, skew: float
) -> None:
    skewed = Imbalance(skew, skew, skew)
    lines = step_lines(engine, np.array([streams]), context, skewed)
    tokens = streams * context
    longer = max(
        lines.low_us[0] + lines.low_us_per_token[0] * tokens, lines.high_us[0] + lines.high_us_per_token[0] * tokens
    )
    assert longer == pytest.approx(float(step_us(engine, streams, context, imbalance=skewed)), rel=1e-9)
