"""What a plan comes to, in a sentence and its figures: nodes, lending, cost, targets, distance to the bound."""

from dataclasses import dataclass
from typing import Literal

from planner.capacity.bands import Estimate
from planner.capacity.latency import TTFT_SHARE
from planner.documents import Document
from planner.report.wording import LEAST_SHARE, amount, count, dollars, duration, milliseconds, percent
from planner.runs.bands import basis, by_figure, ends, whole
from planner.runs.documents import need_nodes
from planner.runs.limits import missed_in_replay, missed_limits
from planner.runs.read import ReplayView, RunView
from planner.studies.outlook import Outlook, Proof
from planner.units import S_PER_DAY, S_PER_HOUR

DAYS_PER_MONTH = 365.2425 / 12
"""Computed: a twelfth of the mean year of the calendar."""


@dataclass(frozen=True, kw_only=True)
class VerdictFigures(Document):
    """The figures of what a plan comes to; one that is not known is null."""

    bands_rest_on: str | None
    """What the 90 % bands in parentheses rest on; null where capacities are observed and there are none."""
    missed_limits: tuple[str, ...]
    """Limits of the scenario that the plan, or its replay, misses."""
    peak_nodes: int
    """Nodes needed at peak: those whose units would carry the busiest interval at full use, be they more or fewer than
    are owned."""
    peak_nodes_band: Estimate | None
    held_peak_nodes: int
    """Most nodes that inference holds in the plan."""
    owned_nodes: int
    lent_node_hours: float
    """Node-hours lent to training over the whole plan, restoring included."""
    lent_node_hours_per_night: float | None
    """The same a day; null where the plan is shorter than a day."""
    lent_node_hours_per_night_band: Estimate | None
    cost_usd: float
    """Cost of inference over the whole plan."""
    cost_usd_per_day: float | None
    """The same a day; null where the plan is shorter than a day."""
    cost_usd_per_day_band: Estimate | None
    cost_usd_per_month: float | None
    """The same a month of 30.44 days."""
    usd_per_million_tokens: float | None
    """Cost over the tokens within the capacity, input and output; null if there are none."""
    targets_known_by: Literal["replay", "model"] | None
    """How it is known whether the latency targets hold; null if it is not."""
    targets_hold: bool | None
    """Replayed: whether 99 of 100 requests were within each target. Modelled: whether every interval keeps both."""
    ttft_p99_ms: float | None
    """99th percentile of the time to the first token; null without a replay."""
    ttft_target_ms: float
    tpot_p99_ms: float | None
    """99th percentile of the time per further token of a request; null without a replay."""
    tpot_target_ms: float
    attainment: float | None
    """Share of requests within both targets; null without a replay."""
    replayed_hours: float | None
    """Hours whose requests were replayed; null without a replay."""
    modelled_attainment: float | None
    """Share of requests in intervals that are modelled to keep both targets; null where that is not modelled."""
    latency_problem: str | None
    """Why latencies are not modelled; null if they are."""
    above_bound_ratio: float | None
    """Node-hours of the plan over the proven bound, less 1; null without a bound, and beyond the allowance."""
    bound_node_hours: float | None
    bound_proof: Proof | None
    bound_problem: str | None
    """Why there is no bound; null if there is one."""


@dataclass(frozen=True, kw_only=True)
class Verdict(VerdictFigures):
    """What a plan comes to."""

    sentence: str
    """The answer; limits that are missed come first."""


def verdict_of(run: RunView, outlook: Outlook | None, *, pending: bool = False) -> Verdict:
    """What a run comes to.

    outlook: None where it was not asked for. pending: whether it is being worked out. Raises RunError for a run of
    other settings.
    """
    figures = _figures(run, outlook)
    parts = [*_nodes(figures, lends=run.scenario.training.lend), _cost(figures, run), _targets(figures, run, pending)]
    if figures.above_bound_ratio is not None:
        parts.append(_above(figures.above_bound_ratio))
    text = f"{', '.join(parts[:-1])}, and {parts[-1]}."
    missed = figures.missed_limits
    if missed:
        return Verdict(**vars(figures), sentence=f"Misses {count(len(missed), 'limit')} ({'; '.join(missed)}): {text}")
    return Verdict(**vars(figures), sentence=text[0].upper() + text[1:])


def _figures(run: RunView, outlook: Outlook | None) -> VerdictFigures:
    summary, scenario, band, replay = run.summary, run.scenario, by_figure(run.bands), run.replay
    days = _days(run)
    bound = outlook.bound if outlook else None
    tokens = summary.input_tokens + summary.output_tokens - summary.shortfall_tokens
    known_by, hold = _known(replay, outlook)
    return VerdictFigures(
        bands_rest_on=basis(run.bands) if run.bands else None,
        missed_limits=(*missed_limits(run), *missed_in_replay(run)),
        peak_nodes=need_nodes(run),
        peak_nodes_band=band.get("need_nodes"),
        held_peak_nodes=summary.peak_nodes,
        owned_nodes=scenario.fleet.nodes,
        lent_node_hours=summary.training_node_hours,
        lent_node_hours_per_night=summary.training_node_hours / days if days else None,
        lent_node_hours_per_night_band=_a_day(band.get("training_node_hours"), days),
        cost_usd=summary.cost_usd,
        cost_usd_per_day=summary.cost_usd / days if days else None,
        cost_usd_per_day_band=_a_day(band.get("cost_usd"), days),
        cost_usd_per_month=summary.cost_usd / days * DAYS_PER_MONTH if days else None,
        usd_per_million_tokens=summary.cost_usd / tokens * 1e6 if tokens else None,
        targets_known_by=known_by,
        targets_hold=hold,
        ttft_p99_ms=replay.figures.ttft_p99_ms if replay else None,
        ttft_target_ms=scenario.slo.ttft_ms,
        tpot_p99_ms=replay.figures.tpot_p99_ms if replay else None,
        tpot_target_ms=scenario.slo.tpot_ms,
        attainment=replay.figures.both_attainment if replay else None,
        replayed_hours=_replayed_s(replay) / S_PER_HOUR if replay else None,
        modelled_attainment=outlook.latency_met_ratio if outlook else None,
        latency_problem=outlook.latency_problem if outlook else None,
        above_bound_ratio=bound.gap_to_bound if bound else None,
        bound_node_hours=bound.node_hours if bound else None,
        bound_proof=bound.proof if bound else None,
        bound_problem=outlook.bound_problem if outlook else None,
    )


def _days(run: RunView) -> float | None:
    """Days of a plan; None where it is shorter than one, since a few hours do not tell of a day."""
    days = run.summary.interval_s * run.summary.intervals / S_PER_DAY
    return days if days >= 1 else None


def _replayed_s(replay: ReplayView) -> float:
    return (replay.summary.window_end - replay.summary.window_start).total_seconds()


def _a_day(band: Estimate | None, days: float | None) -> Estimate | None:
    """The band of a figure of a whole plan, a day."""
    if band is None or days is None:
        return None
    high = None if band.high is None else band.high / days
    return Estimate(value=band.value / days, low=band.low / days, high=high, measured=band.measured)


def _known(replay: ReplayView | None, outlook: Outlook | None) -> tuple[Literal["replay", "model"] | None, bool | None]:
    """How it is known whether the targets hold, and whether they do."""
    if replay is not None:
        shares = (replay.figures.ttft_attainment, replay.figures.tpot_attainment)
        known = [share for share in shares if share is not None]
        return ("replay", min(known) >= TTFT_SHARE) if known else (None, None)
    if outlook is not None and outlook.latency_met_ratio is not None:
        return "model", outlook.latency_met_ratio == 1
    return None, None


def _nodes(figures: VerdictFigures, *, lends: bool) -> list[str]:
    """Nodes needed at peak, and what is lent of others."""
    need, held = figures.peak_nodes, figures.held_peak_nodes
    needs = f"needs {count(need, 'node')}{ends(figures.peak_nodes_band, whole)} at peak"
    if held != need:
        needs += f" (the plan holds {held:,} of {figures.owned_nodes:,} owned)"
    if not lends:
        return [needs]
    night, band = figures.lent_node_hours_per_night, figures.lent_node_hours_per_night_band
    hours, when = (figures.lent_node_hours, "") if night is None else (night, " a night")
    if not hours:
        return [needs, "lends nothing to training"]
    return [needs, f"lends {count(hours, 'node-hour')}{ends(band, amount)}{when} to training"]


def _cost(figures: VerdictFigures, run: RunView) -> str:
    day = figures.cost_usd_per_day
    if day is None:
        hours = run.summary.interval_s * run.summary.intervals / S_PER_HOUR
        return f"costs {dollars(figures.cost_usd)} in its {duration(hours)}"
    return f"costs {dollars(day)}{ends(figures.cost_usd_per_day_band, dollars)} a day"


def _targets(figures: VerdictFigures, run: RunView, pending: bool) -> str:
    """Whether the latency targets hold, and how that is known."""
    if figures.targets_known_by is None and pending:
        return "its latency and its distance to the proven bound are being worked out"
    if figures.targets_known_by is None:
        return "its latency is not known until `planner replay`"
    if figures.targets_known_by == "model":
        late = 1 - (figures.modelled_attainment or 0.0)
        if not late:
            return "holds the targets at p99 as modelled"
        return f"does not hold the targets at p99 for {percent(late)} of requests as modelled"
    latencies = [
        f"{name} p99 {milliseconds(value)} of {milliseconds(target)} ms"
        for name, value, target in (
            ("TTFT", figures.ttft_p99_ms, figures.ttft_target_ms),
            ("TPOT", figures.tpot_p99_ms, figures.tpot_target_ms),
        )
        if value is not None
    ]
    verb = "holds" if figures.targets_hold else "does not hold"
    span = "" if _is_whole(run) else f" in the {duration(figures.replayed_hours or 0.0)} replayed"
    return f"{verb} the targets at p99{span} ({', '.join(latencies)})"


def _is_whole(run: RunView) -> bool:
    """Whether all of a plan was replayed but for its warm-up."""
    seconds = run.summary.interval_s * run.summary.intervals - run.scenario.replay.warm_up_s
    return run.replay is not None and _replayed_s(run.replay) >= seconds


def _above(ratio: float) -> str:
    if ratio < LEAST_SHARE:
        return "is at the proven bound"
    return f"is {percent(ratio)} above the proven bound"
