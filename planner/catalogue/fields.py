"""The fields of a scenario by dotted path: their names, meanings and types."""

from collections.abc import Iterator, Mapping
from functools import cache
from types import MappingProxyType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from planner.settings.scenario import Scenario


@cache
def field_paths() -> Mapping[str, str]:
    """The meaning of every settable field by its path: a table's own fields first, then those of its sub-tables."""
    return MappingProxyType(dict(_paths(Scenario, "")))


def _paths(model: type[BaseModel], before: str) -> Iterator[tuple[str, str]]:
    tables: dict[str, type[BaseModel]] = {}
    for name, field in model.model_fields.items():
        path = f"{before}{name}"
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            tables[path] = field.annotation
        elif path != "provenance":
            yield path, " ".join((field.description or "").split())
    for path, table in tables.items():
        yield from _paths(table, f"{path}.")


def number_kind(path: str) -> type[int] | type[float] | None:
    """Whether a field takes whole numbers or any; None where it is not a number. path: one of field_paths."""
    model: type[BaseModel] = Scenario
    *heads, last = path.split(".")
    for head in heads:
        below = model.model_fields[head].annotation
        assert isinstance(below, type), "a field path runs through tables"
        model = below
    held = model.model_fields[last].annotation
    one_of = get_args(held) if get_origin(held) in (Union, UnionType) else (held,)
    parts = [get_args(part)[0] if get_origin(part) is Annotated else part for part in one_of]
    return next((kind for kind in (int, float) if kind in parts), None)


def value_at(scenario: Scenario, path: str) -> Any:
    """The value of a field by its dotted path."""
    value: Any = scenario
    for part in path.split("."):
        value = getattr(value, part)
    return value
