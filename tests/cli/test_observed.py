"""A plan with observed capacities says first on what else they were observed, with the modelled figure beside it."""

from pathlib import Path

import pytest

from planner.store import Store
from tests.conftest import Cli, minute_log

OWN = ("fleet.prefill.tokens_per_s_per_node=50000", "fleet.decode.tokens_per_s_per_node=9000")
SEEN = (
    "the capacity of prefill and decode nodes was observed on DeepSeek's published day, 27-28 February 2025: "
    "deepseek-r1 on H800, requests of 3,637 input tokens, 56.2% of them found in a cache, and 1,005 output tokens; it "
    "may not hold here, with "
)


def notes(cli: Cli, *sets: str, words: tuple[str, ...] = ()) -> list[str]:
    given = [word for item in sets for word in ("--set", item)]
    plan = cli("plan", *words, *given, "--json")
    assert plan.code in (0, 3), plan.err
    found: list[str] = plan.json["notes"]
    return found


def imported(cli: Cli, requests: list[tuple[int, int]]) -> None:
    log = minute_log(Path("log.csv"), requests)
    assert cli("trace", "import", str(log), "--format", "csv", "--name", "log").code == 0


def test_the_day_that_capacities_were_observed_on_needs_no_caution(planned: Store, cli: Cli) -> None:
    assert not any("observed" in note for note in notes(cli))
    assert not any("observed on" in note for note in notes(cli, "trace.demand_factor=0.5", "trace.seed=7"))


def test_a_trace_with_other_hits_and_lengths_is_named_first_with_what_is_modelled(cli: Cli) -> None:
    imported(cli, [(1000, 300), (3000, 300)])
    first = notes(cli, words=("--trace", "log"))[0]
    assert first.startswith(
        f"{SEEN}0.0% of input found in a cache, 2,000 input tokens a request, 300 output tokens a request; modelled "
        "for this plan: "
    )
    modelled = cli("plan", "--trace", "log", "--set", "fleet.capacity=modelled", "--json")
    run = cli("sql", "SELECT settings FROM run ORDER BY run_id DESC LIMIT 1", "--format", "json").json[0]["settings"]
    assert modelled.code in (0, 3)
    assert not any("was observed on" in note for note in modelled.json["notes"])
    rate = float(run.partition('"prefill":{"nodes":4,"tokens_per_s_per_node":')[2].partition("}")[0])
    assert rate < 60_000, "a prefill node reads fewer tokens where no cache helps"
    assert f"{rate:,.0f} input tokens/s of a prefill node (81,672 observed)" in first
    assert first.endswith("set fleet.capacity=modelled to plan with that")


@pytest.mark.parametrize(
    ("sets", "named"),
    [
        (("fleet.engine.model=qwen3-235b-a22b",), "the model qwen3-235b-a22b"),
        (("fleet.engine.hardware=h100",), "nodes of H100"),
        (("fleet.node_type=H100",), "nodes of H100"),
        (("fleet.engine.kv=fp8",), "kv fp8 (bf16)"),
        (("fleet.decode.nodes=9",), "decode units of 9 nodes (18)"),
        (("fleet.gpus_per_node=4",), "4 GPUs in a node (8)"),
    ],
)
def test_another_model_node_unit_or_engine_is_named(
    planned: Store, cli: Cli, sets: tuple[str, ...], named: str
) -> None:
    first = notes(cli, *sets)[0]
    assert first.startswith(f"{SEEN}{named}; ")
    assert "modelled" in first


def test_what_cannot_be_modelled_is_said(planned: Store, cli: Cli) -> None:
    (first, *_) = notes(cli, "fleet.engine.model=llama-3.1-70b", "fleet.engine.hardware=h100")
    assert "; nothing can be modelled beside it: prefill unit: llama-3.1-70b in fp8 does not fit H100" in first


def test_an_unknown_model_is_refused_though_nothing_is_modelled(planned: Store, cli: Cli) -> None:
    refused = cli("plan", "--set", "fleet.engine.model=nonsense")
    assert refused.code == 2
    assert 'no model "nonsense"' in refused.err


IDLE = "fleet.engine.kv_imbalance has no effect on this plan, whose capacities are observed; "


@pytest.mark.parametrize("command", ["plan", "optimize", "compare", "pricing", "sweep"])
def test_engine_settings_that_are_given_and_change_nothing_are_refused(planned: Store, cli: Cli, command: str) -> None:
    refused = cli(command, "--set", "fleet.engine.kv_imbalance=1.5")
    assert (refused.code, refused.out) == (2, "")
    assert refused.err == (f"planner: {IDLE}leave it out, or set fleet.capacity=modelled to plan with it\n")


def test_engine_settings_with_effect_are_taken(planned: Store, cli: Cli) -> None:
    for effect in ("fleet.capacity=modelled", "policy.name=slo"):
        assert not any("no effect" in note for note in notes(cli, "fleet.engine.kv_imbalance=1.5", effect))


def test_engine_settings_of_a_file_are_named_where_only_a_replay_uses_them(planned: Store, cli: Cli) -> None:
    Path("own.toml").write_text('extends = "deepseek-2025-02-27"\n[fleet.engine]\nkv_imbalance = 1.5\n')
    assert any(note.startswith(f"{IDLE}only a replay uses it") for note in notes(cli, words=("own.toml",)))


def test_capacities_of_ones_own_are_compared_with_what_one_says_they_were_observed_on(cli: Cli) -> None:
    imported(cli, [(1000, 300)])
    own = ("--trace", "log")
    assert not any("was observed on" in note for note in notes(cli, *OWN, words=own))
    seen = (
        "fleet.observed.source=a load test",
        "fleet.observed.prefill_tokens_per_s_per_node=50000",
        "fleet.observed.hit_ratio=0",
        "fleet.observed.input_tokens=1050",
    )
    assert not any("was observed on" in note for note in notes(cli, *OWN, *seen, words=own))
    first = notes(cli, *OWN, *seen, "fleet.observed.input_tokens=2000", words=own)[0]
    assert first.startswith("the capacity of prefill nodes was observed on a load test: ")
    assert "it may not hold here, with 1,000 input tokens a request; modelled" in first


def test_a_comparison_and_a_bound_say_it_too(planned: Store, cli: Cli) -> None:
    quick = ("--set", "fleet.node_type=H100", "--set", "interval_s=3600", "--time-limit", "1", "--json")
    assert cli("optimize", *quick).json["notes"][0].startswith(SEEN)
    compared = cli("compare", "--policies", "fixed", "--no-level", *quick).json
    assert compared["notes"][0].startswith(SEEN)
    assert compared["policies"][0]["notes"][0].startswith(SEEN)


RATES = """name = "h100-ours"
description = "our price"
[reserved]
usd_per_gpu_hour = 2.1
kind = "published"
source = "our contract"
"""


def test_gpu_rates_are_said_to_be_others_only_as_long_as_none_are_named(planned: Store, cli: Cli) -> None:
    modelled = ("fleet.capacity=modelled", "fleet.engine.hardware=h100")
    left = "nodes of H100 are priced at the GPU rates of h800, as in the built-in scenario: name your sheet in "
    assert f"{left}economics.gpu_rates" in notes(cli, *modelled)
    Path("ours.toml").write_text(RATES)
    for sets in (("economics.gpu_rates=ours.toml", "economics.gpu_rate=reserved"), ("economics.gpu_rates=h800",)):
        assert not any("are priced at the GPU rates" in note for note in notes(cli, *modelled, *sets))


def test_the_fitted_level_of_prefill_is_reproduced_only_where_it_was_fitted(planned: Store, cli: Cli) -> None:
    head = "prefill: 0.683 of the balanced rate, fitted to observations of deepseek-r1 on H800"
    assert f"{head}; its level is reproduced, not predicted" in notes(cli, "fleet.capacity=modelled")
    assert f"{head}, and assumed to hold here too" in notes(
        cli, "fleet.capacity=modelled", "fleet.engine.hardware=h100"
    )


def test_capacities_that_are_set_beside_modelled_ones_are_said_to_have_no_effect(planned: Store, cli: Cli) -> None:
    modelled = ("fleet.capacity=modelled", "fleet.engine.hardware=h100", "fleet.node_type=H100")
    note = "has no effect on this plan, whose capacities are modelled: set fleet.capacity=observed to plan with it"
    assert f"fleet.decode.tokens_per_s_per_node {note}" in notes(cli, *modelled, OWN[1])
    both = "fleet.prefill.tokens_per_s_per_node and fleet.decode.tokens_per_s_per_node have no effect on this plan"
    assert any(each.startswith(both) for each in notes(cli, *modelled, *OWN))
    assert not any("no effect" in each for each in notes(cli, *modelled))


def test_nodes_of_another_name_than_those_that_are_modelled_are_said(planned: Store, cli: Cli) -> None:
    note = "fleet.node_type is H20, and capacities are modelled for nodes of H200 (fleet.engine.hardware)"
    modelled = ("fleet.capacity=modelled", "fleet.engine.hardware=h200")
    assert any(each.startswith(note) for each in notes(cli, *modelled, "fleet.node_type=H20"))
    assert not any("node_type" in each for each in notes(cli, *modelled, "fleet.node_type=DGX H200"))
