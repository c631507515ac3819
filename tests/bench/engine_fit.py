"""Fits the serving engines of the catalogue to a file of measured points, and says how far they are from points that
were left out: `make engines` with PLANNER_TEST_POINTS set to the file.

A time per output token is linear in the overheads and factors of an engine's profile, but for the share of others'
prompts that a stream waits for: so each case is worked out once for each of them, and a fit is arithmetic on columns.
Unknowns have a prior, since points cannot tell all of them apart; errors are those of logarithms, with outliers damped.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from planner.catalogue.read import engine_profile, find
from planner.core.fleet.serving import Load, serve
from planner.settings.engines import EngineProfile
from planner.studies.capacity.measured.points_file import read_points_file
from planner.studies.capacity.scorecard.cases import STATIC, Case, cases_of
from tests.bench.engine_bands import (
    METRICS,
    Judge,
    errors_of,
    known_parts,
    left_out_points,
    rewrite,
    said_of_bands,
    write_widths,
)

ENGINES = ("tensorrt-llm", "vllm", "sglang", "vllm-0.2")
FOLDS = 6
FACTORS = ("products", "experts", "attention", "all_reduce", "prompt_experts", "prompt_attention")
COMMON = ("experts_us", "collective_us", "prompt_layer_us")
OWN = ("layer_us", "quantised_us", "norm_us", "step_us", "stream_us", "prompt_us")
ALIKE = {
    "sglang.quantised_us": "vllm.quantised_us",
    "sglang.norm_us": "vllm.norm_us",
    "vllm-0.2.norm_us": "vllm.norm_us",
}
"""Unknowns that points cannot tell apart between engines, and that follow from the same kernels."""
LEAST_FACTOR = 0.9
TOKEN_FIT = {"prior": 0.1, "scale": 0.12}
FIRST_FIT = {"prior": 0.1, "scale": 0.2}
"""Weight of the priors, and errors of logarithms beyond which they are damped."""
BASIS = (*FACTORS, *COMMON, *OWN)


@dataclass(frozen=True)
class Unknown:
    """One unknown: where its prior lies and how wide it is; 0 wide: not fitted. least: no lower."""

    name: str
    prior: float
    width: float
    least: float = 0.0


def unknowns() -> list[Unknown]:
    """All unknowns of the times per output token: common ones, then those of each engine."""
    common = [
        # no lower than the largest shares of a peak that were measured, so that no step beats the peaks
        Unknown("products", 1.0, 0.15, LEAST_FACTOR),
        Unknown("experts", 1.0, 0.2, LEAST_FACTOR),
        Unknown("attention", 1.0, 0.2, LEAST_FACTOR),
        Unknown("all_reduce", 1.0, 0.3, LEAST_FACTOR),
        Unknown("prompt_experts", 1.0, 0.3, LEAST_FACTOR),
        Unknown("prompt_attention", 1.2, 0.4, LEAST_FACTOR),
        Unknown("experts_us", 5.0, 10.0),
        Unknown("collective_us", 2.0, 2.0),
        Unknown("prompt_layer_us", 60.0, 40.0),
    ]
    own = []
    for engine in ENGINES:
        old = engine == "vllm-0.2"
        own += [
            Unknown(f"{engine}.layer_us", 60.0 if old else 25.0, 20.0),
            Unknown(
                f"{engine}.quantised_us",
                0.0 if old or engine == "tensorrt-llm" else 5.0,
                10.0 if engine == "vllm" else 0.0,
            ),
            Unknown(f"{engine}.norm_us", 5.0 if engine == "vllm" else 0.0, 5.0 if engine == "vllm" else 0.0),
            Unknown(f"{engine}.step_us", 2000.0 if old else 1000.0, 1000.0),
            Unknown(f"{engine}.stream_us", 10.0, 10.0),
            Unknown(f"{engine}.prompt_us", 2000.0, 0.0 if old else 2000.0),
            Unknown(f"{engine}.interleave", 0.7, 0.0 if old else 0.2),
        ]
    return common + own


@dataclass(frozen=True)
class Columns:
    """Columns of points: (points, basis) of the step, of others' prompts per token, and of a prompt alone.

    others: streams of a group but one. outputs: tokens of a request.
    """

    step: np.ndarray
    shared: np.ndarray
    alone: np.ndarray
    others: np.ndarray
    outputs: np.ndarray
    inputs: np.ndarray
    measured_us: np.ndarray
    engine: np.ndarray
    group: np.ndarray
    apart: np.ndarray


def columns_of(frame: pl.DataFrame, metric: str) -> Columns:
    """Every point of a metric that can be expressed, by one engine's unknown after the other."""
    parts = []
    for case in cases_of(frame.filter(pl.col("metric") == metric)):
        name = None if case.engine is None else case.engine.profile.name
        if case.engine is None or name not in ENGINES:
            continue
        rows = case.rows.filter(pl.col("concurrency").is_not_null() & pl.col("isl").is_not_null())
        for static in (False, True):
            kind = rows.filter(pl.col("serving").str.contains(STATIC).fill_null(False) == static)
            if len(kind):
                parts.append(_columns(case, kind, ENGINES.index(name), static))
    return Columns(*(np.concatenate(each) for each in zip(*parts, strict=True)))


def _columns(case: Case, rows: pl.DataFrame, engine: int, static: bool) -> tuple[np.ndarray, ...]:
    assert case.engine is not None
    own = replace(case.engine, reserve_gb=0.0) if static else case.engine
    users, inputs, outputs = (rows[name].to_numpy() for name in ("concurrency", "isl", "osl"))
    outputs = np.maximum(outputs, 1.0)
    step, shared, alone = [], [], []
    for name in BASIS:
        only = replace(own, profile=_only(own.profile, name))
        apart, beside = (
            serve(
                only, case.gpus, Load(concurrency=users, input_tokens=inputs, output_tokens=outputs, prompts_apart=each)
            )
            for each in (True, False)
        )
        step.append(apart.tpot_us)
        shared.append(beside.tpot_us - apart.tpot_us)
        alone.append(apart.prompt_us)
    groups = case.gpus / (own.tensor_parallel * own.pipeline_parallel)
    others = np.maximum(apart.streams / groups, 1.0) - 1
    return (
        np.array(step).T,
        np.array(shared).T,
        np.array(alone).T,
        others,
        outputs,
        inputs,
        rows["value"].to_numpy() * 1e3,
        np.full(len(rows), engine),
        rows["source_group"].to_numpy(),
        np.full(len(rows), static),
    )


def _only(profile: EngineProfile, name: str) -> EngineProfile:
    """A profile in which one unknown is 1 and all others 0, so that what it gives is that unknown's column."""
    factors = profile.factors.model_copy(update=dict.fromkeys(FACTORS, 0.0) | ({name: 1.0} if name in FACTORS else {}))
    overheads = dict.fromkeys(type(profile.overheads).model_fields, 0.0)
    if name not in FACTORS:
        overheads[name] = 1.0
    return profile.model_copy(
        update={
            "factors": factors,
            "overheads": profile.overheads.model_copy(update=overheads),
            "prompts": profile.prompts.model_copy(update={"interleave": 1.0}),
        }
    )


class TokenFit:
    """Times per output token as a function of the unknowns."""

    def __init__(self, columns: Columns) -> None:
        self.columns, self.unknowns = columns, unknowns()
        self.at = {each.name: number for number, each in enumerate(self.unknowns)}

    def theta(self, x: np.ndarray) -> np.ndarray:
        """(points, basis): the value of each basis for the engine of each point."""
        common = [np.full(len(self.columns.engine), x[self.at[name]]) for name in (*FACTORS, *COMMON)]
        return np.array([*common, *(self._own(x, name) for name in OWN)]).T

    def _own(self, x: np.ndarray, name: str) -> np.ndarray:
        names = (f"{engine}.{name}" for engine in ENGINES)
        values = np.array([x[self.at[ALIKE.get(each, each)]] for each in names])
        own: np.ndarray = values[self.columns.engine]
        return own

    def __call__(self, x: np.ndarray) -> np.ndarray:
        c, theta = self.columns, self.theta(x)
        shared = self._own(x, "interleave") * (c.shared * theta).sum(axis=1)
        taken: np.ndarray = (c.step * theta).sum(axis=1) + shared
        return taken


def fit(
    model: Callable[[np.ndarray], np.ndarray],
    asked: Sequence[Unknown],
    measured: np.ndarray,
    kept: np.ndarray,
    *,
    prior: float,
    scale: float,
) -> np.ndarray:
    """The unknowns, none below 0: Gauss-Newton on damped errors of logarithms and on the priors."""
    x = np.array([each.prior for each in asked])
    width = np.array([each.width for each in asked])
    least = np.array([each.least for each in asked])
    free = np.flatnonzero(width)
    step_width = np.maximum(width, 1e-12)

    def residuals(at: np.ndarray) -> np.ndarray:
        error = np.log(np.maximum(model(at)[kept], 1e-9) / measured[kept])
        damped = np.sign(error) * scale * np.sqrt(2 * (np.sqrt(1 + (error / scale) ** 2) - 1))
        return np.concatenate([damped, prior * (at - np.array([e.prior for e in asked]))[free] / width[free]])

    now, damping = residuals(x), 1e-2
    for _ in range(60):
        jacobian = np.empty((len(now), len(free)))
        for column, number in enumerate(free):
            moved = x.copy()
            moved[number] += 1e-4 * step_width[number]
            jacobian[:, column] = (residuals(moved) - now) / 1e-4
        normal = jacobian.T @ jacobian
        before = float(now @ now)
        for _ in range(12):
            change = np.linalg.solve(normal + damping * np.diag(np.diag(normal) + 1e-9), -jacobian.T @ now)
            tried = x.copy()
            tried[free] = np.maximum(x[free] + change * width[free], least[free])
            then = residuals(tried)
            if float(then @ then) < before:
                x, now, damping = tried, then, damping / 3
                break
            damping *= 4
        if before - float(now @ now) < 1e-7 * before:
            break
    return x


def folds_of(groups: np.ndarray) -> np.ndarray:
    """The fold of each point: whole source groups, the largest first into the fold that has the fewest points."""
    names, counts = np.unique(groups, return_counts=True)
    sizes, fold = np.zeros(FOLDS), {}
    for name, count in sorted(zip(names, counts, strict=True), key=lambda each: (-each[1], each[0])):
        fold[name] = int(np.argmin(sizes))
        sizes[fold[name]] += count
    return np.array([fold[name] for name in groups])


def said(errors: np.ndarray) -> str:
    """Median, p90, bias and the share within a fifth, in words."""
    sizes = np.abs(errors)
    return (
        f"median {np.median(sizes):.1%}, p90 {np.quantile(sizes, 0.9):.1%}, bias {np.median(errors):+.1%}, "
        f"within 20 % {np.mean(sizes <= 0.2):.1%} of {len(errors)}"
    )


def left_out(
    model: Callable[[np.ndarray], np.ndarray], asked: Sequence[Unknown], columns: Columns, **options: float
) -> np.ndarray:
    """The error of each point when its fold is left out of the fit."""
    fold, errors = folds_of(columns.group), np.empty(len(columns.group))
    for number in range(FOLDS):
        x = fit(model, asked, columns.measured_us, fold != number, **options)
        errors[fold == number] = (model(x) / columns.measured_us - 1)[fold == number]
    return errors


class FirstTokenFit:
    """Times to the first token as a function of their own unknowns, steps being those of fitted profiles."""

    def __init__(self, columns: Columns, x: np.ndarray) -> None:
        self.columns, at = columns, {name: number for number, name in enumerate(BASIS)}
        theta = TokenFit(columns).theta(x)
        self.step, self.alone = (columns.step * theta).sum(axis=1), (columns.alone * theta).sum(axis=1)
        self.layers, self.expert_layers = columns.alone[:, at["layer_us"]], columns.alone[:, at["experts_us"]]
        self.unknowns = [
            *(Unknown(f"{engine}.first_token_us", 25_000.0, 15_000.0) for engine in ENGINES),
            Unknown("token_us", 2.0, 1.0),
            Unknown("alone", 1.2, 0.3),
            Unknown("alone_layer_us", 60.0, 50.0),
            Unknown("alone_experts_us", 60.0, 50.0),
            Unknown("queue", 0.7, 0.3),
            Unknown("step", 1.5, 1.0),
        ]

    def __call__(self, z: np.ndarray) -> np.ndarray:
        c = self.columns
        token, alone, layer, experts, queue, step = z[len(ENGINES) :]
        own = alone * self.alone + layer * self.layers + experts * self.expert_layers
        computing = c.others * own
        busy = computing / (computing + c.outputs * self.step)
        taken: np.ndarray = (
            z[c.engine] + token * c.inputs + own + queue * c.others * busy * own + step * self.step * (c.others > 0)
        )
        return taken


def profiles(x: dict[str, float], z: dict[str, float]) -> dict[str, dict[str, dict[str, float]]]:
    """The fitted tables of each engine's file, rounded to what the points can tell."""
    written = {}
    for engine in ENGINES:

        def own(name: str, engine: str = engine) -> float:
            key = f"{engine}.{name}"
            return x[ALIKE.get(key, key)]

        written[engine] = {
            "overheads": {
                "layer_us": round(own("layer_us"), 1),
                "quantised_us": round(own("quantised_us"), 1),
                "norm_us": round(own("norm_us"), 1),
                **{name: round(x[name], 1) for name in COMMON},
                "step_us": round(own("step_us"), 0),
                "stream_us": round(own("stream_us"), 1),
                "prompt_us": round(own("prompt_us"), 0),
            },
            "factors": {name: round(x[name], 3) for name in FACTORS},
            "prompts": {
                "interleave": round(own("interleave"), 2),
                "first_token_us": round(z[f"{engine}.first_token_us"], 0),
                **{
                    name: round(z[name], 2)
                    for name in ("token_us", "alone", "alone_layer_us", "alone_experts_us", "queue", "step")
                },
            },
        }
    return written


def main() -> None:
    """Fit all engines to the points that PLANNER_TEST_POINTS names, say how they do, and write their files."""
    points = read_points_file(Path(os.environ["PLANNER_TEST_POINTS"]))
    frame = points.frame.filter(~pl.col("suspect"))
    columns, first = columns_of(frame, "tpot_ms"), columns_of(frame, "ttft_ms")
    tokens = TokenFit(columns)
    x = fit(tokens, tokens.unknowns, columns.measured_us, everything(columns), **TOKEN_FIT)
    firsts = FirstTokenFit(first, x)
    z = fit(firsts, firsts.unknowns, first.measured_us, everything(first), **FIRST_FIT)
    print("time per output token, fitted to all: ", said(tokens(x) / columns.measured_us - 1))
    print("  six folds of source groups left out:", said(left_out(tokens, tokens.unknowns, columns, **TOKEN_FIT)))
    print("time to the first token, fitted to all:", said(firsts(z) / first.measured_us - 1))
    print("  six folds of source groups left out:", said(left_out(firsts, firsts.unknowns, first, **FIRST_FIT)))
    for engine, tables in profiles(valued(tokens.unknowns, x), valued(firsts.unknowns, z)).items():
        rewrite(find("engines", engine), tables)
    bands(frame, tokens, first)


def bands(frame: pl.DataFrame, tokens: TokenFit, first: Columns) -> None:
    """Fit the 90 % bands to engines that are fitted without a fold, say how they do, and write their file."""
    fold_of, fitted = left_out_engines(tokens, first)
    others = sorted(set(frame["source_group"].to_list()) - set(fold_of))
    # groups without a time per output token bear on no fit of it
    fold_of |= {name: number % FOLDS for number, name in enumerate(others)}
    points = left_out_points(frame, fold_of, fitted)
    known = known_parts(points)
    judge = Judge({metric: errors_of(points, metric, known) for metric in METRICS})
    levels = judge.levels()
    for metric in METRICS:
        print(said_of_bands(judge, metric, levels))
    write_widths(judge.widths(levels), known)


def left_out_engines(
    tokens: TokenFit, first: Columns
) -> tuple[dict[str, int], Callable[[int], dict[str, EngineProfile]]]:
    """The fold of each source group that has times per output token; and what fits the engines without a fold."""
    folds = folds_of(tokens.columns.group)
    fold_of = dict(zip(tokens.columns.group.tolist(), folds.tolist(), strict=True))
    of_first = np.array([fold_of.get(name, -1) for name in first.group])

    def fitted(fold: int) -> dict[str, EngineProfile]:
        x = fit(tokens, tokens.unknowns, tokens.columns.measured_us, folds != fold, **TOKEN_FIT)
        firsts = FirstTokenFit(first, x)
        z = fit(firsts, firsts.unknowns, first.measured_us, of_first != fold, **FIRST_FIT)
        tables = profiles(valued(tokens.unknowns, x), valued(firsts.unknowns, z))
        return {name: with_tables(engine_profile(name), own) for name, own in tables.items()}

    return fold_of, fitted


def with_tables(profile: EngineProfile, tables: Mapping[str, Mapping[str, float]]) -> EngineProfile:
    """A profile with fitted values."""
    return profile.model_copy(
        update={name: getattr(profile, name).model_copy(update=values) for name, values in tables.items()}
    )


def valued(asked: Sequence[Unknown], values: np.ndarray) -> dict[str, float]:
    """Values of unknowns by name."""
    return dict(zip((u.name for u in asked), map(float, values), strict=True))


def everything(columns: Columns) -> np.ndarray:
    """All points."""
    return np.ones(len(columns.group), bool)


if __name__ == "__main__":
    main()
