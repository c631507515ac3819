"""A unit that does both, step by step and row by row, for users who ask again when answered: slow, and plain to read.

Steps are those of planner.core.replay.iterations. A request is begun only where the KV of all its tokens has room, so
that nobody is ever preempted. What a request takes on top of steps comes before its first token, and before its user
asks again.
"""

from dataclasses import dataclass

import numpy as np

from planner.core.replay.iterations.model import Replica
from planner.jit import njit
from planner.units import Floats, Ints

KV, USED, BEGUN, ASKED, STREAMS, ISSUED, UNFINISHED = range(7)
"""Counts of a unit: tokens of KV, blocks, requests begun, asked and not begun, that decode, asked at all; and whether
the first of the pieces is of a prompt that is not read to its end."""
TOKENS_OF_STEP, MOST_BEGUN, BLOCKS, WIDTH = range(4)
"""Limits of a unit."""


@dataclass(frozen=True)
class Answers:
    """Of each request in the order of asking: when it was asked, when its first token came and its last, us."""

    asked_us: Floats
    first_us: Floats
    last_us: Floats


def closed_loop(replica: Replica, users: int, prompts: Ints, outputs: Ints) -> Answers:
    """Users who start together, each with one request after the other. prompts: tokens to compute; outputs: 1 up."""
    steps, table = replica.steps, replica.prompts
    blocks = -(-(prompts + outputs) // replica.block_tokens) + replica.stream_blocks
    assert blocks.max() <= replica.kv_blocks
    assert min(prompts.min(), outputs.min()) >= 1
    late = (replica.first_us + replica.first_us_per_token * prompts).astype(np.float64)
    lines = np.stack([steps.low_us, steps.low_us_per_token, steps.high_us, steps.high_us_per_token])
    limits = np.array([replica.max_batched_tokens, replica.max_sequences, replica.kv_blocks, table.width], np.int64)
    times = np.full((3, len(prompts)), np.nan)
    requests = (np.asarray(prompts, np.int64), np.asarray(outputs, np.int64), np.asarray(blocks, np.int64), late)
    _run(lines, table.us, replica.context_us, limits, replica.prefill_first, min(users, len(prompts)), requests, times)
    return Answers(*times)


@njit
def _run(lines, table, context_us, limits, prefill_first, users, requests, times):
    """All requests, one step after the other."""
    unit, now = np.zeros(7, np.int64), 0.0
    unit[ASKED] = unit[ISSUED] = users
    times[0, :users] = 0.0
    line, rows, pieces = np.arange(users), np.empty(limits[1], np.int64), np.empty(limits[1], np.int64)
    read, made = np.zeros(times.shape[1], np.int64), np.zeros(times.shape[1], np.int64)
    while unit[ASKED] or unit[BEGUN]:
        room = limits[TOKENS_OF_STEP] - (0 if prefill_first else unit[STREAMS])
        taking, tokens, attended = _take_prompts(unit, room, limits, line, pieces, read, requests, times[0], now)
        decoding = 0 if prefill_first and taking else unit[STREAMS]
        if taking == 0 and decoding == 0:
            now = times[0][line[: unit[ASKED]]].min()
            continue
        now += _step_us(lines, table, limits[WIDTH], context_us, decoding, unit[KV], tokens, attended)
        for place in range(decoding - 1, -1, -1):
            request = rows[place]
            made[request] += 1
            unit[KV] += 1
            if made[request] == requests[1][request]:
                unit[KV] -= requests[0][request] + requests[1][request] - 1
                unit[STREAMS] -= 1
                rows[place] = rows[unit[STREAMS]]
                _answer(unit, request, line, requests, times, now)
        for place in range(taking):
            request = pieces[place]
            if read[request] < requests[0][request]:
                pieces[0], unit[UNFINISHED] = request, 1
                continue
            made[request] = 1
            times[1, request] = now + requests[3][request]
            if requests[1][request] == 1:
                _answer(unit, request, line, requests, times, now)
            else:
                rows[unit[STREAMS]] = request
                unit[STREAMS] += 1
                unit[KV] += requests[0][request]


@njit
def _take_prompts(unit, room, limits, line, pieces, read, requests, asked, now):
    """Pieces of prompts for a step: of the one that is not read to its end, and then of those that wait longest."""
    taking, tokens, attended = 0, 0, 0.0
    while room > 0:
        if unit[UNFINISHED]:
            request = pieces[0]
            unit[UNFINISHED] = 0
        else:
            request = _longest_waiting(line[: unit[ASKED]], asked, now)
            if request < 0 or unit[BEGUN] == limits[MOST_BEGUN]:
                break
            if unit[USED] + requests[2][request] > limits[BLOCKS]:
                break
            unit[BEGUN] += 1
            unit[USED] += requests[2][request]
            unit[ASKED] -= 1
            line[np.argmax(line == request)] = line[unit[ASKED]]
        piece = min(requests[0][request] - read[request], room)
        attended += piece * (2 * read[request] + piece)
        read[request] += piece
        room, tokens = room - piece, tokens + piece
        pieces[taking] = request
        taking += 1
    return taking, tokens, attended


@njit
def _longest_waiting(line, asked, now):
    """The request that waits longest; -1 where none has come yet."""
    longest = -1
    for request in line:
        if asked[request] > now:
            continue
        if longest < 0 or (asked[request], request) < (asked[longest], longest):
            longest = request
    return longest


@njit
def _answer(unit, request, line, requests, times, now):
    """A request ends, and its user asks the next one as soon as the answer is there, if any is left."""
    times[2, request] = now + requests[3][request]
    unit[BEGUN] -= 1
    unit[USED] -= requests[2][request]
    following = unit[ISSUED]
    if following < times.shape[1]:
        times[0, following] = times[2, request]
        line[unit[ASKED]] = following
        unit[ASKED] += 1
        unit[ISSUED] += 1


@njit
def _step_us(lines, table, width, context_us, rows, kv, tokens, attended):
    """As planner.core.replay.iterations.model.step_us."""
    taken = 0.0
    if rows:
        taken = max(lines[0, rows] + lines[1, rows] * kv, lines[2, rows] + lines[3, rows] * kv)
    if tokens:
        knot = tokens // width
        low, high = table[rows, knot], table[rows, min(knot + 1, table.shape[1] - 1)]
        taken += low + (high - low) * ((tokens - knot * width) / width) + context_us * (attended / 2)
    return taken
