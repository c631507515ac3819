"""The service elsewhere: the systemd unit and the CronJob of the documentation."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

import planner


def documented_block(language: str, holds: str) -> str:
    page = (Path(planner.__file__).parent.parent / "docs" / "how-to" / "run-every-night.md").read_text()
    (found,) = [text for text in re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL) if holds in text]
    return found


def test_the_systemd_unit_of_the_readme_is_valid(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze here: apt-get install systemd")
    unit = tmp_path / "planner.service"
    text = documented_block("ini", "[Service]")
    # the program, the folder and the user are where it is installed, not here
    for there, here in (("/opt/planner/bin/planner", sys.executable), ("=/srv/planner\n", f"={tmp_path}\n")):
        assert there in text
        text = text.replace(there, here)
    unit.write_text(text.replace("User=planner", "User=root"))
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    assert (done.returncode, [line for line in done.stderr.splitlines() if "planner.service" in line]) == (0, [])


def test_the_cronjob_of_the_readme_is_valid() -> None:
    manifest = yaml.safe_load(documented_block("yaml", "planner-nightly"))
    kubernetes_validate.validate(manifest, "1.37", strict=True)
    words = manifest["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["args"]
    assert words[:3] == ["planner", "schedule", "run-due"]
