"""Costs as a FOCUS 1.2 data set: a row per interval and use of nodes, all marked as simulated. Pure.

All mandatory columns, and those conditional ones whose condition holds: unit prices, usage, sub-accounts, tags.
Columns of our own begin with x_, as FOCUS asks. Times are UTC.
"""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction

from planner.export.formats.schedule import Charge, Export, ExportSchedule
from planner.text import inert
from planner.units import MICROS_PER_USD, S_PER_HOUR, from_us, round_half_up

_PROVIDER = "planner (simulated)"
_DIGITS = 9
"""Decimals of quantities: a millionth of a dollar stays exact at prices up to 500 USD per GPU-hour."""


COLUMNS = (
    "BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd", "BillingPeriodStart",
    "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargeFrequency", "ChargePeriodEnd", "ChargePeriodStart",
    "ConsumedQuantity", "ConsumedUnit", "ContractedCost", "ContractedUnitPrice", "EffectiveCost", "InvoiceIssuerName",
    "ListCost", "ListUnitPrice", "PricingCategory", "PricingQuantity", "PricingUnit", "ProviderName", "PublisherName",
    "ServiceCategory", "ServiceName", "ServiceSubcategory", "SkuId", "SkuMeter", "SkuPriceId", "SubAccountId",
    "SubAccountName", "Tags", "x_NodeSeconds", "x_Policy", "x_RunId", "x_Simulated",
)  # fmt: skip
"""In the order in which they are written."""


def focus(schedule: ExportSchedule) -> Export:
    """What inference, training and idle nodes cost, as CSV; uses without nodes have no row."""
    price = _price(schedule)
    rows = [_row(schedule, charge, price) for charge in _settle(schedule.charges)]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([_safe(row[name]) for name in COLUMNS] for row in rows)
    note = "these are simulated costs, marked by the tag simulated and by x_Simulated; they match no invoice"
    return Export(out.getvalue(), f"{len(rows)} charges", (note,))


def _settle(charges: Sequence[Charge]) -> list[Charge]:
    """Charges with nodes; millionths left over by rounding go to the next charge of the same use, or the last.

    None becomes negative: what rounding takes away comes from the next charge that has it, or the last.
    """
    settled: list[Charge] = []
    for use in dict.fromkeys(charge.use for charge in charges):
        owed, of_use = 0, list[Charge]()
        for charge in charges:
            if charge.use == use:
                owed += charge.cost_usd_micros
                if charge.node_s:
                    of_use.append(replace(charge, cost_usd_micros=max(owed, 0)))
                    owed = min(owed, 0)
        for index in reversed(range(len(of_use))):
            cost = of_use[index].cost_usd_micros
            of_use[index] = replace(of_use[index], cost_usd_micros=max(cost + owed, 0))
            owed = min(cost + owed, 0)
        settled += of_use
    return sorted(settled, key=lambda charge: charge.start_us)


def _price(schedule: ExportSchedule) -> int:
    """Micro-dollars per GPU-hour: what the fleet costs over its GPU-hours."""
    gpu_s = sum(charge.node_s for charge in schedule.charges) * schedule.gpus_per_node
    cost = sum(charge.cost_usd_micros for charge in schedule.charges)
    return round_half_up(cost * S_PER_HOUR, gpu_s) if gpu_s else 0


def _row(schedule: ExportSchedule, charge: Charge, price: int) -> dict[str, str]:
    start, end = (from_us(at_us, UTC) for at_us in (charge.start_us, charge.end_us))
    month = start.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    following = month.replace(year=month.year + month.month // 12, month=month.month % 12 + 1)
    cost = _decimal(Fraction(charge.cost_usd_micros, MICROS_PER_USD), 6)
    unit_price = _decimal(Fraction(price, MICROS_PER_USD), 6)
    quantity = _decimal(Fraction(charge.node_s * schedule.gpus_per_node, S_PER_HOUR), _DIGITS)
    sku = f"{schedule.node_type} GPU-hour"
    tags = {"simulated": "true", "run": schedule.run_id, "use": charge.use}
    return {
        "BilledCost": cost,
        "BillingAccountId": "simulated",
        "BillingAccountName": schedule.scenario,
        "BillingCurrency": "USD",
        "BillingPeriodEnd": _time(following),
        "BillingPeriodStart": _time(month),
        "ChargeCategory": "Usage",
        "ChargeClass": "",
        "ChargeDescription": f"Simulated: {schedule.node_type} nodes, {charge.use}",
        "ChargeFrequency": "Usage-Based",
        "ChargePeriodEnd": _time(end),
        "ChargePeriodStart": _time(start),
        "ConsumedQuantity": quantity,
        "ConsumedUnit": "GPU-Hours",
        "ContractedCost": cost,
        "ContractedUnitPrice": unit_price,
        "EffectiveCost": cost,
        "InvoiceIssuerName": _PROVIDER,
        "ListCost": cost,
        "ListUnitPrice": unit_price,
        "PricingCategory": "Standard",
        "PricingQuantity": quantity,
        "PricingUnit": "GPU-Hours",
        "ProviderName": _PROVIDER,
        "PublisherName": _PROVIDER,
        "ServiceCategory": "Compute",
        "ServiceName": f"{schedule.node_type} nodes",
        "ServiceSubcategory": "Other (Compute)",
        "SkuId": sku,
        "SkuMeter": "GPU time",
        "SkuPriceId": f"{sku} at {unit_price} USD",
        "SubAccountId": charge.use,
        "SubAccountName": charge.use,
        "Tags": json.dumps(tags),
        "x_NodeSeconds": str(charge.node_s),
        "x_Policy": schedule.policy,
        "x_RunId": schedule.run_id,
        "x_Simulated": "true",
    }


def _safe(cell: str) -> str:
    """A cell on one line that no spreadsheet takes for a formula."""
    return inert(" ".join(cell.split()))


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _decimal(value: Fraction, digits: int) -> str:
    """A number that is not negative, with at most that many decimals."""
    scaled = round_half_up(value.numerator * 10**digits, value.denominator)
    whole, part = divmod(scaled, 10**digits)
    return f"{whole}.{part:0{digits}d}".rstrip("0").rstrip(".") if part else str(whole)
