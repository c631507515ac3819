"""Numbers of units by role. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

ROLES = ("prefill", "decode")
"""Roles of units that do one of both."""
AGGREGATED = "aggregated"
"""The role of units that do both."""
EVERY_ROLE = (*ROLES, AGGREGATED)


@dataclass(frozen=True, order=True)
class Units:
    """A number of units of each role."""

    prefill: int = 0
    decode: int = 0
    aggregated: int = 0

    def only(self, role: str) -> "Units":
        """The units of one role, and none of others."""
        return Units(**{role: self.of(role)})

    def of(self, role: str) -> int:
        """The units of a role."""
        return int(getattr(self, role))

    @classmethod
    def by_role(cls, count: Callable[[str], int], roles: tuple[str, ...]) -> "Units":
        """A number of units for each of some roles."""
        return cls(**{role: count(role) for role in roles})

    @classmethod
    def of_columns(cls, columns: Mapping[str, int]) -> "Units":
        """From columns named as those of the table plan_interval."""
        return cls(**{role: int(columns[f"{role}_units"]) for role in EVERY_ROLE})

    def __add__(self, other: "Units") -> "Units":
        return self._with(other, lambda own, their: own + their)

    def __sub__(self, other: "Units") -> "Units":
        return self._with(other, lambda own, their: own - their)

    def __mul__(self, times: int) -> "Units":
        return Units(times * self.prefill, times * self.decode, times * self.aggregated)

    def at_least(self, least: "Units") -> "Units":
        """Of each role the larger number."""
        return self._with(least, max)

    def at_most(self, most: "Units") -> "Units":
        """Of each role the smaller number."""
        return self._with(most, min)

    def holds(self, others: "Units") -> bool:
        """Whether there are at least as many of each role."""
        return self.at_least(others) == self

    def _with(self, other: "Units", each: Callable[[int, int], int]) -> "Units":
        return Units(
            each(self.prefill, other.prefill),
            each(self.decode, other.decode),
            each(self.aggregated, other.aggregated),
        )
