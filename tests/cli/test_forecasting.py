"""Back-tests and forecasts of stored demand, as people ask for them: scores, history from traces, command, page."""

import csv
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from planner.core.demand import Demand, Grid
from planner.core.forecast import demand_forecasts
from planner.core.forecast.backtest import back_test, score
from planner.core.forecast.demand import DemandHistory
from planner.core.forecast.history import Stretch, joined
from planner.core.forecast.naive import SeasonalNaive
from planner.core.forecast.past import Declared, DeclaredSpan
from planner.errors import UsageError
from planner.store import Store
from tests.conftest import Cli
from tests.helpers.drawn_days import UTC
from tests.helpers.live_pages import LivePages, wait_for_charts

HOUR_US = 3_600_000_000
DRAWN = tuple(
    word
    for item in ("trace.days=4", "trace.scale=0.0002", "trace.noise=0.05", "interval_s=3600")
    for word in ("--set", item)
)
"""Four days at one request in five thousand, by the hour."""


def demand_of(*tokens: int, start_us: int = 0, interval_s: int = 21_600) -> Demand:
    """Input tokens as given, output tokens a tenth."""
    values = np.array(tokens, np.int64)
    return Demand(
        grid=Grid(start_us, interval_s, len(values)),
        requests=values,
        input_tokens=values,
        cached_input_tokens=values * 0,
        output_tokens=values // 10,
    )


def stretch(name: str, first: int, *tokens: int, late_us: int = 0, early_us: int = 0) -> Stretch:
    """A trace of hours from the hour `first` on."""
    demand = demand_of(*tokens, start_us=first * HOUR_US, interval_s=3600)
    return Stretch(name, demand, demand.grid.start_us + late_us, demand.grid.end_us - early_us)


def test_scores_by_hand() -> None:
    """Series 10, 20, 0, 40; the season before says 10, 20 of the last two, 20 and 0 of pairs a step later."""
    series = np.array([10.0, 20.0, 0.0, 40.0])
    forecasts = SeasonalNaive(2).rolling(series, 2)
    assert forecasts[2:4].tolist() == [[10, 20], [20, 0]]
    quantiles = {0.5: forecasts + 10, 0.9: np.full_like(forecasts, np.nan)}
    found = score(series, forecasts, quantiles, 2)
    # pairs with an actual: (10, 0), (20, 40), (20, 40)
    assert (found.intervals, found.pairs) == (2, 3)
    assert found.mape == (20 / 40 + 20 / 40) / 2
    assert found.wape == (10 + 20 + 20) / 80
    assert found.bias == (10 - 20 - 20) / 80
    assert found.wape_by_step.tolist() == [(10 + 20) / 40, 20 / 40]
    assert found.coverage == {0.5: 1 / 3, 0.9: None}


def test_nothing_asked_for_has_no_relative_error() -> None:
    series = np.zeros(4)
    found = score(series, SeasonalNaive(2).rolling(series, 1), {}, 2)
    assert (found.mape, found.wape, found.bias, found.pairs) == (None, None, None, 2)


def test_methods_are_compared_over_the_same_intervals() -> None:
    tokens = [100, 200, 300, 50] * 9
    known = DemandHistory.of(demand_of(*tokens), UTC, 4)
    methods = ("seasonal-naive", "day-of-week")
    found = back_test(known, methods, season="week", horizon=4, shares=(0.5,), share=0.5, name="it")
    assert found.first == 28
    assert {each.score.pairs for each in found.tested} == {8 * 4 - 6}
    assert {each.score.wape for each in found.tested} == {0}
    assert found.best() == "seasonal-naive"
    ahead = found.of("day-of-week")["input_tokens"]
    assert ahead.ahead.tolist() == [100, 200, 300, 50]
    # what was forecast four intervals before: known from the second day on
    assert np.isnan(ahead.before[:7]).all()
    assert ahead.before[7:].tolist() == tokens[7:]


def test_a_method_gives_way_to_one_that_has_lost_less() -> None:
    tokens = [int(1000 * 1.05**day * load) for day in range(12) for load in (1, 2, 3, 2)]
    known = DemandHistory.of(demand_of(*tokens), UTC, 4)
    methods = ("day-of-week", "seasonal-naive")
    found = back_test(known, methods, season="day", horizon=4, shares=(0.5,), share=0.5, name="")
    wapes = {each.method: each.score.wape or 0 for each in found.tested if each.series == "input_tokens"}
    assert wapes["seasonal-naive"] < wapes["day-of-week"]
    assert found.best() == found.best(["output_tokens"]) == "seasonal-naive"


def test_what_looks_like_an_outage_is_scored_and_what_is_declared_is_not() -> None:
    tokens = [100, 200, 300, 200] * 9
    tokens[26] = 0
    span = DeclaredSpan(28 * 21_600_000_000, 30 * 21_600_000_000)
    known = DemandHistory.of(demand_of(*tokens), UTC, 1, declared=Declared(incidents=[span]))
    assert np.flatnonzero(np.isnan(known.scored("input_tokens"))).tolist() == [28, 29]
    assert np.flatnonzero(np.isnan(known.usual("input_tokens"))).tolist() == [26, 28, 29]
    methods = ("profile-level", "seasonal-naive")
    found = back_test(known, methods, season="day", horizon=1, shares=(0.5,), share=0.5, name="it")
    for each in found.tested:
        assert (each.score.intervals, each.score.left_out, each.score.pairs) == (32, 2, 30)
        # all 300 of the outage, or 30, were forecast and did not come
        scored = np.delete(getattr(known.demand, each.series), [0, 1, 2, 3, 28, 29])
        assert each.score.wape == pytest.approx(scored.max() / scored.sum())


def test_a_demand_is_forecast_for_policies() -> None:
    known = DemandHistory.of(demand_of(*[100, 200, 300, 50] * 5), UTC, 3)
    found = demand_forecasts(known, "seasonal-naive", 3)
    assert found.input_tokens.shape == found.output_tokens.shape == (20, 3)
    assert found.first_known == 4
    assert found.input_tokens[5].tolist() == [200, 300, 50]
    assert found.output_tokens[5].tolist() == [20, 30, 5]
    # three errors carry the 0.75 quantile; the third step has its third error four + two + three intervals in
    upper = demand_forecasts(known, "seasonal-naive", 3, 0.75)
    assert upper.first_known == 4 + 2 + 3
    assert upper.input_tokens[9].tolist() == [200, 300, 50]
    assert demand_forecasts(known, "seasonal-naive", 3, 0.99).first_known == 20


def test_too_short_a_demand_says_what_is_needed_and_what_is_there() -> None:
    with pytest.raises(UsageError, match=r"needs 168 h \(28 intervals\) of history, and the demand has 120 h \(20"):
        demand_forecasts(DemandHistory.of(demand_of(*[1] * 20), UTC, 4), "holt-winters", 4, season="week")


def test_traces_that_follow_each_other_are_one_history_in_any_order() -> None:
    found = joined([stretch("b", 3, 40, 50), stretch("a", 0, 10, 20, 30)])
    assert found.grid == Grid(0, 3600, 5)
    assert found.input_tokens.tolist() == [10, 20, 30, 40, 50]
    assert found.output_tokens.tolist() == [1, 2, 3, 4, 5]


def test_two_traces_may_share_the_interval_that_they_meet_in() -> None:
    assert joined([stretch("a", 0, 10, 20), stretch("b", 1, 5, 30)]).input_tokens.tolist() == [10, 25, 30]


def test_intervals_that_a_log_half_covers_are_dropped_at_the_ends() -> None:
    tenth = HOUR_US // 10
    assert joined([stretch("a", 0, 1, 2, 3, late_us=tenth, early_us=tenth)]).input_tokens.tolist() == [1, 2, 3]
    found = joined([stretch("a", 0, 1, 2, 3, late_us=tenth + 1), stretch("b", 3, 4, 5, early_us=2 * tenth)])
    assert found.grid == Grid(HOUR_US, 3600, 3)
    assert found.input_tokens.tolist() == [2, 3, 4]


@pytest.mark.parametrize(
    ("first", "message"),
    [
        (5, "between traces a and b 2.00 h of demand are missing"),
        (1, "traces a and b overlap by 2.00 h"),
        (2.5, "same marks"),
    ],
)
def test_gaps_and_overlaps_are_refused(first: float, message: str) -> None:
    other = stretch("b", 0, 1, 2, 3)
    moved = demand_of(1, 2, 3, start_us=int(first * HOUR_US), interval_s=3600)
    with pytest.raises(UsageError, match=message):
        joined([stretch("a", 0, 1, 2, 3), Stretch(other.name, moved, moved.grid.start_us, moved.grid.end_us)])


def test_the_command_compares_every_method_and_forecasts_what_follows(cli: Cli) -> None:
    found = cli("forecast", *DRAWN, "--json").json
    assert (found["interval_s"], found["season"], found["horizon"], found["horizon_s"]) == (3600, "day", 24, 86_400)
    assert found["history"]["intervals"] == 96
    scored = {(each["method"], each["series"]): each for each in found["methods"]}
    assert len(scored) == 8
    for each in scored.values():
        assert (each["intervals"], each["pairs"]) == (72, 72 * 24 - 23 * 24 // 2)
        assert 0 < each["wape"] < 0.2
        assert 0 < each["mape"] < 0.2
        assert abs(each["bias"]) <= each["wape"]
        assert list(each["coverage"]) == ["q50", "q90", "q99"]
        assert [lead["lead_s"] // 3600 for lead in each["wape_by_lead"]] == [1, 3, 6, 12, 24]
    best = found["best"]["method"]
    assert best == "profile-level", "four days are too few to leave the first"
    ahead = found["forecast"]
    assert ahead["method"] == best
    assert (len(ahead["intervals"]), ahead["intervals"][0]["start"]) == (24, found["history"]["end"])
    assert ahead["intervals"][0]["start"] == "2025-03-03T12:00:00+08:00"
    for each in ahead["intervals"]:
        assert each["input_tokens"]["forecast"] > 0
        assert each["input_tokens"]["q50"] <= each["input_tokens"]["q90"]


def test_a_days_share_of_noise_is_all_that_a_profile_leaves_open(cli: Cli) -> None:
    """Without noise every day is the same, up to what rounding moves."""
    words = ["--set" if word == "--set" else word.replace("noise=0.05", "noise=0") for word in DRAWN]
    for each in cli("forecast", *words, "--json").json["methods"]:
        assert each["wape"] < 1e-6


def test_stored_days_are_put_together(cli: Cli) -> None:
    for name, start, end in (("one", "27", "28"), ("two", "28", None)):
        until = ("--to", f"2025-02-{end}T12:00+08:00") if end else ()
        words = ("--name", name, "--days", "3", "--scale", "0.0002", "--from", f"2025-02-{start}T12:00+08:00", *until)
        assert cli("trace", "generate", *words).code == 0
    apart = cli("forecast", "--trace", "two", "--trace", "one", "--method", "holt-winters", "--json").json
    assert apart["traces"] == ["two", "one"]
    assert apart["trace"] == "two, one"
    whole = cli("forecast", "--method", "holt-winters", "--json", *DRAWN[:4], "--set", "trace.days=3").json
    assert apart["history"] == whole["history"]
    assert apart["methods"] == whole["methods"]


def test_the_page_for_people_shows_scores_and_the_next_hours(cli: Cli) -> None:
    shown = cli("forecast", *DRAWN, "--horizon", "2", "--set", "policy.quantile=0.8").out
    for word in (
        "MAPE",
        "WAPE",
        "bias",
        "1 h ahead",
        "2 h ahead",
        "≤ q80",
        "to use at these leads",
        "holt-winters",
        "tokens/s",
    ):
        assert word in shown
    assert len(re.findall(r"^ *2025-03-03 1[23]:00", shown, re.MULTILINE)) == 2


def test_the_scenarios_settings_count(cli: Cli) -> None:
    found = cli("forecast", *DRAWN, "--set", "forecast.horizon_s=5400", "--method", "seasonal-naive", "--json").json
    assert found["horizon"] == 2
    assert [each["method"] for each in found["methods"]] == ["seasonal-naive"] * 2


def test_a_page_with_charts_and_tables_is_written(cli: Cli, tmp_path: Path, browse: LivePages) -> None:
    folder = tmp_path / "page"
    found = cli("forecast", *DRAWN, "--out", str(folder), "--json").json
    assert {Path(file).name for file in found["files"]} == {
        "index.html", "forecast.svg", "forecast.png", "forecast.csv", "errors.svg", "errors.png", "errors.csv",
        "methods.csv",
    }  # fmt: skip
    wait_for_charts(browse(folder / "index.html"), 2)
    assert browse.requests == [(folder / "index.html").as_uri()]
    with (folder / "forecast.csv").open() as file:
        rows: list[dict[str, Any]] = list(csv.DictReader(file))
    assert len(rows) == 72 + 24
    ahead = found["forecast"]["intervals"]
    for row, each in zip(rows[72:], ahead, strict=True):
        assert row["interval_start"] == each["start"]
        assert row["input_tokens_per_s"] == ""
        assert math.isclose(float(row["output_forecast_tokens_per_s"]) * 3600, each["output_tokens"]["forecast"])


def test_a_page_draws_a_week_and_lists_everything_where_something_is_flagged(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A date that is ignored, which three days of the past would show half of."""
    monkeypatch.setattr("planner.report.pages.chart_script", lambda: "")
    words = ("--set", "forecast.ignore=['2025-02-28']", "--method", "seasonal-naive", "--horizon", "2")
    found = cli("forecast", *DRAWN, *words, "--out", "page", "--json").json
    flags = [
        {
            "kind": "ignored",
            "start": "2025-02-28T00:00:00+08:00",
            "end": "2025-03-01T00:00:00+08:00",
            "ratio": None,
            "planned": False,
        }
    ]
    assert found["flags"] == flags
    note = "2025-02-28 is left out of forecasts: in forecast.ignore"
    assert note in found["notes"]
    with (tmp_path / "page" / "flags.csv").open() as file:
        assert list(csv.DictReader(file)) == [
            {"kind": "ignored", "start": flags[0]["start"], "end": flags[0]["end"], "what": "in forecast.ignore"}
        ]
    with (tmp_path / "page" / "forecast.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 96 + 2
    page = (tmp_path / "page" / "index.html").read_text()
    assert f"<li>{note}</li>" in page
    assert "Shaded times are left out of forecasts" in page
    assert '"kind": "ignored", "what": "in forecast.ignore"' in page


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ((), 2, "needs 24 h (96 intervals) of history and something after it to compare with"),
        (("--method", "magic"), 2, "use all, auto or one of profile-level"),
        (("--horizon", "0"), 2, "give hours above 0"),
        (("--horizon", "nan"), 2, "give hours above 0"),
        (("--trace", "nope"), 1, 'no trace "nope"'),
        (("--set", "interval_s=420", "--set", "trace.days=3"), 2, "not a whole number of intervals of 7 min"),
        (("--set", "interval_s=60", "--set", "trace.days=6", "--horizon", "336"), 2, "are more than 10,000,000"),
        (("--set", "forecast.season=week", "--set", "trace.days=7"), 2, "--set trace.days=8"),
        (("--set", "policy.quantile=1"), 2, "policy.quantile"),
        (("--set", "forecast.method=guess"), 2, "forecast.method"),
    ],
)
def test_what_cannot_be_forecast_gives_one_line(
    cli: Cli, planned: Store, words: tuple[str, ...], code: int, message: str
) -> None:
    scale = ("--set", "trace.scale=0.0002") if words and "trace" not in words[0] else ()
    result = cli("forecast", *words, *scale)
    assert (result.code, result.out, result.err.count("\n")) == (code, "", 1)
    assert message in result.err


def test_a_folder_that_cannot_be_written_is_named(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = cli("forecast", *DRAWN, "--out", str(tmp_path / "file" / "page"))
    assert (result.code, result.out) == (1, "")
    assert "name another folder with --out" in result.err
