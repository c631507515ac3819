"""Fits the 90 % bands of modelled times to the errors on set-ups that were left out of the fit of the engines.

Source groups are in six folds. Each fold is predicted by engines that are fitted to the others. Widths are fitted to
all these errors, and judged likewise: on each fold with widths fitted to the others.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

import planner
from planner.capacity.bands import model_kind
from planner.settings.bands import MetricWidths
from planner.settings.engines import EngineProfile
from planner.studies.capacity.scorecard.cases import Case, cases_of, predicted
from planner.studies.capacity.scorecard.score import LOW_CONCURRENCY
from planner.studies.capacity.scorecard.score import METRICS as BANDED

COVERED = 0.91
"""Share of points that bands are to cover when their source groups are left out, of the engines and of the widths."""
LEVELS = tuple(0.88 + 0.01 * step for step in range(10))
"""Shares of the errors at hand that widths may be fitted to hold: more than are to be covered, since sources differ."""
FEW_POINTS, FEW_SOURCES = 50, 3
"""Fewer measured times per output token, or source groups, make a part of a set-up a seldom one."""
PROMPTS_FROM = 0.3
LEAST_OF_GROUP = 0.8
METRICS = {metric: name for name, metric in BANDED.items()}
"""Names in files of points by metric."""
FILE = Path(planner.__file__).parent / "catalogue/data/bands.toml"
MOST_TIMES = 8.0
"""Errors beyond so many times the model are taken to be misreported: widths do not follow them. They are judged."""


@dataclass(frozen=True)
class Errors:
    """Errors of one metric, by point: logarithms of measured over modelled times, and what widens their bands.

    weight: of a point in a fit. Points of a large source group count less.
    """

    log: np.ndarray
    group: np.ndarray
    gpu: np.ndarray
    model: np.ndarray
    engine: np.ndarray
    fold: np.ndarray
    seldom: np.ndarray
    experts: np.ndarray
    prompts: np.ndarray

    @property
    def weight(self) -> np.ndarray:
        names, counts = np.unique(self.group, return_counts=True)
        own: np.ndarray = counts[np.searchsorted(names, self.group)] ** -0.5
        return own

    def only(self, kept: np.ndarray) -> "Errors":
        return Errors(*(values[kept] for values in vars(self).values()))

    def wider(self, logs: np.ndarray) -> np.ndarray:
        """Factors on the width by point. logs: of seldom parts, of experts, and of the share of prompts."""
        factor: np.ndarray = np.exp(np.column_stack([self.seldom, self.experts, self.prompts]) @ logs)
        return factor


@dataclass(frozen=True)
class Widths:
    """Fitted widths: of each metric, below and above, and what widens them."""

    metrics: dict[str, MetricWidths]
    wider: np.ndarray


def left_out_points(
    frame: pl.DataFrame, fold_of: dict[str, int], fitted: Callable[[int], dict[str, EngineProfile]]
) -> pl.DataFrame:
    """The points with what engines say that were fitted without their fold, and what is known of their set-ups.

    fold_of: by source group. fitted: the profiles without a fold.
    """
    cases = [case for case in cases_of(frame) if case.engine is not None]
    parts = []
    for fold in sorted(set(fold_of.values())):
        profiles = fitted(fold)
        for case in cases:
            mine = np.array([fold_of[group] == fold for group in case.rows["source_group"].to_list()])
            if mine.any():
                parts.append(_predicted(_of(case, mine), profiles, fold))
    return pl.concat(parts)


def _of(case: Case, kept: np.ndarray) -> Case:
    return replace(case, index=case.index[kept], rows=case.rows.filter(pl.Series(kept)))


def _predicted(case: Case, profiles: dict[str, EngineProfile], fold: int) -> pl.DataFrame:
    assert case.engine is not None
    engine = replace(case.engine, profile=profiles.get(case.engine.profile.name, case.engine.profile))
    said = predicted(case, engine)
    return case.rows.with_columns(
        pl.Series("model_value", said.values),
        pl.Series("prompt_share", said.prompt_shares),
        pl.lit(fold).alias("fold"),
        pl.lit(engine.hardware.name).alias("node"),
        pl.lit(engine.profile.name).alias("profile"),
        pl.lit(engine.weights).alias("format"),
        pl.lit(model_kind(engine.model)).alias("kind"),
        pl.lit(engine.model.experts is not None).alias("has_experts"),
    ).filter(pl.col("model_value").is_not_nan())


def known_parts(points: pl.DataFrame) -> dict[str, list[str]]:
    """Of each kind of part, those with many measured times per output token."""
    tokens = points.filter(pl.col("metric") == METRICS["tpot"])
    columns = {"gpus": "node", "weights": "format", "engines": "profile", "models": "kind"}
    return {name: list(_many(tokens, column)) for name, column in columns.items()}


def _many(tokens: pl.DataFrame, column: str) -> Iterator[str]:
    for (word,), rows in sorted(tokens.group_by(column), key=lambda each: str(each[0])):
        if len(rows) >= FEW_POINTS and rows["source_group"].n_unique() >= FEW_SOURCES:
            yield str(word)


def errors_of(points: pl.DataFrame, metric: str, known: dict[str, list[str]]) -> Errors:
    """The errors of a metric, as times."""
    rows = points.filter(pl.col("metric") == METRICS[metric])
    if metric == "ttft":
        rows = rows.filter(pl.col("concurrency") <= LOW_CONCURRENCY)
    columns = {"gpus": "node", "weights": "format", "engines": "profile", "models": "kind"}
    seldom = np.zeros(len(rows), bool)
    for name, column in columns.items():
        seldom |= ~np.isin(rows[column].to_numpy(), known[name])
    log = np.log(rows["value"].to_numpy() / rows["model_value"].to_numpy())
    return Errors(
        log=-log if metric == "throughput" else log,
        group=rows["source_group"].to_numpy(),
        gpu=rows["node"].to_numpy(),
        model=rows["model"].to_numpy(),
        engine=rows["profile"].to_numpy(),
        fold=rows["fold"].to_numpy(),
        seldom=seldom.astype(float),
        experts=rows["has_experts"].to_numpy().astype(float) * (metric == "tpot"),
        prompts=np.maximum(rows["prompt_share"].to_numpy() - PROMPTS_FROM, 0.0) * (metric == "tpot"),
    )


class Judge:
    """Widths fitted to all errors, or to those of all folds but one; what widens them is fitted once for each."""

    def __init__(self, errors: dict[str, Errors]) -> None:
        self.errors = errors
        self._wider: dict[tuple[int | None, float], np.ndarray] = {}

    def wider(self, out: int | None, level: float) -> np.ndarray:
        """What widens bands by times per output token, without a fold."""
        if (out, level) not in self._wider:
            tokens = self.errors["tpot"]
            self._wider[out, level] = _fit_wider(tokens.only(tokens.fold != out), level)
        return self._wider[out, level]

    def widths(self, levels: dict[str, float], out: int | None = None, names: Iterable[str] = METRICS) -> Widths:
        """The widths of metrics, below and above the model, without a fold."""
        wider = self.wider(out, levels["tpot"])
        metrics = {}
        for name in names:
            each = self.errors[name]
            kept = each.only((each.fold != out) & (np.abs(each.log) < np.log(MOST_TIMES)))
            scaled, level = kept.log / kept.wider(wider), levels[name]
            low, high = (_quantile(scaled, kept.weight, share) for share in ((1 - level) / 2, (1 + level) / 2))
            metrics[name] = MetricWidths(below=round(max(-low, 0.01), 3), above=round(max(high, 0.01), 3))
        return Widths(metrics, wider)

    def held(self, metric: str, levels: dict[str, float]) -> np.ndarray:
        """Whether each point is in the band that was fitted without its fold."""
        own = self.errors[metric]
        held = np.zeros(len(own.log), bool)
        for fold in np.unique(own.fold):
            mine = own.fold == fold
            held[mine] = inside(own, self.widths(levels, fold, [metric]), metric)[mine]
        return held

    def levels(self) -> dict[str, float]:
        """Of each metric, the level with which bands cover what they are to."""
        chosen = dict.fromkeys(self.errors, LEVELS[0])
        # the metric that all others take their factors from comes first
        for name in self.errors:
            tried = [{**chosen, name: level} for level in LEVELS]
            chosen = min(tried, key=lambda each, name=name: abs(self.held(name, each).mean() - COVERED))
        return chosen


def _quantile(values: np.ndarray, weights: np.ndarray, share: float) -> float:
    order = np.argsort(values)
    total = np.cumsum(weights[order]) - weights[order] / 2
    return float(np.interp(share, total / weights.sum(), values[order]))


def _fit_wider(errors: Errors, level: float) -> np.ndarray:
    """Logarithms that widen, by the loss whose least is at the quantile; none below 0. One by one."""
    x = np.array([np.log(_quantile(np.abs(errors.log), errors.weight, level)), 0.0, 0.0, 0.0])
    size = np.log(np.abs(errors.log) + 1e-4)

    def loss(at: np.ndarray) -> float:
        beyond = size - at[0] - np.log(errors.wider(at[1:]))
        lost = errors.weight * np.where(beyond > 0, level * beyond, (level - 1) * beyond)
        return float(lost.sum() / errors.weight.sum() + 1e-3 * np.sum(at[1:] ** 2))

    best, step = loss(x), 0.5
    while step > 1e-3:
        moved = False
        for number in range(len(x)):
            for change in (step, -step):
                tried = x.copy()
                tried[number] = tried[number] + change if number == 0 else max(tried[number] + change, 0.0)
                then = loss(tried)
                if then < best - 1e-12:
                    x, best, moved = tried, then, True
        if not moved:
            step /= 2
    return x[1:]


def inside(errors: Errors, widths: Widths, metric: str) -> np.ndarray:
    """Whether each point is in its band."""
    wider, one = errors.wider(widths.wider), widths.metrics[metric]
    held: np.ndarray = (errors.log >= -one.below * wider) & (errors.log <= one.above * wider)
    return held


def said_of_bands(judge: Judge, metric: str, levels: dict[str, float]) -> str:
    """The share of points inside, and of groups with four in five inside, in words."""
    held, errors = judge.held(metric, levels), judge.errors[metric]
    words = []
    for kind in ("group", "gpu", "model", "engine"):
        names = getattr(errors, kind)
        shares = {name: held[names == name].mean() for name in np.unique(names)}
        few = [f"{name} {share:.0%}" for name, share in shares.items() if share < LEAST_OF_GROUP]
        but = f" (not {', '.join(few)})" if few else ""
        words.append(f"{len(shares) - len(few)} of {len(shares)} by {kind}{but}")
    return (
        f"90 % band of {metric}: {held.mean():.1%} of {len(held)} inside when left out; at {LEAST_OF_GROUP:.0%} or "
        f"more: {'; '.join(words)}"
    )


def write_widths(widths: Widths, known: dict[str, list[str]]) -> None:
    """Put fitted widths and what is known into the file of bands, and leave everything else as it is."""
    tables: dict[str, dict[str, str]] = {
        name: {"below": f"{one.below:.3f}", "above": f"{one.above:.3f}"} for name, one in widths.metrics.items()
    }
    names = ("seldom", "experts", "prompts")
    tables["wider"] = {name: f"{value:.2f}" for name, value in zip(names, widths.wider, strict=True)}
    tables["wider"]["prompts_from"] = f"{PROMPTS_FROM:g}"
    tables["known"] = {name: json.dumps(words) for name, words in known.items()}
    rewrite(FILE, tables)


def rewrite(path: Path, tables: Mapping[str, Mapping[str, object]]) -> None:
    """Put fitted values into the tables of a file, and leave everything else as it is."""
    table, lines = "", []
    for line in path.read_text().splitlines():
        if line.startswith("["):
            table = line.strip("[]")
        name = line.partition(" = ")[0]
        lines.append(f"{name} = {tables[table][name]}" if name in tables.get(table, {}) else line)
    path.write_text("\n".join(lines) + "\n")
