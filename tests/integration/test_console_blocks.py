"""The commands of the README and of the documentation are run, and print what the pages show.

With PLANNER_UPDATE_GOLDEN=1 what they print is written into the pages.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from planner.report.charts import node_chart
from planner.runs.read import read_run
from planner.store import Store
from planner.trace.synthetic.profile import load_profile
from tests.conftest import Cli
from tests.helpers.pages import DOCS, ROOT, as_shown, blocks, pages, store_of, without_layout

PICTURE = ROOT / "tests" / "golden" / "nodes.svg"
KNOWN = re.compile(r"(planner|mkdir|ls|for|cat|cp) ")
REDIRECTED = re.compile(r"(.*\S)\s+(2?>>?)\s*([\w.-]+)")


def run(command: str, cli: Cli) -> list[str]:
    """What a command prints: run in this process if it is planner alone, or else by a shell."""
    plain, redirected, file = found.groups() if (found := REDIRECTED.fullmatch(command)) else (command, "", "")
    if (words := words_of(plain)) is not None and words[0] == "planner":
        result = cli(*words[1:])
        assert result.code == 0, (command, result.err)
        streams = {"": result.out, "2": result.err}
        if redirected:
            number, mode = redirected.partition(">")[::2]
            with Path(file).open("a" if mode else "w") as out:
                out.write(streams.pop(number))
        return streams.get("", "").splitlines()
    return run_in_shell(command, cli).splitlines()


ASKING = """
planner() {
    { printf '%s\\0' "$@"; printf '\\0'; } >&"$asked"
    local code; read -r code <&"$answered"
    cat .out; cat .err >&2; return "$code"
}
"""
"""A shell's planner that has this process run its words: starting one of its own takes 2 s."""


def run_in_shell(command: str, cli: Cli) -> str:
    """What a command prints that needs a shell."""
    (words_from, asked), (answered, answer_to) = os.pipe(), os.pipe()
    environment = {**os.environ, "asked": str(asked), "answered": str(answered)}
    with subprocess.Popen(
        ["bash", "-c", ASKING + command], stdout=subprocess.PIPE, text=True, env=environment, pass_fds=(asked, answered)
    ) as shell:
        os.close(asked), os.close(answered)
        with os.fdopen(words_from, "rb") as words, os.fdopen(answer_to, "w") as answers:
            asking = b""
            while part := words.read1():
                asking += part
                if asking.endswith(b"\0\0"):
                    result = cli(*asking[:-2].decode().split("\0"))
                    Path(".out").write_text(result.out)
                    Path(".err").write_text(result.err)
                    print(result.code, file=answers, flush=True)
                    asking = b""
        out = shell.stdout.read() if shell.stdout else ""
    assert shell.returncode == 0, command
    return out


def words_of(command: str) -> list[str] | None:
    """The words of a plain command; nothing where it needs a shell."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words = list(lexer)
    needs_shell = {"$", "\n"} & set(command) or any(set(word) <= set("();<>|&") for word in words)
    return None if needs_shell else words


SLOW = {DOCS / "tutorials" / "nightly-service.md": [pytest.mark.slow]}


@pytest.mark.parametrize(
    "page", [pytest.param(page, marks=SLOW.get(page, []), id=str(page.relative_to(ROOT))) for page in pages()]
)
def test_commands_print_what_the_page_shows(
    page: Path, tmp_path: Path, cli: Cli, request: pytest.FixtureRequest
) -> None:
    text = page.read_text()
    if (store := store_of(text)) != "empty":
        shutil.copy(
            request.getfixturevalue({"drawn": "drawn", "planned": "_planned"}[store]), tmp_path / "planner.duckdb"
        )
    updating = "PLANNER_UPDATE_GOLDEN" in os.environ
    renewed: list[tuple[int, int, str]] = []
    for block in blocks(text):
        if block.file is not None:
            (tmp_path / block.file).write_text(block.text)
            continue
        told = []
        for shown in block.commands:
            assert KNOWN.match(shown.command), shown.command
            lines = run(shown.command, cli)
            told.append(as_shown(shown, lines))
            printed = without_layout(lines)
            if shown.is_cut:
                printed = printed[: len(shown.expected)]
            assert updating or printed == shown.expected, shown.command
        renewed.append((block.start, block.end, "".join(told)))
    if updating:
        for start, end, new in reversed(renewed):
            text = text[:start] + new + text[end:]
        page.write_text(text)


def test_a_command_with_shell_syntax_goes_to_a_shell() -> None:
    assert words_of("planner sql \"SELECT count(*) FROM run WHERE run_id < 'b'\"") == [
        "planner",
        "sql",
        "SELECT count(*) FROM run WHERE run_id < 'b'",
    ]
    for command in ("planner plan > out.txt", "planner plan 2>> log", "a; b", "ls $HOME", "for a in 1\ndo\ndone"):
        assert words_of(command) is None


def test_the_readme_shows_the_main_job() -> None:
    commands = [shown.command for block in blocks((ROOT / "README.md").read_text()) for shown in block.commands]
    assert "planner plan" in commands


def test_lines_of_python_run(planned: Store) -> None:
    codes = [
        code
        for page in sorted(DOCS.rglob("*.md"))
        for code in re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
    ]
    assert codes
    for code in codes:
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_the_picture_is_of_the_plan_that_the_text_describes(planned: Store) -> None:
    with planned.read() as session:
        chart = node_chart(read_run(session), load_profile("deepseek-2025-02-27").published_nodes())
    assert chart.description in PICTURE.read_text().replace("&#39;", "'")
