"""Worker processes that answer: warm, a few of them, each ended and started afresh when an answer takes too long."""

import multiprocessing
import queue
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Concatenate, ParamSpec, TypeVar

from planner.errors import PlannerError
from planner.processes import end_with_parent, quiet_children
from planner.units import Progress
from planner.web.workbench import ServerSettings, Workbench

P = ParamSpec("P")
T = TypeVar("T")
Task = Callable[Concatenate[Workbench, P], T]
"""What a worker does: a function of a module, with the worker's bench before its other arguments."""

_PROGRESS_S = 0.1
"""How often a task tells how far it is, at most."""
_CANCEL_S = 0.1
"""How soon a task ends that is cancelled."""
_CANCELLED = "cancelled; nothing is stored"
_CUT = 1
"""What a process ends with whose query cannot be interrupted: see `planner.store.interrupts`."""
_ENDING_S = 5.0
"""How long a worker has to end. Assumed: it is ended without asking, so the system has to take it down only."""


class Busy(PlannerError):
    """All workers have something to do."""


class Cancelled(PlannerError):
    """Someone has ended the task."""


class WorkerFault(Exception):
    """A task that failed by a defect, with its traceback, or a worker that has died."""


class Worker:
    """A process that does one task at a time."""

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None
        self._ended = threading.Event()

    def call(  # type: ignore[valid-type]
        self,
        task: Task[P, T],
        *args: P.args,
        limit_s: float,
        progress: Progress | None = None,
        cancelled: threading.Event | None = None,
    ) -> T:
        """Do a task and return what it returns.

        Args:
            task: What to do.
            args: Its arguments; they and the result go through a pipe.
            limit_s: Seconds after which the process is ended.
            progress: Called with how much is done, and of how much, as the task tells it.
            cancelled: What ends the process once it is set.

        Raises:
            PlannerError: The task raised it, or took too long.
            Cancelled: It was cancelled, or `end` was called meanwhile.
            WorkerFault: The task has a defect.
        """
        pipe = self._started()
        try:
            pipe.send((task, args))
            deadline = time.monotonic() + limit_s
            while True:
                left_s = max(deadline - time.monotonic(), 0)
                if not pipe.poll(left_s if cancelled is None else min(left_s, _CANCEL_S)):
                    if cancelled is not None and cancelled.is_set():
                        self.end()
                        raise Cancelled(_CANCELLED)
                    if time.monotonic() < deadline:
                        continue
                    self.end()
                    raise PlannerError(f"this took longer than {limit_s:g} s and was stopped; ask for less at a time")
                kind, *told = pipe.recv()
                if kind == "progress" and progress is not None:
                    progress(*told)
                elif kind == "done":
                    result: T = told[0]
                    return result
                elif kind == "refused":
                    raise PlannerError(told[0])
                elif kind == "defect":
                    raise WorkerFault(told[0])
        except (EOFError, OSError) as error:
            was_ended = self._ended.is_set()
            code = self._exit_code()
            self.end()
            if was_ended:
                raise Cancelled(_CANCELLED) from error
            if code == _CUT:
                raise PlannerError(
                    "this took too long and could not be stopped but with its process; narrow it"
                ) from error
            raise WorkerFault("a worker process ended unexpectedly, perhaps because memory ran out") from error

    def end(self) -> None:
        """End the process, whatever it does. The next call starts another."""
        self._ended.set()
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.join(_ENDING_S)
        if self._pipe is not None:
            with suppress(OSError):
                self._pipe.close()

    def _exit_code(self) -> int | None:
        """What the process has ended with; None where it has not."""
        process = self._process
        if process is None:
            return None
        process.join(_ENDING_S)
        return process.exitcode

    def _started(self) -> Connection:
        if self._process is not None and self._process.is_alive():
            assert self._pipe is not None
            return self._pipe
        self._ended.clear()
        # a fork would copy locks that threads of polars may hold
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        process = context.Process(target=_work, args=(theirs, self._settings), daemon=False)
        with quiet_children():
            process.start()
        theirs.close()
        self._process = process
        return self._pipe


def _work(pipe: Connection, settings: ServerSettings) -> None:
    """The worker's side: task after task, until the pipe is closed."""
    end_with_parent()
    bench = Workbench(settings, progress=_telling(pipe))
    while True:
        try:
            task, args = pipe.recv()
        except EOFError:
            return
        try:
            answer: tuple[Any, ...] = ("done", task(bench, *args))
        except PlannerError as error:
            answer = ("refused", str(error))
        except Exception:  # noqa: BLE001  whatever it is, the server logs it and the page says so
            answer = ("defect", traceback.format_exc())
        with suppress(ConnectionError):
            _send(pipe, answer)


def _send(pipe: Connection, answer: tuple[Any, ...]) -> None:
    """Send an answer, or that it cannot be sent. Raises ConnectionError."""
    try:
        pipe.send(answer)
    except ConnectionError:
        raise
    except Exception:  # noqa: BLE001  what cannot be pickled raises anything
        pipe.send(("defect", traceback.format_exc()))


def _telling(pipe: Connection) -> Progress:
    """Progress that is sent through a pipe, now and then."""
    last = 0.0

    def tell(done: int, total: int) -> None:
        nonlocal last
        if done >= total or time.monotonic() - last >= _PROGRESS_S:
            last = time.monotonic()
            pipe.send(("progress", done, total))

    return tell


class Workers:
    """A few warm workers. The one that was used last is used first: it has the inputs at hand."""

    def __init__(self, settings: ServerSettings, count: int) -> None:
        self.count = count
        self._all = [Worker(settings) for _ in range(count)]
        self._idle: queue.LifoQueue[Worker] = queue.LifoQueue()
        for worker in self._all:
            self._idle.put(worker)

    @contextmanager
    def one(self, wait_s: float) -> Iterator[Worker]:
        """A worker for a task. Raises Busy where none is free within that time."""
        try:
            worker = self._idle.get(timeout=wait_s)
        except queue.Empty as error:
            raise Busy("all workers are busy; try again in a moment") from error
        try:
            yield worker
        finally:
            self._idle.put(worker)

    def end(self) -> None:
        """End all of them."""
        for worker in self._all:
            worker.end()
