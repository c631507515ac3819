"""How long kernels take on an engine's GPU: at one share of each peak, or by curves that were measured by size. Pure.

Both kinds answer the same questions, in microseconds, so that a step is written once. Arrays broadcast.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from planner.core.fleet.curves import TimeTable, all_reduce_us, attention_us, product_table, prompt_share
from planner.core.fleet.shapes import SCALE_BYTES, SCALED_GROUP, WEIGHT_BYTES
from planner.errors import UsageError
from planner.settings.closed import CacheDtype, WeightDtype
from planner.settings.curves import Curves
from planner.settings.engines import EngineProfile
from planner.settings.hardware import Hardware
from planner.units import Floats

HEAD_DTYPE: WeightDtype = "bf16"
"""Of the embedding, the output head and routers."""
DISPATCH_BYTES, COMBINE_BYTES = 1, 2
"""Of a value that travels to an expert, in fp8 with a scale per group of values, and of one that comes back, in bf16
(published: DeepEP)."""
NETWORK_START_US = 30.0
"""Of an exchange between nodes. Assumed: some ten microseconds per hop of a collective over 400 Gb/s links."""


class Speeds(Protocol):
    """What kernels take on one GPU, microseconds."""

    def products(self, weights: Sequence[float], dtype: WeightDtype, rows: ArrayLike) -> Floats:
        """Matrix products with so many weights each, one after the other."""
        ...

    def experts(
        self, touched: ArrayLike, each: float, dtype: WeightDtype, copies: ArrayLike, imbalance: ArrayLike
    ) -> Floats:
        """Routed experts of a layer: `touched` experts of `each` weights, for rows in `copies` copies."""
        ...

    def attention(self, read_bytes: ArrayLike, flops: ArrayLike, kv: CacheDtype, *, latent: bool) -> Floats:
        """Attention of decode rows in one layer: KV that is read, and arithmetic."""
        ...

    def prompt_attention(self, flops: ArrayLike, tokens: ArrayLike) -> Floats:
        """Attention of prompts of so many tokens in one layer."""
        ...

    def all_reduce(self, rows: ArrayLike, hidden: int, gpus: int) -> Floats:
        """Adding up rows of `hidden` values that `gpus` GPUs hold; 0 for one."""
        ...

    def exchange(self, copies: ArrayLike, hidden: int, gpus: int) -> tuple[Floats, Floats]:
        """Copies of rows that a GPU sends to experts on others, and results that come back; 0 for one GPU."""
        ...


def speeds_of(hardware: Hardware, profile: EngineProfile, weights: WeightDtype) -> Speeds:
    """The speeds of an engine. Raises UsageError where kernels of the GPU were not measured and the engine needs it."""
    if profile.kernels == "shares":
        return ShareSpeeds(hardware, weights)
    if hardware.curves is None:
        raise UsageError(
            f"{profile.title} on {hardware.name}: no measured kernels of that GPU; give its file [curves], or "
            "curves_like with the name of a GPU whose shares you assume"
        )
    return CurveSpeeds(hardware, hardware.curves)


@dataclass(frozen=True)
class ShareSpeeds:
    """Every kernel at one share of its peak: [kernels] of the GPU, whose rates hold for one number format.

    weights: format of all products. Formats that the GPU cannot compute in are unpacked and computed in bf16.
    """

    hardware: Hardware
    weights: WeightDtype

    @property
    def _peak(self) -> float:
        """Dense peak for the weights over the peak that the rates hold for."""
        peaks = self.hardware.dense_tflops
        return peaks.get(self.weights, peaks["bf16"]) / peaks[self.hardware.kernels.dtype]

    def products(self, weights: Sequence[float], dtype: WeightDtype, rows: ArrayLike) -> Floats:
        kernels, together = self.hardware.kernels, sum(weights)
        read = together * WEIGHT_BYTES[dtype] / (kernels.gemm_tb_s * 1e6)
        computed = 2 * together * np.asarray(rows, np.float64) / (kernels.gemm_tflops * self._peak * 1e6)
        longer: Floats = np.maximum(read, computed)
        return longer

    def experts(
        self, touched: ArrayLike, each: float, dtype: WeightDtype, copies: ArrayLike, imbalance: ArrayLike
    ) -> Floats:
        kernels = self.hardware.kernels
        tflops = kernels.grouped_gemm_tflops * self._peak
        read = np.asarray(touched, np.float64) * each * WEIGHT_BYTES[dtype] / (kernels.gemm_tb_s * 1e6)
        computed = np.asarray(copies, np.float64) * 2 * each / (tflops * 1e6) * np.asarray(imbalance, np.float64)
        longer: Floats = np.maximum(read, computed)
        return longer

    def attention(
        self,
        read_bytes: ArrayLike,
        flops: ArrayLike,
        kv: CacheDtype,  # noqa: ARG002  one share of the peak for every format
        *,
        latent: bool,  # noqa: ARG002  and for every kind
    ) -> Floats:
        kernels = self.hardware.kernels
        read = np.asarray(read_bytes, np.float64) / (kernels.attention_tb_s * 1e6)
        longer: Floats = np.maximum(read, np.asarray(flops, np.float64) / (kernels.attention_tflops * 1e6))
        return longer

    def prompt_attention(self, flops: ArrayLike, tokens: ArrayLike) -> Floats:  # noqa: ARG002  one share at any length
        taken: Floats = np.asarray(flops, np.float64) / (self.hardware.kernels.prefill_attention_tflops * 1e6)
        return taken

    def all_reduce(self, rows: ArrayLike, hidden: int, gpus: int) -> Floats:
        sent = 2 * (gpus - 1) / gpus * hidden * 2
        reduced: Floats = np.asarray(rows, np.float64) * sent / (self._near_gb_s * 1e3)
        return reduced

    def exchange(self, copies: ArrayLike, hidden: int, gpus: int) -> tuple[Floats, Floats]:
        rows = np.asarray(copies, np.float64)
        if gpus == 1:
            return np.zeros_like(rows), np.zeros_like(rows)
        kernels = self.hardware.kernels
        # nearby GPUs exchange tokens over their own links, at the share of their speed that the network's kernels reach
        link = self._near_gb_s / kernels.dispatch_gb_s if gpus <= self.hardware.nvlink_gpus else 1.0
        out, back = _travelling(hidden)
        return (
            rows * out / (kernels.dispatch_gb_s * link * 1e3),
            rows * back / (kernels.combine_gb_s * link * 1e3),
        )

    @property
    def _near_gb_s(self) -> float:
        """One direction of links to nearby GPUs at the share of their peak that dispatch reaches on the network."""
        hardware = self.hardware
        return hardware.nvlink_gb_s / 2 * hardware.kernels.dispatch_gb_s / hardware.nic_gb_s


@dataclass(frozen=True)
class CurveSpeeds:
    """Kernels by curves that were measured on the GPU, or are assumed to have the shares of another one's."""

    hardware: Hardware
    curves: Curves
    tables: dict[tuple[str, WeightDtype], TimeTable] = field(default_factory=dict, compare=False)

    def products(self, weights: Sequence[float], dtype: WeightDtype, rows: ArrayLike) -> Floats:
        table, size = self._table("products", dtype), WEIGHT_BYTES[dtype] / 1e6
        count = np.asarray(rows, np.float64)
        taken: Floats = sum((table.us(each * size, count) for each in weights), np.zeros_like(count))
        return taken

    def experts(
        self, touched: ArrayLike, each: float, dtype: WeightDtype, copies: ArrayLike, imbalance: ArrayLike
    ) -> Floats:
        held = np.asarray(touched, np.float64)
        rows = np.asarray(copies, np.float64) * np.asarray(imbalance, np.float64)
        mean = np.maximum(rows / np.maximum(held, 1e-9), 1.0)
        return self._table("experts", dtype).us(held * each * WEIGHT_BYTES[dtype] / 1e6, mean)

    def attention(self, read_bytes: ArrayLike, flops: ArrayLike, kv: CacheDtype, *, latent: bool) -> Floats:
        curves = self.curves.latent_attention if latent else self.curves.attention
        read = np.asarray(read_bytes, np.float64)
        computed = np.asarray(flops, np.float64) / (self.hardware.dense_tflops["bf16"] * 1e6)
        taken = attention_us(curves.get(kv, curves["bf16"]), read / 1e6, computed, self.hardware.hbm_tb_s)
        none: Floats = np.where(read > 0, taken, 0.0)
        return none

    def prompt_attention(self, flops: ArrayLike, tokens: ArrayLike) -> Floats:
        share = prompt_share(self.curves.prompt_attention, tokens)
        taken: Floats = np.asarray(flops, np.float64) / (share * self.hardware.dense_tflops["bf16"] * 1e6)
        return taken

    def all_reduce(self, rows: ArrayLike, hidden: int, gpus: int) -> Floats:
        count = np.asarray(rows, np.float64)
        if gpus == 1:
            return np.zeros_like(count)
        near, kilobytes = min(gpus, self.hardware.nvlink_gpus), count * hidden * 2 / 1e3
        if self.curves.all_reduce is None:
            # as a ring at the links' peak
            inside: Floats = 2 * (near - 1) / near * kilobytes / (self.hardware.nvlink_gb_s / 2)
        else:
            inside = all_reduce_us(self.curves.all_reduce, near, kilobytes)
        nodes = -(-gpus // near)
        # each GPU of a node adds up its part of the bytes with its like on other nodes
        between = 2 * (nodes - 1) / nodes * kilobytes / near / self.hardware.nic_gb_s
        return inside + between + (NETWORK_START_US if nodes > 1 else 0.0)

    def exchange(self, copies: ArrayLike, hidden: int, gpus: int) -> tuple[Floats, Floats]:
        rows = np.asarray(copies, np.float64)
        if gpus == 1:
            return np.zeros_like(rows), np.zeros_like(rows)
        out, back = _travelling(hidden)
        measured, near = self.curves.exchange, gpus <= self.hardware.nvlink_gpus
        link = self.hardware.nvlink_gb_s / 2 if near else self.hardware.nic_gb_s
        if measured is None:
            start = 0.0 if near else NETWORK_START_US
            return start + rows * out / (link * 1e3), start + rows * back / (link * 1e3)
        dispatch, combine = (
            min(rate, link) if not near else rate for rate in (measured.dispatch_gb_s, measured.combine_gb_s)
        )
        return (
            measured.dispatch_start_us + rows * out / (dispatch * 1e3),
            measured.combine_start_us + rows * back / (combine * 1e3),
        )

    def _table(self, kind: str, dtype: WeightDtype) -> TimeTable:
        key = (kind, dtype)
        if key not in self.tables:
            peaks = self.hardware.dense_tflops
            self.tables[key] = product_table(
                getattr(self.curves, kind), dtype, self.hardware.hbm_tb_s, peaks.get(dtype, peaks["bf16"])
            )
        return self.tables[key]


def _travelling(hidden: int) -> tuple[int, int]:
    """Bytes of a row on its way to an expert and back."""
    return DISPATCH_BYTES * hidden + -(-hidden // SCALED_GROUP) * SCALE_BYTES, COMBINE_BYTES * hidden


def quantised(hardware: Hardware, dtype: WeightDtype) -> bool:
    """Whether products with weights of a format take activations of that format, and not bf16."""
    return dtype != "bf16" and dtype in hardware.dense_tflops
