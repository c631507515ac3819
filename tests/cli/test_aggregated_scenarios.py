"""Scenarios of fleets whose units do both: written, shown, copied, checked, and what has no effect in them."""

from pathlib import Path

import pytest

from planner.catalogue.scenarios import load_scenario
from planner.planning.idle import idle_notes
from tests.conftest import Cli
from tests.helpers.aggregated_days import AGGREGATED, import_day
from tests.helpers.own_fleets import options


def write(cli: Cli, *more: str, **changed: str | None) -> str:
    result = cli("scenario", "init", "--serving", "aggregated", *options(**changed), *more, "--out", "own.toml")
    assert result.code == 0, result.err
    return result.out


def test_it_has_the_usual_unit_of_the_model_and_nothing_of_two_roles(cli: Cli) -> None:
    out = write(cli)
    text = Path("own.toml").read_text()
    assert "prefill" not in text.replace("(prefill, decode)", "")
    assert "[fleet.unit]" in text
    scenario = load_scenario("own.toml").scenario
    fleet = scenario.fleet
    assert (fleet.serving, fleet.unit_gpus, fleet.engine.tensor_parallel) == ("aggregated", 8, 8)
    assert (fleet.base.aggregated, fleet.step.aggregated, fleet.capacity) == (1, 1, "modelled")
    assert "units of 8 GPUs that read prompts and decode: 18 GB of weights on a GPU of 80 GB" in out
    # a pod holds a unit within a node
    assert scenario.export.workload_kind == "Deployment"


def test_units_of_a_part_of_a_node_are_asked_for(cli: Cli) -> None:
    out = write(cli, "--unit-gpus", "2", "--set", "fleet.engine.weights=fp8")
    scenario = load_scenario("own.toml").scenario
    fleet, sources = scenario.fleet, scenario.provenance
    assert (fleet.unit_gpus, fleet.units_per_node, fleet.engine.tensor_parallel) == (2, 4, 2)
    assert (sources["fleet.unit.gpus"], sources["fleet.engine.tensor_parallel"]) == (
        "set: --unit-gpus",
        "computed: fleet.unit.gpus",
    )
    assert "units of 2 GPUs that read prompts and decode, 4 to a node: 36 GB of weights" in out
    assert not any("tensor_parallel" in note for note in idle_notes(scenario))


@pytest.mark.parametrize(
    ("model", "node", "gpus", "attention"),
    [("llama-3.1-8b", "h100", 1, 1), ("llama-3.1-405b", "h100", 16, 8), ("deepseek-r1", "h200", 8, 8)],
)
def test_a_unit_is_the_smallest_that_holds_the_model(
    cli: Cli, model: str, node: str, gpus: int, attention: int
) -> None:
    """810 GB of weights need 16 GPUs of 80 GB, and 671 GB the 8 of 141 GB of a node."""
    write(cli, model=model, node=node)
    scenario = load_scenario("own.toml").scenario
    assert (scenario.fleet.unit_gpus, scenario.fleet.engine.tensor_parallel) == (gpus, attention)
    assert scenario.export.workload_kind == ("LeaderWorkerSet" if gpus > 8 else "Deployment")


@pytest.mark.parametrize(
    ("words", "changed", "told"),
    [
        (("--unit-gpus", "2"), {"model": "llama-3.1-405b"}, "--unit-gpus 2: such a unit on h100 does not serve"),
        (("--unit-gpus", "12"), {}, "set unit.gpus to a multiple of 8, or to at most 8"),
        (("--unit-gpus", "0"), {}, "--unit-gpus 0: a unit has a GPU at least"),
        ((), {"model": "llama-3.1-405b", "nodes": "1"}, "1 node of h100 does not hold a unit of llama-3.1-405b"),
        (("--set", "fleet.scaling=independent"), {}, "leave scaling out, or set serving=disaggregated"),
    ],
)
def test_what_cannot_be_is_one_line_with_the_cure(
    cli: Cli, words: tuple[str, ...], changed: dict[str, str | None], told: str
) -> None:
    result = cli("scenario", "init", "--serving", "aggregated", *options(**changed), *words, "--out", "own.toml")
    assert result.code == 2
    assert told.lower() in result.err.lower()
    assert result.err.count("\n") == 1
    assert not Path("own.toml").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--unit-gpus", "2"), "--unit-gpus is for --serving aggregated"),
        (("--serving", "both"), '--serving "both" is neither disaggregated nor aggregated'),
    ],
)
def test_options_of_units_that_contradict_each_other_are_refused(cli: Cli, words: tuple[str, ...], told: str) -> None:
    result = cli("scenario", "init", *options(), *words)
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert told in result.err


def test_units_alone_are_no_fleet(cli: Cli) -> None:
    result = cli("scenario", "init", "--serving", "aggregated")
    assert result.code == 2
    assert "a fleet of your own needs --model, --node" in result.err


def test_a_trace_that_is_not_stored_writes_no_file(cli: Cli, tmp_path: Path) -> None:
    import_day(cli, tmp_path)
    result = cli("scenario", "init", "--serving", "aggregated", *options(), "--trace", "night", "--out", "own.toml")
    assert result.code == 1
    assert 'no trace "night"' in result.err
    assert not Path("own.toml").exists()


def test_a_shown_scenario_has_no_tables_of_two_roles_and_is_the_same_when_read(cli: Cli) -> None:
    words = [word for setting in AGGREGATED for word in ("--set", setting)]
    text = cli("scenario", "show", *words).out
    assert "[fleet.prefill]" not in text
    assert "[fleet.decode]" not in text
    assert "prefill = " not in text
    Path("shown.toml").write_text(text)
    fleet, again = load_scenario(None, AGGREGATED).scenario.fleet, load_scenario("shown.toml").scenario.fleet
    assert (again.aggregated, again.nodes, again.step) == (fleet.aggregated, fleet.nodes, fleet.step)
    assert cli("scenario", "validate", "shown.toml").code == 0
    assert cli("scenario", "init", "--from", "shown.toml", "--out", "copy.toml").code == 0
    assert load_scenario("copy.toml").scenario.fleet == again


BOTH = "used with fleet.serving=aggregated"
APART = "used with fleet.serving=disaggregated"


@pytest.mark.parametrize(
    ("sets", "note"),
    [
        (("fleet.prefill.nodes=3",), f"fleet.prefill.nodes has no effect on this plan: {APART}"),
        (
            ("fleet.base.prefill=3", "fleet.step.decode=2"),
            "fleet.base.prefill, fleet.step.decode have no effect on this ",
        ),
        (("policy.spare_decode_units=2",), f"policy.spare_decode_units has no effect on this plan: {APART}"),
        (("export.prefill_workload=x",), f"export.prefill_workload has no effect on this plan: {APART}"),
        (
            ("fleet.engine.tensor_parallel=4",),
            "fleet.engine.tensor_parallel has no effect on this plan: used with fleet.unit.nodes, as all GPUs of "
            "fleet.unit.gpus share attention",
        ),
    ],
)
def test_what_is_of_two_roles_has_no_effect_where_units_do_both(sets: tuple[str, ...], note: str) -> None:
    found = idle_notes(load_scenario(None, (*AGGREGATED, *sets)).scenario)
    assert any(each.startswith(note) for each in found), found


@pytest.mark.parametrize(
    "setting",
    [
        "fleet.unit.gpus=2",
        "fleet.step.aggregated=2",
        "fleet.base.aggregated=2",
        "policy.spare_aggregated_units=1",
        "export.aggregated_workload=x",
    ],
)
def test_what_is_of_units_that_do_both_has_no_effect_on_two_roles(setting: str) -> None:
    path = setting.partition("=")[0]
    assert f"{path} has no effect on this plan: {BOTH}" in idle_notes(load_scenario(None, [setting]).scenario)


def test_what_has_an_effect_is_not_told() -> None:
    assert not [note for note in idle_notes(load_scenario(None, AGGREGATED).scenario) if "serving" in note]
