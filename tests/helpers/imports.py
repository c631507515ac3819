"""Logs written, imported and read back out of the store."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from planner.store import Store
from planner.trace.documents import ImportAccount
from planner.trace.imports.importer import import_trace
from planner.trace.imports.job import ImportOptions
from tests.conftest import NOW

OPTIONS = ImportOptions(timezone="UTC", start=datetime(1970, 1, 1, tzinfo=UTC))


def imported(store: Store, path: Path, format_name: str, name: str = "t", **options: object) -> ImportAccount:
    chosen = replace(OPTIONS, **options)  # type: ignore[arg-type]
    return import_trace(store, [path], format_name=format_name, name=name, options=chosen, now=NOW, version="test")


def requests_of(store: Store, name: str = "t") -> list[tuple[int, ...]]:
    with store.read() as session:
        return session.connection.execute(
            "SELECT arrival_us, request.input_tokens, request.cached_input_tokens, request.output_tokens FROM request "
            "JOIN trace USING (trace_id) WHERE name = $name ORDER BY request_seq",
            {"name": name},
        ).fetchall()


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path
