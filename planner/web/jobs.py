"""Long work of the page: a process each, with progress, and an end at any time that leaves nothing behind."""

import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from planner.drafts import sweep_beside_store, sweep_imports
from planner.errors import PlannerError
from planner.web.workbench import ServerSettings
from planner.web.workers import Busy, Cancelled, Task, Worker, WorkerFault

JobState = Literal["waiting", "running", "done", "failed", "cancelled"]
MOST_WAITING = 16
"""Jobs that wait. Assumed: more than a few people at a page begin."""
_MOST_KEPT = 50
"""Jobs that are remembered; the oldest that have ended go first."""
_ENDING_S = 10.0
"""How long the end of all jobs may take. Assumed: twice what the end of a process may."""
_LONGEST_S = 6 * 3600.0
"""Assumed: longer than any replay or sweep of a day takes."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A piece of long work.

    Attributes:
        job_id: By which it is asked for.
        kind: Which pane began it.
        title: What it does, in words.
        query: The address of the state it was begun in.
        state: How far it is.
        done: How much of `total` is done, in a unit of its own; 0 of 0 before it is known.
        begun_s: When it began to run, on the server's clock.
        seconds: How long it ran; None before it has ended.
        result: What it made, where it is done.
        problem: Why it failed, in a line.
    """

    job_id: str
    kind: str
    title: str
    query: str
    state: JobState = "waiting"
    done: int = 0
    total: int = 0
    begun_s: float | None = None
    seconds: float | None = None
    result: Any = None
    problem: str | None = None

    @property
    def has_ended(self) -> bool:
        return self.state in ("done", "failed", "cancelled")

    def seconds_left(self, now_s: float) -> float | None:
        """How long it will still take at its speed until now; None where that is not known."""
        if self.state != "running" or self.begun_s is None or not 0 < self.done < self.total:
            return None
        return (now_s - self.begun_s) * (self.total - self.done) / self.done


@dataclass
class _Order:
    """What a job does, and its worker."""

    task: Task[..., Any]
    args: tuple[Any, ...]
    worker: Worker
    cancelled: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)
    """Set once nothing of it is left."""


class LongWork:
    """All jobs of a server; a fixed number runs at a time and the others wait in order."""

    def __init__(self, settings: ServerSettings, at_once: int, clock: Callable[[], float]) -> None:
        self._settings, self._clock = settings, clock
        self._turn = threading.Semaphore(at_once)
        self._lock = threading.Lock()
        self._jobs: dict[str, Job] = {}
        self._orders: dict[str, _Order] = {}

    def begin(self, kind: str, title: str, query: str, task: Task[..., Any], *args: Any) -> Job:
        """Begin a job, or let it wait. Raises Busy where too many wait."""
        job = Job(job_id=secrets.token_hex(8), kind=kind, title=title, query=query)
        with self._lock:
            if sum(not each.has_ended for each in self._jobs.values()) >= MOST_WAITING:
                raise Busy(f"{MOST_WAITING} jobs wait or run already; cancel one, or wait")
            for old in [each for each in self._jobs.values() if each.has_ended][: max(0, len(self._jobs) - _MOST_KEPT)]:
                del self._jobs[old.job_id]
            self._jobs[job.job_id] = job
            self._orders[job.job_id] = _Order(task, args, Worker(self._settings))
        threading.Thread(target=self._run, args=(job.job_id,), name=f"job {kind}", daemon=True).start()
        return job

    def find(self, job_id: str) -> Job | None:
        """A job by its id; None where it is not, or no longer, known."""
        with self._lock:
            return self._jobs.get(job_id)

    def all(self) -> list[Job]:
        """Every job that is remembered, the newest first."""
        with self._lock:
            return list(reversed(self._jobs.values()))

    def cancel(self, job_id: str) -> None:
        """End a job; nothing happens where it has ended."""
        with self._lock:
            order = self._orders.get(job_id)
        if order is not None:
            order.cancelled.set()

    def end(self) -> None:
        """End all of them, and wait until nothing of them is left."""
        with self._lock:
            orders = list(self._orders.values())
        for order in orders:
            order.cancelled.set()
        for order in orders:
            order.over.wait(_ENDING_S)

    def _run(self, job_id: str) -> None:
        order = self._orders[job_id]
        with self._turn:
            if order.cancelled.is_set():
                self._told(job_id, state="cancelled")
            else:
                self._told(job_id, state="running", begun_s=self._clock())
                self._told(job_id, **self._ended(job_id, order))
                order.worker.end()
        with self._lock:
            del self._orders[job_id]
        order.over.set()

    def _ended(self, job_id: str, order: _Order) -> Mapping[str, Any]:
        """Do the work; what it came to."""

        def progress(done: int, total: int) -> None:
            self._told(job_id, done=done, total=total)

        begun_s = self._clock()
        try:
            result = order.worker.call(
                order.task, *order.args, limit_s=_LONGEST_S, progress=progress, cancelled=order.cancelled
            )
            told: dict[str, Any] = {"state": "done", "result": result}
        except Cancelled:
            # what its process had in the making is nobody's now
            sweep_imports()
            sweep_beside_store(self._settings.db)
            told = {"state": "cancelled"}
        except PlannerError as error:
            told = {"state": "failed", "problem": str(error)}
        except WorkerFault as fault:
            self._settings.log(str(fault))
            told = {"state": "failed", "problem": "this is a fault of planner; the server's log has the details"}
        return {**told, "seconds": self._clock() - begun_s}

    def _told(self, job_id: str, **changed: Any) -> None:
        with self._lock:
            self._jobs[job_id] = replace(self._jobs[job_id], **changed)
