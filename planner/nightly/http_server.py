"""/metrics and /healthz, on 127.0.0.1 only."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from planner.documents import to_json
from planner.errors import PlannerError
from planner.nightly.dates import Now
from planner.nightly.health import Health
from planner.nightly.metrics import metrics_text


@contextmanager
def serve_health(port: int | None, health: Health, clock: Now) -> Iterator[int | None]:
    """Answer on 127.0.0.1 inside the block; yields the port. port: None for no server. Raises PlannerError."""
    if port is None:
        yield None
        return

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            # a slow reader must not keep the service waiting
            with health.lock:
                text, document = metrics_text(health), health.document(clock())
            if self.path == "/metrics":
                self._answer(200, "text/plain; version=0.0.4; charset=utf-8", text)
            elif self.path == "/healthz":
                self._answer(200 if document.ok else 503, "application/json", json.dumps(to_json(document)) + "\n")
            else:
                self._answer(404, "text/plain; charset=utf-8", "not found; use /metrics or /healthz\n")

        def _answer(self, code: int, kind: str, text: str) -> None:
            body = text.encode()
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Requests are not logged: they come every few seconds."""

    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    except OSError as error:
        raise PlannerError(f"port {port} of 127.0.0.1: {error.strerror}; set another port in the jobs file") from error
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
