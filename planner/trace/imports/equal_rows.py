"""Rows that may have been sent twice: without an id, that cannot be told, and all of them count."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from planner.store.staging import Staging

_MOST_COMPARED = 20_000_000
"""Rows that are looked at for equal ones; more would take a minute."""
_MANY_EQUAL = 0.05
"""Assumed share: times of whole seconds make as many rows of a busy log equal by chance."""


def equal_notes(stage: Staging, rows: int) -> list[str]:
    """What the user is to know of imported rows without an id that equal others. rows: imported ones."""
    if rows > _MOST_COMPARED:
        return []
    equal, across = stage.equal_rows()
    if not across and equal < _MANY_EQUAL * rows:
        return []
    where = f"{across:,} rows equal a row of another file" if across else f"{equal:,} rows equal another row"
    return [
        f"{where} and carry no id, so that all count; if they were sent twice, leave them out, or name the column of "
        "their ids with --column id=NAME where the format has one"
    ]


class EqualNeighbours:
    """Counts the plain requests that equal the one before them in arrival order, which costs next to nothing."""

    def __init__(self) -> None:
        self._equal = 0
        self._rows = 0
        self._last: dict[str, int | None] | None = None

    def add(self, batch: pa.RecordBatch) -> None:
        """Count in a batch, which follows the one before."""
        arrivals = batch.column("arrival_us").to_numpy()
        same = arrivals[1:] == arrivals[:-1]
        for name in batch.schema.names:
            if name != "arrival_us" and same.any():
                column = batch.column(name)
                values = (pc.fill_null(column, -1) if column.null_count else column).to_numpy()
                same &= values[1:] == values[:-1]
        self._rows += batch.num_rows
        self._equal += int(np.count_nonzero(same)) + (self._last == batch.slice(0, 1).to_pylist()[0])
        self._last = batch.slice(batch.num_rows - 1).to_pylist()[0]

    def call_for_more(self, files: int) -> bool:
        """Whether so many are equal that all rows are to be compared."""
        return self._equal > 0 if files > 1 else self._equal >= max(_MANY_EQUAL * self._rows, 1)
