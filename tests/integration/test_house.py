"""The house rules that no linter holds: names, construction, sizes, and what tests may reach into."""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import planner

ROOT = Path(planner.__file__).parent.parent
PACKAGE = sorted((ROOT / "planner").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))


def nodes(paths: list[Path]) -> Iterator[tuple[Path, ast.AST]]:
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            yield path.relative_to(ROOT), node


def test_a_class_name_means_one_thing_in_the_whole_package() -> None:
    names = Counter(
        node.name for _, node in nodes(PACKAGE) if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert [name for name, count in names.items() if count > 1] == []


def test_no_call_passes_seven_arguments_by_position() -> None:
    assert [
        f"{path}:{node.lineno}"
        for path, node in nodes(PACKAGE)
        if isinstance(node, ast.Call) and sum(not isinstance(each, ast.Starred) for each in node.args) > 6
    ] == []


def test_dataclasses_of_five_fields_are_built_with_keywords() -> None:
    assert [
        f"{path}:{node.lineno} {node.name}"
        for path, node in nodes(PACKAGE)
        if isinstance(node, ast.ClassDef)
        and any(
            ast.unparse(each).startswith("dataclass") and "kw_only" not in ast.unparse(each)
            for each in node.decorator_list
        )
        and sum(
            isinstance(each, ast.AnnAssign) and "ClassVar" not in ast.unparse(each.annotation) for each in node.body
        )
        > 4
    ] == []


def test_no_test_file_is_over_600_lines() -> None:
    assert [path.name for path in TESTS if path.read_text().count("\n") > 600] == []


def test_tests_reach_into_no_private_name_of_the_package() -> None:
    assert [
        f"{path}:{node.lineno} {alias.name}"
        for path, node in nodes(TESTS)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("planner")
        for alias in node.names
        if alias.name.startswith("_")
    ] == []


def test_tests_share_helpers_and_import_nothing_from_each_other() -> None:
    assert [
        f"{path}:{node.lineno} {node.module}"
        for path, node in nodes(TESTS)
        if isinstance(node, ast.ImportFrom) and any(part.startswith("test_") for part in (node.module or "").split("."))
    ] == []
