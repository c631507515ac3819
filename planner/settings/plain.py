"""Values that no field takes, whatever its type: booleans as numbers, numbers as times, empty and unprintable texts."""

import re
import unicodedata
from datetime import date, datetime, time
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from pydantic import AwareDatetime, BaseModel

from planner.text import JOINERS

MOST_CHARACTERS = 4096
"""Characters of a text: as many as the path of a file may have. A longer one is a mistake, or an attack."""
MOST_NAME_BYTES = 200
"""Bytes of a name in UTF-8: the name of a file has at most 255, and names get dates and endings."""
EMPTY_TABLE = "is an empty table; write something in it, or leave it out"
_DIGITS = re.compile(r"\s*[-+]?\d+(\.\d*)?\s*")
_TIMES = frozenset({datetime, date, time})
_UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Kinds of characters that are not seen: control characters, marks of direction and order, halves of characters, ends
of lines and paragraphs."""


def kinds_of(annotation: Any) -> frozenset[Any]:
    """The types of the values that an annotation ends in, inside its unions, lists and tables.

    Literals count as the types of their values.
    """
    origin = get_origin(annotation)
    if origin is Literal:
        return frozenset(type(value) for value in get_args(annotation))
    if annotation is AwareDatetime:
        return frozenset({datetime})
    if origin is None:
        return frozenset({annotation})
    parts = [part for part in get_args(annotation) if part is not Ellipsis]
    # of what is annotated only the type counts
    parts = parts[:1] if hasattr(annotation, "__metadata__") else parts
    return frozenset().union(*(kinds_of(part) for part in parts))


def check_plain(value: object, kinds: frozenset[Any], *, may_be_empty: bool = False) -> None:
    """Check a value before it is read as one of some types. What it is not checked for, its type refuses.

    Args:
        value: as it was given; the values in lists and tables are checked too.
        kinds: types that it may be of, as `kinds_of` tells them.
        may_be_empty: whether a text may have no characters.

    Raises:
        ValueError: it is a boolean where numbers are asked for, a number where a time or a boolean is, or a text that
            is empty or cannot be shown.
    """
    if isinstance(value, BaseModel) or value is None:
        return
    if isinstance(value, dict):
        # the fields of a table of settings are checked by the table
        if not any(isinstance(kind, type) and issubclass(kind, BaseModel) for kind in kinds):
            for key, each in value.items():
                check_plain(key, frozenset({str}))
                try:
                    check_plain(each, kinds, may_be_empty=may_be_empty)
                except ValueError as error:
                    raise ValueError(f"{key} {error}") from error
    elif isinstance(value, list | tuple):
        for each in value:
            check_plain(each, kinds, may_be_empty=may_be_empty)
    elif isinstance(value, str):
        _check_text(value, kinds, may_be_empty=may_be_empty)
    elif isinstance(value, bool):
        _check_boolean(value, kinds)
    elif isinstance(value, int | float):
        _check_number(value, kinds)


def check_text(text: str, *, may_be_empty: bool = False) -> str:
    """A text that can be shown in a line, as it is.

    Raises:
        ValueError: it is empty, too long, or has a character that is not printed.
    """
    if not text.strip() and not may_be_empty:
        raise ValueError("is an empty text; write something, or leave it out")
    if len(text) > MOST_CHARACTERS:
        raise ValueError(f"has {len(text):,} characters; write at most {MOST_CHARACTERS:,}")
    for character in "" if text.isprintable() else text:
        if unicodedata.category(character) in _UNPRINTABLE and character not in JOINERS:
            raise ValueError(
                f"has the character U+{ord(character):04X}, which is not printed; remove it: {text[:40]!a}"
            )
    return text


def check_name(name: str) -> str:
    """The name of a trace, a scenario, a job and so on, as it is.

    Raises:
        ValueError: it is empty, has a character that is not printed, or is too long for the name of a file.
    """
    check_text(name)
    if len(name.encode()) > MOST_NAME_BYTES:
        raise ValueError(f"has {len(name.encode()):,} bytes; give a name of at most {MOST_NAME_BYTES}")
    return name


def _check_text(text: str, kinds: frozenset[Any], *, may_be_empty: bool) -> None:
    if _TIMES & kinds and _DIGITS.fullmatch(text):
        raise ValueError(f"{text.strip()[:40]} is a number and not a time; write it as {_example(kinds)}")
    # a value of any type is one in a log, which may have any text
    if str in kinds and bool not in kinds:
        check_text(text, may_be_empty=may_be_empty)


def _check_boolean(value: bool, kinds: frozenset[Any]) -> None:
    if bool in kinds:
        return
    if {int, float} & kinds:
        raise ValueError(f"{str(value).lower()} is not a number; write a number")
    if _TIMES & kinds:
        raise ValueError(f"{str(value).lower()} is not a time; write it as {_example(kinds)}")


def _check_number(value: float, kinds: frozenset[Any]) -> None:
    if {int, float} & kinds:
        return
    if _TIMES & kinds:
        raise ValueError(f"{shown(value)} is a number and not a time; write it as {_example(kinds)}")
    if bool in kinds and kinds <= {bool, NoneType}:
        raise ValueError(f"{shown(value)} is neither true nor false; write true or false")


def _example(kinds: frozenset[Any]) -> str:
    if datetime in kinds:
        return "2025-02-27T22:00:00+08:00"
    return "2025-02-27" if date in kinds else "22:00"


def shown(value: object, most: int = 80) -> str:
    """A value in a message: not more than the beginning of it.

    Args:
        value: any value, also a whole number of more digits than Python writes.
        most: characters.
    """
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    try:
        text = repr(value)
    except (ValueError, RecursionError):
        return (
            f"a whole number of {value.bit_length():,} bits" if isinstance(value, int) else "a value too large to show"
        )
    return text if len(text) <= most else f"{text[: most - 3]}..."
