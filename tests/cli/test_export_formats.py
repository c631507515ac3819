"""Exports as files: what others accept, what the command line says, and a real slurmctld."""

import csv
import io
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from zoneinfo import ZoneInfo

import jsonschema
import kubernetes_validate
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from planner.catalogue.scenarios import load_scenario
from planner.documents import schema as document_schema
from planner.export.formats.aws import AwsCallsDocument
from planner.export.formats.focus import COLUMNS, focus
from planner.export.formats.json_document import ScheduleDocument
from planner.export.formats.schedule import Charge, ExportSchedule, TrainingWindow
from planner.export.formats.slurm import slurm
from planner.export.run import WRITERS, schedule_of
from planner.planning.plan import plan_and_store
from planner.runs.read import load_run, read_run
from planner.store import Store
from planner.units import US_PER_S
from tests.conftest import NOW, SMALL, Cli, minute_log
from tests.helpers import export_rules as rules
from tests.helpers.exports import lending, schedule, schema_of, small

HERE = Path(__file__).parents[1]
GOLDEN = HERE / "golden" / "export"
SUFFIX = {
    "keda": "yaml",
    "cronjob": "yaml",
    "kueue": "yaml",
    "slurm": "sh",
    "aws": "json",
    "focus": "csv",
    "csv": "csv",
    "json": "json",
}


@pytest.mark.parametrize("to", WRITERS)
def test_the_export_of_a_small_plan_is_the_golden_one(to: str) -> None:
    """PLANNER_UPDATE_GOLDEN=1 writes it anew; read the difference."""
    text, golden = WRITERS[to](lending() if to == "kueue" else small()).text, GOLDEN / f"{to}.{SUFFIX[to]}"
    if os.environ.get("PLANNER_UPDATE_GOLDEN"):
        golden.write_text(text)
    assert text == golden.read_text()


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "LeaderWorkerSet"])
@pytest.mark.parametrize("action", ["scale", "hpa"])
def test_kubernetes_objects_hold_to_the_schemas_of_kubernetes(kind: str, action: str) -> None:
    text = WRITERS["cronjob"](small(workload_kind=kind, cronjob_action=action)).text
    for manifest in rules.manifests(text):
        kubernetes_validate.validate(manifest, "1.37", strict=True)


def test_the_schemas_of_kubernetes_notice_a_misspelt_field() -> None:
    job = rules.manifests(WRITERS["cronjob"](small()).text)[-1]
    job["spec"]["timezone"] = job["spec"].pop("timeZone")
    with pytest.raises(kubernetes_validate.ValidationError, match="timezone"):
        kubernetes_validate.validate(job, "1.37", strict=True)


def test_the_jobs_of_a_queue_hold_to_the_schemas_of_kubernetes_and_may_change_nothing_else() -> None:
    account, role, binding, *jobs = rules.manifests(WRITERS["kueue"](lending()).text)
    for manifest in (account, role, binding, *jobs):
        kubernetes_validate.validate(manifest, "1.37", strict=True)
    # a ClusterQueue has no namespace, and so the role has none
    assert [item["kind"] for item in (account, role, binding)] == [
        "ServiceAccount",
        "ClusterRole",
        "ClusterRoleBinding",
    ]
    assert role["rules"] == [
        {
            "apiGroups": ["kueue.x-k8s.io"],
            "resources": ["clusterqueues"],
            "resourceNames": ["training"],
            "verbs": ["get", "patch"],
        }
    ]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    names = {job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["serviceAccountName"] for job in jobs}
    assert names == {account["metadata"]["name"]} == {subject["name"] for subject in binding["subjects"]}
    assert "namespace" not in role["metadata"]


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "LeaderWorkerSet"])
def test_scaled_objects_hold_to_what_keda_asks_for(kind: str) -> None:
    objects = rules.manifests(WRITERS["keda"](small(workload_kind=kind)).text)
    assert [item["spec"]["scaleTargetRef"]["kind"] for item in objects] == [kind, kind]
    for item in objects:
        jsonschema.validate(item, schema_of("scaled_object"))
        for trigger in item["spec"]["triggers"]:
            assert trigger["metadata"]["start"] != trigger["metadata"]["end"]
            assert int(trigger["metadata"]["desiredReplicas"]) >= item["spec"]["minReplicaCount"]


def test_aws_calls_hold_to_what_the_services_take() -> None:
    for service, name in (("ec2", "batch_put_scheduled_update_group_action"), ("ecs", "put_scheduled_action")):
        calls = json.loads(WRITERS["aws"](small(aws_service=service)).text)["calls"]
        assert {call["command"].split()[-1] for call in calls} == {name.replace("_", "-")}
        for call in calls:
            jsonschema.validate(call["input"], schema_of(name))


@pytest.mark.parametrize("aws_service", ["ec2", "ecs"])
def test_exports_in_json_hold_to_the_schemas_of_their_documents(aws_service: str) -> None:
    for to, kind in (("json", ScheduleDocument), ("aws", AwsCallsDocument)):
        text = WRITERS[to](small(aws_service=aws_service)).text
        jsonschema.validate(json.loads(text), document_schema(kind))


def test_aws_calls_hold_fifty_actions_at_most() -> None:
    busy = schedule([1 + index % 2 for index in range(96)], interval_s=900)
    calls = json.loads(WRITERS["aws"](busy).text)["calls"]
    assert [len(call["input"]["ScheduledUpdateGroupActions"]) for call in calls] == [50, 46, 1]


def focus_rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_focus_rows_hold_to_focus_1_2_and_say_that_they_are_simulated() -> None:
    rows = focus_rows(focus(small()).text)
    assert len(schema_of("focus_1_2")["required"]) == 21
    for row in rows:
        jsonschema.validate(row, schema_of("focus_1_2"))
        assert json.loads(row["Tags"])["simulated"] == row["x_Simulated"] == "true"
        assert row["BillingPeriodStart"] <= row["ChargePeriodStart"] < row["ChargePeriodEnd"] <= row["BillingPeriodEnd"]
        assert Fraction(row["ListUnitPrice"]) * Fraction(row["PricingQuantity"]) == Fraction(row["ListCost"])
    assert {row["SubAccountId"] for row in rows} == {"inference", "training", "idle"}
    assert {row["BillingPeriodStart"][:10] + row["BillingPeriodEnd"][:10] for row in rows} == {"2026-06-012026-07-01"}


def test_focus_costs_sum_to_what_the_ledger_says(planned: Store) -> None:
    run = load_run(planned)
    rows = focus_rows(focus(schedule_of(run, run.scenario)).text)
    for use, column in (("inference", "cost_usd"), ("training", "training_cost_usd"), ("idle", "idle_cost_usd")):
        total = sum(Fraction(row["BilledCost"]) for row in rows if row["SubAccountId"] == use)
        assert float(total) == getattr(run.summary, column)
    gpu_hours = sum(Fraction(row["ConsumedQuantity"]) for row in rows)
    assert gpu_hours == 278 * 8 * 24
    assert {row["ListUnitPrice"] for row in rows} == {"2"}


def test_the_millionths_of_rounding_go_where_nodes_are() -> None:
    hour = 3600 * US_PER_S
    amounts = [("inference", 1, 3), ("inference", 0, 1), ("inference", 2, 5), ("inference", 0, -1), ("idle", 0, 0)]
    charges = tuple(
        Charge(start_us=index * hour, end_us=(index + 1) * hour, use=use, node_s=node_s, cost_usd_micros=cost)
        for index, (use, node_s, cost) in enumerate(amounts)
    )
    rows = focus_rows(focus(replace(small(), charges=charges)).text)
    assert [row["BilledCost"] for row in rows] == ["0.000003", "0.000005"]
    assert [row["ChargePeriodStart"][11:13] for row in rows] == ["00", "02"]


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), min_size=1, max_size=12), st.data())
def test_costs_of_rounding_are_never_negative_and_keep_their_sum(
    found: list[tuple[int, int]], data: st.DataObject
) -> None:
    """As a ledger at next to no price: millionths come late, early, or are taken back."""
    hour = 3600 * US_PER_S
    costs = [cost for _, cost in found]
    for _ in range(data.draw(st.integers(0, 3))):
        giver, taker = (data.draw(st.integers(0, len(costs) - 1)) for _ in range(2))
        costs[giver] -= 1
        costs[taker] += 1
    assume(any(node_s for node_s, _ in found))
    charges = tuple(
        Charge(start_us=index * hour, end_us=(index + 1) * hour, use="training", node_s=node_s, cost_usd_micros=cost)
        for index, ((node_s, _), cost) in enumerate(zip(found, costs, strict=True))
    )
    written = [Fraction(row["BilledCost"]) for row in focus_rows(focus(replace(small(), charges=charges)).text)]
    assert len(written) == sum(node_s > 0 for node_s, _ in found)
    assert min(written) >= 0
    assert sum(written) * 1_000_000 == sum(costs)


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_of_a_table_can_be_taken_for_a_formula(start: str) -> None:
    plan = replace(small(), scenario=f"{start}cmd|' /C calc'!A0", node_type=f"{start}H800", policy=f"{start}SUM(A1)")
    for to in ("focus", "csv"):
        for row in csv.reader(io.StringIO(WRITERS[to](plan).text)):
            assert not [cell for cell in row if cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))]
    rows = focus_rows(focus(plan).text)
    assert rows[0]["BillingAccountName"] == (f"'{start}" if start.strip() else "") + "cmd|' /C calc'!A0"


def test_columns_of_our_own_begin_with_x() -> None:
    known = schema_of("focus_1_2")["properties"]
    assert all(name in known or name.startswith("x_") for name in COLUMNS)


@pytest.fixture(scope="module")
def nine_days_planned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a plan of nine days, two of whose weekdays occur twice and differ."""
    path = tmp_path_factory.mktemp("nine") / "planner.duckdb"
    store = Store(path)
    settings = ["trace.days=9", "trace.scale=0.0002", "trace.growth_per_day=-0.03", "training.lend=true"]
    plan_and_store(store, load_scenario(None, settings).scenario, now=NOW)
    return path


@pytest.fixture
def nine_days(nine_days_planned: Path, tmp_path: Path) -> Path:
    return shutil.copy(nine_days_planned, tmp_path / "planner.duckdb")


@pytest.mark.parametrize("to", WRITERS)
def test_the_default_plan_can_be_exported(cli: Cli, planned: Store, to: str, tmp_path: Path) -> None:
    shown = cli("export", "--to", to)
    assert shown.code == 0
    done = cli("export", "run-00001", "--to", to, "--out", "out.txt")
    assert done.code == 0
    assert done.out.startswith("out.txt: ")
    assert done.out.endswith(" of run-00001\n")
    assert (tmp_path / "out.txt").read_bytes().decode() == shown.out
    assert {path.name for path in tmp_path.iterdir()} == {"out.txt", "planner.duckdb"}


def test_json_gives_one_document_with_the_text_or_the_file(cli: Cli, planned: Store, tmp_path: Path) -> None:
    shown = cli("export", "--to", "focus", "--json").json
    assert (shown["run_id"], shown["to"], shown["out"]) == ("run-00001", "focus", None)
    assert shown["text"] == cli("export", "--to", "focus").out
    assert "simulated costs" in shown["notes"][0]
    written = cli("export", "--to", "focus", "--out", "f.csv", "--json").json
    assert written["out"] == "f.csv"
    assert "text" not in written
    assert (tmp_path / "f.csv").read_text() == shown["text"]


def test_a_plan_follows_its_own_exported_table(cli: Cli, planned: Store) -> None:
    cli("export", "--to", "csv", "--out", "plan.csv")
    assert cli("plan", "--policy", "timetable", "--set", "policy.timetable=plan.csv").code == 0
    diff = cli("run", "diff", "run-00001", "run-00002", "--json").json
    assert (diff["intervals_compared"], diff["intervals_with_other_nodes"]) == (96, 0)


def test_names_can_be_set_when_exporting(cli: Cli, planned: Store) -> None:
    done = cli("export", "--to", "keda", "--set", "export.namespace=prod", "--set", "export.decode_workload=d-1")
    (_, decode) = rules.manifests(done.out)
    assert (decode["metadata"]["namespace"], decode["spec"]["scaleTargetRef"]["name"]) == ("prod", "d-1")


def test_one_day_of_a_longer_plan_can_be_exported(cli: Cli, store: Store) -> None:
    arguments = ("--set", "trace.days=3", "--set", "trace.scale=0.0002", "--set", "trace.growth_per_day=-0.2")
    assert cli("plan", *arguments).code == 0
    refused = cli("export", "--to", "keda")
    assert refused.code == 1
    cure = "plan more days (trace.days, or a longer trace) and take a typical week with --week largest"
    assert f"{cure}, take one day with --day 2025-02-27, or export --to csv or json" in refused.err
    one = cli("export", "--to", "json", "--day", "2025-02-28").json
    assert (one["start"], one["end"]) == ("2025-02-28T12:00:00+08:00", "2025-03-01T12:00:00+08:00")
    assert all(one["start"] <= w["start"] < w["end"] <= one["end"] for w in one["training_windows"])
    assert cli("export", "--to", "keda", "--day", "2025-02-28").code == 0
    for day, message in (
        ("2025-03-02", "from 2025-02-27 to 2025-03-02"),
        ("28.2.", "is not a date"),
        ("0001-01-01", "--day 0001-01-01 is not from 1970-01-01 to 2200-01-01; correct the date"),
        ("9999-12-31", "--day 9999-12-31 is not from 1970-01-01 to 2200-01-01; correct the date"),
        ("2020-01-01", "2025"),
    ):
        bad = cli("export", "--to", "keda", "--day", day)
        assert bad.code == 2
        assert message in bad.err


@pytest.mark.parametrize("to", ["keda", "cronjob", "kueue", "aws"])
def test_a_plan_of_more_than_a_week_becomes_a_weekly_schedule(cli: Cli, nine_days: Path, to: str) -> None:
    done = cli("export", "--to", to, "--week", "largest", "--json").json
    rows = list(csv.DictReader(io.StringIO(cli("export", "--to", "csv").out)))
    start = datetime.fromisoformat(rows[0]["interval_start"]).astimezone(UTC)
    clock = rules.ZoneClock("Asia/Shanghai", start, len(rows) * 15)
    objects = [] if to == "aws" else rules.manifests(done["text"])
    jobs = [item for item in objects if item["kind"] == "CronJob"]
    assert len(done["against_plan"]) == (1 if to == "kueue" else 2)
    for against in done["against_plan"]:
        column = "training_nodes" if to == "kueue" else f"{against['of']}_nodes"
        planned = np.repeat([int(row[column]) for row in rows], 15)
        if to == "kueue":
            difference = rules.kueue(jobs, "training", clock) // 8 - planned
        else:
            per_unit = {"prefill": 4, "decode": 18}[against["of"]]
            if to == "aws":
                held = rules.aws_groups(json.loads(done["text"])["calls"], against["of"], clock)
            elif to == "keda":
                (item,) = [item for item in objects if item["metadata"]["name"] == against["of"]]
                held = rules.keda(item, clock) * per_unit
            else:
                held = rules.cronjob(jobs, against["of"], clock) * per_unit
            difference = held - planned
        assert against["minutes"] == len(planned) == 9 * 1440
        assert against["minutes_that_differ"] == (difference != 0).sum() > 0
        assert against["node_hours_more"] == pytest.approx(difference.clip(0).sum() / 60)
        assert against["node_hours_fewer"] == pytest.approx((-difference).clip(0).sum() / 60)
        assert against["node_hours_more" if to == "kueue" else "node_hours_fewer"] == 0
        assert against["plan_node_hours"] == pytest.approx(planned.sum() / 60)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (
            ("--to", "nomad"),
            2,
            'planner: --to "nomad" is not a format; use one of keda, cronjob, kueue, slurm, aws, focus, csv, json',
        ),
        (("run-7", "--to", "keda"), 1, 'planner: no run "run-7"; the newest are run-00001'),
        (("--to", "keda", "--out", "no/such/f"), 1, "there is no folder no/such; create it, or name another --out"),
        (("--to", "keda", "--out", "."), 1, ". is a folder; name a file with --out"),
        (("--to", "keda", "--begin", "2026-01-01"), 2, "--begin is for --to slurm"),
        (("--to", "csv", "--week", "largest"), 2, "--week is for keda, cronjob, kueue, aws, whose schedules recur"),
        (("--to", "aws", "--week", "most"), 2, '--week "most" is not a typical week; write largest, or a quantile'),
        (("--to", "aws", "--week", "0"), 2, '--week "0" is not a typical week'),
        (("--to", "aws", "--week", "nan"), 2, '--week "nan" is not a typical week'),
        (("--to", "aws", "--week", "largest", "--day", "2025-02-27"), 2, "leave one of the two out"),
        (
            ("--to", "aws", "--week", "largest"),
            1,
            "leaves out Monday, Tuesday, Wednesday, Thursday 00:00-12:00, Friday 12:00-24:00, Saturday, Sunday by the "
            "clock of Asia/Shanghai, and a typical week needs every weekday",
        ),
        (("--to", "kueue", "--set", "export.kueue_quota=/spec"), 2, "is not a place in a ClusterQueue"),
        (("--to", "kueue", "--set", "export.kueue_resource=a b"), 2, "is not a Kubernetes resource"),
        (("--to", "kueue", "--set", "export.kueue_flavor=A"), 2, "is not a Kubernetes name (DNS-1123)"),
        (("--to", "slurm", "--begin", "soon"), 2, '--begin "soon" is not a date; write it as 2025-02-27'),
        (("--to", "slurm", "--begin", "0001-01-01"), 2, "--begin 0001-01-01 is not from 1970-01-01 to 2200-01-01"),
        (("--to", "slurm", "--begin", "9999-12-31"), 2, "--begin 9999-12-31 is not from 1970-01-01 to 2200-01-01"),
        (
            ("--to", "keda", "--set", "export.namespace=A_b"),
            2,
            'export.namespace: "A_b" is not a Kubernetes name (DNS-1123)',
        ),
        (("--to", "keda", "--set", "fleet.nodes=3"), 2, "the run is planned already; only export.* can be set here"),
        (("--to", "keda", "--set", "export.nspace=a"), 2, "did you mean export.namespace?"),
        (("--to", "keda", "--set", "export.namespace"), 2, "write --set export.field=value"),
        ((), 2, "Missing option '--to'"),
    ],
)
def test_bad_input_gets_one_line(
    cli: Cli, planned: Store, words: tuple[str, ...], code: int, message: str, tmp_path: Path
) -> None:
    before = sorted(tmp_path.iterdir())
    done = cli("export", *words)
    assert (done.code, done.out) == (code, "")
    assert message in done.err
    assert done.err.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


def test_without_a_store_or_training_there_is_one_line_too(cli: Cli, store: Store, tmp_path: Path) -> None:
    assert "or with `planner plan` of the built-in scenario" in cli("export", "--to", "keda").err
    log = minute_log(tmp_path / "log.csv", [(600, 100), (700, 1250), (100, 100)])
    cli("trace", "import", str(log), "--format", "csv", "--name", "three")
    scenario = load_scenario(None, [*SMALL, "trace.name=three", "training.lend=false"]).scenario
    plan_and_store(store, scenario, now=NOW)
    none = cli("export", "--to", "slurm")
    assert (none.code, none.out) == (1, "")
    assert "lends no nodes to training" in none.err
    short = cli("export", "--to", "cronjob")
    assert "covers 0.05 of the 24 hours of a day" in short.err


def test_a_run_of_another_version_is_named(cli: Cli, planned: Store) -> None:
    with planned.write() as session:
        session.connection.execute("UPDATE run SET settings = json_merge_patch(settings, '{\"gone\": 1}')")
    done = cli("export", "--to", "keda")
    assert done.code == 1
    assert done.err == (
        "planner: run-00001 was stored by another version of planner, with other settings; plan it again\n"
    )


@dataclass(frozen=True)
class Controller:
    """A slurmctld on loopback, in a time zone."""

    environment: dict[str, str]

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(words, env=self.environment, capture_output=True, text=True, check=False, timeout=60)


CONFIGURATION = """
ClusterName=planner
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={port}
AuthType=auth/munge
AuthInfo=socket={munge}
CredType=cred/munge
CommunicationParameters=NoCtldInAddrAny
SlurmUser={user}
StateSaveLocation={folder}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/linear
SuspendProgram=/bin/true
ResumeProgram=/bin/true
SuspendTime=60
NodeName=n[001-278] CPUs=1 State=CLOUD
PartitionName=training Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def program_of(name: str) -> str:
    """A program, perhaps one of those for administrators."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if not found:
        pytest.skip(f"no {name} here: apt-get install slurmctld slurm-client munge")
    return found


@contextmanager
def daemon(words: list[str], out: Path, environment: dict[str, str], ready: Callable[[], bool]) -> Iterator[None]:
    """A process that has become ready; ended with the block."""
    with out.open("w") as file:
        process = subprocess.Popen(words, stdout=file, stderr=file, env=environment)
        try:
            for _ in range(200):
                if ready():
                    break
                assert process.poll() is None, out.read_text()
                time.sleep(0.1)
            yield
        finally:
            process.terminate()
            process.wait(30)


@pytest.fixture
def munge() -> Iterator[Path]:
    """The socket of a munged with a key of its own; its path has to be short."""
    program = program_of("munged")
    with tempfile.TemporaryDirectory(prefix="munge-") as name:
        folder = Path(name)
        key, socket_ = folder / "key", folder / "socket"
        key.write_bytes(bytes(range(64)))
        key.chmod(0o600)
        files = {"socket": socket_, "key-file": key, "log-file": folder / "log", "pid-file": folder / "pid"}
        words = [f"--{option}={path}" for option, path in {**files, "seed-file": folder / "seed"}.items()]
        with daemon([program, "--foreground", "--force", *words], folder / "out", dict(os.environ), socket_.exists):
            yield socket_


@pytest.fixture
def controller(tmp_path: Path, munge: Path) -> Iterator[Controller]:
    """slurmctld with 278 nodes, whose clock is in Shanghai; ended by its process when the test ends."""
    program = program_of("slurmctld")
    program_of("scontrol")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path / "slurm"
    folder.mkdir()
    file = folder / "slurm.conf"
    user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
    file.write_text(CONFIGURATION.format(port=port, user=user, folder=folder, munge=munge))
    started = Controller({**os.environ, "SLURM_CONF": str(file), "TZ": "Asia/Shanghai"})
    words = [program, "-D", "-f", str(file)]
    with daemon(words, folder / "out", started.environment, lambda: "UP" in started.run("scontrol", "ping").stdout):
        yield started


def test_a_real_slurmctld_takes_the_reservations_and_gives_them_back(controller: Controller, tmp_path: Path) -> None:
    plan = small()
    begin = datetime.now(UTC).date() + timedelta(days=30)
    script = tmp_path / "reserve.sh"
    script.write_text(slurm(plan, begin).text)
    done = controller.run("sh", str(script))
    assert done.returncode == 0, done.stderr
    shown = controller.run("scontrol", "--oneliner", "show", "reservation").stdout
    found = [dict(word.split("=", 1) for word in line.split()) for line in shown.splitlines() if line]
    # what is read back is written as the script was, and so can be read by the same rules
    keys = ("StartTime", "EndTime", "NodeCnt")
    again = "\n".join("scontrol create reservation " + " ".join(f"{k}={row[k]}" for k in keys) for row in found)
    start = datetime(begin.year, begin.month, begin.day, 4, tzinfo=UTC)
    reserved = rules.slurm(again, start, 24 * 60, "Asia/Shanghai")
    assert reserved.tolist() == [0] * 720 + [90] * 120 + [210] * 360 + [0] * 240
    assert [(row["PartitionName"], row["Accounts"], row["State"]) for row in found] == [
        ("training", "training", "INACTIVE")
    ] * 2
    again = controller.run("sh", str(script))
    assert (again.returncode, again.stderr) == (0, ""), "the script can be run a second time"
    assert controller.run("scontrol", "--oneliner", "show", "reservation").stdout == shown
    nodes = [row["Nodes"] for row in found]
    assert len(set(nodes)) == 2, "windows that overlap have nodes of their own"


def reserve(controller: Controller, script: Path, plan: ExportSchedule) -> subprocess.CompletedProcess[str]:
    script.write_text(slurm(plan).text)
    return controller.run("sh", str(script))


def reservations(controller: Controller) -> dict[str, dict[str, str]]:
    shown = controller.run("scontrol", "--oneliner", "show", "reservation").stdout.splitlines()
    rows = [dict(word.split("=", 1) for word in line.split()) for line in shown if "ReservationName=" in line]
    return {row["ReservationName"]: row for row in rows}


def test_a_real_slurmctld_updates_what_exists_and_leaves_out_what_has_ended(
    controller: Controller, tmp_path: Path
) -> None:
    """A window that has ended, one that is open now, and one of tomorrow, whose nodes and end change later."""
    hour = 3_600 * US_PER_S
    now = int(time.time()) // 60 * 60 * US_PER_S
    script = tmp_path / "reserve.sh"
    ended = TrainingWindow(now - 3 * hour, now - 2 * hour, 7)
    opened = TrainingWindow(now, now + hour, 11)
    plan = replace(small(), lent=(ended, opened, TrainingWindow(now + 24 * hour, now + 26 * hour, 20)))
    done = reserve(controller, script, plan)
    assert (done.returncode, done.stderr) == (0, "planner-run-00001-001 has ended and is left out\n")
    first = reservations(controller)
    assert {name: row["NodeCnt"] for name, row in first.items()} == {
        "planner-run-00001-002": "11",
        "planner-run-00001-003": "20",
    }
    changed = replace(plan, lent=(ended, opened, TrainingWindow(now + 24 * hour, now + 28 * hour, 30)))
    again = reserve(controller, script, changed)
    assert again.returncode == 0, again.stderr
    second = reservations(controller)
    assert second["planner-run-00001-002"] == first["planner-run-00001-002"]
    assert (second["planner-run-00001-003"]["NodeCnt"], second["planner-run-00001-003"]["Duration"]) == (
        "30",
        "04:00:00",
    )


def test_a_real_slurmctld_reserves_the_rest_of_a_window_that_has_begun(controller: Controller, tmp_path: Path) -> None:
    hour = 3_600 * US_PER_S
    now = int(time.time())
    windows = (
        TrainingWindow(now * US_PER_S - hour, now * US_PER_S + hour, 7),
        # almost over, and begun a while ago
        TrainingWindow(now * US_PER_S - 24 * hour, now * US_PER_S + hour // 20, 9),
    )
    plan = replace(small(), lent=windows)
    done = reserve(controller, tmp_path / "r.sh", plan)
    assert (done.returncode, done.stderr) == (0, "")
    first = reservations(controller)
    assert [(row["NodeCnt"], row["State"]) for row in first.values()] == [("7", "ACTIVE"), ("9", "ACTIVE")]
    for row, window in zip(first.values(), windows, strict=True):
        begin, end = (
            datetime.fromisoformat(row[name]).replace(tzinfo=ZoneInfo("Asia/Shanghai")).timestamp()
            for name in ("StartTime", "EndTime")
        )
        assert now <= begin < now + 60
        assert end == window.end_us // US_PER_S
    again = reserve(controller, tmp_path / "r.sh", plan)
    assert (again.returncode, again.stderr) == (0, "")
    assert reservations(controller) == first
    # what Slurm refuses, and the script so avoids
    begun = datetime.fromtimestamp(now - 3600, UTC).replace(tzinfo=None).isoformat()
    words = f"scontrol create reservation StartTime={begun} Duration=120 NodeCnt=1 Accounts=training".split()
    assert "Invalid time" in controller.run("env", "TZ=UTC0", *words).stderr


def test_help_says_what_there_is(cli: Cli) -> None:
    shown = cli("export", "--help")
    assert shown.code == 0
    assert all(word in shown.out for word in ("--to", "--out", "--day", "--begin", "--week", "keda"))


def test_writers_are_pure(planned: Store) -> None:
    """The same run gives the same bytes."""
    with planned.read() as session:
        run = read_run(session)
    for write in WRITERS.values():
        assert write(schedule_of(run, run.scenario)) == write(schedule_of(run, run.scenario))
