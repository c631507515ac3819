"""How much a few measurements of a set-up of its own help, where the engines know nothing of it: second line of
`make engines`, with PLANNER_TEST_POINTS set to the file of points.

Engines are fitted six times, each time without the source groups of one fold. A set-up of a fold then gets a few of its
own times per output token, drawn at random, and all its others are predicted: by the engine as it is (0 own points),
and after `calibration.fit`. "carried over": predicted are the points of another tensor parallelism, of the same model,
GPU, engine and formats. Every point predicted counts alike, however often it was drawn.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from planner.core.fleet.calibration import fit
from planner.core.fleet.engine import Engine, Scale, on_same_kernels
from planner.core.fleet.serving import Load, serve
from planner.studies.capacity.measured.points_file import read_points_file
from planner.studies.capacity.scorecard.cases import STATIC, Case, cases_of, engine_for
from planner.studies.capacity.scorecard.streams import StreamFigures, stream_figures, stream_ratios
from tests.bench.engine_fit import FOLDS, TokenFit, columns_of, left_out_engines

OWN = (0, 1, 2, 4, 8)
DRAWS = 12
SEED = 15
LEAST_POINTS = 6
"""Of a set-up, so that enough are left to predict."""
LEAST_LEFT = 2


def left_out_cases(frame: pl.DataFrame) -> Iterator[Case]:
    """Set-ups, with engines that know nothing of their source groups; those that can be expressed."""
    fold_of, fitted = left_out_engines(TokenFit(columns_of(frame, "tpot_ms")), columns_of(frame, "ttft_ms"))
    for number in range(FOLDS):
        profiles = fitted(number)
        own = frame.filter(pl.col("source_group").is_in([group for group, each in fold_of.items() if each == number]))
        for case in cases_of(own):
            if case.engine is not None and case.engine.profile.name in profiles:
                yield replace(case, engine=replace(case.engine, profile=profiles[case.engine.profile.name]))


@dataclass(frozen=True, kw_only=True)
class Times:
    """Measured times per output token of a set-up, and the model's: linear in an engine's factors.

    Columns of parts: kernels, overheads, kernels of prompts and overheads of prompts. alike: what set-ups have in
    common that differ in parallelism alone.
    """

    engine: Engine
    measured_us: np.ndarray
    parts: np.ndarray
    alike: tuple[object, ...]

    def predict(self, engine: Engine, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Times of some rows for an engine's factors."""
        scale = engine.scale
        factors = [scale.kernels, scale.overheads, scale.prompts * scale.kernels, scale.prompts * scale.overheads]
        taken: np.ndarray = self.parts[rows] @ np.array(factors)
        return taken


def times_of(case: Case) -> Times | None:
    """The times of a set-up; None where it has too few, or none that the model has a figure for."""
    rows = case.rows.filter(pl.col("metric") == "tpot_ms").drop_nulls(["concurrency", "isl", "osl"])
    if case.engine is None or len(rows) < LEAST_POINTS:
        return None
    statics = rows["serving"].str.contains(STATIC).fill_null(False)
    kinds = [(static, rows.filter(statics == static)) for static in (False, True)]
    parts = [_parts(case, kind, static) for static, kind in kinds if len(kind)]
    measured = [kind["value"].to_numpy() * 1e3 for _, kind in kinds if len(kind)]
    setup = case.setup
    return Times(
        engine=case.engine,
        measured_us=np.concatenate(measured),
        parts=np.concatenate(parts),
        alike=(setup.model, setup.gpu, case.engine.profile.name, setup.weights, setup.kv),
    )


def _parts(case: Case, rows: pl.DataFrame, static: bool) -> np.ndarray:
    assert case.engine is not None
    users, inputs, outputs = (rows[name].to_numpy() for name in ("concurrency", "isl", "osl"))
    load = Load(concurrency=users, input_tokens=inputs, output_tokens=np.maximum(outputs, 1.0), prompts_apart=static)
    own = engine_for(case.engine, static)

    def taken(**factors: float) -> np.ndarray:
        return serve(on_same_kernels(own, scale=Scale(**factors)), case.gpus, load).tpot_us

    none = {"kernels": 0.0, "overheads": 0.0, "prompts": 0.0}
    kernels, overheads = taken(**none | {"kernels": 1.0}), taken(**none | {"overheads": 1.0})
    both = [taken(**none | {name: 1.0, "prompts": 1.0}) for name in ("kernels", "overheads")]
    return np.column_stack([kernels, overheads, both[0] - kernels, both[1] - overheads])


@dataclass(frozen=True)
class Errors:
    """Logarithms of model over measured, and how much each counts."""

    logs: np.ndarray
    weights: np.ndarray

    def said(self) -> str:
        """Median and p90 of the relative errors' sizes, and the 90 % quantile of the logarithms' sizes."""
        sizes, relative = np.abs(self.logs), np.abs(np.expm1(self.logs))
        median, p90 = (_quantile(relative, self.weights, share) for share in (0.5, 0.9))
        return f"median {median:6.1%}, p90 {p90:6.1%}, 90 % of |log| {_quantile(sizes, self.weights, 0.9):.3f}"


def _quantile(values: np.ndarray, weights: np.ndarray, share: float) -> float:
    order = np.argsort(values)
    heaped = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(heaped, share * heaped[-1])])


def own_points(everything: Sequence[Times], own: int, *, carried: bool) -> tuple[int, Errors]:
    """Errors of what is predicted from so many own points, and of how many set-ups."""
    random = np.random.default_rng(SEED)
    logs, weights, setups = [], [], 0
    for times in everything:
        count = len(times.measured_us)
        others = [
            each
            for each in everything
            if each.alike == times.alike and each.engine.tensor_parallel != times.engine.tensor_parallel
        ]
        if count < own + LEAST_LEFT or (carried and not others):
            continue
        setups += 1
        draws = _draws(random, count, own)
        for drawn in draws:
            engine = _fitted(times, drawn)
            tested = [(each, np.arange(len(each.measured_us))) for each in others]
            if not carried:
                tested = [(times, np.setdiff1d(np.arange(count), drawn))]
            for each, rows in tested:
                logs.append(np.log(each.predict(engine, rows) / each.measured_us[rows]))
                weights.append(np.full(len(rows), 1 / len(draws)))
    return setups, Errors(np.concatenate(logs), np.concatenate(weights))


def _draws(random: np.random.Generator, count: int, own: int) -> list[np.ndarray]:
    if own == 0:
        return [np.empty(0, int)]
    if own == 1:
        return [np.array([each]) for each in random.permutation(count)[:DRAWS]]
    return [random.permutation(count)[:own] for _ in range(DRAWS)]


def _fitted(times: Times, drawn: np.ndarray) -> Engine:
    if not len(drawn):
        return times.engine
    found = fit(times.engine, partial(times.predict, rows=drawn), times.measured_us[drawn])
    return on_same_kernels(times.engine, scale=found.scale)


def said(figures: StreamFigures) -> str:
    """Figures of streams within targets, in words."""
    return (
        f"median x {figures.median_ratio:.2f}, p10 to p90 {figures.p10:.2f} to {figures.p90:.2f}, within a quarter "
        f"{figures.within_25:.1%} of {figures.count}"
    )


def main() -> None:
    """Print errors by number of own points, of the same parallelism and carried over."""
    frame = read_points_file(Path(os.environ["PLANNER_TEST_POINTS"])).frame.filter(~pl.col("suspect"))
    cases = list(left_out_cases(frame))
    ratios = [stream_ratios(case, case.engine) for case in cases if case.engine is not None]
    print("streams within a target, source groups left out:", said(stream_figures(ratios)))
    everything = [times for times in map(times_of, cases) if times is not None]
    for carried in (False, True):
        print("carried over to another tensor parallelism" if carried else "same set-up")
        for own in OWN:
            setups, errors = own_points(everything, own, carried=carried)
            print(f"  {own} own points: {errors.said()}, of {setups} set-ups")


if __name__ == "__main__":
    main()
