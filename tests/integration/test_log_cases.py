"""Logs as they come, beside the real traces: every command ends as the list of cases says."""

import json
import os
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Cli

FOLDER = Path(os.environ.get("PLANNER_TEST_TRACES", "nowhere")).parent / "cases" / "logs"
WORDS = {
    "servegen_offline_d": "refused: is not a known log format",
    "dupcol": "refused: more than once",
    "xlsx": "refused: CSV",
    "pq_date": "refused: arrival is not a time",
    "oai_costs": "refused: costs",
    "oai_dash_auto": "refused: usage",
    "mixed_formats": "refused: import them as two traces",
    "psql_copy_text": "refused: header",
}
"""What the message has to say where the list describes it in words."""
COUNTS = {"num": {"rows_imported": 7}, "time_tz_names": {"rows_imported": 5, "rows_rejected": 4}}
"""Rows where the list describes them in words: numbers that can be read in one way only; times that are read whole."""


def cases() -> list[Any]:
    if not (FOLDER / "cases.json").is_file():
        return [pytest.param({}, marks=pytest.mark.skip("the cases are not beside PLANNER_TEST_TRACES"), id="none")]
    return [pytest.param(case, id=case["name"]) for case in json.loads((FOLDER / "cases.json").read_text())]


@pytest.fixture(scope="session")
def _logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the logs, so that nothing is written beside them."""
    folder = tmp_path_factory.mktemp("cases") / "logs"
    shutil.copytree(FOLDER, folder)
    return folder


@pytest.mark.parametrize("case", cases())
def test_a_log_is_read_as_its_case_says(
    case: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli, request: pytest.FixtureRequest
) -> None:
    monkeypatch.chdir(request.getfixturevalue("_logs"))
    words = shlex.split(case["command"])[1:]
    result = cli(*words, "--db", str(tmp_path / "planner.duckdb"), "--json")
    expected = COUNTS.get(case["name"], case["expected"])
    if isinstance(expected, str) or expected.get("refused"):
        said = WORDS.get(case["name"], "refused: --time-unit").removeprefix("refused: ")
        assert (result.code, result.err.count("\n")) == (1, 1), result.err
        assert said in result.err
        return
    assert result.code == 0, result.err
    account = result.json
    assert account["rows_read"] == account["rows_imported"] + account["rows_rejected"] + account.get("rows_left_out", 0)
    for key, value in expected.items():
        assert account[key] == value, key
