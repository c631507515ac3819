"""How a model is spread over GPUs where nobody says: every model of the catalogue on every kind of node."""

import pytest

from planner.capacity.engines import ranks_of
from planner.catalogue.read import hardware, names
from planner.errors import CannotServe, UsageError
from planner.studies.capacity.overview import describe_capacity
from planner.studies.capacity.study import EngineStudy, make_study


def units(study: EngineStudy) -> tuple[int, int, int, int]:
    """GPUs of a decode unit, those that share attention, pipeline stages, GPUs that share a copy of the experts."""
    engine, _ = study.decode()
    return study.decode_gpus, engine.tensor_parallel, engine.pipeline_parallel, engine.expert_gpus


@pytest.mark.parametrize("node", names("hardware"))
def test_every_model_has_figures_on_every_node_or_one_line_says_what_to_set(node: str) -> None:
    """None of them is short of memory where a GPU has 80 GB: what is missed there is the time per token."""
    refused = []
    for name in names("models"):
        try:
            overview = describe_capacity(make_study(node, name, []))
        except CannotServe as error:
            refused.append(error)
            continue
        assert overview.decode.streams >= 1
    for error in refused:
        line = str(error)
        assert line.isprintable()
        assert any(cure in line for cure in ("raise the target", "shorten the context", "spread it over")), line
        assert error.reason == "target" or hardware(node).memory_gb < 80, line


def test_units_are_the_usual_ones_where_they_hold_the_model() -> None:
    """405 B weights in bf16 are 102 GB on each of 8 GPUs: on H200 they fit."""
    study = make_study("h200", "llama-3.1-405b", [])
    assert units(study) == (8, 8, 1, 1)
    assert not [note for note in study.notes if note.startswith("units: ")]


def test_layers_of_a_dense_model_are_held_by_one_node_after_the_other() -> None:
    """On H100 two nodes: 51 GB on a GPU, and 19 GB for KV, which is more than a third of it."""
    study = make_study("h100", "llama-3.1-405b", [])
    assert units(study) == (16, 8, 2, 1)
    assert study.prefill_gpus == 16
    (note,) = (note for note in study.notes if note.startswith("units: "))
    assert note.startswith(
        "units: 16 H100 GPUs (tensor_parallel 8, pipeline_parallel 2), since a unit of 8, as is usual"
    )


def test_experts_are_on_all_gpus_of_more_nodes() -> None:
    """DeepSeek V3 has 671 GB of weights in fp8: 16 GPUs of 48 GB are too few, 32 hold it with a third for KV."""
    study = make_study("l40s", "deepseek-v3", [])
    assert units(study) == (32, 8, 1, 32)
    assert ranks_of(study.decode()[0]) == 1


def test_a_unit_that_has_its_model_but_no_room_for_a_stream_is_too_small() -> None:
    """Qwen3 32B in bf16 leaves 1.24 GB of KV on two GPUs of 40 GB, and a stream of 4,989 tokens takes 1.32 GB."""
    assert units(make_study("a100-40gb", "qwen3-32b", []))[0] == 4
    assert units(make_study("a100-40gb", "qwen3-32b", [], kv_tokens=1000))[0] == 2


@pytest.mark.parametrize("told", ["tensor_parallel=8", "pipeline_parallel=1"])
def test_what_is_set_is_not_changed(told: str) -> None:
    study = make_study("h100", "llama-3.1-405b", [told])
    with pytest.raises(UsageError, match="does not fit H100"):
        study.decode()
    with pytest.raises(UsageError, match="does not fit H100"):
        make_study("h100", "llama-3.1-405b", [], decode_gpus=8).decode()


def test_a_smaller_number_format_needs_no_more_gpus_than_usual() -> None:
    assert units(make_study("h100", "llama-3.1-405b", ["weights=fp8"])) == (8, 8, 1, 1)


@pytest.mark.parametrize(("told", "prefill"), [("tensor_parallel=4", 4), ("pipeline_parallel=3", 3)])
def test_a_prefill_unit_is_of_whole_groups_however_they_are_set(told: str, prefill: int) -> None:
    """Llama 3.1 8B is usually on one GPU."""
    study = make_study("h100", "llama-3.1-8b", [told])
    assert (study.prefill_gpus, study.decode_gpus) == (prefill, prefill)
    assert describe_capacity(study).prefill.gpus == prefill
