"""Paths in the first records of a log: whether something is there, and in which list the records are."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from planner.store.fields import Keys, segmentations

Record = dict[str, Any]
_DEEPEST = 3
"""Keys that a list of records may be under."""
_LOOKED_AT = 3
"""Elements of a list that are looked at to tell whether it is of records."""


def parsed(records: Iterable[str]) -> list[Record]:
    """The JSON objects among texts."""
    return [value for text in records if isinstance(value := _loaded(text), dict)]


def _loaded(text: str) -> object:
    try:
        return json.loads(text, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return None


def has_path(record: object, path: str) -> bool:
    """Whether a record has something at a path; what is null is there too."""
    return any(_has_keys(record, keys) for keys in segmentations(path))


def _has_keys(value: object, keys: Keys) -> bool:
    for place, key in enumerate(keys):
        if isinstance(value, str) and value.lstrip().startswith("{"):
            # a text that is JSON is written with dots as well, so it does not matter how the keys were parted
            return has_path(_loaded(value), ".".join(keys[place:]))
        if isinstance(value, dict) and key in value:
            value = value[key]
        elif isinstance(value, list) and key.isascii() and key.isdigit() and int(key) < len(value):
            value = value[int(key)]
        else:
            return False
    return True


def names_of(records: Sequence[Record]) -> list[str]:
    """The paths of what is in the first record, as far as they are of use in a message."""
    return list(_leaves(records[0], "")) if records else []


def _leaves(value: object, path: str) -> Iterator[str]:
    if isinstance(value, dict) and value and path.count(".") < _DEEPEST:
        for key, inside in value.items():
            yield from _leaves(inside, f"{path}.{key}" if path else key)
    elif path:
        yield path


def envelopes_of(records: Sequence[Record], fits: Callable[[Record], bool]) -> tuple[str, ...]:
    """The keys under which the records are that fit; nothing where they are not in an envelope."""
    if any(map(fits, records)):
        return ()
    found = (path for record in records for path, inside in lists_in(record) if any(map(fits, inside)))
    return tuple(dict.fromkeys(found))


def lists_in(value: Record, path: str = "", depth: int = 1) -> Iterator[tuple[str, list[Record]]]:
    """The lists of objects inside an object, by the path to them, each with its first elements."""
    for key, inside in value.items():
        at = f"{path}.{key}" if path else key
        if isinstance(inside, list):
            objects = [each for each in inside[:_LOOKED_AT] if isinstance(each, dict)]
            if objects:
                yield at, objects
        elif isinstance(inside, dict) and depth < _DEEPEST:
            yield from lists_in(inside, at, depth + 1)


def list_at(record: Record, path: str) -> list[Any] | None:
    """The list at a path of keys; None where there is none."""
    value: Any = record
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, list) else None
