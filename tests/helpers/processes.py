"""Planners in processes of their own, for tests that kill or interrupt them.

They are forked from a server that has imported everything: most of the second that a planner takes to start is spent on
imports, and a kill is to hit what comes after them.
"""

import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.context import ForkServerProcess
from pathlib import Path

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["tests.helpers.imported"])
_LONGEST_S = 120


def _run(words: tuple[str, ...], folder: str, environment: dict[str, str], err: str) -> None:
    from planner.__main__ import main

    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None
    for path, stream in ((os.devnull, 1), (err, 2)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, stream)
        os.close(file)
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
    sys.argv = ["planner", *words]
    main()


class Started:
    """A planner that runs in the working folder of who started it; what it prints to stdout is dropped."""

    def __init__(self, *words: str, err: Path | None = None) -> None:
        self.process: ForkServerProcess = _FORKS.Process(
            target=_run, args=(words, str(Path.cwd()), dict(os.environ), str(err or os.devnull))
        )
        self.process.start()

    @property
    def is_running(self) -> bool:
        return self.process.is_alive()

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if it still runs."""
        assert self.process.pid is not None
        with suppress(ProcessLookupError):
            os.kill(self.process.pid, number)

    def wait_until(self, path: Path) -> None:
        """Wait until it has made a file: that for its messages is its first."""
        deadline = time.monotonic() + _LONGEST_S
        while self.is_running and not path.exists() and time.monotonic() < deadline:
            time.sleep(0.001)

    def wait(self) -> int:
        """Wait for its end; the exit code, or the negative number of the signal that killed it."""
        self.process.join(_LONGEST_S)
        assert self.process.exitcode is not None, "it still runs"
        return self.process.exitcode


@contextmanager
def started(*words: str, err: Path | None = None) -> Iterator[Started]:
    """A started planner, killed at the end if it still runs."""
    process = Started(*words, err=err)
    try:
        yield process
    finally:
        process.send(signal.SIGKILL)
        process.wait()
