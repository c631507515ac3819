"""Windows of demand in the hour that a clock shows twice when it is put back: which of the two they are of."""

import numpy as np
import polars as pl

from planner.store.local_times import changes
from planner.store.staging import Staging
from planner.units import US_PER_S, Bools, Ints

_TWICE = (
    "window_start is shown twice by the clock of its zone, and the order of the rows does not tell which; give it with "
    "an offset"
)
_NOT_AFTER = "window_end is not after window_start"
_DAY_US = 86_400 * US_PER_S


def settle_windows(stage: Staging, timezone: str) -> list[str]:
    """Give windows whose start or end a clock shows twice their times; what the user is to know of it.

    Which of the two a start is, is told by the order of rows: those before the one step back are of the first; where
    windows are as long as the hour, as many rows as the window beside them has. Others are refused.
    """
    stage.window_counts()
    rows = stage.windows()
    is_second, is_open = _told_apart(rows)
    back_us = np.array([change.at_s for change in changes(timezone)] + [1 << 40], np.int64) * US_PER_S
    rows = rows.with_columns(
        is_second=pl.Series(is_second),
        is_open=pl.Series(is_open),
        back_us=pl.Series(back_us[np.searchsorted(back_us[:-1], rows["start_us"].to_numpy(), side="right")]),
    ).filter(pl.col("second_us").is_not_null() | pl.col("end_second_us").is_not_null())
    if rows.is_empty():
        return []
    start = pl.when("is_second").then("second_us").otherwise("start_us")
    rows = rows.with_columns(settled_us=start, end_us=_end())
    is_over = pl.col("end_us") <= pl.col("settled_us")
    rows = rows.with_columns(reason=pl.when("is_open").then(pl.lit(_TWICE)).when(is_over).then(pl.lit(_NOT_AFTER)))
    stage.move(rows.select("file_index", "line", "end_us", "reason", start_us="settled_us").to_arrow())
    told = rows.filter(pl.col("second_us").is_not_null() & pl.col("reason").is_null()).height
    clock = f"the clock of {timezone} was put back"
    return [f"{clock}: {told:,} windows of the repeated hour are told apart by their order"] if told else []


def _end() -> pl.Expr:
    """The end of a window, which a clock may show twice.

    A window that begins at the first of two times ends as much later as the clock shows, if that is before it is put
    back (back_us): what it shows then may be another hour than a log writes. All others end at the time shown that is
    after their start.
    """
    start, second, end, end_second = (pl.col(name) for name in ("start_us", "second_us", "end_us", "end_second_us"))
    shown_us = end - start - pl.when(end_second.is_null()).then(second - start).otherwise(0)
    is_before = (shown_us > 0) & (start + shown_us <= pl.col("back_us"))
    later = pl.coalesce(end_second, end)
    return (
        pl.when(second.is_null())
        .then(end)
        .when(is_before & ~pl.col("is_second"))
        .then(start + shown_us)
        .otherwise(later)
    )


def _told_apart(rows: pl.DataFrame) -> tuple[Bools, Bools]:
    """Which rows are of the second time, and of which the order does not tell. rows: in file order."""
    start, file = rows["start_us"].to_numpy(), rows["file_index"].to_numpy()
    twice = rows["second_us"].is_not_null().to_numpy()
    is_second, is_open = np.zeros(len(rows), bool), np.zeros(len(rows), bool)
    parted = (np.diff(twice.astype(int)) != 0) | (np.diff(file) != 0) | (np.abs(np.diff(start)) > _DAY_US)
    for run in np.split(np.arange(len(rows)), np.flatnonzero(parted) + 1):
        if len(run) and twice[run[0]]:
            second = _second_of(run, start, file)
            if second is None:
                is_open[run] = True
            else:
                is_second[second] = True
    return is_second, is_open


def _second_of(run: Ints, start: Ints, file: Ints) -> Ints | None:
    """The rows of a run in the repeated hour that are of its second time; None where the order does not tell."""
    beside = [place for place in (run[0] - 1, run[-1] + 1) if 0 <= place < len(start) and file[place] == file[run[0]]]
    is_rising = {bool((start[place] < start[run[0]]) == (place < run[0])) for place in beside}
    if len(is_rising) != 1:
        return None
    run = run if is_rising.pop() else run[::-1]
    back = np.flatnonzero(np.diff(start[run]) < 0)
    if len(back) == 1:
        return run[back[0] + 1 :]
    if len(back) or start[run[0]] != start[run[-1]]:
        return None
    # rows of one window, as of several models, follow each other
    windows = np.cumsum(np.append(0, (np.diff(start) != 0) | (np.diff(file) != 0)))
    rows_beside = np.count_nonzero(windows == windows[beside[0]])
    return run[rows_beside:] if len(run) == 2 * rows_beside else None
