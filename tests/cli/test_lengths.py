"""Requests that no unit can serve, and traces that lack input, output or misses."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Cli

WINDOW = ("--from", "2026-11-02T09:45Z", "--to", "2026-11-02T10:15Z")
OWN = [
    "--model",
    "llama-3.1-70b",
    "--node",
    "h100",
    "--nodes",
    "4",
    "--timezone",
    "UTC",
    "--gpu-usd-per-hour",
    "2",
    "--usd-per-million",
    "0.4,0.1,1.6",
]
Row = Callable[[int], tuple[int, int, int]]


def import_log(cli: Cli, name: str, row: Row) -> None:
    """A trace of 75 minutes with a request every half minute. row: input, cached and output tokens by number."""
    lines = ["arrival,input_tokens,cached_input_tokens,output_tokens"]
    for number in range(150):
        minute, second = divmod(30 * number, 60)
        at = f"2026-11-02T{9 + minute // 60:02}:{minute % 60:02}:{second:02}Z"
        lines.append(",".join(map(str, (at, *row(number)))))
    Path(f"{name}.csv").write_text("\n".join(lines) + "\n")
    assert cli("trace", "import", f"{name}.csv", "--name", name).code == 0
    assert cli("scenario", "init", *OWN, "--trace", name, "--out", "own.toml").code == 0


def huge(number: int) -> tuple[int, int, int]:
    """One request of 20 million tokens and one of 150 thousand among short ones."""
    return {100: 20_000_000, 110: 150_000}.get(number, 900), 300, 200


def test_a_plan_counts_requests_that_are_longer_than_the_model_takes(cli: Cli) -> None:
    import_log(cli, "huge", huge)
    (note,) = [each for each in cli("plan", "own.toml", "--json").json["notes"] if "longer" in each]
    assert note.startswith("2 requests are longer than the 131,072 tokens of the context of llama-3.1-70b, the longest")
    # the built-in model takes 163,840
    (note,) = [each for each in cli("plan", "--trace", "huge", "--json").json["notes"] if "longer" in each]
    assert note.startswith("1 request is longer than the 163,840 tokens of the context of deepseek-r1")


def test_what_no_unit_can_serve_does_not_change_what_is_modelled(cli: Cli) -> None:
    import_log(cli, "plain", lambda _: (900, 300, 200))
    cli("plan", "own.toml")
    (usual,) = cli("sql", "SELECT settings FROM run ORDER BY run_id DESC LIMIT 1", "--format", "json").json
    import_log_again = huge
    Path("own.toml").unlink()
    import_log(cli, "huge", import_log_again)
    cli("plan", "own.toml")
    (other,) = cli("sql", "SELECT settings FROM run ORDER BY run_id DESC LIMIT 1", "--format", "json").json
    rate = '"tokens_per_s_per_node":'
    assert usual["settings"].split(rate)[1][:8] == other["settings"].split(rate)[1][:8]


def test_a_trace_counts_them_for_a_scenario(cli: Cli) -> None:
    import_log(cli, "huge", huge)
    shown = cli("trace", "show", "huge", "--scenario", "own.toml", "--json").json
    assert shown["longest_request_tokens"] == 20_000_200
    assert shown["unserved"] == {
        "scenario": "own",
        "limit_tokens": 131_072,
        "limit": "the context of llama-3.1-70b",
        "requests": 2,
        "tokens": 20_150_400,
    }
    assert cli("trace", "show", "huge", "--json").json["unserved"] is None
    assert "2 requests are longer than" in cli("trace", "show", "huge", "--scenario", "own.toml").out


def test_an_import_counts_them_for_a_scenario(cli: Cli) -> None:
    import_log(cli, "huge", huge)
    Path("small.csv").write_text("arrival,input_tokens,output_tokens\n2026-11-02T09:00:00Z,100,10\n")
    Path("large.csv").write_text("arrival,input_tokens,output_tokens\n2026-11-02T09:00:00Z,200000,10\n")
    words = ("trace", "import", "small.csv", "--scenario", "own.toml", "--json")
    assert cli(*words, "--name", "small").json["notes"][-1] == "no request is too long for own"
    large = ("trace", "import", "large.csv", "--name", "large", "--scenario", "own.toml")
    (note,) = [line for line in cli(*large).out.splitlines() if "longer" in line]
    assert note.startswith("  note: 1 request is longer than the 131,072 tokens of the context of llama-3.1-70b")
    assert cli("trace", "show", "large", "--json").code == 0
    refused = cli("trace", "import", "small.csv", "--scenario", "own.toml", "--dry-run")
    assert (refused.code, refused.out) == (2, "")
    assert "counts requests that are stored; leave --dry-run out" in refused.err


def test_a_replay_rejects_them_one_by_one_and_says_why(cli: Cli) -> None:
    import_log(cli, "huge", huge)
    done = cli("replay", "own.toml", *WINDOW, "--set", "slo.max_shortfall_ratio=1", "--json").json
    assert (done["requests"], done["completed"], done["rejected"]) == (60, 58, 2)
    assert done["rejects"] == {"rejected-length": 2}
    text = cli("replay", "own.toml", *WINDOW, "--set", "slo.max_shortfall_ratio=1").out
    assert "2 rejected (2 rejected-length, 0 retries)" in text


def test_a_replay_of_nothing_but_such_requests_ends(cli: Cli) -> None:
    import_log(cli, "huge", huge)
    lines = ["arrival,input_tokens,cached_input_tokens,output_tokens"]
    lines += [f"2026-11-02T{9 + n // 60:02}:{n % 60:02}:00Z,20000000,0,1" for n in range(75)]
    Path("all.csv").write_text("\n".join(lines) + "\n")
    cli("trace", "import", "all.csv", "--name", "all")
    done = cli("replay", "--trace", "all", *WINDOW, "--json").json
    assert (done["requests"], done["rejects"]) == (30, {"rejected-length": 30})
    assert "has no request that a unit can serve" in cli("plan", "own.toml", "--trace", "all").err


@pytest.mark.parametrize(
    ("name", "tokens"), [("prompts", (900, 300, 0)), ("texts", (0, 0, 200)), ("hits", (900, 900, 200))]
)
def test_a_trace_may_lack_output_input_or_misses(cli: Cli, name: str, tokens: tuple[int, int, int]) -> None:
    import_log(cli, name, lambda _: tokens)
    for scenario in ("own.toml", "deepseek-2025-02-27"):
        assert cli("plan", scenario, "--trace", name).code == 0
        done = cli("replay", scenario, "--trace", name, *WINDOW, "--json")
        assert done.code == 0, done.err
        assert (done.json["requests"], done.json["completed"]) == (60, 60)
    # what has no output delivers none
    assert done.json["output_tokens"] == 60 * tokens[2]
    assert cli("plan", "own.toml", "--trace", name, "--policy", "slo").code == 0


def test_the_kv_cache_of_the_gpus_that_a_stream_is_on_limits_requests_too(cli: Cli) -> None:
    import_log(cli, "huge", huge)
    # 80 GB less a tenth that the engine leaves, 52.5 GB and 17.6 GB of weights hold some 45 thousand tokens on 8 GPUs
    notes = cli("plan", "own.toml", "--set", "fleet.engine.reserve_gb=52.5", "--json").json["notes"]
    (note,) = [each for each in notes if "longer" in each]
    assert note.startswith("2 requests are longer than the 4")
    assert "tokens of the KV cache of 8 H100 GPUs that share attention" in note


def test_cached_tokens_that_are_unknown_are_planned_as_none(cli: Cli) -> None:
    import_log(cli, "none", lambda _: (900, 0, 200))
    text = Path("none.csv").read_text().replace("cached_input_tokens,", "").replace(",900,0,", ",900,")
    Path("unknown.csv").write_text(text)
    cli("trace", "import", "unknown.csv", "--name", "unknown")
    plans = [cli("plan", "own.toml", "--trace", name, "--json").json for name in ("none", "unknown")]
    assert plans[0]["need_nodes"] == plans[1]["need_nodes"]
    sources = cli("sql", "SELECT settings FROM run ORDER BY run_id", "--format", "json").json
    assert all("0.00% hits" in row["settings"] for row in sources)
