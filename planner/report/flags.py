"""What forecasts heed, drawn into charts of demand: time that is left out, events and holidays, changes of level."""

from collections.abc import Callable, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

import altair as alt
import polars as pl

from planner.planning.told import EVENTS, LEFT_OUT, DemandFinding, describe
from planner.report.colours import MARK, THIRD
from planner.report.drawing import ChartRows
from planner.units import from_us, iso

_MOST_NAMES = 5


def flag_table(findings: Sequence[DemandFinding], zone: ZoneInfo) -> pl.DataFrame:
    """A row for each, with local times."""
    rows = [(one.kind, iso(one.start_us, zone), iso(one.end_us, zone), describe(one)) for one in findings]
    return pl.DataFrame(rows, schema=dict.fromkeys(("kind", "start", "end", "what"), pl.String), orient="row")


def shown_flags(
    findings: Sequence[DemandFinding], start_us: int, end_us: int, local: Callable[[int], datetime]
) -> pl.DataFrame:
    """The findings within the time of a chart, cut to it, as chart rows. local: times as the chart's axis has them."""
    inside = [one for one in findings if one.start_us < end_us and is_drawn_after(one, start_us)]
    columns: dict[str, Sequence[datetime | str]] = {
        "local_time": [local(max(one.start_us, start_us)) for one in inside],
        "local_end": [local(min(one.end_us, end_us)) for one in inside],
        "kind": [one.kind for one in inside],
        "what": [describe(one) for one in inside],
    }
    times = {"local_time": pl.Datetime("us"), "local_end": pl.Datetime("us")}
    return pl.DataFrame(columns, schema={**times, "kind": pl.String, "what": pl.String})


def is_drawn_after(one: DemandFinding, at_us: int) -> bool:
    """Whether some of a finding is drawn from a moment on; a change of level is drawn at its start alone."""
    return one.start_us >= at_us or (one.kind != "level" and one.end_us > at_us)


def flag_marks(shown: pl.DataFrame, x: alt.X, rows: ChartRows) -> list[alt.Chart]:
    """Time that is left out is shaded, events and holidays are shaded with an edge, changes of level are lines."""
    marks = []
    left_out, events, levels = (shown.filter(pl.col("kind").is_in(kinds)) for kinds in (LEFT_OUT, EVENTS, ("level",)))
    if left_out.height:
        shaded = alt.Chart(rows.of(left_out)).mark_rect(color=MARK, opacity=0.25)
        marks.append(shaded.encode(x=x, x2="local_end:T", tooltip="what:N"))
    if events.height:
        edged = alt.Chart(rows.of(events)).mark_rect(
            fill=THIRD, fillOpacity=0.18, stroke=THIRD, strokeDash=[4, 3], strokeWidth=1.5
        )
        marks.append(edged.encode(x=x, x2="local_end:T", tooltip="what:N"))
    if levels.height:
        lines = alt.Chart(rows.of(levels)).mark_rule(color=MARK, strokeWidth=2)
        marks.append(lines.encode(x=x, tooltip="what:N"))
    return marks


def flag_words(shown: pl.DataFrame) -> str:
    """What the marks of a chart mean, with a blank before; empty without any."""
    words = ""
    if shown["kind"].is_in(LEFT_OUT).any():
        words += " Shaded times are left out of forecasts: demand was far from what was expected, or is declared so."
    if shown["kind"].is_in(EVENTS).any():
        names = list(dict.fromkeys(shown.filter(pl.col("kind").is_in(EVENTS))["what"]))
        more = [f"{len(names) - _MOST_NAMES} more"] if len(names) > _MOST_NAMES else []
        words += f" Times with a dashed edge are declared: {'; '.join([*names[:_MOST_NAMES], *more])}."
    if (shown["kind"] == "level").any():
        words += " Upright lines are changes of the level of demand, which forecasts follow."
    return words


def local_clock(zone: ZoneInfo) -> Callable[[int], datetime]:
    """Times of a zone's clock, without the zone."""
    return lambda at_us: from_us(at_us, zone).replace(tzinfo=None)
