"""The cases of a sweep: the base, both ends of every range, draws of the noise, and samples."""

from collections.abc import Mapping, Sequence

from planner.core.sensitivity import latin_hypercube, seeds
from planner.studies.sweep.base import NOISE, SweepBase, Value
from planner.studies.sweep.case import Role, SweepCase
from planner.studies.sweep.ranges import Parameter

NOISE_SEEDS = 32
"""Draws of the noise whose spread is compared with one-at-a-time changes. Assumed: enough for a 5 % quantile."""


def design(
    base: SweepBase, parameters: Sequence[Parameter], policies: Sequence[str], cases: int, seed: int
) -> list[SweepCase]:
    """All cases to plan: the base, both ends of every range, draws of the noise, samples; the same for every policy."""
    own, own_seed = {each.path: each.base for each in parameters}, base.settings.seed
    rows: list[tuple[Role, str | None, Mapping[str, Value], int]] = [("base", None, own, own_seed)]
    for each in parameters:
        if each.path != NOISE:
            rows.append(("low", each.path, {**own, each.path: each.value(each.law.low)}, own_seed))
            rows.append(("high", each.path, {**own, each.path: each.value(each.law.high)}, own_seed))
    most_noise = max([base.settings.noise, *(each.law.high for each in parameters if each.path == NOISE)])
    if most_noise:
        # the noise may be that of the scenario, and vary by its seed alone
        noisy = {**own, NOISE: most_noise}
        rows += [("seed", NOISE, noisy, drawn) for drawn in seeds("noise", NOISE_SEEDS, seed)]
    shares = latin_hypercube([each.path for each in parameters], cases, seed)
    columns = {each.path: each.law.values(shares[each.path]) for each in parameters}
    for index, drawn in enumerate(seeds("case", cases, seed)):
        values = {each.path: each.value(float(columns[each.path][index])) for each in parameters}
        rows.append(("sample", None, values, drawn))
    return [
        SweepCase(index=index, role=role, varied=varied, policy=policy, values=values, seed=drawn)
        for policy in policies
        for index, (role, varied, values, drawn) in enumerate(rows)
    ]
