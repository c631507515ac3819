"""Stored traces of a time in which nothing was requested."""

import hashlib
import json
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np

from planner.store import Store
from planner.trace import stored
from planner.trace.windows import DemandWindows
from planner.units import iso


def add_silence(
    store: Store, name: str, window_us: tuple[int, int], *, source: str, timezone: str, now: datetime, version: str
) -> None:
    """Store a trace of one window without a request. source: the log that has none. Raises TraceError."""
    start_us, end_us = (np.array([at], np.int64) for at in window_us)
    none = np.zeros(1, np.int64)
    begin, end = (iso(at, ZoneInfo(timezone)) for at in window_us)
    notes = [f"{source} has no request from {begin} to {end}, which is taken to be real"]
    draft = stored.Draft(
        name=name,
        origin="windows",
        settings=json.dumps({"notes": notes}),
        settings_digest=hashlib.sha256(json.dumps(["silence", source, *window_us]).encode()).hexdigest(),
        timezone=timezone,
        sample_weight=1,
        window_us=window_us,
        created_at=now,
        planner_version=version,
    )
    silence = DemandWindows(
        start_us=start_us,
        end_us=end_us,
        requests=none,
        requests_with_lengths=none,
        input_tokens=none,
        cached_input_tokens=none,
        output_tokens=none,
        cached_unknown=none,
        knows_cached=np.ones(1, bool),
    )
    stored.add_windows(store, draft, silence)
