"""Scenarios: closed, layered, and honest about where each value comes from."""

import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import planner.settings
from planner.catalogue import read as catalogue
from planner.catalogue.fields import field_paths, value_at
from planner.catalogue.scenarios import load_scenario, moved_to
from planner.catalogue.toml import to_toml, toml_value
from planner.errors import ScenarioError, UsageError
from planner.planning.check import require
from planner.settings.closed import Closed, parse_day_window, valid_zone

KINDS = {"published", "computed", "fitted", "inferred", "assumed", "set"}


def problems_of(*overrides: str) -> list[str]:
    with pytest.raises(ScenarioError) as caught:
        load_scenario(None, overrides)
    return list(caught.value.problems)


def settings_models(base: type[Closed] = Closed) -> Iterator[type[Closed]]:
    for model in base.__subclasses__():
        yield model
        yield from settings_models(model)


def test_every_field_of_every_settings_model_has_a_meaning() -> None:
    for module in pkgutil.iter_modules(planner.settings.__path__):
        importlib.import_module(f"planner.settings.{module.name}")
    models = [model for model in settings_models() if model.__module__.startswith("planner.settings.")]
    assert len(models) > 40
    fields = [(model.__name__, name, field) for model in models for name, field in model.model_fields.items()]
    assert [(model, name) for model, name, field in fields if not field.description] == []


def test_every_field_of_every_built_in_scenario_says_where_its_value_comes_from() -> None:
    for name in catalogue.names("scenarios"):
        scenario = load_scenario(name).scenario
        for path, meaning in field_paths().items():
            kind, _, source = scenario.provenance[path].partition(": ")
            assert kind in KINDS, path
            assert source, path
            assert meaning, path
        assert set(scenario.provenance) == set(field_paths())


def test_a_flag_beats_the_environment_which_beats_the_file_which_beats_its_base(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('name = "mine"\n[fleet]\nnodes = 301\nstart_up_s = 301\ndrain_deadline_s = 301\n')
    environment = {"PLANNER__FLEET__START_UP_S": "302", "PLANNER__FLEET__DRAIN_DEADLINE_S": "302"}
    loaded = load_scenario(str(file), ["fleet.drain_deadline_s=303"], environment)
    fleet = loaded.scenario.fleet
    assert (fleet.nodes, fleet.start_up_s, fleet.drain_deadline_s, fleet.gpus_per_node) == (301, 302, 303, 8)
    assert loaded.origins["fleet.nodes"] == str(file)
    assert loaded.origins["fleet.start_up_s"] == "environment PLANNER__FLEET__START_UP_S"
    assert loaded.origins["fleet.drain_deadline_s"] == "flag --set fleet.drain_deadline_s"
    assert "fleet.gpus_per_node" not in loaded.origins


def test_an_overridden_field_no_longer_claims_the_published_source() -> None:
    scenario = load_scenario(None, ["fleet.nodes=300"]).scenario
    assert scenario.provenance["fleet.nodes"] == "set: flag --set fleet.nodes"


def test_a_file_may_state_its_own_provenance(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('[fleet]\nnodes = 301\n[provenance]\n"fleet.nodes" = "published: our inventory"\n')
    assert load_scenario(str(file)).scenario.provenance["fleet.nodes"] == "published: our inventory"


def test_all_problems_come_at_once() -> None:
    found = problems_of("fleet.nodes=-1", "interval_s=61", "trace.scale=0.3", "fleet.node=3", "nonsense")
    assert len(found) == 5
    assert any("fleet.nodes" in problem and "greater than or equal to 1" in problem for problem in found)
    assert any("interval_s" in problem and "multiple of 60" in problem for problem in found)


def test_a_misspelt_field_names_the_near_one() -> None:
    assert "did you mean fleet.nodes?" in problems_of("fleet.node=3")[0]


def test_a_scale_that_is_not_one_over_a_whole_number_names_the_nearest() -> None:
    assert "use 0.333333 (1/3)" in problems_of("trace.scale=0.3")[0]


@pytest.mark.parametrize(
    ("override", "cure"),
    [
        ("fleet.nodes=10", "the base units need 68 nodes"),
        ("policy.floor_nodes=279", "lower the floor or raise the fleet"),
        ("fleet.base.decode=0", "raise base.prefill or base.decode"),
        ("timezone=Mars", "write one such as Europe/Berlin or UTC"),
        ("policy.day_window=8-9", "write HH:MM-HH:MM"),
        ("policy.day_window=08:00-08:00", "write 00:00-24:00"),
        ("trace.weekday_factors=[1, 1]", "give seven"),
        ("interval_s=3660", "less than or equal to 3600"),
        ("fleet.capacity=guessed", "observed"),
    ],
)
def test_a_bad_value_gets_a_line_with_the_cure(override: str, cure: str) -> None:
    assert cure in "; ".join(problems_of(override))


def test_a_step_without_units_is_refused() -> None:
    assert "step has no unit" in problems_of("fleet.step.prefill=0", "fleet.step.decode=0")[0]


def test_what_is_written_as_toml_reads_back_the_same(tmp_path: Path) -> None:
    scenario = load_scenario(None, ["fleet.nodes=300", "trace.start_at=2025-02-27T20:00:00+08:00"]).scenario
    file = tmp_path / "copy.toml"
    file.write_text(to_toml(scenario, comments=True))
    copy = load_scenario(str(file)).scenario
    for path in field_paths():
        assert value_at(copy, path) == value_at(scenario, path), path


@given(st.text())
def test_any_text_survives_toml(text: str) -> None:
    import tomllib

    clean = "".join(character for character in text if character.isprintable())
    assert tomllib.loads(f"v = {toml_value(clean)}")["v"] == clean


def test_a_scenario_cannot_extend_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "one.toml").write_text('extends = "two.toml"\n')
    (tmp_path / "two.toml").write_text('extends = "one.toml"\n')
    with pytest.raises(UsageError, match="extends itself"):
        load_scenario("one.toml")


def test_a_scenario_in_another_folder_cannot_extend_itself(tmp_path: Path) -> None:
    (tmp_path / "fleet").mkdir()
    (tmp_path / "fleet" / "one.toml").write_text('extends = "../fleet/one.toml"\n')
    with pytest.raises(UsageError, match="extends itself"):
        load_scenario("fleet/one.toml")


def test_what_a_scenario_extends_is_named_in_a_text(tmp_path: Path) -> None:
    (tmp_path / "one.toml").write_text("extends = 3\n")
    with pytest.raises(UsageError, match=r"one\.toml: extends: 3 is not a name"):
        load_scenario("one.toml")


def test_a_scenario_names_files_from_its_own_folder(tmp_path: Path) -> None:
    """Also through the scenario that it extends, and whatever the working directory is."""
    (tmp_path / "fleet" / "base").mkdir(parents=True)
    (tmp_path / "fleet" / "base" / "common.toml").write_text(
        '[economics]\ngpu_rates = "rates.toml"\nprice_sheet = "deepseek-r1"\n[training]\njobs = "../jobs.toml"\n'
    )
    (tmp_path / "fleet" / "own.toml").write_text(
        'extends = "base/common.toml"\n[economics]\nother_price_sheet = "prices/own.toml"\n'
        '[fleet.engine]\nhardware = "H100"\nmodel = "/models/own.toml"\n[policy]\ntimetable = "days.csv"\n'
    )
    scenario = load_scenario("fleet/own.toml").scenario
    assert scenario.economics.gpu_rates == "fleet/base/rates.toml"
    assert scenario.economics.price_sheet == "deepseek-r1"
    assert scenario.economics.other_price_sheet == "fleet/prices/own.toml"
    assert scenario.training.jobs == "fleet/base/../jobs.toml"
    assert scenario.fleet.engine.hardware == "H100"
    assert scenario.fleet.engine.model == "/models/own.toml"
    assert scenario.policy.timetable == "fleet/days.csv"
    assert (
        load_scenario("fleet/own.toml", ["economics.gpu_rates=mine.toml"]).scenario.economics.gpu_rates == "mine.toml"
    )


def test_a_scenario_that_is_written_elsewhere_names_the_same_files(tmp_path: Path) -> None:
    (tmp_path / "fleet").mkdir()
    (tmp_path / "fleet" / "rates.toml").write_text("")
    (tmp_path / "fleet" / "own.toml").write_text('[economics]\ngpu_rates = "rates.toml"\n')
    moved = moved_to(load_scenario("fleet/own.toml").scenario, Path("out/deep"))
    assert moved.economics.gpu_rates == "../../fleet/rates.toml"
    assert moved.economics.price_sheet == "deepseek-r1"


def test_a_file_that_a_scenario_names_is_missed_where_it_should_be(tmp_path: Path) -> None:
    (tmp_path / "fleet").mkdir()
    (tmp_path / "rates.toml").write_text("never read")
    (tmp_path / "fleet" / "own.toml").write_text('[economics]\ngpu_rates = "rates.toml"\n')
    with pytest.raises(UsageError, match=r'no GPU rate sheet "fleet/rates\.toml"'):
        require(load_scenario("fleet/own.toml").scenario)


def test_a_file_that_is_no_toml_names_the_place(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("name = \n")
    with pytest.raises(UsageError, match=r"bad\.toml: is not valid TOML.*line 1"):
        load_scenario(str(tmp_path / "bad.toml"))


@pytest.mark.parametrize(
    ("window", "inside", "outside"),
    [
        ("08:30-24:00", ["08:30", "23:59"], ["08:29", "00:00"]),
        ("22:00-06:00", ["22:00", "00:00", "05:59"], ["06:00", "21:59"]),
        ("00:00-24:00", ["00:00", "23:59"], []),
    ],
)
def test_a_day_window_holds_its_start_and_not_its_end(window: str, inside: list[str], outside: list[str]) -> None:
    from datetime import time

    parsed = parse_day_window(window)
    assert all(parsed.holds(time.fromisoformat(text)) for text in inside)
    assert not any(parsed.holds(time.fromisoformat(text)) for text in outside)


def test_every_price_and_rate_in_the_catalogue_says_where_it_comes_from() -> None:
    for name in catalogue.names("prices"):
        assert catalogue.price_sheet(name).source
    for name in catalogue.names("gpu_rates"):
        for rate in catalogue.gpu_rates(name).rates.values():
            assert rate.kind in KINDS
            assert rate.source


def test_an_unknown_rate_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match="rental, owned, reserved, on-demand, spot"):
        catalogue.gpu_rate(catalogue.gpu_rates("h800"), "free")


OWN_PRICES = """[economics.price_sheet]
name = "ours"
description = "d"
source = "s"
kind = "set"
usd_per_million_tokens = {{ cached_input = {cached}, uncached_input = 0.5, output = {output} }}
"""


def problems_in(file: Path, text: str) -> list[str]:
    file.write_text(text)
    with pytest.raises(ScenarioError) as caught:
        load_scenario(str(file))
    return list(caught.value.problems)


def test_a_field_of_several_kinds_tells_its_problem_once_as_the_kind_that_was_meant(tmp_path: Path) -> None:
    prices = "economics.price_sheet"
    assert problems_in(tmp_path / "a.toml", OWN_PRICES.format(cached=0.1, output=-1)) == [
        f"{prices}.usd_per_million_tokens.output: Input should be greater than or equal to 0, got -1"
    ]
    assert problems_in(tmp_path / "b.toml", OWN_PRICES.format(cached=0.1, output=-1).replace("source", "sauce")) == [
        f"{prices}.source: is missing; add it",
        f"{prices}.usd_per_million_tokens.output: Input should be greater than or equal to 0, got -1",
        f"{prices}.sauce: is not a known field; remove it or correct its name",
    ]
    assert problems_in(tmp_path / "c.toml", "[economics]\nprice_sheet = 5\n") == [
        f"{prices}: Input should be a valid string or table, got 5"
    ]


def test_cached_input_costs_no_more_than_other_input(tmp_path: Path) -> None:
    assert problems_in(tmp_path / "a.toml", OWN_PRICES.format(cached=0.6, output=2)) == [
        "economics.price_sheet.usd_per_million_tokens: cached_input is 0.6 and uncached_input less, 0.5; swap or "
        "correct them"
    ]


@pytest.mark.parametrize("path", ["trace.classes", "trace.start_at", "trace.name", "timezone", "policy.bounds"])
def test_nothing_is_no_value(path: str) -> None:
    told = f"{path}: is set to nothing; give a value, or leave the setting out"
    assert problems_of(f"{path}=") == [told]
    with pytest.raises(ScenarioError, match=told):
        load_scenario(None, (), {f"PLANNER__{path.upper().replace('.', '__')}": ""})


def test_a_number_is_left_out_again_by_nothing() -> None:
    assert (
        load_scenario(None, ["economics.budget_usd=5", "economics.budget_usd="]).scenario.economics.budget_usd is None
    )


@pytest.mark.parametrize(
    ("name", "cure"),
    [
        ("CEST", "write one such as Europe/Berlin or UTC: abbreviations and offsets do not tell when clocks change"),
        ("GMT+2", "write one such as Europe/Berlin or UTC: abbreviations and offsets do not tell when clocks change"),
        ("+02:00", "write one such as Europe/Berlin or UTC: abbreviations and offsets do not tell when clocks change"),
        ("berlin", "(did you mean Europe/Berlin?)"),
        ("Asia/Singapur", "(did you mean Asia/Singapore?)"),
    ],
)
def test_a_zone_is_named_in_full_and_no_abbreviation_is_guessed(name: str, cure: str) -> None:
    with pytest.raises(ValueError, match="is not an IANA time zone") as caught:
        valid_zone(name)
    assert str(caught.value).endswith(cure)


def test_a_table_is_set_field_by_field() -> None:
    scenario = load_scenario(None, ["fleet.prefill={ nodes = 3, tokens_per_s_per_node = 5.0 }"]).scenario
    assert (scenario.fleet.prefill.nodes, scenario.fleet.prefill.tokens_per_s_per_node) == (3, 5.0)
    assert scenario.provenance["fleet.prefill.nodes"] == "set: flag --set fleet.prefill"
    with pytest.raises(
        ScenarioError, match=r"fleet\.prefill\.node: is not a known field.*did you mean fleet\.prefill\.nodes"
    ):
        load_scenario(None, ["fleet.prefill={ node = 3 }"])


OF_TWO_GPUS = ("fleet.serving=aggregated", "fleet.unit={gpus=2, tokens_per_s=[[50, 5]]}")


def test_a_table_that_may_be_left_out_takes_the_place_of_the_one_before() -> None:
    loaded = load_scenario(None, [*OF_TWO_GPUS, "fleet.unit={ nodes = 2, tokens_per_s = [[9, 9]] }"])
    unit = loaded.scenario.fleet.unit
    assert unit is not None
    assert (unit.gpus, unit.nodes, unit.tokens_per_s) == (None, 2, ((9, 9),))
    assert "fleet.unit.gpus" not in loaded.origins
    assert not loaded.scenario.provenance.get("fleet.unit.gpus", "").startswith("set")


def test_a_table_takes_the_place_of_that_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(
        '[fleet]\nserving = "aggregated"\nunit = { gpus = 2, tokens_per_s = [[50, 5]] }\n'
    )
    whole = "fleet.unit={ nodes = 1, tokens_per_s = [[400, 40]] }"
    unit = load_scenario(str(tmp_path / "own.toml"), [whole]).scenario.fleet.aggregated
    assert (unit.gpus, unit.nodes) == (None, 1)
    with pytest.raises(ScenarioError, match=r"unit\.tokens_per_s is left out; give what a unit was observed to carry"):
        load_scenario(str(tmp_path / "own.toml"), ["fleet.unit={ nodes = 1 }"])


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("fleet.unit={gpus=4", 'fleet.unit: "{gpus=4" begins as a table and is none; close its brackets'),
        ("policy.bounds=[{floor_nodes=9}", 'policy.bounds: "[{floor_nodes=9}" begins as a list and is none; close its'),
        ("fleet.unit={gpus=four}", 'fleet.unit: "{gpus=four}" begins as a table and is none; close its brackets, and'),
        ("fleet.unit=4", "fleet.unit: is a table of fields; write --set 'fleet.unit={gpus=VALUE}', or --set fleet."),
        ("fleet.unit={}", "fleet.unit: is a table of fields; write --set 'fleet.unit={gpus=VALUE}', or --set fleet."),
    ],
)
def test_what_is_no_table_is_said_and_how_to_write_one(given: str, told: str) -> None:
    with pytest.raises(ScenarioError) as refused:
        load_scenario(None, [given])
    assert told in str(refused.value)
    assert "is not a known field" not in str(refused.value)
