"""Whatever words follow `planner`: a result, or one line on what is wrong. `make fuzz` makes ten times the calls."""

import os
import random
import shutil
from pathlib import Path

import pytest
import typer

from planner.catalogue.scenarios import load_scenario
from planner.catalogue.toml import to_toml
from planner.cli.app import app
from tests.conftest import SMALL, Cli, minute_log, run_command
from tests.helpers.hostile import Place, commands, judged

CALLS = int(os.environ.get("PLANNER_TEST_CALLS", "66"))
BATCH = 22

HOSTILE = (
    *("", " ", "x", "-", "--", "-1", "0", "1", "2", "0.5", "nan", "inf", "-inf", "1e308", "5e-324", "1e400", "1,5"),
    *("2147483648", "9223372036854775807", "99999999999999999999", "9" * 5000, "²", "٣", "0x10", "true", "None"),
    *(
        "x" * 256,
        "x" * 10_000,
        "é" * 200,
        "a\x1b[31mb",
        "a\nb",
        "a\0b",
        "\ufeff",
        "\u202eabc",
        "💩",
        "\udcff",
        "%s%n{0}",
    ),
    *("missing.toml", "fifo", "/dev/zero", "/", ".", "", "binary", "binary/x", "nul.csv", "deep.toml", "link", "~/x"),
    *("0001-01-01T00:00:00Z", "9999-12-31T23:59:59-12:00", "2025-02-27", "2025-02-30", "12:00", "-9999-01-01"),
    *("' OR 1=1 --", "$(id)", "../../etc/passwd", "a=b", "=", "fleet.nodes", "interval_s={}", "a" * 300 + "=1"),
    *("fleet.nodes=true", "fleet.nodes=" + "9" * 5000, "trace.days=100000", "policy.bounds=[{}]", "x.y.z=[[[["),
)
GOOD: dict[str, tuple[str, ...]] = {
    "scenario": ("own.toml",),
    "trace": ("t",),
    "name": ("t", "new"),
    "run": ("run-00001",),
    "target": ("own.toml", "run-00001"),
    "left": ("run-00001",),
    "right": ("run-00001",),
    "policy": ("fixed", "reactive"),
    "policies": ("fixed,reactive",),
    "sets": ("replay.seed=3", "fleet.start_up_s=30"),
    "jobs": ("jobs.toml",),
    "db": ("planner.duckdb",),
    "what_if": ("warm-starts",),
    "to_format": ("csv", "keda", "json"),
    "start": ("2025-03-01T00:05:00Z",),
    "end": ("2025-03-01T00:15:00Z",),
    "at": ("2025-03-02T00:00:00Z",),
    "paths": ("log.csv",),
    "query": ("SELECT 1",),
    "time_limit": ("0.1",),
    "search_s": ("0.1",),
    "cases": ("2",),
    "seeds": ("1",),
    "scale": ("0.001",),
    "days": ("1",),
    "demand_factor": ("1",),
    "growth": ("0",),
    "timezone": ("UTC", "Europe/Berlin"),
    "node": ("h800",),
    "model": ("deepseek-r1",),
    "out": ("written",),
    "save": ("written.csv",),
}
ALWAYS = {"scenario", "target", "time_limit", "search_s", "cases", "seeds", "scale"}
"""What is given in every call, as long work is what its default means."""
NEVER = {"open_", "open", "help", "replay", "with_replay", "example"}
COMMANDS = list(commands(typer.main.get_command(app)))


def call(chance: random.Random, number: int) -> list[str]:
    """A command with some of its options; most values are good, and one or two are hostile."""
    words, command = COMMANDS[number % len(COMMANDS)]
    written, hostile = list(words), chance.choice([0, 1, 1, 2])
    parameters = [each for each in command.params if each.name not in NEVER]
    victims = set(chance.sample(range(len(parameters)), min(hostile, len(parameters))))
    last: list[str] = []
    for place, parameter in enumerate(parameters):
        is_given = place in victims or parameter.name in ALWAYS or parameter.required or chance.random() < 0.15
        if not is_given:
            continue
        pool = HOSTILE if place in victims else GOOD.get(parameter.name, ("1",))
        if parameter.param_type_name == "argument":
            last.append(chance.choice(pool))
        elif parameter.is_flag:
            written.append(parameter.opts[0])
        else:
            option = chance.choice(parameter.opts)
            value = chance.choice(pool)
            written += [f"{option}={value}"] if chance.random() < 0.3 and option.startswith("--") else [option, value]
    return [*written, *last]


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store, a plan, and files that are no input."""
    folder = tmp_path_factory.mktemp("ready")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        minute_log(Path("log.csv"), [(300, 200), (600, 400), (900, 300), (100, 100)] * 10)
        small = load_scenario(None, [*SMALL, "trace.name=t", "slo.max_shortfall_ratio=1"]).scenario
        Path("own.toml").write_text(to_toml(small, comments=False))
        Path("binary").write_bytes(bytes(range(256)))
        Path("nul.csv").write_bytes(b"\0" * 5000)
        Path("deep.toml").write_text("a = " + "[" * 5000)
        Path("link").symlink_to("link")
        os.mkfifo("fifo")
        assert run_command(patch, "trace", "import", "log.csv", "--name", "t").code == 0
        assert run_command(patch, "plan", "own.toml").code == 0
        # kernels are compiled here, which takes longer than any call may
        assert run_command(patch, "replay", "own.toml", "--db", "planner.duckdb").code in (0, 2, 3)
        assert run_command(patch, "experts", "--search-s", "0.1").code == 0
        jobs = '[[job]]\nname = "j"\nat = 02:30\nscenario = "own.toml"\nset = []\n[job.log]\npath = "{date}.csv"\n'
        Path("jobs.toml").write_text(jobs.replace("02:30", '"02:30"'))
    return folder


@pytest.mark.parametrize("first", range(0, CALLS, BATCH))
def test_every_call_ends_with_a_result_or_with_one_line(
    first: int, ready: Path, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(tmp_path / "work", tmp_path / "temporary")
    place.temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(place.temporary))
    monkeypatch.setattr("tempfile.tempdir", None)
    codes = set()
    for number in range(first, min(first + BATCH, CALLS)):
        shutil.rmtree(place.folder, ignore_errors=True)
        place.folder.mkdir()
        for file in ready.iterdir():
            if file.is_symlink() or file.is_fifo():
                (place.folder / file.name).symlink_to(file)
            else:
                shutil.copy(file, place.folder)
        monkeypatch.chdir(place.folder)
        codes.add(judged(cli, place, call(random.Random(number), number), number).code)
    assert {0, 2} <= codes, "some calls are right, and some are not"


def test_calls_reach_every_command() -> None:
    assert len(COMMANDS) > 35
    assert len(COMMANDS) <= BATCH * 3
