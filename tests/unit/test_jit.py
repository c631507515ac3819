"""Kernels are compiled by one process at a time, and the others take what it has cached."""

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from planner.core.replay.requests.kernels.choice import mix_bits
from planner.jit import njit
from tests.helpers.pages import ROOT


def twice(number: int) -> int:
    return 2 * number


def test_a_kernel_that_another_process_compiles_is_waited_for(tmp_path: Path) -> None:
    folder = Path(os.environ["NUMBA_CACHE_DIR"])
    folder.mkdir(parents=True, exist_ok=True)
    found: list[int] = []
    with (folder / f"{twice.__module__}.twice.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        waiting = Thread(target=lambda: found.append(njit(twice)(21)))
        waiting.start()
        waiting.join(0.3)
        assert waiting.is_alive()
        assert found == []
    waiting.join(60)
    assert found == [42]


def test_a_kernel_calls_another_and_itself() -> None:
    inner = njit(twice)

    @njit
    def power(exponent: int) -> int:
        if exponent == 0:
            return 1
        return inner(power(exponent - 1))  # type: ignore[no-any-return]

    assert power(5) == 32


FOUND = """
import numpy as np
from planner.core.replay.requests.kernels.choice import mix_bits
mix_bits(np.uint64(1))
print(sum(mix_bits.stats.cache_hits.values()))
"""


@pytest.mark.parametrize(("changed", "found"), [(False, "1"), (True, "0")])
def test_a_copy_of_the_package_finds_what_was_compiled_unless_any_kernel_differs(
    tmp_path: Path, changed: bool, found: str
) -> None:
    mix_bits(np.uint64(1))
    folder, kept = Path(os.environ["NUMBA_CACHE_DIR"]), Path(mix_bits.stats.cache_path)
    shutil.copytree(kept, tmp_path / "cache" / kept.relative_to(folder))
    shutil.copytree(ROOT / "planner", tmp_path / "planner", ignore=shutil.ignore_patterns("__pycache__"))
    if changed:
        with (tmp_path / "planner" / "core" / "fleet" / "kernels" / "balancer.py").open("a") as other:
            other.write("# another text\n")
    done = subprocess.run(
        [sys.executable, "-c", FOUND],
        env={**os.environ, "PYTHONPATH": str(tmp_path), "NUMBA_CACHE_DIR": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout.strip(), done.stderr) == (found, "")
