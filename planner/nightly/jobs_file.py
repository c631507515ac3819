"""The jobs file: what runs every night, as TOML; frozen, closed models."""

import re
from collections.abc import Sequence
from datetime import date, time
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from planner.addresses import is_web_address, web_address
from planner.catalogue.read import describe, read_toml
from planner.catalogue.scenarios import load_scenario
from planner.errors import UsageError
from planner.export.run import WRITERS
from planner.input_files import exists, is_file
from planner.nightly.local_days import check_intervals
from planner.planning.check import check
from planner.planning.selection import check_selection, selection_of
from planner.settings.closed import (
    FROM_FILE,
    CalendarDate,
    Closed,
    Instant,
    PositiveCount,
    PositiveRatio,
    Seed,
    valid_zone,
)
from planner.settings.forecast import IncidentSettings
from planner.settings.scenario import Scenario
from planner.trace.imports.mapping import Value, check_constant, check_path, load_mapping, text_of
from planner.trace.imports.readers import AUTO, check_cached, check_mapping, check_where, readers

Days = Annotated[int, Field(ge=1, le=36_500)]
"""A number of days, a century at most, so that dates that long ago exist."""


class LogSettings(Closed):
    """Where a day's log is and how it is read; the options of `planner trace import`."""

    path: str
    """File or folder, relative to the jobs file; {date} is the log's day, also as {date:%Y/%m/%d}; * and ? for several
    files. Or the address of a Prometheus server, which is queried for the day."""
    format: str = AUTO
    """Log format, as of `planner trace import`."""
    timezone: str | None = None
    """IANA zone of times without an offset; if left out, the scenario's."""
    start: Instant | None = None
    """Moment, with offset, that time 0 stands for in logs with relative times; if left out, the start of the local
    day."""
    time_unit: Literal["s", "ms", "us", "ns"] | None = None
    """Unit of times that are numbers; if left out, s."""
    time_format: str | None = None
    """How times are written, in the letters of Python's strptime, for example "%d.%m.%Y %H:%M:%S"; if left out, the
    usual forms are read."""
    block_tokens: PositiveCount | None = None
    """Tokens of a prefix block in logs that leave it open; if left out, the rows tell."""
    cache: Literal["infinite"] | PositiveCount = "infinite"
    """Size, in blocks, of the prefix cache that hits are computed with; or "infinite"."""
    mapping: str | None = None
    """TOML file, relative to the jobs file, with the format, the columns and so on; what is set here takes
    precedence."""
    columns: dict[str, str] = Field(default_factory=dict)
    """Field -> name of its column in the log, or path to it, as usage.prompt_tokens."""
    constants: dict[str, Value] = Field(default_factory=dict)
    """Field -> its value in every row, as sample_weight = 20."""
    where: dict[str, Value | Annotated[tuple[Value, ...], Field(min_length=1)]] = Field(default_factory=dict)
    """Column, or path -> the value, or the list of values, of rows that are read; all others are left out."""
    records: str | None = None
    """JSON: key or path under which the list of records is, if it is not found by itself."""
    cached: Literal["inside", "outside"] | None = None
    """Where cached tokens lie in a log that does not tell: inside the input tokens, or outside, where these leave them
    out; if left out, the rows decide."""
    strict: bool = False
    """Whether a single rejected row rejects the whole log."""
    draw: PositiveCount | None = None
    """Requests that each drawn request stands for, where a log has demand per window; if left out, windows are kept,
    which is enough to plan with observed capacities."""
    seed: Seed = 1
    """Seed of the draws."""
    selector: str = ""
    """Label matchers of a Prometheus server's series, for example job="vllm"."""
    metrics: dict[str, str | Annotated[tuple[str, ...], Field(min_length=1)]] = Field(default_factory=dict)
    """Field -> counter of a Prometheus server, instead of the format's own; several of one field are added up."""
    headers: tuple[str, ...] = Field(default=(), repr=False)
    """Headers that are sent to a Prometheus server, as "Name: value"."""
    bearer_token_file: str | None = None
    """File with a bearer token alone for a Prometheus server, relative to the jobs file; read every night."""
    step_s: Annotated[int, Field(ge=1, le=86_400)] = 60
    """Length, in seconds, of the windows that a Prometheus server is queried for."""
    longest_silence_s: Annotated[int, Field(ge=1, le=604_800)] = 21_600
    """Seconds: a longer time without a request is taken to be missing from the log, not zero, unless the scenario
    expects it (forecast.accept, [[event]]) or it comes at its time on three days running or a week later; where that
    is more than half of the day, its date fails, unless it is declared ([[incident]], forecast.ignore). Assumed: a
    fleet worth planning for is never idle for six hours."""

    @field_validator("format")
    @classmethod
    def _known_format(cls, name: str) -> str:
        if name != AUTO and name not in readers():
            raise ValueError(f'no format "{name}"; use {AUTO} or one of {", ".join(readers())}')
        return name

    @field_validator("timezone")
    @classmethod
    def _zone(cls, name: str | None) -> str | None:
        return valid_zone(name) if name is not None else None

    @field_validator("columns")
    @classmethod
    def _short_paths(cls, columns: dict[str, str]) -> dict[str, str]:
        for field, path in columns.items():
            check_path(path, field)
        return columns

    @field_validator("constants")
    @classmethod
    def _possible(cls, constants: dict[str, Value]) -> dict[str, Value]:
        for field, value in constants.items():
            check_constant(field, text_of(value), field)
        return constants

    @model_validator(mode="after")
    def _one_source_each(self) -> Self:
        if twice := sorted(set(self.columns) & set(self.constants)):
            raise ValueError(f"{', '.join(twice)} is in columns and in constants; leave one out")
        if self.mapping is not None and self.format != AUTO:
            raise ValueError(f"format {self.format}: the mapping says the format; leave it out")
        return self

    @field_validator("path")
    @classmethod
    def _dated(cls, path: str) -> str:
        if is_web_address(path):
            web_address(path)
            return path
        return with_date(path, needed=True)


class ExportFile(Closed):
    """An export that every night writes."""

    to: str
    """Format, as of `planner export`."""
    path: str
    """File, relative to the folder `out`; {date} is the planned day. Without {date}, the newest plan replaces the one
    before."""

    @field_validator("to")
    @classmethod
    def _known_format(cls, name: str) -> str:
        if name not in WRITERS:
            raise ValueError(f'no export format "{name}"; use one of {", ".join(WRITERS)}')
        return name

    @field_validator("path")
    @classmethod
    def _dated(cls, path: str) -> str:
        return with_date(path, needed=False)


class DriftSettings(Closed):
    """When forecasts no longer fit."""

    band: PositiveRatio = 0.3
    """Largest acceptable error of a day's forecast: WAPE of input or output tokens, a ratio."""
    days: Days = 3
    """Consecutive days beyond the band that raise an alert."""


_YEAR_S = 31_536_000
"""The longest rest or lease: beyond it a clock may end."""


class NightlyJob(Closed):
    """One nightly job."""

    name: str
    """Name of the job: in the ledger, and in the names of its traces and folders."""
    at: time
    """Local time of day, HH:MM, from which a date is due."""
    scenario: str = "deepseek-2025-02-27"
    """A built-in name or a TOML file relative to the jobs file; its time zone is the job's."""
    set: tuple[str, ...] = ()
    """Scenario fields to override, each as path=value."""
    first: CalendarDate | None = None
    """First date to run; if left out, the date on which the service first runs."""
    catch_up_days: Days = 7
    """Most dates that are caught up after the service was down; earlier ones are skipped."""
    attempts: Annotated[int, Field(ge=1, le=1000)] = 3
    """Most attempts at a date."""
    retry_s: Annotated[int, Field(ge=0, le=_YEAR_S)] = 900
    """Seconds between attempts at a date."""
    history_days: Days = 28
    """Most days of logs that forecasts are made from."""
    keep_trace_days: Days = 35
    """Days for which the requests of logs are kept."""
    keep_report_days: Annotated[int, Field(ge=2, le=36_500)] = 400
    """Days for which plans, reports and dated exports are kept, at least until the planned day is over. The ledger and
    the view plan_vs_actual stay."""
    pictures: bool = True
    """Whether reports come with PNG and SVG files of each chart; the page has its charts anyway."""
    log: LogSettings
    """Where the logs are."""
    export: tuple[ExportFile, ...] = ()
    """What is exported of every plan."""
    drift: DriftSettings = DriftSettings()
    """When forecast errors raise an alert."""

    @field_validator("set")
    @classmethod
    def _each_once(cls, sets: tuple[str, ...]) -> tuple[str, ...]:
        paths = [each.partition("=")[0].strip() for each in sets]
        if twice := sorted({path for path in paths if paths.count(path) > 1}):
            raise ValueError(f"sets {', '.join(twice)} twice; give each field one value")
        return sets

    @field_validator("name")
    @classmethod
    def _plain(cls, name: str) -> str:
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,40}", name):
            raise ValueError(
                f'"{name}" is not a job name; write a lowercase letter or digit, then at most 40 of a-z, 0-9, - and _'
            )
        return name

    @field_validator("at", mode="before")
    @classmethod
    def _clock(cls, at: object) -> object:
        if isinstance(at, str) and not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", at):
            raise ValueError(f'"{at}" is not a time of day; write it as 02:30')
        return at

    @model_validator(mode="after")
    def _kept_long_enough(self) -> Self:
        if self.keep_trace_days < self.history_days:
            raise ValueError(
                f"keep_trace_days is {self.keep_trace_days} and history_days {self.history_days}: forecasts need logs "
                "that are kept; raise the first or lower the second"
            )
        return self


class NotifySettings(Closed):
    """Who is notified when a night has ended."""

    command: tuple[str, ...] = ()
    """A program and its arguments, which gets a JSON document on stdin; empty for none."""
    url: str | None = Field(default=None, repr=False)
    """An http or https address that gets the same document by POST, with user:password@ before the host if it wants
    them. Only its scheme and host are ever logged."""
    on: Literal["all", "trouble"] = "trouble"
    """All nights, or only those that failed, were skipped, missed a limit or drift. What keeps the service from
    working is told in any case."""
    timeout_s: Annotated[float, Field(ge=0.001, le=3600, allow_inf_nan=False)] = 30
    """Seconds in which the program or the address has to finish."""

    @field_validator("url")
    @classmethod
    def _web(cls, url: str | None) -> str | None:
        if url is not None and not is_web_address(url):
            # what was meant may hold a token
            raise ValueError("is not a web address; write it as http://127.0.0.1:8080/planner")
        if url is not None:
            web_address(url)
        return url


class JobsFile(Closed):
    """Everything of a jobs file."""

    out: str = "nightly"
    """Folder of reports, exports and the index page, relative to the jobs file."""
    lease_s: Annotated[int, Field(ge=60, le=604_800)] = 1800
    """Seconds without a new step after which another host takes a night over; longer than its longest step."""
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """Port of /metrics, /healthz and /external-metrics on 127.0.0.1; if left out, there are none."""
    notify: NotifySettings = NotifySettings()
    """Who is notified when a night has ended."""
    incident: tuple[IncidentSettings, ...] = ()
    """Time whose demand no job's forecasts learn from, besides that of its scenario: a table [[incident]] each. Where
    it is more than half of a day, that day's log may be incomplete, or missing."""
    job: Annotated[tuple[NightlyJob, ...], Field(validate_default=True)] = ()
    """The jobs, at least one."""

    @field_validator("job")
    @classmethod
    def _some_distinct(cls, jobs: tuple[NightlyJob, ...]) -> tuple[NightlyJob, ...]:
        if not jobs:
            raise ValueError("none is defined; add a table [[job]]")
        names = [job.name for job in jobs]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two jobs are named {', '.join(twice)}; give each its own name")
        paths = [Path(file.path) for job in jobs for file in job.export]
        if same := sorted({str(path) for path in paths if paths.count(path) > 1}):
            raise ValueError(f"two exports are written to {', '.join(same)}; give each its own path")
        return jobs


class Jobs(Closed):
    """A jobs file that was read, with the folder it is in and its jobs' scenarios by name of the job."""

    file: JobsFile
    folder: Path
    scenarios: dict[str, Scenario]

    @property
    def out(self) -> Path:
        """Folder of reports and exports."""
        return self.folder / self.file.out


def load_jobs(path: Path, overrides: Sequence[str] = ()) -> Jobs:
    """The jobs of a TOML file, and their scenarios. Raises UsageError with all problems of the file or a scenario.

    overrides: scenario fields, path=value, for every job.
    """
    if not exists(path):
        raise UsageError(f"{path}: no such jobs file; `planner schedule list --example` prints one")
    try:
        file = JobsFile.model_validate(read_toml(path), context=FROM_FILE)
    except ValidationError as error:
        raise UsageError(f"{path}: {'; '.join(describe(error))}") from error
    folder = path.resolve().parent
    try:
        scenarios = {job.name: _load_scenario(job, folder, overrides, file.incident) for job in file.job}
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error
    return Jobs(file=file, folder=folder, scenarios=scenarios)


def _load_scenario(
    job: NightlyJob, folder: Path, overrides: Sequence[str], incidents: Sequence[IncidentSettings]
) -> Scenario:
    """The scenario of a job, if nights can be planned with it and its log can be read. Raises UsageError.

    incidents: of the jobs file, added to the scenario's own.
    """
    own = folder / job.scenario
    try:
        if job.log.mapping is not None:
            load_mapping(folder / job.log.mapping)
        if job.log.format != AUTO:
            check_mapping(readers()[job.log.format], job.log.columns)
            check_mapping(readers()[job.log.format], job.log.constants, "constants")
            check_where(readers()[job.log.format], job.log.where)
            check_cached(readers()[job.log.format], job.log.cached)
        scenario = load_scenario(str(own) if is_file(own) else job.scenario, [*job.set, *overrides]).scenario
        check_intervals(scenario)
        _check_trace(scenario)
    except UsageError as error:
        raise UsageError(f"job {job.name}: {error}") from error
    if problems := check(scenario):
        raise UsageError(f"job {job.name}: {'; '.join(problems)}")
    return scenario.model_copy(update={"incident": (*scenario.incident, *incidents)})


def _check_trace(scenario: Scenario) -> None:
    """Raises UsageError for trace settings that say nothing of a day to come."""
    check_selection(scenario, stored=True)
    selection = selection_of(scenario, stored=True)
    own, change = selection.settings, selection.change
    asked = {
        "days": selection.days is not None,
        "start_at": own.start_at is not None,
        "end_at": own.end_at is not None,
        "classes": own.classes is not None,
        "growth_per_day": change.growth_per_day != 0,
        "noise": change.noise != 0,
        "cache_hit_ratio": own.cache_hit_ratio is not None,
    }
    refused = [f"trace.{name}" for name, given in asked.items() if given]
    if refused:
        raise UsageError(
            f"{', '.join(refused)} cannot be applied to nights, which read whole logs and plan a forecast; leave it "
            "out, or set trace.demand_factor to plan for more"
        )


def with_date(path: str, *, needed: bool) -> str:
    """The pattern, if it can be filled with a date. Raises ValueError."""
    try:
        earlier, later = (path.format(date=day) for day in (date(2025, 3, 1), date(2026, 12, 31)))
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        raise ValueError(
            f'"{path}": {{date}} is the only placeholder, also as {{date:%Y%m%d}}; double all other braces'
        ) from error
    if needed and earlier == later:
        raise ValueError(f'"{path}" is the same for every day; add {{date}} to it')
    return path
