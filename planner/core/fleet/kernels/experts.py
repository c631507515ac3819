"""Compiled inner loops of expert placement. Importing this module imports numba, which takes about a second."""

import numpy as np

from planner.jit import njit
from planner.units import Floats, Ints


@njit
def replicate(load: Floats, replicas: int) -> Ints:
    """Copies of every expert, at least one each: again and again one more for the highest load per copy.

    load: (experts,). Returns (experts,), summing to replicas. The largest load per copy is the least possible.
    """
    copies = np.ones(len(load), np.int64)
    for _ in range(replicas - len(load)):
        best = 0
        for expert in range(1, len(load)):
            if load[expert] * copies[best] > load[best] * copies[expert]:
                best = expert
        copies[best] += 1
    return copies


@njit
def pack(weight: Floats, packs: int) -> Ints:
    """The pack of every item, all packs with as many items: the largest first, each into the lightest pack with room.

    weight: (items,), packs divides items. Returns (items,).
    """
    size = len(weight) // packs
    order = np.argsort(-weight, kind="mergesort")
    total = np.zeros(packs, np.float64)
    count = np.zeros(packs, np.int64)
    where = np.empty(len(weight), np.int64)
    for item in order:
        best = -1
        for candidate in range(packs):
            if count[candidate] < size and (best < 0 or total[candidate] < total[best]):
                best = candidate
        where[item] = best
        total[best] += weight[item]
        count[best] += 1
    return where


@njit
def arrange(load: Floats, replicas: int, gpus: int) -> Ints:
    """The expert of every physical slot, GPU by GPU: replicate, then pack. load: (experts,). Returns (replicas,)."""
    copies = replicate(load, replicas)
    expert = np.empty(replicas, np.int64)
    weight = np.empty(replicas, np.float64)
    slot = 0
    for index in range(len(load)):
        for _ in range(copies[index]):
            expert[slot] = index
            weight[slot] = load[index] / copies[index]
            slot += 1
    where = pack(weight, gpus)
    size = replicas // gpus
    filled = np.zeros(gpus, np.int64)
    slots = np.empty(replicas, np.int64)
    for slot in range(replicas):
        gpu = where[slot]
        slots[gpu * size + filled[gpu]] = expert[slot]
        filled[gpu] += 1
    return slots


@njit
def gpu_loads(load: Floats, slots: Ints, gpus: int) -> Floats:
    """Load of every GPU: an expert's load is shared equally by its copies. Returns (gpus,)."""
    copies = np.zeros(len(load), np.int64)
    for expert in slots:
        copies[expert] += 1
    size = len(slots) // gpus
    total = np.zeros(gpus, np.float64)
    for slot in range(len(slots)):
        total[slot // size] += load[slots[slot]] / copies[slots[slot]]
    return total


@njit
def _swap(load: Floats, slots: Ints, copies: Ints, total: Floats) -> bool:
    """Exchange a slot of the heaviest GPU for a lighter one elsewhere where the heavier of the two falls most."""
    gpus = len(total)
    size = len(slots) // gpus
    heavy = int(np.argmax(total))
    best, best_a, best_b = total[heavy] * (1.0 - 1e-12), -1, -1
    for a in range(heavy * size, (heavy + 1) * size):
        own = load[slots[a]] / copies[slots[a]]
        for b in range(len(slots)):
            gpu = b // size
            difference = own - load[slots[b]] / copies[slots[b]]
            if gpu != heavy and difference > 0:
                worse = max(total[heavy] - difference, total[gpu] + difference)
                if worse < best:
                    best, best_a, best_b = worse, a, b
    if best_a < 0:
        return False
    difference = load[slots[best_a]] / copies[slots[best_a]] - load[slots[best_b]] / copies[slots[best_b]]
    total[heavy] -= difference
    total[best_b // size] += difference
    slots[best_a], slots[best_b] = slots[best_b], slots[best_a]
    return True


@njit
def _convert(load: Floats, slots: Ints, copies: Ints, total: Floats) -> bool:
    """Turn one slot into a copy of an expert of the heaviest GPU where that lowers the heaviest load most."""
    gpus = len(total)
    size = len(slots) // gpus
    heavy = int(np.argmax(total))
    best, best_slot, best_expert = total[heavy] * (1.0 - 1e-12), -1, -1
    changed = np.empty(gpus, np.float64)
    for source in range(heavy * size, (heavy + 1) * size):
        gains = slots[source]
        for slot in range(len(slots)):
            gives = slots[slot]
            if gives == gains or copies[gives] == 1:
                continue
            up = load[gives] / (copies[gives] - 1) - load[gives] / copies[gives]
            down = load[gains] / copies[gains] - load[gains] / (copies[gains] + 1)
            changed[:] = total
            for other in range(len(slots)):
                if slots[other] == gives:
                    changed[other // size] += up
                elif slots[other] == gains:
                    changed[other // size] -= down
            changed[slot // size] += load[gains] / (copies[gains] + 1) - load[gives] / (copies[gives] - 1)
            worst = changed.max()
            if worst < best:
                best, best_slot, best_expert = worst, slot, gains
    if best_slot < 0:
        return False
    copies[slots[best_slot]] -= 1
    copies[best_expert] += 1
    slots[best_slot] = best_expert
    total[:] = gpu_loads(load, slots, gpus)
    return True


@njit
def improve(load: Floats, slots: Ints, gpus: int, steps: int) -> int:
    """Local search on the heaviest GPU, in place: exchanges while they help, then one change of copies, and again.

    load: (experts,). slots: (replicas,). Stops after that many steps or where nothing helps; returns the steps taken.
    """
    copies = np.zeros(len(load), np.int64)
    for expert in slots:
        copies[expert] += 1
    total = gpu_loads(load, slots, gpus)
    taken = 0
    while taken < steps and (_swap(load, slots, copies, total) or _convert(load, slots, copies, total)):
        taken += 1
    return taken
