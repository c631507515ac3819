"""The report: one page that draws every chart offline, with the same figures in tables and files."""

import json
import os
import re
import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path

import altair as alt
import polars as pl
import pytest

from planner.catalogue.fields import field_paths, has_meaning
from planner.catalogue.scenarios import load_scenario
from planner.planning.idle import unused
from planner.planning.plan import plan_and_store
from planner.report.charts import charts
from planner.report.colours import CHART
from planner.report.write import write_report
from planner.runs.read import RunView, load_run, read_run
from planner.store import Store
from planner.trace.synthetic.profile import load_profile
from tests.conftest import NOW, SMALL, Cli, minute_log
from tests.helpers.live_pages import LivePages, wait_for_charts

CHARTS = ("nodes", "economics", "demand", "waterfall")
TABLES = (*CHARTS, "training_windows", "provenance")

GOLDEN = Path(__file__).parents[1] / "golden" / "page.html"


@pytest.fixture
def run(planned: Store) -> RunView:
    with planned.read() as session:
        return read_run(session)


def test_a_report_is_a_page_and_a_picture_and_a_table_of_everything(run: RunView, tmp_path: Path) -> None:
    files = write_report(run, tmp_path / "r")
    expected = {"index.html", *(f"{c}.{k}" for c in CHARTS for k in ("png", "svg")), *(f"{t}.csv" for t in TABLES)}
    assert {file.name for file in files} == expected == {path.name for path in (tmp_path / "r").iterdir()}


def test_pictures_are_whole(run: RunView, tmp_path: Path) -> None:
    write_report(run, tmp_path / "r")
    for name in CHARTS:
        png = (tmp_path / "r" / f"{name}.png").read_bytes()
        assert png.startswith(b"\x89PNG")
        assert png.endswith(b"IEND\xaeB`\x82")
        root = ET.fromstring((tmp_path / "r" / f"{name}.svg").read_text())
        assert root.tag.endswith("svg")


def test_every_chart_has_a_title_a_description_and_its_table(run: RunView) -> None:
    for chart in charts(run, {}):
        assert chart.spec["title"] == chart.title
        assert chart.spec["description"] == chart.description
        assert len(chart.description) > 60
        assert chart.table.height > 0


def test_tables_hold_the_figures_of_the_run(run: RunView, tmp_path: Path) -> None:
    write_report(run, tmp_path / "r")
    nodes = pl.read_csv(tmp_path / "r" / "nodes.csv")
    assert nodes.height == 96
    assert nodes["inference_nodes"].mean() == run.summary.mean_nodes
    assert nodes["published_nodes"].mean() == 226.75
    assert nodes["interval_start"][0] == "2025-02-27T12:00:00+08:00"
    hours = pl.read_csv(tmp_path / "r" / "economics.csv")
    assert hours["cost_usd"].sum() == pytest.approx(run.summary.cost_usd)
    demand = pl.read_csv(tmp_path / "r" / "demand.csv")
    assert demand["input_tokens_per_s"].sum() * 900 == pytest.approx(run.summary.input_tokens)


def test_the_page_says_of_every_setting_where_it_comes_from(run: RunView, tmp_path: Path) -> None:
    write_report(run, tmp_path / "r")
    table = pl.read_csv(tmp_path / "r" / "provenance.csv")
    without_effect = unused(run.scenario)
    paths = [path for path in field_paths() if path not in without_effect and has_meaning(run.scenario, path)]
    assert table["field"].to_list()[: len(paths)] == paths
    others = dict(table.select("field", "value").rows()[len(paths) :])
    assert others["gpu_rates/h800.rental"] == "2.0 USD per GPU-hour"
    assert others["prices/deepseek-r1.output"] == "2.19 USD per million tokens"
    assert others["profile/deepseek-2025-02-27.totals.output_tokens"] == "168000000000"
    assert table["source"].is_not_null().all()
    assert set(table["kind"]) <= {"published", "computed", "fitted", "inferred", "assumed", "set"}
    page = (tmp_path / "r" / "index.html").read_text()
    for path in paths:
        assert f">{path}</td>" in page
    assert "trace.profile" in paths
    assert "economics.other_price_sheet" not in paths  # of no traffic
    assert "deepseek-v3" not in page.partition("<script>")[0]


def test_the_page_names_no_outside_address_but_in_the_drawing_library(run: RunView, tmp_path: Path) -> None:
    write_report(run, tmp_path / "r")
    page = (tmp_path / "r" / "index.html").read_text()
    before, _, rest = page.partition("<script>")
    after = rest.partition("</script>")[2]
    for part in (before, after.replace("https://vega.github.io/schema/vega-lite/", "")):
        assert "http://" not in part
        assert "https://" not in part


def test_what_users_name_cannot_break_out_of_the_page(planned: Store, tmp_path: Path) -> None:
    hostile = "</script><script>alert(1)</script>"
    scenario = load_scenario(None, [f"name={hostile}", f"description={hostile}"]).scenario
    plan_and_store(planned, scenario, now=NOW)
    with planned.read() as session:
        write_report(read_run(session), tmp_path / "r")
    assert "<script>alert" not in (tmp_path / "r" / "index.html").read_text()


def test_a_missed_limit_stands_on_the_page(planned: Store, cli: Cli) -> None:
    assert cli("plan", "--set", "economics.budget_usd=100").code == 3
    assert cli("report", "--out", "r").code == 0
    page = Path("r/index.html").read_text()
    assert '<p class="verdict missed">Misses 1 limit (inference costs $87,072.00 and ' in page


def test_a_folder_that_cannot_be_written_is_named(planned: Store, cli: Cli) -> None:
    Path("file").write_text("")
    for folder in ("file/r", "é" * 200):
        result = cli("report", "--out", folder)
        assert result.code == 1
        assert "name another folder with --out" in result.err


def test_the_published_timeline_is_drawn_only_where_there_is_one(run: RunView) -> None:
    published = load_profile("deepseek-2025-02-27").published_nodes()
    assert "published_nodes" in charts(run, published)[0].table.columns
    assert "published_nodes" not in charts(run, {})[0].table.columns


@pytest.mark.parametrize(
    "setting", ["fleet.nodes=300", "fleet.decode.nodes=9", "fleet.engine.model=deepseek-v3.2", "trace.demand_factor=2"]
)
def test_the_published_timeline_is_not_drawn_over_another_fleet_model_or_demand(cli: Cli, setting: str) -> None:
    sets = [word for text in ("trace.scale=0.0002", "fleet.capacity=modelled", setting) for word in ("--set", text)]
    assert cli("plan", *sets).code in (0, 3)
    assert cli("report", "--out", "r").code == 0
    assert "published_nodes" not in pl.read_csv("r/nodes.csv").columns
    page = Path("r/index.html").read_text()
    assert "inference, published" not in page
    assert "<code>planner reference</code>" not in page


def test_the_published_timeline_is_drawn_for_the_stored_trace_by_name_too(planned: Store, cli: Cli) -> None:
    name = cli("trace", "list", "--json").json[0]["trace"]
    assert cli("plan", "--trace", name).code == 0
    assert cli("report", "--out", "r").code == 0
    assert "published_nodes" in pl.read_csv("r/nodes.csv").columns


def test_no_time_comes_twice_on_a_chart_where_the_clock_changes(cli: Cli, tmp_path: Path, store: Store) -> None:
    hours = [f"2025-10-{day}T{hour:02d}:30:00Z,1,1" for day, hour in ((25, 22), (25, 23), (26, 0), (26, 1), (26, 2))]
    (tmp_path / "l.csv").write_text("arrival,input_tokens,output_tokens\n" + "\n".join(hours) + "\n")
    cli("trace", "import", "l.csv", "--format", "csv", "--name", "dst")
    sets = [word for override in (*SMALL, "timezone=Europe/Berlin") for word in ("--set", override)]
    assert cli("plan", "--trace", "dst", *sets).code == 0
    spec = charts(load_run(store), {})[0].spec
    assert "the clock changes during the plan" in json.dumps(spec)
    for rows in spec["datasets"].values():
        times = [row["local_time"] for row in rows]
        assert times == sorted(set(times))


def test_a_real_browser_draws_every_chart_offline_without_an_error(
    run: RunView, tmp_path: Path, browse: LivePages
) -> None:
    write_report(run, tmp_path / "r", pictures=False)
    page = tmp_path / "r" / "index.html"
    wait_for_charts(browse(page), len(CHARTS))
    assert browse.requests == [page.as_uri()]


def test_charts_are_as_wide_as_a_phone_and_in_the_colours_of_the_page(
    run: RunView, tmp_path: Path, browse: LivePages
) -> None:
    """Colours are variables of the style sheet, which follow the reader's setting: none of a file's stays in them."""
    write_report(run, tmp_path / "r", pictures=False)
    page = browse(tmp_path / "r" / "index.html", width=390)
    wait_for_charts(page, len(CHARTS))
    drawn = page.eval_on_selector_all("svg.marks", "all => all.map((each) => each.width.baseVal.value)")
    assert len(drawn) == len(CHARTS)
    assert all(300 < width <= 390 for width in drawn)
    pictures = page.eval_on_selector_all("svg.marks", "all => all.map((each) => each.outerHTML).join('')")
    assert "var(--main)" in pictures
    assert not any(colour.light in pictures for colour in CHART.values())


def test_a_browser_draws_a_short_imported_trace_too(cli: Cli, tmp_path: Path, browse: LivePages) -> None:
    log = minute_log(tmp_path / "log.csv", [(600, 100), (0, 0), (2000, 0)])
    cli("trace", "import", str(log), "--format", "csv", "--name", "t")
    sets = [word for override in SMALL for word in ("--set", override)]
    assert cli("plan", "--trace", "t", *sets).code == 0
    assert cli("report", "--out", "r").code == 0
    wait_for_charts(browse(tmp_path / "r" / "index.html"), len(CHARTS))


def test_the_demand_of_a_plan_by_forecasts_shows_what_they_heed(
    cli: Cli, tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event is shaded for its time, cut to the plan; a policy that forecasts nothing heeds nothing."""
    monkeypatch.setattr("planner.report.pages.chart_script", lambda: "")
    (tmp_path / "own.toml").write_text(
        'extends = "deepseek-2025-02-27"\nname = "own"\ninterval_s = 3600\n[trace]\ndays = 3\nscale = 0.0002\n'
        '[[event]]\nname = "sale"\nfrom = 2025-03-02T10:00:00\nto = 2025-03-02T20:00:00\nfactor = 1.5\n'
    )
    sets = ("--set", "policy.name=predictive", "--set", "policy.demand_source=forecast")
    plan = cli("plan", "own.toml", *sets, "--json").json
    note = "2025-03-02 10:00 to 20:00 is planned for 1.5 times the usual demand, and not learned from: event sale"
    assert note in plan["notes"]
    write_report(load_run(store), tmp_path / "r", pictures=False)
    page = (tmp_path / "r" / "index.html").read_text()
    assert f"<li>{note}</li>" in page
    shaded = {
        "local_time": "2025-03-02T10:00:00Z",
        "local_end": "2025-03-02T12:00:00Z",
        "kind": "event",
        "what": "event sale, 1.5 times the usual demand",
    }
    assert json.dumps(shaded) in page
    assert "Times with a dashed edge are declared: event sale, 1.5 times the usual demand." in page
    assert pl.read_csv(tmp_path / "r" / "flags.csv").row(0)[1:3] == (
        "2025-03-02T10:00:00+08:00",
        "2025-03-02T20:00:00+08:00",
    )
    cli("plan", "own.toml")
    assert write_report(load_run(store), tmp_path / "r2", pictures=False)
    assert not (tmp_path / "r2" / "flags.csv").exists()


def test_the_page_of_a_small_plan_is_the_golden_one(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    """The page without the drawing library. PLANNER_UPDATE_GOLDEN=1 writes it anew; read the difference."""
    log = minute_log(tmp_path / "log.csv", [(600, 100), (700, 1250), (100, 100), (2000, 0)])
    cli("trace", "import", str(log), "--format", "csv", "--name", "four")
    scenario = load_scenario(None, [*SMALL, "trace.name=four"]).scenario
    monkeypatch.setattr("planner.planning.plan.version", lambda: "0.0.0")
    run = load_run(store, plan_and_store(store, scenario, now=NOW))
    monkeypatch.setattr("planner.report.pages.chart_script", lambda: "")
    write_report(run, tmp_path / "r")
    page = (tmp_path / "r" / "index.html").read_text()
    if os.environ.get("PLANNER_UPDATE_GOLDEN"):
        GOLDEN.write_text(page)
    assert page == GOLDEN.read_text()


def test_long_plans_are_drawn_by_week_and_day(planned: Store, cli: Cli, tmp_path: Path) -> None:
    """A map of 7 days and 24 hours, a bar a day, and lines by hour; the tables have every interval."""
    arguments = ("--set", "trace.days=28", "--set", "trace.scale=0.0002", "--set", "interval_s=900")
    assert cli("plan", *arguments).code == 0
    run = load_run(planned)
    drawn = {chart.name: chart for chart in charts(run, {})}
    assert list(drawn) == ["week", "days", "demand", "waterfall"]
    for chart in drawn.values():
        assert len(json.dumps(chart.spec)) < 500_000
    assert drawn["week"].table.height == 7 * 24
    assert drawn["week"].table["peak_nodes"].max() == run.summary.peak_nodes
    days = drawn["days"].table
    assert days.height == 29  # noon to noon
    assert days["hours"].to_list() == [12, *[24] * 27, 12]
    assert "The plan has only 12 h of 2025-02-27, 12 h of 2025-03-27." in drawn["days"].description
    assert days["cost_usd"].sum() == pytest.approx(run.summary.cost_usd)
    assert days["training_node_hours"].sum() == pytest.approx(run.summary.training_node_hours)
    assert "Drawn by hour" in drawn["demand"].description
    write_report(run, tmp_path / "r", pictures=False)
    assert pl.read_csv(tmp_path / "r" / "nodes.csv").height == 28 * 96
    assert pl.read_csv(tmp_path / "r" / "economics.csv").height == 28 * 24


@pytest.mark.parametrize(
    ("policy", "steps"), [("fixed", ["278"]), ("night-training", ["68 to 102", "103 to 137", "138 to 172", "173 to 207",
                                                                  "208 to 242", "243 to 278"])]
)  # fmt: skip
def test_the_steps_of_the_map_hold_all_nodes_once(planned: Store, cli: Cli, policy: str, steps: list[str]) -> None:
    assert (
        cli("plan", "--set", "trace.days=5", "--set", "trace.scale=0.0002", "--set", f"policy.name={policy}").code == 0
    )
    week = charts(load_run(planned), {})[0]
    cells = [row for row in week.spec["datasets"]["rows-1"] if row["nodes"]]
    assert week.spec["layer"][0]["encoding"]["fill"]["scale"]["domain"] == steps
    for row in cells:
        low, high = (row["step"].split(" to ") * 2)[:2]
        assert int(low) <= row["nodes"] <= int(high)


def test_the_lines_of_a_plan_of_four_days_are_drawn(planned: Store, cli: Cli) -> None:
    assert cli("plan", "--set", "trace.days=4", "--set", "trace.scale=0.0002").code == 0
    assert [chart.name for chart in charts(load_run(planned), {})] == list(CHARTS)


def test_steps_that_change_nothing_are_no_part_of_the_way_to_expected_revenue(planned: Store, cli: Cli) -> None:
    steps = ("theoretical: all at deepseek-r1 list price", "off-peak discount", "expected")
    chart = charts(load_run(planned), {})[-1]
    assert chart.table["step"].to_list() == list(steps)
    assert cli("plan", "--set", "economics.off_peak=false").code == 0
    assert "waterfall" not in [each.name for each in charts(load_run(planned), {})]


def test_specifications_are_ones_that_vega_lite_allows(run: RunView) -> None:
    for chart in charts(run, load_profile("deepseek-2025-02-27").published_nodes()):
        assert alt.Chart.from_dict(dict(chart.spec), validate=True)


def test_a_page_is_read_by_headings_landmarks_and_keyboard(run: RunView, tmp_path: Path) -> None:
    write_report(run, tmp_path / "r", pictures=False)
    page = (tmp_path / "r" / "index.html").read_text()
    body = re.sub(r"<script.*?</script>", "", page.partition("<body")[2], flags=re.DOTALL)
    levels = [int(level) for level in re.findall(r"<h([1-6])", body)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    for landmark in ("<header>", '<main id="content"', "<footer>", '<a class="skip" href="#content">'):
        assert body.count(landmark) == 1
    assert body.count('role="img" aria-label="') == len(CHARTS)
    assert body.count('tabindex="0" role="region" aria-label="Table: ') == len(TABLES)
    assert body.index('class="verdict') < body.index('class="cards"') < body.index('class="chart"')


def test_a_report_of_one_interval_reads_well(cli: Cli, tmp_path: Path, store: Store) -> None:
    cli("trace", "import", str(minute_log(tmp_path / "l.csv", [(60, 60)])), "--format", "csv", "--name", "t")
    cli("plan", "--trace", "t", *[word for override in SMALL for word in ("--set", override)])
    write_report(load_run(store), tmp_path / "r", pictures=False)
    page = re.sub(r"<script.*?</script>", "", (tmp_path / "r" / "index.html").read_text(), flags=re.DOTALL)
    one = r"(?<![\d.,])(?<!of )1 (?:nodes|node-hours|hours|requests|notes)\b"
    assert re.findall(rf".{{0,60}}{one}.{{0,60}}", page) == []
