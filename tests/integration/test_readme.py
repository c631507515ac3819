"""The README's commands are run, and print what it shows."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import planner
from planner.report.charts import node_chart
from planner.runs.read import read_run
from planner.store import Store
from planner.trace.synthetic.profile import load_profile

README = (Path(planner.__file__).parent.parent / "README.md").read_text()
PICTURE = Path(__file__).parents[1] / "golden" / "nodes.svg"


def shown() -> list[tuple[str, list[str]]]:
    """Every command of the console blocks with the lines shown after it; "..." stands for any further lines."""
    found: list[tuple[str, list[str]]] = []
    for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            else:
                found[-1][1].append(line)
    return found


def without_layout(lines: list[str]) -> list[str]:
    """Lines without trailing blanks and empty lines."""
    return [line.rstrip() for line in lines if line.strip()]


def test_the_readme_shows_what_the_commands_print(tmp_path: Path) -> None:
    assert len(shown()) >= 7
    for command, expected in shown():
        assert re.match(r"(planner|mkdir|ls|for) ", command)
        # as typed into a shell, with the planner under test
        program = f'planner() {{ {shlex.quote(sys.executable)} -m planner "$@"; }}\n{command}'
        done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, env=os.environ, check=False)
        assert done.returncode == 0, (command, done.stderr)
        printed, wanted = without_layout(done.stdout.splitlines()), without_layout(expected)
        if wanted[-1:] == ["..."]:
            wanted.pop()
            printed = printed[: len(wanted)]
        assert printed == wanted, command


def test_the_notebook_lines_run(tmp_path: Path, planned: Store) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_the_picture_is_of_the_plan_that_the_text_describes(planned: Store) -> None:
    with planned.read() as session:
        chart = node_chart(read_run(session), load_profile("deepseek-2025-02-27").published_nodes())
    assert chart.description in PICTURE.read_text().replace("&#39;", "'")
