"""Schedules that start a search, and the repair of those that fall a little short. Pure."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from planner.core.fleet.units import Units
from planner.core.optimum.problem import Problem

Missing = np.ndarray[tuple[int, int], np.dtype[np.int64]]
"""Tokens that fall short, by role and interval."""

_TRIES = 8
"""Places that a repair tries before it takes the best of them. Assumed: a few suffice, as the worst come first."""
_HALVINGS = 12
"""Halvings of the price's range. Computed: a thousandth of a unit's use is left."""
_STEPS = 20
"""Units that a repair adds at most. Assumed: it is for schedules that fall a little short."""


def starting_schedules(problem: Problem) -> Iterator[list[Units]]:
    """Perfect foresight: a schedule that covers the demand, and some that use the allowance.

    Units are up early by the start-up and down late by the drain, in whole intervals, or not.
    """
    fleet = problem.deployment.settings
    before, after = problem.intervals(fleet.start_up_s), problem.intervals(fleet.drain_deadline_s)
    yield _held(problem, 0.0, before, after)
    for early, late in dict.fromkeys(((0, 0), (before, 0), (0, after), (before, after))):
        yield _shedding(problem, early, late)


def _shedding(problem: Problem, early: int, late: int) -> list[Units]:
    """The schedule that uses the allowance: the last unit of an interval only where enough of it would be used.

    A token short has a price, the same for both roles; a unit is held where the tokens that it alone carries are worth
    its nodes. The price is the lowest, by bisection, with which the replay is within the allowance.
    """
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        missing = _missing(problem, _held(problem, middle, early, late), ahead=True)
        low, high = (middle, high) if int(missing.sum()) <= problem.allowed_tokens else (low, middle)
    return _held(problem, low, early, late)


def _held(problem: Problem, use: float, early: int, late: int) -> list[Units]:
    """Blocks that carry the demand, without the last one where under a share of it is used: `use` in the slowest.

    Up early and down late by intervals, as far as the fleet has room beside the others' own, prefill first.
    """
    slowest = min(float(role.tokens_per_s_per_node.min()) for role in problem.roles)
    own, wide = [], []
    for role in problem.roles:
        blocks = role.covering(problem.interval_s)
        if use:
            block_tokens = role.block_tokens(problem.interval_s)
            left = role.demand - use * slowest / role.tokens_per_s_per_node * block_tokens
            blocks = np.clip(np.ceil(left / block_tokens).astype(np.int64), role.floor, None)
        blocks = np.minimum(blocks, role.most)
        own.append(blocks)
        wide.append([int(blocks[max(0, t - late) : t + early + 1].max()) for t in range(problem.count)])
    return [_within(problem, [int(each[t]) for each in own], [each[t] for each in wide]) for t in range(problem.count)]


def _within(problem: Problem, own: list[int], wide: list[int]) -> Units:
    """As many blocks of each role as it wants, within the fleet and beside what the others carry the demand with."""
    if len(problem.roles) == 1:
        return problem.roles[0].of_blocks(wide[0])
    prefill, decode = problem.roles
    reserved = max(decode.floor, min(own[1], (problem.nodes - own[0] * prefill.nodes) // decode.nodes))
    first = min(wide[0], (problem.nodes - reserved * decode.nodes) // prefill.nodes)
    second = min(wide[1], (problem.nodes - first * prefill.nodes) // decode.nodes)
    return prefill.of_blocks(first) + decode.of_blocks(second)


def repair(problem: Problem, targets: Sequence[Units], *, ahead: bool) -> list[Units] | None:
    """The schedule with units added where most falls short, until the replay is within the allowance.

    None where that takes many units, or adding them brings nothing any more.
    """
    current: list[Units] | None = list(targets)
    unit_tokens = max(float(role.block_tokens(problem.interval_s).max()) for role in problem.roles)
    for step in range(_STEPS + 1):
        if current is None:
            return None
        missing = _missing(problem, current, ahead=ahead)
        if int(missing.sum()) <= problem.allowed_tokens:
            return current
        # not even the largest units, each fully used, would make up for it in the steps that are left
        if int(missing.sum()) - problem.allowed_tokens > (_STEPS - step) * unit_tokens:
            return None
        current = _with_best_unit(problem, current, missing, ahead=ahead)
    return None


def _with_best_unit(problem: Problem, targets: list[Units], missing: Missing, *, ahead: bool) -> list[Units] | None:
    """The schedule with the one unit more that serves most of the missing tokens per node; None where none helps."""
    nodes_before = sum(problem.deployment.nodes(units) for units in targets)
    best: tuple[float, list[Units]] | None = None
    worst = np.unravel_index(np.argsort(missing, axis=None)[::-1][:_TRIES], missing.shape)
    for role, t in zip(*worst, strict=True):
        if not missing[role, t]:
            continue
        # an interval is short for want of a unit in it, or because one still loads, or drains already
        for first, last in ((t, t), (t - 1, t), (t, t + 1)):
            raised = _raised(problem, targets, int(role), max(int(first), 0), int(last))
            if raised is None:
                continue
            gained = int(missing.sum()) - int(_missing(problem, raised, ahead=ahead).sum())
            nodes = sum(problem.deployment.nodes(units) for units in raised) - nodes_before
            if gained > 0 and (best is None or gained / nodes > best[0]):
                best = gained / nodes, raised
    return best[1] if best else None


def keeps_times(problem: Problem, targets: Sequence[Units]) -> bool:
    """Whether units can stay up and down for the minimum times, the oldest leaving first."""
    lengths = problem.intervals(problem.min_up_s), problem.intervals(problem.min_down_s)
    for role in problem.roles:
        held = [role.blocks(units) for units in targets]
        changes = [0, *(after - before for before, after in pairwise(held))]
        for t in range(1, len(held)):
            up, down = (range(max(1, t - length + 1), t + 1) for length in lengths)
            if sum(max(changes[k], 0) for k in up) > held[t] and len(up) > 1:
                return False
            if sum(max(-changes[k], 0) for k in down) > problem.nodes // role.nodes - held[t] and len(down) > 1:
                return False
    return True


def _missing(problem: Problem, targets: Sequence[Units], *, ahead: bool) -> Missing:
    return problem.unserved(problem.replay(targets, ahead=ahead))


def _raised(problem: Problem, targets: list[Units], role: int, first: int, last: int) -> list[Units] | None:
    """The schedule with one more block of a role in some intervals; None beyond the plan or the fleet."""
    if last >= len(targets):
        return None
    raised = list(targets)
    for t in range(first, last + 1):
        raised[t] = targets[t] + problem.roles[role].of_blocks(1)
        if problem.deployment.nodes(raised[t]) > problem.nodes:
            return None
    return raised
