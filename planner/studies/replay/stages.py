"""Both stages of a replay at once: prefill in a thread of its own, a few chunks ahead of decode.

Of units that do both, reading is a thread of its own.
"""

from collections.abc import Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import suppress
from queue import Empty, Full, Queue
from threading import Event
from typing import TypeVar

import numpy as np

from planner.core.replay.iterations.model import Replica
from planner.core.replay.iterations.stage import IterationStage
from planner.core.replay.requests.followers import follow
from planner.core.replay.requests.model import Lives, QueueRules, Requests, Service, Span
from planner.core.replay.requests.stages import DecodeStage, HandOver, Lost, PrefillStage, hand_overs
from planner.units import US_PER_S, Floats, Ints, Progress

T = TypeVar("T")
_AHEAD = 16
"""Chunks that prefill may be ahead of decode, or reading of units that do both."""
_PART_ROWS = 1 << 12
"""Requests that units that do both are fed at once. Measured: what is read of them stays in the cache, a tenth faster
than 65,536."""
_POLL_S = 0.1
"""How often a thread that waits for the other checks whether that has stopped."""


def run_stages(
    batches: Iterator[Requests], prefill: PrefillStage, decode: DecodeStage, total: int, progress: Progress | None
) -> None:
    """Both stages to the end; prefill runs in a thread of its own, a few chunks ahead of decode.

    It waits for decode if decode units fail, because the requests that they held need prefill again.
    """
    handed: Queue[HandOver | float | None] = Queue(_AHEAD)
    lost: Queue[Lost] = Queue()
    stop = Event()

    def fail(at_us: float) -> Lost:
        _put(handed, at_us, stop)
        while not stop.is_set():
            with suppress(Empty):
                return lost.get(timeout=_POLL_S)
        raise CancelledError

    def produce() -> None:
        try:
            for item in hand_overs(batches, prefill, decode.fails_us, fail):
                if stop.is_set():
                    return
                _put(handed, item, stop)
        finally:
            _put(handed, None, stop)

    done = 0
    with ThreadPoolExecutor(1, thread_name_prefix="prefill") as pool:
        producer = pool.submit(produce)
        try:
            while (item := _next(handed)) is not None:
                if isinstance(item, float):
                    lost.put(decode.fail(item))
                    continue
                decode.feed(item)
                done += item.count
                if progress is not None:
                    progress(min(done, total), total)
            decode.finish()
        finally:
            stop.set()
        producer.result()


def run_iterations(batches: Iterator[Requests], stage: IterationStage, total: int, progress: Progress | None) -> None:
    """All requests through units that do both; they are read in a thread of its own, a few chunks ahead."""
    read: Queue[Requests | None] = Queue(_AHEAD)
    stop = Event()

    def produce() -> None:
        try:
            for requests in batches:
                _put(read, requests, stop)
                if stop.is_set():
                    return
        finally:
            _put(read, None, stop)

    done = 0
    with ThreadPoolExecutor(1, thread_name_prefix="reader") as pool:
        producer = pool.submit(produce)
        try:
            while (requests := _next(read)) is not None:
                for first in range(0, len(requests), _PART_ROWS):
                    stage.feed(requests.part(slice(first, first + _PART_ROWS)))
                done += len(requests)
                if progress is not None:
                    progress(min(done, total), total)
            stage.finish()
        finally:
            stop.set()
        producer.result()


def compile_kernels(service: Service | Replica, rules: QueueRules, *, closed: bool) -> None:
    """Compile the kernels by a replay of one request: about a minute, once, which does not count as replay time."""
    units = Lives(np.zeros(1), np.full(1, np.inf), np.full(1, np.inf))
    span = Span(from_us=0.0, to_us=float(US_PER_S), end_us=float(US_PER_S))  # as those of replays are
    zero, one = np.zeros(1, np.int64), np.ones(1, np.int64)
    request = Requests(
        arrival_us=zero,
        input_tokens=one,
        cached_input_tokens=zero,
        output_tokens=2 * one,
        class_id=zero,
        session_id=-one,
    )
    alone: tuple[Ints, Floats] = -one, np.zeros(1)
    if isinstance(service, Replica):
        both = IterationStage(service, units, rules, span)
        if closed:
            both.follow(request, *alone)
        else:
            both.feed(request)
        both.finish()
        return
    prefill = PrefillStage(service, units, rules, span)
    decode = DecodeStage(service, units, rules, span, closed=closed)
    if closed:
        follow(prefill, decode, request, follows=alone[0], think_us=alone[1])
        return
    for handed in (prefill.feed(request), prefill.finish()):
        decode.feed(handed)
    decode.finish()


def _put(queue: "Queue[T]", item: T, stop: Event) -> None:
    """Wait for room, until the other thread stops."""
    while not stop.is_set():
        try:
            queue.put(item, timeout=_POLL_S)
        except Full:
            continue
        return


def _next(handed: "Queue[T]") -> T:
    """Wait for what the other thread hands over, in short steps so that Ctrl-C takes effect."""
    while True:
        try:
            return handed.get(timeout=_POLL_S)
        except Empty:
            continue
