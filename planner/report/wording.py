"""Figures in sentences and on cards: as many digits as a reader needs."""

LEAST_SHARE = 5e-4
"""Smaller shares would be written as 0.0 %. Computed."""
_FEW, _MANY = 10, 100
"""Amounts under the first have a decimal, dollars and milliseconds under the second have some. Assumed."""


def count(value: float, thing: str) -> str:
    """So many things, one of them without the plural's s."""
    text = amount(value)
    return f"{text} {thing}" if text == "1" else f"{text} {thing}s"


def amount(value: float) -> str:
    """A figure in whole numbers, or with a decimal where it is small."""
    return f"{value:,.0f}" if value >= _FEW or value == int(value) else f"{value:,.1f}"


def dollars(value: float) -> str:
    """Dollars, with cents where they are few, and three digits of what is less than one."""
    if value >= _MANY:
        return f"${value:,.0f}"
    cents, digits = f"{value:.2f}", f"{value:.3g}"
    return f"${cents if value >= 1 or len(digits) < len(cents) else digits}"


def duration(hours: float) -> str:
    """Hours, or minutes where they are few."""
    return f"{hours:.3g} h" if hours >= _FEW or hours == int(hours) else f"{hours * 60:,.4g} min"


def milliseconds(value: float) -> str:
    """Milliseconds without their unit."""
    return f"{value:,.0f}" if value >= _MANY or value == int(value) else f"{value:.1f}"


def percent(ratio: float) -> str:
    """A share in per cent: none and all are said of just these."""
    if 0 < ratio < LEAST_SHARE:
        return "under 0.1 %"
    if 1 - LEAST_SHARE < ratio < 1:
        return "over 99.9 %"
    return f"{100 * ratio:.3g} %" if ratio in (0, 1) else f"{100 * ratio:.1f} %"
