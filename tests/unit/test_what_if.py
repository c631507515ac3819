"""What-if presets: one per claim, each plannable, each judged by arithmetic that the reference facts confirm."""

import json
import math
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.capacity.engines import Workload, model_capacity
from planner.catalogue.claims import overlay, overlay_names
from planner.catalogue.scenarios import Preset, load_scenario
from planner.claims import JUDGES, judge_claim
from planner.claims.base import ClaimCase
from planner.claims.day import missed_context, published_day
from planner.core.economics import load_pricing as pricing
from planner.core.economics.load_pricing import PriceRule
from planner.core.fleet.deployment import Deployment
from planner.core.policy import make_policy
from planner.documents import to_json
from planner.errors import UsageError
from planner.files import shipped
from planner.settings.scenario import Scenario

CLAIMS = {
    "a100-fleet": "holds in part",
    "all-reduce": "holds in part",
    "customer-service": "cannot be told",
    "edge-13b": "holds",
    "electricity-only": "cannot hold",
    "int8": "holds in part",
    "load-pricing": "cannot hold",
    "load-test": "holds",
    "long-context": "cannot be told",
    "nightly-training": "holds in part",
    "paged-kv": "holds in part",
    "power-per-qps": "cannot hold",
    "pruned-70b": "holds in part",
    "queue-depth-batching": "holds in part",
    "tensor-cores": "holds in part",
    "utilisation-82": "holds in part",
    "warm-starts": "holds",
}
"""The seventeen rows of the table of claims, and what the arithmetic leaves of each."""

DAY = Workload(
    kv_tokens=4989.0, hit_ratio=0.5625, missed_context_tokens=3000.0, input_tokens=3637.0, output_tokens=1005.0
)

RULES = (PriceRule(0.0, 0.7), PriceRule(0.5, 1.0), PriceRule(0.8, 1.2))


def figures(name: str) -> dict[str, float]:
    return {figure.name: figure.value for figure in judge_claim(name).figures}


def with_preset(name: str) -> Scenario:
    return load_scenario(preset=Preset(name, overlay(name).overrides)).scenario


def test_every_claim_has_a_preset_and_a_finding() -> None:
    assert set(overlay_names()) == set(JUDGES) == set(CLAIMS)
    assert len(CLAIMS) == 17


@pytest.mark.parametrize("name", CLAIMS)
def test_a_preset_makes_a_scenario_that_can_be_planned(name: str) -> None:
    preset, scenario = overlay(name), with_preset(name)
    assert preset.name == name
    tree = scenario.model_dump()
    for path, value in preset.overrides.items():
        held = tree
        for part in path.split("."):
            held = held[part]
        assert held == value
        assert scenario.provenance[path] == f"set: what-if {name}"
    assert Scenario.model_validate(tree) == scenario
    make_policy(scenario.policy, Deployment(scenario.fleet))
    if scenario.fleet.capacity == "modelled":
        modelled = model_capacity(scenario.fleet, scenario.slo.tpot_ms, DAY)
        assert modelled.prefill_tokens_per_s > 0
        assert modelled.decode.tpot_ms <= scenario.slo.tpot_ms


@pytest.mark.parametrize("name", CLAIMS)
def test_a_document_says_claim_verdict_and_finite_figures_in_json(name: str) -> None:
    written = json.loads(json.dumps(to_json(judge_claim(name)), allow_nan=False))
    assert set(written) == {"name", "title", "claim", "source", "set", "verdict", "summary", "figures"}
    assert written["source"] == "an industry blog of 2025, not by DeepSeek"
    assert written["verdict"] == CLAIMS[name]
    assert written["summary"].endswith(".")
    assert "\n" not in written["summary"]
    names = [figure["name"] for figure in written["figures"]]
    assert len(set(names)) == len(names) > 2
    assert all(figure["unit"] and figure["meaning"] for figure in written["figures"])


@dataclass(frozen=True)
class Listening(ClaimCase):
    """A case that notes which numbers it was asked for."""

    asked: set[str] = field(default_factory=set)

    def number(self, name: str) -> float:
        self.asked.add(name)
        return super().number(name)


@pytest.mark.parametrize("name", CLAIMS)
def test_every_number_of_a_preset_is_used_and_has_a_source(name: str) -> None:
    preset = overlay(name)
    case = Listening(preset, load_scenario().scenario, with_preset(name))
    JUDGES[name](case)
    assert case.asked == set(preset.figures)
    kinds = {text.partition(": ")[0] for text in preset.provenance.values()}
    assert kinds <= {"published", "computed", "fitted", "inferred", "assumed"}
    assert not preset.pricing_rule or name == "load-pricing"
    assert not preset.queue_rules or name == "queue-depth-batching"


def test_a_finding_follows_the_numbers_of_its_preset() -> None:
    """Half the revenue claimed is within the upper bound, so the verdict softens."""
    preset = overlay("load-pricing")
    modest = preset.model_copy(update={"figures": {**preset.figures, "revenue_change_ratio": 0.2}})
    humble = preset.model_copy(update={"figures": {**preset.figures, "revenue_change_ratio": 0.1}})
    default = load_scenario().scenario
    verdicts = [JUDGES["load-pricing"](ClaimCase(each, default, default)).verdict for each in (preset, modest, humble)]
    assert verdicts == ["cannot hold", "holds in part", "holds"]


# the reference facts


def test_the_published_day_is_read_as_it_was_published() -> None:
    day = published_day("deepseek-2025-02-27")
    assert day.node_hours == 5442
    assert day.requests_per_s == pytest.approx(1934.7, abs=0.05)
    assert day.peak_ratio == pytest.approx(1.347, abs=0.001)
    # the published units at the busiest quarter-hour: 116 prefill and 162 decode nodes at these rates
    assert day.nodes_at_peak(81_672, 16_160) == pytest.approx(278, rel=1e-3)
    assert day.share_of_prompts_up_to(math.exp(7.8797)) == pytest.approx(0.5)


def test_the_mean_context_of_missed_tokens_is_that_of_drawn_requests() -> None:
    """A million requests drawn as the population says, cached tokens in whole blocks; they scatter by 0.3 %."""
    law = published_day("deepseek-2025-02-27").profile.settings.population
    random = np.random.default_rng(1)
    tokens = np.minimum(np.exp(random.normal(law.input.mu, law.input.sigma, 1_000_000)), law.input.max).round()
    share = random.beta(law.cached_share.alpha, law.cached_share.beta, len(tokens))
    hit = np.where(random.random(len(tokens)) < law.follow_up_share, tokens * share, 0) // 64 * 64
    missed = tokens - hit
    assert missed_context(law) == pytest.approx((missed * (hit + missed / 2)).sum() / missed.sum(), rel=0.01)


def test_queue_depths_give_the_batches_their_rates_and_prices() -> None:
    """The reference's step without overlap, by hand, to 3 %: it reads all experts, the model those that tokens touch.

    The recorded rates (1.8 k and 9.2 k tokens/s) and prices lie up to 11 % from their own formula.
    """

    def without_overlap(n: float) -> float:
        around = 33.2 + 52.3 + 4.80e-4 * n * 4989 * 1.10 + 60 + 0.6 * n
        layer = 18.35 + 1.501 * n * 1.05 + max(36.7, 0.742 * n * 1.15) + 2.882 * n * 1.05 + around
        return (58 * layer + 3 * (around + 165) + 713 + 1500) / 1e3

    found = figures("queue-depth-batching")
    for queue, batch, rate, price in (("short", 4, 1800, 2.49), ("long", 32, 9200, 0.48)):
        assert found[f"{queue}_queue_streams_per_gpu"] == batch
        assert found[f"{queue}_queue_step_ms"] == pytest.approx(without_overlap(batch), rel=0.03)
        assert found[f"{queue}_queue_tokens_per_s_per_node"] == pytest.approx(rate, rel=0.11)
        assert found[f"{queue}_queue_usd_per_million_output_tokens"] == pytest.approx(price, rel=0.11)


def test_utilisation_is_of_nodes_and_not_of_arithmetic() -> None:
    found = figures("utilisation-82")
    assert found["nodes_held"] == pytest.approx(0.816, abs=0.0005)
    assert found["decode_compute_use"] == pytest.approx(0.30, abs=0.005)
    # 18 % belongs to a context of 3,000 tokens, and the population's 4,240 adds about one point for each thousand
    assert found["prefill_compute_use"] == pytest.approx(0.18, abs=0.015)


def test_load_pricing_on_the_published_hours() -> None:
    """To the digit that the reference gives."""
    found = figures("load-pricing")
    expected = {
        "revenue_change_load_over_peak": 0.128,
        "revenue_change_nodes_over_fleet": 0.151,
        "revenue_change_load_per_node": 0.190,
        "revenue_change_inelastic": 0.059,
        "revenue_change_unit_elastic": 0.0,
        "revenue_change_elastic": -0.050,
        "filled_revenue_change": 0.291,
        "filled_nodes_change": 0.194,
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=0.0006)
    assert max(expected.values()) < found["most_revenue_change"] < found["claimed_revenue_change"]


def test_pages_save_what_is_reserved_and_latent_attention_needs_little() -> None:
    found = figures("paged-kv")
    assert found["claimed_saving"] == pytest.approx(1 - 10.8 / 24)
    assert found["latent_gb"] == pytest.approx(70_272 * 8192 / 1e9)
    assert found["latent_gb"] == pytest.approx(0.58, abs=0.005)
    assert found["multi_head_gb"] == pytest.approx(2 * 2 * 80 * 64 * 128 * 8192 / 1e9)
    assert found["grouped_gb"] == pytest.approx(found["multi_head_gb"] / 8)
    assert found["day_saving"] == pytest.approx(1 - (3637 + 1005 + 31.5) / 8192, abs=1e-3)


def test_power_per_request_contradicts_the_claims_own_rate() -> None:
    """Within the rounding of the reference's figures."""
    found = figures("power-per-qps")
    assert found["own_w_per_qps"] == pytest.approx(11_800, abs=50)
    assert found["day_usd_per_qps_day"] == pytest.approx(45.0, abs=0.05)
    assert found["day_usd_per_request"] == pytest.approx(0.00052, abs=5e-6)
    assert found["day_usual_w_per_qps"] == pytest.approx(820, abs=0.5)
    assert found["day_most_w_per_qps"] == pytest.approx(1195, abs=0.5)


def test_electricity_is_a_small_part_of_what_a_gpu_costs() -> None:
    found = figures("electricity-only")
    assert found["electricity_yuan_per_day"] == pytest.approx(5.76)
    assert found["rent_yuan_per_day"] == pytest.approx(2 * 24 * 7.17)


def test_the_nightly_job_fits_the_freed_hours() -> None:
    found = figures("nightly-training")
    assert found["job_gpu_hours"] == 4
    assert found["free_gpu_hours"] == (278 * 24 - 5442) * 8
    assert found["sampled_tokens"] == pytest.approx((608e9 + 168e9) / 1000)
    assert found["needed_over_peak"] > 1


def test_a_short_prompt_meets_eighty_milliseconds_and_a_second_token_does_not() -> None:
    found = figures("customer-service")
    assert found["decode_step_ms"] == pytest.approx(46.4, abs=0.05)
    assert found["whole_steps_in_limit"] == 1
    # the reference's prefill: 104.7 us per token and 11.105 us per thousand tokens of context, half the prompt
    prompt = found["longest_prompt_tokens"]
    assert prompt * (104.7 + 11.105 * prompt / 2000) == pytest.approx(80_000, rel=0.02)
    day = published_day("deepseek-2025-02-27")
    assert with_preset("customer-service").trace.demand_factor * day.requests_per_s == pytest.approx(2000, abs=1)


def test_a_long_context_is_easy_for_a_node_and_out_of_reach_for_a_stream() -> None:
    found = figures("long-context")
    # 45 GB beside weights and reserve, 70,272 bytes for each of 16,384 tokens
    assert found["streams_per_gpu"] == (80 - 10 - 25) * 1e9 // (70_272 * 16_384)
    assert found["tokens_per_s_per_stream"] == pytest.approx(1e3 / found["tpot_ms"])
    assert found["tokens_per_s_per_node"] == pytest.approx(
        8 * found["streams_per_gpu"] * found["tokens_per_s_per_stream"]
    )
    assert found["tokens_per_s_per_stream"] < 450 < 1200 < found["tokens_per_s_per_node"]


def test_a100_nodes_hold_the_model_and_are_slower_than_what_bandwidth_alone_would_make_them() -> None:
    found = figures("a100-fleet")
    assert found["weights_gb_per_gpu"] == pytest.approx(25.0, abs=0.05)
    assert found["decode_ratio"] == pytest.approx(
        found["a100_decode_tokens_per_s_per_node"] / found["h800_decode_tokens_per_s_per_node"]
    )
    assert found["decode_ratio"] < 2.039 / 3.35
    # NVLink is all that sets an A800 apart, and expert parallelism over many nodes does not use it
    assert found["a800_decode_tokens_per_s_per_node"] == found["a100_decode_tokens_per_s_per_node"]
    assert found["h800_nodes_at_peak"] == pytest.approx(278, rel=0.05)
    assert found["a100_nodes_at_peak"] > 278


def test_pruning_keeps_the_ratio_and_misses_the_flops_by_ten_million() -> None:
    found = figures("pruned-70b")
    assert found["claimed_flops_ratio"] == pytest.approx(0.4, abs=1e-4)
    assert found["claimed_parameters_ratio"] == pytest.approx(0.4)
    assert round(math.log10(found["flops_over_claimed"])) == 7
    assert found["served_parameters"] == pytest.approx(671e9, rel=0.001)
    assert found["served_active_parameters"] == pytest.approx(37e9, rel=0.02)


def test_all_reduce_belongs_to_tensor_parallelism() -> None:
    found = figures("all-reduce")
    # two per layer, 7/4 of 8,192 bf16 values a row, over half of NVLink at what dispatch reaches of the network
    us_per_stream = 2 * 80 * 7 / 4 * 8192 * 2 / (600 / 2 * 19.7 / 25 * 1e3)
    assert found["streams_before"] == pytest.approx(12e3 / us_per_stream)
    assert found["streams_after"] == pytest.approx(4e3 / us_per_stream)
    assert found["all_reduce_ms"] == pytest.approx(found["streams_of_node"] * us_per_stream / 1e3)
    assert found["expert_parallel_all_reduce_ms"] == 0
    assert found["scaling"] < found["claimed_scaling"] < found["scaling_without_other_losses"] < 1


def test_int8_is_four_times_smaller_than_fp32_only_and_never_as_much_faster() -> None:
    found = figures("int8")
    assert [found[f"size_over_{name}"] for name in ("fp32", "bf16", "fp8")] == [4, 2, 1]
    for node in ("a100", "h800"):
        speed = [found[f"{node}_decode_speed_{batch}_streams"] for batch in ("few", "some", "many")]
        assert all(1 < each < 2 for each in speed)
        assert speed[0] == max(speed)
    assert found["a100_decode_speed_few_streams"] < found["a100_decode_speed_over_fp32"] < 4


def test_tensor_cores_help_arithmetic_and_not_reading() -> None:
    found = figures("tensor-cores")
    assert found["peak_ratio"] == 4
    assert found["kernel_efficiency"] == pytest.approx(1 / 2.3)
    assert found["tflops_before"] == pytest.approx(312 / 2.3)
    assert found["decode_speed_few_streams"] == pytest.approx(1)
    assert 1 < found["decode_speed_most_streams"] < 2.3
    assert 1 < found["prefill_speed"] < 2.3


def test_an_edge_module_reads_its_weights_once_per_token() -> None:
    found = figures("edge-13b")
    for name, size in (("bf16", 26.0), ("int8", 13.0), ("int4", 6.5)):
        assert found[f"{name}_weights_gb"] == pytest.approx(size)
        assert found[f"{name}_tokens_per_s"] == pytest.approx(204.8 / size)
    assert found["module_j_per_token"] == pytest.approx(30 * 6.5 / 204.8)


def test_warm_starts_save_the_seconds_of_the_nodes_that_start() -> None:
    found = figures("warm-starts")
    assert found["started_nodes"] == 278 - 68
    assert found["saved_node_hours"] == pytest.approx(210 * (180 - 30) / 3600)
    # the reference: 343 GB per prefill node, 98 s at 3.5 GB/s
    assert found["fp8_gb_per_node"] == pytest.approx(343, abs=0.5)
    assert found["fp8_read_s"] == pytest.approx(98, abs=0.5)
    assert found["collected_requests"] == pytest.approx(found["prompts_to_ridge"])
    assert 0 < found["collection_duty"] < 1


def test_a_load_test_says_which_limit_binds() -> None:
    found = figures("load-test")
    assert found["least_points"] == 1
    assert found["fp8_weights_gb_per_gpu"] == pytest.approx(25.0, abs=0.05)
    assert found["modelled_streams_per_gpu"] < found["fp8_streams_that_fit"]
    assert found["bf16_streams_that_fit"] < found["fp8_streams_that_fit"] < found["int4_streams_that_fit"]


# prices that follow the load

hours = st.lists(st.floats(0.01, 100), min_size=1, max_size=24)


def test_a_rule_prices_hours_by_hand() -> None:
    load = [10.0, 6.0, 4.0]
    prices = pricing.price_ratios(RULES, pricing.load_over_peak(load))
    assert prices.tolist() == [1.2, 1.0, 0.7]
    # 12 + 6 + 2.8 over 20
    assert pricing.revenue_change(load, prices) == pytest.approx(0.04)
    # volumes 10 / 1.2, 6 and 4 / 0.7 earn what they earned
    assert pricing.revenue_change(load, prices, -1) == pytest.approx(0)
    # the quiet hour sells 10 at 0.7 on all four nodes: 12 + 6 + 7 over 20, and 4 + 3 + 4 nodes over 4 + 3 + 2
    filled = pricing.fill_quiet_hours(load, [4, 3, 2], 4, prices)
    assert filled.revenue_change == pytest.approx(0.25)
    assert filled.nodes_change == pytest.approx(2 / 9)
    # 2.5 a node in the fullest hour, nine node-hours and a third more, at 1.2
    assert pricing.most_revenue_change(load, [4, 3, 2], 1 / 3, 1.2) == pytest.approx(2.5 * 12 * 1.2 / 20 - 1)


def test_utilisation_has_three_definitions() -> None:
    load, nodes = [10.0, 6.0], [5.0, 4.0]
    assert pricing.load_over_peak(load).tolist() == [1, 0.6]
    assert pricing.nodes_over_fleet(nodes, 10).tolist() == [0.5, 0.4]
    assert pricing.load_per_node(load, nodes).tolist() == [1, 0.75]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_a_price_is_that_of_the_last_rule_that_begins_below(shares: list[float]) -> None:
    slow = [[rule.price_ratio for rule in RULES if rule.from_utilisation <= share][-1] for share in shares]
    assert pricing.price_ratios(RULES, shares).tolist() == slow


@given(hours)
def test_at_fixed_volume_revenue_changes_no_more_than_prices_and_at_unit_elasticity_not_at_all(
    load: list[float],
) -> None:
    prices = pricing.price_ratios(RULES, pricing.load_over_peak(load))
    assert prices.min() - 1 - 1e-9 <= pricing.revenue_change(load, prices) <= prices.max() - 1 + 1e-9
    assert pricing.revenue_change(load, prices, -1) == pytest.approx(0, abs=1e-12)


@given(st.lists(st.tuples(st.floats(0.01, 100), st.integers(1, 20)), min_size=1, max_size=24))
def test_no_hour_by_hour_pricing_of_the_same_nodes_earns_more_than_the_bound(hours: list[tuple[float, int]]) -> None:
    load, nodes = zip(*hours, strict=True)
    prices = pricing.price_ratios(RULES, pricing.load_per_node(load, nodes))
    assert pricing.revenue_change(load, prices) <= pricing.most_revenue_change(load, nodes, 0, 1.2) + 1e-9


@pytest.mark.parametrize(
    ("rules", "shares", "cure"),
    [
        ((), [0.5], "ascend"),
        ((PriceRule(0.1, 1.0),), [0.5], "ascend"),
        ((PriceRule(0.0, 1.0), PriceRule(0.0, 1.2)), [0.5], "ascend"),
        ((PriceRule(0.0, 0.0),), [0.5], "prices above 0"),
        (RULES, [1.1], "from 0 to 1"),
        (RULES, [float("nan")], "from 0 to 1"),
    ],
)
def test_rules_and_shares_that_cannot_be_are_named(
    rules: tuple[PriceRule, ...], shares: list[float], cure: str
) -> None:
    with pytest.raises(UsageError, match=cure):
        pricing.price_ratios(rules, shares)


def test_loads_and_nodes_that_cannot_be_are_named() -> None:
    with pytest.raises(UsageError, match="load must be above 0"):
        pricing.load_over_peak([1, 0])
    with pytest.raises(UsageError, match="nodes must be above 0"):
        pricing.load_per_node([1.0], [float("inf")])
    with pytest.raises(UsageError, match="give both the same number"):
        pricing.load_per_node([1.0, 2.0], [1.0])
    with pytest.raises(UsageError, match="12 nodes serve and the fleet has 10"):
        pricing.nodes_over_fleet([12.0], 10)


# files


def test_an_unknown_preset_lists_those_there_are() -> None:
    for ask in (judge_claim, overlay):
        with pytest.raises(UsageError, match="a100-fleet"):
            ask("b200-fleet")


@pytest.mark.parametrize(
    ("text", "cure"),
    [
        ('[set]\n"fleet.node" = 1', "fleet.node: not a field"),
        ("[set]\n[figures]\nx_ms = inf", "figures.x_ms: Input should be a finite number"),
        ('[set]\n[provenance]\nx_ms = "assumed: so"', "provenance names x_ms, which is not a figure"),
        ("sett = 1\n[set]", "sett: is not a known field"),
        ("", "set: is missing"),
    ],
)
def test_a_preset_of_ones_own_is_checked(tmp_path: Path, text: str, cure: str) -> None:
    path = tmp_path / "own.toml"
    path.write_text(f'name = "own"\ntitle = "t"\nclaim = "c"\nsource = "s"\n{text}\n')
    with pytest.raises(UsageError, match=cure):
        overlay(str(path))


def test_a_finding_that_misses_a_figure_names_it() -> None:
    preset = overlay("electricity-only").model_copy(update={"figures": {}})
    default = load_scenario().scenario
    with pytest.raises(UsageError, match=r"electricity-only has no figure yuan_per_kwh; add it"):
        JUDGES["electricity-only"](ClaimCase(preset, default, default))


def test_a_profile_without_published_figures_is_no_day(tmp_path: Path) -> None:
    folder, name = shipped("traces"), "deepseek-2025-02-27"
    text = (folder / f"{name}.toml").read_text(encoding="utf-8")
    before, _, after = text.partition("[published]")
    (tmp_path / "bare.toml").write_text(before + after[after.index("[provenance]") :], encoding="utf-8")
    shutil.copy(folder / f"{name}-hourly.csv", tmp_path)
    with pytest.raises(UsageError, match=r"no published figures; use one with a \[published\] table"):
        published_day(str(tmp_path / "bare.toml"))
