"""InferenceX (before: InferenceMAX): its aggregated results, and rows of its data page.

Published: utils/process_result.py of SemiAnalysisAI/InferenceX, which writes agg_*.json, and packages of
SemiAnalysisAI/InferenceX-app, whose rows hold the same figures below "metrics". Times are in SECONDS. Its raw
benchmark files have the keys of vLLM.
"""

from dataclasses import dataclass

from planner.errors import PlannerError
from planner.studies.capacity.measured.entries import Entry
from planner.studies.capacity.measured.formats import Format, mean_or_median
from planner.studies.capacity.measured.serving import MeasuredServing

CURE = "give the file as InferenceX wrote it"
_LENGTHS = "remove the entry, which was not measured with configured lengths"
_FIGURES = ("tput_per_gpu", "output_tput_per_gpu", "mean_intvty")


@dataclass(frozen=True, kw_only=True)
class _SetUp:
    """The GPUs behind the endpoint, and those that the output rate is divided by."""

    gpus: int
    output_gpus: int
    disaggregated: bool
    tensor_parallel: int | None
    data_parallel: int | None
    expert_parallel: int | None
    notes: tuple[str, ...]


def _read(entry: Entry) -> MeasuredServing:
    notes = [
        "input and output tokens are those that were configured; requests may have been drawn around them",
    ]
    if isinstance(entry.find("metrics"), dict):
        entry = Entry(entry.source, {**_fields(entry.values), **_fields(entry.find("metrics"))})
    set_up = _set_up(entry)
    rate = entry.optional(CURE, "output_tput_per_gpu")
    outputs = entry.number(_LENGTHS, "osl")
    speculates = _speculates(entry)
    if speculates:
        notes.append("speculative decoding is shown, and not how many tokens a step yields")
    times = {name: _seconds(entry, name, notes) for name in ("ttft", "tpot", "e2el")}
    image = entry.text("image") or ""
    return MeasuredServing(
        source=entry.source,
        input_tokens=entry.number(_LENGTHS, "isl"),
        output_tokens=outputs,
        concurrency=entry.optional(CURE, "conc"),
        ttft_ms=times["ttft"],
        tpot_ms=times["tpot"] if outputs > 1 else None,
        e2e_ms=times["e2el"],
        output_tokens_per_s=None if rate is None else rate * set_up.output_gpus,
        speculates=speculates,
        model=entry.text("model", "infmax_model_prefix"),
        gpu=entry.text("hw", "hardware"),
        gpus=set_up.gpus,
        decode_gpus=set_up.output_gpus if set_up.disaggregated else None,
        tensor_parallel=set_up.tensor_parallel,
        data_parallel=set_up.data_parallel,
        expert_parallel=set_up.expert_parallel,
        weights=entry.text("precision"),
        engine=entry.text("framework"),
        engine_version=image.rpartition(":")[2].partition("@")[0] or None if ":" in image else None,
        serving="disaggregated" if set_up.disaggregated else "aggregated",
        notes=(*notes, *set_up.notes),
    )


def _fields(values: object) -> dict[str, object]:
    return values if isinstance(values, dict) else {}


def _seconds(entry: Entry, name: str, notes: list[str]) -> float | None:
    """A time that stands there in seconds, in ms."""
    figure = {"e2el": "e2e_ms"}.get(name, f"{name}_ms")
    medians = (f"median_{name}", f"p50_{name}")
    value = mean_or_median(entry, CURE, figure, (f"mean_{name}",), medians, notes)
    return None if value is None else value * 1e3


def _speculates(entry: Entry) -> bool:
    """ "mtp" and the like; "none" or "off" where nothing is drafted."""
    told = entry.text("spec_decoding", "spec_method", "mtp")
    return told is not None and told.lower() not in ("none", "off", "false", "0")


def _yes(entry: Entry, key: str) -> bool:
    """A switch, which may be written as text."""
    value = entry.find(key)
    return value is True or (isinstance(value, str) and value.lower() == "true")


def _set_up(entry: Entry) -> _SetUp:
    if entry.has("num_prefill_gpu", "num_decode_gpu"):
        return _roles(entry)
    tp = entry.count(CURE, "tp")
    if tp is None:
        raise PlannerError(f'{entry.source}: "tp" is missing; {CURE}')
    gpus = tp * (entry.count(CURE, "pp") or 1) * (entry.count(CURE, "pcp_size") or 1)
    shared = _yes(entry, "dp_attention")
    return _SetUp(
        gpus=gpus,
        output_gpus=gpus,
        disaggregated=_yes(entry, "disagg"),
        tensor_parallel=1 if shared else tp,
        data_parallel=tp if shared else 1,
        expert_parallel=entry.count(CURE, "ep"),
        notes=(),
    )


def _roles(entry: Entry) -> _SetUp:
    """Prefill and decode on GPUs of their own; or a row of the data page, which gives one unit as both."""
    prefill, decode = (int(entry.optional(CURE, f"num_{role}_gpu", zero=True) or 0) for role in ("prefill", "decode"))
    if not prefill + decode:
        raise PlannerError(f'{entry.source}: "num_prefill_gpu" and "num_decode_gpu" are 0; {CURE}')
    disaggregated = _yes(entry, "disagg") and bool(decode)
    gpus = prefill + decode if disaggregated else max(prefill, decode)
    role = "prefill" if not decode or (not disaggregated and not entry.has("decode_tp")) else "decode"
    tp = entry.count(CURE, f"{role}_tp", "tp")
    shared = _yes(entry, f"{role}_dp_attention") or _yes(entry, "dp_attention")
    notes = (f"{prefill} GPUs prefill and {decode} decode; the parallelism is that of decode",) if disaggregated else ()
    return _SetUp(
        gpus=gpus,
        output_gpus=decode if disaggregated else gpus,
        disaggregated=disaggregated,
        tensor_parallel=1 if shared else tp,
        data_parallel=tp if shared else None if tp is None else 1,
        expert_parallel=entry.count(CURE, f"{role}_ep", "ep"),
        notes=notes,
    )


FORMAT = Format(
    recognises=lambda entry: entry.has(*_FIGURES, *(f"metrics.{name}" for name in _FIGURES)),
    read=_read,
    cure=CURE,
    ttft_key="mean_ttft",
    tpot_key="mean_tpot",
    e2e_key="mean_e2el",
    rate_key="output_tput_per_gpu",
    concurrency_keys=("conc",),
    unit="seconds",
)
