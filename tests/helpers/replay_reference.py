"""The replay of requests once more, slow and obvious: one object per request and unit, one event at a time.

What the fast engine is compared with. Events of one moment in order: boundaries of decode steps, units that serve,
drain, pass their deadline, fail, stragglers, passes that end (or waited for their window), rejected requests that
come again, arrivals; the lower unit first.
"""

from collections import defaultdict
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import inf, nan
from typing import Literal, NamedTuple

import numpy as np

from planner.core.replay.requests.model import BalancerName, Lives, QueueRules, Requests, Service

Event = tuple[float, int, int, int]
"""Time, kind, role, and number of the unit (of the request, for an arrival): their order is the order of events."""

BOUNDARY, SERVE, DRAIN, DEADLINE, FAIL, STRAGGLERS, PASS, RETRY, ARRIVAL = range(9)
PREFILL, DECODE, RANKS = range(3)
SAMPLE_US = 10e6
MINUTE_US = 60e6


@dataclass(kw_only=True)
class Outcome:
    """What became of a request (one that has not arrived by the end counts as in flight here).

    prefill_unit, enqueued_us: the last prefill queue it joined, and when. hits: input tokens found when it arrived.
    tries: how often it came again. decode_unit: the last decode queue.
    finish_step: steps the decode unit had done when it left. moved: times handed over as a straggler.
    lost: times that its unit failed in decode.
    """

    seq: int
    status: Literal["completed", "rejected-queue", "rejected-timeout", "in-flight"] = "in-flight"
    prefill_unit: int = -1
    enqueued_us: float = nan
    first_token_us: float = nan
    decode_unit: int = -1
    finish_step: int = -1
    finish_us: float = nan
    moved: int = 0
    lost: int = 0
    hits: int = field(default=0, compare=False)
    tries: int = 0


class Begun(NamedTuple):
    """A pass or step that began: requests in it, and their tokens, those computed in a pass, or the KV in a step."""

    at: float
    lasts: float
    number: int
    tokens: int


class Sample(NamedTuple):
    """Largest over mean load of units that take work, and of ranks in them."""

    at: float
    kv: float
    streams: float
    rank_kv: float
    rank_streams: float


@dataclass(kw_only=True)
class UnitLog:
    """What a unit did until the end: steps or passes that ended, and their times.

    clock_us: start of the current or next step, end of the last pass. drain_us: from its drain until it was empty, nan
    if that did not happen. moved_out: stragglers handed over. lost: requests in it when it failed.
    """

    steps: int = 0
    clock_us: float = 0.0
    drain_us: float = nan
    moved_out: int = 0
    lost: int = 0
    busy_us: float = 0.0
    begun: list[Begun] = field(default_factory=list, compare=False, repr=False)


@dataclass(kw_only=True)
class Request:
    """A request on its way. done, missed, work_ns: tokens there, those to go, their whole nanoseconds on one rank.

    cached: tokens that are there whatever unit reads it. arrival: when it is read again, the time of the failure. left:
    decode steps to go then, 0 for the first reading.
    """

    seq: int
    arrival: float
    input: int
    output: int
    session: int
    done: int
    missed: int
    work_ns: int
    outcome: Outcome
    blocks: list[int]
    tried: float
    piece: int = -1  # of the missed tokens in the last pass
    cached: int = 0
    left: int = 0


def read(requests: Requests, seq: int, service: Service) -> Request:
    columns = (requests.arrival_us, requests.input_tokens, requests.cached_input_tokens, requests.output_tokens)
    arrival, tokens, hit, output = (int(column[seq]) for column in columns)
    session, missed = int(requests.session_id[seq]), tokens - hit
    blocks: list[int] = []
    if requests.block_from is not None and requests.block_ids is not None:
        blocks = requests.block_ids[requests.block_from[seq] : requests.block_from[seq + 1]].tolist()
    work, outcome = work_ns(service, hit, missed), Outcome(seq=seq, hits=hit)
    return Request(
        seq=seq,
        arrival=arrival,
        input=tokens,
        output=output,
        session=session,
        done=hit,
        missed=missed,
        work_ns=work,
        outcome=outcome,
        blocks=blocks,
        tried=arrival,
        cached=hit,
    )


def work_us(service: Service, done: int, missed: int) -> float:
    return missed * (service.missed_us + service.context_us * (done + missed / 2))


def work_ns(service: Service, done: int, missed: int) -> int:
    return int(work_us(service, done, missed) * 1000 + 0.5)


@dataclass(kw_only=True)
class Stream:
    """A request in decode: its context now, steps to go when admitted, step index at which it departs."""

    request: Request
    context: int
    left: int
    ready: float = nan
    depart: int = -1
    rank: int = 0


@dataclass
class Load:
    """What a balancer sees of a unit. keys: tokens, and nanoseconds of work (prefill) or their number (decode)."""

    unit: int
    number: int
    keys: tuple[int, int]


def mix(x: int) -> int:
    """The finaliser of splitmix64."""
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB % 2**64
    return x ^ (x >> 31)


def uniform(seed: int, seq: int, role: int, salt: int) -> float:
    """A number in [0, 1) that depends on nothing but the arguments."""
    stream = mix((seed + 0x9E3779B97F4A7C15 * (1 + salt + 2 * role)) % 2**64)
    return (mix(stream ^ seq) >> 11) / 2**53


@dataclass(kw_only=True)
class Balancer:
    """Chooses units of one role. homes: the unit last chosen for a request of a session."""

    name: str
    role: int
    seed: int
    last: int = -1
    homes: dict[int, int] = field(default_factory=dict)

    def choose(self, request: Request, loads: list[Load]) -> int:
        """The number of a unit, of those that take work (ascending, at least one)."""
        self.last = self.pick(request, loads, self.homes.get(request.session) if request.session >= 0 else None)
        if request.session >= 0:
            self.homes[request.session] = self.last
        return self.last

    def pick(self, request: Request, loads: list[Load], home: int | None) -> int:
        first, second = (loads[int(uniform(self.seed, request.seq, self.role, salt) * len(loads))] for salt in (0, 1))
        if self.name == "random":
            return first.unit
        if self.name == "power-of-two":
            return first.unit if first.number <= second.number else second.unit
        if self.name == "round-robin":
            return min(loads, key=lambda load: (load.unit <= self.last, load.unit)).unit
        if self.name == "join-shortest-queue":
            return min(loads, key=lambda load: (load.number, load.unit)).unit
        if self.name == "least-kv":
            return min(loads, key=lambda load: (load.keys[0], load.unit)).unit
        means = [Fraction(sum(load.keys[key] for load in loads), len(loads)) for key in (0, 1)]
        if self.name == "prefix-aware" and self.role == PREFILL:
            for load in loads:
                if load.unit == home and load.keys[1] <= 2 * means[1] + request.work_ns:
                    return load.unit

        def largest(load: Load) -> Fraction:
            return max(key / mean if mean > 0 else Fraction(0) for key, mean in zip(load.keys, means, strict=True))

        return min(loads, key=lambda load: (largest(load), load.unit)).unit


@dataclass(kw_only=True)
class PrefillUnit:
    number: int
    drain_us: float = inf
    queue: list[Request] = field(default_factory=list)
    in_pass: list[Request] = field(default_factory=list)
    pass_time: float = nan
    pass_ends: float = nan
    work_share: float = nan  # of the time of the pass, what all ranks together would need
    log: UnitLog = field(default_factory=UnitLog)

    def load(self) -> Load:
        here = self.in_pass + self.queue
        missed = sum(request.missed for request in here)
        return Load(self.number, len(here), (missed, sum(request.work_ns for request in here)))


@dataclass(kw_only=True)
class DecodeUnit:
    """ranks: if several, each stream is on one, and the fullest sets the pace as if all held as much."""

    number: int
    ranks: int
    rank_balancer: Balancer
    drain_us: float = inf
    fifo: list[Stream] = field(default_factory=list)
    active: list[Stream] = field(default_factory=list)
    stragglers: list[Stream] = field(default_factory=list)
    step_time: float = nan
    deadline_passed: bool = False
    log: UnitLog = field(default_factory=UnitLog)

    def load(self) -> Load:
        here = self.active + self.fifo
        return Load(self.number, len(here), (sum(stream.context for stream in here), len(here)))

    def boundary(self) -> float:
        """Time of the next boundary: the end of the step, or when an idle unit's head is ready."""
        if self.active:
            return self.log.clock_us + self.step_time
        return self.log.clock_us if self.fifo else inf

    def join(self, stream: Stream) -> None:
        if not self.active and not self.fifo:
            self.log.clock_us = max(self.log.clock_us, stream.ready)
        self.fifo.append(stream)

    def pass_boundary(self, service: Service) -> None:
        now = self.boundary()
        if self.active:
            self.end_step(now)
        self.log.clock_us = now
        if self.deadline_passed:
            self.stragglers = sorted(self.active, key=lambda stream: (stream.depart, stream.request.seq))
            self.active = []
        if now >= self.drain_us and not self.active:
            self.log.drain_us = now - self.drain_us
        self.admit(now, service)
        if self.active:
            fullest = max(load.keys[0] for load in self.rank_loads()) * self.ranks
            self.step_time = service.steps.at(len(self.active), fullest)
            tokens = sum(stream.context for stream in self.active)
            self.log.begun.append(Begun(now, self.step_time, len(self.active), tokens))
        elif self.fifo:
            self.log.clock_us = max(now, self.fifo[0].ready)

    def rank_loads(self) -> list[Load]:
        on = [[stream.context for stream in self.active if stream.rank == rank] for rank in range(self.ranks)]
        return [Load(rank, len(contexts), (sum(contexts), len(contexts))) for rank, contexts in enumerate(on)]

    def end_step(self, now: float) -> None:
        self.log.steps += 1
        self.log.busy_us += self.step_time
        for stream in self.active:
            stream.context += 1
            if stream.depart == self.log.steps:
                outcome = stream.request.outcome
                outcome.status, outcome.finish_us, outcome.finish_step = "completed", now, stream.depart
        self.active = [stream for stream in self.active if stream.depart > self.log.steps]

    def admit(self, now: float, service: Service) -> None:
        while self.fifo and self.fifo[0].ready <= now:
            tokens = sum(stream.context for stream in self.active) + self.fifo[0].context
            full = len(self.active) >= service.most_streams or tokens > service.kv_capacity_tokens
            if self.active and full:
                break
            stream = self.fifo.pop(0)
            stream.depart = self.log.steps + stream.left
            stream.rank = self.rank_balancer.choose(stream.request, self.rank_loads())
            self.active.append(stream)


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
    ) -> None:
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
        self.homeless_requests: list[Request] = []
        self.coming_again: list[Request] = []
        self.block_homes: dict[int, int] = {}
        self.has_blocks = requests.block_from is not None
        self.homeless_streams: list[Stream] = []
        self.requests = [read(requests, seq, service) for seq in range(len(requests))]
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
        prompts = [request for unit in self.prefill for request in unit.queue] + self.homeless_requests
        there = {
            "prefill busy_us": len(passes),
            "prefill work_us": sum(unit.work_share for unit in passes),
            "prefill queue_us": sum(request.piece < 0 for request in prompts),
            "decode busy_us": sum(bool(unit.active) for unit in self.decode),
            "decode stream_us": sum(len(unit.active) for unit in self.decode),
            "decode kv_token_us": sum(stream.context for unit in self.decode for stream in unit.active),
            "decode queue_us": sum(len(unit.fifo) for unit in self.decode) + len(self.homeless_streams),
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
            self.decode[number].pass_boundary(self.service)
        elif kind == SERVE:
            self.house(now)
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

    def house(self, now: float) -> None:
        """A unit serves from now on: those that found none are dispatched, in order."""
        requests, self.homeless_requests = self.homeless_requests, []
        streams, self.homeless_streams = self.homeless_streams, []
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
        routed, balancer = self.rules.block_tokens > 0, self.balancers[PREFILL]
        if not self.has_blocks or not (routed or balancer.name == "prefix-aware"):
            self.dispatch(request, now, limited=True)
            return
        home = self.block_homes.get(request.blocks[0]) if request.blocks else None
        held = 0
        while held < len(request.blocks) and home is not None and self.block_homes.get(request.blocks[held]) == home:
            held += 1
        if routed:
            self.hit(request, held * self.rules.block_tokens)
        loads = [unit.load() for unit in self.prefill if self.takes(PREFILL, unit.number, now)]
        if loads:
            balancer.last = balancer.pick(request, loads, home)
            self.block_homes |= dict.fromkeys(request.blocks, balancer.last)
        if routed and (not loads or balancer.last != home):
            self.hit(request, 0)
        if loads:
            self.join(request, self.prefill[balancer.last], now, limited=True)
        else:
            self.homeless_requests.append(request)

    def hit(self, request: Request, tokens: int) -> None:
        request.outcome.hits = request.done = min(tokens, request.input)
        request.cached = 0  # a hit of one unit
        request.missed = request.input - request.done
        request.work_ns = work_ns(self.service, request.done, request.missed)

    def dispatch(self, request: Request, now: float, limited: bool) -> None:
        loads = [unit.load() for unit in self.prefill if self.takes(PREFILL, unit.number, now)]
        if not loads:
            self.homeless_requests.append(request)
            return
        self.join(request, self.prefill[self.balancers[PREFILL].choose(request, loads)], now, limited)

    def reject(self, request: Request, status: Literal["rejected-queue", "rejected-timeout"], now: float) -> None:
        if request.outcome.tries < self.rules.retries:
            request.outcome.tries += 1
            request.tried = now + self.rules.retry_after_us
            self.coming_again.append(request)
        else:
            request.outcome.status = status

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
                unit.pass_boundary(self.service)

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
            self.homeless_streams.append(stream)
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
