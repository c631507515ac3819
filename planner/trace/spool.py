"""Arrow batches kept aside: in memory while they are few, in an unnamed file beyond that.

What is to be stored is computed into a spool while no lock is held, and loaded from there in one transaction. However
the process ends, nothing is left.
"""

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc

from planner.drafts import draft_file

TOKENS = ("input_tokens", "cached_input_tokens", "output_tokens")
_MEMORY_BYTES = 1100 << 20  # with DuckDB's own limit this stays under 3 GB


class Spool:
    """Batches of one schema, written once and read once.

    rows, and for requests the sums of tokens, how many have unknown cached tokens (all where the schema has none), and
    the first and last arrival, are kept while writing.
    """

    def __init__(self, schema: pa.Schema, folder: Path, memory_bytes: int = _MEMORY_BYTES) -> None:
        self.rows = 0
        self.cached_unknown = 0
        self.sums = dict.fromkeys(TOKENS if "arrival_us" in schema.names else (), 0)
        self.first_arrival_us: int | None = None
        self.last_arrival_us: int | None = None
        self.schema = schema
        self._folder = folder
        self._room = memory_bytes
        self._batches: list[pa.RecordBatch] = []
        self._file: _NamelessFile | None = None

    def write(self, batch: pa.RecordBatch) -> None:
        """Add a batch. Those of requests come in arrival order."""
        if batch.num_rows == 0:
            return
        self._count(batch)
        self._room -= batch.nbytes
        if self._room >= 0:
            self._batches.append(batch)
            return
        self._file = self._file or _NamelessFile(self.schema, self._folder)
        self._file.writer.write_batch(batch)

    def read(self) -> pa.RecordBatchReader:
        """All batches, from the first; what was read from memory is not kept."""
        return pa.RecordBatchReader.from_batches(self.schema, self._all())

    def _all(self) -> Iterator[pa.RecordBatch]:
        self._batches.reverse()
        while self._batches:
            yield self._batches.pop()
        if self._file is not None:
            yield from self._file.read()

    def _count(self, batch: pa.RecordBatch) -> None:
        self.rows += batch.num_rows
        for name in self.sums.keys() & self.schema.names:
            self.sums[name] += pc.sum(batch.column(name)).as_py() or 0
        if "arrival_us" in self.schema.names:
            tells_cached = "cached_input_tokens" in self.schema.names
            self.cached_unknown += batch.column("cached_input_tokens").null_count if tells_cached else batch.num_rows
            first, last = batch.column("arrival_us")[0].as_py(), batch.column("arrival_us")[-1].as_py()
            assert self.last_arrival_us is None or first >= self.last_arrival_us, "batches come in arrival order"
            self.first_arrival_us = first if self.first_arrival_us is None else self.first_arrival_us
            self.last_arrival_us = last

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._batches.clear()
        if self._file is not None:
            self._file.close()


class _NamelessFile:
    """A file that is removed as soon as it is open, for writing and then for reading."""

    def __init__(self, schema: pa.Schema, folder: Path) -> None:
        with draft_file(folder / "spool") as path:
            self._sink = pa.OSFile(str(path), "wb")
            self._source = pa.OSFile(str(path), "rb")
        self.writer = pa.ipc.new_stream(self._sink, schema)

    def read(self) -> pa.RecordBatchReader:
        self.writer.close()
        self._sink.close()
        return pa.ipc.open_stream(self._source)

    def close(self) -> None:
        self._sink.close()
        self._source.close()
