"""Schedules that start a search, and the mending of those that fall a little short. Pure."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from planner.fleet.deployment import Units
from planner.optimum.problem import Problem, shortfall

_TRIES = 8
"""Places that mending tries before it takes the best of them. Assumed: a few suffice, as the worst come first."""

_HALVINGS = 12
"""Halvings of the price's range. Computed: a thousandth of a unit's use is left."""
_STEPS = 50
"""Units that mending adds at most. Assumed: it is for schedules that fall a little short."""


def covering(problem: Problem) -> list[Units]:
    """Perfect foresight: the fewest units that carry every interval, up early enough and down late enough.

    Where that is beyond the fleet, the interval's own units, and where these are, as many prefill units as there is
    room for, then decode units.
    """
    fleet = problem.deployment.settings
    before, after = problem.intervals(fleet.start_up_s), problem.intervals(fleet.drain_deadline_s)
    own = [np.minimum(role.covering(problem.interval_s), role.most) for role in problem.roles]
    wide = [np.array([units[max(0, t - after) : t + before + 1].max() for t in range(problem.count)]) for units in own]
    found = []
    for t in range(problem.count):
        target = Units(int(wide[0][t]), int(wide[1][t]))
        if problem.deployment.nodes(target) > problem.nodes:
            target = Units(int(own[0][t]), int(own[1][t]))
        found.append(_cut(problem, target))
    return found


def shedding(problem: Problem, *, ahead: bool = True) -> list[Units]:
    """Perfect foresight that uses the allowance: the last unit of an interval only where enough of it would be used.

    A token short has a price, the same for both roles; a unit is held where the tokens that it alone carries are worth
    its nodes. The price is the lowest, by bisection, with which the replay is within the allowance.
    """
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        missing = _missing(problem, _shed(problem, middle), ahead=ahead)
        low, high = (middle, high) if int(missing.sum()) <= problem.allowed_tokens else (low, middle)
    return _shed(problem, low)


def _shed(problem: Problem, use: float) -> list[Units]:
    """Units without the last one of an interval where under a share of it is used: `use` in the slower role."""
    slowest = min(role.tokens_per_s_per_node for role in problem.roles)
    held = []
    for role in problem.roles:
        unit_tokens = role.nodes * role.tokens_per_s_per_node * problem.interval_s
        left = role.demand - use * slowest / role.tokens_per_s_per_node * unit_tokens
        held.append(np.clip(np.ceil(left / unit_tokens).astype(np.int64), role.floor, role.most))
    return [_cut(problem, Units(int(prefill), int(decode))) for prefill, decode in zip(*held, strict=True)]


def mended(problem: Problem, targets: Sequence[Units], *, ahead: bool) -> list[Units] | None:
    """The schedule with units added where most falls short, until the replay is within the allowance.

    None where that takes many units, or adding them brings nothing any more.
    """
    current = list(targets)
    for _ in range(_STEPS):
        missing = _missing(problem, current, ahead=ahead)
        if int(missing.sum()) <= problem.allowed_tokens:
            return current
        best: tuple[float, list[Units]] | None = None
        for role, t in zip(
            *np.unravel_index(np.argsort(missing, axis=None)[::-1][:_TRIES], missing.shape), strict=True
        ):
            if not missing[role, t]:
                continue
            for first, last in ((t, t), (t - 1, t), (t, t + 1)):
                tried = _raised(problem, current, int(role), max(int(first), 0), int(last))
                if tried is None:
                    continue
                gained = int(missing.sum()) - int(_missing(problem, tried, ahead=ahead).sum())
                nodes = sum(problem.deployment.nodes(units) for units in tried)
                more = nodes - sum(problem.deployment.nodes(units) for units in current)
                if gained > 0 and (best is None or gained / more > best[0]):
                    best = gained / more, tried
        if best is None:
            return None
        current = best[1]
    return None


def keeps_times(problem: Problem, targets: Sequence[Units]) -> bool:
    """Whether units can stay up and down for the minimum times, the oldest leaving first."""
    lengths = problem.intervals(problem.min_up_s), problem.intervals(problem.min_down_s)
    for role in problem.roles:
        held = [getattr(units, role.name) for units in targets]
        changes = [0, *(two - one for one, two in pairwise(held))]
        for t in range(1, len(held)):
            up, down = (range(max(1, t - length + 1), t + 1) for length in lengths)
            if sum(max(changes[k], 0) for k in up) > held[t] and len(up) > 1:
                return False
            if sum(max(-changes[k], 0) for k in down) > problem.nodes // role.nodes - held[t] and len(down) > 1:
                return False
    return True


def _missing(
    problem: Problem, targets: Sequence[Units], *, ahead: bool
) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    return np.stack(shortfall(problem.replay(targets, ahead=ahead)))


def _raised(problem: Problem, targets: list[Units], role: int, first: int, last: int) -> list[Units] | None:
    """The schedule with one more unit of a role in some intervals; None beyond the plan or the fleet."""
    if last >= len(targets):
        return None
    raised = list(targets)
    for t in range(first, last + 1):
        raised[t] = Units(targets[t].prefill + (role == 0), targets[t].decode + (role == 1))
        if problem.deployment.nodes(raised[t]) > problem.nodes:
            return None
    return raised


def _cut(problem: Problem, target: Units) -> Units:
    """The target within the fleet: prefill first."""
    (prefill, decode), floor = problem.roles, problem.floor
    room = problem.nodes - floor.decode * decode.nodes
    held = min(target.prefill, room // prefill.nodes)
    return Units(held, min(target.decode, (problem.nodes - held * prefill.nodes) // decode.nodes))
