"""Small pieces of Markdown, and JSON Schema in words."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

Schema = dict[str, Any]
"""A JSON Schema, or a part of one."""

_BOUNDS = {
    "minimum": "≥",
    "exclusiveMinimum": ">",
    "maximum": "≤",
    "exclusiveMaximum": "<",
    "multipleOf": "multiple of",
}
_TYPES = {"boolean": "true or false", "string": "text", "null": "null", "object": "object"}


def prose(text: str) -> str:
    """Text from the program, one line per paragraph, in which only `code` has a meaning to Markdown."""
    paragraphs = [" ".join(paragraph.split()) for paragraph in re.split(r"\n\s*\n", text.strip())]
    return "\n\n".join(_escaped(paragraph) for paragraph in paragraphs)


def _escaped(line: str) -> str:
    parts = re.split(r"(`[^`]+`)", line)
    return "".join(part if part.startswith("`") else _text(part) for part in parts)


def _text(part: str) -> str:
    return re.sub(r"([*_>\[\]{}|\\])", r"\\\1", part).replace("<", "&lt;")


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; a bar inside a cell is escaped."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return re.sub(r"(?<!\\)\|", r"\\|", " ".join(text.split()))


def code(text: object) -> str:
    """Inline code."""
    return f"`{text}`" if str(text) else ""


def definition(term: str, *paragraphs: str) -> str:
    """An entry of a definition list."""
    shown = [paragraph for paragraph in paragraphs if paragraph] or [""]
    return f"{term}\n" + "\n".join(f":   {p}" if i == 0 else f"\n    {p}" for i, p in enumerate(shown)) + "\n"


def kind_of(schema: Schema) -> str:
    """What a schema allows, in words; parts that are objects of their own are links to their headings."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        return f"[{name}](#{name.lower()})"
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return " or ".join(dict.fromkeys(kind_of(each) for each in schema[several] if each.get("type") != "null"))
    if "const" in schema:
        return code(schema["const"])
    if "enum" in schema:
        return " or ".join(code(value) for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {kind_of(schema.get('items', {}))}"
    if isinstance(schema.get("additionalProperties"), dict):
        each = schema["additionalProperties"]
        return f"object by name, each {kind_of(each)}{' or null' if is_optional(each) else ''}"
    if schema.get("format"):
        return str(schema["format"])
    bounds = " and ".join(f"{sign} {_bound(schema[key])}" for key, sign in _BOUNDS.items() if key in schema)
    name = _TYPES.get(schema.get("type", ""), schema.get("type", "any value"))
    return f"{name} {bounds}".strip()


def _bound(limit: float) -> str:
    """A limit in digits; the largest whole number by its bits."""
    if limit == 2**63 - 1:
        return "2⁶³ - 1"
    return f"{limit:,.0f}" if limit == int(limit) else f"{limit:g}"


def is_optional(schema: Schema) -> bool:
    """Whether null is allowed."""
    return any(each.get("type") == "null" for each in schema.get("anyOf", ()))
