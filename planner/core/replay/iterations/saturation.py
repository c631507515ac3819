"""What a unit that does both carries while requests wait for it: its mean step, and from it a region of rates. Pure.

Requests of one kind, of which a unit has begun S at a time, leave after their last token, and the next in line begin at
once. With o tokens of output and a prompt cut into k pieces a request stays for o - 1 + k steps where prompts are read
beside streams, and for o - 1 steps of streams where prompts are read in steps of their own. In each of them S over that
begin, at random; of all steps

    1 - (1 - chance that one of the requests reads its prompt) ^ S

have prompts, or as many as prompts fill, where that is more. A replay of such requests takes these steps.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil, floor, sqrt

from planner.core.fleet.region import CapacityRegion
from planner.core.replay.iterations.model import Replica
from planner.units import US_PER_S

_LATE = 2.326
"""Standard deviations below which 99 of 100 lie, of what is normally distributed. Computed."""
MIXES = tuple(2.0 ** (half / 2) for half in range(1, 9))
"""Mixes of a region above and below the workload's own: up to 16 times more prompt for a token of output, and less."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What requests of one kind ask, means. prompt_tokens: to compute, at a mean context; hit_ratio: of all input.

    kv_tokens: of a stream, over its output tokens.
    """

    prompt_tokens: float
    context: float
    hit_ratio: float
    output_tokens: float
    kv_tokens: float


@dataclass(frozen=True)
class Steady:
    """A unit that is kept busy: requests that it begins and ends in a microsecond, and what a token takes them.

    tpot_us: in the mean. late_us: for 99 of 100 answers of mean length at most, as steps with prompts come at random.
    """

    requests_per_us: float
    tpot_us: float
    late_us: float


def steady(replica: Replica, asked: Asked, sequences: int) -> Steady:
    """A unit that has begun so many requests at a time, while others wait."""
    s = _step_of(replica, asked, sequences)
    decode = _between(s.rows, lambda rows: replica.steps.at(rows, s.rows * asked.kv_tokens) if rows else 0.0)
    prompts, spread_us = 0.0, 0.0
    if s.with_prompts > 0:
        tokens = s.begun * asked.prompt_tokens
        each = _between(s.beside, lambda rows: _prompts_us(replica, rows, tokens / s.with_prompts))
        prompts = s.with_prompts * each + replica.context_us * tokens * asked.context
        # a step has prompts or has not; steps of prompts alone come as they come
        by_chance = s.with_prompts if s.beside == 0 and s.rows else s.with_prompts * (1 - s.with_prompts)
        spread_us = prompts / s.with_prompts * sqrt(by_chance / max(asked.output_tokens - 1, 1.0))
    # where fewer than one decode, steps without any are no part of a token's time
    alone = decode if s.rows >= 1 else replica.steps.at(1, asked.kv_tokens)
    if not s.rows:
        return Steady(s.begun / (decode + prompts), 0.0, 0.0)
    # a stream does not wait for its own prompt
    others = (sequences - 1) / sequences
    tpot = alone + prompts * others
    return Steady(s.begun / (decode + prompts), tpot, tpot + _LATE * spread_us * others)


def most_sequences(replica: Replica, asked: Asked, tpot_us: float) -> int:
    """Most requests that a unit has begun at a time, within its limits, its memory and a time per output token.

    The memory holds their mean contexts and a standard deviation more. The time is one that 99 of 100 answers of mean
    length hold. 0 where one misses the target, or does not fit.
    """
    # the last page of each is half used
    blocks = asked.kv_tokens / replica.block_tokens + replica.stream_blocks + 0.5 * (replica.block_tokens > 1)
    held = replica.kv_blocks / blocks
    # n + sqrt(n) of them: contexts vary, as far as exponential ones do, and who outgrows the memory is read again
    fit = max(int((sqrt(0.25 + held) - 0.5) ** 2), min(int(held), 1))
    low, high = 0, min(replica.max_sequences, fit)
    while low < high:
        middle = (low + high + 1) // 2
        held = steady(replica, asked, middle).late_us <= tpot_us
        low, high = (middle, high) if held else (low, middle - 1)
    return low


def region_of(replica: Replica, asked: Asked, tpot_us: float) -> CapacityRegion | None:
    """What a unit carries within a time per output token, whatever the mix; None where it cannot serve its own.

    Prompts are as long as the workload's in all mixes, and so are contexts of streams: answers are longer or shorter.
    """
    own = _rates(replica, asked, tpot_us)
    if own is None:
        return None
    longer = [replace(asked, output_tokens=asked.output_tokens * mix) for mix in MIXES]
    shorter = [replace(asked, output_tokens=asked.output_tokens / mix) for mix in MIXES]
    pairs = [own]
    # rates that another mix exceeds in both kinds say nothing new
    for pair in (*(_rates(replica, each, tpot_us) for each in longer), _all_output(replica, asked, tpot_us)):
        if pair and pair[0] < pairs[0][0] and pair[1] > pairs[0][1]:
            pairs.insert(0, pair)
    for pair in (*(_rates(replica, each, tpot_us) for each in shorter), _all_prompt(replica, asked)):
        if pair and pair[0] > pairs[-1][0] and pair[1] < pairs[-1][1]:
            pairs.append(pair)
    return CapacityRegion(tuple(pairs))


@dataclass(frozen=True, kw_only=True)
class _Step:
    """A mean step, or a step of streams with those of prompts that follow it.

    begun: requests. rows: streams that decode. with_prompts: how many steps of prompts there are in it; beside: rows
    of these.
    """

    begun: float
    rows: float
    with_prompts: float
    beside: float


def _step_of(replica: Replica, asked: Asked, sequences: int) -> _Step:
    prompt, own_steps, room = asked.prompt_tokens, max(asked.output_tokens - 1, 0.0), float(replica.max_batched_tokens)
    if replica.prefill_first and own_steps > 0:
        begun = sequences / own_steps
        reading = ceil(prompt / room) * _any_of(sequences, min(1 / own_steps, 1.0))
        return _Step(begun=begun, rows=float(sequences), with_prompts=max(reading, begun * prompt / room), beside=0.0)
    # a step that is full of streams has room for a token of a prompt
    beside = min(sequences, room - 1) if own_steps else 0.0
    pieces = ceil(prompt / (room - beside))
    begun = min(sequences / (own_steps + pieces), room / (own_steps + prompt))
    rows = begun * own_steps
    reading = _any_of(sequences, pieces / (own_steps + pieces))
    filled = begun * prompt / (room - rows)
    return _Step(begun=begun, rows=rows, with_prompts=min(max(reading, filled), 1.0), beside=rows)


def _any_of(sequences: int, chance: float) -> float:
    return 1 - (1 - chance) ** sequences


def _rates(replica: Replica, asked: Asked, tpot_us: float) -> tuple[float, float] | None:
    """Input and output tokens/s of a unit that is kept busy by one mix; None where it misses the target with any."""
    sequences = most_sequences(replica, asked, tpot_us)
    if sequences == 0:
        return None
    ended = steady(replica, asked, sequences).requests_per_us * US_PER_S
    return ended * asked.prompt_tokens / (1 - asked.hit_ratio), ended * max(asked.output_tokens, 1.0)


def _all_output(replica: Replica, asked: Asked, tpot_us: float) -> tuple[float, float] | None:
    """The end without prompts: the largest batch that meets the target."""
    streams = most_sequences(replica, replace(asked, prompt_tokens=0.0, output_tokens=_ENDLESS), tpot_us)
    return (0.0, streams / replica.steps.at(streams, streams * asked.kv_tokens) * US_PER_S) if streams else None


def _all_prompt(replica: Replica, asked: Asked) -> tuple[float, float]:
    """The end without streams: full steps of prompts."""
    tokens = float(replica.max_batched_tokens)
    taken = _prompts_us(replica, 0, tokens) + replica.context_us * tokens * asked.context
    return tokens / (1 - asked.hit_ratio) / taken * US_PER_S, 0.0


def _between(rows: float, taken: Callable[[int], float]) -> float:
    """What so many rows take, on the line between whole ones."""
    low = floor(rows)
    share = rows - low
    return taken(low) * (1 - share) + (taken(low + 1) * share if share else 0.0)


def _prompts_us(replica: Replica, rows: int, tokens: float) -> float:
    """As PromptTable.at, of a mean number of tokens."""
    low = floor(tokens)
    share = tokens - low
    at = replica.prompts.at
    return at(rows, low) * (1 - share) + (at(rows, low + 1) * share if share else 0.0)


_ENDLESS = 1e12
"""Output tokens of a stream that never begins again."""
