"""Compiled inner loops of request balancing. Importing this module imports numba, which takes about a second."""

import numpy as np

from planner.jit import njit
from planner.units import Floats, Ints

RANDOM, ROUND_ROBIN, POWER_OF_TWO, JOIN_SHORTEST_QUEUE, LEAST_KV, TWO_KEY = range(6)


@njit
def pick(balancer: int, kv: Ints, count: Ints, arrival: int, first: float, second: float) -> int:
    """The rank that a request joins. kv, count: (ranks,) cached tokens and streams. arrival: requests before it.

    first, second: uniform in [0, 1). Of equally good ranks the first one from a random rank on is taken.
    """
    ranks = len(kv)
    start = int(first * ranks)
    if balancer == RANDOM:
        return start
    if balancer == ROUND_ROBIN:
        return arrival % ranks
    if balancer == POWER_OF_TWO:
        other = (start + 1 + int(second * (ranks - 1))) % ranks
        return other if count[other] < count[start] else start
    # both keys times both totals: whole numbers compare like kv over its mean with count over its mean
    kv_scale = 0 if balancer == JOIN_SHORTEST_QUEUE else 1
    count_scale = 0 if balancer == LEAST_KV else 1
    if balancer == TWO_KEY:
        kv_scale, count_scale = count.sum(), kv.sum()
    best, best_key = start, max(kv[start] * kv_scale, count[start] * count_scale)
    for step in range(1, ranks):
        rank = start + step if start + step < ranks else start + step - ranks
        key = max(kv[rank] * kv_scale, count[rank] * count_scale)
        if key < best_key:
            best, best_key = rank, key
    return best


@njit
def run(
    balancer: int,
    ranks: int,
    arrivals: Ints,
    input_tokens: Ints,
    output_tokens: Ints,
    uniform: Floats,
    first_sample: int,
    every: int,
) -> Ints:
    """A unit in lock step, from empty: every step requests leave, join, are counted, and get a token each.

    arrivals: (steps,) requests that join in a step. input_tokens, output_tokens: (requests,), output at least 1.
    uniform: (requests, 2). Returns (samples, 4), from step first_sample on: largest and sum over ranks of cached
    tokens, largest and sum of streams.
    """
    kv, count = np.zeros(ranks, np.int64), np.zeros(ranks, np.int64)
    rank_of = np.empty(len(input_tokens), np.int64)
    # requests that leave at a step: a chain of requests per step, in a ring as long as the longest stay
    ring = output_tokens.max() + 1 if len(output_tokens) else 1
    leaving = np.full(ring, -1, np.int64)
    next_leaving = np.empty(len(input_tokens), np.int64)
    samples = np.empty(((len(arrivals) - first_sample + every - 1) // every, 4), np.int64)
    request = 0
    for step in range(len(arrivals)):
        gone = leaving[step % ring]
        leaving[step % ring] = -1
        while gone >= 0:
            kv[rank_of[gone]] -= input_tokens[gone] + output_tokens[gone]
            count[rank_of[gone]] -= 1
            gone = next_leaving[gone]
        for _ in range(arrivals[step]):
            rank = pick(balancer, kv, count, request, uniform[request, 0], uniform[request, 1])
            rank_of[request] = rank
            kv[rank] += input_tokens[request]
            count[rank] += 1
            slot = (step + output_tokens[request]) % ring
            next_leaving[request] = leaving[slot]
            leaving[slot] = request
            request += 1
        if step >= first_sample and (step - first_sample) % every == 0:
            row = samples[(step - first_sample) // every]
            row[0], row[1], row[2], row[3] = kv.max(), kv.sum(), count.max(), count.sum()
        kv += count
    return samples
