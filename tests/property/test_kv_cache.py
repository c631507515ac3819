"""The KV cache on disk: its hit curve is that of a cache run at every size, its disks those of plain arithmetic."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.core.fleet.kv_cache import Disk, DiskCache, HitCurve, disks, hit_curve, stored_tb
from planner.errors import UsageError
from planner.trace.imports.prefix_cache import PrefixCache, cached_tokens

Prompts = Sequence[Sequence[int]]


def curve_of(prompts: Prompts, input_tokens: Sequence[int], block_tokens: int) -> HitCurve:
    """The curve of prompts given as lists."""
    request = np.repeat(np.arange(len(prompts)), [len(prompt) for prompt in prompts])
    blocks = np.array([block for prompt in prompts for block in prompt], np.int64)
    return hit_curve(request, blocks, np.array(input_tokens, np.int64), block_tokens)


def replayed(prompts: Prompts, input_tokens: Sequence[int], block_tokens: int, capacity: int | None) -> int:
    """Tokens that hit a cache of one size, request by request."""
    cache = PrefixCache(capacity)
    return sum(
        cached_tokens(cache.hits(prompt), block_tokens, tokens)
        for prompt, tokens in zip(prompts, input_tokens, strict=True)
    )


# any ids, which repeat within a prompt, or beginnings of a few documents, which share their blocks; both may be empty
loose = st.lists(st.integers(0, 9), max_size=8)
chained = st.builds(
    lambda document, shared, length: [(document if index >= shared else 0) * 10 + index for index in range(length)],
    st.integers(0, 3),
    st.integers(0, 4),
    st.integers(0, 9),
)


@st.composite
def traces(draw: st.DrawFn) -> tuple[Prompts, Sequence[int], int]:
    """Prompts, input tokens and tokens per block; last blocks are full, partial or missing."""
    block_tokens = draw(st.integers(1, 5))
    prompts = draw(st.lists(st.one_of(loose, chained), max_size=25))
    input_tokens = [draw(st.integers(max(0, (len(p) - 1) * block_tokens), len(p) * block_tokens + 2)) for p in prompts]
    return prompts, input_tokens, block_tokens


@given(traces())
def test_every_capacity_hits_what_a_cache_of_that_size_hits(trace: tuple[Prompts, Sequence[int], int]) -> None:
    prompts, input_tokens, _ = trace
    curve = curve_of(*trace)
    distinct = len({block for prompt in prompts for block in prompt})
    for capacity in range(distinct + 2):
        assert curve.ratio_at(capacity) == replayed(*trace, capacity) / max(sum(input_tokens), 1)
    assert curve.largest == replayed(*trace, None) / max(sum(input_tokens), 1)
    assert curve.largest == curve.ratio_at(distinct)
    assert curve.input_tokens == sum(input_tokens)


@given(traces())
def test_every_step_of_the_curve_rises_from_nothing(trace: tuple[Prompts, Sequence[int], int]) -> None:
    curve = curve_of(*trace)
    assert curve.capacities.dtype == curve.hit_tokens.dtype == np.int64
    assert (curve.capacities[0], curve.hit_tokens[0]) == (0, 0)
    assert (np.diff(curve.capacities) > 0).all()
    assert (np.diff(curve.hit_tokens) > 0).all()


@given(traces(), st.floats(0, 1))
def test_the_capacity_for_a_ratio_is_the_smallest_that_reaches_it(
    trace: tuple[Prompts, Sequence[int], int], share: float
) -> None:
    curve = curve_of(*trace)
    for ratio in (share * curve.largest, *(curve.ratio_at(capacity) for capacity in curve.capacities.tolist())):
        capacity = curve.capacity_for(ratio)
        assert curve.ratio_at(capacity) >= ratio
        assert capacity == 0 or curve.ratio_at(capacity - 1) < ratio


@given(traces())
def test_names_of_blocks_do_not_matter(trace: tuple[Prompts, Sequence[int], int]) -> None:
    prompts, input_tokens, block_tokens = trace
    renamed = curve_of([[(1 << 62) - block**9 for block in prompt] for prompt in prompts], input_tokens, block_tokens)
    curve = curve_of(*trace)
    assert renamed.capacities.tolist() == curve.capacities.tolist()
    assert renamed.hit_tokens.tolist() == curve.hit_tokens.tolist()


def test_a_run_of_hits_needs_room_for_its_farthest_block() -> None:
    # After two prompts the order of last use is 3, 1, 2. The third finds 1 as the second block from the top and 2 as
    # the third: 10 tokens from 2 blocks on, 5 more (the last block is partial) from 3 blocks on, of 40 in all.
    curve = curve_of([[1, 2], [3], [1, 2]], [15, 10, 15], 10)
    assert curve.capacities.tolist() == [0, 2, 3]
    assert curve.hit_tokens.tolist() == [0, 10, 15]
    assert [curve.ratio_at(capacity) for capacity in (0, 1, 2, 3, 99)] == [0, 0, 0.25, 0.375, 0.375]
    assert curve.largest == 0.375
    assert [curve.capacity_for(ratio) for ratio in (0, 0.1, 0.25, 0.26, 0.375)] == [0, 2, 2, 3, 3]


def test_a_near_block_behind_a_far_one_needs_the_room_of_the_far_one() -> None:
    # order of last use 2, 1: block 1 is the second from the top, and block 2 hits only if it does
    assert curve_of([[1], [2], [1, 2]], [1, 1, 2], 1).capacities.tolist() == [0, 2]


def test_a_prompt_does_not_hit_its_own_blocks() -> None:
    assert curve_of([[5, 5, 5]], [3], 1).largest == 0


def test_a_prompt_longer_than_the_cache_leaves_its_beginning() -> None:
    curve = curve_of([[1, 2, 3, 4], [1, 2, 3, 4]], [4, 4], 1)
    assert curve.hit_tokens.tolist() == [0, 1, 2, 3, 4]
    assert curve.capacities.tolist() == [0, 1, 2, 3, 4]


def test_a_trace_without_blocks_or_tokens_hits_nothing() -> None:
    for curve in (curve_of([], [], 16), curve_of([[], []], [5, 0], 16), curve_of([[1], [1]], [0, 0], 16)):
        assert curve.largest == curve.ratio_at(1000) == 0
        assert curve.capacity_for(0) == 0


@pytest.mark.parametrize("ratio", [0.6667, 1.5, -0.1, float("nan")])
def test_a_ratio_out_of_reach_names_one_that_is_not(ratio: float) -> None:
    curve = curve_of([[1], [1], [1]], [1, 1, 1], 1)  # two thirds
    with pytest.raises(UsageError, match=r"use one from 0 to 0\.6666$"):
        curve.capacity_for(ratio)
    assert curve.capacity_for(0.6666) == 1


def test_blocks_that_cannot_be_are_refused() -> None:
    def refused(cure: str, requests: list[int], ids: list[int], tokens: list[int], block_tokens: int = 4) -> None:
        with pytest.raises(UsageError, match=cure):
            hit_curve(np.array(requests), np.array(ids), np.array(tokens), block_tokens)

    refused("block_tokens is 0", [0], [1], [4], 0)
    refused("2 block ids come with 1 request numbers", [0], [1, 2], [4])
    refused("negative number", [0], [1], [-4])
    refused("sort them by request", [1, 0], [1, 2], [4, 4])
    refused("requests 0 to 1, but input_tokens has length 1", [0, 1], [1, 2], [4])
    refused("requests -1 to 0", [-1, 0], [1, 2], [4])
    with pytest.raises(UsageError, match="a cache cannot hold -1 blocks"):
        curve_of([[1]], [1], 1).ratio_at(-1)


def mooncake(folder: Path) -> tuple[Prompts, Sequence[int], dict[str, Any]]:
    """Prompts and input tokens of the real trace, and its reference figures."""
    lines = (folder / "mooncake_fast25" / "synthetic_trace.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    reference = json.loads((folder / "reference.json").read_text())["mooncake_fast25_synthetic"]
    return [row["hash_ids"] for row in rows], [row["input_length"] for row in rows], reference


def test_the_real_mooncake_trace_has_the_reference_figures(shared_traces: Path) -> None:
    prompts, input_tokens, reference = mooncake(shared_traces)
    expected = reference["prefix_cache_infinite_row_order"]
    curve = curve_of(prompts, input_tokens, reference["block_tokens"])
    assert curve.hit_tokens[-1] == expected["hit_tokens"]
    assert curve.input_tokens == expected["input_tokens"]
    assert curve.largest == pytest.approx(expected["token_hit_ratio"], rel=1e-12)
    assert curve.capacities[-1] <= expected["unique_blocks"]


@pytest.mark.parametrize("capacity", [100, 3000, 20_000])
def test_the_real_mooncake_trace_hits_what_a_cache_of_one_size_hits(shared_traces: Path, capacity: int) -> None:
    prompts, input_tokens, reference = mooncake(shared_traces)
    block_tokens = reference["block_tokens"]
    curve = curve_of(prompts, input_tokens, block_tokens)
    hit_tokens = replayed(prompts, input_tokens, block_tokens, capacity)
    assert hit_tokens > 0
    assert curve.ratio_at(capacity) == hit_tokens / sum(input_tokens)


# 1,000 tokens/s of 2 MB, three quarters read: 1.5 GB/s read and 0.5 GB/s written. 4,000 blocks of 1,000 tokens: 8 TB.
CACHE = DiskCache(
    input_tokens_per_s=1000, hit_ratio=0.75, kv_bytes_per_token=2_000_000, capacity_blocks=4000, block_tokens=1000
)


def test_hits_are_read_and_misses_are_written() -> None:
    plan = disks(CACHE, Disk(bandwidth_gb_per_s=1, capacity_tb=5))
    assert (CACHE.hit_tokens_per_s, CACHE.missed_tokens_per_s) == (750, 250)
    assert (plan.bytes_read_per_s, plan.bytes_written_per_s) == (1.5e9, 0.5e9)
    assert plan.stored_tb == stored_tb(4000, 1000, 2_000_000) == 8


@pytest.mark.parametrize(
    ("disk", "for_bandwidth", "for_capacity", "binds"),
    [
        (Disk(1, 5), 2, 2, "bandwidth"),  # 2.0 and 1.6 disks
        (Disk(1, 3.5), 2, 3, "capacity"),
        (Disk(0.3, 3.5), 7, 3, "bandwidth"),
        (Disk(1, 4), 2, 2, "capacity"),  # 2 and 2
    ],
)
def test_the_larger_of_bandwidth_and_capacity_binds(
    disk: Disk, for_bandwidth: int, for_capacity: int, binds: str
) -> None:
    plan = disks(CACHE, disk)
    assert (plan.disks_for_bandwidth, plan.disks_for_capacity, plan.binds) == (for_bandwidth, for_capacity, binds)
    assert plan.disks == max(for_bandwidth, for_capacity)


def test_rounding_of_fractions_buys_no_further_disk() -> None:
    # in floating point 0.1 + 0.2 over 0.1 and 2.1 over 0.3 lie just above 3 and 7
    cache = DiskCache(
        input_tokens_per_s=0.1 + 0.2, hit_ratio=0, kv_bytes_per_token=1e9, capacity_blocks=2100, block_tokens=1
    )
    assert disks(cache, Disk(0.1, 0.3)).disks_for_bandwidth == 3
    assert disks(cache, Disk(0.1, 0.3)).disks_for_capacity == 7


def test_the_context_of_missed_tokens_shifts_with_what_is_found() -> None:
    """Prompts of 15, 10 and 15 tokens: each attends to half its length where nothing is found; with room for two blocks
    the last one finds 10 and misses 5 after them."""
    curve = curve_of([[1, 2], [3], [1, 2]], [15, 10, 15], 10)
    assert curve.missed_context_at(0) == (15**2 + 10**2 + 15**2) / 2 / 40
    found = PrefixCache(2)
    hits = [cached_tokens(found.hits(own), 10, t) for own, t in zip([[1, 2], [3], [1, 2]], [15, 10, 15], strict=True)]
    attended = sum((t - h) * (h + (t - h) / 2) for t, h in zip([15, 10, 15], hits, strict=True))
    assert curve.missed_context_at(2) == attended / (40 - sum(hits))
    with pytest.raises(UsageError, match="cannot hold -1 blocks"):
        curve.missed_context_at(-1)


def test_no_cache_takes_no_disk() -> None:
    assert (
        disks(
            DiskCache(
                input_tokens_per_s=0, hit_ratio=0.5, kv_bytes_per_token=70_272, capacity_blocks=0, block_tokens=64
            ),
            Disk(5, 4),
        ).disks
        == 0
    )


def test_figures_that_cannot_be_are_all_named() -> None:
    nan = float("nan")
    with pytest.raises(UsageError) as caught:
        disks(
            DiskCache(
                input_tokens_per_s=-1, hit_ratio=1.5, kv_bytes_per_token=nan, capacity_blocks=-2, block_tokens=-64
            ),
            Disk(0, float("inf")),
        )
    for name in (
        "hit_ratio is 1.5",
        "input_tokens_per_s is -1",
        "kv_bytes_per_token is nan",
        "capacity_blocks is -2",
        "block_tokens is -64",
        "bandwidth_gb_per_s of a disk is 0",
        "capacity_tb of a disk is inf",
    ):
        assert name in str(caught.value)
    assert "\n" not in str(caught.value)
