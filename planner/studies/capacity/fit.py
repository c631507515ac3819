"""Fitting an engine to files of measured steps and servings, and saving the fit."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from planner.capacity.bands import OwnMeasurements, time_band
from planner.capacity.engines import FittedEngine, fitted_to
from planner.catalogue.toml import toml_value
from planner.core.fleet.calibration import LIMIT, MOST_APART, NOISE, Calibration, fit
from planner.core.fleet.engine import Engine
from planner.core.fleet.operating import ImbalanceAt
from planner.core.fleet.serving import Load, serve
from planner.documents import Document
from planner.errors import PlannerError, UsageError
from planner.files import atomic_write
from planner.settings.measurements import CalibrationFile
from planner.studies.capacity.measured.read import read_measured
from planner.studies.capacity.measured.serving import MeasuredPoint, MeasuredServing
from planner.studies.capacity.mixes import mixed_step_ms, prompt_shares
from planner.studies.capacity.same_system import check_same_system
from planner.studies.capacity.study import EngineStudy
from planner.units import Floats

_SOURCE_LENGTH = 200
"""Characters of the names of points that a calibration file repeats."""

CURE = "give isl, osl, concurrency and tpot_ms in place of streams, kv_tokens and step_ms"
PROMPTS_INSIDE = (
    "steps differ from the fit by more than measurements do: on a server that reads prompts in the same steps, these "
    f"last longer by how many come; {CURE}"
)
INFERRED = (
    "steps grow with streams as they do where prompts are read in them, so the part of a context that is prompt was "
    "inferred"
)


@dataclass(frozen=True, kw_only=True)
class FittedPoint(Document):
    """A measured time and the fitted one."""

    source: str
    """File and entry."""
    metric: str
    """step_ms, tpot_ms or ttft_ms."""
    streams: float
    """Streams of a GPU for a step, else users of the server."""
    input_tokens: float
    """Mean per request; of a step, its mean context."""
    output_tokens: float | None
    """Mean per request; null for a step."""
    measured_ms: float
    model_ms: float
    relative_error: float
    """Of the fitted time."""
    left_out_error: float | None
    """Relative error of the time as predicted by a fit to all other points; null where there are none."""


@dataclass(frozen=True, kw_only=True)
class EngineFit(FittedEngine):
    """An engine fitted to measured times."""

    node: str
    file: str
    """The files that the points come from."""
    kernels: float
    """Factor on what kernels take."""
    prompts: float
    """Factor on what prompts take, on top of that of kernels."""
    overheads: float
    """Factor on what no kernel accounts for."""
    rms: float
    """Root mean square of the relative errors."""
    left_out_rms: float | None
    """Root mean square of the errors of points left out; null for one point."""
    conditions: int
    """Different conditions with a time per output token among the points."""
    tpot_low: float
    """Lower end of the 90 % band of a time per output token, over the fitted one."""
    tpot_high: float
    """Upper end."""
    points: tuple[FittedPoint, ...]
    notes: tuple[str, ...]
    """What the reader should know of the fit."""


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """A measured time, and how the model answers it. prompt_share: of a step's context, inferred from all steps."""

    point: MeasuredPoint | MeasuredServing
    metric: str
    measured_ms: float
    gpus: int
    prompt_share: float = 0.0

    def predict(self, engine: Engine, imbalance_at: ImbalanceAt) -> float:
        """What an engine gives, ms. Raises UsageError that names the point."""
        try:
            return self._predict(engine, imbalance_at)
        except UsageError as error:
            raise UsageError(f"{self.point.source}: {error}") from error

    def _predict(self, engine: Engine, imbalance_at: ImbalanceAt) -> float:
        point = self.point
        if isinstance(point, MeasuredPoint):
            streams, kv_tokens, share = (
                np.array([each]) for each in (point.streams, point.kv_tokens, self.prompt_share)
            )
            return float(mixed_step_ms(engine, self.gpus, imbalance_at, streams, kv_tokens, share)[0])
        served = serve(
            engine,
            self.gpus,
            Load(
                concurrency=_users(point),
                input_tokens=point.input_tokens,
                output_tokens=point.output_tokens,
                cached_tokens=point.cached_input_tokens or 0.0,
                prompts_apart=point.static_batch or point.serving == "disaggregated",
            ),
        )
        return float(served.tpot_us if self.metric == "tpot_ms" else served.ttft_us) / 1e3


def fit_files(study: EngineStudy, paths: Sequence[Path], server_gpus: int | None) -> EngineFit:
    """The study's decode engine fitted to the measurements of files.

    server_gpus: GPUs behind the measured endpoint, where the files do not tell; else those of the study's unit. Raises
    PlannerError, UsageError.
    """
    if server_gpus is not None and server_gpus < 1:
        raise UsageError(f"--server-gpus is {server_gpus}; give the number of GPUs behind the endpoint, at least 1")
    engine, imbalance_at = study.decode()
    measured = [point for path in paths for point in read_measured(path)]
    differing = check_same_system(measured, study.settings)
    asked, notes = _asked(study, measured, server_gpus)
    if not asked:
        why = notes[0] if notes else f"{paths[0]}: tells no time that the model has"
        raise PlannerError(f"{why}; give concurrency, and step_ms, tpot_ms or ttft_ms")

    fitted = _fit(engine, imbalance_at, asked)
    _check_each(asked, fitted)
    if fitted.rms > NOISE and all(isinstance(each.point, MeasuredPoint) for each in asked):
        asked, fitted, said = _with_prompts(engine, imbalance_at, asked, fitted)
        notes += said
    unusual = [
        f"the factor of {name} lies {abs(away):.1f} standard deviations from what set-ups were seen to have: look for "
        "a setting that differs, or for points that were not measured alike"
        for name, away in fitted.deviations.items()
        if abs(away) > LIMIT
    ]
    conditions = _conditions(asked)
    own = OwnMeasurements(points=conditions, left_out_rms=fitted.left_out_rms) if conditions else None
    band = time_band(engine, "tpot", own)
    return EngineFit(
        **vars(fitted_to(engine, study.decode_gpus)),
        node=engine.hardware.name,
        file=", ".join(str(path) for path in paths),
        kernels=fitted.scale.kernels,
        prompts=fitted.scale.prompts,
        overheads=fitted.scale.overheads,
        rms=fitted.rms,
        left_out_rms=fitted.left_out_rms,
        conditions=conditions,
        tpot_low=band.low,
        tpot_high=band.high,
        points=tuple(_point(each, fitted, number) for number, each in enumerate(asked)),
        notes=(*notes, *differing, *unusual, *dict.fromkeys(note for point in measured for note in point.notes)),
    )


def _fit(engine: Engine, imbalance_at: ImbalanceAt, asked: Sequence[_Asked]) -> Calibration:
    steps = [each.point for each in asked if isinstance(each.point, MeasuredPoint)]
    streams, kv_tokens = (np.array([getattr(step, name) for step in steps]) for name in ("streams", "kv_tokens"))
    shares = np.array([each.prompt_share for each in asked])

    def predict(engine: Engine) -> Floats:
        if len(steps) == len(asked):
            # all at once
            return mixed_step_ms(engine, asked[0].gpus, imbalance_at, streams, kv_tokens, shares)
        return np.array([each.predict(engine, imbalance_at) for each in asked])

    for each in asked:
        # what the model cannot say is told by its point
        each.predict(engine, imbalance_at)
    return fit(engine, predict, np.array([each.measured_ms for each in asked]))


def _with_prompts(
    engine: Engine, imbalance_at: ImbalanceAt, asked: list[_Asked], plain: Calibration
) -> tuple[list[_Asked], Calibration, list[str]]:
    """Measured steps with the share of prompts in their contexts, their fit, and what was inferred.

    plain: the fit without. Shares that do not halve the errors of points left out are taken for noise.
    """
    steps = [each.point for each in asked if isinstance(each.point, MeasuredPoint)]
    kv_tokens = np.array([step.kv_tokens for step in steps])
    shares = prompt_shares(
        engine,
        asked[0].gpus,
        imbalance_at,
        np.array([step.streams for step in steps]),
        kv_tokens,
        np.array([each.measured_ms for each in asked]),
    )
    mixed = [replace(each, prompt_share=float(share)) for each, share in zip(asked, shares, strict=True)]
    fitted = _fit(engine, imbalance_at, mixed) if shares.any() else plain
    if not shares.any() or (fitted.left_out_rms or 0) > (plain.left_out_rms or 0) / 2:
        return asked, plain, [PROMPTS_INSIDE]
    found = {float(context): float(share) for context, share in zip(kv_tokens, shares, strict=True) if share}
    words = ", ".join(f"{share:.1%} of {context:,.0f} tokens" for context, share in sorted(found.items()))
    return mixed, fitted, [f"{INFERRED}: {words}; {CURE}"]


def _conditions(asked: Sequence[_Asked]) -> int:
    """Different conditions with a time per output token: the same one measured again tells no more."""
    told = (_point_key(each.point) for each in asked if each.metric != "ttft_ms")
    return len(set(told))


def _point_key(point: MeasuredPoint | MeasuredServing) -> tuple[float, ...]:
    if isinstance(point, MeasuredPoint):
        return point.streams, point.kv_tokens
    return _users(point), point.input_tokens, point.output_tokens


def write_calibration(fitted: EngineFit, path: Path) -> None:
    """Write a fit as TOML for fleet.engine.calibration. Raises PlannerError."""
    file = CalibrationFile(
        **{each.name: getattr(fitted, each.name) for each in fields(FittedEngine)},
        points=len(fitted.points),
        conditions=fitted.conditions,
        source="fitted: to " + ", ".join(sorted({point.source for point in fitted.points}))[:_SOURCE_LENGTH],
        rms=fitted.rms,
        left_out_rms=fitted.left_out_rms,
        kernels=fitted.kernels,
        prompts=fitted.prompts,
        overheads=fitted.overheads,
    )
    text = "# Fitted by `planner capacity fit`; use it as fleet.engine.calibration.\n"
    text += "".join(f"{name} = {toml_value(value)}\n" for name, value in file if value is not None)
    try:
        with atomic_write(path) as draft:
            draft.write_text(text, encoding="utf-8")
    except OSError as error:
        raise PlannerError(f"{path}: cannot be written: {error.strerror}; name another --out") from error


def _asked(
    study: EngineStudy, measured: Sequence[MeasuredPoint | MeasuredServing], server_gpus: int | None
) -> tuple[list[_Asked], list[str]]:
    """The times that are fitted, and what is left out."""
    asked: list[_Asked] = []
    notes: list[str] = []
    for point in measured:
        if isinstance(point, MeasuredPoint):
            asked.append(_Asked(point=point, metric="step_ms", measured_ms=point.step_ms, gpus=study.decode_gpus))
            continue
        gpus = _gpus(point, study, server_gpus)
        step_ms = point.step_ms if point.speculates else point.tpot_ms
        if point.concurrency is None and point.decode_streams is None:
            notes.append(f"{point.source}: tells no concurrency, and is left out")
            continue
        if step_ms is not None:
            asked.append(_Asked(point=point, metric="tpot_ms", measured_ms=step_ms, gpus=gpus))
        elif point.speculates:
            notes.append(f"{point.source}: drafts tokens, and does not tell how many were accepted: left out")
        if point.ttft_ms is not None and _users(point) <= gpus:
            # beyond a user per GPU, waiting in the benchmark's own queue outweighs what the engine takes
            asked.append(_Asked(point=point, metric="ttft_ms", measured_ms=point.ttft_ms, gpus=gpus))
    return asked, notes


def _check_each(asked: Sequence[_Asked], fitted: Calibration) -> None:
    """Raises PlannerError for a time that is of another unit than the others."""
    for each, model_ms in zip(asked, fitted.model, strict=True):
        apart = each.measured_ms / float(model_ms)
        if not 1 / MOST_APART < apart < MOST_APART:
            raise PlannerError(
                f"{each.point.source}: {each.metric} is {each.measured_ms:g}, which is {apart:.3g} times what all "
                "points together give; check its unit (ms), or leave it out"
            )


def _users(point: MeasuredServing) -> float:
    users = point.concurrency if point.concurrency is not None else point.decode_streams
    assert users is not None, "points without users are left out"
    return users


def _gpus(point: MeasuredServing, study: EngineStudy, server_gpus: int | None) -> int:
    """GPUs behind the measured endpoint."""
    told = point.decode_gpus if point.serving == "disaggregated" and point.decode_gpus else point.gpus
    if told is not None and server_gpus is not None and told != server_gpus:
        raise PlannerError(f"{point.source}: tells of {told} GPUs, but --server-gpus is {server_gpus}; leave it out")
    gpus = told or server_gpus or study.decode_gpus
    of_group = study.settings.tensor_parallel * study.settings.pipeline_parallel
    if gpus % of_group:
        raise PlannerError(
            f"{point.source}: {gpus} GPUs are not a whole number of groups of {of_group}; set tensor_parallel as it "
            "was measured, or --server-gpus"
        )
    return gpus


def _point(asked: _Asked, fitted: Calibration, number: int) -> FittedPoint:
    point, left_out = asked.point, float(fitted.left_out_errors[number])
    return FittedPoint(
        source=point.source,
        metric=asked.metric,
        streams=point.streams if isinstance(point, MeasuredPoint) else _users(point),
        input_tokens=point.kv_tokens if isinstance(point, MeasuredPoint) else point.input_tokens,
        output_tokens=None if isinstance(point, MeasuredPoint) else point.output_tokens,
        measured_ms=asked.measured_ms,
        model_ms=float(fitted.model[number]),
        relative_error=float(fitted.relative_errors[number]),
        left_out_error=None if np.isnan(left_out) else left_out,
    )
