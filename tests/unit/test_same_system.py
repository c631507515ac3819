"""A fit to what a file says was another system: refused where it is sure, said where it may be meant."""

import json
from pathlib import Path

import pytest

from planner.errors import PlannerError
from planner.studies.capacity.fit import fit_files
from planner.studies.capacity.study import make_study

RUN = {"isl": 1000, "osl": 200, "concurrency": 8, "tpot_ms": 9.0}
LLAMA = make_study("h200", "llama-3.1-70b", ["weights=fp8", "tensor_parallel=4"], decode_gpus=4)


def notes(**told: object) -> list[str]:
    path = Path("run.json")
    path.write_text(json.dumps([{**RUN, **told}]))
    return [note for note in fit_files(LLAMA, [path], None).notes if "run.json" in note]


@pytest.mark.parametrize(
    "told",
    [
        {"model": "meta-llama/Llama-3.1-70B-Instruct-FP8", "gpu": "NVIDIA H200 141GB HBM3e", "weights": "fp8", "tp": 4},
        {"model": "nvidia/Llama-3.1-70B-Instruct-FP8", "gpu": "h200", "engine": "vllm", "gpus": 4},
        {"model": "Meta-Llama-3.1-70B", "gpu": "H200-SXM", "engine": "vLLM 0.11"},
        {},
    ],
)
def test_what_is_written_in_another_way_is_the_same(told: dict[str, object]) -> None:
    assert notes(**told) == []


@pytest.mark.parametrize(
    ("told", "line"),
    [
        ({"model": "Qwen/Qwen3-32B"}, "of qwen3-32b, and llama-3.1-70b is fitted; give --model qwen3-32b"),
        ({"model": "meta-llama/Llama-3.1-8B-Instruct"}, "of llama-3.1-8b, and llama-3.1-70b is fitted; give --model "),
        ({"gpu": "NVIDIA H100 80GB HBM3"}, "on H100, and H200 is fitted; give --node H100"),
        ({"weights": "bf16"}, "with weights in bf16, and fp8 is fitted; give --weights bf16"),
        ({"tp": 8, "gpus": 8}, "with tensor parallelism 8, and 4 is fitted; give --set tensor_parallel=8"),
    ],
)
def test_another_system_is_refused_with_the_option_that_names_it(told: dict[str, object], line: str) -> None:
    with pytest.raises(PlannerError, match=f"^run.json, entry 1: was measured {line}"):
        notes(**told)


@pytest.mark.parametrize(
    ("told", "note"),
    [
        ({"model": "our-chat"}, "run.json, entry 1: tells of the model our-chat, and is fitted as llama-3.1-70b"),
        (
            {"model": "deepseek-ai/DeepSeek-R1-Distill-Llama-70B"},
            "run.json, entry 1: tells of the model deepseek-ai/DeepSeek-R1-Distill-Llama-70B, and is fitted as "
            "llama-3.1-70b",
        ),
        ({"gpu": "TPU v5"}, "run.json, entry 1: tells of TPU v5, and is fitted as H200"),
        (
            {"engine": "sglang"},
            "run.json, entry 1: was served by sglang, and is fitted as vllm; --engine names another",
        ),
    ],
)
def test_what_may_be_meant_is_said(told: dict[str, object], note: str) -> None:
    assert notes(**told) == [note]
