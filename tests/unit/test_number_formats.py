"""Number formats that a GPU cannot compute in: refused, or unpacked and said."""

import pytest

from planner.capacity.setups import Setup, engine_of
from planner.catalogue.read import hardware, model
from planner.errors import UsageError
from planner.settings.closed import WeightDtype
from planner.studies.capacity.overview import describe_capacity
from planner.studies.capacity.study import make_study


@pytest.mark.parametrize(
    ("node", "weights", "able"),
    [("a100", "fp8", "bf16, int8"), ("h100", "fp4", "bf16, fp8, int8"), ("b300", "int8", "bf16, fp8, fp4")],
)
def test_a_format_that_a_gpu_lacks_is_refused_with_those_that_it_has(
    node: str, weights: WeightDtype, able: str
) -> None:
    line = f"^{hardware(node).name} cannot compute in {weights}, and llama-3.1-8b is not published in it; give weights "
    line += f"in {able}, or in int4, which engines unpack$"
    with pytest.raises(UsageError, match=line):
        describe_capacity(make_study(node, "llama-3.1-8b", [f"weights={weights}"]))
    with pytest.raises(UsageError, match=line):
        engine_of(Setup(model="llama-3.1-8b", gpu=node, backend="vllm", weights=weights))


@pytest.mark.parametrize(
    ("node", "name", "weights"),
    [("h100", "gpt-oss-120b", "fp4"), ("a100", "deepseek-r1", "fp8"), ("a100", "llama-3.1-8b", "int4")],
)
def test_a_format_that_engines_unpack_is_said_to_be_unpacked(node: str, name: str, weights: WeightDtype) -> None:
    """What a model is published in, and 4-bit integers, run on GPUs that compute in bf16."""
    overview = describe_capacity(make_study(node, name, [f"weights={weights}"]))
    gpu = hardware(node).name
    assert f"weights: {gpu} cannot compute in {weights}: they are unpacked to bf16" in overview.notes
    setup = Setup(model=name, gpu=node, backend="vllm", weights=weights, gpus=64, tensor_parallel=8)
    assert engine_of(setup)[0].weights == weights


def test_a_cache_that_a_gpu_has_to_unpack_is_said_to_be() -> None:
    said = "KV cache: A100 cannot compute in fp8: it is unpacked, which not every engine does"
    assert said in describe_capacity(make_study("a100", "llama-3.1-8b", ["kv=fp8"])).notes
    for node, kv in (("a100", "bf16"), ("h100", "fp8")):
        notes = describe_capacity(make_study(node, "llama-3.1-8b", [f"kv={kv}"])).notes
        assert not [note for note in notes if note.startswith(("KV cache", "weights"))]


def test_what_a_model_is_published_in_is_a_format_that_the_catalogue_knows_of_some_gpu() -> None:
    assert model("gpt-oss-120b").weight_dtype == "fp4"
    assert "fp4" in hardware("b200").dense_tflops
