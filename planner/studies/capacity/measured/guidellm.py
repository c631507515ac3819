"""GuideLLM's reports in JSON and YAML.

Published: src/guidellm/benchmark of vllm-project/guidellm (benchmark.py and objects.py to 0.3; schemas/generative
since), the same in the reports without a version and in report versions 1 and 2. Times are in milliseconds, that of a
whole request in seconds.
"""

from planner.studies.capacity.measured.entries import Entry
from planner.studies.capacity.measured.formats import Format, mean_or_median
from planner.studies.capacity.measured.serving import MeasuredServing

CURE = "measure again with GuideLLM 0.2 or newer and streamed answers, or remove the benchmark from the file"
_RATE = "metrics.output_tokens_per_second.total.mean"
"""Of all requests, since those cut off at the end of the run were decoded too."""
_CONCURRENCY = "metrics.request_concurrency.total.mean"
_ITL = "metrics.inter_token_latency_ms.successful"
"""Its time_per_output_token_ms includes the first token."""
_TTFT = "metrics.time_to_first_token_ms.successful"
_REQUEST = "metrics.request_latency.successful"


def _read(entry: Entry) -> MeasuredServing:
    notes: list[str] = []
    outputs = entry.number(CURE, "metrics.output_token_count.successful.mean")
    tpot_ms = entry.optional(CURE, f"{_ITL}.mean") if outputs > 1 else None
    if tpot_ms is None and outputs > 1:
        tpot_ms = mean_or_median(entry, CURE, "tpot_ms", (), (f"{_ITL}.median", f"{_ITL}.percentiles.p50"), notes)
    request_s = entry.measured(CURE, f"{_REQUEST}.mean")
    errors = entry.optional(CURE, "metrics.request_totals.errored", zero=True)
    if errors:
        notes.append(f"{errors:,.0f} requests failed")
    return MeasuredServing(
        source=entry.source,
        input_tokens=entry.number(CURE, "metrics.prompt_token_count.successful.mean"),
        output_tokens=outputs,
        concurrency=_of_all(entry, _CONCURRENCY, "concurrency", notes),
        request_rate=entry.measured(CURE, "metrics.requests_per_second.successful.mean"),
        ttft_ms=mean_or_median(
            entry, CURE, "ttft_ms", (f"{_TTFT}.mean",), (f"{_TTFT}.median", f"{_TTFT}.percentiles.p50"), notes
        ),
        tpot_ms=tpot_ms,
        e2e_ms=None if request_s is None else request_s * 1e3,
        output_tokens_per_s=_of_all(entry, _RATE, "output_tokens_per_s", notes),
        model=entry.text("config.backend.model", "worker.backend_model")
        or Entry(entry.source, entry.report).text("args.model", "config.backend.model"),
        notes=tuple(notes),
    )


def _of_all(entry: Entry, key: str, figure: str, notes: list[str]) -> float | None:
    """A figure of all requests, or of those that were answered, which is noted."""
    answered = key.replace(".total.", ".successful.")
    if not entry.has(key) and entry.has(answered):
        notes.append(f"{figure} is of the requests that were answered alone")
        return entry.optional(CURE, answered)
    return entry.optional(CURE, key)


FORMAT = Format(
    recognises=lambda entry: entry.report is not None,
    read=_read,
    cure=CURE,
    ttft_key=f"{_TTFT}.mean",
    tpot_key=f"{_ITL}.mean",
    e2e_key=f"{_REQUEST}.mean",
    rate_key=_RATE,
    concurrency_keys=(_CONCURRENCY,),
)
