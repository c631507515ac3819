"""Arrow batches kept aside in a file that has no name, so that nothing is left of it however the process ends.

What is to be stored is computed into a spool while nobody's lock is held, and loaded from there in one go.
"""

import os
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc

_TOKENS = ("input_tokens", "cached_input_tokens", "output_tokens")


class Spool:
    """Batches of one schema, written once and read once.

    rows, and for requests the sums of tokens and the first and last arrival, are kept while writing.
    """

    def __init__(self, schema: pa.Schema, folder: Path) -> None:
        self.rows = 0
        self.sums = dict.fromkeys((name for name in _TOKENS if name in schema.names), 0)
        self.first_arrival_us: int | None = None
        self.last_arrival_us: int | None = None
        descriptor, path = tempfile.mkstemp(dir=folder, prefix=".spool-")
        os.close(descriptor)
        self._sink = pa.OSFile(path, "wb")
        self._source = pa.OSFile(path, "rb")
        Path(path).unlink()
        self._writer = pa.ipc.new_stream(self._sink, schema)

    def write(self, batch: pa.RecordBatch) -> None:
        """Add a batch."""
        if batch.num_rows == 0:
            return
        self._writer.write_batch(batch)
        self.rows += batch.num_rows
        for name in self.sums:
            self.sums[name] += pc.sum(batch.column(name).cast(pa.int64())).as_py()
        if "arrival_us" in batch.schema.names:
            first, last = batch.column("arrival_us")[0].as_py(), batch.column("arrival_us")[-1].as_py()
            assert self.last_arrival_us is None or first >= self.last_arrival_us, "batches come in arrival order"
            self.first_arrival_us = first if self.first_arrival_us is None else self.first_arrival_us
            self.last_arrival_us = last

    def read(self) -> pa.RecordBatchReader:
        """All batches, from the first."""
        self._writer.close()
        self._sink.close()
        return pa.ipc.open_stream(self._source)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sink.close()
        self._source.close()
