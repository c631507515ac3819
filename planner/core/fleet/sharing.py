"""Nodes shared by two roles that together want more than there are. Pure."""

import math
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, kw_only=True)
class Want:
    """Units that a role wants: least of them are given in any case, and more in whole steps.

    unit_nodes: nodes of one unit. step: units of one step; 0 where none are added.
    """

    units: int
    least: int
    step: int
    unit_nodes: int

    @property
    def steps(self) -> int:
        """Whole steps between the least units and those that are wanted."""
        return (self.units - self.least) // self.step if self.step else 0

    def share(self, steps: int) -> Fraction:
        """The share of what is wanted that is given with so many steps; all where nothing is."""
        return Fraction(1) if not self.units else Fraction(self.least + steps * self.step, self.units)

    def steps_for(self, share: Fraction) -> int:
        """The fewest steps that give at least a share of what is wanted, or all."""
        return min(max(math.ceil((share * self.units - self.least) / self.step), 0), self.steps) if self.step else 0

    def nodes(self, steps: int) -> int:
        """Nodes of the least units and of so many steps."""
        return (self.least + steps * self.step) * self.unit_nodes


def shared(wants: tuple[Want, Want], nodes: int) -> tuple[int, int]:
    """Units for each role within the nodes; the least units where not even these fit.

    Each gets at least a share of what it wants, which is as large as whole steps allow. Nodes that are left go step by
    step to the role with the smaller share, as long as its step fits, the first of equals; then to the other.
    """

    def fits(share: Fraction) -> bool:
        return sum(want.nodes(want.steps_for(share)) for want in wants) <= nodes

    steps = [want.steps_for(max(_largest(each, fits) for each in wants)) for want in wants]
    while True:
        left = nodes - sum(want.nodes(count) for want, count in zip(wants, steps, strict=True))
        open_roles = [
            place
            for place, want in enumerate(wants)
            if steps[place] < want.steps and want.step * want.unit_nodes <= left
        ]
        if not open_roles:
            prefill, decode = (want.least + count * want.step for want, count in zip(wants, steps, strict=True))
            return prefill, decode
        steps[min(open_roles, key=lambda place: wants[place].share(steps[place]))] += 1


def _largest(want: Want, fits: Callable[[Fraction], bool]) -> Fraction:
    """The largest share that whole steps of a role give and that fits; 0 where none does."""
    unfit = bisect_right(range(want.steps + 1), False, key=lambda steps: not fits(want.share(steps)))
    return want.share(unfit - 1) if unfit else Fraction(0)
