"""Panes of long work: replays, comparisons, sweeps, and forecasts beside them. Nothing of them is stored."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.helpers.live_pages import LivePages, Scheme, assert_accessible, assert_fits, screenshot
from tests.helpers.served import ROOT, Server, served

WINDOW = {"from": "2026-11-02T10:00", "to": "2026-11-02T12:00"}


@pytest.fixture(scope="module")
def server(own: tuple[Path, list[str]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on loopback whose store has a day and three days of single requests beside the sample."""
    db = tmp_path_factory.mktemp("studies") / "planner.duckdb"
    shutil.copy(own[0], db)
    generated(db, "a-day")
    generated(db, "three-days", "--days", "3", "--noise", "0.05")
    with served(tmp_path_factory.mktemp("served"), db, *own[1]) as made:
        yield made
        assert made.log == ""


def generated(db: Path, name: str, *words: str) -> None:
    """A trace of single requests, as many as a small fleet serves."""
    profile = str(ROOT / "examples" / "chat-day.toml")
    options = ["--name", name, "--scale", "1", "--demand-factor", "0.0005", *words]
    subprocess.run(
        [sys.executable, "-m", "planner", "trace", "generate", profile, *options, "--db", str(db)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=True,
    )


@pytest.fixture(scope="module")
def shown(server: Server) -> dict[str, tuple[str, int]]:
    """Panes and what their jobs made: address and number of charts, by name."""
    begun = {
        "replayed": (server.post(address("/latency/replay", **WINDOW, **{"b.policy.name": "fixed"})), 6),
        "compared": (server.post(address("/policies/compare")), 2),
        "swept": (server.post(address("/sweep/sweep", **{"pane.cases": "20"})), 2),
    }
    panes = {name: (address(f"/{name}"), 0) for name in ("latency", "policies", "sweep")}
    for job, _ in begun.values():
        assert server.job(job)["state"] == "done"
    results = {name: (job.headers["location"], charts) for name, (job, charts) in begun.items()}
    return {**panes, **results, "forecast": (address("/forecast", trace="three-days"), 2)}


def address(path: str, **said: str) -> str:
    return f"{path}?{urlencode({'scenario': 'own-roles', 'trace': 'a-day', **said})}"


def test_a_replay_counts_the_window_that_is_looked_at(server: Server) -> None:
    shown = server.get(address("/latency.json", **WINDOW)).json
    assert (shown["window_start"], shown["window_end"]) == ("2026-11-02T10:00:00+08:00", "2026-11-02T12:00:00+08:00")
    job = server.job(server.post(address("/latency/replay", **WINDOW)))
    assert job["state"] == "done"
    replayed = job["result"]["a"]
    assert (replayed["window_start"], replayed["window_end"]) == (shown["window_start"], shown["window_end"])
    assert 0 < replayed["requests"] <= shown["requests"]
    assert len(replayed["hours"]) == 2
    assert replayed["run_id"] == "unsaved"
    assert server.get("/runs.json").json["runs"] == []


def test_after_a_replay_the_answer_of_the_same_plan_and_window_says_what_was_measured(server: Server) -> None:
    window = {"from": "2026-11-02T14:00", "to": "2026-11-02T15:00"}
    known = [server.get(address("/answer.json", **window)).json["a"]["verdict"]["targets_known_by"]]
    job = server.job(server.post(address("/latency/replay", **window)))
    verdict = server.get(address("/answer.json", **window)).json["a"]["verdict"]
    assert verdict["ttft_p99_ms"] == pytest.approx(job["result"]["a"]["ttft_ms"]["p99"])
    assert verdict["replayed_hours"] == 1
    assert "in the 1 h replayed" in server.get(address("/", **window)).text
    others = (address("/answer.json"), address("/answer.json", **window, **{"policy.floor_nodes": "9"}))
    known += [server.get(other).json["a"]["verdict"]["targets_known_by"] for other in others]
    assert verdict["targets_known_by"] == "replay"
    assert "replay" not in known


def test_replays_of_two_plans_stand_beside_each_other(server: Server) -> None:
    both = {**WINDOW, "b.policy.name": "fixed"}
    begun = server.post(address("/latency/replay", **both))
    result = server.job(begun)["result"]
    assert result["a"]["policy"] != result["b"]["policy"] == "fixed"
    page = server.get(begun.headers["location"]).text
    for words in (
        "Plan A</h2>",
        "Plan B</h2>",
        "Plan A: Latency for users",
        "Plan B: Latency for users",
        "chart-use-b",
    ):
        assert words in page


def test_a_window_that_cannot_be_replayed_is_refused_where_it_is_chosen(server: Server) -> None:
    early = {"from": "2026-11-02T00:05", "to": "2026-11-02T01:00"}
    assert "warms up for" in server.get(address("/latency.json", **early)).json["problem"]
    page = server.get(address("/latency", **early))
    assert page.status == 200
    assert "Replay this window" not in page.text
    job = server.job(server.post(address("/latency/replay", **early)))
    assert job["state"] == "failed"
    assert "warms up for" in job["problem"]


def test_a_sample_is_not_replayed_and_the_cure_is_told(server: Server) -> None:
    assert "planner trace expand chat-day" in server.get(address("/latency.json", trace="chat-day")).json["problem"]
    job = server.job(server.post(address("/latency/replay", trace="chat-day")))
    assert job["state"] == "failed"
    assert "planner trace expand chat-day" in job["problem"]


def test_policies_that_are_chosen_are_compared_with_the_bound(server: Server) -> None:
    usual = server.get(address("/policies.json")).json["policies"]
    assert {"night-training", "reactive", "oracle"} <= {each["policy"] for each in usual if each["chosen"]}
    chosen = {"pane.policy.fixed": "1", "pane.policy.predictive@previous": "1"}
    begun = server.post(address("/policies/compare", **chosen))
    result = server.job(begun)["result"]
    assert {each["policy"] for each in result["policies"]} == {"fixed", "predictive@previous"}
    for each in result["policies"]:
        assert (each["gap_to_bound"] is None) == (not each["within_allowance"])
        assert not each["within_allowance"] or each["node_hours"] >= result["bound"]["node_hours"]
    page = server.get(begun.headers["location"]).text
    for words in ("chart-trade", "chart-nodes", "Over bound"):
        assert words in page
    assert server.get("/runs.json").json["runs"] == []


def test_a_policy_that_is_none_is_refused_in_a_line(server: Server) -> None:
    job = server.job(server.post(address("/policies/compare", **{"pane.policy.<b>": "1"})))
    assert job["state"] == "failed"
    assert 'no policy "<b>"' in job["problem"]


def test_a_sweep_takes_as_many_cases_as_are_asked_for(server: Server) -> None:
    begun = server.post(address("/sweep/sweep", **{"pane.cases": "8"}))
    result = server.job(begun)["result"]
    assert result["cases"] == 8
    ranges = server.get(address("/sweep.json")).json["ranges"]
    assert {each["parameter"] for each in result["parameters"]} <= {each["path"] for each in ranges}
    page = server.get(begun.headers["location"]).text
    for words in ("chart-tornado", "chart-spread", "Quantiles over the cases"):
        assert words in page
    # the pane that a job was begun on lists it, and no other
    link = f'href="{begun.headers["location"]}"'
    assert (link in server.get(address("/sweep")).text, link in server.get(address("/policies")).text) == (True, False)


@pytest.mark.parametrize("cases", ["1", "100001", "many", "-8", "٣٣", ""])
def test_a_number_of_cases_that_is_none_is_refused_in_place(cases: str, server: Server) -> None:
    answered = server.get(address("/sweep.json", **{"pane.cases": cases}))
    assert answered.status == 422
    assert "give 2 to 100,000" in answered.json["problem"]


def test_a_forecast_needs_history_and_says_so(server: Server) -> None:
    shown = server.get(address("/forecast.json")).json
    assert shown["forecast"] is None
    assert "of history" in shown["problem"]
    assert "of history" in server.get(address("/forecast")).text


def test_a_forecast_has_quantiles_and_what_it_heeds(server: Server) -> None:
    forecast = server.get(address("/forecast.json", trace="three-days")).json["forecast"]
    assert forecast["history"]["intervals"] == 3 * 86_400 // forecast["interval_s"]
    assert len(forecast["forecast"]["intervals"]) == forecast["horizon"]
    page = server.get(address("/forecast", trace="three-days")).text
    for words in ("chart-forecast", "chart-errors", "How far each method was off"):
        assert words in page


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1400, "light")])
def test_everybody_can_read_panes_and_results(
    width: int, scheme: Scheme, server: Server, shown: dict[str, tuple[str, int]], browse: LivePages
) -> None:
    for name, (path, charts) in shown.items():
        page = browse(f"{server.address.rstrip('/')}{path}", width=width, scheme=scheme)
        page.locator("body[data-settled]").wait_for(state="attached")
        if charts:
            page.locator(f'body[data-drawn="{charts}"]').wait_for(state="attached")
        screenshot(page, f"{name}-{width}-{scheme}")
        assert_fits(page)
        assert_accessible(page)
