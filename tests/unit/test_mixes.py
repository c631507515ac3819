"""Steps of servers that read prompts in them: the part of a context that is prompt is found again."""

from dataclasses import replace

import numpy as np
import pytest

from planner.catalogue.read import engine_node, engine_profile, model
from planner.core.fleet.decode import step_us
from planner.core.fleet.engine import Engine, Scale
from planner.core.fleet.operating import balanced
from planner.core.fleet.serving import Load, serve
from planner.studies.capacity.mixes import LEAST_BATCHES, SHARES, mixed_step_ms, prompt_shares

LLAMA = Engine(
    model=model("llama-3.1-70b"),
    hardware=engine_node("h200"),
    weights="fp8",
    profile=engine_profile("vllm"),
    tensor_parallel=4,
)
STREAMS = np.tile([1.0, 2.0, 4.0, 8.0, 16.0], 3)
CONTEXTS = np.repeat([1500.0, 5000.0, 9000.0], 5)
TOLD = np.repeat([SHARES[5], 0.0, SHARES[8]], 5)


def found(measured_ms: np.ndarray, streams: np.ndarray = STREAMS, contexts: np.ndarray = CONTEXTS) -> np.ndarray:
    return prompt_shares(LLAMA, 4, balanced, streams, contexts, measured_ms)


def test_without_prompts_a_mixed_step_is_a_step() -> None:
    none = mixed_step_ms(LLAMA, 4, balanced, STREAMS, CONTEXTS, np.zeros(15))
    assert none == pytest.approx(step_us(LLAMA, STREAMS, CONTEXTS) / 1e3)


def test_a_mixed_step_is_the_time_per_token_of_requests_with_that_context() -> None:
    """Of a context of 9,000 tokens 94 % are prompt: 8,460 tokens in and, as half of them is the mean, 1,080 out."""
    one = mixed_step_ms(LLAMA, 4, balanced, np.array([8.0]), np.array([9000.0]), np.array([0.94]))
    told = serve(LLAMA, 4, Load(concurrency=32.0, input_tokens=8460.0, output_tokens=1080.0))
    assert one[0] == pytest.approx(float(told.tpot_us) / 1e3)


@pytest.mark.parametrize("scale", [Scale(), Scale(kernels=0.8, overheads=0.6), Scale(kernels=1.3, overheads=1.3)])
def test_what_is_prompt_of_each_context_is_found_again_but_for_a_step_of_the_grid(scale: Scale) -> None:
    """Factors of the engine are fitted in turn, and take a part of the last step."""
    server = replace(LLAMA, scale=scale)
    shares = found(mixed_step_ms(server, 4, balanced, STREAMS, CONTEXTS, TOLD))
    places = [[SHARES.index(share) for share in each] for each in (shares, TOLD)]
    assert np.abs(np.subtract(*places)).max() <= 1
    assert not shares[5:10].any(), "a context without prompts tells of none"


def test_steps_of_units_without_prompts_tell_of_none() -> None:
    assert not found(step_us(LLAMA, STREAMS, CONTEXTS) / 1e3).any()


def test_a_context_with_too_few_batches_is_left_as_it_is() -> None:
    few = LEAST_BATCHES - 1
    streams, contexts = STREAMS[10 : 10 + few], CONTEXTS[10 : 10 + few]
    measured = mixed_step_ms(LLAMA, 4, balanced, streams, contexts, TOLD[10 : 10 + few])
    assert not found(measured, streams, contexts).any()
