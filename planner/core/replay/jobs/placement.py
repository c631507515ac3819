"""Placement: which training job runs on which lent nodes, and when. Pure.

Jobs wait in the order of the rule. Whenever something changes, each in turn takes the first nodes that have
room for it; one that finds none lets those behind it pass. A job of less than a node stays on one, and shares it; a
larger one takes whole nodes. A job that is called back keeps its progress up to its last checkpoint and waits again.
"""

from bisect import insort
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import islice
from math import inf
from typing import Literal

from planner.core.replay.intervals.lending import LentWindow

Ending = Literal["finished", "called back", "plan ends"]


@dataclass(frozen=True, kw_only=True)
class JobInstance:
    """One job to place; a daily one is a job per day. Times in seconds from the plan's start.

    work_s: of progress on its GPUs. checkpoint_s: of progress between checkpoints; None for none. restart_s: of loading
    at every start. release_s: its earliest start. node_hour_micros: worth of a node-hour of progress, 1e-6 USD.
    """

    name: str
    gpus: int
    work_s: int
    checkpoint_s: int | None
    restart_s: int
    preemptible: bool
    release_s: int
    deadline_s: int | None
    node_hour_micros: int

    def kept_s(self, progress_s: int) -> int:
        """Seconds of progress that are left after a call-back."""
        return progress_s // self.checkpoint_s * self.checkpoint_s if self.checkpoint_s else 0


@dataclass(frozen=True)
class LentNode:
    """A node lent in [start_s, end_s). slot: a number that no other node lent at the same time has."""

    slot: int
    start_s: int
    end_s: int


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A job's time on nodes without a break: it loads, then makes progress, of which some may be lost at the end.

    job: its place in the list of jobs. end_s - start_s = restarting_s + kept_s + lost_s.
    """

    job: int
    slots: tuple[int, ...]
    start_s: int
    end_s: int
    restarting_s: int
    kept_s: int
    lost_s: int
    ending: Ending


@dataclass(frozen=True)
class PlacedJobs:
    """Segments in order of their ends, and the GPU-seconds of lent nodes that no job held."""

    segments: tuple[Segment, ...]
    unused_gpu_s: int


RULES: Mapping[str, Callable[[JobInstance], float]] = {
    "first-fit": lambda _: 0,
    "deadline-first": lambda job: inf if job.deadline_s is None else job.deadline_s,
    "value-first": lambda job: -job.node_hour_micros,
}
"""What waiting jobs are ordered by, ascending; where it is equal, by their place in the list."""


def lent_nodes(windows: Sequence[LentWindow]) -> list[LentNode]:
    """The windows node by node. Of nodes lent together, the longest have the lowest numbers."""
    nodes: list[LentNode] = []
    taken: list[tuple[int, int]] = []
    free: list[int] = []
    for window in sorted(windows, key=lambda window: (window.start_s, -window.end_s)):
        while taken and taken[0][0] <= window.start_s:
            heappush(free, heappop(taken)[1])
        for _ in range(window.nodes):
            slot = heappop(free) if free else len(taken)
            heappush(taken, (window.end_s, slot))
            nodes.append(LentNode(slot, window.start_s, window.end_s))
    return nodes


def place(
    jobs: Sequence[JobInstance], nodes: Sequence[LentNode], gpus_per_node: int, *, rule: str, known: bool, end_s: int
) -> PlacedJobs:
    """Place jobs on lent nodes by one of RULES.

    A job has at most gpus_per_node GPUs, or a multiple of them. known: whether it is known how long nodes are lent;
    then no job starts where it would keep no progress, and jobs that are not preemptible only where they finish.
    Otherwise the latter never start. end_s: end of the plan, at which no job is called back.
    """
    cluster = _Cluster(jobs, gpus_per_node, known, end_s)
    moments = [
        *{at for node in nodes for at in (node.start_s, node.end_s)},
        *{job.release_s for job in jobs},
        end_s,
    ]
    heapify(moments)
    lending, releases = (
        sorted(nodes, key=lambda node: -node.start_s),
        sorted(range(len(jobs)), key=lambda index: (-jobs[index].release_s, index)),
    )
    waiting: list[tuple[float, int]] = []
    while cluster.now_s < end_s:
        now_s = heappop(moments)
        for index in cluster.advance(now_s):
            insort(waiting, (RULES[rule](jobs[index]), index))
        while lending and lending[-1].start_s <= now_s:
            cluster.lend(lending.pop())
        while releases and jobs[releases[-1]].release_s <= now_s:
            index = releases.pop()
            insort(waiting, (RULES[rule](jobs[index]), index))
        if now_s < end_s:
            still = []
            for key, index in waiting:
                finish_s = cluster.start(index)
                if finish_s is None:
                    still.append((key, index))
                elif finish_s < end_s:
                    heappush(moments, finish_s)
            waiting = still
    return PlacedJobs(tuple(cluster.segments), cluster.unused_gpu_s)


class _Cluster:
    """The lent nodes at a moment, and the jobs on them."""

    def __init__(self, jobs: Sequence[JobInstance], gpus_per_node: int, known: bool, end_s: int) -> None:
        self.jobs, self.gpus_per_node, self.known, self.end_s = jobs, gpus_per_node, known, end_s
        self.now_s = 0
        self.lent: list[LentNode] = []
        self.free: dict[int, int] = {}
        self.active: dict[int, tuple[int, tuple[int, ...]]] = {}
        self.done_s = [0] * len(jobs)
        self.segments: list[Segment] = []
        self.unused_gpu_s = 0

    def lend(self, node: LentNode) -> None:
        """Add a node, with all its GPUs free."""
        insort(self.lent, node, key=lambda other: other.slot)
        self.free[node.slot] = self.gpus_per_node

    def advance(self, now_s: int) -> list[int]:
        """Advance to a moment; jobs finish, then nodes are called back. Returns the jobs that have to wait again."""
        self.unused_gpu_s += sum(self.free.values()) * (now_s - self.now_s)
        self.now_s = now_s
        for index in [index for index in self.active if self._finish_s(index) == now_s]:
            self._stop(index, "finished")
        if now_s == self.end_s:
            for index in list(self.active):
                self._stop(index, "plan ends")
            return []
        gone = {node.slot for node in self.lent if node.end_s == now_s}
        called = [index for index, (_, slots) in self.active.items() if gone.intersection(slots)]
        for index in called:
            self._stop(index, "called back")
        self.lent = [node for node in self.lent if node.slot not in gone]
        for slot in gone:
            del self.free[slot]
        return called

    def start(self, index: int) -> int | None:
        """Start a job on the first nodes with room for it; returns when it would finish, None where it has to wait."""
        job = self.jobs[index]
        per_node, count = min(job.gpus, self.gpus_per_node), max(job.gpus // self.gpus_per_node, 1)
        fit = (node.slot for node in self.lent if self.free[node.slot] >= per_node and self._worth_while(index, node))
        slots = tuple(islice(fit, count))
        if len(slots) < count:
            return None
        for slot in slots:
            self.free[slot] -= per_node
        self.active[index] = (self.now_s, slots)
        return self._finish_s(index)

    def _worth_while(self, index: int, node: LentNode) -> bool:
        """Whether a job may start on a node, as far as it is known how long that is lent."""
        job, left_s = self.jobs[index], node.end_s - self.now_s
        to_do_s = job.work_s - self.done_s[index]
        if job.restart_s + to_do_s <= left_s:
            return self.known or job.preemptible
        if not job.preemptible:
            return False
        return not self.known or node.end_s == self.end_s or job.kept_s(left_s - job.restart_s) > 0

    def _finish_s(self, index: int) -> int:
        start_s, _ = self.active[index]
        return start_s + self.jobs[index].restart_s + self.jobs[index].work_s - self.done_s[index]

    def _stop(self, index: int, ending: Ending) -> None:
        job, (start_s, slots) = self.jobs[index], self.active.pop(index)
        restarting_s = min(job.restart_s, self.now_s - start_s)
        progress_s = self.now_s - start_s - restarting_s
        kept_s = job.kept_s(progress_s) if ending == "called back" else progress_s
        self.done_s[index] += kept_s
        for slot in slots:
            self.free[slot] += min(job.gpus, self.gpus_per_node)
        self.segments.append(
            Segment(
                job=index,
                slots=slots,
                start_s=start_s,
                end_s=self.now_s,
                restarting_s=restarting_s,
                kept_s=kept_s,
                lost_s=progress_s - kept_s,
                ending=ending,
            )
        )
