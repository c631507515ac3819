"""Drawing a synthetic trace into the store."""

import hashlib
import json
from datetime import datetime

from planner.errors import StoreMissing
from planner.settings.trace import TraceSettings
from planner.store import Store
from planner.trace import stored
from planner.trace.spool import Spool
from planner.trace.stored import Draft, TraceInfo
from planner.trace.synthetic.cells import lay_cells, window_us
from planner.trace.synthetic.profile import Profile
from planner.units import Progress

GENERATOR = 1
"""Version of the drawing method: raised whenever the same arguments would give different bytes."""
_NOT_DRAWN = {"name", "profile", "classes", "cache_hit_ratio"}
"""Settings that a draw does not depend on: the profile counts by its content."""


def settings_digest(profile: Profile, settings: TraceSettings) -> str:
    """What identifies a synthetic trace: the profile's content, the settings and the drawing method."""
    drawn_by = settings.model_dump(mode="json", exclude=_NOT_DRAWN)
    return hashlib.sha256(json.dumps([GENERATOR, profile.digest, drawn_by]).encode()).hexdigest()


def find(store: Store, profile: Profile, settings: TraceSettings) -> TraceInfo | None:
    """The stored trace of these settings, if there is one."""
    try:
        with store.read() as session:
            return stored.by_digest(session, settings_digest(profile, settings))
    except StoreMissing:
        return None


def generate(
    store: Store,
    profile: Profile,
    settings: TraceSettings,
    *,
    name: str | None,
    now: datetime,
    version: str,
    progress: Progress | None = None,
) -> TraceInfo:
    """Draw the trace and store it. The store is locked only while the finished rows are loaded.

    name: None for the profile's name with the start of the digest. Raises UsageError, TraceError, StoreError.
    """
    digest = settings_digest(profile, settings)
    cells = lay_cells(profile, settings)
    draft = Draft(
        name=name or f"{profile.name}-{digest[:8]}",
        origin="synthetic",
        profile=settings.profile,
        settings=json.dumps(
            {**settings.model_dump(mode="json", exclude=_NOT_DRAWN), "cell_s": profile.settings.cell_s}
        ),
        settings_digest=digest,
        timezone=profile.settings.timezone,
        sample_weight=cells.weight,
        window_us=window_us(cells),
        created_at=now,
        planner_version=version,
    )
    from planner.trace.synthetic import draw as synthesis

    with Spool(synthesis.SCHEMA, store.path.parent) as requests:
        for batch in synthesis.draw(profile.settings.population, cells, settings.seed, progress):
            requests.write(batch)
        return stored.add(store, draft, requests)
