"""Logins and tokens in addresses: they reach the server, and nothing that is shown or stored."""

from pathlib import Path

import pytest

from tests.conftest import Cli
from tests.helpers.fake_prometheus import Series, fake_prometheus
from tests.helpers.nights import write_jobs

SECRET = "s3cr3t-T0KEN"
SPAN = ("--from", "2025-03-01T00:00Z", "--to", "2025-03-01T00:10Z")
VLLM: Series = {
    "vllm:request_success_total": (5, 6),
    "vllm:prompt_tokens_total": (500, 600),
    "vllm:generation_tokens_total": (50, 60),
}


def test_a_path_and_a_query_of_a_server_are_used_and_not_stored(cli: Cli) -> None:
    with fake_prometheus(VLLM) as server:
        told = cli("trace", "import", f"{server.url}/{SECRET}/?key={SECRET}", "--name", "t", *SPAN, "--json")
    assert told.code == 0, told.err
    assert all(path.startswith(f"/{SECRET}/api/v1/query_range?key={SECRET}&query=") for path in server.paths)
    seen = told.out + told.err
    for query in ("SELECT * FROM trace", "SELECT * FROM import_reject"):
        seen += cli("sql", query, "--format", "json").out
    seen += cli("trace", "show", "t").out + cli("trace", "list").out
    assert f"{server.url}/..." in seen
    assert SECRET not in seen


@pytest.mark.parametrize(
    "address",
    [
        "http://me:{}@127.0.0.1:9/",
        "http://{}@127.0.0.1:9/",
        "http://127.0.0.1:9/{}?{}#{}",
        "http://me:{}",
        "http://me:{}#@127.0.0.1:9/",
        "http://me:1/{}@127.0.0.1:9/",
        "HTTP://me:{}@127.0.0.1:9/",
        "http://[{}",
        "http://me:{}@127.0.0.1:port/",
        "http://me:{}@127.0.0.1:9/ x",
        "http://\u00e9{}@127.0.0.1:9/\u00e9{}",
    ],
)
def test_an_address_that_is_wrong_or_silent_is_one_line_without_its_secrets(cli: Cli, address: str) -> None:
    result = cli("trace", "import", address.replace("{}", SECRET), "--name", "t", *SPAN)
    assert result.code in (1, 2)
    assert result.err.count("\n") == 1
    assert SECRET not in result.err


@pytest.mark.parametrize(
    ("head", "log"),
    [
        (f"[notify]\nurl = 'hooks.example.com/{SECRET}'", None),
        (f"[notify]\nurl = 'https://me:{SECRET}'", None),
        (f"[notify]\nurl = ['https://x/{SECRET}']", None),
        (f"notify = 'https://x/{SECRET}'", None),
        ("", f"path = 'http://x'\nheaders = 'X-Key: {SECRET}'"),
        ("", f"path = 'http://me:{SECRET}'"),
        ("", f"path = ['http://x/{SECRET}']"),
    ],
)
def test_a_jobs_file_with_a_wrong_address_is_refused_without_repeating_it(
    cli: Cli, tmp_path: Path, head: str, log: str | None
) -> None:
    write_jobs(tmp_path, head=head, **({} if log is None else {"log": log}))
    result = cli("schedule", "list")
    assert result.code == 2
    assert result.err.count("\n") == 1
    assert SECRET not in result.err


def test_the_list_of_jobs_shows_the_host_of_a_server(cli: Cli, tmp_path: Path) -> None:
    write_jobs(tmp_path, log=f"path = 'http://me:{SECRET}@127.0.0.1:9/{SECRET}'\nformat = 'vllm'")
    (job,) = cli("schedule", "list", "--json").json
    assert job["log"] == "http://127.0.0.1:9/..."
    assert SECRET not in cli("schedule", "list").out
    # a night whose server does not answer
    result = cli("schedule", "run-due", "--now", "2025-03-02T03:00+01:00")
    assert result.code == 1
    told = result.err + cli("schedule", "history").out + cli("schedule", "history", "--json").out
    assert "http://127.0.0.1:9/..." in told
    assert SECRET not in told
