"""Records of a replay step by step, and where kernels find them. Importing this module imports numba.

What has the same meaning as in `planner.core.replay.requests.kernels.layout` has the same name there, so that kernels
of both replays choose units and count what waits by the same code.
"""

import numpy as np
from numpy.typing import NDArray

from planner.core.replay.requests.kernels.layout import Record, Records, at_address, carray, fields
from planner.jit import inlined
from planner.units import Floats, Ints

AHEAD = 48
"""Steps that a unit goes ahead at most: what arrives turns it back, and what it went too far is lost."""
ENDS = 64
"""Room for their ends, one more than steps ahead, in whole cache lines."""
RING = 1 << 11
"""Steps ahead for which leavers are counted, a power of two. So few that rings of a hundred units stay in the cache."""
WORDS = RING // 64
"""Words of bits that tell which steps of the ring have leavers."""
GROUP = 16
"""Places of the table of units whose least time and count are kept together."""
GROUPS = 8
"""Groups are looked through so many at a time, so that loops over them are whole vectors."""


def in_lines(kind: np.dtype[np.void]) -> np.dtype[np.void]:
    """The same record, such that it fills whole cache lines."""
    names = list(kind.names or ())
    formats, offsets = [kind[name] for name in names], [kind.fields[name][1] for name in names if kind.fields]
    size = (kind.itemsize + 63) // 64 * 64
    return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": size})


STATE = fields(
    "total_first total_second sample_us sample_every_us timeout_us retry_after_us missed_us context_us attend_us "
    "from_us to_us end_us ttft_us tpot_us first_us first_us_per_token minute_from_us minute_to_us soonest_us",
    "candidates open last_unit unassigned_head unassigned_tail retry_head retry_tail next_event free room affinities "
    "moved preempted visits minute balancer seed queue_limit retries longest_tokens block_tokens routed exact "
    "prompts_first max_batched_tokens max_sequences kv_blocks page_tokens stream_blocks prompt_width prompt_knots "
    "units_rows units_at numbers_at loads_at groups_at events_at events_rows pool_at pool_rows affinity_at "
    "affinity_rows work_at rings_at bits_at ends_at phases_at lines_at prompt_us_at minutes_at queue_at minutes_rows "
    "hours_at stream_hours_at ttft_at histograms_at hours_rows classes samples samples_at samples_rows kept_at "
    "kept_rows links_at rests_at rests soonest follows comers comers_rows comers_at comer_us_at children_at think_at",
)
"""Counters and rules as in the prefill stage of the other replay. block_tokens: of a prefix block; page_tokens: of a
block of KV memory. missed_us, context_us: such that the work of a prompt is its tokens to compute, in nanoseconds.
minute: the one looked up last, from and to when. exact: whether the balancer looks at prompt tokens, so that a unit
has to stop where a step has computed some. visits: of units. soonest: the place of the unit that is next, and when.
rests: whether the rules look at the rest of a request. follows: whether requests follow others; comers: those that are
to come, a heap by time."""
PLACE = in_lines(
    np.dtype(
        [
            *((name, np.float64) for name in ("arrival_us", "first_us", "read_us")),
            *((name, np.int32) for name in ("seq", "following", "departs", "prompt", "output_tokens")),
            *((name, np.int32) for name in ("had", "missed", "done", "hit")),
            *((name, np.int16) for name in ("class_id", "begun")),
        ]
    )
)
"""A request in the system, one cache line. first_us: its first token as it is told. read_us: the end of the step in
which its last reading ends. following: in a line, among those that leave after the same step, or in a free list.
departs: the row step of its unit after which it leaves. missed, done: tokens still to compute, and there already. hit:
those that were there when its reading began. had: tokens it was given before its present reading. begun: nowhere, here
or elsewhere."""
PLACE_BYTES = PLACE.itemsize
REST = fields("tried_us", "session_id tries")
"""What few rules look at of a request: when it came, first or again; of one that will come again, when. Tries before
this one."""
WORK = in_lines(
    fields(
        "begin_us leaves_us share",
        "steps kv attended mixed_kv",
        "rows used run mixed mixed_rows mixed_used mixed_tokens moves piece_tokens head tail first last unfinished "
        "running waiting far passed moved lost preempted",
    )
)
WORK_BYTES = WORK.itemsize
"""What a unit does. It is in a step with pieces of prompts that began at begin_us and ends at the first of its ends
(mixed), or in none, and then goes on for `run` steps of the same rows, whose ends follow. steps, rows, kv, used: steps
of rows so far, rows, their KV, and blocks taken, at that first end. share: of the mixed step's time, what its prompts
add. mixed_: of that step; tokens: those of requests that had their first. moves: whether its rows take part. piece_:
prompt tokens of that step, as long as loads count them; attended: twice the tokens that they attend to. first, last:
of those begun, in order of admission. far: requests that leave beyond the ring. passed: steps that ended. leaves_us:
when what it holds goes elsewhere."""
BEFORE, AFTER = range(2)
"""Columns of neighbours in order of admission."""
MINUTE = fields(
    "busy_us prompt_us work_us stream_us kv_token_us block_us most_blocks prompt_tokens output_tokens steps"
)
"""Unit time in steps, in those of them with prompts, and what prompts add to these; the same times rows, KV of rows,
blocks taken; the most blocks of a unit in a step that began. Prompt tokens of steps that began, output tokens but first
ones and steps that ended."""
SAMPLES = fields("at_us tokens requests kv streams rank_kv rank_streams")
"""Largest over mean of the units that take work: prompt tokens and requests, KV and rows. Ranks of a unit are even."""
KEPT = fields("arrival_us first_us finish_us", "status unit step moved lost preempted")
"""What became of a request. step: steps of rows of its last unit when it left."""


@inlined
def pool_of(state: Record) -> Records:
    return carray(at_address(state.pool_at), (state.pool_rows,), PLACE)


@inlined
def rests_of(state: Record) -> Records:
    return carray(at_address(state.rests_at), (state.pool_rows,), REST)


@inlined
def work_of(state: Record) -> Records:
    return carray(at_address(state.work_at), (state.units_rows,), WORK)


@inlined
def links_of(state: Record) -> NDArray[np.int32]:
    """Neighbours of requests in order of admission: (places of the pool, 2). They are apart from all else of a request
    because one that leaves touches two others."""
    return carray(at_address(state.links_at), (state.pool_rows, 2), np.int32)


@inlined
def minutes_of(state: Record) -> Records:
    return carray(at_address(state.minutes_at), (state.minutes_rows,), MINUTE)


@inlined
def kept_of(state: Record) -> Records:
    return carray(at_address(state.kept_at), (state.kept_rows,), KEPT)


@inlined
def ring_of(state: Record, number: int) -> NDArray[np.int32]:
    """The first of those that leave a unit by step."""
    return carray(at_address(state.rings_at + number * RING * 4), (RING,), np.int32)


@inlined
def bits_of(state: Record, number: int) -> NDArray[np.uint64]:
    """Which of these steps have any."""
    return carray(at_address(state.bits_at + number * WORDS * 8), (WORDS,), np.uint64)


@inlined
def ends_of(state: Record, number: int) -> Floats:
    """Ends of the steps that a unit goes ahead."""
    return carray(at_address(state.ends_at + number * ENDS * 8), (ENDS,), np.float64)


@inlined
def phases_of(state: Record, number: int) -> NDArray[np.int32]:
    """Rows of a unit that need a block more, by steps of rows modulo the tokens of a block."""
    size = state.page_tokens
    return carray(at_address(state.phases_at + number * size * 4), (size,), np.int32)


@inlined
def groups_of(state: Record) -> Ints:
    """The least time and the least count of every group of places of the table of units, as bits: (2, groups)."""
    return carray(at_address(state.groups_at), (2, padded_groups(state.units_rows)), np.int64)


@inlined
def padded_groups(units: int) -> int:
    """Groups of so many units, filled up to whole vectors."""
    return (units + GROUP * GROUPS - 1) // (GROUP * GROUPS) * GROUPS


@inlined
def blocks_of(state: Record, tokens: int) -> int:
    """Blocks that so many tokens take."""
    size = state.page_tokens
    return (tokens + 15) >> 4 if size == 16 else (tokens + size - 1) // size


@inlined
def phase_of(state: Record, step: int) -> int:
    """A number of steps modulo the tokens of a block."""
    size = state.page_tokens
    return step & 15 if size == 16 else step % size
