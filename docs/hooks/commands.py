"""The command line, from typer."""

from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

import typer.main
from words import code, definition, prose

from planner.cli.app import app

_NAMES = {str: "text", int: "integer", float: "number", Path: "path", datetime: "time", date: "date"}


def commands() -> str:
    """Every command with its arguments and options, a heading each."""
    return "\n\n".join(_command(name, command) for name, command in tree())


def tree() -> Iterator[tuple[str, Any]]:
    """Every command and group as it is typed, groups before their commands."""
    return _walk("planner", typer.main.get_command(app))


def _walk(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    yield name, command
    for below, each in getattr(command, "commands", {}).items():
        yield from _walk(f"{name} {below}", each)


def _command(name: str, command: Any) -> str:
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    options = [each for each in command.params if each.param_type_name == "option"]
    below = getattr(command, "commands", {})
    usage = " ".join([name, *(["[OPTIONS]"] if options else []), *map(_argument, arguments)])
    parts = [f"## {name}", prose(command.help or ""), f"```text\n{usage}{' COMMAND ...' if below else ''}\n```"]
    if below:
        parts.append("Commands: " + ", ".join(f"[{each}](#{name.replace(' ', '-')}-{each})" for each in below))
    parts += [definition(f"{code(_argument(each))} {_kind(each)}", prose(each.help or "")) for each in arguments]
    parts += [definition(f"{_spelling(each)} {_kind(each)}", prose(each.help or "")) for each in options]
    return "\n\n".join(part for part in parts if part)


def _argument(argument: Any) -> str:
    name = (argument.metavar or argument.name.upper()) + ("..." if argument.nargs == -1 else "")
    return name if argument.required or name.startswith("[") else f"[{name}]"


def _spelling(option: Any) -> str:
    value = "" if option.is_flag else f" {option.metavar or option.name.upper()}"
    return ", ".join(code(f"{each}{value}") for each in (*option.opts, *option.secondary_opts))


def _kind(parameter: Any) -> str:
    """Type, limits and default, in italics."""
    is_flag = getattr(parameter, "is_flag", False)
    words = ["flag" if is_flag else _type(parameter.type_descriptor.annotation)]
    words += [f"{sign} {limit:g}" for sign, limit in (("≥", parameter.min), ("≤", parameter.max)) if limit is not None]
    facts = [" ".join(words)]
    if parameter.required:
        facts.append("required")
    if getattr(parameter, "multiple", False) or parameter.nargs == -1:
        facts.append("may be repeated")
    if parameter.default not in (None, False, "", []) and not is_flag:
        facts.append(f"default {code(parameter.default)}")
    return f"*{', '.join(facts)}*"


def _type(annotation: Any) -> str:
    parts = [each for each in get_args(annotation) if each is not type(None)]
    if get_origin(annotation) in (Union, UnionType, list) and parts:
        return _type(parts[0])
    return _NAMES.get(annotation, "text")
