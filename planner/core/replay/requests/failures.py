"""Nodes that fail: lives of units cut short and restarted, and how many spare units a target takes. Pure.

Nodes fail independently and at a constant rate while they serve or drain; a node takes its whole unit down, and after a
fixed time the unit serves again. A unit that still loads does not fail.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import exp, fsum, inf, lgamma, log, log1p

import numpy as np

from planner.core.replay.requests.model import Lives
from planner.errors import UsageError
from planner.units import Ints

MOST_SPARES = 1000
"""Spare units of a role that are tried. Assumed: a fleet that needs more has another problem."""


@dataclass(frozen=True)
class UnitFailures:
    """How units of a role fail: once in mtbf_us of service in the mean (inf: never); down_us later they serve again."""

    mtbf_us: float
    down_us: float

    @property
    def availability(self) -> float:
        """Share of the time that a unit serves: MTBF / (MTBF + time down); 1 where it never fails."""
        return 1.0 if self.mtbf_us == inf else self.mtbf_us / (self.mtbf_us + self.down_us)


@dataclass(frozen=True)
class RoleAvailability:
    """Units of a role: those needed, those planned, nodes of one, the share of the time that one serves."""

    needed: int
    planned: int
    nodes: int
    availability: float

    def attainment(self, spares: int) -> float:
        """Share of the time in which at least the needed units serve, of the planned and some spare ones."""
        return chance_of(self.planned + spares, self.needed, self.availability)

    def spare_nodes(self, spares: int) -> int:
        """Nodes of some spare units."""
        return spares * self.nodes


@dataclass(frozen=True, kw_only=True)
class PackedAvailability(RoleAvailability):
    """Units that share nodes, and fail with them: the share of the time is that of a node, nodes those of one."""

    units_per_node: int

    def attainment(self, spares: int) -> float:
        """The same: full nodes each carry as many units as share one, the last perhaps fewer."""
        full, rest = divmod(self.planned + spares, self.units_per_node)

        def enough(needed: int) -> float:
            return chance_of(full, -(-needed // self.units_per_node), self.availability)

        return self.availability * enough(self.needed - rest) + (1 - self.availability) * enough(self.needed)

    def spare_nodes(self, spares: int) -> int:
        """Nodes beyond those that the planned units hold, whose free places come first."""
        held = -(-self.planned // self.units_per_node)
        return (-(-(self.planned + spares) // self.units_per_node) - held) * self.nodes


def with_failures(
    lives: Lives, failures: UnitFailures, *, seed: int, role: int, end_us: float, nodes: Ints | None = None
) -> Lives:
    """The lives of units that fail and serve again until end_us; every later life is a unit of its own, at the end.

    Units there at time 0 are then down as often as in the long run. Every unit has draws of its own, by seed, role and
    number, so further units change nothing for the others. Drain and deadline stay those of the plan. nodes: of units
    that share them, (units,): these fail with their node, whose draws are by its number.
    """
    if failures.mtbf_us == inf:
        return lives
    rows, later = [], []
    for unit, (serve, drain, gone) in enumerate(zip(lives.serve_us, lives.drain_us, lives.gone_us, strict=True)):
        rng = np.random.default_rng((seed, role, unit if nodes is None else int(nodes[unit])))
        own = _lives_of_one if nodes is None else _lives_on_node
        first, *others = own(float(serve), float(drain), float(gone), failures, rng, end_us)
        rows.append(first)
        later += others
    return Lives(*np.array([*rows, *later], np.float64).reshape(-1, 4).T)


def _lives_of_one(
    serve_us: float, drain_us: float, gone_us: float, failures: UnitFailures, rng: np.random.Generator, end_us: float
) -> Iterator[tuple[float, float, float, float]]:
    """When a unit serves, drains, is gone and fails, life after life; at least one."""
    if serve_us <= 0 and rng.random() >= failures.availability:
        # down at the origin: the rest of a fixed time, looked at from a random moment in it
        serve_us = rng.random() * failures.down_us
    serve_us = min(serve_us, drain_us)
    while True:
        fail_us = serve_us + rng.exponential(failures.mtbf_us)
        if serve_us == drain_us or fail_us > min(gone_us, end_us):
            yield serve_us, drain_us, gone_us, inf
            return
        yield serve_us, drain_us, gone_us, fail_us
        serve_us = fail_us + failures.down_us
        if serve_us >= min(drain_us, end_us):
            return


def _lives_on_node(
    serve_us: float, drain_us: float, gone_us: float, failures: UnitFailures, rng: np.random.Generator, end_us: float
) -> Iterator[tuple[float, float, float, float]]:
    """The same of a unit on a node that fails whether or not the unit serves; a unit begins when the node is back."""
    back_us = rng.random() * failures.down_us if rng.random() >= failures.availability else 0.0
    while True:
        serve_us = min(max(serve_us, back_us), drain_us)
        fail_us = back_us + rng.exponential(failures.mtbf_us)
        back_us = fail_us + failures.down_us
        if fail_us < serve_us:
            continue
        if serve_us == drain_us or fail_us > min(gone_us, end_us):
            yield serve_us, drain_us, gone_us, inf
            return
        yield serve_us, drain_us, gone_us, fail_us
        if back_us >= min(drain_us, end_us):
            return


def with_spares(lives: Lives, spares: int) -> Lives:
    """The same with further units that are always there, after the others."""
    always = (np.zeros(spares), *(np.full(spares, inf) for _ in range(3)))
    columns = zip((lives.serve_us, lives.drain_us, lives.gone_us, lives.fail_us), always, strict=True)
    return Lives(*(np.concatenate(pair) for pair in columns))


def chance_of(units: int, needed: int, availability: float) -> float:
    """Probability that at least `needed` of so many units serve, each by itself with a probability (binomial)."""
    if needed <= 0 or availability == 1.0:
        return 1.0 if units >= needed else 0.0
    if availability == 0.0 or units < needed:
        return 0.0

    def log_chance(down: int) -> float:
        ways = lgamma(units + 1) - lgamma(down + 1) - lgamma(units - down + 1)
        return ways + down * log1p(-availability) + (units - down) * log(availability)

    return min(1.0, fsum(exp(log_chance(down)) for down in range(units - needed + 1)))


def fewest_spares(prefill: RoleAvailability, decode: RoleAvailability, target: float) -> tuple[int, int]:
    """Spare units of each role with the fewest nodes such that both roles together attain a target.

    Of equally many nodes those that attain more. Raises UsageError where MOST_SPARES are not enough.
    """
    best: tuple[int, float, int, int] | None = None
    for first in range(MOST_SPARES + 1):
        if best is not None and first * prefill.nodes > best[0]:
            break
        chance = prefill.attainment(first)
        second = _spares(decode, target / chance) if chance >= target else None
        if second is None:
            continue
        nodes = first * prefill.nodes + second * decode.nodes
        candidate = (nodes, -chance * decode.attainment(second), first, second)
        best = candidate if best is None else min(best, candidate)
    if best is None:
        up = ", ".join(
            f"{name} units {role.availability:.2%}" for name, role in (("prefill", prefill), ("decode", decode))
        )
        raise UsageError(
            f"{MOST_SPARES} spare units do not attain {target:g} ({up} available); "
            "lower the target, failures.repair_s or failures.per_node_per_day"
        )
    return best[2], best[3]


def fewest_spares_of(role: RoleAvailability, target: float) -> int:
    """The fewest spare units of the only role that attain a target. Raises UsageError where MOST_SPARES do not."""
    spares = _spares(role, target)
    if spares is None:
        raise UsageError(
            f"{MOST_SPARES} spare units do not attain {target:g} (units {role.availability:.2%} available); "
            "lower the target, failures.repair_s or failures.per_node_per_day"
        )
    return spares


def _spares(role: RoleAvailability, target: float) -> int | None:
    """The fewest spare units that attain a target; None where MOST_SPARES do not."""
    return next((count for count in range(MOST_SPARES + 1) if role.attainment(count) >= target), None)


def covered(roles: Sequence[tuple[Lives, Sequence[tuple[float, int]]]], from_us: float, to_us: float) -> float:
    """Share of a time in which at least the needed units of every role take work.

    roles: lives, and units needed from each of some moments on, the first of which is not after from_us.
    """
    changes = [np.concatenate([lives.serve_us, lives.stop_us, [at for at, _ in needs]]) for lives, needs in roles]
    edges = np.unique(np.clip(np.concatenate([*changes, [from_us, to_us]]), from_us, to_us))
    begins, lasts = edges[:-1], np.diff(edges)
    enough = np.ones(len(begins), np.bool_)
    for lives, needs in roles:
        takes_work = (lives.serve_us[:, None] <= begins) & (begins < lives.stop_us[:, None])
        since, least = (np.array(column) for column in zip(*needs, strict=True))
        enough &= takes_work.sum(axis=0) >= least[np.searchsorted(since, begins, "right") - 1]
    return float(lasts[enough].sum() / (to_us - from_us))
