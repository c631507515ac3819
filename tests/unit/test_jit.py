"""Kernels are compiled by one process at a time, and the others take what it has cached."""

import fcntl
import os
from pathlib import Path
from threading import Thread

from planner.jit import njit


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
