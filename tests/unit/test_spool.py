"""Spools give back what was put in, in order, from memory and from a file without a name."""

from pathlib import Path

import pyarrow as pa
import pytest

from planner.trace.spool import Spool

TOLD = [("arrival_us", pa.int64()), ("input_tokens", pa.int32()), ("output_tokens", pa.int32())]
SCHEMA = pa.schema(TOLD)


def batch(start: int, rows: int) -> pa.RecordBatch:
    at = pa.array(range(start, start + rows), pa.int64())
    return pa.record_batch([at, pa.array([start] * rows, pa.int32()), pa.array([2] * rows, pa.int32())], schema=SCHEMA)


@pytest.mark.parametrize("memory_bytes", [0, 100, 1_000_000])
def test_batches_come_back_in_order_wherever_they_were_kept(tmp_path: Path, memory_bytes: int) -> None:
    with Spool(SCHEMA, tmp_path, memory_bytes) as spool:
        for start in range(0, 100, 7):
            spool.write(batch(start, 7))
        spool.write(batch(105, 0))
        assert spool.rows == 105
        assert (spool.first_arrival_us, spool.last_arrival_us) == (0, 104)
        assert spool.sums == {
            "input_tokens": 7 * sum(range(0, 100, 7)),
            "cached_input_tokens": 0,
            "output_tokens": 2 * 105,
        }
        assert spool.cached_unknown == 105, "cached tokens without a column are unknown"
        assert list(tmp_path.iterdir()) == [], "the file has no name"
        assert spool.read().read_all()["arrival_us"].to_pylist() == list(range(105))


def test_rows_out_of_order_are_a_defect(tmp_path: Path) -> None:
    with Spool(SCHEMA, tmp_path) as spool:
        spool.write(batch(10, 2))
        with pytest.raises(AssertionError, match="arrival order"):
            spool.write(batch(5, 2))
