"""A web hook in this process, which keeps what it is told."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any


class Hook:
    """What came: documents, and the paths and headers of their requests. status: what is answered."""

    def __init__(self, status: int) -> None:
        self.status = status
        self.documents: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.url = ""


@contextmanager
def hook(status: int = 204) -> Iterator[Hook]:
    """A hook as long as the context lasts. A status of 302 leads to /elsewhere."""
    told = Hook(status)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.documents.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.do_GET()

        def do_GET(self) -> None:
            told.paths.append(self.path)
            told.headers.append(dict(self.headers))
            self.send_response(told.status)
            self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_message(self, *words: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    told.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
