"""Times of kernels by size from measured shares of a roofline: monotone, and never faster than the roofline. Pure.

A table of shares is turned into times at its nodes by the peaks of the GPU, a running maximum makes them grow with rows
and with bytes, and between nodes the logarithm of the time is linear in the logarithms of both. A roofline is convex in
logarithms, so a chord over nodes that respect it respects it too; and as nodes fall when a peak rises, so do all times.
Beyond the largest node times grow in proportion, below the smallest they stay.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from planner.core.fleet.shapes import WEIGHT_BYTES
from planner.settings.closed import WeightDtype
from planner.settings.curves import AllReduceCurve, AttentionCurve, ProductCurves, PromptAttention
from planner.units import Floats


@dataclass(frozen=True)
class TimeTable:
    """Times at nodes: log_us[i, j] at log_mb[i] and log_rows[j], natural logarithms."""

    log_mb: Floats
    log_rows: Floats
    log_us: Floats

    def us(self, mb: ArrayLike, rows: ArrayLike) -> Floats:
        """Microseconds for weights of `mb` MB and so many rows; 0 for no weights or no rows. Arguments broadcast."""
        # one table is read a thousand times for a fit: the size, mostly one number, is not repeated for every row
        size, count = np.asarray(mb, np.float64), np.asarray(rows, np.float64)
        some = (size > 0) & (count > 0)
        log_mb, log_rows = (np.log(np.where(values > 0, values, 1.0)) for values in (size, count))
        (i, a), (j, b) = _between(self.log_mb, log_mb), _between(self.log_rows, log_rows)
        t = self.log_us
        inside = (1 - a) * ((1 - b) * t[i, j] + b * t[i, j + 1]) + a * ((1 - b) * t[i + 1, j] + b * t[i + 1, j + 1])
        beyond = np.maximum(log_mb - self.log_mb[-1], 0.0) + np.maximum(log_rows - self.log_rows[-1], 0.0)
        taken: Floats = np.where(some, np.exp(inside + beyond), 0.0)
        return taken


def product_table(curves: ProductCurves, dtype: WeightDtype, hbm_tb_s: float, tflops: float) -> TimeTable:
    """Times of products with weights of a format. tflops: dense peak that they are computed at.

    Where the format was not measured, shares are those of bf16.
    """
    share = np.array(curves.share.get(dtype, curves.share["bf16"]))
    mb, rows = np.array(curves.weight_mb)[:, None], np.array(curves.rows)[None, :]
    # 1 MB at 1 TB/s takes 1 us; 2 flops per weight and row
    roofline = np.maximum(mb / hbm_tb_s, 2 * rows * mb / WEIGHT_BYTES[dtype] / tflops)
    times = np.maximum.accumulate(np.maximum.accumulate(roofline / share, axis=0), axis=1)
    return TimeTable(np.log(mb[:, 0]), np.log(rows[0]), np.log(times))


def attention_us(curve: AttentionCurve, read_mb: ArrayLike, compute_us: ArrayLike, hbm_tb_s: float) -> Floats:
    """Attention of one layer and decode step: `read_mb` MB of KV, and arithmetic that takes so long at the peak."""
    work = np.asarray(read_mb, np.float64) / (curve.share * hbm_tb_s)
    # where no share was measured, arithmetic was never seen to bind; it is at its peak at best
    work = np.maximum(work, np.asarray(compute_us, np.float64) / (curve.compute_share or 1.0))
    taken: Floats = np.maximum(curve.floor_us, curve.start_us + work)
    return taken


def prompt_share(curve: PromptAttention, tokens: ArrayLike) -> Floats:
    """Share of the bf16 peak that attention of prompts of a length reaches; at the ends as at the nearest length."""
    length = np.maximum(np.asarray(tokens, np.float64), 1.0)
    share: Floats = np.interp(np.log(length), np.log(curve.tokens), np.maximum.accumulate(curve.share))
    return share


def all_reduce_us(curve: AllReduceCurve, gpus: int, kilobytes: ArrayLike) -> Floats:
    """Adding up what `gpus` GPUs hold, `kilobytes` thousand bytes each; between measured sizes in logarithms.

    Larger groups than were measured take as much longer as a ring sends more: (n - 1) / n of the bytes, and one more
    start for each doubling.
    """
    sizes, table = list(curve.gpus), np.maximum.accumulate(np.maximum.accumulate(np.array(curve.us), axis=1), axis=0)
    # the fewest measured GPUs that are enough: never faster than it was
    at = next((number for number, size in enumerate(sizes) if size >= gpus), len(sizes) - 1)
    log_kb = np.log(np.maximum(np.asarray(kilobytes, np.float64), curve.kilobytes[0]))
    ends = np.log(curve.kilobytes)
    taken: Floats = np.exp(np.interp(log_kb, ends, np.log(table[at])) + np.maximum(log_kb - ends[-1], 0.0))
    if gpus > sizes[at]:
        more = (gpus - 1) / gpus * sizes[at] / (sizes[at] - 1)
        taken = taken * more + float(table[at, 0]) * np.log2(gpus / sizes[at])
    return taken


def _between(nodes: Floats, values: Floats) -> tuple[np.ndarray, Floats]:
    """The node below each value, and how far to the next one it lies, 0 to 1; values beyond are taken to the end."""
    inside = np.minimum(np.maximum(values, nodes[0]), nodes[-1])  # np.clip takes three times as long for a few values
    below = np.minimum(nodes.searchsorted(inside, side="right") - 1, len(nodes) - 2)
    share: Floats = (inside - nodes[below]) / (nodes[below + 1] - nodes[below])
    return below, share
