"""What the nightly service prints, posts and answers as JSON."""

from dataclasses import dataclass
from datetime import date
from typing import Literal

from planner.documents import Document, Time

NightStatus = Literal["running", "done", "failed", "released", "skipped"]
NightStep = Literal["claimed", "import", "compare", "plan", "export", "report", "prune", "skipped"]


@dataclass(frozen=True, kw_only=True)
class ListedJob(Document):
    """A job of a jobs file, and when it is due next."""

    job: str
    """Name of the job."""
    scenario: str
    """Name of the scenario that it plans."""
    timezone: str
    """IANA zone of its local times."""
    at: str
    """Local time of day, HH:MM, from which a date is due."""
    next_due: Time
    """When the next date becomes due."""
    log: str
    """Pattern of the paths of its logs, or the address of a Prometheus server."""
    exports: tuple[str, ...]
    """Patterns of the paths of its exports, relative to the folder of outputs."""


@dataclass(frozen=True, kw_only=True)
class LedgerRow(Document):
    """What became of one logical date of a job: a row of the ledger."""

    job: str
    """Name of the job."""
    logical_date: date
    """Local date of the night: the log of the day before is read, and the day after is planned."""
    status: NightStatus
    """released: stopped before it was finished. skipped: too long ago to be caught up."""
    attempts: int
    """Attempts that count."""
    owner: str
    """Host, process and start of the scheduler that has, or had, the date."""
    lease_until: Time
    """Until when no scheduler on another host may take the date over."""
    started_at: Time
    """Start of the last attempt."""
    finished_at: Time | None
    """End of the last attempt; null while it is running."""
    step: NightStep
    """The last step that was begun."""
    run_id: str | None
    """The plan that was stored; null before there is one."""
    exit_code: int | None
    """0 done, 1 failed, 3 done with a stated limit missed; null while it is running, released or skipped."""
    message: str
    """Why it failed, or which limits were missed; empty otherwise."""
    announced_at: Time | None
    """When notifications of its outcome had arrived, if there are any."""


@dataclass(frozen=True, kw_only=True)
class NightNotification(Document):
    """How a night ended, or what keeps the service from working: what the notify command and address get."""

    job: str | None
    """Name of the job; null for trouble of the service, such as a damaged store."""
    logical_date: date | None
    """Local date of the night; null for trouble of the service."""
    status: NightStatus
    """How it ended: done, failed or skipped."""
    exit_code: int | None
    """0 done, 1 failed, 3 done with a stated limit missed; null if it was skipped."""
    message: str
    """Why it failed, or which limits were missed; empty otherwise."""
    run_id: str | None
    """The plan that was stored."""
    attempts: int
    """Attempts that count; 0 where the outcome could not be recorded, as on a full disk."""
    report: str | None
    """Path of the night's report; null if there is none."""


@dataclass(frozen=True, kw_only=True)
class HealthDocument(Document):
    """What /healthz answers."""

    ok: bool
    """Whether the last look for dates that are due succeeded, no night of a job has failed since its last that was
    done, those aside that wait for their logs, and a night is being run or that look was in the last minutes."""
    reason: str
    """Why it is not ok; empty otherwise."""
    busy: bool
    """Whether a night is being run."""
    looked_at: Time
    """When the service last looked for dates that are due."""


@dataclass(frozen=True, kw_only=True)
class JobUnits(Document):
    """The units that a job's plan has at a moment."""

    run_id: str
    """The plan."""
    prefill: int
    """Prefill units."""
    decode: int
    """Decode units."""
    aggregated: int
    """Units that read prompts and decode."""
    roles: tuple[str, ...]
    """The roles that units of the plan have: prefill and decode, or aggregated."""


@dataclass(frozen=True, kw_only=True)
class PlannedUnitsDocument(Document):
    """What /external-metrics.json answers."""

    at: Time
    """The moment that it is about."""
    jobs: dict[str, JobUnits]
    """By name of the job; one without a plan for this moment is left out."""
