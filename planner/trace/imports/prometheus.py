"""Counters of inference servers, queried from a Prometheus server over its HTTP API, as demand per window.

A counter that falls was reset by a restart: what it counts afterwards is new. What it counted before it was first
seen is not known and left out, as Prometheus's own increase() does. Gaps between samples are filled evenly.
"""

import hashlib
import json
import math
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from planner.addresses import below, web_address, without_secrets
from planner.errors import TraceError, UsageError
from planner.input_files import read_text
from planner.trace.imports.batches import schema_of
from planner.trace.imports.counters import NEEDED, Counter, CounterNames, cautions
from planner.trace.imports.presence import Presence, lacking
from planner.units import Bools, Floats, Ints

COLUMNS = ("window_start", "window_end", "requests", "input_tokens", "cached_input_tokens", "output_tokens")
_TOKEN_FILE = "--bearer-token-file"
_CACHED = "cached_input_tokens"
MOST_WINDOWS = 200_000
"""As many as a plan can have intervals."""
_POINTS = 10_000
"""Published: Prometheus answers with at most 11,000 points per series."""
_RESOLUTION_S = 15
"""Published: the scrape interval in Prometheus's "First steps" guide. What a counter counted after its last point
before a restart is not known, so windows are queried in steps no longer than this."""
_TIMEOUT_S = 60
_LEAST_SECRET = 4
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*:\s*([\t\x20-\x7e\x80-\xff]*)")
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
    def sampled_s(self) -> int:
        """Seconds from one point to the next that are asked for: windows are whole numbers of them."""
        return max(s for s in range(1, min(_RESOLUTION_S, self.step_s) + 1) if self.step_s % s == 0)

    @property
    def marks_s(self) -> Floats:
        """Edges of the windows."""
        return np.arange(self.start_s, self.end_s + 1, self.step_s, dtype=np.float64)


@dataclass(frozen=True)
class CounterWindows:
    """Windows as rows for the query `windows`, the digest of what was counted, and what the user is to know."""

    batch: pa.RecordBatch
    digest: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Server:
    """A monitoring server.

    shown: its scheme and host, for people. url and headers: its address without a login, and what is sent with every
    query; they are never shown.
    """

    shown: str
    url: str = field(repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    def hidden(self, text: str) -> str:
        """A text without what is sent, should a server repeat it."""
        text = without_secrets(text)
        parts = urllib.parse.urlsplit(self.url)
        if len(parts.path) > 1:
            text = text.replace(parts.path, "/...")
        for _, value in (*self.headers, *urllib.parse.parse_qsl(parts.query)):
            for secret in (value, value.partition(" ")[2]):
                text = text.replace(secret, "***") if len(secret) >= _LEAST_SECRET else text
        return text


def server_at(url: str, headers: Sequence[str] = (), token_file: Path | None = None) -> Server:
    """A server and how it is spoken to. Raises UsageError, whose text has no credentials.

    headers: as `Name: value`. token_file: a file with a bearer token alone.
    """
    try:
        address = web_address(url)
    except ValueError as error:
        raise UsageError(f"the address of the server {error}") from error
    sent: list[tuple[str, str]] = []
    for number, header in enumerate(headers, 1):
        match = _HEADER.fullmatch(header.strip())
        if match is None:
            raise UsageError(f"--header number {number} is not written as 'Name: value'; correct it")
        sent.append((match[1], match[2].strip()))
    if token_file is not None:
        sent.append(("Authorization", f"Bearer {_token(token_file)}"))
    if address.authorization is not None:
        sent.append(("Authorization", address.authorization))
    names = [name.lower() for name, _ in sent]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise UsageError(
            f"the header {twice} is given twice, by --header, --bearer-token-file or the address; give one"
        )
    return Server(address.shown, address.url, tuple(sent))


def _token(path: Path) -> str:
    token = read_text(path, cure="put the token alone into a file", named_by=_TOKEN_FILE).strip()
    if not re.fullmatch(r"[\x21-\x7e]+", token):
        what = "is not one token" if token else "is empty"
        raise UsageError(f"--bearer-token-file {path}: {what}; put the token alone into it")
    return token


def has_counter(server: Server, counter: Counter, span: CounterSpan) -> bool:
    """Whether a counter has samples in the range. Raises TraceError."""
    return any(_parts(server, counter, span, set()))


def read_counters(server: Server, names: CounterNames, span: CounterSpan) -> CounterWindows:
    """The increases of counters per window. Raises TraceError where requests, input or output are not counted.

    Cached tokens are at most the input tokens of their window: the two counters are not updated at the same moment.
    """
    notes: list[str] = []
    found = {name: _field(server, names, name, span, notes) for name in COLUMNS[2:]}
    missing = [name for name, counted in found.items() if counted is None and name != _CACHED]
    if missing:
        looked_for = "; ".join(f"{name}: {names.all_of(name)}" for name in missing)
        raise TraceError(
            f"{server.shown}: has no counter of {', '.join(missing)} from --from to --to ({looked_for}); name it with "
            f"--metric {missing[0]}=NAME, or check the times and the --selector"
        )
    counted = {name: one for name, one in found.items() if one is not None}
    faults = _faults(server, counted, span)
    numbers = {name: one.windows for name, one in counted.items()}
    unknown = np.ones(span.windows, bool)
    if _CACHED in counted:
        numbers[_CACHED] = np.minimum(numbers[_CACHED], numbers["input_tokens"])
        unknown = _lacks(counted, _CACHED, ["input_tokens"], span)
        if unknown.any():
            notes.append(
                f"cached tokens are not counted in {unknown.sum():,} of {span.windows:,} windows on a server that "
                "counts input, so they are unknown there and planned as none; name another counter with "
                f"--metric {_CACHED}=NAME"
            )
    else:
        notes.append(
            f"cached tokens are not counted ({names.all_of(_CACHED)}), so they are unknown and planned as none; name a "
            f"counter with --metric {_CACHED}=NAME"
        )
    batch = _rows(span, numbers, unknown, faults)
    digest = hashlib.sha256(b"".join(column.tobytes() for column in (*_edges(span), *numbers.values())))
    digest.update(",".join(counted).encode() if len(counted) < len(found) else b"")
    if faults.null_count < len(faults) or (_CACHED in counted and unknown.any()):
        digest.update(repr((faults.to_pylist(), unknown.tolist())).encode())
    return CounterWindows(batch, digest.hexdigest(), tuple(notes))


def _edges(span: CounterSpan) -> tuple[Ints, Ints]:
    starts = span.marks_s[:-1].astype(np.int64)
    return starts, starts + span.step_s


def _rows(span: CounterSpan, numbers: Mapping[str, Ints], unknown: Bools, faults: pa.StringArray) -> pa.RecordBatch:
    """Windows as rows. unknown: those whose cached tokens are. faults: why a window cannot be read."""
    nothing = pa.nulls(span.windows, pa.string())
    texts = {name: pa.array(numbers[name]).cast(pa.string()) if name in numbers else nothing for name in COLUMNS[2:]}
    texts[_CACHED] = pc.if_else(pa.array(unknown), nothing, texts[_CACHED])
    columns = [*(pa.array(column).cast(pa.string()) for column in _edges(span)), *texts.values()]
    lines = pa.array(np.arange(1, span.windows + 1))
    return pa.record_batch([lines, faults, *columns], schema=schema_of(COLUMNS))


def _faults(server: Server, counted: Mapping[str, "_Counted"], span: CounterSpan) -> pa.StringArray:
    """Why windows cannot be read: what a server served in them is not told as a whole. Raises TraceError for all."""
    faults = np.full(span.windows, None, object)
    for name in NEEDED:
        others = [other for other in NEEDED if other != name]
        why = f"{name} are not counted ({counted[name].name}) on a server that counts {' or '.join(others)}"
        faults[_lacks(counted, name, others, span)] = why
    if all(fault is not None for fault in faults):
        name = faults[0].split()[0]
        raise TraceError(
            f"{server.shown}: in every window {faults[0]}; name another counter with --metric {name}=NAME, or leave "
            "that server out with --selector"
        )
    return pa.array(faults, pa.string())


def _lacks(counted: Mapping[str, "_Counted"], name: str, others: Sequence[str], span: CounterSpan) -> Bools:
    """The windows in which a server that counts others lacks a counter."""
    lacks = np.zeros(span.windows, bool)
    for other in others:
        lacks |= lacking(counted[other].series, counted[name].series, span.marks_s, span.sampled_s)
    return lacks


@dataclass(frozen=True)
class _Counted:
    """What a field's counters grew by in every window, their series, and the name of the first of them."""

    windows: Ints
    series: tuple[Presence, ...]
    name: str


def _field(server: Server, names: CounterNames, name: str, span: CounterSpan, notes: list[str]) -> _Counted | None:
    """What the first way to tell a field counts, of which the server has any counter; None where it has none."""
    for place, way in enumerate(names.ways[name]):
        seen: set[str] = set()
        found = [(counter, _increases(server, counter, span, seen)) for counter in way]
        there = [(counter, series) for counter, series in found if series]
        if there:
            notes += cautions(sorted(seen))
            if place:
                notes.append(f"{name} are counted by {' + '.join(counter.names[0] for counter in way)}")
            total: Ints = np.sum([_summed(series, span) for _, series in there], axis=0)
            return _Counted(total, tuple(one for _, series in there for one in series), there[0][0].names[0])
    return None


def _summed(series: Sequence[Presence], span: CounterSpan) -> Ints:
    """What all series of a counter grew by in every window, in whole numbers."""
    windows = np.zeros(span.windows)
    for one in series:
        windows[one.from_window : one.from_window + len(one.grown)] += one.grown
    edges: Ints = np.rint(np.cumsum(np.append(0.0, windows))).astype(np.int64)
    return np.diff(edges)


def _increases(server: Server, counter: Counter, span: CounterSpan, seen: set[str]) -> list[Presence]:
    """The series of a counter and what each grew by in every window.

    A server that tells it under several names tells the same: of two samples of one time and the same labels, the one
    of the preferred name counts. seen: gets the names that it has.
    """
    marks = span.marks_s
    first_s: dict[str, float] = {}
    last: dict[str, tuple[float, float]] = {}
    pieces: dict[str, list[tuple[int, Floats]]] = {}
    for part in _parts(server, counter, span, seen):
        for labels, samples in part.items():
            before = [last[labels]] if labels in last else []
            times, values = np.array([*before, *sorted(samples.items())]).T
            first_s.setdefault(labels, times[0])
            last[labels] = (times[-1], values[-1])
            first = max(int(np.searchsorted(marks, times[0], "right")) - 1, 0)
            near = marks[first : int(np.searchsorted(marks, times[-1])) + 1]
            pieces.setdefault(labels, []).append((first, np.diff(np.interp(near, times, growth(values)))))
    return [_presence(json.loads(labels), first_s[labels], last[labels][0], grown) for labels, grown in pieces.items()]


def _presence(
    labels: Mapping[str, str], first_s: float, last_s: float, pieces: Sequence[tuple[int, Floats]]
) -> Presence:
    first, grown = _joined(pieces)
    return Presence(labels=labels, first_s=first_s, last_s=last_s, from_window=first, grown=grown)


def _joined(pieces: Sequence[tuple[int, Floats]]) -> tuple[int, Floats]:
    """The first window of growth in pieces, which may share windows at their ends, and the growth from there on."""
    first = pieces[0][0]
    grown = np.zeros(max(at + len(piece) for at, piece in pieces) - first)
    for at, piece in pieces:
        grown[at - first : at - first + len(piece)] += piece
    return first, grown


def growth(values: Floats) -> Floats:
    """What a counter counted since its first sample, over restarts."""
    steps = np.diff(values)
    return np.concatenate([[0.0], np.cumsum(np.where(steps < 0, values[1:], steps))])


def _parts(
    server: Server, counter: Counter, span: CounterSpan, seen: set[str]
) -> Iterator[dict[str, dict[float, float]]]:
    """Samples of every series of a counter by its labels, for one part of the range after the other."""
    matchers = ",".join(part for part in (counter.matcher, span.selector) if part)
    every_s = span.sampled_s
    most = _POINTS * every_s
    for start_s in range(span.start_s, span.end_s + 1, most):
        end_s = min(start_s + most - every_s, span.end_s)
        words = {"query": f"{{{matchers}}}", "start": start_s, "end": end_s, "step": every_s}
        series: dict[str, dict[float, float]] = {}
        address = below(server.url, "api/v1/query_range", **words)
        found = [(labels.pop("__name__", ""), labels, samples) for labels, samples in _answer(server, address)]
        seen.update(name for name, _, _ in found)
        for _, labels, samples in sorted(found, key=lambda one: -counter.preference(one[0])):
            finite = {at: value for at, value in samples.items() if math.isfinite(value)}
            if finite:
                series.setdefault(json.dumps(labels, sort_keys=True), {}).update(finite)
        if series:
            yield series


def _answer(server: Server, address: str) -> list[tuple[dict[str, str], dict[float, float]]]:
    """Labels and samples of the series of an answer. Raises TraceError for everything else."""
    url = server.shown
    request = urllib.request.Request(address)
    for name, value in server.headers:
        request.add_unredirected_header(name, value)  # another host is not told
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as response:
            body = response.read(_MOST_BYTES + 1)
    except urllib.error.HTTPError as error:
        reason = server.hidden(_reason(error.read(1 << 16)))
        cure = "give a token or a header that it accepts" if error.code in (401, 403) else "check the address"
        raise TraceError(f"{url}: answers {error.code}: {reason}; {cure}") from error
    except (OSError, HTTPException, ValueError) as error:
        reason = server.hidden(str(getattr(error, "reason", None) or error))
        raise TraceError(f"{url}: does not answer ({reason[:200]}); check the address") from error
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
