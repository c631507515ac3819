"""A unit, from one event to the next: leavers, preemption, pieces of prompts, and how far it goes ahead. Compiled.

A unit is visited only where its rows may change: where some leave, where prompts are read or may be begun, and where
its blocks run out. In between its steps are added up at once, their ends are kept, and a request that joins an empty
line turns it back to the end of its step in progress. All else of it is as of the first of those ends. Importing this
module imports numba.
"""

import numpy as np

from planner.core.replay.iterations.kernels.layout import (
    AFTER,
    AHEAD,
    PLACE_BYTES,
    RING,
    bits_of,
    blocks_of,
    ends_of,
    kept_of,
    links_of,
    minutes_of,
    phase_of,
    phases_of,
    pool_of,
    rests_of,
    ring_of,
    work_of,
)
from planner.core.replay.iterations.kernels.lines import (
    add_work,
    leave_place,
    reject,
    set_next,
)
from planner.core.replay.iterations.kernels.rings import (
    count_leaver,
    draw_near,
    drop_row,
    final_of,
    forget_leaver,
    link,
    steps_to_leavers,
    unlink,
)
from planner.core.replay.iterations.kernels.tally import (
    count_done,
    count_first,
    count_queued,
    count_run,
    count_time,
    minute_at,
)
from planner.core.replay.requests.kernels.affinity import units_of
from planner.core.replay.requests.kernels.followers import call_followers
from planner.core.replay.requests.kernels.layout import LATE, NIL, Record, floats, prefetch
from planner.jit import inlined, njit


@inlined
def boundary(state: Record, number: int, at: float) -> None:
    """A unit's steps up to now have ended, or it was idle: who is done leaves, and it goes on."""
    unit = work_of(state)[number]
    settle(state, unit, number)
    leave(state, unit, number, at)
    _begin(state, unit, number, at)


@inlined
def settle(state: Record, unit: Record, number: int) -> None:
    """Tally the steps that a unit went ahead, all of which have ended; it is then as of the end of the last."""
    ends = ends_of(state, number)
    before = unit.steps
    if unit.mixed:
        count_time(
            state,
            unit.begin_us,
            ends[0],
            unit.mixed_rows,
            unit.mixed_kv,
            unit.mixed_used,
            prompts=True,
            share=unit.share,
        )
        tally = minutes_of(state)[minute_at(state, ends[0])]
        tally.output_tokens += unit.mixed_tokens
        tally.steps += 1
        unit.passed += 1
        unit.mixed = 0
        before -= unit.moves
    if unit.run > 0:
        unit.used = count_run(state, unit, ends, phases_of(state, number))
        unit.steps += unit.run
        unit.passed += unit.run
        unit.kv += unit.rows * unit.run
        unit.run = 0
    if (before ^ unit.steps) & (RING // 2):
        draw_near(state, unit, number)


@njit
def stop(state: Record, number: int, at: float) -> None:
    """Tally what a unit did until now, with its step in progress in part: the rest of that does not happen."""
    unit, ends = work_of(state)[number], ends_of(state, number)
    if unit.mixed and ends[0] > at:
        count_time(
            state, unit.begin_us, at, unit.mixed_rows, unit.mixed_kv, unit.mixed_used, prompts=True, share=unit.share
        )
        unit.steps -= unit.moves
        return
    run, ended = unit.run, 0
    while ended < run and ends[ended + 1] <= at:
        ended += 1
    unit.run = ended
    settle(state, unit, number)
    if ended < run:
        used = unit.used + phases_of(state, number)[phase_of(state, unit.steps)]
        count_time(state, ends[ended], at, unit.rows, unit.kv, used, prompts=False, share=0.0)


@inlined
def leave(state: Record, unit: Record, number: int, at: float) -> None:
    """Requests whose last step has ended leave."""
    role = units_of(state)[number]
    left, tokens = 0, unit.piece_tokens
    unit.piece_tokens = 0
    slot = unit.steps & (RING - 1)
    bits, bit = bits_of(state, number), np.uint64(1) << np.uint64(slot & 63)
    if bits[slot >> 6] & bit:
        bits[slot >> 6] ^= bit
        pool, ring = pool_of(state), ring_of(state, number)
        entry = np.int64(ring[slot])
        ring[slot] = NIL
        while entry != NIL:
            request = pool[entry]
            following = np.int64(request.following)
            drop_row(state, unit, number, request)
            unlink(state, unit, entry)
            _complete(state, unit, number, request, at)
            leave_place(state, entry)
            left += 1
            entry = following
    if role.takes and (left > 0 or tokens > 0):
        add_work(state, role.place, -left, -tokens)


@inlined
def _complete(state: Record, unit: Record, number: int, request: Record, at: float) -> None:
    finish_us = at + (state.first_us + state.first_us_per_token * request.prompt)
    count_first(state, request)
    count_done(state, request, finish_us)
    if state.kept_rows > 0:
        kept = kept_of(state)[request.seq]
        kept.finish_us = finish_us
        kept.unit = number
        kept.step = unit.steps
    call_followers(state, request.seq, finish_us)


@njit
def _preempt(state: Record, unit: Record, number: int, at: float) -> None:
    """The request begun last gives its blocks back and is put in front of the line, to be read again."""
    pool, role = pool_of(state), units_of(state)[number]
    entry = np.int64(unit.last)
    request = pool[entry]
    missed = np.int64(request.missed)
    if entry == unit.unfinished:
        unit.used -= blocks_of(state, request.done) + state.stream_blocks
        unit.unfinished = NIL
    else:
        drop_row(state, unit, number, request)
        forget_leaver(state, unit, number, entry)
        request.had = request.output_tokens - (request.departs - unit.steps)
        request.hit = 0
    unlink(state, unit, entry)
    request.done = request.hit
    request.missed = request.prompt + request.had - request.done
    if state.kept_rows > 0:
        kept_of(state)[request.seq].preempted += 1
    count_queued(state, at, 1)
    request.following = unit.head
    unit.head = entry
    if request.following == NIL:
        unit.tail = entry
    unit.waiting += 1
    unit.preempted += 1
    state.preempted += 1
    if role.takes:
        add_work(state, role.place, 0.0, request.missed - missed)


@inlined
def _begin(state: Record, unit: Record, number: int, at: float) -> None:
    """Begin the next step of a unit at the end of the last, and go ahead until something may change."""
    preempted, demand, before = False, 0, unit.preempted
    if not state.prompts_first:
        demand = _make_fit(state, unit, number, at)
        preempted = unit.preempted > before
        room = state.max_batched_tokens - unit.rows
    else:
        room = state.max_batched_tokens
    unit.mixed_rows, unit.mixed_kv = (0, 0) if state.prompts_first else (unit.rows, unit.kv)
    before, unit.used = unit.preempted, unit.used + demand
    first, room = _take_pieces(state, unit, number, at, room, preempted)
    preempted = preempted or unit.preempted > before
    ends = ends_of(state, number)
    if first != NIL:
        _mix(state, unit, number, at, first)
        # whoever is first in the line and was not stopped by the step's tokens waits for a leaver
        open_ended = unit.unfinished == NIL and not preempted and (room > 0 or unit.head == NIL)
        _go_ahead(state, unit, number, AHEAD if open_ended and not state.exact else 0)
    elif unit.rows > 0:
        unit.used -= demand
        if state.prompts_first:
            before = unit.preempted
            _make_fit(state, unit, number, at)
            preempted = preempted or unit.preempted > before
        ends[0] = at
        _go_ahead(state, unit, number, 1 if preempted or (room == 0 and unit.head != NIL) else AHEAD)
    else:
        ends[0] = np.inf
    role = units_of(state)[number]
    if unit.running == 0 and unit.head == NIL and role.drain_took_us == np.inf:
        role.drain_took_us = at - role.drains_us
    set_next(state, role.place, ends[unit.run])


@inlined
def _make_fit(state: Record, unit: Record, number: int, at: float) -> int:
    """The blocks that rows need more for the next step; as many requests are preempted as it takes to have them."""
    phases, here = phases_of(state, number), phase_of(state, unit.steps)
    while phases[here] > state.kv_blocks - unit.used:
        _preempt(state, unit, number, at)
    return np.int64(phases[here])


@inlined
def _take_pieces(state: Record, unit: Record, number: int, at: float, room: int, preempted: bool) -> tuple[int, int]:
    """Give the room of a step to prompts: that begun before first, then those of the line, first come first served.

    Returns the first of them and the room that is left.
    """
    pool, role = pool_of(state), units_of(state)[number]
    first, unit.piece_tokens = NIL, 0
    unit.attended = 0
    entry = np.int64(unit.unfinished)
    if entry != NIL and room > 0:
        request = pool[entry]
        done, piece = np.int64(request.done), min(np.int64(request.missed), room)
        more = blocks_of(state, done + piece) - blocks_of(state, done)
        if more > state.kv_blocks - unit.used:
            _preempt(state, unit, number, at)
            preempted = True
        else:
            first = entry
            unit.used += more
            room -= piece
            _count_piece(unit, request, piece)
    if preempted:
        return first, room
    entry, begun = np.int64(unit.head), 0
    while entry != NIL and room > 0 and unit.running < state.max_sequences:
        request = pool[entry]
        following, done, missed = np.int64(request.following), np.int64(request.done), np.int64(request.missed)
        if blocks_of(state, done + missed) + state.stream_blocks > state.kv_blocks - unit.used:
            break
        unit.waiting -= 1
        unit.head = following
        if state.timeout_us < np.inf and request.begun == 0 and at - rests_of(state)[entry].tried_us > state.timeout_us:
            if role.takes:
                add_work(state, role.place, -1.0, -missed)
            reject(state, entry, LATE, at)
            entry = following
            continue
        piece = min(missed, room)
        unit.used += blocks_of(state, done + piece) + state.stream_blocks
        room -= piece
        link(state, unit, entry)
        _count_piece(unit, request, piece)
        if first == NIL:
            first = entry
        begun += 1
        entry = following
    if unit.head == NIL:
        unit.tail = NIL
    if begun > 0:
        count_queued(state, at, -begun)
    return first, room


@inlined
def _count_piece(unit: Record, request: Record, piece: int) -> None:
    done = np.int64(request.done)
    unit.piece_tokens += piece
    unit.attended += piece * (2 * done + piece)
    request.done = done + piece
    request.missed -= piece
    if request.missed == 0:
        unit.unfinished = NIL


@inlined
def _mix(state: Record, unit: Record, number: int, at: float, first: int) -> None:
    """The end of a step that has pieces of prompts, and what the unit is as of then."""
    pool, links, ends = pool_of(state), links_of(state), ends_of(state, number)
    rows, tokens = unit.mixed_rows, unit.piece_tokens
    taken = _rows_us(state, rows, unit.mixed_kv) if rows > 0 else 0.0
    added = _prompts_us(state, rows, tokens) + state.attend_us * (unit.attended / 2)
    lasts = taken + added
    end = ends[0] = at + lasts
    unit.begin_us, unit.mixed, unit.mixed_used = at, 1, unit.used
    unit.share = added / lasts if lasts > 0 else 0.0
    minutes_of(state)[minute_at(state, at)].prompt_tokens += tokens
    unit.moves = 1 if rows > 0 else 0
    unit.steps += unit.moves
    unit.kv += rows
    phases, more, entry = phases_of(state, number), 0, first
    while entry != NIL:
        request = pool[entry]
        if request.missed == 0:
            had = np.int64(request.had)
            more += had > 0
            request.departs = unit.steps + max(np.int64(request.output_tokens), 1) - had - 1
            request.read_us = end
            if had == 0:
                request.first_us = end + (state.first_us + state.first_us_per_token * request.prompt)
            unit.rows += 1
            unit.kv += request.done
            phases[phase_of(state, request.departs - final_of(request))] += 1
            count_leaver(state, unit, number, entry)
        entry = np.int64(links[entry, AFTER])
    unit.mixed_tokens = rows + more


@inlined
def _rows_us(state: Record, rows: int, kv: int) -> float:
    line = floats(state.lines_at + rows * 32, 4)
    low, high = line[0] + line[1] * kv, line[2] + line[3] * kv
    return low if low > high else high


@inlined
def _prompts_us(state: Record, rows: int, tokens: int) -> float:
    knots = floats(state.prompt_us_at + rows * state.prompt_knots * 8, state.prompt_knots)
    knot = tokens // state.prompt_width
    beyond = tokens - knot * state.prompt_width
    low = knots[knot]
    return low + (knots[min(knot + 1, state.prompt_knots - 1)] - low) * (beyond / state.prompt_width)


@inlined
def _go_ahead(state: Record, unit: Record, number: int, most: int) -> None:
    """Add up steps of the rows that are there, up to the next after which some leave or for which blocks run out."""
    most = min(most, steps_to_leavers(state, number, unit.steps))
    rows, kv, used = unit.rows, unit.kv, unit.used
    size, total = state.page_tokens, state.kv_blocks
    if used + rows * (blocks_of(state, most)) > total:
        phases, here, run = phases_of(state, number), phase_of(state, unit.steps), 0
        while run < most:
            used += phases[here]
            if used > total:
                break
            here = here + 1 if here + 1 < size else 0
            run += 1
        most = run
    leavers = ring_of(state, number)[(unit.steps + most) & (RING - 1)]
    if leavers != NIL:
        prefetch(state.pool_at + leavers * PLACE_BYTES)
    ends = ends_of(state, number)
    line = floats(state.lines_at + rows * 32, 4)
    base, slope, other, steeper = line[0], line[1], line[2], line[3]
    end, tokens = ends[0], float(kv)
    for step in range(most):
        low, high = base + slope * tokens, other + steeper * tokens
        end += low if low > high else high
        ends[step + 1] = end
        tokens += rows
    unit.run = most


@njit
def take_all(state: Record, number: int, at: float) -> int:
    """Take all requests out of a unit whose steps ended or stopped, and give their list: those begun, then the line.

    What it computed of them is lost; what it told is not.
    """
    unit, pool, links = work_of(state)[number], pool_of(state), links_of(state)
    ring, bits, last, entry = ring_of(state, number), bits_of(state, number), NIL, np.int64(unit.first)
    head = entry if entry != NIL else np.int64(unit.head)
    while entry != NIL:
        request = pool[entry]
        slot = np.int64(request.departs) & (RING - 1)
        if entry != unit.unfinished:
            ring[slot] = NIL
            bits[slot >> 6] &= ~(np.uint64(1) << np.uint64(slot & 63))
            if request.read_us <= at:
                request.had = request.output_tokens - (request.departs - unit.steps)
        count_queued(state, at, 1)
        last, entry = entry, np.int64(links[entry, AFTER])
        request.following = entry
    if last != NIL:
        pool[last].following = unit.head
    unit.head = unit.tail = unit.first = unit.last = unit.unfinished = unit.far = NIL
    unit.rows = unit.kv = unit.used = unit.run = unit.mixed = unit.running = unit.waiting = unit.piece_tokens = 0
    unit.leaves_us = np.inf
    phases_of(state, number)[:] = 0
    set_next(state, units_of(state)[number].place, np.inf)
    return head
