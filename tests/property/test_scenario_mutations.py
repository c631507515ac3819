"""Whatever is written into a scenario: it is followed, or one line says why it cannot be. `make fuzz` does ten times as
many mutations."""

import math
import os
import random
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from planner.catalogue.fields import field_paths, value_at
from planner.catalogue.scenarios import load_scenario
from planner.catalogue.toml import to_toml
from planner.catalogue.toml_tree import tree_of
from planner.errors import PlannerError
from planner.planning.check import check
from planner.settings.scenario import Scenario
from tests.conftest import SMALL, Cli, minute_log
from tests.helpers.hostile import Place, bounded, judged

SCENARIOS = int(os.environ.get("PLANNER_TEST_SCENARIOS", "660"))
BATCH = 110
PLANNED_OF = 12
"""Of so many accepted scenarios, one is planned."""

VALUES = (
    *("true", "false", "{}", "[]", "[[]]", "[{}]", "{a = 1}", "[true, 1]", "[1, 2, 3]", '["a", "a"]', "[{a = 1}]"),
    *("nan", "inf", "-inf", "-1", "0", "1", "2", "7", "0.5", "-0.0", "1.0", "1e-320", "5e-324", "1e308", "1e400"),
    *("60", "61", "300", "900", "3600", "86400", "86401", "100000", "100001", "1000000", "1_000", "0.001", "0.999"),
    *("9223372036854775807", "9223372036854775808", "-9223372036854775809", "99999999999999999999", "2147483648"),
    *("0x" + "f" * 5000, "9" * 4000, "9" * 5000, "0." + "0" * 400 + "1", "0b101", "0o777"),
    *('""', '" "', '"\\u001b[31m"', '"\\u0000"', '"\\u202e"', '"\\u2028"', '"a\\nb"', "'''\na\nb'''", '"\\t"'),
    *('"' + "x" * 201 + '"', '"' + "x" * 300 + '"', '"' + "x" * 100_000 + '"', '"💩"', '"é"', '"e\\u0301"'),
    *("2025-02-27", "2025-02-27T00:00:00Z", "2025-02-27T00:00:00", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59-12:00"),
    *("0001-01-01", "9999-12-31", "12:00", "12:00:01.5", '"12:00"', '"25:61"', '"1"', '"1e3"', '"true"', '"nan"'),
    *('"/dev/zero"', '"fifo"', '"/"', '"."', '"missing.toml"', '"binary"', '"../../x"', '"~/x"', '"%s%n"', '"$HOME"'),
    *('"900 s"', '"15min"', '"1h"', '"5 %"', '"1,5"', '"00:00-24:00"', '"00:00-00:00"', '"08:00-09:00-10:00"'),
    *('"Europe/Berlin"', '"fixed"', '"reactive"', '"oracle"', '"modelled"', '"mixed"', '"0:4,10:16"', '"0:0"'),
    *('"DE"', '"XX"', '["2025-03-02"]', '["2025-02-30"]', "[2025-03-02]", "[{from = 2025-03-02, to = 2025-03-01}]"),
    *("[{from = 2025-03-01, to = 2025-03-02}]", '[{name = "x", from = 2025-03-01, to = 2025-03-01, factor = 2}]'),
    "[" * 60 + "]" * 60,
    "[" * 5000,
    "{a = " * 20 + "1" + "}" * 20,
)

Text = Callable[[str, random.Random], str]


def a_line(text: str, chance: random.Random) -> tuple[list[str], int]:
    lines = text.split("\n")
    return lines, chance.choice([place for place, line in enumerate(lines) if " = " in line])


def another_value(text: str, chance: random.Random) -> str:
    lines, place = a_line(text, chance)
    lines[place] = f"{lines[place].partition(' = ')[0]} = {chance.choice(VALUES)}"
    return "\n".join(lines)


def another_key(text: str, chance: random.Random) -> str:
    lines, place = a_line(text, chance)
    key, _, value = lines[place].partition(" = ")
    wrong = (key[:-1] or "x", f"{key}.{key}", f'"{key}\\u0000"', f'"{key} "', key.upper(), '""', "a.b.c.d.e.f", "ключ")
    lines[place] = f"{chance.choice(wrong)} = {value}"
    return "\n".join(lines)


def a_line_twice(text: str, chance: random.Random) -> str:
    lines, place = a_line(text, chance)
    lines.insert(chance.randrange(len(lines)), lines[place])
    return "\n".join(lines)


def a_table_of_no_keys(text: str, chance: random.Random) -> str:
    tables = (
        "nonsense",
        "fleet.nodes",
        "interval_s",
        "fleet.engine.x",
        "fleet.observed",
        "provenance.x",
        "policy.bounds",
    )
    return f"{text}\n[{chance.choice(tables)}]\n"


def a_deep_key(text: str, chance: random.Random) -> str:
    return f"{text}\n[{'.'.join(['a'] * chance.choice([5, 60, 3000]))}]\nb = 1\n"


def some_characters_gone(text: str, chance: random.Random) -> str:
    at = chance.randrange(len(text))
    return text[:at] + text[at + chance.randrange(1, 30) :]


def a_strange_character(text: str, chance: random.Random) -> str:
    at = chance.randrange(len(text))
    return (
        text[:at] + chance.choice(["\0", "\x1b", "\ufeff", "\u202e", "💩", '"', "[", "'''", "\\", "#", "="]) + text[at:]
    )


def another_declaration(text: str, chance: random.Random) -> str:
    """Another value in [forecast], or in [[incident]] and [[event]], which are last."""
    at = text.find(chance.choice(["[forecast]", "[[incident]]", "[[event]]"]))
    end = text.find("\n[", at + 1) if at >= 0 else -1
    block = text[at:end] if end >= 0 else text[at:]
    return text.replace(block, another_value(block, chance), 1) if at >= 0 and " = " in block else text


MUTATORS: tuple[Text, ...] = (
    *(another_value,) * 6,
    *(another_declaration,) * 2,
    another_key,
    a_line_twice,
    a_table_of_no_keys,
    a_deep_key,
    some_characters_gone,
    a_strange_character,
    lambda text, _: text.replace("\n", "\r\n"),
    lambda text, chance: text[: chance.randrange(len(text))],
    lambda text, _: text.replace(" = ", " = = "),
)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli) -> Place:
    """A folder with a small scenario and its trace, a pipe that nobody writes to, and no text."""
    place = Place(tmp_path / "work", tmp_path / "temporary")
    for folder in (place.folder, place.temporary):
        folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(place.temporary))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.chdir(place.folder)
    os.mkfifo("fifo")
    Path("binary").write_bytes(bytes(range(256)))
    minute_log(Path("log.csv"), [(300, 200), (600, 400), (900, 300), (100, 100)] * 5)
    assert cli("trace", "import", "log.csv", "--name", "t").code == 0
    return place


BASE = (
    *("trace.name=t", 'policy.name="reactive"', "slo.max_shortfall_ratio=1"),
    *('forecast.accept=["2025-03-04"]', 'forecast.ignore=["2025-03-05"]'),
)
DECLARED = """
[[incident]]
from = 2025-02-27T10:00:00
to = 2025-02-27T15:00:00

[[event]]
name = "sale"
from = 2025-03-01
to = 2025-03-02
factor = 1.5
"""


def base() -> str:
    """The small scenario as a file, with an incident and an event in tables of their own."""
    text = to_toml(load_scenario(None, [*SMALL, *BASE]).scenario, comments=False)
    lines = [line for line in text.split("\n") if line not in ("incident = []", "event = []")]
    return "\n".join(lines) + DECLARED


def unfollowed(scenario: Scenario, written: Mapping[str, Any]) -> list[str]:
    """Fields that do not hold what was written, as far as TOML tells it: numbers, booleans, lengths of lists.

    Booleans may be texts, as "true" is a name in some fields.
    """
    paths = []
    for path, value in written.items():
        held = value_at(scenario, path)
        if isinstance(value, bool):
            is_held = held is value or isinstance(held, str)
        elif isinstance(value, int | float):
            is_held = held == value or isinstance(held, str)
        else:
            is_held = not isinstance(value, list) or (isinstance(held, list | tuple) and len(held) == len(value))
        paths += [] if is_held else [path]
    return paths


def values_of(tree: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """What a file says of fields, by path."""
    for key, value in tree.items():
        if f"{before}{key}" in field_paths():
            yield f"{before}{key}", value
        elif isinstance(value, dict):
            yield from values_of(value, f"{before}{key}.")


def value_of(text: str) -> Any:
    """What is written after --set: TOML, or a text."""
    try:
        return tree_of(f"v = {text}")["v"]
    except ValueError:
        return text


@pytest.mark.parametrize("first", range(0, SCENARIOS, BATCH))
def test_every_mutation_of_a_scenario_is_followed_or_refused_in_one_line(first: int, place: Place, cli: Cli) -> None:
    text = base()
    told = place.folder / "own.toml"
    accepted = 0
    for number in range(first, min(first + BATCH, SCENARIOS)):
        chance = random.Random(number)
        path, value = chance.choice(sorted(field_paths())), chance.choice(VALUES)
        sets: list[str] = []
        told.write_text(text, encoding="utf-8")
        if chance.random() < 0.5:
            sets = [f"{path}={value}"]
        else:
            changed = text
            for _ in range(chance.choice([1, 1, 2])):
                changed = chance.choice(MUTATORS)(changed, chance)
            told.write_text(changed, encoding="utf-8", newline="")
        with bounded((number, sets)):
            try:
                scenario = load_scenario("own.toml", sets).scenario
                problems = check(scenario)
            except PlannerError as error:
                told_of = str(error)
            else:
                told_of = ""
        if told_of:
            assert all(letter.isprintable() for letter in told_of), f"{number}: {told_of!r}"
            continue
        assert all(problem.strip() for problem in problems)
        written = dict(values_of(tomllib.loads(told.read_text(encoding="utf-8")))) | (
            {path: value_of(value)} if sets else {}
        )
        assert not unfollowed(scenario, written), f"{number}: {sets} {unfollowed(scenario, written)} is ignored"
        assert all_finite(scenario.model_dump()), f"{number}: {sets}"
        if problems:
            continue
        accepted += 1
        if accepted % PLANNED_OF == 0:
            words = [word for each in sets for word in ("--set", each)]
            judged(cli, place, ["plan", "own.toml", "--json", *words], number)
    assert accepted, "some are planned"


def all_finite(value: object) -> bool:
    """Whether no number inside is infinite, is not a number, or is beyond 64 bits."""
    if isinstance(value, dict):
        return all(all_finite(each) for each in value.values())
    if isinstance(value, list | tuple):
        return all(all_finite(each) for each in value)
    if isinstance(value, float):
        return math.isfinite(value)
    return not isinstance(value, int) or abs(value) < 2**63


@pytest.mark.parametrize("value", ["{}", "true", "1e400", "9223372036854775808", "nan", "0001-01-01T00:00:00Z"])
def test_no_field_takes_what_is_no_value_of_its_kind(value: str) -> None:
    """But for booleans, which true is one of. Of all fields, a few by chance; all of them in the whole campaign."""
    default = load_scenario().scenario
    chance = random.Random(value)
    for path in chance.sample(sorted(field_paths()), min(len(field_paths()), SCENARIOS // 44)):
        if value == "true" and isinstance(value_at(default, path), bool):
            continue
        with pytest.raises(PlannerError):
            check_all(load_scenario(None, [f"{path}={value}"]).scenario)


def check_all(scenario: Scenario) -> None:
    if problems := check(scenario):
        raise PlannerError("; ".join(problems))


def test_what_is_declared_of_demand_is_in_reach_of_mutations() -> None:
    scenario = Scenario.model_validate(tomllib.loads(base()))
    assert (len(scenario.incident), len(scenario.event), scenario.forecast.accept) == (1, 1, ("2025-03-04",))
    text, changed = base(), set[str]()
    for number in range(100):
        lines = another_declaration(text, random.Random(number)).split("\n")
        changed |= {line.partition(" = ")[0] for line in set(lines) - set(text.split("\n"))}
    assert {"from", "to", "factor", "name", "accept", "ignore"} <= changed
