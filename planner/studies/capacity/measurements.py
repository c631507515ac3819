"""Measured decode points from files: plain tables, and the output of benchmark tools of serving engines."""

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path

from planner.documents import Document
from planner.errors import PlannerError, UsageError
from planner.input_files import MOST_MEASURED_BYTES, is_file, read_input

SHAPES = (
    "CSV or JSON list of streams, kv_tokens, step_ms; vLLM `bench serve --save-result`; GuideLLM benchmarks.json; "
    "AIPerf or GenAI-Perf profile_export .json or .csv"
)
MOST = 1e15
"""Largest number that is taken for a measurement. Assumed: no run has as many tokens, streams or milliseconds."""
PLAIN_KEYS = ("streams", "batch", "kv_tokens", "kv_length", "step_ms")
PLAIN_CURE = "give streams (or batch), kv_tokens (or kv_length) and step_ms in every row, each more than 0"

VLLM_KEYS = ("mean_tpot_ms", "mean_itl_ms", "total_input_tokens", "total_output_tokens")
"""Published: vllm/benchmarks/serve.py and, before it, benchmarks/benchmark_serving.py of vllm-project/vllm. SGLang's
bench_serving writes the same keys."""
VLLM_CURE = "measure again with streamed answers of more than one token and `--percentile-metrics ttft,tpot,itl`"

GUIDELLM_CURE = "measure again with GuideLLM 0.2 or newer and streamed answers, or remove the benchmark from the file"
"""The keys read are published: src/guidellm/benchmark of vllm-project/guidellm, the same in the reports without a
version and in report versions 1 and 2."""

AIPERF_KEYS = ("inter_token_latency", "input_sequence_length", "output_sequence_length", "output_token_throughput")
"""Published: docs/reference/json-export-schema.md of ai-dynamo/aiperf, schemas 1.0 to 1.5, and GenAI-Perf's exporters
in triton-inference-server/perf_analyzer, whose shape AIPerf kept."""
AIPERF_CONCURRENCY = (
    "input_config.phases.profiling.concurrency",  # AIPerf, since its configuration has phases
    "input_config.loadgen.concurrency",  # AIPerf before
    "input_config.perf_analyzer.stimulus.concurrency",  # GenAI-Perf, since its configuration is a file
    "input_config.concurrency",  # GenAI-Perf before
)
AIPERF_CURE = "measure again with --streaming and answers of more than one token"

SPECULATION_KEYS = ("spec_decode_acceptance_length", "acceptance_length", "accept_length")
"""Published: what vLLM and AIPerf (JSON), AIPerf (CSV) and SGLang write where more than one token came of a step."""


@dataclass(frozen=True, kw_only=True)
class MeasuredPoint(Document):
    """One measured decode step."""

    streams: float
    """Concurrent streams per GPU."""
    kv_tokens: float
    """Mean context of a stream while it decodes."""
    step_ms: float
    """Time of one decode step."""
    source: str
    """File and entry."""


@dataclass(frozen=True, kw_only=True)
class _BenchmarkRun:
    """What a tool reports of a whole run: a step, the mean tokens of a request, and the keys of the concurrency.

    rate_key: output tokens per second of all requests. concurrency_keys: requests at once, where there is no rate.
    """

    step_ms: float
    input_tokens: float
    output_tokens: float
    rate_key: str
    concurrency_keys: tuple[str, ...]


@dataclass(frozen=True)
class _Entry:
    """One measurement in a file, and where it is."""

    source: str
    values: object
    guidellm: bool = False

    def find(self, key: str) -> object:
        """The value at a dotted key, or None. In a list, the member of that name."""
        value = self.values
        for part in key.split("."):
            if isinstance(value, list):
                value = next((item for item in value if isinstance(item, dict) and item.get("name") == part), None)
            else:
                value = value.get(part) if isinstance(value, dict) else None
        return value

    def optional(self, cure: str, *keys: str) -> float | None:
        """The number at the first key that is present, or None. Raises PlannerError for values not above 0."""
        for key in keys:
            value = self.find(key)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= MOST:
                what = f"not a number above 0 and up to {MOST:g}"
                raise PlannerError(f'{self.source}: "{key}" is {repr(value)[:40]}, {what}; {cure}')
            return float(value)
        return None

    def number(self, cure: str, *keys: str) -> float:
        """The number at the first key that is present. Raises PlannerError if none is."""
        value = self.optional(cure, *keys)
        if value is None:
            names = " or ".join(f'"{key}"' for key in keys)
            raise PlannerError(f"{self.source}: {names} is missing; {cure}")
        return value


def read_points(path: Path, *, gpus: int = 1) -> tuple[MeasuredPoint, ...]:
    """The decode points of a file, whose format is recognised by its content. Raises PlannerError, UsageError.

    A plain table holds streams per GPU and is taken as it is. The tools measure an endpoint, which has `gpus` GPUs. Its
    streams come by Little's law: output tokens per second × seconds per token, without the first token of every answer,
    which prefill yields. The concurrency that a run was driven with counts streams still in prefill too; it is used
    only if the file has no output throughput. All are means over the whole run, ramps included. The context is the
    mean input + half the mean output. A step is one token of a stream: speculative decoding, which yields more, is out
    of scope, and refused where the file shows it.
    """
    if gpus < 1:
        raise UsageError(f"--server-gpus is {gpus}; give the number of GPUs behind the endpoint, at least 1")
    text = _text(path)
    entries = _json_entries(text, path) if text[0] in "{[" else _csv_entries(text, path)
    if not entries:
        raise PlannerError(f"{path}: contains no measurement; give one of: {SHAPES}")
    return tuple(_point(entry, gpus) for entry in entries)


def _text(path: Path) -> str:
    if not is_file(path):
        raise PlannerError(f"{path} is not a file; check the path")
    content = read_input(path, cure="check the path", most=MOST_MEASURED_BYTES, error=PlannerError)
    try:
        text = content.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise PlannerError(f"{path}: is not UTF-8 text; give one of: {SHAPES}") from error
    if not text:
        raise PlannerError(f"{path}: is empty; give one of: {SHAPES}")
    return text


def _json_entries(text: str, path: Path) -> list[_Entry]:
    """Entries of one document, or of several one after the other, as `--append-result` leaves them."""
    documents: list[object] = []
    start = 0
    try:
        while start < len(text):
            document, end = json.JSONDecoder().raw_decode(text, start)
            documents.append(document)
            start = len(text) - len(text[end:].lstrip())
    except (ValueError, RecursionError) as error:
        raise PlannerError(f"{path}: is not valid JSON ({str(error).splitlines()[0]}); generate it again") from error
    if len(documents) == 1 and isinstance(documents[0], list):
        documents = documents[0]
    elif len(documents) == 1:
        return _unfold(_Entry(str(path), documents[0]))
    named = (_Entry(f"{path}, entry {number}", document) for number, document in enumerate(documents, 1))
    return [entry for whole in named for entry in _unfold(whole)]


def _unfold(entry: _Entry) -> list[_Entry]:
    """The benchmarks of a GuideLLM report, or the entry itself."""
    benchmarks = entry.find("benchmarks")
    if not isinstance(benchmarks, list):
        return [entry]
    return [
        _Entry(f"{entry.source}, benchmark {number}", benchmark, guidellm=True)
        for number, benchmark in enumerate(benchmarks, 1)
    ]


def _csv_entries(text: str, path: Path) -> list[_Entry]:
    reader = csv.reader(io.StringIO(text))
    try:
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(map(str.strip, row))]
    except csv.Error as error:
        raise PlannerError(
            f"{path}, line {reader.line_num}: is not valid CSV ({error}); give one of: {SHAPES}"
        ) from error
    header = rows[0][1] if rows else []
    if header[:2] == ["Metric", "avg"]:
        return [_Entry(str(path), _metrics([row for _, row in rows]))]
    if not set(header) & set(PLAIN_KEYS):
        raise PlannerError(f"{path}: is in none of the known formats; give one of: {SHAPES}")
    entries = []
    for line, row in rows[1:]:
        if len(row) != len(header):
            raise PlannerError(f"{path}, line {line}: has {len(row)} cells for {len(header)} columns; {PLAIN_CURE}")
        entries.append(_Entry(f"{path}, line {line}", dict(zip(header, map(_cell, row), strict=True))))
    return entries


def _metrics(rows: list[list[str]]) -> dict[str, object]:
    """The tables `Metric, avg, ...` and `Metric, Value` of AIPerf and GenAI-Perf as their JSON says it."""
    metrics: dict[str, object] = {}
    for row in rows:
        name, _, unit = row[0].partition(" (")
        if len(row) > 1:  # GenAI-Perf groups thousands with commas
            value = {"unit": unit.rstrip(")"), "avg": _cell(row[1].replace(",", ""))}
            metrics.setdefault(name.lower().replace(" ", "_"), value)
    return metrics


def _cell(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _point(entry: _Entry, gpus: int) -> MeasuredPoint:
    for key in SPECULATION_KEYS:
        if entry.find(key) is not None:
            raise PlannerError(f'{entry.source}: "{key}" shows speculative decoding; measure again without it')
    if entry.guidellm:
        return _guidellm(entry, gpus)
    if any(isinstance(entry.find(key), dict) for key in AIPERF_KEYS):
        return _aiperf(entry, gpus)
    if any(entry.find(key) is not None for key in VLLM_KEYS):
        return _vllm(entry, gpus)
    if any(entry.find(key) is not None for key in PLAIN_KEYS):
        return _plain(entry)
    raise PlannerError(f"{entry.source}: is in none of the known formats; give one of: {SHAPES}")


def _plain(entry: _Entry) -> MeasuredPoint:
    return MeasuredPoint(
        streams=entry.number(PLAIN_CURE, "streams", "batch"),
        kv_tokens=entry.number(PLAIN_CURE, "kv_tokens", "kv_length"),
        step_ms=entry.number(PLAIN_CURE, "step_ms"),
        source=entry.source,
    )


def _vllm(entry: _Entry, gpus: int) -> MeasuredPoint:
    # a chunk can contain several tokens, and ITL is measured between chunks here, so TPOT comes first
    step_ms = entry.number(VLLM_CURE, "mean_tpot_ms", "mean_itl_ms")
    completed = entry.number(VLLM_CURE, "completed")
    run = _BenchmarkRun(
        step_ms=step_ms,
        input_tokens=entry.number(VLLM_CURE, "total_input_tokens") / completed,
        output_tokens=entry.number(VLLM_CURE, "total_output_tokens") / completed,
        rate_key="output_throughput",
        concurrency_keys=("max_concurrency",),
    )
    return _measured(entry, gpus, run)


def _guidellm(entry: _Entry, gpus: int) -> MeasuredPoint:
    # its time_per_output_token_ms includes the first token
    run = _BenchmarkRun(
        step_ms=entry.number(GUIDELLM_CURE, "metrics.inter_token_latency_ms.successful.mean"),
        input_tokens=entry.number(GUIDELLM_CURE, "metrics.prompt_token_count.successful.mean"),
        output_tokens=entry.number(GUIDELLM_CURE, "metrics.output_token_count.successful.mean"),
        # of all requests, since those cut off at the end of the run were decoded too
        rate_key="metrics.output_tokens_per_second.total.mean",
        concurrency_keys=("metrics.request_concurrency.total.mean",),
    )
    return _measured(entry, gpus, run)


def _aiperf(entry: _Entry, gpus: int) -> MeasuredPoint:
    step_ms = entry.number(AIPERF_CURE, "inter_token_latency.avg")
    unit = entry.find("inter_token_latency.unit")
    if unit != "ms":
        raise PlannerError(f'{entry.source}: "inter_token_latency.unit" is {repr(unit)[:40]}; give the times in "ms"')
    run = _BenchmarkRun(
        step_ms=step_ms,
        input_tokens=entry.number(AIPERF_CURE, "input_sequence_length.avg"),
        output_tokens=entry.number(AIPERF_CURE, "output_sequence_length.avg"),
        rate_key="output_token_throughput.avg",
        concurrency_keys=AIPERF_CONCURRENCY,
    )
    return _measured(entry, gpus, run)


def _measured(entry: _Entry, gpus: int, run: _BenchmarkRun) -> MeasuredPoint:
    """The point of a run against an endpoint with that number of GPUs."""
    outputs = run.output_tokens
    if outputs <= 1:
        raise PlannerError(
            f"{entry.source}: {outputs:g} output tokens per request leave no decode step; request longer outputs"
        )
    rate = entry.optional("measure again, or remove it", run.rate_key)
    if rate is None:
        streams = entry.number(f'without "{run.rate_key}", give the concurrency', *run.concurrency_keys)
    else:
        streams = rate * (1 - 1 / outputs) * run.step_ms / 1e3
    point = MeasuredPoint(
        streams=streams / gpus,
        kv_tokens=run.input_tokens + outputs / 2,
        step_ms=run.step_ms,
        source=entry.source,
    )
    if not all(0 < value <= MOST for value in (point.streams, point.kv_tokens)):
        raise PlannerError(
            f"{entry.source}: gives {point.streams:g} streams of {point.kv_tokens:g} tokens; check the numbers"
        )
    return point
