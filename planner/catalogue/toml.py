"""Scenarios and their values written as TOML."""

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime, time

from pydantic import BaseModel

from planner.catalogue.fields import field_paths, has_meaning, value_at
from planner.settings.scenario import Scenario

_EXAMPLES = """
# What is known of the demand beside the numbers, for forecasts and @forecast policies; nothing is learned of either.
# [[incident]]                 # an outage, a test, a log that is not complete
# from = 2026-03-06T10:00:00   # a time by the clock of timezone, or a date
# to = 2026-03-06T15:00:00     # a date stands for all of that day
#
# [[event]]
# name = "launch"
# from = 2026-04-01
# to = 2026-04-02
# factor = 1.8                 # what the usual demand is multiplied by; 0 for none
#
# [forecast]                   # or in that table above, if there is one
# holidays = "DE-BY"           # public holidays are events; needs the extra `holidays`
# holiday_factor = 0.6
# accept = ["2026-03-09"]      # dates whose demand is real, however unusual it is
# ignore = ["2026-03-10"]      # dates that are not learned from
"""


def own_file(scenario: Scenario, paths: Collection[str], *, extends: str, head: Sequence[str]) -> str:
    """A file of a scenario that says these fields only, with their provenance, and shows how to declare times.

    head: lines of a comment above all.
    """
    body = to_toml(scenario, comments=True, paths=paths)
    told = [f"{toml_value(path)} = {toml_value(scenario.provenance[path])}" for path in field_paths() if path in paths]
    above = [*(f"# {line}" for line in head), f"extends = {toml_value(extends)}"]
    return "\n".join((*above, "", body, "[provenance]", *told)) + "\n" + _EXAMPLES


def to_toml(scenario: Scenario, *, comments: bool, paths: Collection[str] | None = None) -> str:
    """The scenario as TOML; with comments, each field's meaning and provenance above it.

    paths: of the fields to write; None for all of them.
    """
    lines, table = [], ""
    for path, meaning in field_paths().items():
        if path not in paths if paths is not None else _left_out(scenario, path):
            continue
        head, _, key = path.rpartition(".")
        if head != table:
            table = head
            lines += ["", f"[{table}]"]
        if comments:
            lines += ["", f"# {meaning}", f"# ({scenario.provenance.get(path, 'assumed: not stated')})"]
        value = value_at(scenario, path)
        lines.append(f"# {key} =" if value is None else f"{key} = {toml_value(value)}")
    return "\n".join(lines).strip() + "\n"


def _left_out(scenario: Scenario, path: str) -> bool:
    """Whether the table of a field is left out, and not the field alone, or is about other units."""
    table = path.rpartition(".")[0]
    return (bool(table) and value_at(scenario, table) is None) or not has_meaning(scenario, path)


def toml_value(value: object) -> str:
    """One value in TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'"{escaped}"'
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, BaseModel):
        names = {name: field.alias or name for name, field in type(value).model_fields.items()}
        fields = ((names[name], held) for name, held in value if held is not None)
        return "{ " + ", ".join(f"{name} = {toml_value(held)}" for name, held in fields) + " }"
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(name)} = {toml_value(held)}" for name, held in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml_value(item) for item in value) + "]"
    return repr(value)


def _key(name: str) -> str:
    """A key in TOML, in quotes where it is not bare."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else toml_value(name)


def shown(value: object) -> str:
    """A field's value as text: lists as they are written in a scenario, nothing for what is left out."""
    if value is None:
        return ""
    return toml_value(value) if isinstance(value, tuple | BaseModel) else str(value)
