"""AIPerf's and GenAI-Perf's exports, JSON and CSV.

Published: docs/reference/json-export-schema.md of ai-dynamo/aiperf, schemas 1.0 to 1.5, and GenAI-Perf's exporters in
triton-inference-server/perf_analyzer, whose shape AIPerf kept. Every figure has its unit beside it.
"""

from planner.errors import PlannerError
from planner.studies.capacity.measured.entries import Entry
from planner.studies.capacity.measured.formats import Format, in_flight, mean_or_median
from planner.studies.capacity.measured.serving import MeasuredServing

KEYS = (
    "inter_token_latency",
    "time_to_first_token",
    "input_sequence_length",
    "output_sequence_length",
    "output_token_throughput",
)
CURE = "measure again with --streaming and answers of more than one token"
_LIMITS = (
    "input_config.phases.profiling.concurrency",  # AIPerf, since its configuration has phases
    "input_config.loadgen.concurrency",  # AIPerf before
    "input_config.perf_analyzer.stimulus.concurrency",  # GenAI-Perf, since its configuration is a file
    "input_config.concurrency",  # GenAI-Perf before
)
_RATES = (
    "input_config.phases.profiling.rate",
    "input_config.phases.profiling.request_rate",
    "input_config.loadgen.request_rate",
    "input_config.perf_analyzer.stimulus.request_rate",
    "input_config.request_rate",
)
_ACCEPTED = ("spec_decode_acceptance_length", "acceptance_length", "accept_length")


def _read(entry: Entry) -> MeasuredServing:
    notes: list[str] = []
    outputs = entry.number(CURE, "output_sequence_length.avg")
    tpot_ms = _milliseconds(entry, "inter_token_latency", "tpot_ms", notes) if outputs > 1 else None
    ttft_ms = _milliseconds(entry, "time_to_first_token", "ttft_ms", notes)
    e2e_ms = _milliseconds(entry, "request_latency", "e2e_ms", notes)
    request_rate = entry.measured(CURE, "request_throughput.avg")
    mean = in_flight(request_rate=request_rate, e2e_ms=e2e_ms, ttft_ms=ttft_ms, tpot_ms=tpot_ms, outputs=outputs)
    accepted = _accepted(entry)
    return MeasuredServing(
        source=entry.source,
        input_tokens=entry.number(CURE, "input_sequence_length.avg"),
        output_tokens=outputs,
        concurrency=_concurrency(entry, mean),
        request_rate=request_rate,
        ttft_ms=ttft_ms,
        tpot_ms=tpot_ms,
        e2e_ms=e2e_ms,
        output_tokens_per_s=entry.optional(CURE, "output_token_throughput.avg"),
        cached_input_tokens=_cached(entry),
        speculates=accepted is not None,
        accepted=accepted,
        model=entry.text("input_config.endpoint.model_names", "input_config.model_names") or _model(entry),
        notes=tuple(notes),
    )


def _milliseconds(entry: Entry, metric: str, figure: str, notes: list[str]) -> float | None:
    """A time, which is to be in milliseconds: its unit stands beside it."""
    if entry.find(metric) is None:
        return None
    mean = entry.optional(CURE, f"{metric}.avg")
    value = mean_or_median(entry, CURE, figure, (), (f"{metric}.p50",), notes) if mean is None else mean
    unit = entry.find(f"{metric}.unit")
    if value is not None and unit != "ms":
        raise PlannerError(f'{entry.source}: "{metric}.unit" is {repr(unit)[:40]}; give the times in "ms"')
    return value


def _concurrency(entry: Entry, mean: float | None) -> float | None:
    """Mean requests in flight: as told, or the limit where no rate is set, or by Little's law."""
    told = entry.optional(CURE, "effective_concurrency.avg")
    if told is not None:
        return told
    limit = entry.optional(CURE, *_LIMITS)
    if limit is None or (entry.has(*_RATES) and mean is not None):
        return mean
    return limit


def _cached(entry: Entry) -> float | None:
    """Mean cached tokens of all requests: of the sum, since requests without a hit may not be counted."""
    cached = entry.optional(CURE, "usage_prompt_cache_read_tokens.sum", zero=True)
    requests = entry.measured(CURE, "request_count.avg")
    return None if cached is None or requests is None else cached / requests


def _accepted(entry: Entry) -> float | None:
    keys = [key for name in _ACCEPTED for key in (f"{name}.avg", name) if not isinstance(entry.find(key), dict)]
    return entry.optional(CURE, *keys)


def _model(entry: Entry) -> str | None:
    """The one model of the configuration, however it lists them."""
    for key in ("input_config.models.items", "input_config.endpoint.model_names", "input_config.model_names"):
        names = entry.find(key)
        if isinstance(names, list) and len(names) == 1:
            only = names[0]
            return Entry(entry.source, only if isinstance(only, dict) else {"name": only}).text("name")
    return None


FORMAT = Format(
    recognises=lambda entry: any(isinstance(entry.find(key), dict) for key in KEYS),
    read=_read,
    cure=CURE,
    ttft_key="time_to_first_token.avg",
    tpot_key="inter_token_latency.avg",
    e2e_key="request_latency.avg",
    rate_key="output_token_throughput.avg",
    concurrency_keys=_LIMITS,
)
