"""Curves of kernels: what the catalogue's files hold, and how tables are condensed to them."""

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from planner.catalogue.read import hardware, names
from planner.core.fleet.shapes import WEIGHT_BYTES
from planner.settings.closed import WeightDtype
from planner.settings.curves import Curves, ProductCurves
from planner.settings.hardware import Hardware
from tests.bench import kernel_curves
from tests.helpers import kernel_fits as fits
from tests.helpers import kernel_tables as kernels

MEASURED = [name for name in names("hardware") if hardware(name).curves is not None]


def curves_of(name: str) -> Curves:
    found = hardware(name).curves
    assert found is not None
    return found


def peaks_of(name: str, dtype: WeightDtype) -> fits.Peaks:
    found = hardware(name)
    gpu = kernel_curves.Gpu(hbm_tb_s=found.hbm_tb_s, dense_tflops=found.dense_tflops)
    return gpu.peaks(dtype)


def test_gpus_whose_kernels_were_measured_have_curves_and_the_others_name_one_that_has() -> None:
    assert set(MEASURED) == set(kernel_curves.SYSTEMS)
    for name in set(names("hardware")) - set(MEASURED):
        found = hardware(name)
        assert found.curves_like in MEASURED
        assert found.provenance["curves_like"].startswith("assumed: ")


@pytest.mark.parametrize("name", MEASURED)
def test_times_of_shares_hardly_fall_with_rows_and_weights(name: str) -> None:
    """So what is between them can be interpolated, and a running maximum moves no cell by more than its rounding."""
    curves = curves_of(name)
    for products in (curves.products, curves.experts):
        assert (products.rows, products.weight_mb) == (fits.ROWS, fits.WEIGHT_MB)
        for dtype, share in products.share.items():
            times = fits.times_of(share, peaks_of(name, dtype))
            assert np.max(fits.growing(times) / times) < 1.02, (name, dtype)
    if curves.all_reduce is not None:
        assert all(list(line) == sorted(line) for line in curves.all_reduce.us)


@pytest.mark.parametrize("name", MEASURED)
def test_curves_are_a_few_hundred_figures_that_say_where_they_come_from(name: str) -> None:
    curves = curves_of(name)
    assert curves.source.startswith(f"fitted: to kernels of {kernel_curves.SYSTEMS[name]} in aiconfigurator-core 0.12")
    grids = [grid for table in (curves.products, curves.experts) for grid in table.share.values()]
    assert sum(len(line) for grid in grids for line in grid) <= 8 * len(fits.ROWS) * len(fits.WEIGHT_MB)
    assert {"bf16"} <= set(curves.attention) & set(curves.latent_attention)
    # fp8 and fp4 are products' own only where the GPU computes in them
    assert set(curves.products.share) & {"fp8", "fp4"} == set(hardware(name).dense_tflops) & {"fp8", "fp4"}


@pytest.mark.parametrize("name", MEASURED)
def test_curves_stand_below_the_marker_as_the_script_writes_them(name: str) -> None:
    text = (kernel_curves.HARDWARE / f"{name}.toml").read_text(encoding="utf-8")
    above, marker, _ = text.partition(kernel_curves.MARKER)
    assert marker
    assert "curves" not in tomllib.loads(above)
    assert above + "\n".join(kernel_curves.lines_of(tomllib.loads(text)["curves"])) + "\n" == text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda all_: all_["products"]["rows"].reverse(), "rows must ascend"),
        (lambda all_: all_["experts"]["share"]["bf16"].pop(), "share.bf16 must have a row for each of weight_mb"),
        (lambda all_: all_["products"]["share"].pop("bf16"), "share has no bf16"),
        (lambda all_: all_["attention"].pop("bf16"), "attention has no bf16"),
        (lambda all_: all_["prompt_attention"]["tokens"].pop(), "share must have a value for each of tokens"),
        (lambda all_: all_["all_reduce"]["us"][0].pop(), "us must have a row for each of gpus"),
        (lambda all_: all_["all_reduce"]["kilobytes"].reverse(), "kilobytes must ascend"),
    ],
)
def test_curves_between_which_nothing_can_be_interpolated_are_refused(
    change: Callable[[dict[str, Any]], object], message: str
) -> None:
    written = tomllib.loads((kernel_curves.HARDWARE / "h200.toml").read_text(encoding="utf-8"))
    change(written["curves"])
    with pytest.raises(ValidationError, match=message):
        Hardware.model_validate(written)


def test_a_gpu_with_curves_is_like_no_other() -> None:
    written = tomllib.loads((kernel_curves.HARDWARE / "h200.toml").read_text(encoding="utf-8"))
    with pytest.raises(ValidationError, match="curves and curves_like exclude each other"):
        Hardware.model_validate({**written, "curves_like": "h100"})


PEAKS = fits.Peaks(hbm_tb_s=2.0, tflops=400.0, weight_bytes=2.0)
"""Reads 2 MB in a microsecond; 200 rows take as long to compute as their weights to read."""


def made_up(kernel_us: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> fits.Products:
    """Products on and around the grid, with times of a formula."""
    rows, mb = (cells.ravel() for cells in fits.on_grid())
    near = [(rows * by_rows, mb * by_mb) for by_rows in (1, 1.2) for by_mb in (0.8, 1, 1.25)]
    rows, mb = (np.concatenate(parts) for parts in zip(*near, strict=True))
    return fits.Products(rows=rows, mb=mb, us=kernel_us(rows, mb))


def test_the_roofline_is_the_longer_of_reading_and_computing() -> None:
    rows, mb = np.array([1.0, 200.0, 400.0]), np.array([8.0, 8.0, 8.0])
    assert PEAKS.reading_us(mb).tolist() == [4, 4, 4]
    assert PEAKS.computing_us(rows, mb).tolist() == [0.02, 4, 8]
    assert PEAKS.roofline_us(rows, mb).tolist() == [4, 4, 8]


def test_kernels_at_half_of_their_roofline_have_a_share_of_a_half() -> None:
    share = fits.shares(fits.grid_us(made_up(lambda rows, mb: 2 * PEAKS.roofline_us(rows, mb)), PEAKS), PEAKS)
    # below 64 MB kernels without any start are not what the smooth shape expects
    assert np.array(share[4:]) == pytest.approx(0.5, rel=0.08)
    assert np.array(share) == pytest.approx(0.5, rel=0.2)


def test_kernels_with_a_start_of_ten_microseconds_have_shares_by_hand() -> None:
    """One row: 1 MB is read in 0.5 us of 10.5, 64 MB in 32 of 42, 1,024 MB in 512 of 522."""
    share = np.array(fits.shares(fits.grid_us(made_up(lambda rows, mb: 10 + mb / 2 + rows * mb / 400), PEAKS), PEAKS))
    one_row = dict(zip(fits.WEIGHT_MB, share[:, 0], strict=True))
    assert one_row[1] == pytest.approx(0.5 / 10.5, rel=0.03)
    assert one_row[64] == pytest.approx(32 / 42.16, rel=0.03)
    assert one_row[1024] == pytest.approx(512 / 524.56, rel=0.03)


def test_the_good_kernels_count_and_those_that_nobody_would_run_do_not() -> None:
    """Three of four kernels take five times as long."""
    good = made_up(lambda rows, mb: 10 + 2 * PEAKS.roofline_us(rows, mb))
    times = np.concatenate([np.tile(good.us, 10), np.tile(good.us * 5, 30)])
    both = fits.Products(rows=np.tile(good.rows, 40), mb=np.tile(good.mb, 40), us=times)
    alone, among = (np.array(fits.shares(fits.grid_us(each, PEAKS), PEAKS)) for each in (good, both))
    assert among == pytest.approx(alone, rel=0.1)


def test_no_kernel_is_faster_than_its_roofline_or_than_large_ones() -> None:
    products = made_up(lambda rows, mb: 0.5 * PEAKS.roofline_us(rows, mb))
    assert np.max(fits.shares(fits.grid_us(products, PEAKS), PEAKS)) == 1
    share = np.array(fits.shares(fits.grid_us(products, PEAKS, reached_tb_s=1.6), PEAKS))
    assert share[:, 0] == pytest.approx(0.8)


def test_calls_that_read_from_a_cache_are_left_out() -> None:
    """Large ones are never in a cache; 100 MB in 50 us are 2 TB/s."""
    calls = fits.Attention(mb=np.array([100.0, 100.0, 300.0]), us=np.array([50.0, 62.5, 100.0]))
    assert calls.read_from_memory(1.6).us.tolist() == [62.5, 100]
    products = fits.Products(rows=np.array([1.0, 1.0, 400.0]), mb=np.array([300.0, 512.0, 512.0]), us=np.full(3, 300.0))
    assert fits.reached_tb_s(products) == pytest.approx(1 + 0.9 * (512 / 300 - 1))


def test_floor_start_and_share_of_attention_are_found_again() -> None:
    mb = np.geomspace(0.3, 4000, 200)
    known = {"floor_us": 15.0, "start_us": 5.0, "share": 0.8}
    calls = fits.Attention(mb=mb, us=np.maximum(15, 5 + mb / (0.8 * 2)))
    assert fits.fitted_attention(calls, 2.0) == pytest.approx(known, rel=0.05)


def test_a_share_of_arithmetic_is_found_where_it_binds() -> None:
    mb = np.geomspace(0.3, 4000, 200)
    calls = fits.Attention(mb=mb, us=10 + mb / 0.5, computing_us=mb)
    found = fits.fitted_attention(calls, 2.0)
    # reading at the whole bandwidth would take mb / 2: only the arithmetic, at half of its peak, takes so long
    assert found["share"] == pytest.approx(0.25, rel=0.05) or found["compute_share"] == pytest.approx(0.5, rel=0.05)
    assert found["floor_us"] >= found["start_us"]


def test_a_start_and_a_rate_are_found_again() -> None:
    """1 MB at 200 GB/s takes 5 us."""
    mb = np.geomspace(0.01, 1000, 100)
    assert fits.fitted_line(mb, 20 + 5 * mb) == pytest.approx({"start_us": 20, "gb_s": 200}, rel=0.05)


def test_between_cells_times_are_bilinear_in_logarithms_and_outside_the_edge() -> None:
    rows, mb = fits.on_grid()
    times = rows * mb
    inside = fits.between(times, np.array([1.0, 90.0]), np.array([0.25, 100.0]))
    assert inside.tolist() == pytest.approx([0.25, 9000])
    assert fits.between(times, np.array([0.1]), np.array([5000.0])).tolist() == pytest.approx([1024])


@pytest.fixture
def tables(tmp_path: Path) -> Callable[..., kernels.Tables]:
    """Writes tables of a made-up system."""

    def write(family: str, engine: str, version: str, name: str, rows: list[dict[str, Any]]) -> kernels.Tables:
        folder = tmp_path / family / engine / version
        folder.mkdir(parents=True, exist_ok=True)
        pl.DataFrame(rows).write_parquet(folder / f"{name}.parquet")
        return kernels.Tables(folder=tmp_path)

    return write


def test_of_engines_that_measured_the_same_product_the_fastest_counts(tables: Callable[..., kernels.Tables]) -> None:
    """1,000 x 1,000 weights in fp8 are 1 MB."""
    call = {"gemm_dtype": "fp8", "m": 8, "n": 1000, "k": 1000}
    tables("gemm", "vllm", "0.24.0", "gemm_perf", [{**call, "latency": 0.010}, {**call, "n": 100, "latency": 0.001}])
    found = kernels.products(
        tables("gemm", "sglang", "0.5.14", "gemm_perf", [{**call, "gemm_dtype": "fp8_block", "latency": 0.007}]), "fp8"
    )
    assert found is not None
    assert (found.rows.tolist(), found.mb.tolist(), found.us.tolist()) == ([8], [1], [7])


def test_products_of_experts_read_those_that_get_rows(tables: Callable[..., kernels.Tables]) -> None:
    """8 tokens to 2 of 128 experts touch 16, each 3 x 1,000 x 1,000 weights of 2 bytes; 128 give each expert 2 rows."""
    call: dict[str, Any] = {
        "moe_dtype": "bfloat16", "hidden_size": 1000, "inter_size": 2000, "topk": 2, "num_experts": 128,
        "moe_tp_size": 2, "moe_ep_size": 1, "distribution": "balanced", "kernel_source": "fused", "latency": 0.05,
    }  # fmt: skip
    others = [{"distribution": "power_law_1.2"}, {"kernel_source": "fused_nongated"}, {"moe_dtype": "nvfp4"}]
    rows = [{**call, "num_tokens": 8}, {**call, "num_tokens": 128}]
    rows += [{**call, "num_tokens": 8, "latency": 0.001, **other} for other in others]
    found = kernels.experts(tables("moe", "vllm", "0.24.0", "moe_perf", rows), "bf16")
    assert found is not None
    assert (found.rows.tolist(), found.mb.tolist(), found.us.tolist()) == ([1, 2], [96, 768], [50, 50])


def test_kv_of_attention_counts_keys_and_values(tables: Callable[..., kernels.Tables]) -> None:
    """16 sequences of 1,024 tokens, 2 KV heads of 128, keys and values of 2 bytes: 16.8 MB."""
    call = {
        "batch_size": 16, "num_heads": 16, "num_key_value_heads": 2, "head_dim": 128, "step": 1023,
        "kv_cache_dtype": "bfloat16", "latency": 0.02,
    }  # fmt: skip
    rows = [call, {**call, "step": 100}, {**call, "batch_size": 1024}, {**call, "kv_cache_dtype": "fp8"}]
    found = kernels.attention(tables("attention", "vllm", "0.24.0", "generation_attention_perf", rows), "bf16")
    assert found is not None
    assert found.mb.tolist() == pytest.approx([16 * 1024 * 2 * 128 * 2 * 2 / 1e6])


def test_sizes_of_an_all_reduce_are_elements_and_eager_kernels_do_not_count(
    tables: Callable[..., kernels.Tables],
) -> None:
    call = {"num_gpus": 2, "message_size": 512, "kernel_source": "graph", "latency": 0.004}
    tables("comm", "vllm", "0.9.0", "custom_allreduce_perf", [{**call, "latency": 0.1}])
    tables(
        "comm", "vllm", "0.24.0", "custom_allreduce_perf", [call, {**call, "kernel_source": "x_eager", "latency": 1e-3}]
    )
    tables("comm", "sglang", "0.5.9", "custom_allreduce_perf", [{**call, "latency": 0.002}])
    found = kernels.all_reduce(
        tables("comm", "trtllm", "1.3.0rc20", "custom_allreduce_perf", [{**call, "latency": 0.3}])
    )
    assert found.select("num_gpus", "bytes", "us").rows() == [(2, 1024, 4.0)]


def test_an_exchange_moves_all_copies_in_fp8_and_back_in_bf16(tables: Callable[..., kernels.Tables]) -> None:
    """64 tokens to 8 experts, 1,024 values and 8 scales of 4 bytes each: 0.541 MB there, 1.049 MB back."""
    call = {"node_num": 1, "hidden_size": 1024, "num_topk": 8, "num_experts": 128, "num_token": 64}
    slow = {**call, "dispatch_transmit_us": 30.0, "combine_transmit_us": 5.0}
    tables("comm", "sglang", "0.5.12", "wideep_deepep_normal_perf", [slow])
    quick = {**call, "dispatch_avg_t_us": 10.0, "combine_avg_t_us": 12.0}
    found = kernels.exchange(
        tables("comm", "sglang", "0.5.12", "wideep_deepep_ll_perf", [quick, {**quick, "node_num": 2}])
    )
    assert found is not None
    assert found[0] == "DeepEP within a node under SGLang 0.5.12"
    by_phase = {phase: (mb, us) for phase, mb, us in found[1].select("phase", "mb", "us").iter_rows()}
    assert by_phase["dispatch"] == pytest.approx((64 * 8 * (1024 + 32) / 1e6, 10))
    assert by_phase["combine"] == pytest.approx((64 * 8 * 2048 / 1e6, 5))


def test_a_grid_reads_back_as_it_was_written() -> None:
    grid = tuple(tuple(0.5 for _ in fits.ROWS) for _ in fits.WEIGHT_MB)
    table = {"rows": list(fits.ROWS), "weight_mb": list(fits.WEIGHT_MB), "share": {"bf16": grid}}
    text = "\n".join(kernel_curves.lines_of({"source": "fitted: to nothing", "products": table}))
    read = tomllib.loads(text)["curves"]["products"]
    assert ProductCurves.model_validate(read).share["bf16"] == grid
    assert set(WEIGHT_BYTES) >= set(kernel_curves.FORMATS)
