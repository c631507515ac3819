"""ServeGen folders: request rates per client and ten minutes, with histograms of lengths per six hours.

Clients without lengths count as load of unknown lengths: they are reported, and their tokens are not invented. Lengths
are drawn independently of each other.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from planner.errors import TraceError
from planner.trace.documents import ClientCoverage
from planner.trace.imports import containers
from planner.trace.imports.batches import schema_of
from planner.trace.imports.sources import SERVEGEN_TRACES
from planner.trace.imports.unpacking import Log
from planner.units import US_PER_S, Floats, Ints

LENGTHS_S = 21_600
"""Published: a histogram of lengths applies for six hours."""
_COLUMNS = ["t", "rate", "cv", "pattern", "parameter_1", "parameter_2"]
_EXPECTED = ["input_mean", "output_mean"]
_INPUTS = ("input_tokens", "text_tokens")
"""Published: the folders of language models have the one, those of multimodal ones the other, beside image tokens."""
_FIELDS = (*_INPUTS, "output_tokens", "image_count", "image_tokens")
_NUMBER = re.compile(r"[-+.\deE]+")


@dataclass(frozen=True)
class Lengths:
    """A histogram: values in rising order with their shares, which sum to 1."""

    values: Ints
    shares: Floats

    @property
    def mean(self) -> float:
        return math.fsum(self.values * self.shares)


@dataclass(frozen=True)
class Client:
    """A client: its file of rates, and its histograms by start of six hours and field."""

    name: str
    rates: Path
    lengths: Mapping[int, Mapping[str, Lengths]]

    def lengths_at(self, at_s: int) -> tuple[Lengths, Lengths] | None:
        """Histograms of input and output at a time, if both are known."""
        fields = self.lengths.get(at_s // LENGTHS_S * LENGTHS_S, {})
        inputs = next((fields[name] for name in _INPUTS if name in fields), None)
        output = fields.get("output_tokens")
        return (inputs, output) if inputs and output else None


def clients_of(folder: Path) -> list[Client]:
    """The clients of a folder by number. Raises TraceError for lengths that cannot be read."""
    rates = sorted(folder.glob(SERVEGEN_TRACES), key=lambda path: (len(path.name), path.name))
    return [_client(path) for path in rates]


def _client(rates: Path) -> Client:
    name = rates.name.removesuffix("-trace.csv")
    path = rates.with_name(f"{name}-dataset.json")
    if not path.exists():
        return Client(name, rates, {})
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        histograms = {
            int(start): {field: _histogram(fields[field]) for field in _FIELDS if field in fields}
            for start, fields in data.items()
        }
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise TraceError(f"{path}: is not a file of lengths ({str(error)[:100]}); check that it is complete") from error
    return Client(
        name,
        rates,
        {start: {name: own for name, own in fields.items() if own} for start, fields in histograms.items()},
    )


def _histogram(text: str) -> Lengths | None:
    """A printed dict of value and share, taken apart and never evaluated; None for an empty one. Raises ValueError."""
    body = text.strip()
    if not (body.startswith("{") and body.endswith("}")):
        raise ValueError(f"{body[:20]!r} is not a histogram")
    if not body[1:-1].strip():
        return None
    pairs = [pair.split(":") for pair in body[1:-1].split(",")]
    if any(len(pair) != 2 or not all(_NUMBER.fullmatch(part.strip()) for part in pair) for pair in pairs):
        raise ValueError("a histogram contains more than pairs of numbers")
    values, weights = np.array(pairs, dtype=np.float64).T
    if not (np.isfinite(values).all() and (values >= 0).all() and (values < 2**31).all() and (weights >= 0).all()):
        raise ValueError("a histogram contains impossible lengths or shares")
    if not abs(weights.sum() - 1) < 1e-6:
        raise ValueError(f"the shares of a histogram sum to {weights.sum():.6f}")
    order = np.argsort(values)
    return Lengths(np.rint(values[order]).astype(np.int64), weights[order])


def batches(client: Client) -> Iterator[pa.RecordBatch]:
    """A client's windows as text, with the mean lengths that apply there, for the query `servegen`."""
    schema = schema_of([*_COLUMNS, *_EXPECTED])
    means = {
        start: tuple(repr(law.mean) for law in lengths)
        for start in client.lengths
        if (lengths := client.lengths_at(start))
    }
    for batch in containers.csv_batches(Log(client.rates), _COLUMNS):
        starts = [_whole(text) for text in batch.column("t").to_pylist()]
        expected = [means.get(start // LENGTHS_S * LENGTHS_S, (None, None)) for start in starts]
        columns = [pa.array([pair[place] for pair in expected], pa.string()) for place in range(2)]
        yield pa.record_batch([*batch.columns, *columns], schema=schema)


def _whole(text: str | None) -> int:
    try:
        return int(float(text or "-1"))
    except (ValueError, OverflowError):
        return -1


def coverage(rows: pl.DataFrame, clients: Sequence[Client], start_us: int) -> ClientCoverage:
    """How much of the load has lengths, and the tokens expected from it; images separately, where there are any.

    rows: imported windows; their file_index is the place of the client.
    """
    loaded = rows.filter(pl.col("requests") > 0)
    with_lengths = loaded.filter(pl.col("requests_with_lengths") > 0)
    requests, counted = int(loaded["requests"].sum()), int(with_lengths["requests_with_lengths"].sum())
    images = [_images(clients[place], (at_us - start_us) // US_PER_S, count) for place, at_us, count in _loads(loaded)]
    any_images = any(tokens for _, tokens in images)
    return ClientCoverage(
        requests=requests,
        requests_with_lengths=counted,
        request_share=counted / requests if requests else None,
        clients=len(clients),
        clients_with_lengths=sum(bool(client.lengths) for client in clients),
        expected_input_tokens=math.fsum(with_lengths["input_tokens"]),
        expected_output_tokens=math.fsum(with_lengths["output_tokens"]),
        expected_images=math.fsum(number for number, _ in images) if any_images else None,
        expected_image_tokens=math.fsum(tokens for _, tokens in images) if any_images else None,
    )


def _loads(rows: pl.DataFrame) -> Iterator[tuple[int, int, int]]:
    """Client, start and requests of windows."""
    yield from rows.select("file_index", "start_us", "requests").iter_rows()


def _images(client: Client, at_s: int, requests: int) -> tuple[float, float]:
    """Expected images and their tokens."""
    fields = client.lengths.get(at_s // LENGTHS_S * LENGTHS_S, {})
    if "image_count" not in fields or "image_tokens" not in fields:
        return 0.0, 0.0
    images = requests * fields["image_count"].mean
    return images, images * fields["image_tokens"].mean
