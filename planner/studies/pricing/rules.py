"""Choosing a pricing rule, and what utilisation means in it."""

from pydantic import ValidationError

from planner.catalogue.read import describe, pricing_rule
from planner.errors import UsageError
from planner.settings.pricing_rules import PricingRule, Utilisation

DEFINITIONS: dict[Utilisation, str] = {
    "load-over-peak": "load over the largest load at the same prices",
    "nodes-over-fleet": "nodes that inference holds over the nodes of the fleet",
    "load-per-node": "load per node that inference holds, over its largest value at the same prices",
}
"""What utilisation may mean; load is what the tokens earn at list price."""


def choose_rule(name: str, definition: str | None, ramp: float | None) -> PricingRule:
    """A rule by built-in name or path; definition of utilisation and ramp replace its own. Raises UsageError."""
    rule = pricing_rule(name)
    if definition is None and ramp is None:
        return rule
    if rule.kind != "utilisation":
        raise UsageError(
            f"--utilisation and --ramp are for rules by utilisation, and {rule.name} is not one; leave them out"
        )
    if definition is not None and definition not in DEFINITIONS:
        raise UsageError(
            f'--utilisation "{definition}" is not a definition of utilisation; give one of {", ".join(DEFINITIONS)}'
        )
    changes = {"utilisation": definition, "ramp": ramp}
    given = {field: value for field, value in changes.items() if value is not None}
    try:
        return PricingRule.model_validate({**rule.model_dump(), **given})
    except ValidationError as error:
        raise UsageError(f"--ramp is {ramp:g}: {'; '.join(describe(error)).removeprefix('ramp: ')}") from error
