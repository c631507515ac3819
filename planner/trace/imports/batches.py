"""The shape of what log files are turned into: Arrow batches with the columns line, fault and those of the log.

fault says why a row cannot be read at all; its other columns are null.
"""

from collections.abc import Sequence

import pyarrow as pa


def schema_of(columns: Sequence[str]) -> pa.Schema:
    """The schema of batches with these columns, all text."""
    head = [("line", pa.int64()), ("fault", pa.string())]
    return pa.schema([*head, *((column, pa.string()) for column in columns)])
