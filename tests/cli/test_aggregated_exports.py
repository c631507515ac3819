"""Exports of units that do both, several to a node: one workload, whole nodes, and the way back as a timetable."""

import csv
import io
import json
from pathlib import Path

import jsonschema
import kubernetes_validate
import numpy as np
import pytest

from planner.documents import schema as document_schema
from planner.export.documents import ExportFormat
from planner.export.formats.json_document import ScheduleDocument
from planner.export.formats.manifests import units_line
from planner.export.formats.schedule import RoleUnits
from planner.export.run import WRITERS
from planner.units import MICROS_PER_USD
from tests.conftest import SMALL, Cli
from tests.helpers import export_rules as rules
from tests.helpers.aggregated_days import NODES, PLANNED, UNITS, import_day, plan, sets
from tests.helpers.exports import aggregated, schema_of

_UNITS = "SELECT DISTINCT aggregated_units, inference_nodes FROM plan_interval"


def clock() -> rules.ZoneClock:
    grid = aggregated(UNITS).grid
    return rules.clock_of(grid.start_us, grid.length_s // 60, "UTC")


def by_minute(values: list[int]) -> list[int]:
    return np.repeat(values, 60).tolist()


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "LeaderWorkerSet"])
def test_keda_has_one_object_whose_replicas_are_the_units(kind: str) -> None:
    made = WRITERS["keda"](aggregated(UNITS, workload_kind=kind))
    (found,) = rules.manifests(made.text)
    jsonschema.validate(found, schema_of("scaled_object"))
    assert (found["metadata"]["name"], found["spec"]["scaleTargetRef"]["kind"]) == ("inference", kind)
    assert rules.keda(found, clock()).tolist() == by_minute(UNITS)
    assert made.summary.startswith("1 ScaledObject, ")


@pytest.mark.parametrize("action", ["scale", "hpa"])
def test_cron_jobs_set_the_one_workload_and_may_change_no_other(action: str) -> None:
    text = WRITERS["cronjob"](aggregated(UNITS, cronjob_action=action)).text
    manifests = rules.manifests(text)
    for manifest in manifests:
        kubernetes_validate.validate(manifest, "1.37", strict=True)
    jobs = [item for item in manifests if item["kind"] == "CronJob"]
    assert rules.cronjob(jobs, "inference", clock()).tolist() == by_minute(UNITS)
    (role,) = (item for item in manifests if item["kind"] == "Role")
    assert {name for rule in role["rules"] for name in rule["resourceNames"]} == {"inference"}
    assert "lets the jobs change this workload and nothing else" in text


@pytest.mark.parametrize(
    ("kind", "leaving"),
    [
        ("Deployment", "pod-deletion-cost"),
        ("StatefulSet", "a StatefulSet gives up its highest replicas first"),
        ("LeaderWorkerSet", "a LeaderWorkerSet gives up its highest replicas first"),
    ],
)
def test_what_packs_units_on_nodes_is_said(kind: str, leaving: str) -> None:
    text = WRITERS["keda"](aggregated(UNITS, workload_kind=kind)).text
    assert "inference: one replica is one unit of a part of a node, 4 to a node." in text
    assert "4 units share a node, and the plan frees a node once no unit is on it" in text
    assert leaving in text


@pytest.mark.parametrize(
    ("to", "cure"),
    [
        ("keda", "add a trigger by requests to this object, such as a prometheus trigger on the requests that"),
        ("cronjob", "add an autoscaler that scales the workload up from 0 by requests, such as KEDA, and let"),
        ("aws", "add a scaling policy by requests to the target, whose capacity may go up between the actions"),
    ],
)
def test_a_schedule_that_goes_down_to_nothing_says_that_it_wakes_none(to: ExportFormat, cure: str) -> None:
    sleeping, awake = (WRITERS[to](aggregated([least, *UNITS[1:]], aws_service="ecs")) for least in (0, 1))
    (said,) = (note for note in sleeping.notes if "wakes none" in note)
    noun = "no units, and a schedule wakes none for a request that comes then"
    assert said.startswith(f"inference: at some times there are {noun}")
    assert cure in said
    assert not any("wakes none" in note for note in awake.notes)
    if to == "keda":
        assert "# inference: at some times there are no units, " in sleeping.text
        specs = [rules.manifests(made.text)[0]["spec"] for made in (sleeping, awake)]
        assert [spec.get("cooldownPeriod") for spec in specs] == [60, None]
        jsonschema.validate(rules.manifests(sleeping.text)[0], schema_of("scaled_object"))


@pytest.mark.parametrize("name", ["prefill_workload", "decode_workload"])
def test_a_workload_of_units_that_there_are_not_is_refused(cli: Cli, tmp_path: Path, name: str) -> None:
    import_day(cli, tmp_path)
    run = plan(cli)["run_id"]
    refused = cli("export", "--to", "json", "--set", f"export.{name}=other")
    assert (refused.code, refused.out, len(refused.err.strip().splitlines())) == (2, "", 1)
    role = name.partition("_")[0]
    assert f"export.{name} has no effect on the export of {run}, whose fleet has no {role} units" in refused.err
    assert refused.err.strip().endswith("(fleet.serving=aggregated); set export.aggregated_workload")
    assert cli("export", "--to", "json", "--set", "export.aggregated_workload=other").code == 0


def test_a_workload_of_units_that_do_both_is_refused_where_there_are_two_roles(cli: Cli) -> None:
    assert cli("plan", "--set", "trace.scale=0.0001").code == 0
    refused = cli("export", "--to", "keda", "--set", "export.aggregated_workload=other")
    assert (refused.code, refused.out, len(refused.err.strip().splitlines())) == (2, "", 1)
    assert refused.err.strip().endswith("set export.prefill_workload and export.decode_workload")


@pytest.mark.parametrize(("nodes", "words"), [(1, "1 node"), (4, "4 nodes")])
def test_a_unit_of_one_node_is_counted_in_words(nodes: int, words: str) -> None:
    role = RoleUnits(name="prefill", workload="p", nodes_per_unit=nodes, units=np.array([1]))
    assert units_line(role) == f"p: one replica is one prefill unit of {words}."


def test_units_of_whole_nodes_need_no_packing() -> None:
    text = WRITERS["keda"](aggregated(UNITS, units_per_node=1)).text
    assert "inference: one replica is one unit of 1 node." in text
    assert "share a node" not in text


def test_groups_of_ec2_have_whole_nodes_and_services_of_ecs_have_units() -> None:
    made = WRITERS["aws"](aggregated(UNITS))
    calls = json.loads(made.text)["calls"]
    for call in calls:
        jsonschema.validate(call["input"], schema_of("batch_put_scheduled_update_group_action"))
    assert rules.aws_groups(calls, "inference", clock()).tolist() == by_minute(NODES)
    (against,) = made.against_plan
    assert (against.of, against.plan_node_hours, against.minutes_that_differ) == ("aggregated", sum(NODES), 0)
    assert made.summary == "5 scheduled actions in 1 calls"
    calls = json.loads(WRITERS["aws"](aggregated(UNITS, aws_service="ecs")).text)["calls"]
    # eight units become nine on the nodes that they have
    assert len(calls) == 6
    for call in calls:
        jsonschema.validate(call["input"], schema_of("put_scheduled_action"))
    assert rules.aws_services(calls, "inference", clock()).tolist() == by_minute(UNITS)


@pytest.mark.parametrize("most", [4, 9])
def test_what_does_not_fit_is_told_in_whole_nodes(most: int) -> None:
    noise = np.random.default_rng(1).integers(1, most, 672, endpoint=True)
    plan = aggregated(noise.tolist(), interval_s=900)
    made = WRITERS["keda"](plan)
    (against,), (found,) = made.against_plan, rules.manifests(made.text)
    assert against.entries_needed > against.entries
    week = rules.clock_of(plan.grid.start_us, plan.grid.length_s // 60, "UTC")
    more = -(-rules.keda(found, week) // 4) + -np.repeat(noise, 15) // 4
    assert against.node_hours_more == pytest.approx(more.sum() / 60)
    assert against.minutes_that_differ > 0
    # one to four units are on one node, however many they are
    assert (against.node_hours_more > 0) == (most > 4)


def test_tables_and_documents_have_units_and_whole_nodes() -> None:
    plan = aggregated(UNITS)
    rows = list(csv.DictReader(io.StringIO(WRITERS["csv"](plan).text)))
    assert [int(row["aggregated_units"]) for row in rows] == UNITS
    assert [int(row["aggregated_nodes"]) for row in rows] == NODES
    assert {row[name] for row in rows for name in ("prefill_units", "decode_units", "prefill_nodes")} == {"0"}
    document = json.loads(WRITERS["json"](plan).text)
    jsonschema.validate(document, document_schema(ScheduleDocument))
    assert document["workloads"] == {
        "prefill": None,
        "decode": None,
        "aggregated": {
            "name": "inference",
            "namespace": "inference",
            "kind": "LeaderWorkerSet",
            "nodes_per_unit": 1,
            "units_per_node": 4,
        },
    }
    assert [step["aggregated_units"] for step in document["steps"]] == [9, 6, 3, 5, 8, 9]


@pytest.mark.parametrize("to", ["keda", "cronjob", "aws", "csv", "json", "focus", "slurm", "kueue"])
def test_a_stored_plan_is_exported_in_every_format(cli: Cli, tmp_path: Path, to: str) -> None:
    import_day(cli, tmp_path)
    planned = plan(cli, "training.lend=true")
    out = tmp_path / "out"
    assert cli("export", "--to", to, "--out", str(out)).code == 0
    text = out.read_text()
    assert "prefill" not in text or to in ("csv", "json")
    if to == "focus":
        rows = list(csv.DictReader(io.StringIO(text)))
        held = sum(float(row["BilledCost"]) for row in rows if row["SubAccountId"] == "inference")
        assert held == pytest.approx(planned["cost_usd"], abs=1 / MICROS_PER_USD)


def test_a_plan_follows_its_own_exported_table(cli: Cli, tmp_path: Path) -> None:
    import_day(cli, tmp_path)
    first = plan(cli)
    table = tmp_path / "table.csv"
    cli("export", "--to", "csv", "--out", str(table))
    again = plan(cli, "policy.name=timetable", f"policy.timetable={table}")
    assert {row["aggregated_units"] for row in cli("sql", _UNITS, "--format", "json").json} == set(PLANNED)
    assert (again["node_hours"], again["peak_nodes"]) == (first["node_hours"], first["peak_nodes"])


def test_a_timetable_of_nodes_fills_them_with_units(cli: Cli, tmp_path: Path) -> None:
    import_day(cli, tmp_path)
    table = tmp_path / "nodes.csv"
    table.write_text("interval_start,inference_nodes\n2025-02-27T12:00,2\n")
    plan(cli, "policy.name=timetable", f"policy.timetable={table}")
    assert cli("sql", _UNITS, "--format", "json").json == [{"aggregated_units": 8, "inference_nodes": 2}]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("interval_start,prefill_units,decode_units\n2025-02-27T12:00,1,1\n", "it needs interval_start, and"),
        (
            "interval_start,prefill_units,decode_units,aggregated_units\n2025-02-27T12:00,1,1,0\n",
            "has units of other roles than those of aggregated serving at 2025-02-27 12:00; give aggregated_units",
        ),
        ("interval_start,inference_nodes\n2025-02-27T12:00,99\n", "correct it, or give aggregated_units"),
    ],
)
def test_a_timetable_of_another_fleet_is_refused_in_one_line(cli: Cli, tmp_path: Path, text: str, said: str) -> None:
    table = tmp_path / "table.csv"
    table.write_text(text)
    import_day(cli, tmp_path)
    done = cli("plan", "--trace", "day", *sets("policy.name=timetable", f"policy.timetable={table}"))
    assert done.code == 2
    assert said in done.err
    assert done.err.count("\n") == 1


def test_a_fleet_of_two_roles_refuses_the_table_of_one_whose_units_do_both(cli: Cli, tmp_path: Path) -> None:
    import_day(cli, tmp_path)
    plan(cli)
    table = tmp_path / "table.csv"
    cli("export", "--to", "csv", "--out", str(table))
    apart = [word for setting in SMALL for word in ("--set", setting)]
    done = cli("plan", "--trace", "day", *apart, "--policy", "timetable", "--set", f"policy.timetable={table}")
    assert done.code == 2
    assert "has units of other roles than those of disaggregated serving" in done.err
