"""Plain tables, which people write: decode steps, or a serving system under loads."""

from planner.errors import PlannerError
from planner.studies.capacity.measured.entries import Entry
from planner.studies.capacity.measured.formats import Format
from planner.studies.capacity.measured.serving import MeasuredPoint, MeasuredServing, Serving

STEP_KEYS = ("streams", "batch", "kv_tokens", "kv_length", "step_ms")
STEP_CURE = "give streams (or batch), kv_tokens (or kv_length) and step_ms in every row, each more than 0"

INPUT = ("isl", "input_tokens", "input_len", "prompt_tokens")
OUTPUT = ("osl", "output_tokens", "output_len")
_CONCURRENCY = ("concurrency", "conc", "max_concurrency")
_TTFT = ("ttft_ms", "mean_ttft_ms")
_TPOT = ("tpot_ms", "mean_tpot_ms", "itl_ms", "mean_itl_ms")
_E2E = ("e2e_ms", "e2el_ms", "mean_e2el_ms")
_RATE = ("output_tokens_per_s", "output_throughput", "tokens_per_s")
_REQUESTS = ("request_rate", "request_throughput", "requests_per_s")
_TP, _DP, _EP = ("tp", "tensor_parallel"), ("dp", "data_parallel"), ("ep", "expert_parallel")
_TEXTS = (
    "model",
    "gpu",
    "hardware",
    "weights",
    "kv",
    "engine",
    "backend",
    "engine_version",
    "backend_version",
    "serving",
)
KNOWN = {
    *INPUT,
    *OUTPUT,
    *_CONCURRENCY,
    *_TTFT,
    *_TPOT,
    *_E2E,
    *_RATE,
    *_REQUESTS,
    *_TP,
    *_DP,
    *_EP,
    *_TEXTS,
    *("gpus", "n_gpus", "cached_input_tokens", "accepted"),
}
CURE = "give isl, osl, concurrency and ttft_ms or tpot_ms in every row, times in milliseconds; empty where unknown"
_TIME_ENDINGS = ("_s", "_us", "_ns", "_sec", "_seconds")


def is_step(entry: Entry) -> bool:
    """Whether an entry is of a table of decode steps."""
    return entry.has(*STEP_KEYS)


def read_step(entry: Entry) -> MeasuredPoint:
    """A decode step with its streams per GPU, as the table gives it. Raises PlannerError."""
    return MeasuredPoint(
        streams=entry.number(STEP_CURE, "streams", "batch"),
        kv_tokens=entry.number(STEP_CURE, "kv_tokens", "kv_length"),
        step_ms=entry.number(STEP_CURE, "step_ms"),
        source=entry.source,
    )


def _read(entry: Entry) -> MeasuredServing:
    _check_names(entry)
    outputs = entry.number(CURE, *OUTPUT)
    accepted = entry.optional(CURE, "accepted")
    return MeasuredServing(
        source=entry.source,
        input_tokens=entry.number(CURE, *INPUT),
        output_tokens=outputs,
        concurrency=entry.optional(CURE, *_CONCURRENCY),
        request_rate=entry.optional(CURE, *_REQUESTS),
        ttft_ms=entry.optional(CURE, *_TTFT),
        tpot_ms=entry.optional(CURE, *_TPOT) if outputs > 1 else None,
        e2e_ms=entry.optional(CURE, *_E2E),
        output_tokens_per_s=entry.optional(CURE, *_RATE),
        cached_input_tokens=entry.optional(CURE, "cached_input_tokens", zero=True),
        speculates=accepted is not None,
        accepted=accepted,
        model=entry.text("model"),
        gpu=entry.text("gpu", "hardware"),
        gpus=entry.count(CURE, "gpus", "n_gpus"),
        tensor_parallel=entry.count(CURE, *_TP),
        data_parallel=entry.count(CURE, *_DP),
        expert_parallel=entry.count(CURE, *_EP),
        weights=entry.text("weights"),
        kv=entry.text("kv"),
        engine=entry.text("engine", "backend"),
        engine_version=entry.text("engine_version", "backend_version"),
        serving=_serving(entry),
    )


def _check_names(entry: Entry) -> None:
    """Raises PlannerError for a figure in another unit, which would be left out without a word."""
    if isinstance(entry.values, dict):
        for name in entry.values:
            if name not in KNOWN and name.startswith(("ttft", "tpot", "itl", "e2e")) and name.endswith(_TIME_ENDINGS):
                raise PlannerError(f'{entry.source}: "{name}" is not read; give times in milliseconds, as tpot_ms')


def _serving(entry: Entry) -> Serving | None:
    told = entry.find("serving")
    if told is None or told == "aggregated" or told == "disaggregated":
        return told
    raise PlannerError(
        f'{entry.source}: "serving" is {repr(told)[:40]}; give aggregated or disaggregated, or leave it empty'
    )


FORMAT = Format(
    recognises=lambda entry: entry.has(*INPUT) and entry.has(*OUTPUT),
    read=_read,
    cure=CURE,
    ttft_key="ttft_ms",
    tpot_key="tpot_ms",
    e2e_key="e2e_ms",
    rate_key="output_tokens_per_s",
    concurrency_keys=("concurrency",),
)
