"""Named queries with their parameters: what is left out is the newest run, and traces go by their names."""

import re

from planner.errors import UsageError
from planner.runs.read import find_run
from planner.store import Store
from planner.store.queries import named_query
from planner.trace.stored import by_name

Params = dict[str, int | str]


def value_of(text: str) -> int | str:
    """The value of a parameter: a number where it is written as one."""
    return int(text) if re.fullmatch(r"-?[0-9]{1,18}", text) else text


def filled(store: Store, name: str, values: Params) -> tuple[str, Params]:
    """A named query and its parameters; run_id is the newest run's unless one is given.

    A trace may be given by its name instead of its number. Raises QueryError, UsageError, TraceError.
    """
    named = named_query(name)
    if "run_id" in named.used:
        given = values.get("run_id")
        values = {**values, "run_id": find_run(store, None if given is None else str(given))}
    if "trace_id" in named.used and isinstance(trace := values.get("trace_id"), str):
        with store.read() as session:
            values = {**values, "trace_id": by_name(session, trace).trace_id}
    missing = sorted(named.used - set(values))
    if missing:
        raise UsageError(f"query {name} needs {', '.join(f'--param {key}=...' for key in missing)}")
    unknown = sorted(set(values) - named.used)
    if unknown:
        raise UsageError(
            f"query {name} has no parameter {', '.join(unknown)}; it takes {', '.join(named.params) or 'none'}"
        )
    return named.sql, values
