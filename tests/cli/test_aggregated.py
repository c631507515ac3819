"""Fleets whose units read prompts and decode on the same GPUs: planned from the hardware up, and replayed."""

from pathlib import Path

import pytest

from tests.conftest import Cli
from tests.helpers.aggregated import CHAT
from tests.helpers.conversations import write_log


@pytest.fixture
def fleet(tmp_path: Path, cli: Cli) -> str:
    """A scenario, and a log of two hours of 300 conversations in the store."""
    write_log(tmp_path / "log.csv")
    cli("trace", "import", "log.csv", "--name", "log")
    path = tmp_path / "chat.toml"
    path.write_text(CHAT)
    return str(path)


def test_a_plan_has_units_their_nodes_and_bands(cli: Cli, fleet: str) -> None:
    found = cli("plan", fleet, "--set", "policy.name=predictive", "--set", "policy.demand_source=trace", "--json").json
    units = cli("sql", "SELECT * FROM plan_interval ORDER BY interval_start", "--format", "json").json
    assert {row["prefill_units"] for row in units} == {row["decode_units"] for row in units} == {0}
    for row in units:
        assert row["inference_nodes"] >= -(-row["aggregated_units"] // 4)
        assert row["steady_shortfall_input_tokens"] == row["steady_shortfall_output_tokens"] == 0
    assert {band["figure"] for band in found["bands"]} >= {"need_nodes", "peak_nodes", "cost_usd"}
    for band in found["bands"]:
        assert band["low"] <= band["value"] <= band["high"]
    assert found["fleet_cost_usd"] == 2 * 8 * 2.0 * found["intervals"] * found["interval_s"] / 3600


def test_all_gpus_of_a_unit_that_is_given_in_gpus_share_attention(cli: Cli, fleet: str, tmp_path: Path) -> None:
    each = "SELECT max(decode_capacity_tokens / aggregated_units) AS tokens FROM plan_interval"
    carried = []
    for unit in ("{ gpus = 2 }", "{ gpus = 4 }", "{ nodes = 1 }"):
        path = tmp_path / "other.toml"
        path.write_text(CHAT.replace("{ gpus = 2 }", unit))
        run_id = cli("plan", str(path), "--json").json["run_id"]
        carried.append(cli("sql", f"{each} WHERE run_id = '{run_id}'", "--format", "json").json[0]["tokens"])
    # four GPUs that share attention carry less than two pairs, as more is exchanged; eight by themselves are a unit
    assert carried[0] < carried[1] < 2 * carried[0]
    assert carried[2] > carried[1]
    uneven = cli("plan", fleet, "--set", "fleet.unit.gpus=3", "--set", "fleet.engine.pipeline_parallel=2")
    assert (uneven.code, uneven.out) == (2, "")
    assert "fleet.unit.gpus is 3, which is not a whole number of 2 stages" in uneven.err


def test_every_request_is_replayed_and_none_is_lost(cli: Cli, fleet: str) -> None:
    found = cli("replay", fleet, "--all", "--keep-requests", "--json").json
    assert found["serving"] == "aggregated"
    assert found["requests"] == found["completed"] + found["in_flight"] + found["rejected"]
    assert found["slo"]["both_attainment"] > 0.99
    rows = cli("sql", "SELECT count(*) AS n, count(ttft_us) AS told FROM replay_request", "--format", "json").json
    assert rows == [{"n": found["requests"], "told": found["requests"]}]
    roles = cli("sql", "SELECT DISTINCT role FROM replay_unit", "--format", "json").json
    assert roles == [{"role": "aggregated"}]


def test_a_replay_tells_units_that_do_both(cli: Cli, fleet: str) -> None:
    shown = cli("replay", fleet).out
    assert "balancers             two-key; hits as in the trace\n" in shown
    assert "requests on average; 0 preempted by full memory\n" in shown
    assert "prefill" not in shown.replace("missed tok/s per prefill node", "")


@pytest.mark.parametrize("order", ["decode-first", "prefill-first"])
def test_orders_of_steps(cli: Cli, fleet: str, order: str) -> None:
    found = cli("replay", fleet, "--set", f"replay.order={order}", "--json").json
    assert found["completed"] > 0


def test_fewer_sequences_and_tokens_of_a_step_make_requests_wait(cli: Cli, fleet: str) -> None:
    free = cli("replay", fleet, "--json").json
    one = cli(
        "replay", fleet, "--set", "replay.max_sequences=1", "--set", "replay.max_batched_tokens=64", "--json"
    ).json
    assert one["ttft_ms"]["p99"] > free["ttft_ms"]["p99"]
    assert one["streams_per_gpu"] <= 0.5


def test_failures_take_all_units_of_a_node_and_requests_are_read_again(cli: Cli, fleet: str) -> None:
    found = cli(
        "replay", fleet, "--set", "failures.per_node_per_day=40", "--set", "failures.repair_s=60", "--json"
    ).json
    failed = found["failures"]
    assert failed["prefill"] == failed["decode"] == {"units": 0, "requests": 0}
    assert failed["aggregated"]["units"] > 0
    assert failed["aggregated"]["units"] % 4 == 0
    assert found["requests"] == found["completed"] + found["in_flight"] + found["rejected"]


def test_the_ends_of_bands_are_replayed(cli: Cli, fleet: str) -> None:
    found = cli("replay", fleet, "--bands", "--json").json
    bands = {band["figure"]: band for band in found["bands"]}
    assert bands["tpot_ms.p50"]["low"] < bands["tpot_ms.p50"]["value"] < bands["tpot_ms.p50"]["high"]


def test_closed_sessions_shift_what_follows_late_answers(cli: Cli, fleet: str) -> None:
    found = cli("replay", fleet, "--set", "replay.sessions=closed", "--all", "--json").json
    open_ = cli("replay", fleet, "--all", "--json").json
    assert open_["shifts"] is None
    shifts = found["shifts"]
    assert shifts["turns"] > 0
    assert shifts["absent"] == 0
    # nobody is answered earlier than alone, so that nobody comes much earlier; some come a little later
    assert -0.05 < shifts["p50_s"] < 1
    assert shifts["p50_s"] <= shifts["p99_s"]
    shown = cli("replay", fleet, "--set", "replay.sessions=closed", "--all").out
    assert f"closed: {shifts['turns']:,} later turns, " in shown


def test_replays_of_failures_tell_of_the_one_role_that_there_is(cli: Cli, fleet: str) -> None:
    failing = ("--set", "failures.per_node_per_day=40", "--set", "failures.repair_s=60")
    done = cli("resilience", fleet, *failing, "--target", "0.5", "--replay", "--seeds", "1")
    assert done.code == 0, done.err
    assert "means over seeds; units and requests: of all seeds" in done.out
    replays = done.out.partition("without failures")[2]
    assert "+" not in replays
    assert "no unit failed" not in replays


@pytest.mark.parametrize(
    ("sets", "told"),
    [
        (
            ("replay.ranks=exact",),
            "replay.ranks is exact, and a unit that reads prompts and decodes is replayed as one",
        ),
        (("replay.prefill_balancer=least-kv",), "use two-key"),
        (("replay.queue_mode=window",), "replay.queue_mode is window, which has no meaning"),
        (("replay.max_sequences=9000",), "replay.max_sequences is 9000, and steps are known for up to"),
        (("replay.sessions=closed", "trace.demand_factor=2"), "turns would be repeated or left out"),
        (("slo.tpot_ms=0.1",), "raise the target, or use faster nodes"),
        (("policy.name=slo", "slo.ttft_ms=0.1"), "slo.ttft_ms is 0.1, but a unit with a free place"),
    ],
)
def test_what_has_no_meaning_is_refused_in_a_line(cli: Cli, fleet: str, sets: tuple[str, ...], told: str) -> None:
    refused = cli("replay", fleet, *(word for text in sets for word in ("--set", text)))
    assert (refused.code, refused.out) == (2, "")
    assert told in refused.err
    assert refused.err.count("\n") == 1


def test_closed_sessions_need_sessions(cli: Cli, fleet: str, tmp_path: Path) -> None:
    text = (tmp_path / "log.csv").read_text().splitlines()
    (tmp_path / "alone.csv").write_text("\n".join(line.rpartition(",")[0] for line in text) + "\n")
    cli("trace", "import", "alone.csv", "--name", "alone")
    refused = cli("replay", fleet, "--trace", "alone", "--set", "replay.sessions=closed")
    assert refused.code == 2
    assert "trace alone has no sessions; set replay.sessions=open" in refused.err


def test_the_policy_slo_says_how_full_units_may_be(cli: Cli, fleet: str) -> None:
    shown = cli("plan", fleet, "--set", "policy.name=slo", "--set", "policy.demand_source=trace").out
    assert "of what units carry: a prompt alone takes" in shown
