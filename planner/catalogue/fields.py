"""The fields of a scenario by dotted path: their names, meanings and types."""

from collections.abc import Iterator, Mapping
from functools import cache
from types import MappingProxyType, NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from planner.settings.scenario import Scenario

_OF_ROLES = tuple(
    f"fleet.{path}" for role in ("prefill", "decode") for path in (f"{role}.", f"base.{role}", f"step.{role}")
)
"""How the paths of fields begin that are about units that read prompts or decode, but not both."""
_OF_BOTH = ("fleet.unit.", "fleet.base.aggregated", "fleet.step.aggregated")
"""Of those that are about units that do both."""


@cache
def field_paths() -> Mapping[str, str]:
    """The meaning of every settable field by its path: a table's own fields first, then those of its sub-tables."""
    return MappingProxyType(dict(_paths(Scenario, "")))


@cache
def table_paths() -> frozenset[str]:
    """The paths of the tables that fields are in, but for those that may be left out, which mean something empty."""
    return frozenset({"provenance", *_table_paths(Scenario, "")})


def _table_paths(model: Any, before: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        table = _table(field.annotation)
        if table is not None and table is field.annotation:
            yield f"{before}{name}"
            yield from _table_paths(table, f"{before}{name}.")


def _paths(model: type[BaseModel], before: str) -> Iterator[tuple[str, str]]:
    tables: dict[str, type[BaseModel]] = {}
    for name, field in model.model_fields.items():
        path = f"{before}{name}"
        table = _table(field.annotation)
        if table is not None:
            tables[path] = table
        elif path != "provenance":
            yield path, " ".join((field.description or "").split())
    for path, table in tables.items():
        yield from _paths(table, f"{path}.")


def _table(annotation: Any) -> type[BaseModel] | None:
    """The settings that a field holds as a table of its own, which may be left out; None for other fields."""
    parts = [part for part in _parts(annotation) if part is not NoneType]
    whole = len(parts) == 1 and isinstance(parts[0], type) and issubclass(parts[0], BaseModel)
    return parts[0] if whole else None


def _parts(annotation: Any) -> tuple[Any, ...]:
    """The types that a field may have."""
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)


def has_meaning(scenario: Scenario, path: str) -> bool:
    """Whether a field says anything in a scenario: not those of units that its fleet does not have."""
    return not path.startswith(_OF_ROLES if scenario.fleet.serving == "aggregated" else _OF_BOTH)


def number_kind(path: str) -> type[int] | type[float] | None:
    """Whether a field takes whole numbers or any; None where it is not a number. path: one of field_paths."""
    model: type[BaseModel] = Scenario
    *heads, last = path.split(".")
    for head in heads:
        below = _table(model.model_fields[head].annotation)
        assert below is not None, "a field path runs through tables"
        model = below
    one_of = _parts(model.model_fields[last].annotation)
    parts = [get_args(part)[0] if get_origin(part) is Annotated else part for part in one_of]
    return next((kind for kind in (int, float) if kind in parts), None)


def value_at(scenario: Scenario, path: str) -> Any:
    """The value of a field by its dotted path; None where its table is left out."""
    value: Any = scenario
    for part in path.split("."):
        if value is None:
            return None
        value = getattr(value, part)
    return value
