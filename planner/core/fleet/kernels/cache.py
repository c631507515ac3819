"""Compiled inner loop of cache hit curves. Importing this module imports numba, which takes about a second."""

import numpy as np

from planner.jit import njit
from planner.units import Ints


@njit
def _add(tree: Ints, slot: int, amount: int) -> None:
    """Add to one slot of a Fenwick tree."""
    node = slot + 1
    while node < len(tree):
        tree[node] += amount
        node += node & -node


@njit
def _before(tree: Ints, slot: int) -> int:
    """The sum of all slots before this one."""
    total = 0
    node = slot
    while node > 0:
        total += tree[node]
        node &= node - 1
    return total


@njit
def tokens_by_distance(first: Ints, block: Ints, tokens: Ints, block_tokens: int, distinct: int) -> Ints:
    """Input tokens that hit, by the least capacity in blocks with which they do, and the growth of their squares.

    first: (requests + 1,) where each request's blocks begin. block: (blocks,) from 0 to distinct - 1. tokens:
    (requests,) input tokens. Returns (2, distinct + 1): hit tokens, and what they add to the sum over requests of the
    square of hit tokens; what never hits is nowhere.

    A block's distance is its place in the order of last use, 1 for the latest. The blocks that a cache keeps are those
    not farther than its capacity, so a run of hits needs room for its greatest distance.
    """
    slots = len(block)
    tree = np.zeros(slots + 1, np.int64)  # 1 in every slot of time that is some block's last use
    last = np.full(distinct, -1, np.int64)
    hit = np.zeros((2, distinct + 1), np.int64)
    known = 0
    for request in range(len(tokens)):
        begin, end = first[request], first[request + 1]
        left, oldest, distance = tokens[request], slots, 0
        for index in range(begin, end):
            slot = last[block[index]]
            if slot < 0:
                break
            if slot < oldest:  # else a block before it was used longer ago, and decides
                # blocks of one earlier prompt lie side by side: no need to ask the tree
                distance = distance + 1 if slot == oldest - 1 else known - _before(tree, slot)
                oldest = slot
            found = min(block_tokens, left)
            before = tokens[request] - left
            hit[0, distance] += found
            hit[1, distance] += (before + found) ** 2 - before**2
            left -= found
        for index in range(end - 1, begin - 1, -1):
            slot = last[block[index]]
            if slot < 0:
                known += 1
            else:
                _add(tree, slot, -1)
            last[block[index]] = begin + end - 1 - index  # from the last block to the first
            _add(tree, last[block[index]], 1)
    return hit
