"""Prefix caches: which blocks of a prompt are found, with room for all blocks or for a given number."""

from collections import OrderedDict
from collections.abc import Sequence


class PrefixCache:
    """A cache of prefix-chained blocks; the least recently used are evicted first.

    capacity_blocks: None for no limit. A prompt's blocks are touched from the last to the first, so that the
    beginning of a prompt, which more prompts share, stays longest.
    """

    def __init__(self, capacity_blocks: int | None = None) -> None:
        self._capacity = capacity_blocks
        self._blocks: OrderedDict[int, None] = OrderedDict()

    def hits(self, block_ids: Sequence[int]) -> int:
        """Leading blocks that earlier prompts left; afterwards this prompt's are cached, as far as there is room."""
        hits = self.count_hits(block_ids)
        self.add(block_ids)
        return hits

    def count_hits(self, block_ids: Sequence[int]) -> int:
        """Leading blocks that are cached."""
        hits = 0
        while hits < len(block_ids) and block_ids[hits] in self._blocks:
            hits += 1
        return hits

    def add(self, block_ids: Sequence[int]) -> None:
        """Add a prompt's blocks, as far as there is room."""
        for block in reversed(block_ids):
            self._blocks[block] = None
            self._blocks.move_to_end(block)
        if self._capacity is not None:
            while len(self._blocks) > self._capacity:
                self._blocks.popitem(last=False)


def cached_tokens(hit_blocks: int, block_tokens: int, input_tokens: int) -> int:
    """Tokens in the hit blocks; the last block of a prompt is usually partial."""
    return min(hit_blocks * block_tokens, input_tokens)
