"""Documents: what commands print as JSON and write into files, as frozen dataclasses, and their JSON Schemas.

A document and each of its parts derive from `Document`; a docstring below a field is its description in the schema.
A part whose keys appear among those of the whole is a base class of it. Nothing inside the package reads a document
back by key.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, TypeAdapter, WithJsonSchema

T = TypeVar("T")

Time = Annotated[
    datetime,
    PlainSerializer(datetime.isoformat, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""A time with its offset; ISO-8601 in JSON."""

Maybe = Annotated[T | None, Field(exclude_if=lambda value: value is None)]
"""A key that is left out where it has no value; the field needs the default None."""


@dataclass(frozen=True, kw_only=True)
class Document:
    """Base of documents and their parts: only declared keys, described by the docstrings of the fields."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(use_attribute_docstrings=True, extra="forbid")


def to_json(document: object) -> Any:
    """A document or settings, or a list or mapping of them, as the dicts, lists and scalars of JSON."""
    if isinstance(document, Document):
        kind: Any = type(document)
        return _adapter(kind).dump_python(document, mode="json", by_alias=True)
    if isinstance(document, BaseModel):
        return document.model_dump(mode="json")
    if isinstance(document, Mapping):
        return {key: to_json(value) for key, value in document.items()}
    if isinstance(document, Sequence) and not isinstance(document, str):
        return [to_json(each) for each in document]
    return document


def plain(value: object) -> object:
    """What JSON has no type for, as in rows of a user's query."""
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return str(value)


def schema(kind: Any) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a document type, of a list or a union of them."""
    made = _adapter(kind).json_schema(mode="serialization", by_alias=True)
    for part in (made, *made.get("$defs", {}).values()):
        _describe_inherited(part)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made}


def _describe_inherited(part: dict[str, Any]) -> None:
    """Add the descriptions of the fields that a document has from its bases: pydantic reads those of its own class."""
    kind = next((each for each in _documents(Document) if each.__name__ == part.get("title")), Document)
    for base in kind.__mro__[1:]:
        if issubclass(base, Document) and base is not Document:
            known: Any = base
            for key, field in _adapter(known).json_schema(mode="serialization", by_alias=True)["properties"].items():
                if "description" in field:
                    part["properties"][key].setdefault("description", field["description"])


def _documents(base: type[Document]) -> Iterator[type[Document]]:
    for kind in base.__subclasses__():
        yield kind
        yield from _documents(kind)


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
