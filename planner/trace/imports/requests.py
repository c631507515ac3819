"""Imports of requests: what readers made of the logs, in arrival order and with cache hits, as a stored trace."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from planner.errors import TraceError
from planner.store.staging import RequestCounts, Staging
from planner.store.traces import BLOCK_SCHEMA, REQUEST_SCHEMA
from planner.trace import stored
from planner.trace.describe import account_for, unknown_notes
from planner.trace.documents import ImportAccount
from planner.trace.imports.cached import cached_notes
from planner.trace.imports.equal_rows import EqualNeighbours, equal_notes
from planner.trace.imports.job import (
    BATCH_ROWS,
    SPOOL_BYTES,
    ImportJob,
    check_numbers,
    check_rows,
    covered_us,
    left_out_notes,
    rejects_of,
    settings_of,
    time_notes,
)
from planner.trace.imports.prefix_cache import PrefixCache, cached_tokens
from planner.trace.imports.repeated_hours import tell_apart
from planner.trace.imports.told_by_rows import settle
from planner.trace.spool import Spool
from planner.trace.stored import Draft

_PLAIN_SCHEMA = pa.schema([item for item in REQUEST_SCHEMA if item.name not in ("class_id", "session_id")])
_ALWAYS_TOLD = ("arrival_us", "input_tokens", "output_tokens")
_CLOCK_US = 9_214_646_400_000_000
"""Readers take times before 2262, and not as long before 1970."""
_LONE_SPOOL_BYTES = 1 << 30
"""Where nothing else is in memory: 50 million plain requests fit, and the process stays under 2 GB."""
_MOST_CLASSES = 32_767
"""As many as the type of class_id can hold."""


def store(stage: Staging, job: ImportJob) -> ImportAccount:
    """Store the parsed requests as a trace, with the refused rows."""
    settled = settle(stage, job.reader, job.options)
    job = replace(job, reader=settled.reader, options=settled.options)
    notes = [*job.notes, *settled.notes]
    with _requests_of(stage, job, notes) as (counts, requests, blocks):
        assert requests.first_arrival_us is not None
        assert requests.last_arrival_us is not None
        notes += left_out_notes(counts, job)
        notes += _run_notes(stage, job)
        notes += time_notes(requests.first_arrival_us, counts.least_elapsed_us, job)
        notes += cached_notes(job.reader, job.options, counts, stage.tellers)
        weight = counts.sample_weight
        notes += unknown_notes(requests.cached_unknown * weight, requests.rows * weight)
        refused = counts.rows_rejected > 0
        with rejects_of(stage, job, job.labels, any_refused=refused) as rejects:
            draft = Draft(
                name=job.name,
                origin="import",
                format=job.reader.name,
                settings=settings_of(job, counts, notes=notes),
                settings_digest=job.digest,
                timezone=job.options.timezone,
                sample_weight=counts.sample_weight,
                window_us=covered_us(job, requests.first_arrival_us, requests.last_arrival_us + 1),
                created_at=job.now,
                planner_version=job.version,
                block_tokens=(job.reader.block_tokens or counts.block_tokens) if blocks.rows else None,
                rows_read=counts.rows_read,
                classes=_classes(stage, job) if counts.has_class else (),
                rejects=rejects,
            )
            trace = stored.add(job.store, draft, requests, blocks if blocks.rows else None)
        return account_for(trace, stage.reasons() if refused else {})


def _run_notes(stage: Staging, job: ImportJob) -> list[str]:
    """What the user is to know of several runs whose times each count from their own first request."""
    runs = stage.runs() if job.options.times_from_first else 1
    if runs < 2:
        return []
    return [
        f"the log has {runs:,} runs, and the times of each count from its own first request: all begin at --start and "
        "lie on each other; to have them one after the other, import each as a trace of its own"
    ]


def _classes(stage: Staging, job: ImportJob) -> tuple[str, ...]:
    classes = tuple(stage.classes())
    if len(classes) > _MOST_CLASSES:
        raise TraceError(
            f"{job.names[0]}: has {len(classes):,} classes, and {_MOST_CLASSES:,} is the limit; leave the class out"
        )
    return classes


def _check_counts(counts: RequestCounts, stage: Staging, job: ImportJob) -> None:
    check_rows(counts, stage, job, job.names)
    if counts.largest_sample_weight != counts.sample_weight:
        raise TraceError(f"{job.names[0]}: sample_weight differs from row to row; a trace has one, so split the file")
    if counts.smallest_block_tokens != counts.block_tokens:
        raise TraceError(f"{job.names[0]}: block_tokens differs from row to row; a trace has one, so split the file")
    if counts.has_blocks and not (job.reader.block_tokens or counts.block_tokens):
        raise TraceError(f"{job.names[0]}: has block_ids and no block_tokens; add the column with their size in tokens")


@contextmanager
def _requests_of(stage: Staging, job: ImportJob, notes: list[str]) -> Iterator[tuple[RequestCounts, Spool, Spool]]:
    """Counts, and requests with their blocks in arrival order; notes gets what the user is to know.

    Plain requests that come in order are taken in one pass; for all others everything is counted first, then sorted.
    """
    folder = job.store.path.parent
    room = _LONE_SPOOL_BYTES if stage.in_place else SPOOL_BYTES
    # a column of nothing costs a sixth of an import of millions
    schema = _PLAIN_SCHEMA if stage.may_tell_cached else pa.schema([_PLAIN_SCHEMA.field(name) for name in _ALWAYS_TOLD])
    with Spool(schema, folder, room) as requests, Spool(BLOCK_SCHEMA, folder, SPOOL_BYTES) as blocks:
        neighbours = EqualNeighbours()
        plain = _spool_plain(stage, requests, neighbours, some_left_out=bool(job.options.where))
        if plain is not None:
            if neighbours.call_for_more(len(job.names)):
                notes += equal_notes(stage, plain.rows_imported)
            check_rows(plain, stage, job, job.names)
            check_numbers(plain.least_elapsed_us, job)
            yield plain, requests, blocks
            return
    counts = stage.request_counts()
    _check_counts(counts, stage, job)
    check_numbers(counts.least_elapsed_us, job)
    if counts.repeated:
        notes += told_apart(stage, job.options.timezone)
    if counts.has_class:
        _classes(stage, job)
    notes += equal_notes(stage, counts.rows_imported)
    schema = _request_schema(counts)
    with Spool(schema, folder, SPOOL_BYTES) as requests, Spool(BLOCK_SCHEMA, folder, SPOOL_BYTES) as blocks:
        columns = [*schema.names, "block_ids"] if counts.has_blocks else schema.names
        stream = stage.requests(columns, BATCH_ROWS, numbered_sessions=counts.numbered_sessions)
        _spool(stream, requests, blocks, job)
        yield counts, requests, blocks


def _spool_plain(
    stage: Staging, requests: Spool, neighbours: EqualNeighbours, *, some_left_out: bool
) -> RequestCounts | None:
    """Take requests in file order; None where they have classes and the like, or are out of order."""
    rows_read, left_out, least_us, some_cached = 0, 0, None, False
    for batch in stage.plain_requests(BATCH_ROWS, some_left_out=some_left_out):
        if pc.any(batch.column("more")).as_py():
            return None
        rows_read += batch.num_rows
        left_out += batch.column("left_out").true_count if some_left_out else 0
        if pc.any(batch.column("refused")).as_py():
            batch = batch.filter(pc.invert(batch.column("refused")))
        if batch.num_rows:
            plain = _checked(batch, requests.last_arrival_us)
            if plain is None:
                return None
            requests.write(plain)
            neighbours.add(plain)
            if stage.may_tell_cached and not some_cached:
                some_cached = bool(pc.max(plain.column("cached_input_tokens")).as_py())
            elapsed = batch.column("elapsed_us") if "elapsed_us" in batch.schema.names else pa.nulls(0)
            if elapsed.null_count < len(elapsed):
                batch_us = pc.min(elapsed).as_py()
                least_us = batch_us if least_us is None else min(least_us, batch_us)
    return RequestCounts(
        rows_read=rows_read,
        rows_imported=requests.rows,
        rows_left_out=left_out,
        with_cached=requests.rows - requests.cached_unknown,
        untold=int(some_cached),
        least_elapsed_us=least_us,
    )


def told_apart(stage: Staging, timezone: str) -> list[str]:
    """Give the rows of a repeated hour to its first or its second time; what the user is to know of it."""
    rows = stage.repeated()
    columns = (rows.column(name).to_numpy() for name in ("arrival_us", "second_us", "file_index", "trend"))
    split = tell_apart(*columns)
    stage.move(rows.select(["file_index", "line"]).filter(pa.array(split.is_second)))
    clock = f"the clock of {timezone} was put back"
    told = len(rows) - split.undecided
    notes = [f"{clock}: {told:,} requests of the repeated hour are told apart by their order"] if told else []
    if not split.undecided:
        return notes
    return [
        *notes,
        f"{clock}: the order of {split.undecided:,} requests of the repeated hour does not tell which time they "
        "are of; every other one is taken to be of the second; give times with an offset to have them right",
    ]


def _checked(batch: pa.RecordBatch, after_us: int | None) -> pa.RecordBatch | None:
    """The numbers of plain requests; None where one is out of order or impossible for a request."""
    columns = {name: batch.column(name) for name in _PLAIN_SCHEMA.names if name in batch.schema.names}
    if any(columns[name].null_count for name in _ALWAYS_TOLD):
        return None
    arrivals, inputs, outputs = (columns[name].to_numpy() for name in _ALWAYS_TOLD)
    ordered = (arrivals[1:] >= arrivals[:-1]).all() and (after_us is None or arrivals[0] >= after_us)
    if not ordered or max(-arrivals[0], arrivals[-1]) > _CLOCK_US or outputs.min() < 0:
        return None
    told = columns.get("cached_input_tokens")
    if told is not None and told.null_count < len(told):
        hits = pc.fill_null(told, 0).to_numpy()
        if hits.min() < 0 or (hits > inputs).any():
            return None
    return pa.record_batch(columns)


def _spool(stream: Iterator[pa.RecordBatch], requests: Spool, blocks: Spool, job: ImportJob) -> None:
    """Take the sorted requests out of the staging area; compute cache hits where the format has none."""
    hits = _Hits(PrefixCache(job.options.cache_blocks))
    block_tokens = job.reader.block_tokens
    for batch in stream:
        fields = {name: batch.column(name) for name in batch.schema.names}
        if "block_ids" in fields:
            ids = fields.pop("block_ids")
            if block_tokens:
                prompts = (fields["arrival_us"], ids, fields["input_tokens"])
                rows = zip(*(column.to_pylist() for column in prompts), strict=True)
                # without its blocks, what a request finds in the cache is unknown
                hit = [
                    None if own is None else cached_tokens(hits.of(at_us, own), block_tokens, tokens)
                    for at_us, own, tokens in rows
                ]
                fields["cached_input_tokens"] = pa.array(hit, pa.int64())
            blocks.write(_blocks(ids, requests.rows))
        schema = requests.schema
        requests.write(pa.record_batch([fields[item.name].cast(item.type) for item in schema], schema=schema))


class _Hits:
    """Cached blocks that requests find. Those that arrive at the same time do not find each other's."""

    def __init__(self, cache: PrefixCache) -> None:
        self._cache = cache
        self._arriving: list[list[int]] = []
        self._at_us: int | None = None

    def of(self, at_us: int, block_ids: list[int]) -> int:
        """Leading blocks that the next request finds. at_us: its arrival, not before the one of the last."""
        if at_us != self._at_us:
            for blocks in self._arriving:
                self._cache.add(blocks)
            self._arriving, self._at_us = [], at_us
        self._arriving.append(block_ids)
        return self._cache.count_hits(block_ids)


def _blocks(ids: pa.Array, first: int) -> pa.RecordBatch:
    """Lists of block ids, one per request from number `first`, as rows of BLOCK_SCHEMA."""
    lengths = pc.fill_null(pc.list_value_length(ids), 0).to_numpy()
    sequence = np.repeat(np.arange(first, first + len(ids)), lengths)
    position = np.arange(len(sequence)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    flat = pc.list_flatten(ids).cast(pa.int64())
    return pa.record_batch([pa.array(sequence), pa.array(position.astype(np.int32)), flat], schema=BLOCK_SCHEMA)


def _request_schema(counts: RequestCounts) -> pa.Schema:
    absent = {"class_id": not counts.has_class, "session_id": not counts.has_session}
    return pa.schema([item for item in REQUEST_SCHEMA if not absent.get(item.name)])
