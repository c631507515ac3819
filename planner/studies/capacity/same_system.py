"""Whether what a file says it measured is what is fitted: a model on GPUs, its format, how it is spread."""

import re
from collections.abc import Sequence
from typing import get_args

from planner.capacity.setups import engine_name, gpu_name
from planner.catalogue.read import built_in, engine_profile, hardware, model, names
from planner.errors import PlannerError, UsageError
from planner.settings.closed import WeightDtype
from planner.settings.fleet import EngineSettings
from planner.studies.capacity.measured.serving import MeasuredPoint, MeasuredServing

_FINER = re.compile(
    r"(meta|nvidia|instruct|chat|base|hf|it|fp8|fp4|nvfp4|mxfp4|bf16|fp16|int8|int4|awq|gptq|dynamic|\d{4})"
)
"""Words of a model's name that say how it was trained or is held, and not how large it is."""


def check_same_system(measured: Sequence[MeasuredPoint | MeasuredServing], settings: EngineSettings) -> list[str]:
    """What differs and may be meant, in words. Raises PlannerError for a measurement of another system."""
    notes: list[str] = []
    for point in measured:
        if isinstance(point, MeasuredServing):
            _check(point, settings)
            notes += _notes(point, settings)
    return notes


def _check(point: MeasuredServing, settings: EngineSettings) -> None:
    fitted_model = model(settings.model).name
    # a model of one's own may be a built-in one by its publisher's name
    of = _known_model(point.model) if built_in("models", settings.model) else None
    told = (
        ("of", of, fitted_model, "--model {}"),
        ("on", _known_gpu(point.gpu), hardware(settings.hardware).name, "--node {}"),
        ("with weights in", _known_format(point.weights), settings.weights, "--weights {}"),
        ("with tensor parallelism", point.tensor_parallel, settings.tensor_parallel, "--set tensor_parallel={}"),
    )
    for what, found, fitted, option in told:
        if found is not None and found != fitted:
            raise PlannerError(
                f"{point.source}: was measured {what} {found}, and {fitted} is fitted; give {option.format(found)}"
            )


def _notes(point: MeasuredServing, settings: EngineSettings) -> list[str]:
    notes = []
    if point.model and _known_model(point.model) is None and point.model != model(settings.model).name:
        notes.append(f"{point.source}: tells of the model {point.model}, and is fitted as {model(settings.model).name}")
    if point.gpu and _known_gpu(point.gpu) is None and point.gpu != hardware(settings.hardware).name:
        notes.append(f"{point.source}: tells of {point.gpu}, and is fitted as {hardware(settings.hardware).name}")
    if point.weights and _known_format(point.weights) is None:
        notes.append(f"{point.source}: tells of weights in {point.weights}, and is fitted as {settings.weights}")
    served_by, fitted = _known_engine(point), engine_profile(settings.name).name
    if served_by not in (None, fitted):
        notes.append(f"{point.source}: was served by {served_by}, and is fitted as {fitted}; --engine names another")
    return notes


def _known_model(name: str | None) -> str | None:
    """The built-in model that a name means, as publishers and tools write it; None where that is not sure."""
    wanted = _plain((name or "").rpartition("/")[2])
    alike = {_plain(own): own for own in names("models")}
    return model(alike[wanted]).name if wanted in alike else None


def _plain(name: str) -> str:
    words = re.split(r"[^a-z0-9.]+", name.casefold())
    return "".join(word for word in words if not _FINER.fullmatch(word)).replace(".", "")


def _known_gpu(name: str | None) -> str | None:
    own = built_in("hardware", gpu_name(name)) if name else None
    return None if own is None else hardware(own).name


def _known_format(name: str | None) -> str | None:
    word = (name or "").casefold()
    return word if word in get_args(WeightDtype) else None


def _known_engine(point: MeasuredServing) -> str | None:
    try:
        return engine_name(point.engine, point.engine_version) if point.engine else None
    except UsageError:
        return None
