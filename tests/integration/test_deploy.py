"""Planner as a service: systemd units, the image of a container, the CronJob, and the page that tells of them."""

import http.server
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import typer.main
import yaml

from planner.cli.app import app
from tests.helpers.pages import DOCS, ROOT, blocks

DEPLOY = ROOT / "examples" / "deploy"
PAGE = (DOCS / "how-to" / "deploy.md").read_text()
UNITS = ("planner-serve.service", "planner-nightly.service")
MOST_EXPOSED = "25"
"""Tenths of systemd's score from 0, safe, to 10. Measured: 19 and 20; a unit without limits has 96."""

Instruction = tuple[str, str]


def instructions() -> list[Instruction]:
    """The Containerfile, without comments, line by line as the builder takes it."""
    lines = [line for line in (DEPLOY / "Containerfile").read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


def told(word: str) -> list[str]:
    return [rest for name, rest in instructions() if name == word]


def started() -> list[list[str]]:
    """The words after `planner` of every command that is started."""
    units = [re.findall(r"^ExecStart=\S+/planner (.*)$", (DEPLOY / name).read_text(), re.MULTILINE) for name in UNITS]
    by_images = [json.loads(*told("CMD")), *(words for words in container_commands() if "schedule" in words)]
    words = [shlex.split(unit) for (unit,) in units]
    return words + [each[len(each) - each[::-1].index("planner") :] for each in by_images]


def health_check() -> list[str]:
    (check,) = told("HEALTHCHECK")
    words: list[str] = json.loads(check.partition(" CMD ")[2])
    return words


def container_commands() -> list[list[str]]:
    """What the page runs in containers."""
    scripts = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    lines = [line for script in scripts for line in re.sub(r"\\\n\s*", "", script).splitlines()]
    return [shlex.split(line) for line in lines if line.startswith("podman run --detach")]


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_is_valid_and_exposes_little(name: str, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze here: apt-get install systemd")
    text = (DEPLOY / name).read_text()
    # the program, the folder and the user are where it is installed, not here
    for there, here in (("/opt/planner/bin/planner", sys.executable), ("=/srv/planner\n", f"={tmp_path}\n")):
        assert there in text
        text = text.replace(there, here)
    unit = tmp_path / name
    unit.write_text(text.replace("User=planner", "User=root"))
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    assert (done.returncode, [line for line in done.stderr.splitlines() if name in line]) == (0, [])
    judge = ["systemd-analyze", "security", "--offline=true", f"--threshold={MOST_EXPOSED}", "--no-pager", str(unit)]
    judged = subprocess.run(judge, capture_output=True, text=True, check=False)
    assert judged.returncode == 0, judged.stdout


def test_units_differ_in_what_they_start_only_and_the_page_shows_them_as_they_are() -> None:
    shown = {block.file: block.text for block in blocks(PAGE)}
    assert {name: shown[name] for name in UNITS} == {name: (DEPLOY / name).read_text() for name in UNITS}
    page, night = ({line for line in shown[name].splitlines() if not line.startswith("#")} for name in UNITS)
    assert {line.partition("=")[0] for line in page ^ night} == {
        "Description", "After", "ExecStart", "LoadCredential", "TimeoutStopSec", "IPAddressDeny", "IPAddressAllow",
    }  # fmt: skip


def test_what_is_started_are_commands_with_these_options() -> None:
    assert len(started()) == 4
    for words in started():
        command: Any = typer.main.get_command(app)
        while words and not words[0].startswith("-"):
            command = command.commands[words.pop(0)]
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options


def test_the_cronjob_is_valid() -> None:
    page = (DOCS / "how-to" / "run-every-night.md").read_text()
    (text,) = [text for text in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "planner-nightly" in text]
    manifest = yaml.safe_load(text)
    kubernetes_validate.validate(manifest, "1.37", strict=True)
    words = manifest["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["args"]
    assert words[:3] == ["planner", "schedule", "run-due"]


def test_the_image_runs_as_nobody_in_particular_and_knows_no_secret() -> None:
    words = [word for word, _ in instructions()]
    assert "ADD" not in words
    (user,) = told("USER")
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user)
    assert "RUN" not in words[words.index("USER") :], "what runs later would not be root"
    named = " ".join([*told("ENV"), *told("ARG")]).upper()
    assert not [word for word in ("TOKEN", "SECRET", "PASSWORD", "KEY") if word in named]
    assert json.loads(*told("VOLUME")) == ["/data", "/cache"]
    (folder,) = told("WORKDIR")[1:]
    assert folder == "/data"


def test_the_image_begins_with_a_python_that_planner_is_tested_with() -> None:
    (image,) = told("ARG")
    (version,) = re.findall(r"^PYTHON=python:(3\.\d+)-slim$", image)
    assert f"Programming Language :: Python :: {version}" in (ROOT / "pyproject.toml").read_text()
    assert [each.partition(" ")[0] for each in told("FROM")] == ["${PYTHON}"] * 2


def test_the_image_holds_what_is_locked_and_takes_nothing_else() -> None:
    installs = [run for run in told("RUN") if " pip " in run]
    assert len(installs) == 2
    download, install = installs
    assert {"--require-hashes", "--no-deps", "--requirement", "requirements.lock"} <= set(download.split())
    assert "--no-index" in install.split()


def test_what_the_image_copies_is_enough_to_build_planner(tmp_path: Path) -> None:
    for words in (copy.split() for copy in told("COPY")):
        *sources, target = [word for word in words if not word.startswith("--")]
        if words[0].startswith("--from"):
            continue
        for source in sources:
            if (ROOT / source).is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / source, tmp_path / target, ignore=ignored)
            else:
                shutil.copy(ROOT / source, tmp_path / target)
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", "dist"]
    subprocess.run(build, cwd=tmp_path, check=True, capture_output=True)
    assert len(list((tmp_path / "dist").glob("*.whl"))) == 1


@pytest.fixture
def answering() -> Iterator[list[int]]:
    """A server that answers with the status and at the port in this list: first the status, which may be changed."""
    answers: list[int] = [200]

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(answers[0] if self.path == "/healthz" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    answers.append(server.server_port)
    yield answers
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (401, True), (503, False), (404, False)])
def test_the_health_check_asks_the_service(status: int, healthy: bool, answering: list[int]) -> None:
    answering[0] = status
    assert is_healthy(answering[1]) == healthy


def test_a_service_that_does_not_answer_is_not_healthy(answering: list[int]) -> None:
    assert not is_healthy(1)


def is_healthy(port: int) -> bool:
    program, *words = health_check()
    assert program == "python"
    environment = {**os.environ, "HEALTH_PORT": str(port)}
    return not subprocess.run([sys.executable, *words], env=environment, capture_output=True, check=False).returncode


def test_containers_of_the_page_write_in_their_volumes_only_and_get_no_rights() -> None:
    runs = container_commands()
    assert len(runs) == 2
    for words in runs:
        given = set(words)
        assert {"--read-only", "--init", "planner-data:/data", "planner-cache:/cache"} <= given
        assert words[words.index("--cap-drop") + 1] == "all"
        assert words[words.index("--security-opt") + 1] == "no-new-privileges"
        assert not given & {"--privileged", "--network", "--user"}
        published = [words[at + 1] for at, word in enumerate(words) if word == "--publish"]
        assert all(each.startswith("127.0.0.1:") for each in published)
    (command,) = told("CMD")
    (secret,) = [word for word in runs[0] if word.startswith("planner-token,")]
    assert f"/run/secrets/{secret.partition(',')[0]}" == json.loads(command)[-1]
    (user,) = told("USER")
    assert f"uid={user.partition(':')[0]}," in secret
