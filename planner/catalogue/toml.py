"""Scenarios and their values written as TOML."""

from datetime import date, datetime, time

from pydantic import BaseModel

from planner.catalogue.fields import field_paths, value_at
from planner.settings.scenario import Scenario


def to_toml(scenario: Scenario, *, comments: bool) -> str:
    """The scenario as TOML; with comments, each field's meaning and provenance above it."""
    lines, table = [], ""
    for path, meaning in field_paths().items():
        head, _, key = path.rpartition(".")
        if head != table:
            table = head
            lines += ["", f"[{table}]"]
        if comments:
            lines += ["", f"# {meaning}", f"# ({scenario.provenance.get(path, 'assumed: not stated')})"]
        value = value_at(scenario, path)
        lines.append(f"# {key} =" if value is None else f"{key} = {toml_value(value)}")
    return "\n".join(lines).strip() + "\n"


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
        fields = ((name, held) for name, held in value if held is not None)
        return "{ " + ", ".join(f"{name} = {toml_value(held)}" for name, held in fields) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml_value(item) for item in value) + "]"
    return repr(value)


def shown(value: object) -> str:
    """A field's value as text: lists as they are written in a scenario, nothing for what is left out."""
    if value is None:
        return ""
    return toml_value(value) if isinstance(value, tuple) else str(value)
