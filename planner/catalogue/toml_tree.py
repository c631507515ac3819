"""TOML as nested dicts, whatever is written there: also what Python's own reader does not expect."""

import tomllib
from typing import Any

_MOST_DEPTH = 32
"""Tables and lists inside each other; settings have five."""


def tree_of(text: str) -> dict[str, Any]:
    """A TOML text as a dict.

    Raises:
        ValueError: with one line on what is wrong: its syntax, a number of thousands of digits, or tables in tables
            beyond what any settings have.
    """
    try:
        tree = tomllib.loads(text)
    except RecursionError as error:
        raise ValueError(f"has tables or lists in each other more than {_MOST_DEPTH} deep") from error
    _check_depth(tree)
    return tree


def _check_depth(tree: dict[str, Any]) -> None:
    level: list[Any] = [tree]
    for _ in range(_MOST_DEPTH):
        inside = [each for value in level for each in (value.values() if isinstance(value, dict) else value)]
        level = [each for each in inside if isinstance(each, dict | list)]
        if not level:
            return
    raise ValueError(f"has tables or lists in each other more than {_MOST_DEPTH} deep")
