"""What a file of measurements holds, whichever tool wrote it: servings under load, or decode steps."""

from pathlib import Path

from planner.errors import PlannerError, UsageError
from planner.studies.capacity.measured import aiperf, guidellm, inferencex, plain, sglang, trtllm, vllm
from planner.studies.capacity.measured.entries import MOST, SHAPES, Entry, read_entries
from planner.studies.capacity.measured.formats import Format
from planner.studies.capacity.measured.serving import MeasuredPoint, MeasuredServing

_FORMATS = (
    guidellm.FORMAT,
    trtllm.FORMAT,
    aiperf.FORMAT,
    inferencex.FORMAT,
    sglang.BATCH,
    sglang.OFFLINE,
    plain.FORMAT,
    vllm.FORMAT,
)
"""In this order: the first that recognises an entry reads it. A table of decode steps is what no tool wrote."""
_LEAST_MS, _MOST_TPOT_MS = 0.1, 60_000.0
_LEAST_FIRST_MS, _MOST_MS = 0.5, 3_600_000.0
"""Times outside are of another unit: no GPU reads its memory in 0.1 ms, and nobody waits an hour for a token."""
_STEPS = 10
"""A first token comes with a step: where it takes a tenth of the time per token, one of the two is in another unit."""
_ROUNDING = 1.01
"""A mean that is above another one by rounding."""


def read_measured(path: Path) -> tuple[MeasuredServing | MeasuredPoint, ...]:
    """The measurements of a file, whose format is recognised by its content. Raises PlannerError.

    A plain table of streams per GPU, kv_tokens and step_ms holds decode steps without prefill in them; all else is of
    whole servings, with the means of a run, ramps included.
    """
    return tuple(_measured(entry)[0] for entry in read_entries(path))


def read_points(path: Path, *, gpus: int | None = None) -> tuple[MeasuredPoint, ...]:
    """The decode steps of a file, whose format is recognised by its content. Raises PlannerError, UsageError.

    A plain table holds streams per GPU and is taken as it is. The tools measure an endpoint, which has `gpus` GPUs;
    None takes what the file tells, else 1. Its streams come by Little's law: output tokens per second × seconds per
    token, without the first token of every answer, which prefill yields. The concurrency that a run was driven with
    counts streams still in prefill too; it is used only if the file has no output throughput. All are means over the
    whole run, ramps included. The context is the mean input + half the mean output. A step is one token of a stream:
    speculative decoding, which yields more, is out of scope, and refused where the file shows it.
    """
    if gpus is not None and gpus < 1:
        raise UsageError(f"--server-gpus is {gpus}; give the number of GPUs behind the endpoint, at least 1")
    return tuple(_step(entry, gpus) for entry in read_entries(path))


def _measured(entry: Entry) -> tuple[MeasuredServing | MeasuredPoint, Format | None]:
    for known in _FORMATS:
        if known.recognises(entry) and not (known is plain.FORMAT and plain.is_step(entry)):
            return _checked(known.read(entry), known), known
    if plain.is_step(entry):
        point = plain.read_step(entry)
        _check_time(point.source, "step_ms", point.step_ms, (_LEAST_MS, _MOST_TPOT_MS), "milliseconds")
        return point, None
    raise PlannerError(f"{entry.source}: is in none of the known formats; give one of: {SHAPES}")


def _step(entry: Entry, gpus: int | None) -> MeasuredPoint:
    serving, known = _measured(entry)
    if isinstance(serving, MeasuredPoint) or known is None:
        assert isinstance(serving, MeasuredPoint), "a table of steps has no format of a tool"
        return serving
    if serving.speculates:
        raise PlannerError(f"{entry.source}: shows speculative decoding; measure again without it")
    if serving.output_tokens <= 1:
        raise PlannerError(
            f"{entry.source}: {serving.output_tokens:g} output tokens per request leave no decode step; "
            "request longer outputs"
        )
    if serving.tpot_ms is None:
        raise PlannerError(f'{entry.source}: "{known.tpot_key}" is missing; {known.cure}')
    streams = serving.decode_streams if serving.output_tokens_per_s is not None else serving.concurrency
    if streams is None:
        names = " or ".join(f'"{key}"' for key in known.concurrency_keys)
        raise PlannerError(f'{entry.source}: {names} is missing; without "{known.rate_key}", give the concurrency')
    point = MeasuredPoint(
        streams=streams / _gpus(serving, gpus),
        kv_tokens=serving.kv_tokens,
        step_ms=serving.tpot_ms,
        source=entry.source,
        notes=serving.notes,
    )
    if not all(0 < value <= MOST for value in (point.streams, point.kv_tokens)):
        raise PlannerError(
            f"{entry.source}: gives {point.streams:g} streams of {point.kv_tokens:g} tokens; check the numbers"
        )
    return point


def _gpus(serving: MeasuredServing, asked: int | None) -> int:
    """The GPUs that decode, as the file or the option tells. Raises UsageError where the two differ."""
    told = serving.decode_gpus or serving.gpus
    if told is not None and asked is not None and told != asked:
        raise UsageError(
            f"{serving.source}: decodes on {told} GPUs, as it says itself, and --server-gpus is {asked}; leave it out"
        )
    return told or asked or 1


def _checked(serving: MeasuredServing, known: Format) -> MeasuredServing:
    """The serving, if its figures can be of one run. Raises PlannerError."""
    source, unit = serving.source, known.unit
    if serving.output_tokens < 1:
        raise PlannerError(f"{source}: {serving.output_tokens:g} output tokens per request; check the numbers")
    figures = (serving.ttft_ms, serving.tpot_ms, serving.e2e_ms, serving.output_tokens_per_s)
    if all(figure is None for figure in figures):
        names = " or ".join(f'"{key}"' for key in (known.tpot_key, known.ttft_key, known.rate_key))
        raise PlannerError(f"{source}: {names} is missing; {known.cure}")
    _check_time(source, known.ttft_key, serving.ttft_ms, (_LEAST_FIRST_MS, _MOST_MS), unit)
    _check_time(source, known.tpot_key, serving.tpot_ms, (_LEAST_MS, _MOST_TPOT_MS), unit)
    _check_time(source, known.e2e_key, serving.e2e_ms, (_LEAST_FIRST_MS, 24 * _MOST_MS), unit)
    if serving.ttft_ms is not None and serving.e2e_ms is not None and serving.ttft_ms > serving.e2e_ms * _ROUNDING:
        raise PlannerError(
            f'{source}: "{known.ttft_key}" is {serving.ttft_ms:g} ms and "{known.e2e_key}", of whole requests, '
            f"{serving.e2e_ms:g} ms; check their units"
        )
    if serving.ttft_ms is not None and serving.tpot_ms is not None and serving.ttft_ms < serving.tpot_ms / _STEPS:
        raise PlannerError(
            f'{source}: "{known.ttft_key}" is {serving.ttft_ms:g} ms and "{known.tpot_key}" {serving.tpot_ms:g} ms; a '
            "first token takes a step too: check their units"
        )
    if serving.accepted is not None and serving.accepted < 1:
        raise PlannerError(
            f"{source}: {serving.accepted:g} tokens per step of speculative decoding; it yields at least 1: "
            "check the numbers"
        )
    if serving.cached_input_tokens is not None and serving.cached_input_tokens > serving.input_tokens * _ROUNDING:
        raise PlannerError(
            f"{source}: {serving.cached_input_tokens:g} cached of {serving.input_tokens:g} input tokens; "
            "give the input with its cached tokens"
        )
    return serving


def _check_time(source: str, key: str, value_ms: float | None, limits: tuple[float, float], unit: str) -> None:
    if value_ms is not None and not limits[0] <= value_ms <= limits[1]:
        raise PlannerError(
            f'{source}: "{key}" is {value_ms:g} ms, which looks like the wrong unit; it is read as {unit}: correct it'
        )
