"""Results of `vllm bench serve` and the tools that write its keys.

Published: vllm/benchmarks/serve.py and, before it, benchmarks/benchmark_serving.py of vllm-project/vllm (--save-result,
--append-result, --save-detailed); python/sglang/bench_serving.py of sgl-project/sglang (--output-file);
tensorrt_llm/serve/scripts/benchmark_serving.py of NVIDIA/TensorRT-LLM; utils/bench_serving/benchmark_serving.py of
SemiAnalysisAI/InferenceX. Times are in milliseconds.
"""

import math
from dataclasses import replace

from planner.errors import PlannerError
from planner.studies.capacity.measured.entries import Entry
from planner.studies.capacity.measured.formats import Format, in_flight, mean_or_median
from planner.studies.capacity.measured.serving import MeasuredServing

KEYS = ("mean_tpot_ms", "mean_itl_ms", "total_input_tokens", "total_output_tokens")
CURE = "measure again with streamed answers of more than one token and `--percentile-metrics ttft,tpot,itl`"

_TPOT = ("mean_tpot_ms", "mean_itl_ms")
"""A chunk can contain several tokens, and ITL is measured between chunks here, so TPOT comes first."""
_TPOT_MEDIANS = ("median_tpot_ms", "p50_tpot_ms", "median_itl_ms", "p50_itl_ms")
_TTFT_MEDIANS = ("median_ttft_ms", "p50_ttft_ms")
_E2E = ("mean_e2el_ms", "mean_e2e_latency_ms")
_E2E_MEDIANS = ("median_e2el_ms", "p50_e2el_ms", "median_e2e_latency_ms")
_ACCEPTED = (
    "spec_decode_acceptance_length",  # vLLM, where the server drafts
    "acceptance_length",
    "accept_length",  # SGLang: null or not above 0 where it does not
    "avg_decoded_tokens_per_iter.mean",  # TensorRT-LLM: 0 or 1 where it does not
)


def _read(entry: Entry) -> MeasuredServing:
    notes: list[str] = []
    completed = entry.number(CURE, "completed")
    outputs = entry.number(CURE, "total_output_tokens") / completed
    accepted = _accepted(entry)
    tpot_ms = _tpot(entry, accepted is not None, notes) if outputs > 1 else None
    ttft_ms = mean_or_median(entry, CURE, "ttft_ms", ("mean_ttft_ms",), _TTFT_MEDIANS, notes)
    e2e_ms = mean_or_median(entry, CURE, "e2e_ms", _E2E, _E2E_MEDIANS, notes)
    request_rate = entry.measured(CURE, "request_throughput")
    failed = entry.optional(CURE, "failed", zero=True)
    if failed:
        notes.append(f"{failed:,.0f} requests failed beside {completed:,.0f} that were answered")
    mean = in_flight(request_rate=request_rate, e2e_ms=e2e_ms, ttft_ms=ttft_ms, tpot_ms=tpot_ms, outputs=outputs)
    concurrency = _concurrency(entry, completed, mean, notes)
    serving = MeasuredServing(
        source=entry.source,
        input_tokens=entry.number(CURE, "total_input_tokens") / completed,
        output_tokens=outputs,
        concurrency=concurrency,
        request_rate=request_rate,
        ttft_ms=ttft_ms,
        tpot_ms=tpot_ms,
        e2e_ms=e2e_ms,
        output_tokens_per_s=entry.optional(CURE, "output_throughput"),
        cached_input_tokens=_cached(entry, completed),
        speculates=accepted is not None,
        accepted=accepted,
        model=entry.text("model_id"),
        notes=tuple(notes),
    )
    return _with_server(serving, entry)


def _tpot(entry: Entry, speculates: bool, notes: list[str]) -> float | None:
    """Time per token. Where a step yields several tokens, the time between chunks is none: then TPOT alone will do."""
    means, medians = (_TPOT[:1], _TPOT_MEDIANS[:2]) if speculates else (_TPOT, _TPOT_MEDIANS)
    value = entry.optional(CURE, *means)
    return mean_or_median(entry, CURE, "tpot_ms", (), medians, notes) if value is None else value


def _accepted(entry: Entry) -> float | None:
    for key in _ACCEPTED:
        value = entry.find(key)
        if isinstance(value, int | float) and value <= 0:
            continue
        tokens = entry.optional("measure again", key)
        if tokens is not None and not (key.startswith("avg_decoded") and tokens == 1):
            return tokens
    return None


def _concurrency(entry: Entry, completed: float, mean: float | None, notes: list[str]) -> float | None:
    """Mean requests in flight: as told, or the limit where it alone holds requests back, or by Little's law."""
    told = entry.optional(CURE, "concurrency")
    if told is not None:
        return told
    limit = entry.optional(CURE, "max_concurrency")
    if _closed_loop(entry):
        if limit is None:
            notes.append("all requests were sent at once: the number in flight falls from the first to the last")
            return None
        return min(limit, completed)
    return mean if mean is not None else limit


def _closed_loop(entry: Entry) -> bool:
    """Whether requests follow one another, and not a rate."""
    rate = entry.find("request_rate")
    return rate is None or rate == "inf" or (isinstance(rate, float) and math.isinf(rate))


def _cached(entry: Entry, completed: float) -> float | None:
    cached = entry.optional(CURE, "cache_report.total_cached_tokens", zero=True)
    return None if cached is None else cached / completed


def _with_server(serving: MeasuredServing, entry: Entry) -> MeasuredServing:
    """With what SGLang says of its server: the fields of ServerArgs in python/sglang/srt/server_args.py."""
    tp = entry.count(CURE, "server_info.tp_size")
    if tp is None:
        return serving
    dp = entry.count(CURE, "server_info.dp_size") or 1
    shared = entry.find("server_info.enable_dp_attention") is True
    if shared and tp % dp:
        raise PlannerError(f'{entry.source}: "server_info" has tp_size {tp} and dp_size {dp}; {CURE}')
    return replace(
        serving,
        model=serving.model or entry.text("server_info.served_model_name", "server_info.model_path"),
        # with attention in data parallel, the groups share the GPUs of tensor parallelism; else each has its own
        gpus=tp * (entry.count(CURE, "server_info.pp_size") or 1) * (1 if shared else dp),
        tensor_parallel=tp // dp if shared else tp,
        data_parallel=dp,
        expert_parallel=entry.count(CURE, "server_info.ep_size"),
        weights=entry.text("server_info.quantization"),
        kv=None if entry.find("server_info.kv_cache_dtype") == "auto" else entry.text("server_info.kv_cache_dtype"),
        engine="sglang",
        engine_version=entry.text("server_info.version"),
    )


FORMAT = Format(
    recognises=lambda entry: entry.has(*KEYS),
    read=_read,
    cure=CURE,
    ttft_key="mean_ttft_ms",
    tpot_key="mean_tpot_ms",
    e2e_key="mean_e2el_ms",
    rate_key="output_throughput",
    concurrency_keys=("max_concurrency",),
)
