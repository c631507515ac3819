"""Experts on GPUs: how many copies of each expert of a mixture-of-experts layer, and where. Pure.

The method in outline is that of DeepSeek's EPLB: copies go to the expert with the highest load per copy and are
packed largest first; hierarchical placement packs expert groups on nodes first, so that a group's experts stay on
one node. A local search then works on the heaviest GPU.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from planner.documents import Document
from planner.errors import UsageError
from planner.units import Floats, Ints

SEARCH_STEPS = 200
"""Steps of the local search per layer and node before it asks whether to continue."""


@dataclass(frozen=True)
class Layout:
    """The machine to place on. replicas: physical slots over all GPUs; groups: expert groups of the model."""

    replicas: int
    groups: int
    nodes: int
    gpus: int

    @property
    def hierarchical(self) -> bool:
        """Whether whole expert groups can be kept on nodes: the nodes divide the groups."""
        return self.groups % self.nodes == 0

    def check(self, experts: int) -> None:
        """Raises UsageError for a layout that cannot hold that many experts evenly."""
        problems = []
        if min(self.replicas, self.groups, self.nodes, self.gpus) < 1:
            problems.append("replicas, groups, nodes and gpus must be at least 1")
        elif self.gpus % self.nodes:
            problems.append(f"{self.nodes} nodes do not divide {self.gpus} GPUs")
        elif self.replicas % self.gpus:
            problems.append(f"{self.gpus} GPUs do not divide {self.replicas} replicas; change --replicas")
        elif experts % self.groups:
            problems.append(f"{self.groups} groups do not divide {experts} experts; change --groups")
        elif self.replicas < experts:
            problems.append(f"{self.replicas} replicas are fewer than {experts} experts; raise --replicas")
        if problems:
            raise UsageError("; ".join(problems))


@dataclass(frozen=True)
class Placement:
    """Experts of every slot, GPU by GPU, for every layer.

    slots: (layers, replicas). balance: (layers,) heaviest GPU over the mean. bound: (layers,) lower bound on the
    balance of any placement.
    """

    layout: Layout
    slots: Ints
    balance: Floats
    bound: Floats


@dataclass(frozen=True, kw_only=True)
class PlacedLayer(Document):
    """The experts of one layer."""

    balance: float
    """Heaviest GPU over the mean."""
    bound: float
    """Lower bound on the balance of any placement."""
    replicas: tuple[int, ...]
    """Copies of every expert."""
    slots: tuple[int, ...]
    """The expert of every slot, GPU by GPU."""


@dataclass(frozen=True, kw_only=True)
class PlacementDocument(Document):
    """How experts were placed, and how evenly."""

    policy: Literal["hierarchical", "global"]
    """Whether a group's experts stay on one node."""
    balance_mean: float
    """Heaviest GPU over the mean, averaged over layers."""
    balance_worst: float
    """The same for the worst layer."""
    bound_mean: float
    """Lower bound on the balance of any placement, averaged over layers."""
    layers: tuple[PlacedLayer, ...]


def place(load: Floats, layout: Layout, keep_going: Callable[[], bool] = lambda: True) -> Placement:
    """Place the experts of every layer.

    load: (layers, experts), tokens or any weight, not negative. keep_going: asked before every layer's search; when
    it says no, the remaining layers stay as they were packed. Raises UsageError for loads or layouts that do not fit.
    """
    if load.ndim != 2 or load.size == 0 or not np.isfinite(load).all() or load.min() < 0:
        raise UsageError("loads must be a matrix of layers by experts, all numbers finite and not negative")
    layout.check(load.shape[1])
    from planner.core.fleet.kernels import experts as expert_kernels

    slots = np.empty((load.shape[0], layout.replicas), np.int64)
    for layer, own in enumerate(load):
        for part, experts in _parts(own, layout, expert_kernels.pack):
            gpus = layout.gpus // layout.nodes if layout.hierarchical else layout.gpus
            local = expert_kernels.arrange(own[experts], part.stop - part.start, gpus)
            slots[layer, part] = experts[local]
    for layer, own in enumerate(load):
        if not keep_going():
            break
        for part in _ranges(layout):
            gpus = layout.gpus // layout.nodes if layout.hierarchical else layout.gpus
            experts, local = np.unique(slots[layer, part], return_inverse=True)
            expert_kernels.improve(own[experts], local, gpus, SEARCH_STEPS)
            slots[layer, part] = experts[local]
    return Placement(layout, slots, balance(load, slots, layout.gpus), bound(load, layout))


def balance(load: Floats, slots: Ints, gpus: int) -> Floats:
    """Heaviest GPU over the mean, (layers,); 1 where a layer has no load."""
    from planner.core.fleet.kernels import experts as expert_kernels

    ratios = []
    for own, placed in zip(load, slots, strict=True):
        total = expert_kernels.gpu_loads(own, placed, gpus)
        ratios.append(total.max() / total.mean() if total.any() else 1.0)
    return np.array(ratios)


def bound(load: Floats, layout: Layout) -> Floats:
    """A lower bound of the balance, (layers,): the mean, or the largest copy that the best replication leaves."""
    from planner.core.fleet.kernels import experts as expert_kernels

    ratios = []
    for own in load:
        largest = (own / expert_kernels.replicate(own, layout.replicas)).max()
        mean = own.sum() / layout.gpus
        ratios.append(max(1.0, largest / mean) if mean else 1.0)
    return np.array(ratios)


def moves(before: Ints, after: Ints, gpus: int) -> int:
    """Copies that have to be loaded: experts that a GPU holds afterwards and did not before, over all layers.

    before, after: (layers, replicas), GPU by GPU.
    """
    count = 0
    for old, new in zip(before.reshape(-1, before.shape[1]), after.reshape(-1, after.shape[1]), strict=True):
        for had, has in zip(old.reshape(gpus, -1), new.reshape(gpus, -1), strict=True):
            count += len(set(has.tolist()) - set(had.tolist()))
    return count


def describe(placement: Placement, experts: int) -> PlacementDocument:
    """How a placement was made, balance over all layers, and every layer with copies and slots."""
    return PlacementDocument(
        policy="hierarchical" if placement.layout.hierarchical else "global",
        balance_mean=float(placement.balance.mean()),
        balance_worst=float(placement.balance.max()),
        bound_mean=float(placement.bound.mean()),
        layers=tuple(
            PlacedLayer(
                balance=float(ratio),
                bound=float(least),
                replicas=tuple(np.bincount(slots, minlength=experts).tolist()),
                slots=tuple(slots.tolist()),
            )
            for ratio, least, slots in zip(placement.balance, placement.bound, placement.slots, strict=True)
        ),
    )


def warm_up() -> None:
    """Compile the kernels, so that what is timed afterwards is the placement."""
    place(np.ones((1, 2)), Layout(2, 2, 1, 1))


def _ranges(layout: Layout) -> list[slice]:
    """The slots that are placed together: those of a node, or all."""
    parts = layout.nodes if layout.hierarchical else 1
    size = layout.replicas // parts
    return [slice(part * size, (part + 1) * size) for part in range(parts)]


def _parts(load: Floats, layout: Layout, pack: Callable[[Floats, int], Ints]) -> list[tuple[slice, Ints]]:
    """The slots that are placed together, with the experts they hold."""
    if not layout.hierarchical:
        return [(slice(0, layout.replicas), np.arange(len(load)))]
    experts = np.arange(len(load)).reshape(layout.groups, -1)
    node = pack(load.reshape(layout.groups, -1).sum(axis=1), layout.nodes)
    return [(part, experts[node == number].ravel()) for number, part in enumerate(_ranges(layout))]
