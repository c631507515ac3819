"""The physical tables behind the views `request` and `request_block`: one of each per trace, dropped whole."""

from collections.abc import Sequence

import pyarrow as pa

from planner.store.database import Session
from planner.store.migrate import refresh_request_views

REQUEST_SCHEMA = pa.schema(
    [
        ("arrival_us", pa.int64()),
        ("input_tokens", pa.int32()),
        ("cached_input_tokens", pa.int32()),
        ("output_tokens", pa.int32()),
        ("class_id", pa.int16()),
        ("session_id", pa.int64()),
    ]
)
REJECT_SCHEMA = pa.schema([("file", pa.string()), ("line", pa.int64()), ("reason", pa.string())])
BLOCK_SCHEMA = pa.schema([("request_seq", pa.int64()), ("block_index", pa.int32()), ("block_id", pa.int64())])


def add_requests(session: Session, trace_id: int, requests: pa.RecordBatchReader) -> None:
    """Store a trace's requests, which come in (arrival_us, request_seq) order.

    requests: REQUEST_SCHEMA; class_id, session_id and cached_input_tokens may be missing, and are then not stored.
    """
    session.create_from(f"trace_data.request_{trace_id}", requests)
    refresh_request_views(session.connection)


def add_blocks(session: Session, trace_id: int, blocks: pa.RecordBatchReader) -> None:
    """Store a trace's prefix blocks, which come in (request_seq, block_index) order. blocks: BLOCK_SCHEMA."""
    session.create_from(f"trace_data.request_block_{trace_id}", blocks)
    refresh_request_views(session.connection)


def add_rejects(session: Session, trace_id: int, rejects: pa.RecordBatchReader) -> None:
    """Store what an import refused. rejects: REJECT_SCHEMA."""
    session.append_from("import_reject", rejects, trace_id=trace_id)


def narrow_requests(
    session: Session, trace_id: int, start_us: int, end_us: int, class_ids: Sequence[int] | None
) -> None:
    """Hide the requests of a trace outside a time, or of other classes, from this session's queries.

    A view of the session stands before the store's own, so that every query reads the same requests. start_us, end_us:
    UTC epoch microseconds. class_ids: None for all classes.
    """
    (alias,) = session.connection.execute("SELECT current_database()").fetchall()[0]
    kept = f"arrival_us >= {int(start_us)} AND arrival_us < {int(end_us)}"
    if class_ids is not None:
        kept += f" AND class_id IN ({', '.join(str(int(number)) for number in class_ids) or 'NULL'})"
    session.connection.execute(
        f'CREATE OR REPLACE TEMP VIEW request AS SELECT * FROM "{alias}".main.request '
        f"WHERE trace_id <> {int(trace_id)} OR ({kept})"
    )


def drop_trace_tables(session: Session, trace_id: int) -> None:
    """Drop the requests and blocks of a trace."""
    for table in ("request", "request_block"):
        session.connection.execute(f"DROP TABLE IF EXISTS trace_data.{table}_{trace_id}")
    refresh_request_views(session.connection)
