"""Bands of figures as tables of pages."""

from collections.abc import Callable, Sequence

import polars as pl

from planner.runs.bands import by_figure, span, whole
from planner.runs.outcome import FigureBand

_LATENCIES = {"ttft_ms": "TTFT", "tpot_ms": "TPOT"}
_SHARES = {"both_attainment": "both targets met", "tpot_attainment": "TPOT in time", "ttft_attainment": "TTFT in time"}


def replay_band_table(bands: Sequence[FigureBand]) -> pl.DataFrame:
    """A row per figure of a replay: milliseconds, or per cent of requests. No upper end: units do not keep up there."""
    rows = []
    for band in bands:
        of, _, part = band.figure.partition(".")
        is_latency = of in _LATENCIES
        factor = 1.0 if is_latency else 100.0
        rows.append(
            {
                "figure": f"{_LATENCIES[of]} {part} (ms)" if is_latency else f"{_SHARES[part]} (%)",
                "value": factor * band.value,
                "low": factor * band.low,
                "high": None if band.high is None else factor * band.high,
                "measured": band.measured,
            }
        )
    return pl.DataFrame(rows, infer_schema_length=None)


def band_columns(bands: Sequence[FigureBand]) -> dict[str, str]:
    """The ends of a policy's figures as they stand beside these; none where it has none."""
    band = by_figure(bands)
    forms: dict[str, Callable[[float], str]] = {
        "cost_usd": whole,
        "shortfall_ratio": "{:.2%}".format,
        "mean_nodes": "{:,.2f}".format,
        "peak_nodes": whole,
        "training_node_hours": "{:,.1f}".format,
    }
    return {name: span(band[name], form) for name, form in forms.items() if name in band}
