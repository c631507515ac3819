"""planner model: a model of one's own from its config.json, and the figures of a model."""

import json
from pathlib import Path
from typing import Any

import pytest

from planner.catalogue.read import model, names
from tests.conftest import Cli
from tests.helpers.configurations import BASE, GPT_OSS, KINDS, QWEN_HYBRID, within


def write(config: Any, name: str = "config.json") -> str:
    Path(name).write_text(config if isinstance(config, str) else json.dumps(config))
    return name


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_configuration_becomes_a_model_that_capacity_takes(cli: Cli, kind: str) -> None:
    added = cli("model", "add", write(KINDS[kind]), "--name", kind, "--json")
    assert added.code == 0, added.err
    assert added.json["file"] == f"{kind}.toml"
    shown = cli("model", "show", f"./{kind}.toml", "--json").json
    assert shown == {key: value for key, value in added.json.items() if key not in ("file", "notes")}
    assert shown["parameters"] == sum(shown["parts"].values())
    asked = cli("capacity", "--node", "h100", "--model", f"./{kind}.toml", "--json")
    assert asked.code == 0, asked.err
    assert asked.json["parameters"] == shown["parameters"]


def test_what_was_assumed_and_what_is_left_out_is_said_and_kept_in_the_file(cli: Cli) -> None:
    config = within(QWEN_HYBRID, torch_dtype=...)
    added = cli("model", "add", write(config), "--name", "mine", "--description", "ours", "--source", "our registry")
    assert added.code == 0, added.err
    lines = added.out.splitlines()
    assert lines == [
        "mine.toml: written; give it as a model, as in `planner capacity --model ./mine.toml`",
        "  mine: ours",
        "  its number format is not told: bf16 is assumed",
        "  left out: vision_config (vision input), mtp_num_hidden_layers (layers that draft tokens)",
    ]
    assert Path("mine.toml").read_text().startswith("# its number format is not told: bf16 is assumed\n")
    made = model("./mine.toml")
    assert (made.description, made.source) == ("ours", "our registry")
    assert made.left_out == ("vision_config (vision input)", "mtp_num_hidden_layers (layers that draft tokens)")


def test_a_file_that_is_there_stays_unless_it_is_to_be_overwritten(cli: Cli) -> None:
    config = write(BASE)
    Path("mine.toml").write_text("mine\n")
    refused = cli("model", "add", config, "--name", "mine")
    assert (refused.code, refused.out) == (1, "")
    assert "mine.toml: already exists; name another file with --out, or overwrite it with --force" in refused.err
    assert Path("mine.toml").read_text() == "mine\n"
    assert cli("model", "add", config, "--name", "mine", "--out", "other.toml").code == 0
    assert cli("model", "add", config, "--name", "mine", "--force").code == 0
    assert Path("mine.toml").read_text() == Path("other.toml").read_text()


def test_a_name_that_a_built_in_model_has_is_said(cli: Cli) -> None:
    added = cli("model", "add", write(BASE), "--name", "qwen3-8b", "--out", "models/mine.toml")
    assert added.code == 1
    assert "models/mine.toml: cannot be written" in added.err
    added = cli("model", "add", write(BASE), "--name", "qwen3-8b", "--out", "mine.toml")
    assert added.out.splitlines()[-1] == (
        "  a built-in model has the same name: qwen3-8b alone means that one, ./mine.toml yours"
    )


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["missing.json"], "missing.json: cannot be read: No such file or directory; give a model's own config.json"),
        (["."], ".: is a folder; give a model's own config.json"),
        (["/dev/zero"], "/dev/zero: is not a regular file; give a model's own config.json"),
        (["large.json"], "large.json: is larger than 16 MB"),
        (["binary.json"], "binary.json: is not UTF-8 text"),
        (["list.json"], "list.json: is not a JSON object"),
        (["config.json", "--name", "../x"], '--name "../x": write letters, digits, dots, underscores and hyphens'),
        (["config.json", "--name", ""], '--name "": write letters'),
        (["config.json", "--name", "x" * 201], "give a name of at most 200"),
        (["config.json", "--name", "x", "--source", ""], "source: is an empty text"),
        (["config.json", "--name", "x", "--description", "\x1b[31m"], "description: has the character U+001B"),
        (["config.json", "--name", "x", "--out", "config.json", "--force"], "a model is written as TOML"),
    ],
)
def test_bad_input_gets_one_line_and_writes_nothing(cli: Cli, words: list[str], told: str) -> None:
    write(BASE)
    write("[1]", "list.json")
    Path("binary.json").write_bytes(b"\xff\xfe\x00")
    with Path("large.json").open("wb") as file:
        file.truncate(17 * 1024 * 1024)
    before = {path.name for path in Path().iterdir()}
    done = cli("model", "add", *words)
    assert (done.code, done.out) == (2, "")
    assert told in done.err
    assert done.err.count("\n") == 1
    assert {path.name for path in Path().iterdir()} == before


def test_a_configuration_is_no_model_yet(cli: Cli) -> None:
    done = cli("capacity", "--node", "h100", "--model", write(BASE, "./config.json"))
    assert done.code == 2
    assert "make one of a model's config.json with `planner model add config.json`" in done.err


def test_the_list_holds_every_model_of_the_catalogue(cli: Cli) -> None:
    listed = cli("model", "list", "--json").json
    assert [each["name"] for each in listed] == names("models")
    table = cli("model", "list").out
    assert "gpt-oss-120b" in table
    assert "116.79" in table


def test_a_model_is_shown_with_what_it_comes_to(cli: Cli) -> None:
    shown = cli("model", "show", "gpt-oss-120b").out.splitlines()
    assert shown[0] == "# 116.8 B weights, 5.1 B per token (published: 117 B, 5.1 B per token); 61.6 GB in fp4"
    assert "# KV cache 36,864 B per token in bf16" in shown
    assert "#   and up to 4.7 MB per stream in windows" in shown
    assert 'name = "gpt-oss-120b"' in shown
    state = cli("model", "show", "qwen3.5-27b").out
    assert "#   and 153.9 MB per stream of recurrent state" in state
    document = cli("model", "show", "gpt-oss-120b", "--json").json
    assert document["window_bytes"] == 18 * 128 * 2048
    assert document["model"]["window"]["tokens"] == 128
    missing = cli("model", "show", "gpt-oss-12b")
    assert (missing.code, missing.out) == (2, "")
    assert "did you mean gpt-oss-120b?" in missing.err


def test_a_quantised_model_is_read_with_the_file_beside_it(cli: Cli) -> None:
    write({"quantization": {"quant_algo": "NVFP4"}}, "hf_quant_config.json")
    plain = within(GPT_OSS, quantization_config=...)
    assert cli("model", "add", write(plain), "--name", "x", "--json").json["model"]["weight_dtype"] == "fp4"
    write("{", "hf_quant_config.json")
    broken = cli("model", "add", "config.json", "--name", "y")
    assert broken.code == 2
    assert "hf_quant_config.json: is not valid JSON" in broken.err
