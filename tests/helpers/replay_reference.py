"""The replay of requests once more, slow and obvious: one object per request and unit, one event at a time.

What the fast engine is compared with. Events of one moment in order: boundaries of decode steps, units that serve,
drain, pass their deadline, fail, stragglers, passes that end (or waited for their window), rejected requests that
come again, arrivals; the lower unit first.
"""

from bisect import insort
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from math import inf, nan
from typing import Literal

import numpy as np

from planner.core.replay.requests.model import Lives, QueueRules, Requests, Service
from planner.settings.replay import BalancerName
from tests.helpers.replay_units import (
    DECODE,
    PREFILL,
    RANKS,
    Balancer,
    Begun,
    DecodeUnit,
    Outcome,
    PrefillUnit,
    Request,
    Sample,
    Stream,
    UnitLog,
    read,
    work_ns,
    work_us,
)

Event = tuple[float, int, int, int]
"""Time, kind, role, and number of the unit (of the request, for an arrival): their order is the order of events."""

BOUNDARY, SERVE, DRAIN, DEADLINE, FAIL, STRAGGLERS, PASS, RETRY, ARRIVAL = range(9)
SAMPLE_US = 10e6
MINUTE_US = 60e6


class Replay:
    """The whole simulation: make one, run it, look at it."""

    def __init__(
        self,
        service: Service,
        prefill: Lives,
        decode: Lives,
        rules: QueueRules,
        requests: Requests,
        ranks: int = 1,
        rank_balancer: BalancerName = "two-key",
        follows: Sequence[int] = (),
        think_us: Sequence[float] = (),
    ) -> None:
        """follows: by request the one after whose end it comes, -1 for none; think_us: how long after it."""
        self.service, self.rules, self.lives = service, rules, (prefill, decode)
        self.prefill = [PrefillUnit(number=number) for number in range(len(prefill))]
        self.decode = [
            DecodeUnit(
                number=number, ranks=ranks, rank_balancer=Balancer(name=rank_balancer, role=RANKS, seed=rules.seed)
            )
            for number in range(len(decode))
        ]
        self.samples: list[Sample] = []
        self.prefill_samples: list[tuple[float, float, float]] = []
        self.next_prefill_sample = 0.0
        self.minutes: dict[tuple[str, int], float] = defaultdict(float)
        self.next_sample = 0.0
        names = (rules.prefill_balancer, rules.decode_balancer)
        self.balancers = [Balancer(name=name, role=role, seed=rules.seed) for role, name in enumerate(names)]
        self.unassigned_requests: list[Request] = []
        self.coming_again: list[Request] = []
        self.block_units: dict[int, int] = {}
        self.has_blocks = requests.block_from is not None
        self.unassigned_streams: list[Stream] = []
        self.requests = [read(requests, seq, service) for seq in range(len(requests))]
        self.think, self.followers = think_us, defaultdict[int, list[Request]](list)
        for seq, before in enumerate(follows):
            if before >= 0:
                self.requests[seq].arrival = inf
                self.followers[before].append(self.requests[seq])
        fleet: list[Event] = [
            (float(times[number]), kind, role, number)
            for role, lives in enumerate(self.lives)
            for kind, times in (
                (SERVE, lives.serve_us),
                (DRAIN, np.where(lives.drain_us < lives.fail_us, lives.drain_us, inf)),
                (DEADLINE, np.where(lives.gone_us < lives.fail_us, lives.gone_us, inf)),
                (FAIL, lives.fail_us),
            )
            for number in range(len(lives))
        ]
        self.known = sorted(fleet + [(request.arrival, ARRIVAL, PREFILL, request.seq) for request in self.requests])

    def end(self, request: Request, now: float) -> None:
        """Who follows a request comes a thought after it."""
        for follower in self.followers[request.seq]:
            follower.arrival = follower.tried = now + float(self.think[follower.seq])
            self.known.remove((inf, ARRIVAL, PREFILL, follower.seq))
            insort(self.known, (follower.arrival, ARRIVAL, PREFILL, follower.seq))

    def pass_boundary(self, unit: DecodeUnit) -> None:
        for request in unit.pass_boundary(self.service):
            self.end(request, request.outcome.finish_us)

    def run(self, end_us: float) -> None:
        now = 0.0
        while (event := min(self.possible()))[0] <= end_us and event[0] < inf:
            self.measure(now, event[0])
            now = event[0]
            self.happen(event)
        if end_us < inf:
            self.measure(now, end_us)

    def measure(self, now: float, until: float) -> None:
        """Nothing happens in between: what is there, times how long."""
        passes = [unit for unit in self.prefill if unit.in_pass]
        prompts = [request for unit in self.prefill for request in unit.queue] + self.unassigned_requests
        there = {
            "prefill busy_us": len(passes),
            "prefill work_us": sum(unit.work_share for unit in passes),
            "prefill queue_us": sum(request.piece < 0 for request in prompts),
            "decode busy_us": sum(bool(unit.active) for unit in self.decode),
            "decode stream_us": sum(len(unit.active) for unit in self.decode),
            "decode kv_token_us": sum(stream.context for unit in self.decode for stream in unit.active),
            "decode queue_us": sum(len(unit.fifo) for unit in self.decode) + len(self.unassigned_streams),
        }
        while now < until:
            minute_ends = min((now // MINUTE_US + 1) * MINUTE_US, until)
            for name, number in there.items():
                self.minutes[name, int(now // MINUTE_US)] += number * (minute_ends - now)
            now = minute_ends

    def possible(self) -> list[Event]:
        """All events that may be next."""
        return [
            *self.known[:1],
            *((unit.pass_ends, PASS, PREFILL, unit.number) for unit in self.prefill if unit.in_pass),
            *((self.due(unit), PASS, PREFILL, unit.number) for unit in self.prefill if unit.queue and not unit.in_pass),
            *((unit.boundary(), BOUNDARY, DECODE, unit.number) for unit in self.decode),
            *((request.tried, RETRY, PREFILL, request.seq) for request in self.coming_again[:1]),
            *((unit.log.clock_us, STRAGGLERS, DECODE, unit.number) for unit in self.decode if unit.stragglers),
        ]

    def happen(self, event: Event) -> None:
        now, kind, role, number = event
        if [event] == self.known[:1]:
            self.known.pop(0)
        if kind == BOUNDARY:
            self.pass_boundary(self.decode[number])
        elif kind == SERVE:
            self.assign(now)
        elif kind == DRAIN and role == PREFILL:
            self.drain_prefill(self.prefill[number], now)
        elif kind == DRAIN:
            self.drain_decode(self.decode[number], now)
        elif kind == DEADLINE and role == DECODE:
            self.decode[number].deadline_passed = True
        elif kind == FAIL and role == PREFILL:
            self.fail_prefill(self.prefill[number], now)
        elif kind == FAIL:
            self.fail_decode(self.decode[number], now)
        elif kind == STRAGGLERS:
            self.move_stragglers(self.decode[number], now)
        elif kind == PASS:
            if self.prefill[number].in_pass:
                self.end_pass(self.prefill[number], now)
            self.start_pass(self.prefill[number], now)
        elif kind == RETRY:
            self.dispatch(self.coming_again.pop(0), now, limited=True)
        elif kind == ARRIVAL:
            self.arrive(self.requests[number], now)

    def takes(self, role: int, number: int, now: float) -> bool:
        lives = self.lives[role]
        return bool(lives.serve_us[number] <= now < min(lives.drain_us[number], lives.fail_us[number]))

    def assign(self, now: float) -> None:
        """A unit serves from now on: those that found none are dispatched, in order."""
        requests, self.unassigned_requests = self.unassigned_requests, []
        streams, self.unassigned_streams = self.unassigned_streams, []
        for request in requests:
            self.dispatch(request, now, limited=True)
        for stream in streams:
            self.hand_over(stream, now)

    def arrive(self, request: Request, now: float) -> None:
        """By prefix blocks, where there are any and somebody looks at them; or else like those that come again."""
        if now >= self.next_prefill_sample:
            self.next_prefill_sample = (now // SAMPLE_US + 1) * SAMPLE_US
            there = [unit.load() for unit in self.prefill if self.takes(PREFILL, unit.number, now)]
            tokens, number = uneven([load.keys[0] for load in there]), uneven([load.number for load in there])
            self.prefill_samples.append((now, tokens, number))
        if request.input + request.output > self.service.longest_tokens:
            request.outcome.status = "rejected-length"
            self.end(request, now)
            return
        routed, balancer = self.rules.block_tokens > 0, self.balancers[PREFILL]
        if not self.has_blocks or not (routed or balancer.name == "prefix-aware"):
            self.dispatch(request, now, limited=True)
            return
        sticky = self.block_units.get(request.blocks[0]) if request.blocks else None
        held = 0
        while (
            held < len(request.blocks) and sticky is not None and self.block_units.get(request.blocks[held]) == sticky
        ):
            held += 1
        if routed:
            self.hit(request, held * self.rules.block_tokens)
        loads = [unit.load() for unit in self.prefill if self.takes(PREFILL, unit.number, now)]
        if loads:
            balancer.last = balancer.pick(request, loads, sticky)
            self.block_units |= dict.fromkeys(request.blocks, balancer.last)
        if routed and (not loads or balancer.last != sticky):
            self.hit(request, 0)
        if loads:
            self.join(request, self.prefill[balancer.last], now, limited=True)
        else:
            self.unassigned_requests.append(request)

    def hit(self, request: Request, tokens: int) -> None:
        request.outcome.hits = request.done = min(tokens, request.input)
        request.cached = 0  # a hit of one unit
        request.missed = request.input - request.done
        request.work_ns = work_ns(self.service, request.done, request.missed)

    def dispatch(self, request: Request, now: float, limited: bool) -> None:
        loads = [unit.load() for unit in self.prefill if self.takes(PREFILL, unit.number, now)]
        if not loads:
            self.unassigned_requests.append(request)
            return
        self.join(request, self.prefill[self.balancers[PREFILL].choose(request, loads)], now, limited)

    def reject(self, request: Request, status: Literal["rejected-queue", "rejected-timeout"], now: float) -> None:
        if request.outcome.tries < self.rules.retries:
            request.outcome.tries += 1
            request.tried = now + self.rules.retry_after_us
            self.coming_again.append(request)
        else:
            request.outcome.status = status
            self.end(request, now)

    def join(self, request: Request, unit: PrefillUnit, now: float, limited: bool) -> None:
        if limited and not request.left and self.rules.queue_limit and len(unit.queue) >= self.rules.queue_limit:
            self.reject(request, "rejected-queue", now)
            return
        request.outcome.prefill_unit, request.outcome.enqueued_us = unit.number, now
        unit.queue.append(request)
        self.start_pass(unit, now)

    def due(self, unit: PrefillUnit) -> float:
        """When a pass of the unit's queue may start."""
        queued = sum(request.missed for request in unit.queue)
        if self.rules.mode != "window" or queued >= self.service.pass_tokens:
            return -inf
        return unit.queue[0].tried + self.rules.window_us

    def batch(self, depth: int) -> int:
        """Requests of a pass at most, when so many wait."""
        rules = zip(self.rules.depth_from, self.rules.depth_batch, strict=True)
        return [batch for start, batch in rules if start <= depth][-1] if self.rules.mode == "depth" else depth

    def start_pass(self, unit: PrefillUnit, now: float) -> None:
        if unit.in_pass or not unit.queue or now < self.due(unit):
            return
        most, tokens = self.batch(len(unit.queue)), 0
        while unit.queue:
            head = unit.queue[0]
            if head.piece < 0 and not head.left and now - head.tried > self.rules.timeout_us:
                self.reject(unit.queue.pop(0), "rejected-timeout", now)
                continue
            piece = min(head.missed, self.service.chunk_tokens)
            if unit.in_pass and (tokens + piece > self.service.pass_tokens or len(unit.in_pass) >= most):
                break
            tokens += piece
            head.piece = piece
            unit.in_pass.append(unit.queue.pop(0))
        if unit.in_pass:
            works = [work_us(self.service, request.done, request.piece) for request in unit.in_pass]
            shared = sum(works) / (self.service.prefill_ranks * self.service.prefill_share)
            unit.pass_time = self.service.pass_us + max(max(works), shared)
            unit.pass_ends = now + unit.pass_time
            unit.work_share = shared / unit.pass_time if unit.pass_time else 0.0
            unit.log.begun.append(Begun(now, unit.pass_time, len(unit.in_pass), tokens))

    def end_pass(self, unit: PrefillUnit, now: float) -> None:
        requests, unit.in_pass = unit.in_pass, []
        unit.log.steps += 1
        unit.log.busy_us += unit.pass_time
        unit.log.clock_us = now
        for request in requests:
            request.done, request.missed = request.done + request.piece, request.missed - request.piece
            request.work_ns = work_ns(self.service, request.done, request.missed)
        unit.queue = [request for request in requests if request.missed] + unit.queue
        if now >= unit.drain_us and not unit.queue:
            unit.log.drain_us = now - unit.drain_us
        for request in (request for request in requests if not request.missed):
            if request.left:
                self.sample_and_hand_over(request, request.left, now)
                continue
            request.outcome.first_token_us = now
            if request.output <= 1:
                request.outcome.status, request.outcome.finish_us = "completed", now
                self.end(request, now)
            else:
                self.sample_and_hand_over(request, request.output - 1, now)

    def sample_and_hand_over(self, request: Request, left: int, now: float) -> None:
        self.pass_boundaries(now)
        self.sample(now)
        self.hand_over(Stream(request=request, context=request.input, left=left), now)

    def pass_boundaries(self, now: float) -> None:
        """Also those that an earlier hand-over of this moment made due."""
        for unit in self.decode:
            while unit.boundary() <= now:
                self.pass_boundary(unit)

    def sample(self, now: float) -> None:
        if now < self.next_sample:
            return
        self.next_sample = (now // SAMPLE_US + 1) * SAMPLE_US
        units = [unit for unit in self.decode if self.takes(DECODE, unit.number, now)]
        over_units = [uneven([unit.load().keys[key] for unit in units]) for key in (0, 1)]
        ranks = [unit.rank_loads() for unit in units if unit.active and sum(stream.context for stream in unit.active)]
        over_ranks = [[uneven([load.keys[key] for load in loads]) for loads in ranks] for key in (0, 1)]
        of_ranks = [sum(each) / len(each) if each else 1.0 for each in over_ranks]
        self.samples.append(
            Sample(at=now, kv=over_units[0], streams=over_units[1], rank_kv=of_ranks[0], rank_streams=of_ranks[1])
        )

    def hand_over(self, stream: Stream, now: float) -> None:
        self.pass_boundaries(now)
        loads = [unit.load() for unit in self.decode if self.takes(DECODE, unit.number, now)]
        if not loads:
            self.unassigned_streams.append(stream)
            return
        unit = self.decode[self.balancers[DECODE].choose(stream.request, loads)]
        stream.ready = now + stream.context * self.service.kv_us_per_token
        stream.request.outcome.decode_unit = unit.number
        unit.join(stream)

    def drain_prefill(self, unit: PrefillUnit, now: float) -> None:
        requests = [request for request in unit.queue if request.piece < 0]
        unit.queue = [request for request in unit.queue if request.piece >= 0]  # it ends the prompts it began
        unit.drain_us = now
        unit.log.drain_us = nan if unit.in_pass or unit.queue else 0.0
        for request in requests:
            self.dispatch(request, now, limited=False)

    def drain_decode(self, unit: DecodeUnit, now: float) -> None:
        unit.drain_us = now
        unit.log.drain_us = nan if unit.active else 0.0
        streams, unit.fifo = unit.fifo, []
        for stream in streams:
            self.hand_over(stream, now)

    def fail_prefill(self, unit: PrefillUnit, now: float) -> None:
        """What it was reading and what waited is sent elsewhere; what it had read of prompts is lost, and its hits."""
        requests, unit.in_pass, unit.queue = unit.in_pass + unit.queue, [], []
        for request in requests:
            unit.log.lost += 1
            request.done, request.missed, request.piece = request.cached, request.input - request.cached, -1
            request.work_ns = work_ns(self.service, request.done, request.missed)
            self.dispatch(request, now, limited=False)

    def fail_decode(self, unit: DecodeUnit, now: float) -> None:
        """All it held is read again, from the start of the prompt to the last token sent."""
        streams = sorted(unit.active + unit.stragglers, key=lambda stream: (stream.depart, stream.request.seq))
        if streams:
            unit.log.drain_us = nan
        for stream in streams:
            stream.left = stream.depart - unit.log.steps
        lost, unit.active, unit.stragglers, unit.fifo = streams + unit.fifo, [], [], []
        for stream in lost:
            unit.log.lost += 1
            stream.request.outcome.lost += 1
            work = work_ns(self.service, 0, stream.context)
            again = replace(stream.request, arrival=now, tried=now, input=stream.context, session=-1, cached=0, done=0)
            again = replace(again, missed=stream.context, work_ns=work, piece=-1, left=stream.left)
            self.dispatch(again, now, limited=False)

    def move_stragglers(self, unit: DecodeUnit, now: float) -> None:
        streams, unit.stragglers = unit.stragglers, []
        for stream in streams:
            unit.log.moved_out += 1
            stream.request.outcome.moved += 1
            stream.left = stream.depart - unit.log.steps
            self.hand_over(stream, now)


def uneven(values: list[int]) -> float:
    """Largest over mean; 1 where all is 0."""
    return max(values) * len(values) / sum(values) if sum(values) else 1.0


def simulate(
    service: Service, prefill: Lives, decode: Lives, rules: QueueRules, requests: Requests, end_us: float
) -> tuple[list[Outcome], list[UnitLog], list[UnitLog]]:
    """Every event until end_us: outcomes of requests, logs of prefill and of decode units."""
    replay = Replay(service, prefill, decode, rules, requests)
    replay.run(end_us)
    outcomes = [request.outcome for request in replay.requests]
    return outcomes, [unit.log for unit in replay.prefill], [unit.log for unit in replay.decode]
