"""Synthetic traces: arrivals and token lengths drawn cell by cell, conditioned on the cells' totals.

Each cell has its own random stream, so a window is the same slice of the whole. Lengths are drawn stratified;
then they are scaled and rounded so that the cell's totals are met exactly.
"""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pyarrow as pa

from planner.errors import TraceError
from planner.settings.profile import CachedShare, Lognormal, Population
from planner.trace.synthetic.cells import Cells
from planner.trace.synthetic.kernels import draw as kernels
from planner.units import Floats, Ints, Progress

SCHEMA = pa.schema(
    [
        ("arrival_us", pa.int64()),
        ("input_tokens", pa.int32()),
        ("cached_input_tokens", pa.int32()),
        ("output_tokens", pa.int32()),
    ]
)
_CELL_STREAM = 0
_QUANTILES = 4097
_WORKERS = 2


def draw(population: Population, cells: Cells, seed: int, progress: Progress | None = None) -> Iterator[pa.RecordBatch]:
    """The trace as Arrow batches of SCHEMA, a cell each, in arrival order; the same arguments give the same bytes.

    progress: called with rows done and rows in all. Raises TraceError where the totals cannot be met.
    """
    shares = beta_quantiles(population.cached_share)
    done, everything = 0, int(cells.rows.sum())
    with ThreadPoolExecutor(_WORKERS) as pool:
        waiting: deque[Future[pa.RecordBatch]] = deque()
        for number in range(len(cells)):
            waiting.append(pool.submit(_draw_cell, population, cells, number, seed, shares))
            if len(waiting) > _WORKERS:
                batch = waiting.popleft().result()
                done += batch.num_rows
                if progress:
                    progress(done, everything)
                yield batch
        while waiting:
            batch = waiting.popleft().result()
            done += batch.num_rows
            if progress:
                progress(done, everything)
            yield batch


def beta_quantiles(share: CachedShare) -> Floats:
    """Quantiles of a Beta distribution at equal steps from 0 to 1; (4097,).

    Integrated over t with x = sin(t)^2, which takes the poles at 0 and 1 out of the density for shapes above 1/2.
    """
    t = np.linspace(0, np.pi / 2, 65_537)
    middle = (t[1:] + t[:-1]) / 2
    density = np.sin(middle) ** (2 * share.alpha - 1) * np.cos(middle) ** (2 * share.beta - 1)
    running = np.concatenate([[0.0], np.cumsum(density)])
    levels = np.linspace(0, 1, _QUANTILES)
    quantiles: Floats = np.sin(np.interp(levels, running / running[-1], t)) ** 2
    return quantiles


def _draw_cell(population: Population, cells: Cells, number: int, seed: int, shares: Floats) -> pa.RecordBatch:
    rows = int(cells.rows[number])
    sequence = np.random.SeedSequence(seed, spawn_key=(_CELL_STREAM, int(cells.index[number])))
    random = np.random.Generator(np.random.SFC64(sequence))
    gaps = random.standard_exponential(rows + 1)
    bits = random.integers(0, 2**32, size=(3, rows), dtype=np.uint32)
    arrival_us = kernels.arrivals(gaps, float(cells.slope[number]), int(cells.start_us[number]), cells.length_us)
    z_input, z_output = kernels.correlated_normals(
        kernels.stratified_uniforms(bits[0]), kernels.stratified_uniforms(bits[1]), population.correlation
    )
    input_tokens = _lengths(z_input, population.input, int(cells.input_tokens[number]), "input")
    output_tokens = _lengths(z_output, population.output, int(cells.output_tokens[number]), "output")
    blocks = _cached_blocks(
        kernels.stratified_uniforms(bits[2]),
        input_tokens,
        population,
        shares,
        int(cells.cached_blocks[number]),
    )
    columns = (arrival_us, input_tokens, blocks * population.block_tokens, output_tokens)
    arrays = [
        pa.array(column.astype(field.type.to_pandas_dtype(), copy=False))
        for column, field in zip(columns, SCHEMA, strict=True)
    ]
    return pa.record_batch(arrays, schema=SCHEMA)


def _lengths(z: Floats, law: Lognormal, total: int, field: str) -> Ints:
    """Lengths of a lognormal law that add up to the total. Raises TraceError where they cannot."""
    whole: Ints = kernels.lognormal_lengths(z, law.mu, law.sigma, law.max, total)
    if int(whole.sum()) != total:
        raise TraceError(
            f"{total} {field} tokens cannot be spread over {len(z)} requests of 1 to {law.max} tokens; "
            f"change the profile's totals.{field}_tokens, totals.requests or population.{field}.max"
        )
    return whole


def _cached_blocks(uniform: Floats, tokens: Ints, population: Population, shares: Floats, total: int) -> Ints:
    """Cached blocks per request that add up to the total. Raises TraceError where they cannot."""
    block = population.block_tokens
    whole: Ints = kernels.cached_blocks(uniform, tokens, population.follow_up_share, shares, block, total)
    if int(whole.sum()) != total:
        raise TraceError(
            f"{total} cached blocks of {block} tokens do not fit into {int(tokens.sum())} input tokens; "
            "lower the profile's totals.cached_input_tokens"
        )
    return whole
