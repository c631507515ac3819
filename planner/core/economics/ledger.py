"""The ledger: cost and revenue of every interval, and the waterfall to expected revenue. Pure.

All amounts are exact integers until they are rounded to micro-dollars; rounding is carried from interval to
interval, so sums over intervals are the rounded sums.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC

from planner.core.demand import Demand
from planner.core.economics.prices import PPM, TokenRates, ppm
from planner.units import S_PER_HOUR, TOKENS_PER_PRICE, Ints, cumulative_rounding, round_half_up


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Integer micro-dollars per interval; fleet = inference + training + idle."""

    inference: list[int]
    training: list[int]
    idle: list[int]
    fleet: list[int]
    training_charge: list[int]


@dataclass(frozen=True, kw_only=True)
class RevenueTerms:
    """What turns theoretical into expected revenue. other_rates: None where no traffic has other prices."""

    rates: TokenRates
    other_rates: TokenRates | None
    other_share: float
    off_peak: bool
    unpaid_share: float


@dataclass(frozen=True)
class Revenue:
    """Integer micro-dollars per interval, and the waterfall between their sums.

    steps: (name, amount): the theoretical level, the changes, the expected level.
    """

    theoretical: list[int]
    expected: list[int]
    steps: tuple[tuple[str, int], ...]


def costs(
    inference_node_s: Ints,
    lent_node_s: Ints,
    fleet_node_s: int,
    node_hour_micros: int,
    training_rate_ratio: float,
) -> Costs:
    """What the fleet costs in every interval: node-seconds times the rate of a node-hour.

    inference_node_s, lent_node_s: per interval. fleet_node_s: of one interval. node_hour_micros: micro-dollars.
    """
    inference_due = [int(node_s) * node_hour_micros for node_s in inference_node_s]
    lent_due = [int(node_s) * node_hour_micros for node_s in lent_node_s]
    inference = cumulative_rounding(inference_due, S_PER_HOUR)
    both = cumulative_rounding([a + b for a, b in zip(inference_due, lent_due, strict=True)], S_PER_HOUR)
    fleet = cumulative_rounding([fleet_node_s * node_hour_micros] * len(inference), S_PER_HOUR)
    return Costs(
        inference=inference,
        training=[total - part for total, part in zip(both, inference, strict=True)],
        idle=[total - part for total, part in zip(fleet, both, strict=True)],
        fleet=fleet,
        training_charge=cumulative_rounding([due * ppm(training_rate_ratio) for due in lent_due], S_PER_HOUR * PPM),
    )


def revenue(demand: Demand, terms: RevenueTerms) -> Revenue:
    """What the demanded tokens earn: all at list price, and after other prices, discounts and unpaid use.

    With A and B the list revenues of the two sheets, s the share of the other sheet, d the discounted part of each
    and u the unpaid share: mixed = A(1-s) + Bs, discount = A(1-s)dA + Bs dB, expected = (mixed - discount)(1-u).
    """
    starts = demand.grid.local_starts(UTC)
    interval_s, share, unpaid = demand.grid.interval_s, ppm(terms.other_share), ppm(terms.unpaid_share)
    listed = list_revenue(demand, terms.rates)
    other_rates = terms.other_rates or terms.rates
    other = list_revenue(demand, other_rates)
    mixed = [a * (PPM - share) + b * share for a, b in zip(listed, other, strict=True)]
    discount = [0] * len(mixed)
    if terms.off_peak:
        for amounts, part, rates in ((listed, PPM - share, terms.rates), (other, share, other_rates)):
            off = PPM - rates.off_peak_ratio_ppm
            off_peak_s = rates.off_peak_s(starts, interval_s)
            discount = [
                sum_ + amount * part * off * seconds
                for sum_, amount, seconds in zip(discount, amounts, off_peak_s, strict=True)
            ]
    # one denominator for all: price unit, share, discount, interval, unpaid
    scale = PPM * interval_s
    after_discount = [amount * scale - less for amount, less in zip(mixed, discount, strict=True)]
    paid = [amount * (PPM - unpaid) for amount in after_discount]
    denominator = TOKENS_PER_PRICE * PPM * scale * PPM
    levels = [
        round_half_up(sum(listed), TOKENS_PER_PRICE),
        round_half_up(sum(mixed), TOKENS_PER_PRICE * PPM),
        round_half_up(sum(after_discount), TOKENS_PER_PRICE * PPM * scale),
        round_half_up(sum(paid), denominator),
    ]
    mixing = [(f"{terms.other_share:.1%} of traffic at {other_rates.name} prices", levels[1] - levels[0])]
    return Revenue(
        theoretical=cumulative_rounding(listed, TOKENS_PER_PRICE),
        expected=cumulative_rounding(paid, denominator),
        steps=(
            (f"theoretical: all at {terms.rates.name} list price", levels[0]),
            *(mixing if terms.other_rates else ()),
            ("off-peak discount", levels[2] - levels[1]),
            (f"{terms.unpaid_share:.1%} of traffic unpaid", levels[3] - levels[2]),
            ("expected", levels[3]),
        ),
    )


def served_revenue(demand: Demand, short_input: Ints, short_output: Ints, earned: Sequence[int]) -> list[int]:
    """What of the revenue of every interval is earned by tokens within the capacity, integer micro-dollars.

    A request earns where its prompt is read and its output is generated, so an interval earns the smaller of the shares
    of input and output that its units carry; hits are as frequent among what is served as in all input. As in the view
    run_summary. short_input, short_output: tokens beyond the capacity. earned: micro-dollars if all were served.
    """
    columns = (demand.input_tokens, short_input, demand.output_tokens, short_output)
    rows = zip(earned, *(column.tolist() for column in columns), strict=True)
    return [
        min(_share_of(amount, asked_in, short_in), _share_of(amount, asked_out, short_out))
        for amount, asked_in, short_in, asked_out, short_out in rows
    ]


def _share_of(amount: int, asked: int, short: int) -> int:
    """The part of an amount that goes with the tokens that are not short."""
    return round_half_up(amount * (asked - short), asked) if asked else amount


def margin_ratio(cost_micros: int, revenue_micros: int) -> float | None:
    """(revenue - cost) / cost; None where nothing is spent."""
    return (revenue_micros - cost_micros) / cost_micros if cost_micros else None


def list_revenue(demand: Demand, rates: TokenRates) -> list[int]:
    """What the tokens of every interval earn at list price, exact, in millionths of a micro-dollar."""
    columns: Sequence[Ints] = (demand.input_tokens, demand.cached_input_tokens, demand.output_tokens)
    return [rates.revenue_of(*(int(value) for value in row)) for row in zip(*columns, strict=True)]
