"""Training jobs as data: what a list of jobs asks of the nodes that inference leaves free."""

from collections import Counter
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from planner.settings.closed import Closed, DayOfSeconds, minute_of_day
from planner.units import S_PER_HOUR, micros

Moment = float | str
"""Hours from the plan's start, or a local wall-clock time HH:MM."""

_MOST_HOURS = 100_000
"""Eleven years: a longer time is a typing error."""
_MOST_USD = 1_000_000


class TrainingJob(Closed):
    """One training job; a daily one recurs every day of the plan."""

    name: Annotated[str, Field(min_length=1)]
    """Unique in its list."""
    gpus: Annotated[int, Field(ge=1, le=100_000_000)]
    """GPUs that it holds while it runs: part of one node, or whole nodes."""
    hours: Annotated[float, Field(gt=0, le=_MOST_HOURS)]
    """Hours of progress on that many GPUs until it is done; loading comes on top."""
    checkpoint_s: Annotated[int, Field(ge=1, le=31_536_000)] | None = None
    """Seconds of progress, at most a year, between checkpoints; left out: none, and a job that is called back starts
    over."""
    restart_s: DayOfSeconds | None = None
    """Seconds of loading, at most a day, at every start, the first included; left out: training.restore_s."""
    preemptible: bool = True
    """Whether inference may call its nodes back; otherwise it starts only where it is known to finish."""
    start: Moment | None = None
    """Earliest start: a local time, or hours from the plan's start; left out: the plan's start."""
    deadline: Moment | None = None
    """When it should be done: the next such local time after its start, or hours from the plan's start."""
    daily: bool = False
    """Whether it recurs every day."""
    usd_per_node_hour: Annotated[float, Field(ge=0, le=_MOST_USD)] = 0.0
    """Worth of a node-hour of its progress, USD, where it has no deadline or meets it."""
    provenance: dict[str, str] = Field(default_factory=dict)
    """Where values come from, "kind: source"."""

    @field_validator("hours")
    @classmethod
    def _a_second(cls, hours: float) -> float:
        if round(hours * S_PER_HOUR) < 1:
            raise ValueError(f"{hours:g} h is less than a second; raise it")
        return hours

    @field_validator("usd_per_node_hour")
    @classmethod
    def _whole_micros(cls, price: float) -> float:
        micros(price)
        return price

    @field_validator("start", "deadline", mode="before")
    @classmethod
    def _a_moment(cls, moment: object) -> object:
        if isinstance(moment, int | float) and not isinstance(moment, bool) and 0 <= moment <= _MOST_HOURS:
            return float(moment)
        if isinstance(moment, str):
            try:
                minute_of_day(moment)
            except ValueError:
                pass
            else:
                return moment
        raise ValueError(
            f"{moment!r} is neither a local time nor hours from the plan's start; "
            'write "HH:MM", or a number of hours from 0 on'
        )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.start is not None and self.deadline is not None and type(self.start) is not type(self.deadline):
            raise ValueError(
                f'job "{self.name}": one of start and deadline is a local time and the other is a number of hours; '
                "write both in the same way"
            )
        if isinstance(self.deadline, float) and self.deadline <= float(self.start or 0):
            raise ValueError(
                f'job "{self.name}": its deadline of {self.deadline:g} h is not after its start; raise deadline'
            )
        return self

    @property
    def work_s(self) -> int:
        """Seconds of progress until it is done."""
        return round(self.hours * S_PER_HOUR)


class JobList(Closed):
    """A list of training jobs, in the order in which first-fit takes those that may start together."""

    name: str
    """Short name."""
    description: str = ""
    """One line on what the jobs are."""
    job: Annotated[tuple[TrainingJob, ...], Field(min_length=1)]
    """The jobs, each with a name of its own."""

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        twice = [name for name, count in Counter(job.name for job in self.job).items() if count > 1]
        if twice:
            raise ValueError(f'job "{twice[0]}" is listed more than once; give each job its own name')
        return self
