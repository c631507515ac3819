"""Demand in few intervals, and what the nodes of a plan do in them."""

import numpy as np

from planner.core.demand import Demand, Grid
from planner.core.replay.intervals.plan import IntervalPlan

STATES = ("serving", "starting", "draining", "training", "restoring", "idle")


def demand_of(pairs: list[tuple[int, int]], interval_s: int = 60) -> Demand:
    inputs, outputs = (np.array([pair[role] for pair in pairs], np.int64) for role in (0, 1))
    return Demand(
        grid=Grid(0, interval_s, len(pairs)),
        requests=np.ones_like(inputs),
        input_tokens=inputs,
        cached_input_tokens=np.zeros_like(inputs),
        output_tokens=outputs,
    )


def node_s(plan: IntervalPlan) -> dict[str, list[int]]:
    return {state: getattr(plan, f"{state}_node_s").tolist() for state in STATES}
