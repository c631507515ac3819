"""Every request through units that read prompts and decode in the same steps. Pure; state lasts over chunks.

A chunk's work is a visit per request and one per event of a unit, of which there are about two a request. Memory is
that of a chunk and of the requests in the system. Kernels hold no lock.
"""

import numpy as np
from numpy.typing import NDArray

from planner.core.replay.iterations.kernels import fleet as fleet_kernels
from planner.core.replay.iterations.kernels import layout
from planner.core.replay.iterations.model import Replica
from planner.core.replay.requests.arrays import fleet_events, link_places, unit_rows
from planner.core.replay.requests.columns import check_followers, children_of, columns_of
from planner.core.replay.requests.kernels import affinity as affinity_kernels
from planner.core.replay.requests.kernels.choice import BUCKETS
from planner.core.replay.requests.kernels.layout import (
    DECODE_HOUR,
    DECODE_MINUTE,
    IN_FLIGHT,
    NIL,
    PREFILL_HOUR,
    PREFILL_MINUTE,
    PREFILL_UNIT,
    Records,
)
from planner.core.replay.requests.model import BALANCERS, Lives, QueueRules, Requests, Span
from planner.core.replay.requests.stages import FirstSizes, Stage
from planner.errors import UsageError
from planner.units import Floats, Ints

_FIRST = FirstSizes()
_TOKEN_NS = 1e-3
"""Work of a prompt token, such that the work that the prefix-aware balancer compares is prompt tokens."""


class IterationStage(Stage):
    """Units of one kind, fed chunk by chunk, or all at once where requests follow others.

    keep: number of requests whose outcome is kept row by row, 0 for none. Its tallies are those of two roles, `prompts`
    and `streams`, as if units of each held its part of the work.
    """

    def __init__(
        self,
        replica: Replica,
        lives: Lives,
        rules: QueueRules,
        span: Span,
        *,
        keep: int = 0,
        first: FirstSizes = _FIRST,
    ) -> None:
        check_rules(rules.prefill_balancer, rules.mode)
        balancer = rules.prefill_balancer
        super().__init__(
            layout.STATE,
            lives,
            span,
            room=first.pool,
            pool_rows=first.pool,
            affinity_rows=first.affinities,
            kept_rows=keep,
            retry_head=NIL,
            retry_tail=NIL,
            tpot_us=span.tpot_us,
            balancer=BALANCERS.index(balancer),
            exact=balancer in ("two-key", "prefix-aware"),
            seed=rules.seed,
            soonest_us=np.inf,
            rests=balancer == "prefix-aware" or rules.retries > 0 or rules.timeout_us < np.inf,
            queue_limit=rules.queue_limit,
            timeout_us=rules.timeout_us,
            retries=rules.retries,
            retry_after_us=rules.retry_after_us,
            block_tokens=rules.block_tokens,
            routed=rules.block_tokens > 0,
            missed_us=_TOKEN_NS,
            attend_us=replica.context_us,
            first_us=replica.first_us,
            first_us_per_token=replica.first_us_per_token,
            prompts_first=replica.prefill_first,
            max_batched_tokens=replica.max_batched_tokens,
            max_sequences=replica.max_sequences,
            kv_blocks=replica.kv_blocks,
            page_tokens=replica.block_tokens,
            stream_blocks=replica.stream_blocks,
            longest_tokens=replica.longest_tokens,
            prompt_width=replica.prompts.width,
            prompt_knots=replica.prompts.us.shape[1],
        )
        self.replica, self._known = replica, 0
        self._in_system, self._told = np.zeros(0, layout.PLACE), np.zeros(0, np.bool_)
        self._add_tallies(keep)
        self._add_units(lives, first)

    def _add_tallies(self, keep: int) -> None:
        span = self._span
        kept = np.zeros(keep, layout.KEPT)
        kept["status"], kept["unit"], kept["step"] = IN_FLIGHT, NIL, NIL
        for name in ("arrival_us", "first_us", "finish_us"):
            kept[name] = np.nan
        self._set(
            minutes=np.zeros(span.minutes, layout.MINUTE),
            samples=np.zeros(self._get("samples_rows"), layout.SAMPLES),
            hours=np.zeros((span.hours, span.classes), PREFILL_HOUR),
            stream_hours=np.zeros((span.hours, span.classes), DECODE_HOUR),
            ttft=np.zeros((span.hours, span.classes, BUCKETS), np.int32),
            histograms=np.zeros((2, span.hours, span.classes, BUCKETS), np.int32),
            kept=kept,
        )

    def _add_units(self, lives: Lives, first: FirstSizes) -> None:
        steps, count = self.replica.steps, len(lives)
        work = _aligned(count, layout.WORK)
        for name in ("head", "tail", "first", "last", "unfinished", "far"):
            work[name] = NIL
        work["leaves_us"] = np.inf
        events = fleet_events(lives, self._span.end_us)
        self._state["events_rows"] = len(events)
        groups = int(layout.padded_groups(count))
        columns = (steps.low_us, steps.low_us_per_token, steps.high_us, steps.high_us_per_token)
        self._set(
            pool=link_places(_aligned(first.pool, layout.PLACE), 0, NIL),
            links=np.zeros((first.pool, 2), np.int32),
            rests=np.zeros(first.pool, layout.REST),
            units=unit_rows(lives, PREFILL_UNIT),
            work=work,
            events=events,
            affinity=np.full((2, first.affinities), NIL, np.int64),
            groups=np.full((2, groups), np.inf).view(np.int64),
            rings=np.full((count, layout.RING), NIL, np.int32),
            bits=np.zeros((count, layout.WORDS), np.uint64),
            ends=np.zeros((count, layout.ENDS)),
            phases=np.zeros((count, self.replica.block_tokens), np.int32),
            lines=np.ascontiguousarray(np.column_stack(columns), np.float64),
            prompt_us=np.ascontiguousarray(self.replica.prompts.us, np.float64),
        )

    def feed(self, requests: Requests) -> None:
        """Requests in, in order of arrival. What arrives after the span's end is left out."""
        arriving = int(np.searchsorted(requests.arrival_us, self._span.end_us, side="right"))
        columns = columns_of(requests, arriving)
        self._make_room(arriving, len(columns["block_ids"]))
        fleet_kernels.arrive(self._state, **columns, first_seq=self._known)
        self._known += len(requests)

    def follow(self, requests: Requests, follows: Ints, think_us: Floats) -> Floats:
        """All requests at once, up to the span's end, in place of `feed`; when each came, nan for those that did not.

        follows: the request before it that one waits for, -1 where it comes by itself. Those that follow come think_us
        after it was complete, as its user was told, or was rejected for good.
        """
        size = len(requests)
        check_followers(size, follows, think_us)
        came, columns = np.full(size, np.nan), columns_of(requests, size)
        self._state["follows"], self._state["comers_rows"] = 1, size
        self._set(
            comers=np.zeros(size, np.int64),
            comer_us=np.zeros(size),
            children=children_of(follows),
            think=np.ascontiguousarray(think_us, np.float64),
        )
        self._make_room(size, len(columns["block_ids"]))
        fleet_kernels.follow(self._state, **columns, follows=np.ascontiguousarray(follows, np.int64), came_us=came)
        self._known += size
        return came

    def finish(self) -> None:
        """Simulate everything up to the end."""
        there = self._get("pool_rows") - self._get("room")
        entries, told = np.empty(there, np.int64), np.empty(there, np.bool_)
        count = fleet_kernels.finish(self._state, self._span.end_us, entries, told)
        assert count == self._get("pool_rows") - self._get("room"), "a request was lost"
        self._in_system, self._told = self._arrays["pool"][entries[:count]], told[:count]

    @property
    def prompts(self) -> "PromptTallies":
        """Its tallies of prompts."""
        return PromptTallies(self)

    @property
    def streams(self) -> "StreamTallies":
        """Its tallies of streams."""
        return StreamTallies(self)

    @property
    def work(self) -> Records:
        """By unit: steps of rows, steps that ended, requests preempted, and the like."""
        return self._arrays["work"]

    @property
    def preempted(self) -> int:
        """How often requests were preempted."""
        return self._get("preempted")

    @property
    def visits(self) -> int:
        """How often units were visited, which is what the work of a replay grows with, beside requests."""
        return self._get("visits")

    @property
    def moved(self) -> int:
        """Requests that units past their deadline handed over."""
        return self._get("moved")

    @property
    def stream_hours(self) -> Records:
        """Tallies of streams by hour of the window and class, of arrival: (hours, classes)."""
        return self._arrays["stream_hours"]

    @property
    def ttft(self) -> NDArray[np.int32]:
        """Requests by hour of the window, class and bucket of their time to the first token."""
        return self._arrays["ttft"]

    @property
    def histograms(self) -> NDArray[np.int32]:
        """Requests by kind (E2E, TPOT), hour of the window, class and bucket of their latency."""
        return self._arrays["histograms"]

    def in_system(self, told: bool) -> Records:
        """Requests in the system at the end, that have had their first token or have not: rows of layout.PLACE."""
        requests: Records = self._in_system[self._told == told]
        return requests

    def in_flight(self, told: bool) -> int:
        """Those of them that count."""
        return int(np.count_nonzero(self._span.counts(self.in_system(told)["arrival_us"])))

    def _make_room(self, arriving: int, blocks: int) -> None:
        """Let the pool hold a chunk more than it does, and the affinity table be at most half full."""
        state, pool, before = self._state, self._arrays["pool"], self._get("pool_rows")
        if (short := arriving - self._get("room")) > 0:
            old, pool = pool, _aligned(before + max(short, before), layout.PLACE)
            pool[:before] = old
            links = np.concatenate([self._arrays["links"], np.zeros((len(pool) - before, 2), np.int32)])
            rests = np.concatenate([self._arrays["rests"], np.zeros(len(pool) - before, layout.REST)])
            self._set(pool=link_places(pool, before, self._get("free")), links=links, rests=rests)
            state["free"], state["room"], state["pool_rows"] = before, state["room"] + len(pool) - before, len(pool)
        there = self._get("pool_rows") - self._get("room")
        asked = 2 * (self._get("affinities") + there + arriving + blocks)
        affine = state["balancer"][0] == BALANCERS.index("prefix-aware") or state["routed"][0]
        if affine and asked > state["affinity_rows"][0]:
            table = np.full((2, 1 << asked.bit_length()), NIL, np.int64)
            affinity_kernels.rehash(self._arrays["affinity"], table)
            self._set(affinity=table)
            state["affinity_rows"] = table.shape[1]


class _Tallies:
    """A part of a stage's tallies."""

    def __init__(self, stage: IterationStage) -> None:
        self._stage = stage

    @property
    def drain_us(self) -> Floats:
        """By unit: how long it took to end what it had begun; nan where it did not drain, or was not empty in time."""
        return self._stage.drain_us

    @property
    def samples(self) -> Records:
        """Imbalance at the first request in every ten seconds that arrives."""
        return self._stage.samples

    @property
    def kept(self) -> Records:
        """By request, where outcomes are kept: rows of layout.KEPT."""
        return self._stage.kept


class PromptTallies(_Tallies):
    """Tallies of prompts, as those of a prefill stage."""

    @property
    def hours(self) -> Records:
        return self._stage.hours

    @property
    def minutes(self) -> Records:
        """busy_us: unit time in steps with prompts. work_us: of it, what prompts add to steps."""
        minutes = self._stage.minutes
        return _renamed(minutes, PREFILL_MINUTE, busy_us="prompt_us", work_us="work_us", tokens="prompt_tokens")

    @property
    def ttft(self) -> NDArray[np.int32]:
        return self._stage.ttft

    @property
    def queue_us(self) -> Floats:
        """By minute: time that requests waited to be begun, or begun again after they were preempted, summed."""
        return self._stage.queue_us

    @property
    def units(self) -> Records:
        """By unit: requests lost that had no token yet, and the drain."""
        return self._stage.units

    @property
    def in_system(self) -> Records:
        return self._stage.in_system(told=False)

    @property
    def in_flight(self) -> int:
        return self._stage.in_flight(told=False)


class StreamTallies(_Tallies):
    """Tallies of streams, as those of a decode stage."""

    @property
    def hours(self) -> Records:
        return self._stage.stream_hours

    @property
    def minutes(self) -> Records:
        """KV is all that blocks hold, those of unfinished prompts and of each stream's own included."""
        size, minutes = self._stage.replica.block_tokens, self._stage.minutes
        found = _renamed(
            minutes,
            DECODE_MINUTE,
            busy_us="busy_us",
            stream_us="stream_us",
            kv_token_us="block_us",
            kv_tokens_most="most_blocks",
            tokens="output_tokens",
        )
        found["kv_token_us"] *= size
        found["kv_tokens_most"] *= size
        return found

    @property
    def histograms(self) -> NDArray[np.int32]:
        return self._stage.histograms

    @property
    def queue_us(self) -> Floats:
        """None: there is one line, that of prompts."""
        return np.zeros(len(self._stage.minutes))

    @property
    def units(self) -> Records:
        """By unit: requests moved, and lost after their first token, and the drain."""
        work = self._stage.work
        units = np.zeros(len(work), [("drain_took_us", np.float64), *((name, np.int64) for name in _COUNTS)])
        units["drain_took_us"] = self._stage.units["drain_took_us"]
        for name in _COUNTS:
            units[name] = work[name]
        return units

    @property
    def moved(self) -> int:
        return self._stage.moved

    @property
    def in_system(self) -> Records:
        return self._stage.in_system(told=True)

    @property
    def in_flight(self) -> int:
        return self._stage.in_flight(told=True)


_COUNTS = ("passed", "moved", "lost", "preempted")
"""Counts by unit."""


def _aligned(rows: int, kind: np.dtype[np.void]) -> Records:
    """Records that begin with a cache line."""
    memory = np.zeros(rows * kind.itemsize + 64, np.uint8)
    skipped = -memory.ctypes.data % 64
    return memory[skipped : skipped + rows * kind.itemsize].view(kind)


def _renamed(rows: Records, kind: np.dtype[np.void], **names: str) -> Records:
    """Records of another kind from fields of these."""
    found = np.zeros(rows.shape, kind)
    for name, own in names.items():
        found[name] = rows[own]
    return found


def check_rules(prefill_balancer: str, mode: str) -> None:
    """Raises UsageError for rules of queues and balancers that units have no use for that read prompts in steps."""
    if prefill_balancer == "least-kv":
        raise UsageError(
            "replay.prefill_balancer is least-kv, which looks at the KV of every unit at every arrival: a replay step "
            "by step does not know that without a visit to every step; use two-key, on prompt tokens in flight and "
            "requests"
        )
    if mode != "at-once":
        raise UsageError(
            f"replay.queue_mode is {mode}, which has no meaning for units that read prompts in every step; use at-once"
        )
