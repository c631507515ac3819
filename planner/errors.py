"""Failures that the user can put right. Everything else is a defect and keeps its traceback.

PlannerError                exit 1, one line that names the thing and the cure
├── UsageError              exit 2: an invalid argument or setting
│   ├── ScenarioError       exit 2: every problem of a scenario at once
│   └── CannotServe         exit 2: a unit that cannot serve, and which limit keeps it from serving
├── StoreError              the DuckDB file
│   ├── StoreMissing        there is no store yet
│   ├── StoreLocked         another process holds it
│   ├── StoreTooNew         written by a newer planner
│   └── StoreUnreadable     not a DuckDB database, or not one of planner's
│       └── StoreDamaged    one of planner's that cannot be read any more
├── TraceError              a trace that cannot be read, drawn or found
├── RunError                a run that cannot be found, or cannot be made
├── QueryError              a SQL query that is not allowed or fails
└── LimitMissed             exit 3: the work is done, but a stated limit is missed
"""

from collections.abc import Sequence
from typing import Literal


class PlannerError(Exception):
    """An expected failure. Its text is one line for the user."""

    exit_code = 1


class UsageError(PlannerError):
    """An invalid argument or setting."""

    exit_code = 2


class ScenarioError(UsageError):
    """Every problem of one scenario.

    problems: one line each, "path.to.field: what is wrong, and the cure".
    """

    def __init__(self, source: str, problems: Sequence[str]) -> None:
        self.source = source
        self.problems = tuple(problems)
        super().__init__(f"{source}: " + "; ".join(self.problems))


ServingObstacle = Literal["memory", "target", "imbalance"]
"""What keeps a unit from serving: the model or one stream exceeds its memory, no batch meets the time per output token,
or the imbalance of its balancer is not measured for its size."""


class CannotServe(UsageError):
    """A deployment unit that cannot serve what is asked of it."""

    def __init__(self, text: str, reason: ServingObstacle) -> None:
        # both are arguments of the exception, so that it can be unpickled from a worker process
        super().__init__(text, reason)
        self.reason = reason

    def __str__(self) -> str:
        return str(self.args[0])


class StoreError(PlannerError):
    """The store cannot be used."""


class StoreMissing(StoreError):
    """There is no store at the path."""


class StoreLocked(StoreError):
    """Another process held the store for longer than the waiting time."""


class StoreTooNew(StoreError):
    """The store was written by a newer planner."""


class StoreUnreadable(StoreError):
    """The file is not a DuckDB database, or not one of planner's."""


class StoreDamaged(StoreUnreadable):
    """A store that cannot be read any more, or not in all its parts."""


class TraceError(PlannerError):
    """A trace that cannot be read, drawn or found."""


class NoRequests(TraceError):
    """A log that can be read, and has no request."""


class RunError(PlannerError):
    """A run that cannot be found or made."""


class QueryError(PlannerError):
    """A query that is not allowed, or that DuckDB refuses."""


class LimitMissed(PlannerError):
    """The plan is stored, but misses a limit that the scenario states."""

    exit_code = 3
