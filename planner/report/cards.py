"""The cards of a report: the figures of its verdict, and what else a plan comes to."""

from dataclasses import dataclass

from planner.report.verdict import Verdict
from planner.report.wording import LEAST_SHARE, amount, count, dollars, duration, milliseconds, percent
from planner.runs.bands import by_figure, ends, whole
from planner.runs.packing import held_units
from planner.runs.read import RunView

_UNKNOWN = "Not known"


@dataclass(frozen=True, kw_only=True)
class Card:
    """A figure with its title and what else to know of it.

    band: of the figure, in parentheses; empty where it has none. missed: whether it misses what was asked for.
    """

    title: str
    value: str
    note: str
    band: str = ""
    missed: bool = False


def answer_cards(verdict: Verdict, run: RunView) -> list[Card]:
    """What the verdict says, a figure each: nodes, lending, cost, latency targets, distance to the bound."""
    nodes = [_peak(verdict), _lent(verdict, run)]
    return [*nodes, _cost(verdict, run), _price(verdict), _targets(verdict), _bound(verdict)]


def further_cards(run: RunView) -> list[Card]:
    """The other figures of a plan."""
    s, band, units = run.summary, by_figure(run.bands), held_units(run)
    mean = ends(band.get("mean_nodes"), "{:,.2f}".format)
    hours = f"{s.node_hours:,.0f}{ends(band.get('node_hours'), whole)} node-hours"
    most = f"{s.peak_nodes:,}{ends(band.get('peak_nodes'), whole)} at most"
    cards = [Card(title="Inference nodes, mean", value=f"{s.mean_nodes:,.2f}", note=f"{hours}; {most}", band=mean)]
    if units:
        packing = f"; {units.packing}" if units.packing else ""
        cards.append(Card(title="Units, mean", value=f"{units.mean:,.2f}", note=f"{units.peak:,} at the peak{packing}"))
    cards.append(_revenue("Theoretical revenue", s.revenue_usd, s.margin_ratio, s.expected_revenue_usd))
    if s.shortfall_tokens:
        served = _revenue("Served revenue", s.revenue_served_usd, s.margin_served_ratio, s.expected_revenue_served_usd)
        cards.append(
            Card(
                title=served.title, value=served.value, note=f"{served.note}; the rest is demanded beyond the capacity"
            )
        )
    tokens = f"{_large(s.input_tokens)} input and {_large(s.output_tokens)} output tokens"
    cards.append(Card(title="Demand", value=_requests(s.requests), note=tokens))
    ratio = ends(band.get("shortfall_ratio"), "{:.3%}".format)
    causes = f"steady {s.steady_shortfall_tokens:,}, start-up {s.start_up_shortfall_tokens:,}"
    allowed = run.scenario.slo.max_shortfall_ratio
    note = f"of tokens, of {allowed:.3%} allowed: {causes}"
    return [
        *cards,
        Card(
            title="Shortfall",
            value=f"{s.shortfall_ratio:.3%}",
            note=note,
            band=ratio,
            missed=s.shortfall_ratio > allowed,
        ),
    ]


def _peak(verdict: Verdict) -> Card:
    value, band = count(verdict.peak_nodes, "node"), ends(verdict.peak_nodes_band, whole)
    held = verdict.held_peak_nodes
    note = f"carry the busiest interval at full use; the plan holds up to {held:,} of {verdict.owned_nodes:,} owned"
    return Card(
        title="Needed at peak", value=value, note=note, band=band, missed=verdict.peak_nodes > verdict.owned_nodes
    )


def _lent(verdict: Verdict, run: RunView) -> Card:
    if not run.scenario.training.lend:
        return Card(title="Lent to training", value="Nothing", note="the scenario lends no nodes (training.lend)")
    night, s = verdict.lent_node_hours_per_night, run.summary
    useful = f"{amount(s.useful_training_node_hours)} of {amount(s.training_node_hours)} useful over the plan"
    note = f"{useful}; {amount(s.idle_node_hours)} idle"
    if night is None:
        return Card(title="Lent to training", value=count(verdict.lent_node_hours, "node-hour"), note=note)
    band = ends(verdict.lent_node_hours_per_night_band, amount)
    return Card(title="Lent to training a night", value=count(night, "node-hour"), note=note, band=band)


def _cost(verdict: Verdict, run: RunView) -> Card:
    s, day, month = run.summary, verdict.cost_usd_per_day, verdict.cost_usd_per_month
    of_fleet = f"{_share(s.cost_usd, s.fleet_cost_usd)} of what all owned nodes cost; "
    parts = f"{dollars(s.training_cost_usd)} training, {dollars(s.idle_cost_usd)} idle over the plan"
    if day is None or month is None:
        return Card(title="Cost of inference", value=dollars(verdict.cost_usd), note=f"{of_fleet}{parts}")
    band = ends(verdict.cost_usd_per_day_band, dollars)
    return Card(
        title="Cost of inference a day",
        value=dollars(day),
        note=f"{dollars(month)} a month; {of_fleet}{parts}",
        band=band,
    )


def _price(verdict: Verdict) -> Card:
    price = verdict.usd_per_million_tokens
    note = "of input and output within the capacity"
    return Card(title="Cost per million tokens", value=_UNKNOWN if price is None else dollars(price), note=note)


def _targets(verdict: Verdict) -> Card:
    ttft, tpot = milliseconds(verdict.ttft_target_ms), milliseconds(verdict.tpot_target_ms)
    targets = f"TTFT {ttft} ms at p99 and TPOT {tpot} ms on average"
    if verdict.targets_known_by == "replay":
        latencies = "; ".join(
            f"{name} p99 {milliseconds(value)} of {milliseconds(target)} ms"
            for name, value, target in (
                ("TTFT", verdict.ttft_p99_ms, verdict.ttft_target_ms),
                ("TPOT", verdict.tpot_p99_ms, verdict.tpot_target_ms),
            )
            if value is not None
        )
        value = _UNKNOWN if verdict.attainment is None else f"{percent(verdict.attainment)} in time"
        note = f"{latencies}; {duration(verdict.replayed_hours or 0.0)} replayed, request by request"
        return Card(title="Latency targets", value=value, note=note, missed=verdict.targets_hold is False)
    if verdict.modelled_attainment is not None:
        value = f"{percent(verdict.modelled_attainment)} of requests"
        note = f"in intervals modelled to hold {targets}; `planner replay` measures it"
        return Card(title="Latency targets, modelled", value=value, note=note, missed=verdict.targets_hold is False)
    why = f"{verdict.latency_problem}; " if verdict.latency_problem else ""
    return Card(title="Latency targets", value=_UNKNOWN, note=f"{targets}: {why}`planner replay` measures them")


def _bound(verdict: Verdict) -> Card:
    title, ratio, bound = "Above the proven bound", verdict.above_bound_ratio, verdict.bound_node_hours
    if bound is None:
        return Card(title=title, value=_UNKNOWN, note=verdict.bound_problem or "`planner report` proves it")
    least = f"no plan within the allowed shortfall takes fewer than {bound:,.1f} node-hours ({verdict.bound_proof})"
    if ratio is None:
        return Card(title=title, value="Not compared", note=f"the plan is beyond the allowed shortfall, and {least}")
    return Card(title=title, value="None" if ratio < LEAST_SHARE else percent(ratio), note=least)


def _revenue(title: str, earned: float, margin: float | None, expected: float) -> Card:
    told = "" if margin is None else f"margin {margin:.1%}; "
    return Card(title=title, value=dollars(earned), note=f"{told}expected {dollars(expected)}")


def _share(part: float, whole_usd: float) -> str:
    return percent(part / whole_usd) if whole_usd else "none"


def _requests(number: int) -> str:
    return "1 request" if number == 1 else f"{_large(number)} requests"


def _large(value: float) -> str:
    """Thousands, millions and billions with three digits."""
    for unit, name in ((1e12, " T"), (1e9, " B"), (1e6, " M")):
        if value >= unit:
            return f"{value / unit:,.4g}{name}"
    return f"{value:,.0f}"
