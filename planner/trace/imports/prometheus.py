"""Counters of inference servers, queried from a Prometheus server over its HTTP API, as demand per window.

A counter that falls was reset by a restart: what it counts afterwards is new. What it counted before it was first
seen is not known and left out, as Prometheus's own increase() does. Gaps between samples are filled evenly.
"""

import hashlib
import json
import math
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPException

import numpy as np
import pyarrow as pa

from planner.errors import TraceError
from planner.trace.imports.batches import schema_of
from planner.units import Floats, Ints

COLUMNS = ("window_start", "window_end", "requests", "input_tokens", "cached_input_tokens", "output_tokens")
MOST_WINDOWS = 200_000
"""As many as a plan can have intervals."""
_POINTS = 10_000
"""Published: Prometheus answers with at most 11,000 points per series."""
_RESOLUTION_S = 15
"""Published: the scrape interval in Prometheus's "First steps" guide. What a counter counted after its last point
before a restart is not known, so windows are queried in steps no longer than this."""
_TIMEOUT_S = 60
_MOST_BYTES = 256 << 20
"""Assumed: 10,000 points of a thousand series need less."""


@dataclass(frozen=True, kw_only=True)
class CounterSpan:
    """The time span of a query: seconds since the epoch, and label matchers as in PromQL, such as job="vllm"."""

    start_s: int
    end_s: int
    step_s: int
    selector: str = ""

    @property
    def windows(self) -> int:
        """Whole windows inside."""
        return (self.end_s - self.start_s) // self.step_s

    @property
    def marks_s(self) -> Floats:
        """Edges of the windows."""
        return np.arange(self.start_s, self.end_s + 1, self.step_s, dtype=np.float64)


@dataclass(frozen=True)
class CounterWindows:
    """Windows as rows for the query `windows`, and the digest of what was counted."""

    batch: pa.RecordBatch
    digest: str


def is_server(word: str) -> bool:
    """Whether a word is the address of a server."""
    return word.startswith(("http://", "https://"))


def has_counter(url: str, metric: str, span: CounterSpan) -> bool:
    """Whether a counter has samples in the range. Raises TraceError."""
    return any(_parts(url, metric, span))


def read_counters(url: str, metrics: Mapping[str, str], span: CounterSpan) -> CounterWindows:
    """The increases of counters per window. metrics: field -> counter. Raises TraceError.

    Cached tokens are at most the input tokens of their window: the two counters are not updated at the same moment.
    """
    sums = {field: _increases(url, metric, span) for field, metric in metrics.items()}
    sums["cached_input_tokens"] = np.minimum(sums["cached_input_tokens"], sums["input_tokens"])
    starts = span.marks_s[:-1].astype(np.int64)
    numbers = [starts, starts + span.step_s, *(sums[field] for field in COLUMNS[2:])]
    digest = hashlib.sha256(b"".join(column.tobytes() for column in numbers)).hexdigest()
    columns = [pa.array(column).cast(pa.string()) for column in numbers]
    lines, faults = pa.array(np.arange(1, len(starts) + 1)), pa.nulls(len(starts), pa.string())
    return CounterWindows(pa.record_batch([lines, faults, *columns], schema=schema_of(COLUMNS)), digest)


def _increases(url: str, metric: str, span: CounterSpan) -> Ints:
    """What all series of a counter grew by in every window."""
    marks = span.marks_s
    windows = np.zeros(len(marks) - 1)
    last: dict[str, tuple[float, float]] = {}
    for series in _parts(url, metric, span):
        for labels, samples in series.items():
            before = [last[labels]] if labels in last else []
            times, values = np.array([*before, *sorted(samples.items())]).T
            last[labels] = (times[-1], values[-1])
            first = max(int(np.searchsorted(marks, times[0], "right")) - 1, 0)
            near = marks[first : int(np.searchsorted(marks, times[-1])) + 1]
            windows[first : first + max(len(near) - 1, 0)] += np.diff(np.interp(near, times, growth(values)))
    edges: Ints = np.rint(np.cumsum(np.append(0.0, windows))).astype(np.int64)
    return np.diff(edges)


def growth(values: Floats) -> Floats:
    """What a counter counted since its first sample, over restarts."""
    steps = np.diff(values)
    return np.concatenate([[0.0], np.cumsum(np.where(steps < 0, values[1:], steps))])


def _parts(url: str, metric: str, span: CounterSpan) -> Iterator[dict[str, dict[float, float]]]:
    """Samples of every series of a metric by its labels, for one part of the range after the other."""
    matchers = ",".join(part for part in (f'__name__="{metric}"', span.selector) if part)
    every_s = max(s for s in range(1, min(_RESOLUTION_S, span.step_s) + 1) if span.step_s % s == 0)
    most = _POINTS * every_s
    for start_s in range(span.start_s, span.end_s + 1, most):
        end_s = min(start_s + most - every_s, span.end_s)
        words = {"query": f"{{{matchers}}}", "start": start_s, "end": end_s, "step": every_s}
        series: dict[str, dict[float, float]] = {}
        for labels, samples in _answer(f"{url.rstrip('/')}/api/v1/query_range?{urllib.parse.urlencode(words)}", url):
            finite = {at: value for at, value in samples.items() if math.isfinite(value)}
            if finite:
                series.setdefault(json.dumps(labels, sort_keys=True), {}).update(finite)
        yield series


def _answer(address: str, url: str) -> list[tuple[dict[str, str], dict[float, float]]]:
    """Labels and samples of the series of an answer. Raises TraceError for everything else."""
    try:
        with urllib.request.urlopen(address, timeout=_TIMEOUT_S) as response:  # http and https only, see is_server
            body = response.read(_MOST_BYTES + 1)
    except urllib.error.HTTPError as error:
        raise TraceError(f"{url}: answers {error.code}: {_reason(error.read(1 << 16))}; check the address") from error
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise TraceError(f"{url}: does not answer ({str(reason)[:200]}); check the address") from error
    if len(body) > _MOST_BYTES:
        raise TraceError(f"{url}: answers with more than {_MOST_BYTES >> 20} MiB; narrow it with --selector")
    try:
        return [
            (dict(series["metric"]), {float(at): float(value) for at, value in series["values"]})
            for series in json.loads(body)["data"]["result"]
        ]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise TraceError(f"{url}: does not answer like Prometheus; check the address") from error


def _reason(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"])[:200]
    except (ValueError, KeyError, TypeError, RecursionError):
        return body.decode("utf-8", "replace").split("\n")[0][:80] or "without a reason"
