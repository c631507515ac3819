"""/metrics in the Prometheus text format and /healthz, on 127.0.0.1 only."""

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from planner.errors import PlannerError
from planner.nightly.ledger import Row

_SILENCE_S = 300
"""Without a look at the ledger for so long, the service is not healthy; it looks every minute, and a night in progress
counts as looking. Assumed."""


@dataclass
class Health:
    """What the service knows of itself, from one thread to another.

    looked_at: when it last looked for dates that are due. busy: whether a night is being run.
    """

    started_at: datetime
    looked_at: datetime
    busy: bool = False
    rows: Sequence[Row] = ()
    days: Sequence[Row] = ()
    errors: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def set(self, **values: Any) -> None:
        """Change several values at once."""
        with self.lock:
            for name, value in values.items():
                setattr(self, name, value)


def health_document(health: Health, now: datetime) -> tuple[bool, dict[str, Any]]:
    """Whether the service is well, and why."""
    silent_s = (now - health.looked_at).total_seconds()
    well = health.busy or silent_s <= _SILENCE_S
    return well, {"ok": well, "busy": health.busy, "looked_at": health.looked_at.isoformat()}


def metrics_text(health: Health) -> str:
    """The metrics of the service, a sample per job. Counts are those of the ledger, so they outlive a restart."""
    lines: list[str] = []

    def metric(name: str, kind: str, meaning: str, samples: Sequence[tuple[str, float]]) -> None:
        full = f"planner_schedule_{name}"
        lines.extend((f"# HELP {full} {meaning}", f"# TYPE {full} {kind}"))
        lines.extend(f"{full}{labels} {value:.15g}" for labels, value in samples)

    jobs = sorted({str(row["job"]) for row in health.rows})
    states: dict[str, float] = {}
    for row in health.rows:
        key = f'{{job="{row["job"]}",status="{row["status"]}"}}'
        states[key] = states.get(key, 0) + 1
    metric("dates", "gauge", "Logical dates in the ledger by state.", sorted(states.items()))
    newest = {job: [row for row in health.rows if row["job"] == job and row["status"] == "done"] for job in jobs}
    done = {job: rows[-1] for job, rows in newest.items() if rows}
    stamps = [(f'{{job="{job}"}}', row["finished_at"].timestamp()) for job, row in done.items()]
    metric("last_done_timestamp_seconds", "gauge", "When the newest date was done.", stamps)
    lasted = [
        (f'{{job="{job}"}}', (row["finished_at"] - row["started_at"]).total_seconds()) for job, row in done.items()
    ]
    metric("last_duration_seconds", "gauge", "How long the newest date took.", lasted)
    compared = {str(row["job"]): row for row in health.days}
    for name, meaning in (
        ("output_wape", "Forecast error of output tokens on the newest compared day, as a share."),
        ("error_cost_usd", "Cost of the forecast error on that day."),
        ("drift", "1 where the forecast error has been beyond the band for days."),
    ):
        samples = [(f'{{job="{job}"}}', float(row[name])) for job, row in compared.items() if row[name] is not None]
        metric(name, "gauge", meaning, samples)
    metric("busy", "gauge", "1 while a night is run.", [("", float(health.busy))])
    metric("errors_total", "counter", "Looks that ended in an error since the start.", [("", float(health.errors))])
    metric("start_timestamp_seconds", "gauge", "When the service started.", [("", health.started_at.timestamp())])
    return "\n".join(lines) + "\n"


@contextmanager
def serving(port: int | None, health: Health, clock: Any) -> Iterator[int | None]:
    """Answer on 127.0.0.1 while the block lasts; gives the port. port: None for none. Raises PlannerError."""
    if port is None:
        yield None
        return

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            # nobody who reads slowly keeps the service waiting
            with health.lock:
                text, (well, document) = metrics_text(health), health_document(health, clock())
            if self.path == "/metrics":
                self._answer(200, "text/plain; version=0.0.4; charset=utf-8", text)
            elif self.path == "/healthz":
                self._answer(200 if well else 503, "application/json", json.dumps(document) + "\n")
            else:
                self._answer(404, "text/plain; charset=utf-8", "there are /metrics and /healthz\n")

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
        raise PlannerError(f"port {port} of 127.0.0.1: {error.strerror}; give another port in the jobs file") from error
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
