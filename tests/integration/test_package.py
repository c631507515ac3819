"""The package: what is exported, what the wheel holds, what the lock and the layout promise."""

import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

import planner

ROOT = Path(planner.__file__).parent.parent
MOST_BYTES = 2_000_000
"""Of a wheel: code and small tables; what is condensed from large ones stays elsewhere."""

EXPORTED = {
    "PlannerError",
    "RunView",
    "Scenario",
    "Store",
    "check",
    "load_run",
    "load_scenario",
    "outlook_of",
    "plan",
    "plan_document",
    "replay",
    "store_replay",
    "to_json",
    "version",
    "write_report",
}


def git(*words: str) -> list[str]:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("this is no git checkout")
    return done.stdout.split()


def test_exactly_these_names_are_exported_and_can_be_imported() -> None:
    assert set(planner.__all__) == EXPORTED
    for name in EXPORTED:
        assert getattr(planner, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'guess'"):
        _ = planner.guess


def test_importing_it_imports_nothing_else() -> None:
    """What Ctrl-C meets on the way to `planner.__main__` gives a traceback."""
    code = "import sys; before = set(sys.modules); import planner; print(set(sys.modules) - before)"
    environment = {**os.environ, "PYTHONPATH": str(Path(planner.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout == "{'planner'}\n"


def test_the_wheel_holds_what_git_tracks_and_nothing_else(tmp_path: Path) -> None:
    tracked = git("ls-files", "planner", "sql", "traces", "reports")
    expected = {name if name.startswith("planner/") else f"planner/_shipped/{name}" for name in tracked}
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == expected
    assert not [name for name in names if name.endswith(".parquet")]
    assert wheel.stat().st_size < MOST_BYTES


def test_the_readme_is_a_page() -> None:
    assert (ROOT / "README.md").read_text().count("\n") <= 150


def test_the_source_distribution_holds_what_its_tests_read(tmp_path: Path) -> None:
    folders = ("planner", "sql", "traces", "reports", "tests", "docs", "examples", "mkdocs.yml")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (sdist,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert set(git("ls-files", *folders)) <= names


def test_the_lock_pins_every_requirement_with_hashes_and_names_no_address() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    pinned = {name.lower() for name in re.findall(r"^([A-Za-z0-9_.-]+)==", lock, re.MULTILINE)}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    assert {re.split(r"[<>=]", name)[0].lower() for name in wanted} <= pinned
    assert lock.count("--hash=sha256:") >= len(pinned)
    assert "://" not in lock


def test_the_top_level_holds_what_was_agreed() -> None:
    agreed = {
        "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "LICENSE", "NOTICE", "Makefile",
        "requirements.lock", "pyproject.toml", "mkdocs.yml", "planner", "tests", "traces", "sql", "reports",
        "docs", "examples",
    }  # fmt: skip
    assert {name.split("/")[0] for name in git("ls-files") if not name.startswith(".")} == agreed


def test_modules_and_functions_stay_small() -> None:
    import ast

    for path in (ROOT / "planner").rglob("*.py"):
        text = path.read_text()
        assert text.count("\n") <= 500, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno is not None
                doc = ast.get_docstring(node, clean=False)
                assert node.end_lineno - node.lineno - (doc.count("\n") if doc else 0) <= 60, f"{path}:{node.lineno}"


def test_every_room_is_in_the_architecture() -> None:
    architecture = (ROOT / "docs" / "explanation" / "architecture.md").read_text()
    rooms = re.findall(r"^\| (`.*?) \|", architecture, re.MULTILINE)
    named = set(re.findall(r"`([a-z_]+)`", " ".join(rooms)))
    for folder in (ROOT / "planner", ROOT / "planner" / "core"):
        for path in folder.iterdir():
            if path.suffix == ".py" or (path.is_dir() and (path / "__init__.py").exists()):
                assert path.stem in named or path.stem.startswith("__"), path
