"""TensorRT-LLM's `trtllm-bench throughput` and `latency` with --report_json.

Published: tensorrt_llm/bench/dataclasses/reporting.py of NVIDIA/TensorRT-LLM. Times are in milliseconds;
streaming_metrics is there only with --streaming.
"""

from planner.studies.capacity.measured.entries import Entry
from planner.studies.capacity.measured.formats import Format, mean_or_median
from planner.studies.capacity.measured.serving import MeasuredServing

CURE = "measure again with --streaming and --report_json"


def _read(entry: Entry) -> MeasuredServing:
    notes: list[str] = []
    outputs = entry.number(CURE, "request_info.avg_output_length")
    medians = ("streaming_metrics.tpot_percentiles.p50",)
    tpot_ms = entry.optional(CURE, "streaming_metrics.avg_tpot_ms") if outputs > 1 else None
    if tpot_ms is None and outputs > 1:
        tpot_ms = mean_or_median(entry, CURE, "tpot_ms", (), medians, notes)
    speculates = entry.has("decoding_stats")
    accepted = entry.measured(CURE, "decoding_stats.acceptance_length_percentiles.average") if speculates else None
    return MeasuredServing(
        source=entry.source,
        input_tokens=entry.number(CURE, "request_info.avg_input_length"),
        output_tokens=outputs,
        concurrency=entry.optional(CURE, "request_info.avg_num_concurrent_requests"),
        request_rate=entry.measured(CURE, "performance.request_throughput_req_s"),
        ttft_ms=mean_or_median(
            entry,
            CURE,
            "ttft_ms",
            ("streaming_metrics.avg_ttft_ms",),
            ("streaming_metrics.ttft_percentiles.p50",),
            notes,
        ),
        tpot_ms=tpot_ms,
        e2e_ms=entry.measured(CURE, "performance.avg_request_latency_ms"),
        output_tokens_per_s=entry.optional(CURE, "performance.system_output_throughput_tok_s"),
        speculates=speculates,
        accepted=accepted,
        model=entry.text("engine.model"),
        gpu=entry.text("machine.name"),
        gpus=entry.count(CURE, "world_info.world_size"),
        tensor_parallel=entry.count(CURE, "world_info.tp_size"),
        expert_parallel=entry.count(CURE, "world_info.ep_size"),
        weights=entry.text("engine.quantization", "engine.dtype"),
        kv=entry.text("engine.kv_cache_dtype"),
        engine="trtllm",
        engine_version=entry.text("engine.version"),
        notes=tuple(notes),
    )


FORMAT = Format(
    recognises=lambda entry: entry.has("request_info") and entry.has("performance"),
    read=_read,
    cure=CURE,
    ttft_key="streaming_metrics.avg_ttft_ms",
    tpot_key="streaming_metrics.avg_tpot_ms",
    e2e_key="performance.avg_request_latency_ms",
    rate_key="performance.system_output_throughput_tok_s",
    concurrency_keys=("request_info.avg_num_concurrent_requests",),
)
