"""`planner scenario init --model ...`: a scenario of one's own, with nothing that was published about another fleet."""

import re
from pathlib import Path

import pytest

from planner.catalogue.scenarios import load_scenario
from tests.conftest import Cli, minute_log
from tests.helpers.own_fleets import options

FOREIGN = re.compile(r"deepseek|h800|shanghai", re.IGNORECASE)


def write(cli: Cli, *more: str, **changed: str | None) -> str:
    result = cli("scenario", "init", *options(**changed), *more, "--out", "own.toml")
    assert result.code == 0, result.err
    return result.out


def test_it_validates_and_says_where_every_value_comes_from(cli: Cli) -> None:
    write(cli)
    assert cli("scenario", "validate", "own.toml", "--json").json == {"scenario": "own", "valid": True, "problems": []}
    scenario = load_scenario("own.toml").scenario
    fleet, sources = scenario.fleet, scenario.provenance
    assert (fleet.nodes, fleet.node_type, fleet.gpus_per_node, fleet.capacity) == (28, "H100", 8, "modelled")
    assert (fleet.prefill.nodes, fleet.decode.nodes, fleet.engine.tensor_parallel) == (1, 1, 8)
    assert (fleet.engine.redundant_experts, fleet.engine.expert_imbalance) == (0, 1.0)
    assert fleet.observed is None
    assert fleet.prefill.tokens_per_s_per_node is None
    assert (scenario.timezone, scenario.trace.name, scenario.trace.profile) == ("Asia/Singapore", None, None)
    assert sources["fleet.nodes"] == "set: --nodes"
    assert sources["fleet.engine.weights"] == "published: config.json of meta-llama/Llama-3.1-70B"
    assert sources["fleet.start_up_s"].startswith("assumed: ")
    kinds = {text.partition(": ")[0] for text in sources.values()}
    assert kinds <= {"published", "computed", "fitted", "inferred", "assumed", "set"}
    shown = cli("scenario", "show", "own.toml").out
    assert "not stated" not in shown
    Path("shown.toml").write_text(shown)
    again = load_scenario("shown.toml").scenario
    assert (again.fleet.engine, again.economics.gpu_rates) == (fleet.engine, scenario.economics.gpu_rates)


def test_what_it_shows_as_comments_can_be_taken_in(cli: Cli) -> None:
    """Times that forecasts should know of: without the marks of comments it is as valid."""
    write(cli)
    path = Path("own.toml")
    path.write_text(re.sub(r"^# (\[|\w+ = .)", r"\1", path.read_text(), flags=re.MULTILINE))
    scenario = load_scenario("own.toml").scenario
    assert [str(one.start) for one in scenario.incident] == ["2026-03-06 10:00:00"]
    assert [(one.name, one.factor) for one in scenario.event] == [("launch", 1.8)]
    assert (scenario.forecast.holidays, scenario.forecast.accept) == ("DE-BY", ("2026-03-09",))


def test_declared_times_are_written_as_they_are_read(cli: Cli) -> None:
    """A copy of a scenario has the same incidents and events."""
    Path("told.toml").write_text(
        'extends = "deepseek-2025-02-27"\n[[incident]]\nfrom = 2026-03-06T10:00:00\nto = 2026-03-06\n'
        '[[event]]\nname = "x"\nfrom = 2026-04-01\nto = 2026-04-02\nfactor = 0\n'
    )
    assert cli("scenario", "init", "--from", "told.toml", "--out", "copy.toml").code == 0
    told, copied = (load_scenario(name).scenario for name in ("told.toml", "copy.toml"))
    assert (copied.incident, copied.event) == (told.incident, told.event)


def test_it_holds_nothing_of_the_published_fleet(cli: Cli) -> None:
    write(cli)
    assert not FOREIGN.search(Path("own.toml").read_text())
    assert not FOREIGN.search(cli("scenario", "show", "own.toml").out)
    scenario = load_scenario("own.toml").scenario
    assert (scenario.training.lend, scenario.economics.off_peak, scenario.policy.timetable) == (False, False, None)
    assert scenario.economics.other_price_sheet is None


def test_its_prices_are_ones_own(cli: Cli) -> None:
    write(cli)
    economics = load_scenario("own.toml").scenario.economics
    assert not isinstance(economics.price_sheet, str)
    assert not isinstance(economics.gpu_rates, str)
    prices, rate = economics.price_sheet.usd_per_million_tokens, economics.gpu_rates.rates[economics.gpu_rate]
    assert (prices.uncached_input, prices.cached_input, prices.output) == (0.40, 0.10, 1.60)
    assert (rate.usd_per_gpu_hour, rate.kind, economics.price_sheet.kind) == (2.10, "set", "set")


def test_without_a_trace_a_plan_says_how_to_name_one(cli: Cli) -> None:
    assert "no trace is named" in write(cli)
    result = cli("plan", "own.toml")
    assert result.code == 2
    assert "scenario own names no trace; give --trace NAME" in result.err


def test_a_trace_is_named_and_decides_how_units_scale(cli: Cli) -> None:
    minute_log(Path("log.csv"), [(100_000, 1_000)] * 60)
    cli("trace", "import", "log.csv", "--name", "hour")
    out = write(cli, "--trace", "hour")
    scenario = load_scenario("own.toml").scenario
    assert scenario.trace.name == "hour"
    assert scenario.fleet.step.prefill >= scenario.fleet.step.decode == 1
    assert scenario.provenance["fleet.step.prefill"].startswith("computed: trace hour needs ")
    assert "scaling steps of" in out


def test_roles_that_scale_apart_take_a_unit_at_a_time(cli: Cli) -> None:
    minute_log(Path("log.csv"), [(100_000, 1_000)] * 60)
    cli("trace", "import", "log.csv", "--name", "hour")
    out = write(cli, "--trace", "hour", "--set", "fleet.scaling=independent")
    scenario = load_scenario("own.toml").scenario
    assert (scenario.fleet.step.prefill, scenario.fleet.step.decode) == (1, 1)
    assert scenario.provenance["fleet.step.prefill"] == "assumed: the smallest step that a role can take"
    assert "prefill and decode scale apart, 1 and 1 units at a time" in out


def test_a_plan_and_its_report_say_nothing_of_another_fleet(cli: Cli) -> None:
    minute_log(Path("log.csv"), [(100_000, 4_000)] * 60)
    cli("trace", "import", "log.csv", "--name", "hour")
    write(cli, "--trace", "hour")
    plan = cli("plan", "own.toml", "--json").json
    # an hour of 2 nodes of 8 GPUs at 2.10
    assert plan["cost_usd"] == pytest.approx(plan["node_hours"] * 8 * 2.10)
    assert plan["revenue_usd"] == pytest.approx(6 * 0.40 + 0.24 * 1.60)
    assert [step["step"] for step in plan["waterfall"]] == [
        "theoretical: all at own list price",
        "off-peak discount",
        "0.0% of traffic unpaid",
        "expected",
    ]
    assert not FOREIGN.search(" ".join(plan["notes"]).replace("H800 and H100", "").replace("on H800", ""))
    assert cli("report", "--out", "page").code == 0
    page = Path("page/index.html").read_text()
    assert "deepseek" not in page.lower()
    assert "planner reference" not in page
    assert re.search(r">set</td><td[^>]*>--gpu-usd-per-hour</td>", page)


def test_days_of_the_trace_are_all_taken(cli: Cli) -> None:
    rows = [f"2025-03-{1 + hour // 24:02}T{hour % 24:02}:30:00Z,100,10" for hour in range(30)]
    Path("log.csv").write_text("arrival,input_tokens,output_tokens\n" + "\n".join(rows) + "\n")
    cli("trace", "import", "log.csv", "--name", "long")
    write(cli, "--trace", "long", timezone="UTC")
    assert len(cli("plan", "own.toml", "--json").json["hours"]) == 30


def test_further_fields_are_set_and_change_what_is_chosen(cli: Cli) -> None:
    write(cli, "--set", "fleet.engine.weights=fp8", "--set", "fleet.start_up_s=90")
    scenario = load_scenario("own.toml").scenario
    assert (scenario.fleet.engine.weights, scenario.fleet.start_up_s) == ("fp8", 90)
    assert scenario.provenance["fleet.start_up_s"] == "set: --set"


def test_units_are_as_small_as_the_fleet_asks_for(cli: Cli) -> None:
    # the usual units are 4 and 18 nodes; a node of 8 H200 holds the model as well
    out = write(cli, model="deepseek-r1", node="h200", nodes="10")
    assert "units of 1 and 1 nodes" in out
    fleet = load_scenario("own.toml").scenario.fleet
    assert (fleet.prefill.nodes, fleet.decode.nodes) == (1, 1)
    assert load_scenario("own.toml").scenario.provenance["fleet.prefill.nodes"].startswith("computed: the fewest nodes")


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"model": "llama-3.1-7b"}, "(did you mean llama-3.1-70b?); `planner catalogue models` lists them"),
        ({"node": "h10"}, "`planner catalogue hardware` lists them"),
        ({"nodes": "1"}, "1 node of H100 does not hold a prefill and a decode unit of llama-3.1-70b"),
        ({"nodes": "0"}, "0 nodes of H100 do not hold"),
        ({"model": "deepseek-r1", "nodes": "2"}, "does not fit H100"),
        ({"timezone": "Asia/Singapur"}, "did you mean Asia/Singapore?"),
        ({"gpu_usd_per_hour": "-1"}, "--gpu-usd-per-hour: "),
        ({"gpu_usd_per_hour": "nan"}, "--gpu-usd-per-hour: "),
        ({"usd_per_million": "0.4,1.6"}, "write three prices in USD"),
        ({"usd_per_million": "0.4,x,1.6"}, "write three prices in USD"),
        ({"usd_per_million": "0.4,-0.1,1.6"}, "greater than or equal to 0"),
        ({"usd_per_million": "0.1,0.4,1.6"}, "cached_input is 0.4 and uncached_input less, 0.1; swap or correct them"),
        ({"node": None, "timezone": None}, "needs --node, --timezone too"),
    ],
)
def test_what_cannot_be_is_one_line_with_the_cure(cli: Cli, changed: dict[str, str | None], told: str) -> None:
    result = cli("scenario", "init", *options(**changed), "--out", "own.toml")
    assert result.code == 2
    assert told in result.err
    assert result.err.count("\n") == 1
    assert not Path("own.toml").exists()


def test_a_trace_that_is_not_stored_writes_no_file(cli: Cli) -> None:
    minute_log(Path("log.csv"), [(100, 10)] * 5)
    cli("trace", "import", "log.csv", "--name", "mine")
    result = cli("scenario", "init", *options(), "--trace", "mien", "--out", "own.toml")
    assert result.code == 1
    assert 'no trace "mien"; the stored ones are mine' in result.err
    assert not Path("own.toml").exists()


def test_a_copy_and_a_fleet_of_ones_own_exclude_each_other(cli: Cli) -> None:
    result = cli("scenario", "init", *options(), "--from", "deepseek-2025-02-27", "--out", "own.toml")
    assert result.code == 2
    assert "leave one out" in result.err


def test_capacities_that_are_observed_have_to_be_told(cli: Cli) -> None:
    write(cli)
    result = cli("scenario", "validate", "own.toml", "--set", "fleet.capacity=observed")
    assert result.code == 2
    assert "prefill.tokens_per_s_per_node is left out" in result.out


def test_the_catalogue_lists_what_can_be_named(cli: Cli) -> None:
    entries = cli("catalogue", "models", "--json").json
    assert {"deepseek-r1", "llama-3.1-70b", "qwen3-235b-a22b"} < {entry["name"] for entry in entries}
    assert 'the catalogue has no "model"' in cli("catalogue", "model").err


SHEET = """name = "ours"
description = "our contract"
source = "our contract"
kind = "set"
[usd_per_million_tokens]
cached_input = 0.1
uncached_input = 0.4
output = 1.6
"""


def test_a_sheet_of_ones_own_prices_is_labelled_as_set(cli: Cli) -> None:
    Path("ours.toml").write_text(SHEET)
    result = cli("scenario", "validate", "--set", "economics.price_sheet=ours.toml")
    assert result.code == 0, result.err


def test_other_prices_without_a_sheet_are_refused(cli: Cli) -> None:
    write(cli)
    result = cli("scenario", "validate", "own.toml", "--set", "economics.other_share=0.2")
    assert "other_share is 0.2 and other_price_sheet is left out" in result.out


@pytest.mark.parametrize(
    ("model", "node", "nodes", "split"),
    [
        ("llama-3.1-405b", "h100", 2, {"tensor_parallel": 8, "pipeline_parallel": 2}),
        ("qwen3-32b", "rtx-4090", 1, {"tensor_parallel": 8, "pipeline_parallel": 1}),
        ("llama-3.1-70b", "h100", 1, {"tensor_parallel": 8, "pipeline_parallel": 1}),
    ],
)
def test_a_model_that_does_not_fit_as_usual_is_shared_out_further(
    cli: Cli, model: str, node: str, nodes: int, split: dict[str, int]
) -> None:
    """102 GB of a GPU's weights on 8 GPUs of 80 GB take two nodes; 33 GB on two GPUs of 24 GB take eight of a node."""
    fleet = ("--nodes", "8", "--gpu-usd-per-hour", "3", "--usd-per-million", "1,1,1", "--timezone", "UTC")
    assert cli("scenario", "init", "--out", "own.toml", "--model", model, "--node", node, *fleet).code == 0
    found = load_scenario("own.toml").scenario.fleet
    assert (found.prefill.nodes, found.decode.nodes) == (nodes, nodes)
    assert {name: getattr(found.engine, name) for name in split} == split
