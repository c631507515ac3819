"""The replay step by step once more, slow and obvious: every step visits every request in its unit.

What the fast engine is compared with. Events of one moment in order: steps that end (the lower unit first, those past
their deadline last), units that serve, drain, pass their deadline, fail, requests that come again, requests that arrive
(the lower number first).
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from math import inf, nan

import numpy as np

from planner.core.replay.iterations.model import Replica, step_us
from planner.core.replay.requests.model import Lives, QueueRules, Requests
from tests.helpers.replay_units import PREFILL, Balancer, Load

MINUTE_US, SAMPLE_US = 60e6, 10e6
ASSIGN, DRAIN, DEADLINE, FAIL = range(4)


@dataclass(kw_only=True)
class Asked:
    """A request on its way. done: tokens of it in KV; goal: tokens to have there before the next is made; made: tokens
    that it was given; hit: those there when its reading began; cached: those that are there whatever unit reads it.

    preempted, moved, lost: how often; tries: how often it came again; step: steps of rows of its unit when it left.
    """

    seq: int
    arrival: float
    tokens: int
    prompt: int
    output: int
    session: int
    blocks: list[int]
    cached: int
    hit: int
    done: int
    goal: int
    tried: float = 0.0
    made: int = 0
    held: int = 0
    begun: bool = False
    begun_here: bool = False
    hits: int = 0
    status: str = "in-flight"
    first: float = nan
    finish: float = nan
    unit: int = -1
    step: int = -1
    tries: int = 0
    moved: int = 0
    lost: int = 0
    preempted: int = 0

    @property
    def work_ns(self) -> int:
        """What balancers call work: tokens to compute."""
        return self.goal - self.done

    def anew(self) -> None:
        """To be read by another unit."""
        self.hit = self.done = 0 if self.made else self.cached
        self.goal, self.held, self.begun_here = self.prompt + self.made, 0, False


@dataclass(kw_only=True)
class Unit:
    """A unit: its line, those begun in order of admission, and the step in progress, which has rows and pieces."""

    number: int
    line: list[Asked] = field(default_factory=list)
    running: list[Asked] = field(default_factory=list)
    rows: list[Asked] = field(default_factory=list)
    pieces: list[tuple[Asked, int]] = field(default_factory=list)
    next: float = inf
    leaving: bool = False
    drain: float = inf
    drained: float = nan
    steps: int = 0
    row_steps: int = 0
    preempted: int = 0
    moved: int = 0
    lost: list[int] = field(default_factory=lambda: [0, 0])  # without a token, with some

    @property
    def kv(self) -> int:
        return sum(request.done for request in self.rows)

    @property
    def held(self) -> int:
        return sum(request.held for request in self.running)

    def load(self) -> Load:
        there = self.line + self.running
        return Load(self.number, len(there), (len(there), sum(request.work_ns for request in there)))


class Iterations:
    """The whole simulation: make one, run it, look at it."""

    def __init__(
        self,
        replica: Replica,
        lives: Lives,
        rules: QueueRules,
        requests: Requests,
        follows: Sequence[int] = (),
        think_us: Sequence[float] = (),
    ) -> None:
        self.replica, self.lives, self.rules = replica, lives, rules
        self.units = [Unit(number=number) for number in range(len(lives))]
        self.balancer = Balancer(name=rules.prefill_balancer, role=PREFILL, seed=rules.seed)
        self.has_blocks = requests.block_from is not None
        self.block_units: dict[int, int] = {}
        self.requests = [asked(requests, seq, routed=rules.block_tokens > 0) for seq in range(len(requests))]
        self.think, self.followers = think_us, defaultdict[int, list[int]](list)
        for seq, before in enumerate(follows):
            self.followers[before].append(seq)
        first = self.followers.pop(-1, []) if len(follows) else range(len(requests))
        self.coming = [(self.requests[seq].arrival, seq) for seq in first]
        heapify(self.coming)
        self.again: list[Asked] = []
        self.unassigned: list[Asked] = []
        self.came: list[int] = []
        self.samples: list[tuple[float, ...]] = []
        self.next_sample = 0.0
        self.minutes: dict[tuple[str, int], float] = defaultdict(float)
        self.most_blocks: dict[int, int] = defaultdict(int)
        times = (
            (ASSIGN, lives.serve_us),
            (DRAIN, np.where(lives.drain_us < lives.fail_us, lives.drain_us, inf)),
            (DEADLINE, np.where(lives.gone_us < lives.fail_us, lives.gone_us, inf)),
            (FAIL, lives.fail_us),
        )
        self.fleet = sorted(
            (float(at), kind, number) for kind, column in times for number, at in enumerate(column) if at < inf
        )

    def run(self, end_us: float) -> None:
        now = 0.0
        while True:
            unit = min(self.units, key=lambda unit: (unit.next, unit.leaving, unit.number), default=Unit(number=-1))
            fleet = self.fleet[0][0] if self.fleet else inf
            again = self.again[0].tried if self.again else inf
            coming = self.coming[0][0] if self.coming else inf
            soonest = min(unit.next, fleet, again, coming)
            if soonest > end_us or soonest == inf:
                break
            self.measure(now, soonest)
            now = soonest
            if unit.next == now:
                self.boundary(unit, now)
            elif fleet == now:
                self.change(*self.fleet.pop(0))
            elif again == now:
                self.dispatch(self.again.pop(0), now, limited=True)
            else:
                self.arrive(self.requests[heappop(self.coming)[1]], now)
        if end_us < inf:
            self.measure(now, end_us)

    def measure(self, now: float, until: float) -> None:
        """Nothing happens in between: what is there, times how long."""
        busy = [unit for unit in self.units if unit.rows or unit.pieces]
        waiting = len(self.unassigned) + sum(len(unit.line) for unit in self.units)
        there = {
            "busy_us": len(busy),
            "prompt_us": sum(bool(unit.pieces) for unit in busy),
            "stream_us": sum(len(unit.rows) for unit in busy),
            "kv_token_us": sum(unit.kv for unit in busy),
            "block_us": sum(unit.held for unit in busy),
            "queue_us": waiting,
        }
        while now < until:
            minute_ends = min((now // MINUTE_US + 1) * MINUTE_US, until)
            for name, number in there.items():
                self.minutes[name, int(now // MINUTE_US)] += number * (minute_ends - now)
            now = minute_ends

    def count(self, name: str, at: float, number: float) -> None:
        self.minutes[name, int(at // MINUTE_US)] += number

    def takes(self, unit: Unit, now: float) -> bool:
        lives, number = self.lives, unit.number
        return bool(lives.serve_us[number] <= now < lives.stop_us[number])

    def loads(self, now: float) -> list[Load]:
        return [unit.load() for unit in self.units if self.takes(unit, now)]

    def arrive(self, request: Asked, now: float) -> None:
        request.arrival = request.tried = now
        self.came.append(request.seq)
        self.sample(now)
        last = request.prompt + max(request.output, 1) - 1
        too_long = request.tokens + request.output > self.replica.longest_tokens
        if too_long or self.blocks(last) + self.replica.stream_blocks > self.replica.kv_blocks:
            request.status = "rejected-length"
            self.ended(request, now)
            request.hits = request.done
        elif self.has_blocks and (self.rules.block_tokens or self.balancer.name == "prefix-aware"):
            self.arrive_by_blocks(request, now)
        else:
            request.hits = request.done
            self.dispatch(request, now, limited=True)

    def arrive_by_blocks(self, request: Asked, now: float) -> None:
        sticky, held = (self.block_units.get(request.blocks[0]) if request.blocks else None), 0
        while (
            held < len(request.blocks) and sticky is not None and self.block_units.get(request.blocks[held]) == sticky
        ):
            held += 1
        loads = self.loads(now)
        hits, request.done = request.done, min(held * self.rules.block_tokens, request.prompt)
        if not self.rules.block_tokens:
            request.done = hits
        if loads:
            self.balancer.last = self.balancer.pick(request, loads, sticky)
            self.block_units |= dict.fromkeys(request.blocks, self.balancer.last)
        if self.rules.block_tokens:
            found = request.done if loads and self.balancer.last == sticky else 0
            request.done = request.hit = min(found, request.prompt - 1)
        request.hits = request.done
        if loads:
            self.join(request, self.units[self.balancer.last], now, limited=True)
        else:
            self.unassigned.append(request)

    def sample(self, now: float) -> None:
        if now < self.next_sample:
            return
        self.next_sample = (now // SAMPLE_US + 1) * SAMPLE_US
        units = [unit for unit in self.units if self.takes(unit, now)]
        loads = [unit.load() for unit in units]
        columns = [
            [load.keys[1] for load in loads],
            [load.number for load in loads],
            [unit.kv for unit in units],
            [len(unit.rows) for unit in units],
        ]
        self.samples.append((now, *(max(each) * len(each) / sum(each) if sum(each) else 1.0 for each in columns)))

    def dispatch(self, request: Asked, now: float, limited: bool) -> None:
        if not (loads := self.loads(now)):
            self.unassigned.append(request)
            return
        self.join(request, self.units[self.balancer.choose(request, loads)], now, limited)

    def join(self, request: Asked, unit: Unit, now: float, limited: bool) -> None:
        limit = self.rules.queue_limit
        if limited and limit and len(unit.line) >= limit and not request.begun:
            self.reject(request, "rejected-queue", now)
            return
        unit.line.append(request)
        if not unit.running:
            unit.next = now

    def reject(self, request: Asked, status: str, now: float) -> None:
        if request.tries < self.rules.retries:
            request.tries += 1
            request.tried = now + self.rules.retry_after_us
            request.anew()
            self.again.append(request)
        else:
            request.status = status
            self.ended(request, now)

    def ended(self, request: Asked, now: float) -> None:
        for seq in self.followers[request.seq]:
            heappush(self.coming, (now + float(self.think[seq]), seq))

    def blocks(self, tokens: int) -> int:
        return -(-tokens // self.replica.block_tokens)

    def free(self, unit: Unit) -> int:
        return self.replica.kv_blocks - unit.held

    def boundary(self, unit: Unit, now: float) -> None:
        if unit.rows or unit.pieces:
            self.end_step(unit, now)
        unit.rows, unit.pieces, unit.next = [], [], inf
        for request in [each for each in unit.running if each.made >= max(each.output, 1)]:
            unit.running.remove(request)
            request.status, request.unit, request.step = "completed", unit.number, unit.row_steps
            request.finish = now + self.told_us(request)
            self.ended(request, request.finish)
        if unit.leaving:
            self.hand_over(unit, now)
        else:
            self.begin_step(unit, now)
        if unit.drain <= now and np.isnan(unit.drained) and not (unit.running or unit.line):
            unit.drained = now - unit.drain

    def told_us(self, request: Asked) -> float:
        return self.replica.first_us + self.replica.first_us_per_token * request.prompt

    def end_step(self, unit: Unit, now: float) -> None:
        unit.steps += 1
        unit.row_steps += bool(unit.rows)
        self.count("steps", now, 1)
        self.count("output_tokens", now, len(unit.rows))
        for request in unit.rows:
            request.done, request.made = request.done + 1, request.made + 1
            request.goal = request.done
        for request, piece in unit.pieces:
            request.done += piece
            if request.done == request.goal:
                request.made += 1
                if request.made == 1:
                    request.first = now + self.told_us(request)
                else:
                    self.count("output_tokens", now, 1)

    def begin_step(self, unit: Unit, now: float) -> None:
        if self.replica.prefill_first:
            self.take_pieces(unit, now, self.replica.max_batched_tokens, line=True)
            if not unit.pieces:
                self.take_rows(unit)
        else:
            before = unit.preempted
            self.take_rows(unit)
            room = self.replica.max_batched_tokens - len(unit.rows)
            self.take_pieces(unit, now, room, line=unit.preempted == before)
        if not (unit.rows or unit.pieces):
            return
        pieces = [(piece, request.done) for request, piece in unit.pieces]
        lasts = step_us(self.replica, len(unit.rows), unit.kv, pieces)
        unit.next = now + lasts
        minute = int(now // MINUTE_US)
        self.most_blocks[minute] = max(self.most_blocks[minute], unit.held)
        self.count("prompt_tokens", now, sum(piece for piece, _ in pieces))

    def take_rows(self, unit: Unit) -> None:
        """Every row in order of admission needs room for its token, or else the last admitted has to go."""
        for request in list(unit.running):
            if request not in unit.running or request.done < request.goal:
                continue
            more = self.blocks(request.done + 1) + self.replica.stream_blocks - request.held
            while more > self.free(unit) and request in unit.running:
                self.preempt(unit)
            if request in unit.running:
                request.held += more
                unit.rows.append(request)

    def preempt(self, unit: Unit) -> None:
        request = unit.running.pop()
        request.preempted += 1
        unit.preempted += 1
        request.done = 0 if request.made else request.hit
        request.hit, request.goal, request.held = request.done, request.prompt + request.made, 0
        unit.line.insert(0, request)

    def take_pieces(self, unit: Unit, now: float, room: int, line: bool) -> None:
        """What is left of the step's tokens goes to the prompt that was begun, and then to the line."""
        if unit.running and (begun := unit.running[-1]).done < begun.goal:
            piece = min(begun.goal - begun.done, room)
            more = self.blocks(begun.done + piece) + self.replica.stream_blocks - begun.held
            if more > self.free(unit):
                self.preempt(unit)
                return
            begun.held += more
            unit.pieces.append((begun, piece))
            room -= piece
        while line and unit.line and room > 0 and len(unit.running) < self.replica.max_sequences:
            request = unit.line[0]
            if self.blocks(request.goal) + self.replica.stream_blocks > self.free(unit):
                return
            unit.line.pop(0)
            if not request.begun and now - request.tried > self.rules.timeout_us:
                self.reject(request, "rejected-timeout", now)
                continue
            piece = min(request.goal - request.done, room)
            request.held = self.blocks(request.done + piece) + self.replica.stream_blocks
            request.begun = request.begun_here = True
            unit.running.append(request)
            unit.pieces.append((request, piece))
            room -= piece

    def change(self, now: float, kind: int, number: int) -> None:
        """What happens to the fleet."""
        unit = self.units[number]
        if kind == ASSIGN:
            requests, self.unassigned = self.unassigned, []
            for request in requests:
                request.anew()
                self.dispatch(request, now, limited=True)
        elif kind == DRAIN:
            staying = 0
            while staying < len(unit.line) and unit.line[staying].begun_here:
                staying += 1
            unit.line, requests = unit.line[:staying], unit.line[staying:]
            unit.drain, unit.drained = now, nan if unit.running else 0.0
            self.send(requests, now)
        elif kind == DEADLINE:
            unit.leaving = bool(unit.running)
        elif kind == FAIL:
            requests = self.take_all(unit)
            for request in requests:
                request.lost += 1
                unit.lost[request.made > 0] += 1
            self.send(requests, now)

    def take_all(self, unit: Unit) -> list[Asked]:
        requests = unit.running + unit.line
        unit.running, unit.line, unit.rows, unit.pieces, unit.next = [], [], [], [], inf
        return requests

    def hand_over(self, unit: Unit, now: float) -> None:
        unit.leaving = False
        requests = self.take_all(unit)
        for request in requests:
            request.moved += 1
            unit.moved += 1
        self.send(requests, now)

    def send(self, requests: list[Asked], now: float) -> None:
        for request in requests:
            request.anew()
            self.dispatch(request, now, limited=False)


def asked(requests: Requests, seq: int, routed: bool) -> Asked:
    columns = (requests.arrival_us, requests.input_tokens, requests.cached_input_tokens, requests.output_tokens)
    arrival, tokens, cached, output = (int(column[seq]) for column in columns)
    blocks: list[int] = []
    if requests.block_from is not None and requests.block_ids is not None:
        blocks = requests.block_ids[requests.block_from[seq] : requests.block_from[seq + 1]].tolist()
    prompt = max(tokens, 1)
    there = 0 if routed else min(cached, prompt - 1)
    return Asked(
        seq=seq,
        arrival=float(arrival),
        tokens=tokens,
        prompt=prompt,
        output=output,
        session=int(requests.session_id[seq]),
        blocks=blocks,
        cached=there,
        hit=there,
        done=there,
        goal=prompt,
    )
