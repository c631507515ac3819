"""A command in a process of its own, with the memory that it took."""

import subprocess
import sys
from typing import NamedTuple

_RUN = """
import sys
from pathlib import Path
from planner.cli.app import execute
code = execute()
status = Path("/proc/self/status").read_text()
print(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")), file=sys.stdout)
sys.exit(code)
"""


class Measured(NamedTuple):
    """How a command ended, what it said, and the most memory that was resident."""

    exit_code: int
    out: str
    err: str
    gigabytes: float


def measured(*words: str) -> Measured:
    """Run a command to its end. The kernel's figure of the process alone: that of children counts who started them."""
    done = subprocess.run([sys.executable, "-c", _RUN, *words], capture_output=True, text=True, check=False)
    *out, kilobytes = done.stdout.splitlines()
    return Measured(done.returncode, "\n".join(out), done.stderr, int(kilobytes) * 1024 / 1e9)
