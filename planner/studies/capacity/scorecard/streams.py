"""Streams within a target for the time per output token: what the model says of them over what was measured.

A curve is a set-up with requests of one length whose time per output token was measured at three concurrencies or more.
Measured curves are made to rise (a time is at least that of every lower concurrency; of times measured twice, the
geometric mean), and run straight in logarithms between the points. A case is a curve and one of `TARGETS_MS` between
its least and its largest time, so measurements bracket every case and nothing is extrapolated. The measured streams
are the most for which the curve stays within the target; the model's are the most for which its own curve does, from
one stream to all that the server holds: 0 where one stream is too many, and all that it holds where none is.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import polars as pl

from planner.core.fleet.engine import Engine
from planner.core.fleet.serving import Load, held_streams, serve
from planner.documents import Document
from planner.errors import PlannerError
from planner.studies.capacity.scorecard.cases import FULL_LOAD_USERS, STATIC, Case, engine_for
from planner.units import Floats

TARGETS_MS = (10.0, 20.0, 30.0, 50.0, 100.0)
"""Assumed: service levels as they are named, of 100, 50, 33, 20 and 10 tokens/s. The same for all set-ups, so that a
curve measured at many concurrencies does not count more."""
LEAST_CONCURRENCIES = 3
"""Of a curve. Assumed: two points tell little of a curve."""
QUARTER = 0.25
_STEPS = 64
"""Of the model's curve; a step of a server of 4,096 streams is then 14 %, and its curve nearly straight within."""


@dataclass(frozen=True, kw_only=True)
class StreamFigures(Document):
    """Streams within a target for the time per output token, model over measured."""

    count: int
    """Targets between measurements of a set-up."""
    median_ratio: float | None
    p10: float | None
    """Ratio that nine in ten exceed."""
    p90: float | None
    """Ratio that one in ten exceeds."""
    within_25: float | None
    """Share of targets whose ratio is between 0.75 and 1.25."""


@dataclass(frozen=True)
class Curve:
    """Times per output token of one length of requests, by rising concurrency."""

    inputs: float
    outputs: float
    users: Floats
    tpot_ms: Floats

    @property
    def targets_ms(self) -> Floats:
        """Targets between its least and its largest time."""
        asked = np.array(TARGETS_MS)
        inside: Floats = asked[(asked > self.tpot_ms[0]) & (asked < self.tpot_ms.max())]
        return inside


def stream_figures(ratios: Iterable[Floats]) -> StreamFigures:
    """Figures of the ratios of any number of set-ups."""
    found = np.concatenate([np.empty(0), *ratios])
    if not len(found):
        return StreamFigures(count=0, median_ratio=None, p10=None, p90=None, within_25=None)
    median, low, high = (float(np.quantile(found, share)) for share in (0.5, 0.1, 0.9))
    within = float(np.mean(np.abs(found - 1) <= QUARTER))
    return StreamFigures(count=len(found), median_ratio=median, p10=low, p90=high, within_25=within)


def stream_ratios(case: Case, engine: Engine) -> Floats:
    """Model over measured of all targets of a set-up; none where the model has no figure."""
    ratios = [np.empty(0)]
    for static in (False, True):
        curves = list(_curves(case.rows, static))
        if not curves:
            continue
        try:
            users, tpot_ms = _modelled(engine_for(engine, static), case.gpus, curves, static)
        except PlannerError:
            # the same set-up's times are counted, with the reason, among those that cannot be expressed
            continue
        for curve, own_users, own_ms in zip(curves, users, tpot_ms, strict=True):
            targets = curve.targets_ms
            ratios.append(
                streams_within(targets, own_users, own_ms) / streams_within(targets, curve.users, curve.tpot_ms)
            )
    return np.concatenate(ratios)


def streams_within(targets_ms: Floats, users: Floats, tpot_ms: Floats) -> Floats:
    """The most users of a rising curve whose time is within each target, between its points by straight logarithms.

    0 below the first point's time, and the last point's users above the last's.
    """
    logs, times = np.log(users), np.log(_rising(tpot_ms))
    targets = np.log(targets_ms)
    above = np.searchsorted(times, targets, side="right")
    low, high = np.maximum(above - 1, 0), np.minimum(above, len(times) - 1)
    rise = times[high] - times[low]
    share = np.divide(targets - times[low], rise, out=np.zeros_like(targets), where=rise > 0)
    found: Floats = np.where(above == 0, 0.0, np.exp(logs[low] + share * (logs[high] - logs[low])))
    return found


def _rising(tpot_ms: Floats) -> Floats:
    rising: Floats = np.maximum.accumulate(tpot_ms)
    return rising


def _curves(rows: pl.DataFrame, static: bool) -> Iterable[Curve]:
    told = rows.filter(
        (pl.col("metric") == "tpot_ms") & (pl.col("serving").str.contains(STATIC).fill_null(False) == static)
    ).drop_nulls(["isl", "osl", "concurrency"])
    for (_, inputs, outputs), own in told.group_by("serving", "isl", "osl", maintain_order=True):
        points = own.group_by("concurrency").agg(pl.col("value").log().mean().exp()).sort("concurrency")
        if len(points) >= LEAST_CONCURRENCIES:
            yield Curve(
                float(str(inputs)), float(str(outputs)), points["concurrency"].to_numpy(), points["value"].to_numpy()
            )


def _modelled(engine: Engine, gpus: int, curves: list[Curve], static: bool) -> tuple[Floats, Floats]:
    """Streams from one to all that the server holds, and the model's times for them; a row for each curve."""
    inputs = np.array([[curve.inputs] for curve in curves])
    outputs = np.array([[max(curve.outputs, 1.0)] for curve in curves])
    most = held_streams(engine, gpus, FULL_LOAD_USERS, inputs + outputs)
    users = np.maximum(most, 1.0) ** np.linspace(0, 1, _STEPS)
    load = Load(concurrency=users, input_tokens=inputs, output_tokens=outputs, prompts_apart=static)
    return users, serve(engine, gpus, load).tpot_us / 1e3
