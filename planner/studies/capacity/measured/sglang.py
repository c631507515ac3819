"""Static batches and offline runs of SGLang: all requests are there from the beginning.

Published in sgl-project/sglang: python/sglang/bench_one_batch.py (prefill_latency, median_decode_latency),
bench_one_batch_server.py (latency, last_ttft, acc_length) and bench_offline_throughput.py (total_latency,
successful_requests), JSON lines by --result-filename. Times are in seconds.
"""

from planner.errors import PlannerError
from planner.studies.capacity.measured.entries import Entry
from planner.studies.capacity.measured.formats import Format
from planner.studies.capacity.measured.serving import MeasuredServing

CURE = "measure again"


def _batch(entry: Entry) -> MeasuredServing:
    """A batch that is prefilled at once and then decoded: its steps hold no prefill."""
    batch, outputs = entry.number(CURE, "batch_size"), entry.number(CURE, "output_len")
    total_s = entry.number(CURE, "latency", "total_latency")
    first_s = entry.number(CURE, "last_ttft", "prefill_latency")
    if first_s > total_s:
        raise PlannerError(f"{entry.source}: the first token takes {first_s:g} s and all {total_s:g} s; {CURE}")
    inputs = entry.number(CURE, "input_len")
    hit = entry.optional(CURE, "cache_hit_rate", zero=True) if _above(entry, "cache_hit_rate", -1) else None
    accepted = entry.optional(CURE, "acc_length") if _above(entry, "acc_length", 0) else None
    median_s = entry.optional(CURE, "median_decode_latency")
    decode_s = (total_s - first_s) / (outputs - 1) if outputs > 1 else None
    notes = ["all requests start together: the time to the first token is that of the whole batch"]
    if median_s is not None:
        notes.append("tpot_ms is a median: the file has no mean")
    tpot_s = median_s if median_s is not None else decode_s
    return MeasuredServing(
        source=entry.source,
        input_tokens=inputs,
        output_tokens=outputs,
        concurrency=batch,
        # of one request, the first token is nobody's but its own
        ttft_ms=first_s * 1e3 if batch == 1 else None,
        tpot_ms=None if tpot_s is None or outputs <= 1 else tpot_s * 1e3,
        e2e_ms=total_s * 1e3,
        output_tokens_per_s=batch * outputs / total_s,
        cached_input_tokens=None if hit is None else hit * inputs,
        speculates=accepted is not None,
        accepted=accepted,
        static_batch=True,
        engine="sglang",
        notes=tuple(notes),
    )


def _offline(entry: Entry) -> MeasuredServing:
    """A run of requests that are all there at its beginning: only its throughput is told."""
    requests, total_s = entry.number(CURE, "successful_requests"), entry.number(CURE, "total_latency")
    outputs = entry.number(CURE, "total_output_tokens")
    return MeasuredServing(
        source=entry.source,
        input_tokens=entry.number(CURE, "total_input_tokens") / requests,
        output_tokens=outputs / requests,
        request_rate=requests / total_s,
        output_tokens_per_s=entry.optional(CURE, "output_throughput") or outputs / total_s,
        engine="sglang",
        notes=("all requests were sent at once: the throughput is that of a full engine, with its end",),
    )


def _above(entry: Entry, key: str, least: float) -> bool:
    """Whether a figure is there, and not what stands for none."""
    value = entry.find(key)
    return not (value is None or (isinstance(value, int | float) and value <= least))


BATCH = Format(
    recognises=lambda entry: entry.has("batch_size") and entry.has("prefill_latency", "last_ttft"),
    read=_batch,
    cure=CURE,
    ttft_key="last_ttft",
    tpot_key="latency",
    e2e_key="latency",
    rate_key="output_len",
    concurrency_keys=("batch_size",),
    unit="seconds",
)
OFFLINE = Format(
    recognises=lambda entry: entry.has("successful_requests") and entry.has("total_latency"),
    read=_offline,
    cure="measure with bench_serving, which tells times",
    ttft_key="mean_ttft_ms",
    tpot_key="mean_tpot_ms",
    e2e_key="total_latency",
    rate_key="output_throughput",
    concurrency_keys=("max_concurrency",),
    unit="seconds",
)
