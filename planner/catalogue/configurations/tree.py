"""A configuration file as keys that are asked for: what is missing or wrong is collected, and what nobody asked for."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar, cast

from pydantic import ValidationError

from planner.catalogue.read import describe
from planner.errors import UsageError
from planner.input_files import read_input
from planner.settings.closed import Closed
from planner.settings.plain import shown

CURE = "give a model's own config.json"
_MOST = 1_000_000_000
"""Of any dimension; that of settings."""

C = TypeVar("C", bound=Closed)


class Configuration:
    """The keys of one model. Every question is noted; problems are told all at once by `check`."""

    def __init__(self, path: Path, keys: Mapping[str, object], outer: Mapping[str, object]) -> None:
        """keys: of the text model. outer: of the whole file, the same where the model is for text alone."""
        self.path = path
        self.keys = keys
        self.outer = outer
        self.problems: list[str] = []
        self.notes: list[str] = []
        self.asked: set[str] = set()

    @property
    def model_type(self) -> str:
        """What the configuration calls its architecture."""
        found = self.keys.get("model_type") or self.outer.get("model_type")
        return found if isinstance(found, str) else ""

    def has(self, *names: str) -> bool:
        """Whether one of some keys says something."""
        self.asked.update(names)
        return self._first(names) is not None

    def count(self, *names: str, default: int | None = None, most: int = _MOST) -> int:
        """A whole number from 1 on, under the first of some names; a missing one is a problem without a default.

        names: the usual one first, by which it is said to be missing.
        """
        found = self._number(names, least=1, most=most)
        if found is not None:
            return found
        if default is None:
            if self._first(names) is None:
                self.problems.append(f"{names[0]} is missing")
            return 1
        return default

    def few(self, *names: str) -> int:
        """A whole number from 0 on; 0 where it is missing."""
        return self._number(names, least=0, most=_MOST) or 0

    def flag(self, name: str, *, default: bool = False) -> bool:
        """A boolean."""
        self.asked.add(name)
        found = self._first((name,))
        if found is None:
            return default
        if not isinstance(found, bool):
            self.problems.append(f"{name} is {shown(found)}, neither true nor false")
            return default
        return found

    def text(self, *names: str) -> str:
        """A text; empty where it is missing."""
        self.asked.update(names)
        found = self._first(names)
        return found if isinstance(found, str) else ""

    def series(self, name: str, length: int | None = None) -> list[object] | None:
        """A list, one value per layer where a length is given; None where it is missing."""
        self.asked.add(name)
        found = self._first((name,))
        if found is None:
            return None
        if not isinstance(found, list):
            self.problems.append(f"{name} is {shown(found)}, not a list")
            return None
        if length is not None and len(found) != length:
            self.problems.append(f"{name} has {len(found)} values for {length} layers")
            return None
        return list(found)

    def table(self, name: str) -> "Configuration":
        """A table in it, as a configuration of its own whose problems are this one's; empty where it is missing."""
        self.asked.add(name)
        found = self._first((name,))
        below = Configuration(self.path, found if isinstance(found, dict) else {}, {})
        below.problems, below.notes = self.problems, self.notes
        return below

    def made(self, settings: type[C], /, **fields: object) -> C:
        """Settings from fields; what they refuse is a problem, and what is returned then is not used."""
        try:
            return settings(**fields)
        except ValidationError as error:
            # what is missing has been told, and stands in for a number here
            self.problems.extend(line for line in describe(error) if line not in self.problems)
            return cast(C, settings.model_construct(None, **fields))

    def check(self) -> None:
        """Raises UsageError with all problems so far."""
        if self.problems:
            raise UsageError(f"{self.path}: {'; '.join(dict.fromkeys(self.problems))}; {CURE}")

    def refuse(self, why: str) -> UsageError:
        """The error for a configuration that is understood to be none that can be modelled."""
        return UsageError(f"{self.path}: {why}")

    def _first(self, names: tuple[str, ...]) -> object:
        return next((self.keys[name] for name in names if self.keys.get(name) is not None), None)

    def _number(self, names: tuple[str, ...], least: int, most: int) -> int | None:
        self.asked.update(names)
        name = next((each for each in names if self.keys.get(each) is not None), None)
        if name is None:
            return None
        found = self.keys[name]
        if isinstance(found, bool) or not isinstance(found, int) or not least <= found <= most:
            self.problems.append(f"{name} is {shown(found)}, not a whole number from {least} to {most:,}")
            return None
        return found


def json_tree(path: Path, cure: str = CURE) -> Mapping[str, object]:
    """A JSON object from a file. Raises UsageError."""
    content = read_input(path, cure=cure)
    try:
        tree = json.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: is not UTF-8 text; {cure}") from error
    except RecursionError as error:
        raise UsageError(f"{path}: has lists or objects too deep in each other; {cure}") from error
    except ValueError as error:
        raise UsageError(f"{path}: is not valid JSON ({error}); {cure}") from error
    if not isinstance(tree, dict):
        raise UsageError(f"{path}: is not a JSON object; {cure}")
    return tree
