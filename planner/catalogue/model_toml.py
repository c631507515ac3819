"""Models written as TOML."""

from collections.abc import Iterator, Sequence

from pydantic import BaseModel

from planner.catalogue.toml import toml_value
from planner.settings.models import Model

_WIDE = 10_000
"""Whole numbers from here on are written with separators."""


def model_toml(model: Model, notes: Sequence[str] = ()) -> str:
    """A model as its TOML file; fields that say nothing are left out. notes: written at the head, as comments."""
    lines = [f"# {note}" for note in notes]
    lines += list(_fields(model))
    for name, table in model:
        if isinstance(table, BaseModel):
            lines += ["", f"[{name}]", *_fields(table)]
    return "\n".join(lines) + "\n"


def _fields(table: BaseModel) -> Iterator[str]:
    for name, field in type(table).model_fields.items():
        value = getattr(table, name)
        if isinstance(value, BaseModel) or (not field.is_required() and value == field.default):
            continue
        text = f"{value:_}" if type(value) is int and value >= _WIDE else toml_value(value)
        yield f"{name} = {text}"
