"""What the commands on capacity refuse, and how they word what they show."""

from pathlib import Path

import pytest

import planner
from planner.catalogue.read import KINDS, find, names
from planner.cli.output import number
from planner.errors import UsageError
from tests.conftest import Cli, Result, minute_log

CATALOGUE = Path(planner.__file__).parent / "catalogue" / "data"
POINTS = ["8,1000,20.5", "32,4000,30.5", "64,2000,41", "96,5000,57", "128,3000,66"]
HEAD = "streams,kv_tokens,step_ms\n"


def changed(file: str, old: str, new: str) -> str:
    """The path of a copy of a file of the catalogue with a text replaced."""
    path, text = Path("own.toml"), (CATALOGUE / file).read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return str(path)


def refused(result: Result) -> str:
    """The one line of a usage error."""
    assert (result.code, result.out) == (2, "")
    assert result.err.count("\n") == 1
    assert len(result.err) < 400
    return result.err


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "-1", "1e300"])
@pytest.mark.parametrize(
    ("words", "option"),
    [
        (("capacity",), "--tpot-ms"),
        (("capacity",), "--kv-tokens"),
        (("capacity",), "--hit"),
        (("capacity", "cache", "t"), "--input-tokens-per-s"),
        (("capacity", "cache", "t"), "--disk-gb-s"),
        (("capacity", "cache", "t"), "--disk-tb"),
        (("batching",), "--rate"),
        (("batching",), "--tick-ms"),
        (("batching",), "--windows-ms"),
        (("experts",), "--sigma"),
    ],
)
def test_an_invalid_number_is_refused_by_its_option(cli: Cli, words: tuple[str, ...], option: str, value: str) -> None:
    assert option in refused(cli(*words, option, value))


def test_a_search_may_last_for_ever_but_not_for_no_number_of_seconds(cli: Cli) -> None:
    drawn = ("experts", "--layers", "1", "--json", "--search-s")
    assert cli(*drawn, "inf").code == 0
    for value in ("nan", "-1"):
        assert "--search-s" in refused(cli(*drawn, value))


def test_a_target_without_end_is_told_that_it_is_not_finite(cli: Cli) -> None:
    assert "--tpot-ms is inf; give a finite number above 0 ms" in refused(cli("capacity", "--tpot-ms", "inf"))


def test_built_in_names_are_found_whatever_their_case(cli: Cli) -> None:
    plain = cli("capacity", "--json")
    assert cli("capacity", "--node", "H800", "--model", "DeepSeek-R1", "--json").json == plain.json
    assert cli("what-if", "A100-Fleet", "--json").json == cli("what-if", "a100-fleet", "--json").json
    assert "give one of a100-fleet" in cli("what-if", "A100-nope").err


def test_a_file_of_ones_own_goes_before_a_name_that_is_only_written_alike() -> None:
    Path("H800").touch()
    Path("h800").touch()
    assert find("hardware", "H800") == Path("H800")
    assert find("hardware", "h800") == CATALOGUE / "hardware" / "h800.toml"
    assert find("hardware", "A100") == CATALOGUE / "hardware" / "a100.toml"


def test_a_name_that_is_not_there_is_called_what_it_is() -> None:
    assert set(KINDS) == {path.name for path in CATALOGUE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    for folder, kind in KINDS.items():
        with pytest.raises(UsageError) as caught:
            find(folder, "nope")
        assert str(caught.value).startswith(f'no {kind} "nope": give one of {names(folder)[0]}')
    assert (KINDS["mixes"], KINDS["what_if"]) == ("mix", "what-if")


@pytest.mark.parametrize("words", [("--node", "h800"), ("--sweep", "kv"), ("--set", "kv=fp8"), ("--chart", "x.svg")])
def test_the_check_takes_no_other_option(cli: Cli, words: tuple[str, str]) -> None:
    message = refused(cli("capacity", "--check", *words))
    assert "--check takes no option other than --points and --json" in message
    assert words[0] in message


def test_an_option_before_a_subcommand_is_not_passed_over(cli: Cli) -> None:
    assert "--node, --json: must come after route" in refused(cli("capacity", "--node", "h20", "--json", "route"))


@pytest.mark.parametrize("field", ["weights", "hardware", "model", "redundant_experts", "tensor_parallel"])
def test_what_a_mix_says_of_its_pools_cannot_be_set(cli: Cli, field: str) -> None:
    message = refused(cli("capacity", "route", "--set", "kv=fp8", "--set", f"{field} = 1"))
    assert f"--set {field}: is set by the mix and the catalogue" in message


def test_the_points_of_several_files_are_fitted_together(cli: Cli) -> None:
    Path("all.csv").write_text(HEAD + "\n".join(POINTS))
    Path("some.csv").write_text(HEAD + "\n".join(POINTS[:3]))
    Path("more.csv").write_text(HEAD + "\n".join(POINTS[3:]))
    whole = cli("capacity", "fit", "all.csv", "--json").json
    parts = cli("capacity", "fit", "some.csv", "more.csv", "--json").json
    for name in ("kernels", "overheads", "prompts", "rms"):
        assert parts[name] == whole[name]
    assert [point["source"] for point in parts["points"]][2:4] == ["some.csv, line 4", "more.csv, line 2"]
    shown = cli("capacity", "fit", "some.csv", "more.csv", "--out", "own.toml").out
    assert "5 points" in shown
    assert cli("capacity", "--set", "calibration=own.toml", "--kv-tokens", "4000").code == 0


@pytest.mark.parametrize(
    "words",
    [("capacity", "--weights", "fp16"), ("batching", "--weights", "fp16"), ("capacity", "route", "--set", "kv=fp16")],
)
def test_a_wrong_option_is_not_blamed_on_the_default_scenario(cli: Cli, words: tuple[str, ...]) -> None:
    assert refused(cli(*words)).startswith("planner: fleet.engine.")


def test_a_problem_of_a_whole_file_is_not_called_one_of_a_scenario(cli: Cli) -> None:
    own = changed("models/deepseek-r1.toml", "dense_width = 18_432", "dense_width = 0")
    assert refused(cli("capacity", "--model", own)).startswith("planner: own.toml: has dense layers but no dense_width")


def test_a_misspelt_key_does_not_bring_the_whole_file(cli: Cli) -> None:
    own = changed("models/deepseek-r1.toml", 'kind = "latent"', f'knd = "{"x" * 500}"')
    message = refused(cli("capacity", "--model", own))
    shown = message.partition("got ")[2].strip()
    assert shown.startswith("{'knd': 'xxx")
    assert shown.endswith("xxx...")
    assert len(shown) == 80


STATED = {
    "ep": "units of 144 GPUs",
    "kv": "4,989 tokens of KV",
    "hit": "56.25% cache hits",
    "target": "target 50 ms per output token",
}


@pytest.mark.parametrize("what", ["batch", "kv", "hit", "ep"])
def test_a_curve_states_what_is_fixed_and_not_what_is_swept(cli: Cli, what: str) -> None:
    shown = cli("capacity", "--sweep", what, "--chart", "curve.svg").out
    title, drawn = shown.splitlines()[0], Path("curve.svg").read_text()
    for of, text in (STATED | ({"ep": "units of 32 GPUs"} if what == "hit" else {})).items():
        assert (text in title) == (of != what)
        assert (text in drawn) == (of != what)
    assert "not predicted" in shown


def test_the_axis_of_kv_lengths_ends_where_the_curve_does(cli: Cli) -> None:
    cli("capacity", "--sweep", "kv", "--chart", "curve.svg")
    drawn = Path("curve.svg").read_text()
    assert ">100,000<" in drawn
    assert ">1,000,000<" not in drawn
    assert ">200<" not in drawn


def test_a_chart_that_cannot_be_written_gives_one_line(cli: Cli) -> None:
    Path("folder.svg").mkdir()
    result = cli("capacity", "--sweep", "kv", "--chart", "folder.svg")
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert "folder.svg: cannot be written" in result.err


def table_of(shown: str) -> list[str]:
    """The lines of the one table, without the title above it and the notes below."""
    return [
        line.rstrip()
        for line in shown.splitlines()[1:]
        if not line.startswith(("  prefill: ", "  decode: ", "  90 % "))
    ]


def test_a_table_of_ep_sizes_is_narrow_and_json_has_every_reason_in_full(cli: Cli) -> None:
    table = table_of(cli("capacity", "--sweep", "ep").out)
    rows = cli("capacity", "--sweep", "ep", "--json").json["rows"]
    assert max(map(len, table)) < 130
    assert [line.endswith("does not fit") for line in table[3:-1]] == ["spread it over" in row["why"] for row in rows]
    assert [row.get("reason") == "memory" for row in rows] == ["spread it over" in row["why"] for row in rows]
    assert any(line.endswith("limited by tpot") for line in table)


@pytest.mark.parametrize(
    ("words", "shown", "reason"),
    [
        (("--kv-tokens", "1000000"), "does not fit", "memory"),
        (("--tpot-ms", "5"), "misses target", "target"),
        (("--node", "own.toml"), "balance not measured", "imbalance"),
    ],
)
def test_a_table_says_in_two_words_why_an_ep_size_cannot_serve(
    cli: Cli, words: tuple[str, ...], shown: str, reason: str
) -> None:
    changed("hardware/h800.toml", "gpus_per_node = 8", "gpus_per_node = 16")  # up to EP512
    table = table_of(cli("capacity", "--sweep", "ep", *words).out)
    assert any(line.endswith(f" -   {shown}") for line in table)
    assert max(map(len, table)) < 130
    rows = cli("capacity", "--sweep", "ep", *words, "--json").json["rows"]
    assert reason in [row.get("reason") for row in rows]
    assert all(("reason" in row) == (row["streams"] == 0) for row in rows)


def test_one_user_whom_a_node_has_no_room_for_ends_the_story(cli: Cli) -> None:
    shown = cli("batching", "--node", changed("hardware/h800.toml", "memory_gb = 80", "memory_gb = 60"))
    assert shown.code == 0
    assert "does not fit" in shown.out
    assert "times the fleet's cost" not in shown.out
    user = cli("batching", "--node", "own.toml", "--json").json["one_user"]
    assert set(user) == {"weights", "fits", "memory"}
    assert not user["fits"]


def test_numbers_that_nobody_can_read_are_printed_in_scientific_form() -> None:
    assert (number(1e300), number(-1e300, 2), number(10**20)) == ("1.000e+300", "-1.000e+300", "1.000e+20")
    assert (number(1_234_567), number(1234.5, 2)) == ("1,234,567", "1,234.50")


def test_a_workload_that_nobody_gave_is_said_to_be_the_published_one(cli: Cli) -> None:
    other = ("capacity", "--node", "h100", "--model", "llama-3.1-70b")
    head = "workload: requests of 3,637 tokens in and 1,005 out"
    tail = "as on DeepSeek's published day; give --trace NAME for your own, or --kv-tokens and --hit"
    assert f"  {head}, 4,989 tokens of KV, 56.25% of input found in a cache, {tail}\n" in cli(*other).out
    assert f"  {head}, {tail}\n" in cli(*other, "--kv-tokens", "2000", "--hit", "0.3").out
    assert cli(*other, "--json").json["notes"][0].startswith(head)
    log = minute_log(Path("log.csv"), [(600, 100), (700, 1250)])
    cli("trace", "import", str(log), "--name", "own")
    assert "workload:" not in cli(*other, "--trace", "own").out
    assert "workload:" not in cli("capacity").out
