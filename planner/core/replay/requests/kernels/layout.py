"""Records of a replay's arrays, and where kernels find them. Importing this module imports numba.

Each stage has a state: one record with its rules, counters and times, and the addresses of its arrays. Kernels pass on
the state alone, because an array argument is copied and counted at every call, which takes longer than most calls do.
The owner of a state keeps its arrays alive and enters their addresses with `enter`.
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from planner.jit import njit
from planner.units import Floats, Ints

# isort: split
# after planner.jit, which says where numba keeps what it compiles
from numba import carray as carray
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

Records: TypeAlias = NDArray[np.void]
Record: TypeAlias = Any
"""One element of Records."""

NIL = -1
"""No request, no unit: the end of a linked list."""
MINUTE_US, HOUR_US = 60e6, 3600e6
RING = 1 << 13
"""Steps ahead for which leavers are counted, and steps back whose ends are known; a power of two."""
TAKE, STOP, ASSIGN, DRAIN, DEADLINE, FAIL = range(6)
"""Events of the fleet in the order of one moment: a unit takes work from now on; takes none any more; requests that no
unit could take are assigned to one; a unit's queue is sent elsewhere; its streams are to leave after the step in
progress; it fails with all that it holds. The first two decide which units may be chosen in the others."""
NEXT_US, COUNT, FIRST, SECOND = range(4)
"""Rows of loads by place in the table of units. When the unit's pass ends or begins, or its step ends; inf: not by
itself. Then inf where it takes no work: requests and streams; missed tokens (prefill) or KV (decode); work, ns
(prefill).
"""
IN_FLIGHT, FULL, LATE, READ, LONG = range(5)
"""The outcome of a request in prefill: rejected by a full queue, or after too long a wait; its prompt was read; or
rejected because it is longer than any unit can serve."""
E2E, TPOT = range(2)
"""Histograms of decode."""


def fields(floats: str, ints: str = "", shorts: str = "") -> np.dtype[np.void]:
    """A record: names of its numbers, whole numbers, and short whole numbers."""
    kinds = ((floats, np.float64), (ints, np.int64), (shorts, np.int32))
    return np.dtype([(name, kind) for names, kind in kinds for name in names.split()], align=True)


EVENT = fields("at_us", "kind unit")
LOOP = fields("", "follows comers comers_rows comers_at comer_us_at children_at think_at next_row")
"""Requests that follow others in a closed loop. follows: whether there are any. comers: those that are to come, a heap
by time. next_row: up to which those that follow none have come."""
HANDED = fields("at_us arrival_us", "seq", "input_tokens output_tokens class_id")
"""A request whose prompt was read, and when. output_tokens: of one that was read again, -1 less its row of LOST."""
LOST = fields("arrival_us first_us", "seq context to_go output_tokens class_id")
"""A request that was in a decode unit when it failed. context: what is to be read again. to_go: steps."""

PREFILL_STATE = fields(
    "horizon_us total_first total_second window_us timeout_us retry_after_us missed_us context_us pass_us parallel "
    "from_us to_us end_us ttft_us sample_us sample_every_us",
    "candidates open last_unit unassigned_head unassigned_tail retry_head retry_tail next_event free room out "
    "affinities balancer seed mode queue_limit retries pass_tokens chunk_tokens longest_tokens block_tokens routed "
    "pool_at pool_rows units_at units_rows numbers_at loads_at events_at events_rows depth_at depth_rows affinity_at "
    "affinity_rows minutes_at queue_at minutes_rows hours_at ttft_at hours_rows classes kept_at kept_rows out_at "
    "out_rows samples samples_at samples_rows loop_at",
)
"""horizon_us: nothing happens before it but arrivals. total_: loads of units that take work, of which there are
`candidates`. open: rows of the table of units in use. unassigned_: requests that no unit could take. retry_: those
rejected that will be tried again, the next first. free, room: first free place of the pool, and their number. out: rows
written. loop_at: of a LOOP, 0 where nobody follows others. affinities: sessions or blocks in its table. sample_us: of
the next sample. Then rules and speeds as in `planner.core.replay.requests.model`, the window that counts, the end of
all, the target."""
WAITING = np.dtype(
    [
        *((name, np.float64) for name in ("arrival_us", "tried_us", "work_ns")),
        ("session_id", np.int64),
        *((name, np.int32) for name in ("seq", "following", "missed", "done", "piece", "output_tokens")),
        ("class_id", np.int16),
        ("tries", np.int16),
        ("cached", np.int32),
    ]
)
"""A request in prefill, one cache line. tried_us: when it came, first or again; of one that will be tried again, when.
tries: before this one. missed, work_ns: tokens still to do, and their time on one rank alone; done: tokens that are
there already; cached: those that are there whatever unit reads it. piece: of the missed tokens in the last pass, -1
before the first. output_tokens: below 0 where it is read again, as in HANDED; tried_us is then when its decode unit
failed."""
PREFILL_UNIT = fields(
    "drains_us drain_took_us work_share", "place takes head tail pass_head waiting waiting_missed passes lost"
)
"""place: in the table of units. drain_took_us: nan before the drain, inf until the unit is empty. work_share: of
the time of the last pass, what all ranks together would need for its work. lost: requests in it when it failed."""
PREFILL_MINUTE = fields("busy_us work_us tokens")
"""Unit time in passes, and what all ranks together would need for their work; tokens of passes that began."""
PREFILL_HOUR = fields("arrived full late long retried read first ttft_us ttft_met hit_tokens input_tokens")
"""Requests of a class that arrived in an hour: all; those rejected, by why; tries after the first; those read, those of
them with output, sum of TTFT, within target. Tokens of those that arrived: found in a cache, and all."""
PREFILL_KEPT = fields("first_us", "status unit")

DECODE_STATE = fields(
    "fleet_us soonest_us sample_us total_first total_second kv_us_per_token kv_capacity_tokens kv_stream_tokens "
    "from_us to_us end_us ttft_us tpot_us sample_every_us",
    "candidates open last_unit unassigned_head unassigned_tail next_event used moved samples "
    "balancer rank_balancer exact listed seed most_streams "
    "lost lost_at lost_rows "
    "pool_at pool_rows units_at units_rows numbers_at loads_at events_at events_rows owners_at leaving_at ends_us_at "
    "leavers_at ranks_at slots ranks rank_numbers_at lines_at lines_rows minutes_at queue_at minutes_rows hours_at "
    "histograms_at "
    "hours_rows classes samples_at samples_rows kept_at kept_rows loop_at",
)
"""fleet_us: nothing happens to the fleet before it. soonest_us: no step boundary before it. sample_us: the next sample.
total_, candidates, open: as in prefill. used: places of the pool. moved: streams handed over at deadlines.
lost: requests that failed units held. exact: whether ranks are kept one by one. listed: whether those that leave are
listed by step, as for exact ranks and in a closed loop. loop_at: as in prefill."""
STREAM = np.dtype(
    [
        *((name, np.float64) for name in ("arrival_us", "first_us", "ready_us")),
        ("seq", np.int64),
        *((name, np.int32) for name in ("following", "unit", "departs", "context", "output_tokens")),
        ("class_id", np.int16),
        ("rank", np.int16),
    ]
)
"""A request in decode. departs: the step of its unit after
which it leaves; minus the steps to go while it waits; 0 when all is done. context: KV, when admitted less the unit's
steps then, so that KV grows with the steps. following: in a queue, or among those that leave long after."""
DECODE_UNIT = fields(
    "clock_us leaves_us drains_us drain_took_us",
    "place slot takes steps settled streams kv_tokens head tail far last_rank moved lost",
)
"""slot: its row in arrays by slot. settled: steps up to which requests have their times. far: streams that leave beyond
the ring. leaves_us: when its stragglers go, inf before. Others as in prefill."""
DECODE_MINUTE = fields("busy_us stream_us kv_token_us kv_tokens_most tokens")
"""Unit time in steps, the same times streams and KV; the most KV of a unit in
a step that began. Tokens of steps that ended in the minute.
"""
DECODE_HOUR = fields("completed good e2e_us tpot_us with_tpot tpot_met")
"""Requests of a class that arrived in an hour and are complete: all; within all targets; sums; with more than one
token, and of these within the target."""
PREFILL_SAMPLE = fields("at_us tokens requests")
"""Largest over mean missed tokens and requests of the prefill units that take work."""
SAMPLE = fields("at_us kv streams rank_kv rank_streams")
"""Largest over mean load of the units that take work, with those queued; of the ranks in a unit, the mean of units."""
DECODE_KEPT = fields("finish_us", "unit step moved lost")


def enter(state: Records, **arrays: Records | Floats | Ints | NDArray[np.int32]) -> None:
    """Write addresses of arrays into a state. They have to be kept alive, and entered again when they are replaced."""
    for name, array in arrays.items():
        assert array.flags.c_contiguous
        state[f"{name}_at"] = array.ctypes.data


@intrinsic  # type: ignore[untyped-decorator]
def at_address(typing_context: Any, address: Any) -> Any:
    """An address as a pointer."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return types.voidptr(types.int64), codegen


@intrinsic  # type: ignore[untyped-decorator]
def prefetch(typing_context: Any, address: Any) -> Any:
    """Have a cache line brought near that is looked at soon."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer, word = cgutils.voidptr_t, cgutils.int32_t
        kind = cgutils.ir.FunctionType(cgutils.ir.VoidType(), [pointer, word, word, word])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(function, [builder.inttoptr(arguments[0], pointer), word(0), word(3), word(1)])
        return context.get_dummy_value()

    return types.none(types.int64), codegen


@njit
def floats(address: int, size: int) -> Floats:
    """Numbers at an address."""
    return carray(at_address(address), (size,), np.float64)


@njit
def ints(address: int, size: int) -> Ints:
    """Whole numbers at an address."""
    return carray(at_address(address), (size,), np.int64)


@njit
def padded(size: int) -> int:
    """Length of a row of loads, filled up with inf, so that loops over it are whole vectors."""
    return (size + 15) // 16 * 16


@njit
def numbers_of(state: Record) -> Ints:
    """Numbers of units by place in the table, ascending; the first `open` of them."""
    return carray(at_address(state.numbers_at), (state.units_rows,), np.int64)


@njit
def loads_of(state: Record) -> Floats:
    """Loads by place in the table: (4, units, padded)."""
    return carray(at_address(state.loads_at), (4, padded(state.units_rows)), np.float64)


@njit
def events_of(state: Record) -> Records:
    """What happens to the fleet, in order of time."""
    return carray(at_address(state.events_at), (state.events_rows,), EVENT)
