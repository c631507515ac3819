"""A server in this process that answers range queries as Prometheus does, from series that a test gives."""

import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit

from tests.helpers.counters import START

Series = Mapping[str, tuple[float, ...]]
"""Metric, and labels behind it in braces -> its value at the start, and its growth a minute; of a series that is not
always there, the minute of the first sample and the one of the last."""
_SERIES = re.compile(r"([^{]+)(?:\{(.*)\})?")


class FakePrometheus:
    """What was asked of it: paths, and the headers that came with them."""

    def __init__(self, series: Series, accepted: Mapping[str, str]) -> None:
        self.series = series
        self.accepted = accepted
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.url = ""

    def answer(self, path: str, headers: Mapping[str, str]) -> tuple[int, object]:
        self.headers.append(dict(headers))
        self.paths.append(path)
        for name, value in self.accepted.items():
            if headers.get(name) != value:
                return 401, {"error": f"{name} {headers.get(name)} is not accepted"}
        words = {name: values[0] for name, values in parse_qs(urlsplit(path).query).items()}
        name = re.match(r'\{__name__=~"((?:[^"\\]|\\.)*)"', words["query"])
        assert name is not None, words["query"]
        pattern = name[1].replace("\\\\", "\\")
        start, end, step = (int(words[key]) for key in ("start", "end", "step"))
        found = []
        for text, (first, per_minute, *minutes) in self.series.items():
            metric, labels = _SERIES.fullmatch(text).groups()  # type: ignore[union-attr]
            if re.fullmatch(pattern, metric):
                pairs = dict(pair.split("=") for pair in labels.split(",")) if labels else {}
                begin, last = (START + 60 * minute for minute in minutes) if minutes else (start, end)
                values = [
                    [at, str(first + per_minute * (at - START) / 60)]
                    for at in range(start, end + 1, step)
                    if begin <= at <= last
                ]
                found.append({"metric": {"__name__": metric, **pairs}, "values": values})
        return 200, {"status": "success", "data": {"resultType": "matrix", "result": found}}


@contextmanager
def fake_prometheus(series: Series, accepted: Mapping[str, str] | None = None) -> Iterator[FakePrometheus]:
    """A server as long as the context lasts. accepted: headers without which it refuses."""
    fake = FakePrometheus(series, accepted or {})

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, document = fake.answer(self.path, self.headers)  # type: ignore[arg-type]
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(document).encode())

        def log_message(self, *words: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    fake.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
