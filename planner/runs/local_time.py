"""Times as local text."""

from datetime import datetime, tzinfo

import polars as pl


def local_times(frame: pl.DataFrame, zone: tzinfo) -> pl.DataFrame:
    """The frame with its times as ISO-8601 text with the local offset."""

    def text(moment: datetime | None) -> str | None:
        return None if moment is None else moment.astimezone(zone).isoformat()

    times = [name for name, kind in frame.schema.items() if isinstance(kind, pl.Datetime)]
    return frame.with_columns(pl.Series(name, [text(at) for at in frame[name]], dtype=pl.String) for name in times)
