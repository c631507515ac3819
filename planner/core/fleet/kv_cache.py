"""KV cache on disk: the share of the input that hits a cache of any size, and the disks it takes. Pure.

The share comes from a trace's prefix-chained blocks. A cache that drops what was used longest ago holds, at every
size, the blocks used last; so one pass that notes how many blocks were used since each block's last use (Mattson,
Gecsei, Slutz and Traiger, IBM Systems Journal 9 (1970), 78-117) gives the hits at all sizes at once.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from planner.documents import Document
from planner.errors import UsageError
from planner.units import Floats, Ints

BYTES_PER_GB = 1e9
"""Disks are sold in decimal units: the SI prefix."""
BYTES_PER_TB = 1e12
"""The SI prefix."""

_ROUNDING = 1e-12
"""Share of a disk that is rounding of floating-point numbers, not need: some thousand units in the last place."""


@dataclass(frozen=True, kw_only=True)
class HitCurve:
    """Input tokens that hit, as a staircase over the cache's capacity.

    capacities: (steps,) blocks, ascending from 0, where more tokens hit than with one block less. hit_tokens: (steps,)
    from 0. attended: (steps,) context that missed tokens attend to, sum(m*(h + m/2)) over requests. input_tokens: of
    all requests. block_tokens: tokens of a full block.
    """

    capacities: Ints
    hit_tokens: Ints
    attended: Floats
    input_tokens: int
    block_tokens: int

    @property
    def largest(self) -> float:
        """The hit ratio of a cache with room for everything; capacities[-1] blocks reach it."""
        return self._ratio(-1)

    def ratio_at(self, capacity_blocks: int) -> float:
        """Share of the input tokens that hit, 0 where there are none. Raises UsageError for a negative capacity."""
        return self._ratio(self._step(capacity_blocks))

    def missed_context_at(self, capacity_blocks: int) -> float:
        """Mean attention context of missed tokens, tokens; 0 where none is missed. Raises UsageError as ratio_at."""
        step = self._step(capacity_blocks)
        missed = self.input_tokens - int(self.hit_tokens[step])
        return float(self.attended[step]) / missed if missed else 0.0

    def _step(self, capacity_blocks: int) -> int:
        if capacity_blocks < 0:
            raise UsageError(f"a cache cannot hold {capacity_blocks} blocks; use 0 or more")
        return int(np.searchsorted(self.capacities, capacity_blocks, side="right")) - 1

    def capacity_for(self, ratio: float) -> int:
        """The smallest capacity in blocks that reaches a hit ratio. Raises UsageError for one out of reach."""
        if not 0 <= ratio <= self.largest:
            # rounded down, so that the ratio named is within reach
            reachable = int(self.hit_tokens[-1]) * 10_000 // max(self.input_tokens, 1) / 10_000
            raise UsageError(f"a hit ratio of {ratio:g} is out of reach on this trace; use one from 0 to {reachable}")
        ratios = self.hit_tokens / max(self.input_tokens, 1)
        return int(self.capacities[np.searchsorted(ratios, ratio, side="left")])

    def _ratio(self, step: int) -> float:
        return int(self.hit_tokens[step]) / max(self.input_tokens, 1)


def hit_curve(request_of_block: Ints, block_ids: Ints, input_tokens: Ints, block_tokens: int) -> HitCurve:
    """The input tokens that hit a cache which drops what was used longest ago, for every capacity at once.

    request_of_block: (blocks,) request numbers from 0, ascending. block_ids: (blocks,) any integers; a request's
    blocks are in the order of its prompt. input_tokens: (requests,). block_tokens: of a full block. A request finds
    its leading blocks that earlier requests left, up to the first that is missing, then uses all of its own from the
    last to the first. Raises UsageError for invalid blocks or tokens.
    """
    requests = len(input_tokens)
    _check_blocks(request_of_block, block_ids, input_tokens, block_tokens)
    from planner.core.fleet.kernels import cache as cache_kernels

    distinct, block = np.unique(block_ids, return_inverse=True)
    first = np.searchsorted(request_of_block, np.arange(requests + 1))
    tokens = np.array(input_tokens, np.int64)  # a copy: one layout in memory, so one compilation
    gained, squares = cache_kernels.tokens_by_distance(first, block, tokens, block_tokens, len(distinct))
    steps = np.flatnonzero(gained)
    without = float((tokens.astype(np.float64) ** 2).sum())
    return HitCurve(
        capacities=np.append(0, steps),
        hit_tokens=np.append(0, np.cumsum(gained[steps])),
        attended=(without - np.append(0, np.cumsum(squares[steps]))) / 2,
        input_tokens=int(tokens.sum()),
        block_tokens=block_tokens,
    )


@dataclass(frozen=True, kw_only=True)
class DiskCache:
    """A KV cache on disks.

    input_tokens_per_s: hits included. hit_ratio: share of them that is read; the rest is computed and written.
    """

    input_tokens_per_s: float
    hit_ratio: float
    kv_bytes_per_token: float
    capacity_blocks: int
    block_tokens: int

    @property
    def hit_tokens_per_s(self) -> float:
        """Tokens read from disk."""
        return self.input_tokens_per_s * self.hit_ratio

    @property
    def missed_tokens_per_s(self) -> float:
        """Tokens computed, and written to disk."""
        return self.input_tokens_per_s - self.hit_tokens_per_s


@dataclass(frozen=True)
class Disk(Document):
    """One disk. Reads and writes share its bandwidth, byte for byte alike (assumed)."""

    bandwidth_gb_per_s: float
    capacity_tb: float


@dataclass(frozen=True, kw_only=True)
class DiskPlan:
    """What a cache asks of its disks. binds: which of the two needs is the larger, before rounding up."""

    bytes_read_per_s: float
    bytes_written_per_s: float
    stored_tb: float
    disks_for_bandwidth: int
    disks_for_capacity: int
    binds: Literal["bandwidth", "capacity"]

    @property
    def disks(self) -> int:
        """Disks that meet both needs."""
        return max(self.disks_for_bandwidth, self.disks_for_capacity)


def stored_tb(capacity_blocks: int, block_tokens: int, kv_bytes_per_token: float) -> float:
    """Terabytes of a cache full of full blocks."""
    return capacity_blocks * block_tokens * kv_bytes_per_token / BYTES_PER_TB


def disks(cache: DiskCache, disk: Disk) -> DiskPlan:
    """Disks for a cache: every hit token is read once, every missed token written once (no amplification: assumed).

    Raises UsageError for invalid figures.
    """
    _check_disks(cache, disk)
    read = cache.hit_tokens_per_s * cache.kv_bytes_per_token
    written = cache.missed_tokens_per_s * cache.kv_bytes_per_token
    stored = stored_tb(cache.capacity_blocks, cache.block_tokens, cache.kv_bytes_per_token)
    for_bandwidth = (read + written) / (disk.bandwidth_gb_per_s * BYTES_PER_GB)
    for_capacity = stored / disk.capacity_tb
    return DiskPlan(
        bytes_read_per_s=read,
        bytes_written_per_s=written,
        stored_tb=stored,
        disks_for_bandwidth=_whole(for_bandwidth),
        disks_for_capacity=_whole(for_capacity),
        binds="bandwidth" if for_bandwidth > for_capacity else "capacity",
    )


def _whole(need: float) -> int:
    """Whole disks; floating-point noise above a whole number adds no disk."""
    return math.ceil(need * (1 - _ROUNDING))


def _check_blocks(request_of_block: Ints, block_ids: Ints, input_tokens: Ints, block_tokens: int) -> None:
    if block_tokens < 1:
        raise UsageError(f"block_tokens is {block_tokens}; give 1 or more")
    if len(request_of_block) != len(block_ids):
        raise UsageError(
            f"{len(block_ids)} block ids come with {len(request_of_block)} request numbers; give one per block"
        )
    if len(input_tokens) and np.min(input_tokens) < 0:
        raise UsageError("input_tokens has a negative number; it must be 0 or more for every request")
    if not len(request_of_block):
        return
    if (request_of_block[1:] < request_of_block[:-1]).any():
        raise UsageError("blocks are not in the order of their requests; sort them by request, then by block index")
    if request_of_block[0] < 0 or request_of_block[-1] >= len(input_tokens):
        raise UsageError(
            f"blocks belong to requests {request_of_block[0]} to {request_of_block[-1]}, but input_tokens has length "
            f"{len(input_tokens)}; number requests from 0"
        )


def _check_disks(cache: DiskCache, disk: Disk) -> None:
    problems = []
    if not 0 <= cache.hit_ratio <= 1:
        problems.append(f"hit_ratio is {cache.hit_ratio:g}; give a number from 0 to 1")
    for name in ("input_tokens_per_s", "kv_bytes_per_token", "capacity_blocks", "block_tokens"):
        value = getattr(cache, name)
        if not 0 <= value < math.inf:
            problems.append(f"{name} is {value:g}; give a finite number that is not negative")
    for name in ("bandwidth_gb_per_s", "capacity_tb"):
        value = getattr(disk, name)
        if not 0 < value < math.inf:
            problems.append(f"{name} of a disk is {value:g}; give a finite number above 0")
    if problems:
        raise UsageError("; ".join(problems))
