"""Both stages side by side in a closed loop, where requests come after the ends of others. Pure."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.core.replay.requests.columns import check_followers, children_of, columns_of
from planner.core.replay.requests.kernels import loop as loop_kernels
from planner.core.replay.requests.kernels.layout import LOOP, enter
from planner.core.replay.requests.model import Requests
from planner.core.replay.requests.stages import DecodeStage, PrefillStage
from planner.units import US_PER_MINUTE, Floats, Ints


def follow(
    prefill: PrefillStage,
    decode: DecodeStage,
    requests: Requests,
    *,
    follows: Ints,
    think_us: Floats,
    progress: Callable[[int], None] | None = None,
) -> Floats:
    """All requests through both stages to the end; when each came, nan for those that did not.

    follows: the request before it that one waits for, -1 where it comes by itself. Those that follow come think_us
    after it was complete or was rejected for good. progress: gets the number of requests that have come so far.
    """
    size = len(requests)
    check_followers(size, follows, think_us)
    came, loop, columns = np.full(size, np.nan), np.zeros(1, LOOP), columns_of(requests, size)
    columns["follows"] = np.ascontiguousarray(follows, np.int64)
    # kernels find these by their addresses
    held: dict[str, NDArray[Any]] = {
        "comers": np.zeros(size, np.int64),
        "comer_us": np.zeros(size),
        "children": children_of(follows),
        "think": np.ascontiguousarray(think_us, np.float64),
    }
    enter(loop, **held)
    loop["follows"], loop["comers_rows"] = 1, size
    states = {"prefills": prefill.in_loop(loop), "decodes": decode.in_loop(loop), "loops": loop}
    prefill.make_affinities(size, len(columns["block_ids"]))
    held["out"] = prefill.output(prefill.pool_rows)
    for before_us, fails in _stops(decode.fails_us, prefill.end_us):
        decode.make_slots(before_us)
        while not loop_kernels.follow(**states, **columns, came_us=came, before_us=before_us):
            prefill.make_room(1)
            held["out"] = prefill.output(prefill.pool_rows)
            # a quarter at least, so that this is not done for each that is handed over
            decode.make_room(prefill.number_in_system + decode.pool_rows // 4 + 1)
        if fails:
            prefill.read_again(decode.fail(before_us), before_us)
        if progress is not None:
            progress(size - int(np.isnan(came).sum()))
    prefill.finish()
    decode.finish()
    return came


def _stops(fails_us: Floats, end_us: float) -> Iterator[tuple[float, bool]]:
    """Before which times the kernel stops, ascending, and whether decode units fail then: minutes, and the end."""
    minutes_us = np.arange(US_PER_MINUTE, end_us, US_PER_MINUTE)
    failing = set(fails_us.tolist())
    for at in np.union1d(minutes_us, fails_us).tolist():
        yield at, at in failing
    yield float(np.nextafter(end_us, np.inf)), False
