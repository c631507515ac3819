"""Placement of training jobs one second and one GPU at a time: slow, and obvious."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from planner.core.replay.jobs.placement import JobInstance, LentNode, Segment


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
    """Segments, and GPU-seconds by what they were spent on."""

    segments: list[Segment] = field(default_factory=list)
    useful: int = 0
    lost: int = 0
    restarting: int = 0
    unused: int = 0


def simulate(
    jobs: Sequence[JobInstance], nodes: Sequence[LentNode], gpus_per_node: int, rule: str, known: bool, end_s: int
) -> Simulated:
    """What `place` says, second by second."""
    out, running, waiting = Simulated(), dict[int, Running](), list[int]()
    done = [0] * len(jobs)

    def stop(index: int, at_s: int, ending: str) -> None:
        job, run = jobs[index], running.pop(index)
        kept = run.progress_s
        if ending == "called back":
            kept = 0
            while job.checkpoint_s and kept + job.checkpoint_s <= run.progress_s:
                kept += job.checkpoint_s
        done[index] += kept
        lost = run.progress_s - kept
        out.useful += kept * job.gpus
        out.lost += lost * job.gpus
        slots = tuple(node.slot for node in run.nodes)
        out.segments.append(
            Segment(
                job=index,
                slots=slots,
                start_s=run.start_s,
                end_s=at_s,
                restarting_s=run.loading_s,
                kept_s=kept,
                lost_s=lost,
                ending=ending,
            )
        )  # type: ignore[arg-type]

    def would_keep(index: int, node: LentNode, now_s: int) -> bool:
        """Try the job on the node until that is called back: does it finish, or keep some progress?"""
        job = jobs[index]
        if not known:
            return job.preemptible
        loading, progress = 0, 0
        for _ in range(now_s, node.end_s):
            if loading < job.restart_s:
                loading += 1
            else:
                progress += 1
            if done[index] + progress == job.work_s:
                return True
        if not job.preemptible:
            return False
        return node.end_s == end_s or bool(job.checkpoint_s and progress >= job.checkpoint_s)

    def first_gpus(index: int, now_s: int) -> list[tuple[LentNode, int]] | None:
        """The first GPUs that the job may have: all on one node, or all of as many nodes as it needs."""
        held = {gpu for run in running.values() for gpu in run.gpus}
        found: list[tuple[LentNode, int]] = []
        for node in sorted(nodes, key=lambda node: node.slot):
            if not node.start_s <= now_s < node.end_s or not would_keep(index, node, now_s):
                continue
            free = [(node, number) for number in range(gpus_per_node) if (node, number) not in held]
            if jobs[index].gpus <= gpus_per_node:
                if len(free) >= jobs[index].gpus:
                    return free[: jobs[index].gpus]
            elif len(free) == gpus_per_node:
                found += free
                if len(found) == jobs[index].gpus:
                    return found
        return None

    def order(index: int) -> tuple[float, int]:
        deadline_s = jobs[index].deadline_s
        keys = {
            "first-fit": 0.0,
            "deadline-first": float("inf") if deadline_s is None else deadline_s,
            "value-first": -jobs[index].node_hour_micros,
        }
        return keys[rule], index

    for now_s in range(end_s + 1):
        for index in list(running):
            if done[index] + running[index].progress_s == jobs[index].work_s:
                stop(index, now_s, "finished")
        if now_s == end_s:
            break
        for index in list(running):
            if any(node.end_s == now_s for node in running[index].nodes):
                stop(index, now_s, "called back")
                waiting.append(index)
        waiting += [index for index, job in enumerate(jobs) if job.release_s == now_s]
        for index in sorted(waiting, key=order):
            gpus = first_gpus(index, now_s)
            if gpus is not None:
                running[index] = Running(gpus, now_s)
                waiting.remove(index)
        held = {gpu for run in running.values() for gpu in run.gpus}
        for node in nodes:
            if node.start_s <= now_s < node.end_s:
                out.unused += sum((node, number) not in held for number in range(gpus_per_node))
        for index, run in running.items():
            if run.loading_s < jobs[index].restart_s:
                run.loading_s += 1
                out.restarting += jobs[index].gpus
            else:
                run.progress_s += 1
    for index in list(running):
        stop(index, end_s, "plan ends")
    return out
