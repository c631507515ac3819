"""The JSON documents of commands, from the types that they are printed from: a page and a schema file each."""

import json

from words import Schema, code, definition, is_optional, kind_of, prose, table

from planner.cli.documents import DOCUMENTS, document_type
from planner.documents import schema


def registered() -> list[str]:
    """Commands whose document is a type."""
    return [command for command, kinds in DOCUMENTS.items() if kinds]


def stem(command: str) -> str:
    """The name of a command's page and of its schema."""
    return command.replace(" ", "-")


def index() -> str:
    """The commands with their pages and schemas."""
    rows = [
        (
            f"[`planner {command} --json`](json/{stem(command)}.md)",
            f"[{stem(command)}.schema.json](json/{stem(command)}.schema.json)",
        )
        for command in registered()
    ]
    return table(("Document", "JSON Schema"), rows)


def files() -> dict[str, str]:
    """Pages and schemas by their place on the site."""
    made = {}
    for command in registered():
        whole = schema(document_type(command))
        made[f"reference/json/{stem(command)}.md"] = _page(command, whole)
        made[f"reference/json/{stem(command)}.schema.json"] = json.dumps(whole, indent=2, ensure_ascii=False) + "\n"
    return made


def _page(command: str, whole: Schema) -> str:
    parts = [
        f"# planner {command} --json",
        f"JSON Schema: [{stem(command)}.schema.json]({stem(command)}.schema.json)",
    ]
    if "properties" in whole:
        parts.append(_keys(whole))
    else:
        parts.append(f"The document is {'a ' if whole.get('type') == 'array' else ''}{kind_of(whole)}.")
    for name, part in whole.get("$defs", {}).items():
        parts += [f"## {name}", _keys(part) if "properties" in part else f"{kind_of(part)}"]
    return "\n\n".join(parts) + "\n"


def _keys(part: Schema) -> str:
    """What an object is, and its keys."""
    required = part.get("required", ())
    keys = [
        definition(f"{code(key)} *{_facts(field, required=key in required)}*", prose(field.get("description", "")))
        for key, field in part["properties"].items()
    ]
    return "\n\n".join([prose(part.get("description", "")), *keys])


def _facts(field: Schema, *, required: bool) -> str:
    facts = [kind_of(field)]
    if is_optional(field) and required:
        facts.append("or null")
    if not required:
        facts.append("left out at times")
    return ", ".join(facts)
