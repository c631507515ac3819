"""Settings, from the pydantic models: fields of a scenario with default and provenance, and the jobs file."""

import json
from collections.abc import Callable, Iterator

from pydantic import BaseModel
from pydantic_core import to_jsonable_python
from words import Schema, code, definition, is_optional, kind_of, prose

from planner.catalogue.fields import value_at
from planner.catalogue.scenarios import load_scenario
from planner.nightly.jobs_file import JobsFile
from planner.settings.mixed import MixedFleet
from planner.settings.scenario import Scenario
from planner.trace.imports.mapping import LogMapping

_LEFT_OUT = ("provenance",)

Facts = Callable[[str], str]
"""What else is said of a field by its path; nothing for its default."""


def scenario_fields() -> str:
    """Every field of a scenario by table: meaning, type, value and provenance in the built-in scenario."""
    scenario = load_scenario().scenario

    def facts(path: str) -> str:
        value = to_jsonable_python(value_at(scenario, path))
        shown = "left out" if value is None else code(_value(value))
        return f"Built-in scenario: {shown}, {prose(scenario.provenance.get(path, 'assumed: not stated'))}"

    return "\n\n".join(_tables(Scenario, facts))


def job_fields() -> str:
    """Every field of a jobs file by table: meaning, type and default."""
    return "\n\n".join(_tables(JobsFile, lambda _path: ""))


def mixed_fields() -> str:
    """Every field of a mixed fleet's file by table: meaning, type and default."""
    return "\n\n".join(_tables(MixedFleet, lambda _path: ""))


def mapping_fields() -> str:
    """Every key of a mapping: meaning, type and default."""
    return "\n\n".join(_tables(LogMapping, lambda _path: ""))


def _tables(model: type[BaseModel], facts: Facts) -> Iterator[str]:
    whole = model.model_json_schema(mode="validation")
    yield from _table(whole, whole.get("$defs", {}), "", facts)


def _table(schema: Schema, parts: dict[str, Schema], path: str, facts: Facts) -> Iterator[str]:
    """A table's own fields under one heading, then the tables inside it, and those that its lists are made of."""
    fields = {key: field for key, field in schema["properties"].items() if key not in _LEFT_OUT}
    inside = {key: parts[name] for key, field in fields.items() if (name := _table_of(field)) in parts}
    items = {key: parts[name] for key, field in fields.items() if (name := _name(_item(field))) in parts}
    others = {key: parts[name] for key, field in fields.items() if (name := _possible_table(field)) in parts}
    required = schema.get("required", ())
    yield f"## {path.removesuffix('.') or 'At the top'}"
    if path:
        yield prose(schema.get("description", ""))
    for key, field in fields.items():
        if key not in inside:
            yield _field(f"{path}{key}", field, required=key in required, facts=facts)
    for key, table in inside.items():
        yield from _table(table, parts, f"{path}{key}.", facts)
    for key, table in items.items():
        yield from _table(table, parts, f"{path}{key}[].", lambda _path: "")
    for key, table in others.items():
        yield from _table(
            table,
            parts,
            f"{path}{key}{'' if _possible_table(fields[key], named=False) else '.NAME'}.",
            lambda _path: "",
        )


def _field(path: str, field: Schema, *, required: bool, facts: Facts) -> str:
    words = [_kind(field)]
    if is_optional(field):
        words.append("may be left out")
    default = "" if required or field.get("default") is None else f"Default: {code(_value(field['default']))}"
    term = f"{code(path)}{{ #{path.replace('[]', '')} }} *{', '.join(words)}*"
    return definition(term, prose(field.get("description", "")), facts(path) or default)


def _kind(field: Schema) -> str:
    if _name(_item(field)):
        return "list of tables, see below"
    if _possible_table(field, named=False):
        return "text, or a table, see below"
    return "tables by name, see below" if _possible_table(field) else kind_of(field)


def _table_of(field: Schema) -> str:
    """The settings that a field holds as a table, which may be left out; empty for other fields."""
    parts = [part for part in field.get("anyOf", [field]) if part.get("type") != "null"]
    return _name(parts[0]) if len(parts) == 1 else ""


def _possible_table(field: Schema, *, named: bool = True) -> str:
    """The settings that a field may hold as a table instead of text, or if `named` in tables by name; or empty."""
    parts = [part for part in field.get("anyOf", []) if part.get("type") != "null"]
    if len(parts) > 1:
        return next((name for part in parts if (name := _name(part))), "")
    each = field.get("additionalProperties", {})
    return _name(each) if named and isinstance(each, dict) else ""


def _value(value: object) -> str:
    """A value as JSON writes it, which is as TOML does but for tables in lists."""
    return json.dumps(value, ensure_ascii=False)


def _name(field: Schema) -> str:
    return str(field.get("$ref", "")).rsplit("/", 1)[-1]


def _item(field: Schema) -> Schema:
    item = field.get("items", {})
    return item if isinstance(item, dict) else {}
