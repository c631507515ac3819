"""Both stages of a replay at once: prefill in a thread of its own, a few chunks ahead of decode."""

from collections.abc import Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import suppress
from queue import Empty, Full, Queue
from threading import Event

import numpy as np

from planner.core.replay.requests.model import Lives, QueueRules, Requests, Service, Span
from planner.core.replay.requests.stages import DecodeStage, HandOver, Lost, PrefillStage, hand_overs
from planner.units import US_PER_S, Progress

_AHEAD = 4
"""Chunks that prefill may be ahead of decode."""
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

    def put(item: HandOver | float | None) -> None:
        while not stop.is_set():
            try:
                handed.put(item, timeout=_POLL_S)
            except Full:
                continue
            return

    def fail(at_us: float) -> Lost:
        put(at_us)
        while not stop.is_set():
            with suppress(Empty):
                return lost.get(timeout=_POLL_S)
        raise CancelledError

    def produce() -> None:
        try:
            for item in hand_overs(batches, prefill, decode.fails_us, fail):
                if stop.is_set():
                    return
                put(item)
        finally:
            put(None)

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


def compile_kernels(service: Service, rules: QueueRules) -> None:
    """Compile the kernels by a replay of one request: about a minute, once, which does not count as replay time."""
    units = Lives(np.zeros(1), np.full(1, np.inf), np.full(1, np.inf))
    span = Span(from_us=0.0, to_us=US_PER_S, end_us=US_PER_S)
    prefill, decode = PrefillStage(service, units, rules, span), DecodeStage(service, units, rules, span)
    zero, one = np.zeros(1, np.int64), np.ones(1, np.int64)
    request = Requests(
        arrival_us=zero,
        input_tokens=one,
        cached_input_tokens=zero,
        output_tokens=2 * one,
        class_id=zero,
        session_id=-one,
    )
    for handed in (prefill.feed(request), prefill.finish()):
        decode.feed(handed)
    decode.finish()


def _next(handed: "Queue[HandOver | float | None]") -> HandOver | float | None:
    """Wait for what prefill hands over, in short steps so that Ctrl-C takes effect."""
    while True:
        try:
            return handed.get(timeout=_POLL_S)
        except Empty:
            continue
