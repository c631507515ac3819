"""Charts of a forecast: past and expected demand with quantiles; errors by time ahead."""

from collections.abc import Sequence
from zoneinfo import ZoneInfo

import altair as alt
import numpy as np
import polars as pl

from planner.core.forecast import quantile_name
from planner.core.forecast.backtest import BackTest, SeriesResult
from planner.core.forecast.choice import SERIES
from planner.planning.told import DemandFinding
from planner.report.colours import MIDDLE, PALE
from planner.report.drawing import Chart, ChartRows, finish_chart, line_colours, line_dashes
from planner.report.flags import flag_marks, flag_words, is_drawn_after, local_clock, shown_flags
from planner.units import S_PER_DAY, S_PER_HOUR, US_PER_S, Floats, from_us, iso

_WIDTH = 900
_FEW_DAYS, _MOST_DAYS = 3, 7
"""Past days that are drawn: a week where something is flagged in it, or else fewer, which are drawn larger."""
_MOST_POINTS = 2_000
"""Above this many intervals only every nth is drawn."""


def forecast_charts(test: BackTest, zone: ZoneInfo, findings: Sequence[DemandFinding] = ()) -> list[Chart]:
    """All charts of a back-test; forecasts are those of the method to use.

    findings: what forecasts heed.
    """
    return [ahead_chart(test, zone, findings), error_chart(test)]


def ahead_chart(test: BackTest, zone: ZoneInfo, findings: Sequence[DemandFinding] = ()) -> Chart:
    """The last days and the time after them: actual rates, those forecast, and bands up to the upper quantiles."""
    method = test.best()
    past = _past_drawn(test, findings)
    frame = ahead_table(test, zone, past)
    offset = frame["interval_start"].str.slice(-6)[0]
    every = -(-frame.height // _MOST_POINTS)
    drawn = frame.gather_every(every).with_columns(
        local_time=pl.col("interval_start").str.slice(0, 19).str.to_datetime("%Y-%m-%dT%H:%M:%S")
    )
    grid = test.demand.grid
    first_us, end_us = grid.end_us - past * grid.interval_us, grid.end_us + test.horizon * grid.interval_us
    flags = shown_flags(findings, first_us, end_us, local_clock(zone))
    rows = ChartRows()
    panels = [
        _ahead_panel(drawn, each, flags, rows, f"local time, {zone.key} (UTC{offset} at the start)")
        for each in test.of(method).values()
    ]
    hours = test.horizon * grid.interval_s / S_PER_HOUR
    description = (
        f"Token rates of the last days (solid) and as {method} forecasts them {hours:g} h ahead (dashed), until "
        f"{hours:g} h after {iso(grid.end_us, zone)}. Beyond the data, the dark band reaches up to the 0.9 quantile of "
        "the forecast with its past errors, and the light one up to the 0.99 quantile, where both are known."
    )
    description += flag_words(flags)
    if earlier := sum(not is_drawn_after(one, first_us) for one in findings):
        description += f" {earlier} more before the drawn days: see the table of flags."
    if every > 1:
        description += f" Every {every}th interval is drawn; the table has every interval."
    return finish_chart(
        "forecast", "Demand and its forecast", description, alt.vconcat(*panels, spacing=24), frame, rows
    )


def _past_drawn(test: BackTest, findings: Sequence[DemandFinding]) -> int:
    """Past intervals that are drawn."""
    grid = test.demand.grid
    week_us = grid.end_us - _MOST_DAYS * S_PER_DAY * US_PER_S
    flagged = any(one.start_us < grid.end_us and is_drawn_after(one, week_us) for one in findings)
    return min(grid.count, (_MOST_DAYS if flagged else _FEW_DAYS) * S_PER_DAY // grid.interval_s)


def _ahead_panel(
    drawn: pl.DataFrame, each: SeriesResult, flags: pl.DataFrame, rows: ChartRows, title: str
) -> alt.LayerChart | alt.FacetChart:
    name = each.series.removesuffix("_tokens")
    rates = {f"{name}_tokens_per_s": "actual", f"{name}_forecast_tokens_per_s": "forecast"}
    base, inner, outer = (f"{name}_forecast_tokens_per_s", *(f"{name}_{key}_tokens_per_s" for key in ("q90", "q99")))
    million = drawn.with_columns(pl.col(pl.Float64) / 1e6)
    x = alt.X(
        "local_time:T", title=title, scale=alt.Scale(type="utc"), axis=alt.Axis(format="%d %b %H:%M", labelOverlap=True)
    )
    y_title = "million tokens/s"
    names = list(rates.values())
    reaches = (
        (low, high, million.select("local_time", low, high).drop_nulls(), colour)
        for low, high, colour in ((inner, outer, PALE), (base, inner, MIDDLE))
    )
    bands = [
        alt.Chart(rows.of(known))
        .mark_area(interpolate="step-after", color=colour, opacity=1)
        .encode(x=x, y=alt.Y(f"{low}:Q", title=y_title), y2=f"{high}:Q")
        for low, high, known, colour in reaches
        # a quantile that needs more past errors than there are is unknown everywhere
        if known.height
    ]
    long = million.unpivot(list(rates), index="local_time", variable_name="series", value_name="rate")
    lines = (
        alt.Chart(rows.of(long.with_columns(pl.col("series").replace_strict(rates)).drop_nulls("rate")))
        .mark_line(interpolate="step-after", strokeWidth=2)
        .encode(
            x=x,
            y=alt.Y("rate:Q", title=y_title),
            color=alt.Color("series:N", scale=line_colours(names)),
            strokeDash=alt.StrokeDash("series:N", scale=line_dashes(names)),
        )
    )
    layers = alt.layer(*flag_marks(flags, x, rows), *bands, lines)
    return layers.properties(
        width=_WIDTH, height=200, title=alt.Title(f"{name} tokens", fontSize=12, fontWeight="normal")
    )


def error_chart(test: BackTest) -> Chart:
    """WAPE of each method by the time ahead."""
    frame = errors_table(test)
    names = list(dict.fromkeys(frame["method"]))
    rows = ChartRows()
    panels = [
        alt.Chart(
            rows.of(frame.filter(pl.col("series") == series).with_columns(series=pl.col("method"))),
            width=_WIDTH,
            height=160,
            title=alt.Title(series.replace("_", " "), fontSize=12, fontWeight="normal"),
        )
        .mark_line(strokeWidth=2.5)
        .encode(
            x=alt.X("hours_ahead:Q", title="hours ahead"),
            y=alt.Y("wape:Q", title="WAPE", axis=alt.Axis(format=".0%")),
            color=alt.Color("series:N", scale=line_colours(names)),
            strokeDash=alt.StrokeDash("series:N", scale=line_dashes(names)),
        )
        for series in SERIES
    ]
    description = (
        f"Sum of absolute errors over the sum of actuals, by how far ahead the forecast was made, for "
        f"{', '.join(names)}; over all intervals after the first {test.first:,}"
        f"{' but those that are declared unusual' if test.tested[0].score.left_out else ''}."
    )
    return finish_chart("errors", "Errors by time ahead", description, alt.vconcat(*panels, spacing=24), frame, rows)


def ahead_table(test: BackTest, zone: ZoneInfo, past: int) -> pl.DataFrame:
    """The last intervals and those after them: actual and forecast rates and quantiles, tokens/s. past: of the last."""
    grid = test.demand.grid
    starts = grid.end_us + np.arange(-past, test.horizon) * grid.interval_s * US_PER_S
    columns: dict[str, list[str] | Floats] = {
        "interval_start": [from_us(int(start), zone).isoformat() for start in starts]
    }
    for each in test.of(test.best()).values():
        name = each.series.removesuffix("_tokens")
        actual = getattr(test.demand, each.series)[grid.count - past :].astype(np.float64)
        unknown = np.full(test.horizon, np.nan)
        columns[f"{name}_tokens_per_s"] = np.concatenate([actual, unknown]) / grid.interval_s
        rows = {"forecast": np.concatenate([each.before[grid.count - past :], each.ahead])}
        rows |= {
            quantile_name(share): np.concatenate([np.full(past, np.nan), values])
            for share, values in each.quantiles.items()
        }
        columns |= {f"{name}_{key}_tokens_per_s": values / grid.interval_s for key, values in rows.items()}
    return pl.DataFrame(columns).with_columns(pl.col(pl.Float64).fill_nan(None))


def errors_table(test: BackTest) -> pl.DataFrame:
    """WAPE of each method and series by hours ahead, to the end of the interval."""
    hour = S_PER_HOUR / test.demand.grid.interval_s
    frames = [
        pl.DataFrame(
            {
                "series": [each.series] * test.horizon,
                "method": [each.method] * test.horizon,
                "hours_ahead": (np.arange(test.horizon) + 1) / hour,
                "wape": each.score.wape_by_step,
            }
        )
        for each in test.tested
    ]
    return pl.concat(frames).with_columns(pl.col("wape").fill_nan(None))
