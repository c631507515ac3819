"""Counters of inference servers from Prometheus: increases per window, over restarts, gaps and many servers."""

import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.trace.imports.prometheus import growth
from tests.conftest import Cli
from tests.helpers.counters import SGLANG, START, VLLM, exposition, growing, steady, vllm


def imported(cli: Cli, url: str, *words: str, minutes: int = 10) -> Any:
    ends = [datetime.fromtimestamp(START + 60 * at, UTC).isoformat() for at in (0, minutes)]
    return cli("trace", "import", url, "--name", "t", "--from", ends[0], "--to", ends[1], "--json", *words)


def windows(cli: Cli, field: str) -> list[int]:
    rows = cli("sql", f"SELECT {field} FROM demand_window ORDER BY window_start_us", "--format", "json").json
    return [row[field] for row in rows]


@given(st.lists(st.tuples(st.integers(0, 1000), st.booleans()), min_size=1, max_size=30))
def test_a_counter_over_restarts_grows_by_what_was_counted(steps: list[tuple[int, bool]]) -> None:
    value, values, counted = 500, [500], [0]
    for step, restarted in steps:
        # a restart that counts to where the counter was cannot be told
        if restarted and step < value:
            value = step
        else:
            value += step
        values.append(value)
        counted.append(counted[-1] + step)
    assert growth(np.array(values, float)).tolist() == counted


def test_counters_become_demand_per_window(cli: Cli, prometheus: Callable[[str], str]) -> None:
    url = prometheus(vllm(steady('pod="a"', 6, range(10), first=1000), steady('pod="b"', 2, range(10))))
    found = imported(cli, url).json
    assert (found["format"], found["origin"], found["rows_read"], found["requests"]) == ("vllm", "windows", 10, 80)
    totals = [found[name] for name in ("input_tokens", "cached_input_tokens", "output_tokens")]
    assert totals == [8000, 3200, 800]
    assert windows(cli, "requests") == [8] * 10
    assert imported(cli, url).json["known_as"] == "t"
    planned = cli("plan", "--trace", "t", "--set", "interval_s=60", "--json")
    assert planned.json["input_tokens"] == 8000


def test_a_restart_counts_from_zero_again(cli: Cli, prometheus: Callable[[str], str]) -> None:
    before, after = steady('pod="a"', 6, range(4), first=70), steady('pod="a"', 6, range(5, 10), first=6)
    url = prometheus(vllm({metric: before[metric] + after[metric] for metric in VLLM}))
    assert imported(cli, url).json["requests"] == 24 + 6 + 30
    assert windows(cli, "requests") == [6] * 10


@pytest.mark.parametrize("step", ["60", "120", "300", "600"])
def test_a_restart_loses_nothing_however_long_the_windows(
    cli: Cli, prometheus: Callable[[str], str], step: str
) -> None:
    before, after = steady('pod="a"', 6, range(4), first=70), steady('pod="a"', 6, range(5, 10), first=6)
    url = prometheus(vllm({metric: before[metric] + after[metric] for metric in VLLM}))
    assert imported(cli, url, "--step", step).json["requests"] == 60
    assert windows(cli, "requests") == [int(step) // 10] * (600 // int(step))


def test_long_ranges_are_asked_for_in_parts(
    cli: Cli, prometheus: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("planner.trace.imports.prometheus._POINTS", 3)
    before, after = steady('pod="a"', 6, range(4), first=70), steady('pod="a"', 6, range(5, 10), first=6)
    url = prometheus(vllm({metric: before[metric] + after[metric] for metric in VLLM}))
    assert imported(cli, url).json["requests"] == 60
    assert windows(cli, "requests") == [6] * 10


def test_servers_that_come_and_go_count_while_they_are_there(cli: Cli, prometheus: Callable[[str], str]) -> None:
    url = prometheus(vllm(steady('pod="a"', 6, range(4)), steady('pod="b"', 2, range(6, 10), first=5000)))
    assert imported(cli, url).code == 0
    assert windows(cli, "requests") == [6, 6, 6, 6, 0, 0, 2, 2, 2, 2]


def test_a_gap_is_filled_evenly(cli: Cli, prometheus: Callable[[str], str]) -> None:
    whole = steady('pod="a"', 6, range(30))
    holed = {metric: [sample for sample in found if not 300 < sample[0] < 1200] for metric, found in whole.items()}
    assert imported(cli, prometheus(vllm(holed)), minutes=30).json["requests"] == 180
    # Prometheus shows the last sample for five minutes more
    assert windows(cli, "requests")[:5] == [6] * 5
    assert windows(cli, "requests")[20:] == [6] * 10


def test_labels_choose_servers_and_steps_windows(cli: Cli, prometheus: Callable[[str], str]) -> None:
    url = prometheus(vllm(steady('pod="a"', 6, range(10)), steady('pod="b"', 2, range(10))))
    assert imported(cli, url, "--selector", 'pod="b"', "--step", "300").json["requests"] == 20
    assert windows(cli, "requests") == [10, 10]
    result = imported(cli, url, "--selector", 'pod="c"')
    assert result.code == 1
    assert "has no sglang:prompt_tokens_total or vllm:prompt_tokens_total from --from to --to" in result.err
    broken = imported(cli, url, "--selector", "pod=")
    assert broken.code == 1
    assert "answers 400: 1:51: parse error" in broken.err


def test_two_kinds_of_servers_are_two_formats(cli: Cli, prometheus: Callable[[str], str]) -> None:
    factors = dict(zip(SGLANG, (1, 100, 40, 10), strict=True))
    sglang = {metric: growing("", 3 * factor, range(10)) for metric, factor in factors.items()}
    url = prometheus(exposition(sglang) + vllm(steady('pod="a"', 6, range(10))))
    result = imported(cli, url)
    assert result.code == 1
    assert "has counters of sglang and vllm; say which with --format" in result.err
    assert imported(cli, url, "--format", "sglang").json["cached_input_tokens"] == 1200


@pytest.fixture
def answering() -> Iterator[Callable[[int, bytes], str]]:
    """Starts a server that always gives the same answer."""
    servers: list[HTTPServer] = []

    def start(status: int, body: bytes) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *words: object) -> None:
                pass

        servers.append(HTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (200, b"<html>hello</html>", "does not answer like Prometheus"),
        (200, b"[]", "does not answer like Prometheus"),
        (200, b'{"data": {"result": [{"metric": {}, "values": [[1, "x"]]}]}}', "does not answer like Prometheus"),
        (200, b'{"data": {"result": [{"metric": {}, "values": [[1, "NaN"]]}]}}', "has no sglang:prompt_tokens_total"),
        (200, b"[" * 100_000, "does not answer like Prometheus"),
        (404, b"not here\nat all", "answers 404: not here; check the address"),
        (503, b"", "answers 503: without a reason"),
        (422, json.dumps({"status": "error", "error": "too many samples"}).encode(), "answers 422: too many samples"),
    ],
)
def test_what_is_no_prometheus_gets_one_line(
    cli: Cli, answering: Callable[[int, bytes], str], status: int, body: bytes, message: str
) -> None:
    result = imported(cli, answering(status, body))
    assert result.code == 1
    assert message in result.err
    assert result.err.count("\n") == 1


def test_a_server_wants_times_and_a_format_of_counters(cli: Cli) -> None:
    url = "http://127.0.0.1:9"
    for words, message in {
        ("--name", "t"): "state the time span with --from and --to",
        ("--name", "t", "--from", "2025-03-01"): "--from and --to go together; give both",
        ("--name", "t", "--from", "2025-03-02", "--to", "2025-03-01"): "is less than one window of 60 s",
        ("--name", "t", "--from", "2005-03-02", "--to", "2025-03-01"): "200,000 is the limit; use a longer step",
        (
            "--name",
            "t",
            "--from",
            "2025-03-01",
            "--to",
            "2025-03-02",
            "--format",
            "csv",
        ): "use one of prometheus, sglang, vllm",
        ("l.csv", "--name", "t"): "is a server; import its counters as a separate trace",
    }.items():
        result = cli("trace", "import", url, *words)
        assert result.code == 2
        assert message in result.err
    unanswered = imported(cli, url)
    assert unanswered.code == 1
    assert "does not answer" in unanswered.err


def test_counters_are_no_files(cli: Cli, tmp_path: Any) -> None:
    (tmp_path / "l.csv").write_text("a\n1\n")
    for name, message in {"vllm": "reads a server: give its address", "servegen": "reads folders"}.items():
        result = cli("trace", "import", "l.csv", "--name", "t", "--format", name)
        assert result.code == 1
        assert message in result.err
