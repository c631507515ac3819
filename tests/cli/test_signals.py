"""SIGTERM, SIGHUP and Ctrl-C end a command in an orderly way."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import planner
from planner.cli.signals import ended_by_signals
from tests.conftest import SMALL, Cli, minute_log
from tests.helpers.processes import started

LONGEST_S = 60
DEAF = """
import hashlib
import threading
from pathlib import Path
from planner.cli.signals import ended_by_signals
from planner.drafts import draft_file
with ended_by_signals(), draft_file(Path("plan.csv")) as draft:
    draft.write_text("half")
    # told from beside, when the main thread is busy
    threading.Timer(1, print, ["ready"], {"flush": True}).start()
    hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)  # Python hears nothing for minutes
"""


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)],
    ids=lambda value: str(value),
)
def test_the_first_signal_ends_a_command_and_those_that_follow_do_not_disturb_it(number: int, code: int) -> None:
    before = signal.getsignal(number)
    with ended_by_signals() as ending:
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)
    assert ending.exit_code == code
    assert signal.getsignal(number) == before


def test_what_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ended_by_signals() as ending:
            os.kill(os.getpid(), signal.SIGHUP)
        assert ending.number is None
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_command_in_another_thread_leaves_signals_alone() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    seen = []

    def run() -> None:
        with ended_by_signals():
            seen.append([signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)])

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(LONGEST_S)
    assert seen == [before]


def test_a_command_that_cannot_hear_a_signal_is_ended_all_the_same(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(planner.__file__).parents[1])}
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", DEAF], stdout=pipe, stderr=pipe, text=True, env=environment) as deaf:
        try:
            assert deaf.stdout is not None
            assert deaf.stdout.readline() == "ready\n"
            deaf.terminate()
            _, err = deaf.communicate(timeout=LONGEST_S)
        finally:
            deaf.kill()
    assert deaf.returncode == 143
    assert err == "planner: terminated; no result was stored\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="this system has no /proc")
def test_the_processes_of_a_sweep_end_with_it_even_if_it_is_killed(tmp_path: Path, cli: Cli) -> None:
    log = minute_log(tmp_path / "log.csv", [(300, 300)] * 30)
    assert cli("trace", "import", str(log), "--format", "csv", "--name", "small").code == 0
    sets = [word for setting in SMALL for word in ("--set", setting)]
    deadline = time.monotonic() + LONGEST_S
    with started("sweep", "--trace", "small", *sets, "--cases", "2000") as sweeping:
        assert sweeping.process.pid is not None
        while not (workers := workers_of(sweeping.process.pid)) and sweeping.is_running:
            time.sleep(0.05)
        assert workers
        sweeping.send(signal.SIGKILL)
    while any(Path(f"/proc/{worker}").exists() for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)


def workers_of(parent: int) -> list[int]:
    """The processes that a process has started to work for it."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            fields = (path / "stat").read_text().rpartition(")")[2].split()
            command = (path / "cmdline").read_bytes()
        except OSError:
            continue
        if int(fields[1]) == parent and b"spawn_main" in command:
            found.append(int(path.name))
    return found
