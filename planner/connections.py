"""Bounds on connections that uvicorn does not have.

It has no time limit for a connection that sends no request, or sends one slowly, and counts such connections towards
its limit of concurrency, above which it refuses everybody. So each connection has a deadline, is used once, and where
there are too many the oldest gives way.
"""

import asyncio
from collections.abc import Callable

from uvicorn.protocols.http.h11_impl import H11Protocol

MOST_HEAD_BYTES = 16_384
"""Of a request's head. Assumed: addresses with every setting of a page stay under a half of it."""


def bounded(longest_s: float, most: int, count_dropped: Callable[[], None]) -> type[asyncio.Protocol]:
    """uvicorn's connection with bounds.

    longest_s: seconds from the start of a connection to the end of its answer. most: connections at a time.
    count_dropped: called for each that ends unanswered.
    """

    class Connection(H11Protocol):
        _deadline: asyncio.TimerHandle
        _is_refused = False

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            if len(self.connections) >= most:
                oldest = min(self.connections, key=lambda one: one._deadline.when())  # type: ignore[union-attr]
                self.connections.discard(oldest)
                oldest.transport.abort()
            self._deadline = self.loop.call_later(longest_s, transport.abort)
            super().connection_made(transport)

        def connection_lost(self, exc: Exception | None) -> None:
            self._deadline.cancel()
            is_answered = self._is_refused or (self.cycle is not None and self.cycle.response_complete)
            if not is_answered:
                count_dropped()
            super().connection_lost(exc)

        def send_400_response(self, msg: str) -> None:
            self._is_refused = True
            super().send_400_response(msg)

    return Connection
