"""90 % bands of modelled times and of the capacities that follow from them, by what is known of the set-up."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from planner.capacity.engines import FITTED_ON, Modelled, carried_over, decode_of, prefill_of
from planner.catalogue.read import bands, calibration, decode_points
from planner.core.fleet.engine import Engine
from planner.core.fleet.operating import ImbalanceAt, operating_point
from planner.documents import Document
from planner.errors import CannotServe
from planner.settings.bands import KnownParts, Metric, ModelKind
from planner.settings.fleet import EngineSettings, FleetSettings
from planner.settings.models import Model
from planner.units import Floats


@dataclass(frozen=True, kw_only=True)
class Estimate(Document):
    """A modelled figure and its 90 % band, which holds nine in ten measured values of unseen set-ups."""

    value: float
    low: float
    high: float | None
    """Null where there is no upper end, as of nodes where a unit may be too slow to serve at all."""
    measured: bool
    """Whether the model was calibrated by measurements of this very set-up."""


@dataclass(frozen=True)
class TimeBand(Document):
    """Factors on a modelled time, between which nine in ten measured times lie."""

    low: float
    high: float
    measured: bool
    """Whether the model was calibrated by measurements of this very set-up."""

    def of_time(self, value: float) -> Estimate:
        """The band of a time."""
        return Estimate(value=value, low=value * self.low, high=value * self.high, measured=self.measured)

    def of_rate(self, value: float) -> Estimate:
        """The band of a rate, which is the larger the shorter the time."""
        return Estimate(value=value, low=value / self.high, high=value / self.low, measured=self.measured)


NORMAL_90 = 1.645
"""Standard deviations of a normal distribution that nine in ten do not exceed."""


@dataclass(frozen=True, kw_only=True)
class OwnMeasurements:
    """Points of a set-up that its calibration was fitted to. carried_over: to another parallelism than theirs.

    published: they are published ones and not the user's. prompts: the times of prompts were fitted too. left_out_rms:
    of the errors of points left out, where there are several.
    """

    points: int
    carried_over: bool = False
    published: bool = False
    prompts: bool = False
    left_out_rms: float | None = None


def own_measurements(settings: EngineSettings, engine: Engine, gpus: int) -> OwnMeasurements | None:
    """What an engine on so many GPUs was calibrated by; None where it is estimated. Raises UsageError."""
    if settings.calibration is not None:
        file = calibration(Path(str(settings.calibration)))
        points = file.points if file.conditions is None else file.conditions
        if not points:
            # first tokens alone say little of times per output token
            return None
        apart = bool(carried_over(settings, engine, gpus))
        return OwnMeasurements(points=points, carried_over=apart, left_out_rms=file.left_out_rms)
    served = engine.model.name, engine.hardware.name
    if served not in FITTED_ON or engine.profile.kernels == "curves":
        return None
    # the level of prefill was observed on the first of them only
    return OwnMeasurements(points=len(decode_points()), published=True, prompts=served == FITTED_ON[0])


def time_band(engine: Engine, metric: Metric, own: OwnMeasurements | None = None) -> TimeBand:
    """The band of a time of an engine, of its units or of one prompt alone."""
    below, above = widths(engine, metric, own)
    here = own is not None and not own.published and not own.carried_over
    measured = here and own is not None and metric in _of_own(own)
    return TimeBand(float(np.exp(-below)), float(np.exp(above)), measured)


@dataclass(frozen=True)
class UnitBands:
    """The bands of what units do: of the time that a prompt is computed, and of a decode step."""

    prompts: TimeBand
    steps: TimeBand


def unit_bands(fleet: FleetSettings) -> UnitBands:
    """The bands of the times of a fleet's units. Raises UsageError."""
    prefill, (decode, _) = prefill_of(fleet), decode_of(fleet)
    gpus = [fleet.gpus_of(role) for role in ("prefill", "decode")]
    return UnitBands(
        time_band(prefill, "prefill", own_measurements(fleet.engine, prefill, gpus[0])),
        time_band(decode, "tpot", own_measurements(fleet.engine, decode, gpus[1])),
    )


@dataclass(frozen=True, kw_only=True)
class CapacityBand:
    """Ends of what a node of each role does, tokens/s, by the bands of its times; decode: 0 where no stream is served.

    times: of a decode unit, as factors. measured: whether both roles were.
    """

    prefill_low: float
    prefill_high: float
    decode_low: float
    decode_high: float
    times: TimeBand
    measured: bool


def capacity_band(fleet: FleetSettings, tpot_ms: float, modelled: Modelled) -> CapacityBand:
    """The band of modelled capacities. Raises UsageError."""
    bands, (decode, imbalance_at) = unit_bands(fleet), decode_of(fleet)
    rates = bands.prompts.of_rate(modelled.prefill_tokens_per_s)
    slow, fast = (
        served_at(decode, modelled.workload.kv_tokens, tpot_ms, imbalance_at, factor)[1]
        for factor in (bands.steps.high, bands.steps.low)
    )
    return CapacityBand(
        prefill_low=rates.low,
        prefill_high=modelled.prefill_tokens_per_s / bands.prompts.low,
        decode_low=slow,
        decode_high=fast,
        times=bands.steps,
        measured=bands.steps.measured and bands.prompts.measured,
    )


def served_at(
    engine: Engine, kv_tokens: float, target_ms: float, imbalance_at: ImbalanceAt, factor: float
) -> tuple[float, float]:
    """Streams per GPU and tokens/s per node within a target where all times are `factor` times the modelled ones.

    A system whose times all are longer by a factor is the same one on a slower clock.
    """
    try:
        point = operating_point(engine, kv_tokens, target_ms / factor, imbalance_at)
    except CannotServe:
        return 0.0, 0.0
    return point.streams, point.tokens_per_s_per_node / factor


def widths(
    engine: Engine, metric: Metric, own: OwnMeasurements | None = None, *, prompt_share: ArrayLike = 0.0
) -> tuple[Floats, Floats]:
    """Logarithms of measured over modelled times, below and above 1, that nine in ten do not exceed.

    prompt_share: of the time per output token, what prompts of others take of it. Own points are times per output
    token: bands of prompts stay as they are.
    """
    file = bands()
    share = np.asarray(prompt_share, np.float64)
    logs: Floats = np.full(share.shape, file.wider.seldom * bool(seldom_parts(engine, file.known)))
    if metric == "tpot":
        logs += file.wider.experts * (engine.model.experts is not None)
        logs += file.wider.prompts * np.maximum(share - file.wider.prompts_from, 0.0)
    one = getattr(file, metric)
    below, above = one.below * np.exp(logs), one.above * np.exp(logs)
    if own is not None and metric in _of_own(own):
        of_points = file.own.carried_over if own.carried_over else file.own.width
        width = float(np.interp(np.log(own.points), np.log(file.own.points), of_points))
        # own points never tell less than none, and no more than they agree with each other
        spread = NORMAL_90 * np.log1p(own.left_out_rms or 0.0)
        below, above = (np.maximum(np.minimum(each, width), spread) for each in (below, above))
    return below, above


def _of_own(own: OwnMeasurements) -> tuple[Metric, ...]:
    """The times that own points bear on."""
    return ("tpot", "throughput", "prefill") if own.prompts else ("tpot", "throughput")


def seldom_parts(engine: Engine, known: KnownParts) -> list[str]:
    """What of a set-up has few measured points, in words."""
    parts = (
        (engine.hardware.name, known.gpus),
        (f"{engine.weights} weights", [f"{each} weights" for each in known.weights]),
        (engine.profile.title, [engine.profile.title] if engine.profile.name in known.engines else []),
        (f"{model_kind(engine.model)} models", [f"{each} models" for each in known.models]),
    )
    return [word for word, words in parts if word not in words]


def model_kind(model: Model) -> ModelKind:
    """What kind of model it is, as measured errors differ."""
    if model.recurrent is not None:
        return "recurrent"
    return "dense" if model.experts is None else "experts"
