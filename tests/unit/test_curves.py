"""Times of kernels between measured sizes: exact at nodes, growing, never faster than the roofline."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.catalogue.read import engine_node, engine_profile, hardware, names
from planner.core.fleet.curves import all_reduce_us, attention_us, product_table, prompt_share
from planner.core.fleet.shapes import WEIGHT_BYTES
from planner.core.fleet.speeds import NETWORK_START_US, CurveSpeeds, speeds_of
from planner.errors import UsageError
from planner.settings.closed import WeightDtype
from planner.settings.curves import AllReduceCurve, AttentionCurve, ProductCurves, PromptAttention

SMALL = ProductCurves(
    rows=(1, 100), weight_mb=(1, 10), share={"bf16": ((0.1, 0.2), (0.5, 0.5)), "fp8": ((0.05, 0.1), (0.25, 0.5))}
)
HBM_TB_S, TFLOPS = 2.0, 100.0
MEASURED = [name for name in names("hardware") if hardware(name).curves is not None]
FORMATS: list[WeightDtype] = ["bf16", "fp8", "int8", "int4", "fp4"]
megabytes, rows = st.floats(0.01, 5000), st.floats(0.1, 100_000)


def test_nodes_are_what_was_measured_by_hand() -> None:
    """1 MB at 2 TB/s takes 0.5 us to read; 100 rows of half a million weights at 100 TFLOP/s take 1 us."""
    table = product_table(SMALL, "bf16", HBM_TB_S, TFLOPS)
    assert table.us(1, 1) == pytest.approx(0.5 / 0.1)
    assert table.us(1, 100) == pytest.approx(1.0 / 0.2)
    assert table.us(10, 1) == pytest.approx(5.0 / 0.5)
    assert table.us(10, 100) == pytest.approx(10.0 / 0.5)


def test_halfway_between_nodes_in_logarithms_is_their_geometric_mean() -> None:
    table = product_table(SMALL, "bf16", HBM_TB_S, TFLOPS)
    assert table.us(10**0.5, 1) == pytest.approx((5.0 * 10.0) ** 0.5)
    assert table.us(10, 10) == pytest.approx((10.0 * 20.0) ** 0.5)


def test_a_time_that_fell_from_one_node_to_the_next_stays() -> None:
    """At half the share a product of 10 MB would be faster than one of 1 MB; a running maximum keeps times growing."""
    falling = ProductCurves(rows=(1, 2), weight_mb=(1, 2), share={"bf16": ((0.1, 0.2), (0.8, 0.8))})
    table = product_table(falling, "bf16", HBM_TB_S, TFLOPS)
    assert table.us([1, 1, 2, 2], [1, 2, 1, 2]) == pytest.approx([5.0] * 4)


def test_beyond_the_largest_node_times_grow_in_proportion_and_below_the_smallest_they_stay() -> None:
    table = product_table(SMALL, "bf16", HBM_TB_S, TFLOPS)
    corner = float(table.us(10, 100))
    assert table.us([30, 10, 30], [100, 400, 400]) == pytest.approx([3 * corner, 4 * corner, 12 * corner])
    assert table.us([0.1, 1, 0.1], [1, 0.01, 0.01]) == pytest.approx([float(table.us(1, 1))] * 3)


def test_no_weights_or_no_rows_take_no_time() -> None:
    table = product_table(SMALL, "bf16", HBM_TB_S, TFLOPS)
    assert table.us([0, 5, 0], [5, 0, 0]).tolist() == [0, 0, 0]


def test_a_format_that_was_not_measured_takes_the_shares_of_bf16() -> None:
    """int4 holds a quarter of the bytes of bf16, and is computed at the peak that it is given."""
    table = product_table(SMALL, "int4", HBM_TB_S, TFLOPS)
    assert table.us(1, 1) == pytest.approx(0.5 / 0.1)
    assert table.us(10, 100) == pytest.approx(2 * 100 * 10 / 0.5 / TFLOPS / 0.5)
    assert product_table(SMALL, "fp8", HBM_TB_S, TFLOPS).us(1, 1) == pytest.approx(0.5 / 0.05)


@given(st.sampled_from(MEASURED), st.sampled_from(FORMATS), st.tuples(megabytes, megabytes), st.tuples(rows, rows))
def test_products_grow_with_weights_and_rows_and_never_beat_the_roofline(
    name: str, dtype: WeightDtype, mb: tuple[float, float], count: tuple[float, float]
) -> None:
    node = hardware(name)
    assert node.curves is not None
    tflops = node.dense_tflops.get(dtype, node.dense_tflops["bf16"])
    for curves in (node.curves.products, node.curves.experts):
        table = product_table(curves, dtype, node.hbm_tb_s, tflops)
        small, large = float(table.us(min(mb), min(count))), float(table.us(max(mb), max(count)))
        assert small <= large * (1 + 1e-9)
        for size, number in zip(mb, count, strict=True):
            roofline = max(size / node.hbm_tb_s, 2 * number * size / WEIGHT_BYTES[dtype] / tflops)
            assert float(table.us(size, number)) >= roofline * (1 - 1e-9)
        faster = product_table(curves, dtype, 2 * node.hbm_tb_s, 3 * tflops)
        assert float(faster.us(mb[0], count[0])) <= float(table.us(mb[0], count[0])) * (1 + 1e-9)


def test_attention_takes_its_floor_or_reads_its_kv_or_computes() -> None:
    curve = AttentionCurve(floor_us=8.0, start_us=4.0, share=0.5, compute_share=0.25)
    assert attention_us(curve, 1, 0, 2.0) == 8.0
    assert attention_us(curve, 100, 0, 2.0) == pytest.approx(4 + 100 / (0.5 * 2))
    assert attention_us(curve, 100, 50, 2.0) == pytest.approx(4 + 50 / 0.25)
    unbound = AttentionCurve(floor_us=8.0, start_us=4.0, share=0.5)
    assert attention_us(unbound, 100, 50, 2.0) == pytest.approx(104)
    # many draft tokens over few KV heads compute longer than they read, at the peak at best
    assert attention_us(unbound, 100, 5000, 2.0) == pytest.approx(5004)


def test_longer_prompts_reach_a_larger_share_and_the_ends_hold_beyond() -> None:
    curve = PromptAttention(tokens=(100, 10_000), share=(0.2, 0.6))
    assert prompt_share(curve, [0, 100, 1000, 10_000, 1e6]) == pytest.approx([0.2, 0.2, 0.4, 0.6, 0.6])
    fallen = PromptAttention(tokens=(100, 1000, 10_000), share=(0.2, 0.5, 0.4))
    assert prompt_share(fallen, 10_000) == pytest.approx(0.5)


def test_an_all_reduce_is_what_was_measured_and_more_for_more_gpus_and_bytes() -> None:
    curve = AllReduceCurve(gpus=(2, 4), kilobytes=(1, 100), us=((5, 20), (4, 40)))
    assert all_reduce_us(curve, 2, [0.1, 1, 10, 100, 300]) == pytest.approx([5, 5, 10, 20, 60])
    # four GPUs are never faster than two were; three take what four do
    assert all_reduce_us(curve, 4, [1, 100]) == pytest.approx([5, 40])
    assert all_reduce_us(curve, 3, 100) == pytest.approx(40)
    # eight send 7/8 of the bytes in place of 3/4, after one start more
    assert all_reduce_us(curve, 8, 100) == pytest.approx(40 * (7 / 8) / (3 / 4) + 5)


@given(st.sampled_from(MEASURED), st.floats(1, 100_000), st.floats(1, 100_000))
def test_adding_up_grows_with_rows_and_gpus(name: str, one: float, other: float) -> None:
    node = engine_node(name)
    assert node.curves is not None
    speeds = CurveSpeeds(node, node.curves)
    groups = [gpus for gpus in (1, 2, 4, 8, 16) if gpus <= node.nvlink_gpus]
    few, many = ([float(speeds.all_reduce(r, 4096, gpus)) for gpus in groups] for r in sorted((one, other)))
    assert all(small <= large * (1 + 1e-9) for small, large in zip(few, many, strict=True))
    assert few == sorted(few)
    assert few[0] == 0


def test_a_group_over_two_nodes_adds_up_inside_and_between_them() -> None:
    """Each GPU of a node of 8 sends an eighth of 16 MB over its own network link of 50 GB/s, once for two nodes."""
    node = hardware("h100")
    assert node.curves is not None
    speeds = CurveSpeeds(node, node.curves)
    inside, over = (float(speeds.all_reduce(1000, 8000, gpus)) for gpus in (8, 16))
    assert over - inside == pytest.approx(NETWORK_START_US + 2 * 0.5 * 16_000 / 8 / 50)


def test_prompts_attend_at_the_bf16_peak_at_best() -> None:
    node = hardware("h100")
    assert node.curves is not None
    taken = CurveSpeeds(node, node.curves).prompt_attention(1e12, [128, 1024, 16_384])
    assert (np.diff(taken) < 0).all()
    assert taken.min() >= 1e12 / (node.dense_tflops["bf16"] * 1e6)


def test_experts_that_no_row_goes_to_are_not_read() -> None:
    node = hardware("h100")
    assert node.curves is not None
    speeds = CurveSpeeds(node, node.curves)
    assert speeds.experts(0, 1e6, "fp8", 0, 1.0) == 0
    # rows of the fullest experts set the pace
    assert speeds.experts(8, 1e7, "fp8", 65_536, 1.5) > speeds.experts(8, 1e7, "fp8", 65_536, 1.0)


def test_a_node_whose_kernels_are_not_known_serves_only_engines_that_need_none() -> None:
    unknown = hardware("h100").model_copy(update={"curves": None})
    assert speeds_of(unknown, engine_profile("deepseek-ep"), "fp8").products([1e6], "fp8", 1) > 0
    with pytest.raises(UsageError, match="vLLM on H100: no measured kernels of that GPU; give its file"):
        speeds_of(unknown, engine_profile("vllm"), "fp8")


def test_a_node_like_another_has_its_shares_and_its_own_peaks_and_links() -> None:
    like, other = engine_node("h800"), hardware("h100")
    assert like.curves is not None
    assert other.curves is not None
    assert like.curves.products == other.curves.products
    # its links are slower, so that what was measured on the other's does not hold: a ring at its own peak
    assert like.curves.all_reduce is None
    megabyte = float(CurveSpeeds(like, like.curves).all_reduce(1000, 500, 8))
    assert megabyte == pytest.approx(2 * 7 / 8 * 1000 / (like.nvlink_gb_s / 2))
