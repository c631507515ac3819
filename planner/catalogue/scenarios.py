"""Scenarios from TOML files, the environment and `--set`, with the origin of every value.

Precedence: flag > environment > scenario file > the scenario it extends.
"""

import difflib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args

from pydantic import JsonValue, ValidationError
from pydantic_core import to_jsonable_python

from planner.catalogue.documents import ScenarioEntry, ScenarioWithOrigins, SetField
from planner.catalogue.fields import field_paths, number_kind, table_paths, value_at
from planner.catalogue.read import DEFAULT_SCENARIO, describe, find, names, read_toml
from planner.catalogue.toml_tree import tree_of
from planner.errors import ScenarioError, UsageError
from planner.files import shipped
from planner.input_files import is_file
from planner.settings.scenario import Scenario
from planner.settings.sheets import Kind
from planner.text import quoted, visible

ENV_PREFIX = "PLANNER__"

OWN_FLEET = "own-fleet"
"""The template for fleets of one's own: what a scenario has to have and nothing that was published about another."""

Tree = dict[str, Any]

_TABLE_FIELDS = ("economics.gpu_rates.", "economics.price_sheet.", "economics.other_price_sheet.")
"""Fields that may be tables of their own, whose parts may have a provenance each."""

_NAMES_FILE = {
    "what_if": "what_if",
    "trace.profile": "traces",
    "policy.timetable": "traces",
    "fleet.engine.hardware": "hardware",
    "fleet.engine.model": "models",
    "fleet.engine.calibration": "",
    "training.jobs": "jobs",
    "economics.gpu_rates": "gpu_rates",
    "economics.price_sheet": "prices",
    "economics.other_price_sheet": "prices",
}
"""Fields that name a file, with the folder of the catalogue whose built-in names they take too."""


@dataclass(frozen=True)
class LoadedScenario:
    """A checked scenario, and where each value that is not the base's came from.

    Attributes:
        scenario: the scenario.
        origins: by the dotted path of a field: "flag --set ...", "environment PLANNER__...", "what-if ...", or the
            scenario file.
    """

    scenario: Scenario
    origins: Mapping[str, str]

    def with_origins(self) -> ScenarioWithOrigins:
        """Both as one document."""
        return ScenarioWithOrigins(**dict(self.scenario), origins=dict(self.origins))

    def set_fields(self) -> tuple[SetField, ...]:
        """The fields that have an origin, with their values, by path."""
        return tuple(
            SetField(path=path, value=_json_value(value_at(self.scenario, path)), origin=origin)
            for path, origin in sorted(self.origins.items())
        )


@dataclass(frozen=True)
class Preset:
    """Fields by dotted path that a named claim sets in a scenario."""

    name: str
    settings: Mapping[str, bool | int | float | str]


def load_scenario(
    source: str | None = None,
    overrides: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    preset: Preset | None = None,
) -> LoadedScenario:
    """Read, override and check a scenario.

    Of a field set in several places, the first of these counts: override, environment, preset, file, the scenario it
    extends.

    Args:
        source: a built-in name, whatever its case, or the path of a TOML file; None for the default scenario.
        overrides: settings of single fields, "path.to.field=value" with the value as in TOML, for example
            "fleet.nodes=300".
        environment: environment variables, of which those named PLANNER__A__B set the field a.b; None for none.
        preset: fields that a named claim sets.

    Returns:
        The checked scenario in `scenario`, and in `origins`, by the dotted path of a field, what set it.

    Raises:
        ScenarioError: with a line for every problem: an unknown field, a value out of range, fields that
            contradict each other.
        UsageError: there is no such scenario, or its file cannot be read.
    """
    name = source or DEFAULT_SCENARIO
    tree, origins = _from_file(name, chain=())
    problems: list[str] = []
    if preset is not None:
        for path, value in {**preset.settings, "what_if": preset.name}.items():
            _place(tree, path, value)
            origins[path] = f"what-if {preset.name}"
            tree["provenance"][path] = f"set: what-if {preset.name}"
    for variable, text in sorted((environment or {}).items()):
        if variable.startswith(ENV_PREFIX):
            path = variable.removeprefix(ENV_PREFIX).lower().replace("__", ".")
            problems += _override(tree, origins, path, text, f"environment {variable}")
    return LoadedScenario(_finished(name or DEFAULT_SCENARIO, tree, origins, overrides, problems), origins)


def built_in_scenarios() -> list[ScenarioEntry]:
    """The built-in scenarios, by name."""
    scenarios = [load_scenario(name).scenario for name in names("scenarios")]
    return [ScenarioEntry(name=scenario.name, description=scenario.description) for scenario in scenarios]


def stored_scenario(settings: str, overrides: Sequence[str] = ()) -> Scenario:
    """A scenario from a stored run's JSON; fields added since have their defaults. Raises ScenarioError.

    overrides: "path.to.field=value".
    """
    tree = json.loads(settings)
    for path, value in _leaves(_from_file(DEFAULT_SCENARIO, ())[0]):
        if not _holds(tree, path) and not path.startswith("provenance"):
            _place(tree, path, value)
    return _finished(tree["name"], tree, {}, overrides, [])


def _finished(
    name: str,
    tree: Tree,
    origins: dict[str, str],
    overrides: Sequence[str],
    problems: list[str],
    form: str = "path.to.field=value, for example --set fleet.nodes=300",
) -> Scenario:
    """The scenario of a tree with overrides. form: how they are written. Raises ScenarioError with all problems."""
    for override in overrides:
        path, equals, text = override.partition("=")
        if not equals:
            problems.append(f'"{override}": write --set {form}')
        else:
            problems += _override(tree, origins, path.strip(), text.strip(), f"flag --set {path.strip()}")
    try:
        scenario = Scenario.model_validate(tree)
    except ValidationError as error:
        problems += [_with_hint(line) for line in describe(error)]
    if problems:
        raise ScenarioError(name, problems)
    return scenario


def set_by(scenario: Scenario, path: str) -> str | None:
    """The provenance of a field that something has set; None where it is as in the built-in scenario."""
    origin = scenario.provenance.get(path, "")
    if origin and origin == template_provenance().get(path):
        return None
    if origin and origin != _default_scenario().provenance.get(path, ""):
        return origin
    return None if is_built_in(scenario, path) else "set: by a program"


def is_built_in(scenario: Scenario, path: str) -> bool:
    """Whether a field has the value of the built-in scenario."""
    return bool(value_at(scenario, path) == value_at(_default_scenario(), path))


@cache
def template_provenance() -> Mapping[str, str]:
    """What the template for fleets of one's own says of its values."""
    tree, _ = _from_file(OWN_FLEET, ())
    return MappingProxyType(tree["provenance"])


@cache
def _default_scenario() -> Scenario:
    return load_scenario(None).scenario


def with_table(scenario: Scenario, table: str, overrides: Sequence[str]) -> Scenario:
    """A stored run's scenario with fields of one table changed. Raises UsageError, ScenarioError.

    overrides: "table.field=value".
    """
    others = [override for override in overrides if not override.startswith(f"{table}.")]
    if others:
        raise UsageError(f"--set {others[0]}: the run is planned already; only {table}.* can be set here")
    return _finished("--set", scenario.model_dump(), {}, overrides, [], form=f"{table}.field=value")


def with_values(tree: Tree, values: Mapping[str, str | int | float | None]) -> Scenario:
    """The scenario of nested values with fields set by dotted path; the tree is changed. Raises ScenarioError."""
    for path, value in values.items():
        _place(tree, path, value)
    try:
        return Scenario.model_validate(tree)
    except ValidationError as error:
        raise ScenarioError(str(tree["name"]), describe(error)) from error


def from_template(values: Mapping[str, object], sources: Mapping[str, str], template: str = OWN_FLEET) -> Scenario:
    """The scenario that a file would make of a template. Raises ScenarioError with all problems.

    values: by the dotted path of a field. sources: their provenance.
    """
    tree, _ = _from_file(template, ())
    for path, value in values.items():
        _place(tree, path, value)
    tree["provenance"].update(sources)
    try:
        return Scenario.model_validate(tree)
    except ValidationError as error:
        raise ScenarioError(str(values.get("name", template)), describe(error)) from error


def _from_file(name: str, chain: tuple[str, ...]) -> tuple[Tree, dict[str, str]]:
    """The merged tree of a scenario file and those it extends, and the origins of what the file itself sets."""
    path = _scenario_file(name)
    if any(path.samefile(_scenario_file(before)) for before in chain):
        raise UsageError(f"scenario {name} extends itself ({' -> '.join((*chain, name))}); break the cycle")
    own = read_toml(path)
    if path.parent == find("templates", OWN_FLEET).parent:
        return own, {}
    base_name = own.pop("extends", DEFAULT_SCENARIO)
    if path == find("scenarios", DEFAULT_SCENARIO):
        return own, {}
    if not isinstance(base_name, str):
        raise UsageError(f'{path}: extends: {base_name!r} is not a name; write a built-in name or a path as "text"')
    if base_name not in names("templates"):
        base_name = beside(path, "scenarios", base_name)
    tree, origins = _from_file(base_name, (*chain, name))
    provenance = own.pop("provenance", {})
    if not isinstance(provenance, dict):
        raise UsageError(f"{path}: provenance: is not a table; write [provenance]")
    _check_provenance(path, provenance)
    base = [(leaf, _distinct(value)) for leaf, value in _leaves(tree)]
    for leaf, given in _leaves(own):
        folder = _NAMES_FILE.get(leaf)
        value = beside(path, folder, given) if folder and isinstance(given, str) else given
        # what a file says of a trace counts though the built-in scenario says the same: a stored trace has other days
        if (leaf, _distinct(value)) not in base or leaf.startswith("trace."):
            _place(tree, leaf, value)
            field = _field_of(leaf)
            origins[field] = str(path)
            tree["provenance"][field] = f"set: {path.name}"
    tree["provenance"].update(provenance)
    return tree, origins


def _distinct(value: object) -> object:
    """A value to compare with others, of which true is not 1, nor false 0."""
    if isinstance(value, list):
        return [_distinct(each) for each in value]
    if isinstance(value, dict):
        return {key: _distinct(each) for key, each in value.items()}
    return (bool, value) if isinstance(value, bool) else value


def _check_provenance(file: Path, provenance: Tree) -> None:
    """Raises UsageError for a provenance of what is not a field, or of no kind."""
    problems = [
        f"provenance: {quoted(path)} is not a field; correct its name, which is a path in quotes, or remove it"
        for path in provenance
        if path not in field_paths() and not path.startswith(_TABLE_FIELDS)
    ]
    kinds = tuple(f"{kind}: " for kind in get_args(Kind))
    problems += [
        f"provenance: {quoted(path)} does not begin with one of {', '.join(get_args(Kind))} and a colon; state its kind"
        for path, told in provenance.items()
        if not (isinstance(told, str) and told.startswith(kinds))
    ]
    if problems:
        raise UsageError(f"{file}: {'; '.join(problems)}")


def _scenario_file(name: str) -> Path:
    """The file of a scenario, or of a template that scenarios extend. Raises UsageError."""
    return find("templates" if name in names("templates") else "scenarios", name)


def moved_to(scenario: Scenario, folder: Path) -> Scenario:
    """The scenario for a file in another folder: it names the same files from there."""
    tree = scenario.model_dump()
    for path, catalogue in _NAMES_FILE.items():
        name = value_at(scenario, path)
        if (
            isinstance(name, str)
            and name
            and not Path(name).is_absolute()
            and is_file(Path(name))
            and name not in _built_in_names(catalogue)
        ):
            _place(tree, path, os.path.relpath(name, folder))
    return Scenario.model_validate(tree)


def beside(file: Path, folder: str, name: str) -> str:
    """What a scenario file names: a built-in name as it is, a path from the folder that the file is in.

    folder: of the catalogue with the built-in names.
    """
    if not name or name in _built_in_names(folder):
        return name
    path = file.parent / name
    if not is_file(path) and name.casefold() in {each.casefold() for each in _built_in_names(folder)}:
        return name
    return str(path)


def _built_in_names(folder: str) -> list[str]:
    if folder == "traces":
        return sorted(path.stem for path in shipped("traces").glob("*.toml"))
    return names(folder) if folder else []


def _override(tree: Tree, origins: dict[str, str], path: str, text: str, origin: str) -> list[str]:
    """Set one field from text; returns the problem, if the path is not a field's, or the text no value.

    A table of fields is set field by field. One that may be left out is something that is there or not, so the one that
    is given takes the place of the one before: its fields may exclude each other.
    """
    try:
        if not _is_table(path):
            _set(tree, origins, path, _value_for(path, text), origin)
            return []
        below = _value_of(path, text)
    except ValueError as error:
        return [str(error)]
    if not (isinstance(below, dict) and below):
        leaf = next(each for each in field_paths() if each.startswith(f"{path}."))
        name = leaf.removeprefix(f"{path}.")
        return [f"{path}: is a table of fields; write --set '{path}={{{name}=VALUE}}', or --set {leaf}=VALUE"]
    own = [(f"{path}.{leaf}", value) for leaf, value in _leaves(below)]
    unknown = [_unknown(leaf) for leaf, _ in own if leaf not in field_paths()]
    if not unknown and path not in table_paths():
        _place(tree, path, {})
        for leaf in [each for each in origins if each.startswith(f"{path}.")]:
            del origins[leaf], tree["provenance"][leaf]
    for leaf, value in () if unknown else own:
        _set(tree, origins, leaf, value, origin)
    return unknown


def _set(tree: Tree, origins: dict[str, str], path: str, value: object, origin: str) -> None:
    """Give a field a value, and say where it comes from."""
    _place(tree, path, value)
    origins[path] = origin
    tree["provenance"][path] = f"set: {origin}"


def _is_table(path: str) -> bool:
    """Whether fields are below a path that is none itself."""
    return path not in field_paths() and any(each.startswith(f"{path}.") for each in field_paths())


def _value_for(path: str, text: str) -> Any:
    """The value that an override gives a field. Raises ValueError with the problem.

    A number may be left out again by an empty text; of other fields that is a variable of a shell that is not set.
    """
    if path not in field_paths():
        raise ValueError(_unknown(path))
    if not text and number_kind(path) is None:
        raise ValueError(f"{path}: is set to nothing; give a value, or leave the setting out")
    return _value_of(path, text)


def _value_of(path: str, text: str) -> Any:
    """The value that an override gives, as in TOML; text that is not TOML is itself, and none is a field left out.

    Raises ValueError with the problem for what begins as a table or a list and is none.
    """
    try:
        value = tree_of(f"v = {text}")["v"]
    except ValueError as error:
        if text.startswith(("{", "[")):
            what = "table" if text.startswith("{") else "list"
            raise ValueError(
                f"{path}: {quoted(text)} begins as a {what} and is none; close its brackets, and write its values as "
                "in TOML, text in quotes"
            ) from error
        return text or None
    return text if isinstance(value, time) else value


def override_values(overrides: Sequence[str]) -> dict[str, Any]:
    """The values of "path.to.field=value" by path. Raises UsageError for one that is not written so, or unknown."""
    values = {}
    for override in overrides:
        path, equals, text = (part.strip() for part in override.partition("="))
        if not equals:
            raise UsageError(f'"{override}": write --set path.to.field=value, for example --set fleet.nodes=300')
        try:
            values[path] = _value_for(path, text)
        except ValueError as error:
            raise UsageError(str(error)) from error
    return values


def _unknown(path: str) -> str:
    return _with_hint(f"{visible(path)}: is not a known field; remove it or correct its name")


def _with_hint(line: str) -> str:
    path, _, message = line.partition(": ")
    if not message.startswith("is not a known field"):
        return line
    near = difflib.get_close_matches(path, field_paths(), n=1, cutoff=0.6)
    # a field that is a table of its own is not what was meant by a key inside it
    return f"{line} (did you mean {near[0]}?)" if near and not path.startswith(f"{near[0]}.") else line


def _leaves(tree: Tree, before: str = "") -> Iterator[tuple[str, Any]]:
    """The values of a tree by path. A table without keys is one where a field is, and where no table may be."""
    for key, value in tree.items():
        if isinstance(value, dict) and (value or f"{before}{key}" in table_paths()):
            yield from _leaves(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value


def _holds(tree: Tree, path: str) -> bool:
    """Whether a tree says something of a field: also that its table is left out."""
    held: Any = tree
    for part in path.split("."):
        if not isinstance(held, dict):
            return True
        if part not in held:
            return False
        held = held[part]
    return True


def _field_of(leaf: str) -> str:
    """The field that a leaf of a file belongs to, as a field may be a table of its own; the leaf if it is unknown."""
    path = leaf
    while path and path not in field_paths():
        path = path.rpartition(".")[0]
    return path or leaf


def _json_value(value: object) -> JsonValue:
    """A field's value in JSON, times with their offset."""
    plain: JsonValue = value.isoformat() if isinstance(value, datetime) else to_jsonable_python(value)
    return plain


def _place(tree: Tree, path: str, value: object) -> None:
    *heads, key = path.split(".")
    for head in heads:
        below = tree.get(head)
        if not isinstance(below, dict):
            below = tree[head] = {}
        tree = below
    tree[key] = value
