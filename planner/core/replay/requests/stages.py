"""Every request through the planned fleet: prefill queues, lock-step decode, draining. Pure; state lasts over chunks.

Prefill does not depend on decode but where units of that fail (`hand_overs`), so it may run ahead in its own thread:
kernels hold no lock. A chunk's work is a visit per request and role and one per decode step; memory is that of a chunk,
of the requests in the system, and of those that failed units held.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.core.replay.requests.arrays import fleet_events, link_places, unit_rows
from planner.core.replay.requests.columns import columns_of
from planner.core.replay.requests.kernels import affinity as affinity_kernels
from planner.core.replay.requests.kernels import decode as decode_kernels
from planner.core.replay.requests.kernels import layout
from planner.core.replay.requests.kernels import prefill as prefill_kernels
from planner.core.replay.requests.kernels import queues as queue_kernels
from planner.core.replay.requests.kernels import step as step_kernels
from planner.core.replay.requests.kernels import tally as tally_kernels
from planner.core.replay.requests.kernels.choice import BUCKETS
from planner.core.replay.requests.kernels.layout import NIL, RING, Records, enter
from planner.core.replay.requests.model import (
    BALANCERS,
    QUEUE_MODES,
    Lives,
    QueueRules,
    Requests,
    Service,
    Span,
)
from planner.errors import UsageError
from planner.settings.replay import BalancerName
from planner.units import Floats

SAMPLE_US = 10e6
"""Imbalance is sampled every ten seconds."""


@dataclass(frozen=True)
class HandOver:
    """Requests whose prompt was read, in the order in which that happened; the first `count` rows are filled."""

    rows: Records
    count: int


@dataclass(frozen=True)
class Lost:
    """The requests that decode units held when they failed: rows of the decode stage's list from `first` on."""

    rows: Records
    first: int


def hand_overs(
    batches: Iterable[Requests], prefill: "PrefillStage", fails_us: Floats, fail: Callable[[float], Lost]
) -> Iterator[HandOver]:
    """Feed requests to prefill to the end; what it hands over, in order.

    fails_us: when decode units fail, ascending, each time once. fail: lets decode come to such a time, after it was
    fed everything handed over before, and gives what is lost, which is then read again.
    """
    times = [float(at) for at in fails_us]
    for requests in batches:
        while times and len(requests) and times[0] <= requests.arrival_us[-1]:
            at = times.pop(0)
            before = int(np.searchsorted(requests.arrival_us, at, side="left"))
            yield prefill.feed(requests.part(slice(before)))
            yield prefill.until(at)
            prefill.read_again(fail(at), at)
            requests = requests.part(slice(before, None))
        yield prefill.feed(requests)
    for at in times:
        yield prefill.until(at)
        prefill.read_again(fail(at), at)
    yield prefill.finish()


@dataclass(frozen=True)
class FirstSizes:
    """Initial sizes of arrays, which grow as needed. pool: requests; slots: units; affinities: a power of
    two, sessions or blocks."""

    pool: int = 1 << 16
    slots: int = 4
    affinities: int = 1 << 16


class Stage:
    """A stage's state, which kernels work on, and its arrays."""

    def __init__(self, kind: np.dtype[np.void], lives: Lives, span: Span, **values: float) -> None:
        self._span = span
        self._state = np.zeros(1, kind)
        common = {"unassigned_head": NIL, "unassigned_tail": NIL, "last_unit": NIL}
        window = {"from_us": span.from_us, "to_us": span.to_us, "end_us": span.end_us, "ttft_us": span.ttft_us}
        sizes = {
            "units_rows": len(lives),
            "minutes_rows": span.minutes,
            "hours_rows": span.hours,
            "classes": span.classes,
            "samples_rows": int(span.end_us // SAMPLE_US) + 2,
            "sample_every_us": SAMPLE_US,
        }
        for name, value in {**common, **window, **sizes, **values}.items():
            self._state[name] = value
        self._arrays: dict[str, NDArray[Any]] = {}
        self._set(
            numbers=np.zeros(len(lives), np.int64),
            loads=np.full((4, int(layout.padded(len(lives)))), np.inf),
            queue=np.zeros((span.minutes, 2)),
        )

    def _set(self, **arrays: NDArray[Any]) -> None:
        """Use these arrays from now on."""
        self._arrays |= arrays
        enter(self._state, **arrays)

    def in_loop(self, loop: Records) -> Records:
        """Call those that follow others of a closed loop when these end; the state, for the kernel of both stages."""
        self._set(loop=loop)
        return self._state

    def _get(self, name: str) -> int:
        """A whole number of the state."""
        return int(self._state[name][0])

    @property
    def pool_rows(self) -> int:
        """Requests that the pool holds."""
        return self._get("pool_rows")

    @property
    def end_us(self) -> float:
        """Up to when everything happens."""
        return self._span.end_us

    @property
    def units(self) -> Records:
        """By number: passes or steps that ended, streams that moved on, and the like."""
        return self._arrays["units"]

    @property
    def drain_us(self) -> Floats:
        """By unit: how long it took to end what it had begun; nan where it did not drain, or was not empty in time."""
        took: Floats = np.where(self.units["drain_took_us"] < np.inf, self.units["drain_took_us"], np.nan)
        return took

    @property
    def minutes(self) -> Records:
        """Tallies by minute from the origin."""
        return self._arrays["minutes"]

    @property
    def queue_us(self) -> Floats:
        """By minute from the origin: time that requests waited to be begun (prefill) or admitted (decode), summed."""
        change, time_us = self._arrays["queue"].T
        waited: Floats = (np.cumsum(change) - change) * self._span.minutes_us + time_us
        return waited

    @property
    def hours(self) -> Records:
        """Tallies by hour of the window and class, of arrival: (hours, classes)."""
        return self._arrays["hours"]

    @property
    def samples(self) -> Records:
        """Imbalance at the first request in every ten seconds that arrives (prefill) or is handed over (decode)."""
        return self._arrays["samples"][: self._get("samples")]

    @property
    def kept(self) -> Records:
        """By request, where outcomes are kept."""
        return self._arrays["kept"]


class PrefillStage(Stage):
    """Prefill units, fed chunk by chunk. keep: number of requests whose outcome is kept row by row, 0 for none."""

    def __init__(
        self,
        service: Service,
        lives: Lives,
        rules: QueueRules,
        span: Span,
        *,
        keep: int = 0,
        first: FirstSizes = FirstSizes(),
    ) -> None:
        super().__init__(
            layout.PREFILL_STATE,
            lives,
            span,
            horizon_us=-np.inf,
            room=first.pool,
            pool_rows=first.pool,
            affinity_rows=first.affinities,
            depth_rows=len(rules.depth_from),
            kept_rows=keep,
            balancer=BALANCERS.index(rules.prefill_balancer),
            seed=rules.seed,
            mode=QUEUE_MODES.index(rules.mode),
            window_us=rules.window_us,
            queue_limit=rules.queue_limit,
            timeout_us=rules.timeout_us,
            retries=rules.retries,
            retry_after_us=rules.retry_after_us,
            retry_head=NIL,
            retry_tail=NIL,
            block_tokens=rules.block_tokens,
            routed=rules.block_tokens > 0,
            missed_us=service.missed_us,
            context_us=service.context_us,
            pass_us=service.pass_us,
            pass_tokens=service.pass_tokens,
            chunk_tokens=service.chunk_tokens,
            longest_tokens=service.longest_tokens,
            parallel=service.prefill_ranks * service.prefill_share,
        )
        self._known = 0
        kept = np.zeros(keep, layout.PREFILL_KEPT)
        kept["unit"], kept["first_us"] = NIL, np.nan
        events = fleet_events(lives, span.end_us)
        self._state["events_rows"] = len(events)
        self._set(
            pool=link_places(np.zeros(first.pool, layout.WAITING), 0, NIL),
            units=unit_rows(lives, layout.PREFILL_UNIT),
            events=events,
            depth=np.array([rules.depth_from, rules.depth_batch], np.int64),
            affinity=np.full((2, first.affinities), NIL, np.int64),
            minutes=np.zeros(span.minutes, layout.PREFILL_MINUTE),
            samples=np.zeros(self._get("samples_rows"), layout.PREFILL_SAMPLE),
            hours=np.zeros((span.hours, span.classes), layout.PREFILL_HOUR),
            ttft=np.zeros((span.hours, span.classes, BUCKETS), np.int32),
            kept=kept,
        )

    def feed(self, requests: Requests) -> HandOver:
        """Requests in, in order of arrival; out come those whose prompt was read up to the last of their arrivals.

        What arrives after the span's end is left out.
        """
        arriving = int(np.searchsorted(requests.arrival_us, self._span.end_us, side="right"))
        columns = columns_of(requests, arriving)
        if len(columns["block_from"]):
            columns["cached_input_tokens"] = columns["cached_input_tokens"].copy()  # the kernel writes to it
        self.make_room(arriving)
        self.make_affinities(arriving, len(columns["block_ids"]))
        out = self.output(arriving)
        prefill_kernels.arrive(self._state, **columns, first_seq=self._known)
        self._known += len(requests)
        return self._counted(out)

    def finish(self) -> HandOver:
        """Simulate everything up to the end."""
        out = self.output(0)
        prefill_kernels.advance(self._state, self._span.end_us)
        return self._counted(out)

    def until(self, before_us: float) -> HandOver:
        """Simulate everything before a time, after the arrivals before it."""
        out = self.output(0)
        prefill_kernels.advance(self._state, np.nextafter(before_us, -np.inf))
        return self._counted(out)

    def read_again(self, lost: Lost, at_us: float) -> None:
        """Take in what decode units held that failed; `until` this time was done."""
        self.make_room(len(lost.rows))
        self.make_affinities(len(lost.rows), 0)
        prefill_kernels.read_again(self._state, lost.rows, lost.first, at_us)

    @property
    def ttft(self) -> NDArray[np.int32]:
        """Requests by hour of the window, class and bucket of their time to the first token."""
        return self._arrays["ttft"]

    @property
    def number_in_system(self) -> int:
        """Requests in prefill now."""
        return self._get("pool_rows") - self._get("room")

    @property
    def in_system(self) -> Records:
        """Requests in prefill now, listed one by one: rows of layout.WAITING."""
        places = np.empty(self.number_in_system, np.int64)
        count = queue_kernels.list_in_system(self._state, places)
        assert count == self.number_in_system, "a request in prefill was lost"
        requests: Records = self._arrays["pool"][places]
        return requests

    @property
    def in_flight(self) -> int:
        """Those of them that count."""
        return int(np.count_nonzero(self._span.counts(self.in_system["arrival_us"])))

    @property
    def affinities(self) -> int:
        """Sessions or blocks in the affinity table."""
        return self._get("affinities")

    @property
    def affinity_slots(self) -> int:
        """Slots of the affinity table."""
        return self._get("affinity_rows")

    def output(self, arriving: int) -> Records:
        """Room for all requests in the stage and those arriving."""
        out = np.empty(self.number_in_system + arriving, layout.HANDED)
        self._state["out"], self._state["out_rows"] = 0, len(out)
        enter(self._state, out=out)
        return out

    def _counted(self, out: Records) -> HandOver:
        tally_kernels.count_read(self._state)
        return HandOver(out, self._get("out"))

    def make_room(self, arriving: int) -> None:
        """Let the pool hold a chunk more than it does."""
        state, pool, before = self._state, self._arrays["pool"], self._get("pool_rows")
        if (short := arriving - self._get("room")) > 0:
            pool = np.concatenate([pool, np.zeros(max(short, before), layout.WAITING)])
            self._set(pool=link_places(pool, before, self._get("free")))
            state["free"], state["room"], state["pool_rows"] = before, state["room"] + len(pool) - before, len(pool)

    def make_affinities(self, arriving: int, blocks: int) -> None:
        """Let the affinity table be at most half full after a chunk more."""
        # those in prefill may yet be sent by their session, when they come again or their unit drains or fails
        state, asked = self._state, 2 * (self.affinities + self.number_in_system + arriving + blocks)
        affine = state["balancer"][0] == BALANCERS.index("prefix-aware") or state["routed"][0]
        if affine and asked > state["affinity_rows"][0]:
            table = np.full((2, 1 << asked.bit_length()), NIL, np.int64)
            affinity_kernels.rehash(self._arrays["affinity"], table)
            self._set(affinity=table)
            state["affinity_rows"] = table.shape[1]


class DecodeStage(Stage):
    """Decode units, fed with what prefill hands over.

    keep: number of requests whose outcome is kept row by row, 0 for none. ranks: of a unit, kept one by one if there
    are several, each request on one; the step tables are then those of even ranks. rank_balancer: chooses among them.
    closed: whether it will be in a closed loop (`planner.core.replay.requests.followers`).
    """

    def __init__(
        self,
        service: Service,
        lives: Lives,
        rules: QueueRules,
        span: Span,
        *,
        keep: int = 0,
        ranks: int = 1,
        rank_balancer: BalancerName = "two-key",
        closed: bool = False,
        first: FirstSizes = FirstSizes(),
    ) -> None:
        steps = service.steps
        lines = np.column_stack([steps.low_us, steps.low_us_per_token, steps.high_us, steps.high_us_per_token])
        if len(lines) != service.most_streams + 1:
            raise UsageError(f"step tables have {len(lines)} entries for {service.most_streams} streams; give one more")
        super().__init__(
            layout.DECODE_STATE,
            lives,
            span,
            fleet_us=-np.inf,
            soonest_us=np.inf,
            pool_rows=first.pool,
            ranks=ranks,
            kept_rows=keep,
            balancer=BALANCERS.index(rules.decode_balancer),
            rank_balancer=BALANCERS.index(rank_balancer),
            exact=ranks > 1,
            listed=ranks > 1 or closed,
            seed=rules.seed,
            most_streams=service.most_streams,
            kv_us_per_token=service.kv_us_per_token,
            kv_capacity_tokens=service.kv_capacity_tokens,
            kv_stream_tokens=service.kv_stream_tokens,
            tpot_us=span.tpot_us,
        )
        kept = np.zeros(keep, layout.DECODE_KEPT)
        kept["finish_us"], kept["unit"], kept["step"] = np.nan, NIL, NIL
        events = fleet_events(lives, span.end_us)
        self._state["events_rows"] = len(events)
        self._set(
            pool=np.zeros(first.pool, layout.STREAM),
            units=unit_rows(lives, layout.DECODE_UNIT),
            rank_numbers=np.arange(ranks),
            lines=np.ascontiguousarray(lines, np.float64),
            events=events,
            minutes=np.zeros(span.minutes, layout.DECODE_MINUTE),
            hours=np.zeros((span.hours, span.classes), layout.DECODE_HOUR),
            histograms=np.zeros((2, span.hours, span.classes, BUCKETS), np.int32),
            samples=np.zeros(self._get("samples_rows"), layout.SAMPLE),
            kept=kept,
            lost=np.zeros(0, layout.LOST),
        )
        self._add_slots(first.slots)
        self.fails_us: Floats = np.unique(lives.fail_us[lives.fail_us <= span.end_us])
        """When units fail: `fail` has to be called for each in its turn, see `hand_overs`."""
        self._failed = 0

    def feed(self, handed: HandOver) -> None:
        """Take over what prefill handed over."""
        if handed.count:
            until_us = float(handed.rows["at_us"][handed.count - 1])
            assert self._failed == len(self.fails_us) or until_us < self.fails_us[self._failed], "a unit fails before"
            self.make_room(handed.count)
            self.make_slots(until_us)
            decode_kernels.take_over(self._state, handed.rows, handed.count)

    def fail(self, at_us: float) -> Lost:
        """Simulate everything up to the next time at which units fail; returns what they held."""
        assert at_us == self.fails_us[self._failed], "units fail one time after the other"
        self._failed += 1
        self.make_slots(at_us)
        first, most = self._get("lost"), self._get("lost") + self._get("used")
        if most > self._get("lost_rows"):
            # twice that, so that this is not done at every failure
            self._set(lost=np.concatenate([self._arrays["lost"][:first], np.zeros(2 * most - first, layout.LOST)]))
            self._state["lost_rows"] = 2 * most
        decode_kernels.advance_fleet(self._state, at_us)
        return Lost(self._arrays["lost"][first : self._get("lost")], first)

    def finish(self) -> None:
        """Simulate everything up to the end."""
        assert self._failed == len(self.fails_us), "a unit fails before"
        self.make_slots(self._span.end_us)
        decode_kernels.finish(self._state, self._span.end_us)

    @property
    def histograms(self) -> NDArray[np.int32]:
        """Requests by kind (layout.E2E, TPOT), hour of the window, class and bucket of their latency."""
        return self._arrays["histograms"]

    @property
    def moved(self) -> int:
        """Streams that units past their deadline handed over."""
        return self._get("moved")

    @property
    def slots(self) -> int:
        """Rows of the arrays by slot: at least the most units that were open at a time."""
        return self._get("slots")

    @property
    def lost(self) -> int:
        """Requests that units held when they failed, each time."""
        return self._get("lost")

    @property
    def in_system(self) -> Records:
        """Requests in decode, after the end: rows of layout.STREAM."""
        pool = self._arrays["pool"][: self._get("used")]
        requests: Records = pool[pool["departs"] != 0]
        return requests

    @property
    def in_flight(self) -> int:
        """Those of them that count."""
        return int(np.count_nonzero(self._span.counts(self.in_system["arrival_us"])))

    def make_room(self, arriving: int) -> None:
        """Make room in the pool for one chunk more."""
        if self._get("used") + arriving <= self._get("pool_rows"):
            return
        pool = self._arrays["pool"]
        step_kernels.compact(self._state, np.empty(len(pool), np.int32))
        used = self._get("used")
        if (needed := used + arriving) > len(pool):
            # twice that, so that neither this nor the above is done for every chunk
            self._set(pool=np.concatenate([pool[:used], np.zeros(2 * needed - used, layout.STREAM)]))
            self._state["pool_rows"] = 2 * needed

    def make_slots(self, until_us: float) -> None:
        """Have a row in the arrays by slot for every unit that begins to take work until then."""
        events = self._arrays["events"]
        coming = events[self._get("next_event") : np.searchsorted(events["at_us"], until_us, side="right")]
        short = self._get("open") + int((coming["kind"] == layout.TAKE).sum()) - self._get("slots")
        if short > 0:
            self._add_slots(max(short, self._get("slots")))

    def _add_slots(self, slots: int) -> None:
        ranks, listed = self._get("ranks"), self._get("listed")
        more: dict[str, NDArray[Any]] = {
            "owners": np.full(slots, NIL, np.int64),
            "leaving": np.zeros((slots, RING, 2), np.int64),
            "ends_us": np.zeros((slots, RING)),
            "leavers": np.full((slots, RING if listed else 0), NIL, np.int32),
            "ranks": np.full((slots, 2, int(layout.padded(ranks))), np.inf),
        }
        more["ranks"][:, :, :ranks] = 0.0
        self._set(**{name: np.concatenate([self._arrays.get(name, array[:0]), array]) for name, array in more.items()})
        self._state["slots"] += slots
