"""Placement of training jobs one second and one GPU at a time: slow, and obvious."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from planner.core.replay.jobs.placement import Ending, JobInstance, LentNode, Segment


@dataclass
class Running:
    """A job on GPUs, each (node, number on the node)."""

    gpus: list[tuple[LentNode, int]]
    start_s: int
    loading_s: int = 0
    progress_s: int = 0

    @property
    def nodes(self) -> list[LentNode]:
        return sorted({node for node, _ in self.gpus}, key=lambda node: node.slot)


@dataclass(kw_only=True)
class Simulated:
    """Segments, and GPU-seconds by use."""

    segments: list[Segment] = field(default_factory=list)
    useful: int = 0
    lost: int = 0
    restarting: int = 0
    unused: int = 0


def simulate(
    jobs: Sequence[JobInstance], nodes: Sequence[LentNode], gpus_per_node: int, rule: str, known: bool, end_s: int
) -> Simulated:
    """What `place` says, second by second."""
    simulation = Simulation(jobs, nodes, gpus_per_node, rule, known, end_s)
    for now_s in range(end_s + 1):
        simulation.finish_jobs(now_s)
        if now_s == end_s:
            break
        simulation.call_back(now_s)
        simulation.start_jobs(now_s)
        simulation.count_second(now_s)
    for index in list(simulation.running):
        simulation.stop(index, end_s, "plan ends")
    return simulation.out


class Simulation:
    """Jobs that run, jobs that wait, and what was counted so far."""

    def __init__(
        self,
        jobs: Sequence[JobInstance],
        nodes: Sequence[LentNode],
        gpus_per_node: int,
        rule: str,
        known: bool,
        end_s: int,
    ) -> None:
        self.jobs, self.nodes, self.gpus_per_node = jobs, nodes, gpus_per_node
        self.rule, self.known, self.end_s = rule, known, end_s
        self.out = Simulated()
        self.running: dict[int, Running] = {}
        self.waiting: list[int] = []
        self.done = [0] * len(jobs)

    def finish_jobs(self, now_s: int) -> None:
        for index in list(self.running):
            if self.done[index] + self.running[index].progress_s == self.jobs[index].work_s:
                self.stop(index, now_s, "finished")

    def call_back(self, now_s: int) -> None:
        for index in list(self.running):
            if any(node.end_s == now_s for node in self.running[index].nodes):
                self.stop(index, now_s, "called back")
                self.waiting.append(index)

    def start_jobs(self, now_s: int) -> None:
        self.waiting += [index for index, job in enumerate(self.jobs) if job.release_s == now_s]
        for index in sorted(self.waiting, key=self.order):
            gpus = self.first_gpus(index, now_s)
            if gpus is not None:
                self.running[index] = Running(gpus, now_s)
                self.waiting.remove(index)

    def count_second(self, now_s: int) -> None:
        held = {gpu for run in self.running.values() for gpu in run.gpus}
        for node in self.nodes:
            if node.start_s <= now_s < node.end_s:
                self.out.unused += sum((node, number) not in held for number in range(self.gpus_per_node))
        for index, run in self.running.items():
            if run.loading_s < self.jobs[index].restart_s:
                run.loading_s += 1
                self.out.restarting += self.jobs[index].gpus
            else:
                run.progress_s += 1

    def stop(self, index: int, at_s: int, ending: Ending) -> None:
        job, run = self.jobs[index], self.running.pop(index)
        kept = run.progress_s
        if ending == "called back":
            kept = 0
            while job.checkpoint_s and kept + job.checkpoint_s <= run.progress_s:
                kept += job.checkpoint_s
        self.done[index] += kept
        lost = run.progress_s - kept
        self.out.useful += kept * job.gpus
        self.out.lost += lost * job.gpus
        self.out.segments.append(
            Segment(
                job=index,
                slots=tuple(node.slot for node in run.nodes),
                start_s=run.start_s,
                end_s=at_s,
                restarting_s=run.loading_s,
                kept_s=kept,
                lost_s=lost,
                ending=ending,
            )
        )

    def would_keep(self, index: int, node: LentNode, now_s: int) -> bool:
        """Try the job on the node until that is called back: does it finish, or keep some progress?"""
        job = self.jobs[index]
        if not self.known:
            return job.preemptible
        loading, progress = 0, 0
        for _ in range(now_s, node.end_s):
            if loading < job.restart_s:
                loading += 1
            else:
                progress += 1
            if self.done[index] + progress == job.work_s:
                return True
        if not job.preemptible:
            return False
        return node.end_s == self.end_s or bool(job.checkpoint_s and progress >= job.checkpoint_s)

    def first_gpus(self, index: int, now_s: int) -> list[tuple[LentNode, int]] | None:
        """The first GPUs that the job may have: all on one node, or all of as many nodes as it needs."""
        held = {gpu for run in self.running.values() for gpu in run.gpus}
        gpus: list[tuple[LentNode, int]] = []
        for node in sorted(self.nodes, key=lambda node: node.slot):
            if not node.start_s <= now_s < node.end_s or not self.would_keep(index, node, now_s):
                continue
            free = [(node, number) for number in range(self.gpus_per_node) if (node, number) not in held]
            if self.jobs[index].gpus <= self.gpus_per_node:
                if len(free) >= self.jobs[index].gpus:
                    return free[: self.jobs[index].gpus]
            elif len(free) == self.gpus_per_node:
                gpus += free
                if len(gpus) == self.jobs[index].gpus:
                    return gpus
        return None

    def order(self, index: int) -> tuple[float, int]:
        deadline_s = self.jobs[index].deadline_s
        keys = {
            "first-fit": 0.0,
            "deadline-first": float("inf") if deadline_s is None else deadline_s,
            "value-first": -self.jobs[index].node_hour_micros,
        }
        return keys[self.rule], index
