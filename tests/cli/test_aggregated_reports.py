"""What is shown of a plan whose units do both: figures, pages, tables, differences of runs."""

import csv
import io
import re
from pathlib import Path

from tests.conftest import Cli
from tests.helpers.aggregated_days import NODES, PLANNED, import_day, plan

HELD = [-(-count // 4) for count in PLANNED]
"""Nodes, four units to each."""


def table(name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(Path(f"page/{name}.csv").read_text())))


def test_a_plan_counts_units_and_says_what_shares_a_node(cli: Cli, tmp_path: Path) -> None:
    import_day(cli, tmp_path)
    plan(cli)
    shown = cli("run", "show").out
    mean = sum(PLANNED) / 24
    assert f"units                 peak 9, mean {mean:.2f}; 4 share a node, which is held while any unit" in shown
    assert f"inference nodes       peak 3, mean {sum(HELD) / 24:,.2f}" in shown
    assert re.search(r"run-00001 .* predictive +3 ", cli("run", "list").out)


def test_units_of_a_whole_node_share_none(cli: Cli, tmp_path: Path) -> None:
    import_day(cli, tmp_path)
    plan(cli, "fleet.unit.gpus=8", "fleet.nodes=12")
    shown = cli("run", "show").out
    assert f"units                 peak 9, mean {sum(PLANNED) / 24:.2f}\n" in shown
    assert cli("report", "--out", "page").code == 0
    assert "share a node" not in Path("page/index.html").read_text()


def test_more_places_on_a_node_need_fewer_of_them(cli: Cli, tmp_path: Path) -> None:
    import_day(cli, tmp_path)
    whole = plan(cli, "fleet.unit.gpus=8", "fleet.nodes=12")["node_hours"]
    parts = plan(cli)["node_hours"]
    assert whole == sum(PLANNED)
    assert sum(NODES) <= parts == sum(HELD) < whole


def test_a_report_draws_both_kinds_of_tokens_and_counts_units(cli: Cli, tmp_path: Path) -> None:
    import_day(cli, tmp_path)
    plan(cli)
    assert cli("report", "--out", "page").code == 0
    page = Path("page/index.html").read_text()
    assert f'<dt>Units, mean</dt><dd class="value">{sum(PLANNED) / 24:.2f}</dd>' in page
    assert '<dd class="note">9 at the peak; 4 share a node' in page
    assert "that units carry while they serve, at the mix of each interval (dashed)" in page
    assert "for prefill and decode" not in page
    assert '"prefill, input tokens"' not in page
    rows = table("nodes")
    assert [(int(row["aggregated_units"]), int(row["inference_nodes"])) for row in rows] == [
        *zip(PLANNED, HELD, strict=True)
    ]
    fields = {row["field"] for row in table("provenance")}
    assert {"fleet.unit.gpus", "fleet.base.aggregated"} <= fields
    assert not fields & {"fleet.prefill.nodes", "fleet.base.decode", "fleet.step.prefill"}


def test_a_report_of_two_roles_has_no_units_card(cli: Cli, planned: object) -> None:
    assert cli("report", "--out", "page").code == 0
    assert "<dt>Units, mean</dt>" not in Path("page/index.html").read_text()
    assert "aggregated_units" not in Path("page/nodes.csv").read_text().splitlines()[0]


def test_runs_differ_in_units_where_nodes_are_the_same(cli: Cli, tmp_path: Path) -> None:
    import_day(cli, tmp_path)
    plan(cli)
    # a spare unit fits in the places that are left, but for the hours of eight units that become nine of three nodes
    plan(cli, "policy.spare_aggregated_units=1")
    document = cli("run", "diff", "run-00001", "run-00002", "--json").json
    others = sum(-(-(count + 1) // 4) != nodes for count, nodes in zip(PLANNED, HELD, strict=True))
    assert (document["intervals_with_other_nodes"], document["intervals_with_other_units"]) == (others, 24)
    printed = cli("run", "diff", "run-00001", "run-00002").out
    assert f"{others} of 24 common intervals have different nodes, 24 different units" in printed


def test_sql_has_the_units_and_what_they_carry_at_the_mix(cli: Cli, tmp_path: Path) -> None:
    import_day(cli, tmp_path)
    plan(cli)
    rows = cli("sql", "--name", "run_intervals", "--param", "run_id=run-00001", "--format", "json").json
    assert [row["aggregated_units"] for row in rows] == PLANNED
    assert {(row["prefill_units"], row["decode_units"]) for row in rows} == {(0, 0)}
    # half of what a unit carries are prompts, as half of what is demanded
    assert [row["prefill_capacity_tokens"] for row in rows] == [18_000 * count for count in PLANNED]
    assert [row["decode_capacity_tokens"] for row in rows] == [18_000 * count for count in PLANNED]
