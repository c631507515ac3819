"""Condenses times of kernels to few figures: shares of a roofline on a grid, and short formulas. Pure and repeatable.

Units: microseconds, MB (a million bytes), TB/s and TFLOP/s, so that MB / (TB/s) is microseconds.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.units import Floats

ROWS = (1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
WEIGHT_MB = (0.25, 1, 4, 16, 64, 256, 1024)
CACHED_MB = 256
"""More than any GPU's cache holds."""
QUANTILE = 0.1
"""Of kernels at a size: engines pick the better ones, and tables also hold those that nobody would run."""
WIDTH_MB, WIDTH_ROWS = 0.5, 0.3
"""How far, in logarithms, a measured kernel tells of its neighbours."""
PRIOR = np.array([np.log(5), 1.0, 0.0, 1.0])
"""Of the smooth shape: start (log us), shares of bandwidth and of peak (logits), sharpness of the corner (log)."""
FITTED = 6000
"""Kernels drawn for the smooth shape; all are used for what is left over."""
FEW, ENOUGH = 3.0, 30.0
"""Weight of the smooth shape, in kernels, and how many make it that no wider neighbourhood is asked."""


@dataclass(frozen=True, kw_only=True)
class Peaks:
    """What a GPU could do with weights of a format: bandwidth, arithmetic, bytes of one weight."""

    hbm_tb_s: float
    tflops: float
    weight_bytes: float

    def reading_us(self, mb: Floats) -> Floats:
        """Time to read the weights."""
        return mb / self.hbm_tb_s

    def computing_us(self, rows: Floats, mb: Floats) -> Floats:
        """Time to compute the rows."""
        return 2 * rows * mb / self.weight_bytes / self.tflops

    def roofline_us(self, rows: Floats, mb: Floats) -> Floats:
        """The longer of the two."""
        return np.maximum(self.reading_us(mb), self.computing_us(rows, mb))


@dataclass(frozen=True, kw_only=True)
class Products:
    """Measured products: rows, MB of weights, and microseconds of each."""

    rows: Floats
    mb: Floats
    us: Floats

    def read_from_memory(self, tb_s: float) -> "Products":
        """Those that did not find their weights in a cache."""
        kept = from_memory(self.mb, self.us, tb_s)
        return Products(rows=self.rows[kept], mb=self.mb[kept], us=self.us[kept])


def from_memory(mb: Floats, us: Floats, tb_s: float) -> NDArray[np.bool_]:
    """Which calls read no faster than large ones do.

    Faster ones repeat a call whose bytes a cache holds, which an engine's next call would not find there.

    Args:
        mb: read by each call.
        us: of each call.
        tb_s: what calls reach that no cache holds.
    """
    return (mb >= CACHED_MB) | (us >= mb / tb_s)


def reached_tb_s(products: Products) -> float:
    """What the better kernels of few rows read at, of weights that no cache holds."""
    large = (products.rows <= 16) & (products.mb >= CACHED_MB)
    return float(np.quantile(products.mb[large] / products.us[large], 1 - QUANTILE))


def smooth_us(shape: Floats, reading: Floats, computing: Floats) -> Floats:
    """A start, then reading and computing at their shares, with a rounded corner between them."""
    start, corner = np.exp(shape[0]), 1 + np.exp(shape[3])
    read, computed = 1 / (1 + np.exp(-shape[1])), 1 / (1 + np.exp(-shape[2]))
    return start + ((reading / read) ** corner + (computing / computed) ** corner) ** (1 / corner)


def fitted_shape(products: Products, peaks: Peaks, scale: float = 0.15, rounds: int = 60) -> Floats:
    """The smooth shape nearest to measured times: damped Gauss-Newton on logarithms, far ones counting less."""
    drawn = np.random.default_rng(0).permutation(len(products.us))[:FITTED]
    reading = peaks.reading_us(products.mb[drawn])
    computing = peaks.computing_us(products.rows[drawn], products.mb[drawn])
    measured = np.log(products.us[drawn])

    def misses(shape: Floats) -> Floats:
        return np.concatenate([np.log(smooth_us(shape, reading, computing)) - measured, 0.1 * (shape - PRIOR)])

    def loss(miss: Floats) -> float:
        return float(np.sum(np.sqrt(1 + (miss / scale) ** 2) - 1))

    shape, damping = PRIOR.copy(), 1e-2
    miss = misses(shape)
    for _ in range(rounds):
        slopes = np.stack([(misses(shape + step) - miss) / 1e-5 for step in np.eye(4) * 1e-5], axis=1)
        weighted = slopes * (1 / np.sqrt(1 + (miss / scale) ** 2))[:, None]
        normal = weighted.T @ slopes
        step = np.linalg.solve(normal + damping * np.diag(np.diag(normal)), -weighted.T @ miss)
        # a corner or a share that nothing tells of would run away
        tried = np.clip(shape + step, (-3, -6, -6, -6), (7, 6, 6, 3))
        if loss(misses(tried)) < loss(miss):
            shape, miss, damping = tried, misses(tried), damping / 3
        else:
            damping *= 4
    return shape


def grid_us(products: Products, peaks: Peaks, reached_tb_s: float = np.inf, quantile: float = QUANTILE) -> Floats:
    """Times of good kernels on the grid, growing with weights and rows, none faster than its roofline.

    Args:
        products: what was measured, without those that read from a cache.
        peaks: of the GPU and the format.
        reached_tb_s: bandwidth that none exceeds.
        quantile: which of the kernels near a size counts.

    Returns:
        A row for each of WEIGHT_MB, a column for each of ROWS.
    """
    shape = fitted_shape(products, peaks)
    reading, computing = peaks.reading_us(products.mb), peaks.computing_us(products.rows, products.mb)
    left = np.log(products.us / smooth_us(shape, reading, computing))
    order = np.argsort(left, kind="stable")
    left, log_mb, log_rows = left[order], np.log(products.mb[order]), np.log(products.rows[order])
    rows, mb = on_grid()
    factors = np.ones(rows.shape)
    for cell in np.ndindex(*rows.shape):
        for wider in (1, 2, 4, 8):
            far = ((log_mb - np.log(mb[cell])) / WIDTH_MB) ** 2 + ((log_rows - np.log(rows[cell])) / WIDTH_ROWS) ** 2
            seen = np.cumsum(np.exp(-0.5 * far / wider**2))
            # where few kernels were measured, those further off tell
            if seen[-1] > ENOUGH:
                break
        at = left[min(int(np.searchsorted(seen, quantile * seen[-1])), len(left) - 1)]
        factors[cell] = np.exp(at * seen[-1] / (seen[-1] + FEW))
    times = smooth_us(shape, peaks.reading_us(mb), peaks.computing_us(rows, mb)) * factors
    return np.maximum.reduce([growing(times), peaks.roofline_us(rows, mb), mb / reached_tb_s])


def on_grid() -> tuple[Floats, Floats]:
    """Rows and MB of every cell of the grid."""
    mb, rows = np.meshgrid(np.array(WEIGHT_MB, dtype=float), np.array(ROWS, dtype=float), indexing="ij")
    return rows, mb


def growing(times: Floats) -> Floats:
    """Times that do not fall with more weights or more rows."""
    return np.maximum.accumulate(np.maximum.accumulate(times, axis=0), axis=1)


def shares(times: Floats, peaks: Peaks) -> tuple[tuple[float, ...], ...]:
    """Shares of the roofline, of three digits."""
    rows, mb = on_grid()
    part = np.minimum(peaks.roofline_us(rows, mb) / times, 1.0)
    return tuple(tuple(float(f"{share:.3g}") for share in line) for line in part)


def times_of(share: Sequence[Sequence[float]], peaks: Peaks) -> Floats:
    """Times on the grid that shares stand for."""
    rows, mb = on_grid()
    return peaks.roofline_us(rows, mb) / np.array(share)


def between(times: Floats, rows: Floats, mb: Floats) -> Floats:
    """Times between cells of the grid: bilinear in logarithms; outside it, its edge."""
    places = []
    for values, grid in ((mb, WEIGHT_MB), (rows, ROWS)):
        log, at = np.log(values), np.log(np.array(grid, dtype=float))
        cell = np.clip(np.searchsorted(at, log) - 1, 0, len(at) - 2)
        places.append((cell, np.clip((log - at[cell]) / (at[cell + 1] - at[cell]), 0, 1)))
    (line, down), (column, along) = places
    table = np.log(times)
    upper = table[line, column] * (1 - along) + table[line, column + 1] * along
    lower = table[line + 1, column] * (1 - along) + table[line + 1, column + 1] * along
    return np.exp(upper * (1 - down) + lower * down)


def descended(
    error: Callable[[Mapping[str, float]], float], choices: Mapping[str, Floats], passes: int = 12
) -> dict[str, float]:
    """The figures with the least error, each improved in turn over its choices until none changes.

    Args:
        error: of a set of figures.
        choices: for each figure, ascending.
        passes: the most that are made.
    """
    best: tuple[float, dict[str, float]] = (np.inf, {})
    for place in (0.25, 0.5, 0.75):  # where the search begins
        figures = {name: float(values[int(place * len(values))]) for name, values in choices.items()}
        for _ in range(passes):
            before = dict(figures)
            for name, values in choices.items():
                tried = [error({**figures, name: float(value)}) for value in values]
                figures[name] = float(values[int(np.argmin(tried))])
            if figures == before:
                break
        best = min(best, (error(figures), figures), key=lambda found: found[0])
    return best[1]


def even_by_size(sizes: Floats) -> Floats:
    """Weights with which every doubling of the size counts the same; they sum to one."""
    _, bins, counts = np.unique(np.floor(np.log2(sizes)), return_inverse=True, return_counts=True)
    weights = 1.0 / counts[bins]
    return weights / weights.sum()


def steps(low: float, high: float, count: int) -> Floats:
    """Figures with even ratios between them, of three digits."""
    return np.array([float(f"{value:.3g}") for value in np.geomspace(low, high, count)])


@dataclass(frozen=True, kw_only=True)
class Attention:
    """Measured calls of attention: MB of KV, microseconds, and microseconds of arithmetic at the peak (or None)."""

    mb: Floats
    us: Floats
    computing_us: Floats | None = None

    def read_from_memory(self, tb_s: float) -> "Attention":
        """Those that did not find their KV in a cache."""
        kept = from_memory(self.mb, self.us, tb_s)
        computing_us = None if self.computing_us is None else self.computing_us[kept]
        return Attention(mb=self.mb[kept], us=self.us[kept], computing_us=computing_us)


def attention_us(figures: Mapping[str, float], calls: Attention, hbm_tb_s: float) -> Floats:
    """At least a floor, else a start and the KV at a share of bandwidth, or the arithmetic at a share of its peak."""
    busy = calls.mb / (figures["share"] * hbm_tb_s)
    if calls.computing_us is not None:
        busy = np.maximum(busy, calls.computing_us / figures["compute_share"])
    return np.maximum(figures["floor_us"], figures["start_us"] + busy)


def fitted_attention(calls: Attention, hbm_tb_s: float) -> dict[str, float]:
    """Floor, start and shares nearest to measured calls, in the mean of the logarithm over sizes."""
    weights = even_by_size(calls.mb)
    choices = {
        "floor_us": steps(1.5, 60, 90),
        "start_us": np.concatenate([[0.0], steps(0.5, 600, 140)]),
        "share": np.round(np.arange(0.02, 1.001, 0.01), 3),
    }
    if calls.computing_us is not None:
        choices["compute_share"] = np.round(np.arange(0.02, 1.001, 0.01), 3)

    def error(figures: Mapping[str, float]) -> float:
        return float(weights @ np.abs(np.log(attention_us(figures, calls, hbm_tb_s) / calls.us)))

    figures = descended(error, choices)
    # a floor below the start never binds
    return {**figures, "floor_us": max(figures["floor_us"], figures["start_us"])}


def line_us(figures: Mapping[str, float], mb: Floats) -> Floats:
    """A start, then MB at a rate in GB/s."""
    return figures["start_us"] + mb * 1e3 / figures["gb_s"]


def fitted_line(mb: Floats, us: Floats) -> dict[str, float]:
    """A start in microseconds and a rate in GB/s nearest to measured transfers."""
    weights = even_by_size(mb)

    def error(figures: Mapping[str, float]) -> float:
        return float(weights @ np.abs(np.log(line_us(figures, mb) / us)))

    return descended(error, {"start_us": steps(1, 200, 200), "gb_s": steps(10, 2000, 240)})
