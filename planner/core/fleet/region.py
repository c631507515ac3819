"""What a unit carries that reads prompts and decodes on the same GPUs: a region, not two numbers. Pure.

A corner is a pair of rates that the unit keeps up at once. What is less of one kind at the same of the other is carried
too, and between neighbouring corners what lies on the straight line: a unit that spends a share of its time at one and
the rest at the other. Demand of a mix goes out from the origin along a ray, and takes as many units as it is times
longer than the ray is up to the edge of the region.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from planner.errors import UsageError
from planner.settings.fleet import fault_of_pairs
from planner.units import Floats


@dataclass(frozen=True)
class CapacityRegion:
    """Corners of what one unit carries: (input tokens/s, output tokens/s), from most output to most input.

    Input counts cache hits. Beyond the outermost corners the unit carries what these carry, so that a single one makes
    a rectangle. Raises UsageError where corners are out of order.
    """

    pairs: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        flat = [rate for pair in self.pairs for rate in pair]
        if fault_of_pairs(self.pairs) or not np.isfinite(flat).all() or min(flat) < 0:
            raise UsageError(
                "pairs of input and output tokens/s that a unit carries must be numbers of at least 0, some of each "
                f"above 0, that go up in input and down in output; these do not: {self._told()}"
            )

    @property
    def most(self) -> tuple[float, float]:
        """Input and output tokens/s, each alone."""
        return self.pairs[-1][0], self.pairs[0][1]

    def scaled(self, factor: float) -> "CapacityRegion":
        """So many times as much of both: what a unit carries whose times are all shorter by the factor."""
        return CapacityRegion(tuple((factor * inputs, factor * outputs) for inputs, outputs in self.pairs))

    def units(self, input_tokens: ArrayLike, output_tokens: ArrayLike, seconds: ArrayLike = 1.0) -> Floats:
        """Units, not rounded, that carry so many tokens of each kind in so many seconds; arguments broadcast.

        Never fewer for more of either kind, and twice as many for twice of both. Raises UsageError for tokens below 0.
        """
        inputs, outputs = np.broadcast_arrays(
            np.asarray(input_tokens, np.float64), np.asarray(output_tokens, np.float64)
        )
        if not ((inputs >= 0).all() and (outputs >= 0).all()):
            raise UsageError("tokens that units carry must be at least 0")
        edges = self._edges
        side = np.searchsorted(edges.input_share[1:], self._input_share(inputs, outputs), "right")
        taken: Floats = (edges.per_input[side] * inputs + edges.per_output[side] * outputs) / (
            edges.reach[side] * np.asarray(seconds, np.float64)
        )
        return taken

    def _input_share(self, inputs: Floats, outputs: Floats) -> Floats:
        """Where a mix is between all output, 0, and all input, 1; each kind by the most that a unit carries of it."""
        most_input, most_output = self.most
        ours, theirs = inputs / most_input, outputs / most_output
        share: Floats = np.divide(ours, ours + theirs, out=np.zeros_like(ours), where=(ours + theirs) > 0)
        return share

    @cached_property
    def _edges(self) -> "_Edges":
        """The edge of the region from the axis of output to that of input, piece by piece."""
        most_input, most_output = self.most
        corners = [(0.0, most_output), *self.pairs, (most_input, 0.0)]
        # a region that ends on an axis has no flat piece there
        x, y = np.array([corner for corner, after in pairwise(corners) if corner != after] + corners[-1:]).T
        per_input, per_output = y[:-1] - y[1:], x[1:] - x[:-1]
        return _Edges(
            input_share=self._input_share(x[:-1], y[:-1]),
            per_input=per_input,
            per_output=per_output,
            reach=per_input * x[:-1] + per_output * y[:-1],
        )

    def _told(self) -> str:
        return ", ".join(f"({inputs:g}, {outputs:g})" for inputs, outputs in self.pairs) or "none"


@dataclass(frozen=True, kw_only=True)
class _Edges:
    """Straight pieces of an edge, per_input * input + per_output * output = reach, from a share of input on."""

    input_share: Floats
    per_input: Floats
    per_output: Floats
    reach: Floats
