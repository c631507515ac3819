"""Lists of requests through a pool that both replays keep: those that no unit could take, and those rejected. Compiled.

Importing this module imports numba.
"""

from planner.core.replay.requests.kernels.layout import NIL, Record, Records
from planner.jit import njit


@njit
def wait_for_unit(state: Record, pool: Records, entry: int) -> None:
    """Let a request, which is the last of any list, wait until a unit takes work."""
    if state.unassigned_head == NIL:
        state.unassigned_head = entry
    else:
        pool[state.unassigned_tail].following = entry
    state.unassigned_tail = entry


@njit
def wait_for_retry(state: Record, pool: Records, entry: int) -> None:
    """Let a request that was rejected wait to come again. All wait equally long, so the list stays in order of time."""
    pool[entry].following = NIL
    if state.retry_tail == NIL:
        state.retry_head = entry
    else:
        pool[state.retry_tail].following = entry
    state.retry_tail = entry
