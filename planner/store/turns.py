"""Whose turn it is at a store: a writer that has to wait says so, and long queries let go of it.

What a writer has computed is lost if it does not get its turn; a query can be asked again.
"""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from planner.drafts import draft_file, is_in_use

LET_GO_S = 5.0
"""How long a query goes on once a writer waits. Assumed: most queries end sooner, and writers wait for a minute."""
_AGAIN_S = 0.05


@contextmanager
def waiting_to_write(store: Path) -> Iterator[None]:
    """Say that this process waits to write a store, by a draft beside it, which goes however the process ends.

    Where none can be made, nobody is told; the writer goes on waiting all the same.
    """
    with ExitStack() as stack:
        with suppress(OSError):
            stack.enter_context(draft_file(_mark(store)))
        yield


def is_awaited(store: Path) -> bool:
    """Whether any process waits to write a store."""
    return is_in_use(_mark(store))


def give_way(store: Path, most_s: float) -> None:
    """Wait for as long as another process waits to write a store, so that queries one after another leave it a gap."""
    deadline = time.monotonic() + most_s
    while is_awaited(store) and time.monotonic() < deadline:
        time.sleep(_AGAIN_S)


def _mark(store: Path) -> Path:
    # by its real path, as DuckDB locks it
    real = Path(os.path.realpath(store))
    return real.with_name(f"{real.name}.waiting")
