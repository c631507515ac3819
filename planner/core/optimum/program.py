"""The mixed-integer program whose least value no policy can go under. Pure.

Two classes of policies are bounded apart, since the replay treats them apart, and the lower of the two bounds holds for
every policy: those that know a target ahead, so that leaving units drain before the boundary, and the late ones, whose
units drain from it on. Times count in intervals here, and n[t] are the units of a role that the targets hold, after
the floor; of units that share nodes, the nodes that they need, each with all its places used. Why no schedule that the
replay accepts is worth less than the program's least value:

**Units.** Targets are whole, not under the floor, and within the fleet's nodes: so is n.

**What serves.** The newest leave first, so of the units held at t those that were there k + 1 boundaries before number
min(n[t-k-1..t]), and excess(k) = max over j <= k + 1 of n[t] - n[t-j] joined since. A unit loads for start_up_s from
joining on: with o[k] the part of its (k+1)-th interval that this takes, the units lose sum (o[k] - o[k+1]) excess(k).
This is convex, so rows `excess >= n[t] - n[t-j]` state it exactly. Drains ahead of a boundary are the same with time
reversed. Where loading and draining of one unit can overlap (start-up + drain longer than an interval), a unit that
leaves without having served can be struck out: what serves stays, what is charged falls. Others live for at least
floor(start_up / interval) + 1 intervals, in which the loading and a drain cut to the rest of that time do not overlap:
both are lost; and so is at least the whole drain. The greater is taken.

**Warm starts.** Where units keep their weights, every unit is taken to start warm, which is the least that it loses;
whether times overlap is judged by a cold start. A service that wakes has the units of a schedule that holds them.

**What falls short.** Tokens beyond what serving node-seconds carry; rounding to whole tokens only adds to it.

**What is charged, ahead.** Units join and leave at boundaries: n times nodes, exactly.

**What is charged, late.** A leaving unit that has served is charged for the drain on top. A joining one may wait for
nodes of leaving ones, for the drain's time at most, and is not charged meanwhile. Where start-up + drain are within an
interval, all leaving units are gone at one moment: waiting takes a fleet whose target and leaving units are more than
its nodes (`full`), and the nodes that wait are at most those that leave plus what is left of a unit's size. Every unit
serves before it leaves and so drains, but where both times fill an interval: then not one that waited in the interval
before (`unserved`). Elsewhere waiting is given to every unit that joins, and units that never serve are struck out.

**Units that share nodes.** Units take the lowest free place and leave the highest first. Where none drains for longer
than an interval they stand side by side from the first place on, so the one in the lowest place of a node is there
whenever another on it is: it alone decides how long the node is held. Were all places of the node held as long, no node
would be held longer, and in each place a unit would serve from as early or earlier to as late or later. So with every
schedule of single units goes one of whole nodes that holds the same nodes, serves as much or more, and keeps the floor.
In longer drains (late) units may join beside leaving ones. Then a unit waits only while every place is taken, so that
never fewer nodes are held than the target's units need: these are charged, without drains or starts; and in no order of
leaving do more units serve than were held throughout the time of loading. A node that starts is charged for the start
of one unit at least.

**What falls short of units that do both.** A share of an interval's work, and so the same share of its tokens of both
kinds: a second of a unit that is missing costs the interval's tokens over the seconds of a unit that they take.

**Value of training.** Lent nodes are those free, up to a limit, called back newest first: each level of the number of
lent nodes is a set of windows, each worth its length less the restore time. So more free nodes are never worth less,
and restoring is, like loading, a convex function of the lent nodes. Windows under the shortest length, which the
replay leaves idle, are counted as worth something. For late policies a restore is counted per leaving node that no
waiting one takes, cut to the shortest window; with a limit on lent nodes, or where waiting is given freely, none.

**Minimum times, starts.** The inequalities of unit commitment: units started within the minimum time are still up,
stopped ones still down. They are left out where units were struck out. Units that share a node keep them together.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from planner.core.fleet.units import Units
from planner.core.optimum.problem import Objective, Problem, ProblemRole
from planner.units import Floats

Terms = Mapping[int, float]
"""A linear expression: factors by column."""

INF = float("inf")
ROUNDED = 1e-9
"""Part of a unit that counts as none. Assumed: over rounding in floating point."""
SCALE = 100.0
"""Factor of the row of the allowance. Measured: with it, and the solver's tolerance of 1e-7, what falls short is right
to about a token, and the published day is proven soonest."""


@dataclass(kw_only=True)
class Matrix:
    """Columns and rows as they are added, in order."""

    lower: list[float] = field(default_factory=list)
    upper: list[float] = field(default_factory=list)
    cost: list[float] = field(default_factory=list)
    whole: list[int] = field(default_factory=list)
    rows: list[tuple[float, Terms, float]] = field(default_factory=list)

    def column(self, lower: float, upper: float, *, whole: bool = False) -> int:
        """A new variable; its number."""
        self.lower.append(lower)
        self.upper.append(upper)
        self.cost.append(0.0)
        if whole:
            self.whole.append(len(self.cost) - 1)
        return len(self.cost) - 1

    def row(self, terms: Terms, lower: float = -INF, upper: float = INF) -> None:
        """lower <= terms <= upper."""
        self.rows.append((lower, terms, upper))

    def charge(self, terms: Terms, factor: float = 1.0) -> None:
        """Add a multiple of the terms to what is minimised."""
        for column, value in terms.items():
            self.cost[column] += factor * value


def plus(*parts: tuple[float, Terms]) -> dict[int, float]:
    """The sum of multiples of expressions."""
    total: dict[int, float] = {}
    for factor, terms in parts:
        for column, value in terms.items():
            total[column] = total.get(column, 0.0) + factor * value
    return total


def phases(seconds: int, interval_s: int) -> list[tuple[int, float]]:
    """(k, o[k] - o[k+1]) where that is not 0; o[k] is the part of the (k+1)-th interval within the time."""
    whole, rest = divmod(seconds, interval_s)
    weights = [(whole - 1, 1 - rest / interval_s), (whole, rest / interval_s)]
    return [(k, weight) for k, weight in weights if k >= 0 and weight > 0]


@dataclass(frozen=True, kw_only=True)
class _Columns:
    """A role's columns by interval: units held, started, stopped; late ones: those waiting, those that leave unserved;
    tokens short in units."""

    held: list[int]
    started: list[int]
    stopped: list[int]
    waiting: list[int]
    unserved: list[int]
    short: list[int]


class Program:
    """The program of one class of policies. objective None: the least shortfall, whatever it takes.

    Values are node-intervals; for None, tokens in units of `token_unit`. step: what values of schedules are multiples
    of; 0 where that is not known.
    """

    def __init__(self, problem: Problem, objective: Objective | None, *, ahead: bool) -> None:
        self.problem, self.ahead = problem, ahead
        self.matrix = Matrix()
        self.step = 0.0
        fleet, self.interval_s = problem.deployment.settings, problem.interval_s
        self.start_s, self.drain_s = fleet.warm_start_up_s, fleet.drain_deadline_s
        self.longest_s = fleet.start_up_s + self.drain_s
        self.exact = self.longest_s <= self.interval_s
        # units of one role never wait for leaving ones unless these drain beyond the next boundary
        self.alone = problem.deployment.aggregated
        self.beside = self.alone and not ahead and self.drain_s > self.interval_s
        # where nothing may fall short, no fewer units than carry the demand, in whole units
        self.covering = objective is not None and problem.allowed_tokens == 0
        self.columns = {role.name: self._columns(role) for role in problem.roles}
        self.token_unit = max(float(self._block_tokens(role).max()) for role in problem.roles)
        for role in problem.roles:
            self._movement(role)
            self._coverage(role)
        for t in range(problem.count):
            self.matrix.row(self._nodes(t), upper=problem.nodes)
        if not ahead and self.exact and not self.alone:
            self._waiting()
        short = plus(*(self._short_tokens(role) for role in problem.roles))
        if objective is None:
            self.matrix.charge(short)
            return
        allowed = problem.allowed_tokens / self.token_unit
        self.matrix.row(plus((SCALE, short)), upper=SCALE * allowed)
        self._charges(objective)
        if objective == "node-hours":
            self.step = self._step()

    def keep(self, schedule: Sequence[Units], window: range) -> None:
        """Hold the schedule's units outside a window of intervals."""
        for role in self.problem.roles:
            for t, column in enumerate(self.columns[role.name].held):
                if t not in window:
                    self.matrix.lower[column] = self.matrix.upper[column] = role.blocks(schedule[t])

    def start(self, schedule: Sequence[Units]) -> dict[int, float]:
        """The values of a schedule's columns."""
        return {
            column: float(role.blocks(units))
            for role in self.problem.roles
            for column, units in zip(self.columns[role.name].held, schedule, strict=True)
        }

    def targets(self, values: list[float]) -> list[Units]:
        """The schedule of a solution."""
        held = [
            [role.of_blocks(round(values[column])) for column in self.columns[role.name].held]
            for role in self.problem.roles
        ]
        return [sum(units, Units()) for units in zip(*held, strict=True)]

    def short_tokens(self, values: list[float]) -> list[tuple[float, ...]]:
        """Tokens short by role in every interval of a solution."""
        parts = [
            [values[column] * each for column, each in zip(self.columns[role.name].short, block, strict=True)]
            for role, block in ((role, self._block_tokens(role).tolist()) for role in self.problem.roles)
        ]
        return list(zip(*parts, strict=True))

    def _columns(self, role: ProblemRole) -> _Columns:
        matrix, needed = self.matrix, self._needed(role)
        least = [role.floor] * self.problem.count
        if self.covering:
            least = [min(int(units), role.most) for units in role.covering(self.interval_s)]
        # nothing moves before the first boundary; only late units wait, and only in full intervals leave unserved
        never = self.problem.count
        waiting = self.exact and not self.ahead and not self.alone
        waits = 1 if waiting else never
        leaves_unserved = 2 if waiting and self.longest_s == self.interval_s else never
        return _Columns(
            held=[matrix.column(units, self._most(role), whole=True) for units in least],
            started=self._moving(role, 1),
            stopped=self._moving(role, 1),
            waiting=self._moving(role, waits),
            unserved=self._moving(role, leaves_unserved),
            short=[matrix.column(0, blocks) for blocks in needed],
        )

    def _moving(self, role: ProblemRole, first: int) -> list[int]:
        """A column by interval of units that move, none before the first."""
        room = self._most(role) - role.floor
        return [self.matrix.column(0, room if t >= first else 0) for t in range(self.problem.count)]

    def _most(self, role: ProblemRole) -> int:
        """The most units to consider: ahead, more than the floor of a role without demand only cost."""
        return role.floor if self.ahead and not role.demand.any() else role.most

    def _step(self) -> float:
        """What charged node-intervals are multiples of: all units come, wait, drain and leave in whole steps."""
        moving = (self._most(role) > role.floor for role in self.problem.roles)
        steps = (
            role.nodes * (1 if moves else role.floor) for role, moves in zip(self.problem.roles, moving, strict=True)
        )
        nodes = math.gcd(*steps)
        seconds = self.interval_s if self.ahead else math.gcd(self.interval_s, self.drain_s)
        return nodes * seconds / self.interval_s

    def _movement(self, role: ProblemRole) -> None:
        """Units held change by those started and stopped; minimum times of both."""
        matrix, columns, problem = self.matrix, self.columns[role.name], self.problem
        for t in range(1, problem.count):
            change = {columns.held[t]: 1.0, columns.held[t - 1]: -1.0, columns.started[t]: -1.0}
            matrix.row({**change, columns.stopped[t]: 1.0}, 0, 0)
        if not self.exact:
            return
        for t in range(1, problem.count):
            up, down = (range(max(1, t - length + 1), t + 1) for length in self._minimum_intervals())
            if len(up) > 1:
                matrix.row({columns.held[t]: 1.0, **{columns.started[k]: -1.0 for k in up}}, lower=0)
            if len(down) > 1:
                exist = problem.nodes // role.nodes
                matrix.row({columns.held[t]: 1.0, **{columns.stopped[k]: 1.0 for k in down}}, upper=exist)

    def _minimum_intervals(self) -> tuple[int, int]:
        return self.problem.intervals(self.problem.min_up_s), self.problem.intervals(self.problem.min_down_s)

    def _coverage(self, role: ProblemRole) -> None:
        """What serves, and what falls short, carry the demand."""
        columns, needed = self.columns[role.name], self._needed(role)
        held = [{column: 1.0} for column in columns.held]
        loading = self._excesses(held, self.start_s, before=True, first=columns.started)
        draining, whole_drain = None, None
        if self.ahead:
            leaving = [*columns.stopped[1:], columns.stopped[0]]
            longest = (self.start_s // self.interval_s + 1) * self.interval_s - self.start_s
            draining = self._excesses(held, min(self.drain_s, longest), before=False, first=leaving)
            if self.drain_s > longest:
                whole_drain = self._excesses(held, self.drain_s, before=False)
        self._rounding(role)
        for t, blocks in enumerate(needed):
            there = plus((1.0, held[t]), (1.0, {columns.short[t]: 1.0}))
            lost = plus((1.0, loading[t]), (1.0, draining[t] if draining else {}))
            if not self.ahead and self.exact:
                lost[columns.waiting[t]] = self.drain_s / self.interval_s
            self.matrix.row(plus((1.0, there), (-1.0, lost)), lower=blocks)
            if whole_drain:
                self.matrix.row(plus((1.0, there), (-1.0, whole_drain[t])), lower=blocks)

    def _rounding(self, role: ProblemRole) -> None:
        """What the last unit that the demand fills only in part leaves short when it is not held (integer rounding).

        Redundant for whole units, and most of what keeps the relaxation near them.
        """
        columns, needed = self.columns[role.name], role.demand / self._block_tokens(role)
        whole = np.ceil(needed - ROUNDED)
        for t, part in enumerate(needed - whole + 1):
            if ROUNDED < part < 1:
                row = {columns.short[t]: 1.0, columns.held[t]: float(part)}
                self.matrix.row(row, lower=float(part * whole[t]))

    def _excesses(
        self, levels: list[dict[int, float]], seconds: int, *, before: bool, first: list[int] | None = None
    ) -> list[dict[int, float]]:
        """By interval, the part of it times units that joined, or will leave, within the seconds.

        first: columns of the units that joined last, or will leave next, where there are such.
        """
        count, step = len(levels), -1 if before else 1
        lost: list[dict[int, float]] = [{} for _ in range(count)]
        for k, weight in phases(seconds, self.interval_s):
            for t in range(count):
                others = [t + step * j for j in range(1, k + 2) if 0 <= t + step * j < count]
                if not others:
                    continue
                if k == 0 and first is not None:
                    lost[t][first[t]] = weight
                    continue
                excess = self.matrix.column(0, INF)
                for other in others:
                    self.matrix.row(plus((1.0, {excess: 1.0}), (-1.0, levels[t]), (1.0, levels[other])), lower=0)
                lost[t][excess] = weight
        return lost

    def _waiting(self) -> None:
        """Late joiners: only units that start, only in a full fleet, and hardly more nodes than leave."""
        matrix, problem = self.matrix, self.problem
        leftover = max(role.nodes for role in problem.roles) - 1
        for t in range(1, problem.count):
            full = matrix.column(0, 1, whole=True)
            leaving = plus(*((role.nodes, {self.columns[role.name].stopped[t]: 1.0}) for role in problem.roles))
            waiting = plus(*((role.nodes, {self.columns[role.name].waiting[t]: 1.0}) for role in problem.roles))
            matrix.row(plus((1.0, self._nodes(t)), (1.0, leaving), (-problem.nodes - 1.0, {full: 1.0})), lower=0)
            matrix.row(plus((1.0, leaving), (leftover, {full: 1.0}), (-1.0, waiting)), lower=0)
            for role in problem.roles:
                columns = self.columns[role.name]
                matrix.row({columns.started[t]: 1.0, columns.waiting[t]: -1.0}, lower=0)
                matrix.row({columns.stopped[t]: 1.0, columns.unserved[t]: -1.0}, lower=0)
                matrix.row({columns.waiting[t - 1]: 1.0, columns.unserved[t]: -1.0}, lower=0)
                matrix.row({full: float(role.most - role.floor), columns.waiting[t]: -1.0}, lower=0)

    def _charges(self, objective: Objective) -> None:
        """What is minimised."""
        problem, matrix = self.problem, self.matrix
        for t in range(problem.count):
            matrix.charge(self._charged_nodes(t))
        if objective == "node-hours":
            return
        if problem.start_usd and not self.beside:
            for role in problem.roles:
                starts = dict.fromkeys(self.columns[role.name].started, 1.0)
                matrix.charge(starts, problem.start_node_s / self.interval_s)
        if problem.training_value_ratio:
            useful = self._useful_by_interval() if self.ahead or self.exact else self._useful_at_most()
            matrix.charge(useful, -problem.training_value_ratio)

    def _charged_nodes(self, t: int) -> dict[int, float]:
        """Nodes that inference is charged for in an interval, in the mean."""
        charged = self._nodes(t)
        if self.ahead or self.beside:
            return charged
        left_s = (self.problem.count - t) * self.interval_s
        drain = min(self.drain_s, left_s) / self.interval_s
        for role in self.problem.roles:
            columns = self.columns[role.name]
            spared = (columns.waiting[t], columns.unserved[t]) if self.exact or self.alone else (columns.started[t],)
            charged[columns.stopped[t]] = drain * role.nodes
            charged.update(dict.fromkeys(spared, -drain * role.nodes))
        return charged

    def _useful_by_interval(self) -> dict[int, float]:
        """Useful training in node-intervals: lent nodes, less what restores."""
        matrix, problem = self.matrix, self.problem
        lent = [{matrix.column(0, problem.lent_at_most()): 1.0} for _ in range(problem.count)]
        for t, level in enumerate(lent):
            matrix.row(plus((1.0, level), (1.0, self._charged_nodes(t))), upper=problem.nodes)
        restore_s = problem.training.restore_s
        if self.ahead:
            restoring: Iterable[Terms] = self._excesses(lent, restore_s, before=True)
        else:
            restoring = self._late_restores(min(restore_s, self.interval_s - self.drain_s))
        return plus(*((1.0, level) for level in lent), *((-1.0, terms) for terms in restoring))

    def _late_restores(self, restore_s: int) -> list[Terms]:
        """Restoring of late policies: nodes that leave, less those that waiting units take."""
        if self.problem.lent_at_most() < self.problem.nodes:
            return []
        restoring: list[Terms] = []
        for t in range(1, self.problem.count):
            freed = self.matrix.column(0, INF)
            row = {freed: 1.0}
            for role in self.problem.roles:
                columns = self.columns[role.name]
                row[columns.stopped[t]] = -float(role.nodes)
                row[columns.waiting[t]] = row[columns.unserved[t]] = float(role.nodes)
            self.matrix.row(row, lower=0)
            restoring.append({freed: restore_s / self.interval_s})
        return restoring

    def _useful_at_most(self) -> dict[int, float]:
        """Useful training over the whole plan: what is left of the fleet, up to the limit."""
        problem = self.problem
        useful = {self.matrix.column(0, problem.count * problem.lent_at_most()): 1.0}
        charged = ((1.0, self._charged_nodes(t)) for t in range(problem.count))
        self.matrix.row(plus((1.0, useful), *charged), upper=problem.nodes * problem.count)
        return useful

    def _nodes(self, t: int) -> dict[int, float]:
        return {self.columns[role.name].held[t]: float(role.nodes) for role in self.problem.roles}

    def _block_tokens(self, role: ProblemRole) -> Floats:
        """Tokens that a block carries in each interval."""
        return role.block_tokens(self.interval_s)

    def _needed(self, role: ProblemRole) -> list[float]:
        """Blocks, in parts of one, that carry each interval's demand throughout."""
        needed: list[float] = (role.demand / self._block_tokens(role)).tolist()
        return needed

    def _short_tokens(self, role: ProblemRole) -> tuple[float, Terms]:
        """What falls short, in units of `token_unit`."""
        short = (self._block_tokens(role) / self.token_unit).tolist()
        return 1.0, dict(zip(self.columns[role.name].short, short, strict=True))
