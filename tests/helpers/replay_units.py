"""Requests and units of the slow replay (`replay_reference`): what they hold, how balancers choose, how steps go."""

from dataclasses import dataclass, field
from fractions import Fraction
from math import inf, nan
from typing import Literal, NamedTuple

from planner.core.replay.requests.model import Requests, Service

PREFILL, DECODE, RANKS = range(3)
"""Roles: units of each, and ranks in a decode unit."""


@dataclass(kw_only=True)
class Outcome:
    """What became of a request (one that has not arrived by the end counts as in flight here).

    prefill_unit, enqueued_us: the last prefill queue it joined, and when. hits: input tokens found when it arrived.
    tries: how often it came again. decode_unit: the last decode queue.
    finish_step: steps the decode unit had done when it left. moved: times handed over as a straggler.
    lost: times that its unit failed in decode.
    """

    seq: int
    status: Literal["completed", "rejected-queue", "rejected-timeout", "rejected-length", "in-flight"] = "in-flight"
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
    """Chooses units of one role. sticky: the unit last chosen for a request of a session."""

    name: str
    role: int
    seed: int
    last: int = -1
    sticky: dict[int, int] = field(default_factory=dict)

    def choose(self, request: Request, loads: list[Load]) -> int:
        """The number of a unit, of those that take work (ascending, at least one)."""
        self.last = self.pick(request, loads, self.sticky.get(request.session) if request.session >= 0 else None)
        if request.session >= 0:
            self.sticky[request.session] = self.last
        return self.last

    def pick(self, request: Request, loads: list[Load], sticky: int | None) -> int:
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
                if load.unit == sticky and load.keys[1] <= 2 * means[1] + request.work_ns:
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
        requests = self.in_pass + self.queue
        missed = sum(request.missed for request in requests)
        return Load(self.number, len(requests), (missed, sum(request.work_ns for request in requests)))


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
        streams = self.active + self.fifo
        return Load(self.number, len(streams), (sum(stream.context for stream in streams), len(streams)))

    def boundary(self) -> float:
        """Time of the next boundary: the end of the step, or when an idle unit's head is ready."""
        if self.active:
            return self.log.clock_us + self.step_time
        return self.log.clock_us if self.fifo else inf

    def join(self, stream: Stream) -> None:
        if not self.active and not self.fifo:
            self.log.clock_us = max(self.log.clock_us, stream.ready)
        self.fifo.append(stream)

    def pass_boundary(self, service: Service) -> list[Request]:
        """The requests that are complete then."""
        now = self.boundary()
        done = self.end_step(now) if self.active else []
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
        return done

    def rank_loads(self) -> list[Load]:
        on = [[stream.context for stream in self.active if stream.rank == rank] for rank in range(self.ranks)]
        return [Load(rank, len(contexts), (sum(contexts), len(contexts))) for rank, contexts in enumerate(on)]

    def end_step(self, now: float) -> list[Request]:
        self.log.steps += 1
        self.log.busy_us += self.step_time
        for stream in self.active:
            stream.context += 1
            if stream.depart == self.log.steps:
                outcome = stream.request.outcome
                outcome.status, outcome.finish_us, outcome.finish_step = "completed", now, stream.depart
        done = [stream.request for stream in self.active if stream.depart == self.log.steps]
        self.active = [stream for stream in self.active if stream.depart > self.log.steps]
        return done

    def admit(self, now: float, service: Service) -> None:
        while self.fifo and self.fifo[0].ready <= now:
            tokens = sum(stream.context for stream in self.active) + self.fifo[0].context
            taken = tokens + (len(self.active) + 1) * service.kv_stream_tokens
            full = len(self.active) >= service.most_streams or taken > service.kv_capacity_tokens
            if self.active and full:
                break
            stream = self.fifo.pop(0)
            stream.depart = self.log.steps + stream.left
            stream.rank = self.rank_balancer.choose(stream.request, self.rank_loads())
            self.active.append(stream)
