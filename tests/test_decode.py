"""The decode-step model: near the published steps, monotone, and by hand in its limits."""

import numpy as np
import pytest
from conftest import Cli
from hypothesis import given
from hypothesis import strategies as st

from planner.capacity import check_rows
from planner.errors import UsageError
from planner.fleet import decode
from planner.fleet.decode import HOST_US, LAYER_OVERHEAD_US, ROW_OVERHEAD_US, Imbalance, step_us, tokens_per_s_per_node
from planner.scenario.catalogue import decode_points, hardware, model, names

R1, H800 = model("deepseek-r1"), hardware("h800")


def test_the_five_published_steps_are_within_five_per_cent_and_production_within_two() -> None:
    rows = check_rows()
    fitted = [row.relative_error for row in rows if row.kind == "fitted"]
    assert len(fitted) == 5
    assert max(map(abs, fitted)) < 0.05
    assert np.sqrt(np.mean(np.square(fitted))) == pytest.approx(0.03, abs=0.005)
    (production,) = [row for row in rows if row.kind == "test"]
    assert abs(production.relative_error) < 0.02


def test_the_shipped_overheads_are_what_a_fit_to_the_points_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    """Least squares of the relative errors in two unknowns; the shipped pair is rounded and costs little."""

    def errors(layer_us: float, row_us: float) -> np.ndarray:
        monkeypatch.setattr(decode, "LAYER_OVERHEAD_US", layer_us)
        monkeypatch.setattr(decode, "ROW_OVERHEAD_US", row_us)
        return np.array([row.relative_error for row in check_rows() if row.kind == "fitted"])

    none, layer, row = errors(0, 0), errors(1, 0), errors(0, 1)
    (layer_us, row_us), *_ = np.linalg.lstsq(np.column_stack([layer - none, row - none]), -none, rcond=None)
    assert layer_us == pytest.approx(LAYER_OVERHEAD_US, rel=0.2)
    assert row_us == pytest.approx(ROW_OVERHEAD_US, rel=0.2)
    best, shipped = (np.sqrt(np.mean(errors(*pair) ** 2)) for pair in ((layer_us, row_us), (60.0, 0.6)))
    assert best <= shipped <= best + 0.003


def test_an_affine_shortcut_is_worse() -> None:
    """A plane through streams and KV length misses the stages by more than a tenth somewhere."""
    streams, kv = (grid.ravel() for grid in np.meshgrid(np.linspace(4, 256, 30), np.linspace(500, 8000, 30)))
    step = step_us(R1, H800, streams, kv, experts_per_gpu=2)
    design = np.column_stack([np.ones_like(streams), streams, kv, streams * kv])
    weights = 1 / step
    fit, *_ = np.linalg.lstsq(design * weights[:, None], step * weights, rcond=None)
    assert np.abs(design @ fit / step - 1).max() > 0.03
    plane = design[:, :3]
    fit, *_ = np.linalg.lstsq(plane * weights[:, None], step * weights, rcond=None)
    assert np.abs(plane @ fit / step - 1).max() > 0.1


def test_stages_of_one_layer_by_hand() -> None:
    """128 rows on an H800: 8 copies each of 7,392 and 14,336 bytes; experts of 44.04 million weights."""
    s = decode._stages(R1, H800, np.array(128.0), np.array(4096.0), 2.0, Imbalance())
    assert s.shared == pytest.approx(44.04e6 / 2.4e6, rel=1e-3)
    assert s.dispatch == pytest.approx(128 * 8 * 7392 / 39.4e3)
    assert s.combine == pytest.approx(128 * 8 * 14_336 / 39.8e3)
    assert s.routed == pytest.approx(max(2 * 44.04e6 / 2.4e6, 128 * 8 * 2 * 44.04e6 / 950e6), rel=1e-3)
    assert s.core == pytest.approx(128 * 4096 * 4.80e-4, rel=1e-3)
    assert s.after_core == pytest.approx(52.4, abs=0.1)


def test_one_stream_reads_the_weights_and_waits_for_little_else() -> None:
    step = float(step_us(R1, H800, 1, 1, experts_per_gpu=2))
    weights = 58 * 2 * (18.35 + 25.53 + 36.70 + 52.43) + 3 * (2 * (25.53 + 52.43) + 165.2) + 772
    overhead = 61 * 2 * (LAYER_OVERHEAD_US + ROW_OVERHEAD_US * 0.5) + HOST_US
    assert step == pytest.approx(weights + overhead, rel=2e-3)


def test_overlap_costs_small_batches_and_pays_for_large_ones() -> None:
    small, large = (
        [float(step_us(R1, H800, b, 4989, experts_per_gpu=2, overlap=o)) for o in (True, False)] for b in (4, 256)
    )
    assert small[0] > small[1]
    assert large[0] < large[1]


positive = st.floats(1, 500)


@given(positive, positive, st.floats(100, 50_000), st.floats(100, 50_000), st.booleans(), st.floats(1, 2))
def test_more_streams_longer_context_and_imbalance_never_make_a_step_shorter(
    b1: float, b2: float, l1: float, l2: float, overlap: bool, skew: float
) -> None:
    low, high = (
        float(step_us(R1, H800, b, kv, experts_per_gpu=2, overlap=overlap))
        for b, kv in ((min(b1, b2), min(l1, l2)), (max(b1, b2), max(l1, l2)))
    )
    assert low <= high * (1 + 1e-12)
    skewed = step_us(R1, H800, b1, l1, experts_per_gpu=2, overlap=overlap, imbalance=Imbalance(skew, skew, skew))
    assert float(skewed) >= float(step_us(R1, H800, b1, l1, experts_per_gpu=2, overlap=overlap)) * (1 - 1e-12)


@given(st.floats(1, 499))
def test_throughput_grows_with_the_batch(streams: float) -> None:
    batch = np.array([streams, streams + 1])
    rate = tokens_per_s_per_node(step_us(R1, H800, batch, 4989, experts_per_gpu=2), batch, 8)
    assert rate[1] > rate[0]


@pytest.mark.parametrize(
    ("arguments", "cure"),
    [
        ({"streams": 0, "kv_tokens": 1}, "streams must be above 0"),
        ({"streams": 5000, "kv_tokens": 1}, "at most 1,024"),
        ({"streams": 1, "kv_tokens": -1}, "kv_tokens must be above 0"),
        ({"streams": 1, "kv_tokens": float("nan")}, "kv_tokens must be"),
        ({"streams": 1, "kv_tokens": 1, "experts_per_gpu": 0}, "experts_per_gpu must be above 0"),
        ({"streams": 1, "kv_tokens": 1, "rows_per_stream": 3}, "rows_per_stream from 1 to 2"),
        ({"streams": 1, "kv_tokens": 1, "imbalance": Imbalance(kv=0.9)}, "an imbalance is at least 1"),
    ],
)
def test_outside_the_validity_range_is_an_error_and_no_number(arguments: dict[str, object], cure: str) -> None:
    with pytest.raises(UsageError, match=cure):
        step_us(R1, H800, **{"experts_per_gpu": 2, **arguments})  # type: ignore[arg-type]


def test_every_figure_of_the_hardware_says_where_it_comes_from() -> None:
    for name in names("hardware"):
        found = hardware(name)
        fields = {
            key for key in type(found).model_fields if key not in ("name", "description", "kernels", "provenance")
        }
        fields |= {f"kernels.{key}" for key in type(found.kernels).model_fields}
        assert set(found.provenance) == fields
    assert all(point.source for point in decode_points())


def test_the_command_prints_every_point(cli: Cli) -> None:
    rows = cli("capacity", "--check", "--json").json["rows"]
    assert len(rows) == 6
    assert all(set(row) >= {"point", "target_ms", "model_ms", "relative_error"} for row in rows)
    assert "SGLang EP72" in cli("capacity", "--check").out
    assert "give --check" in cli("capacity").err
