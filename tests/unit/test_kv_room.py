"""How long a request may be, and how many streams a replay lets onto a unit, where their KV does not grow evenly."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.capacity.longest import kv_room_per_gpu, longest_request
from planner.catalogue.read import engine_node, engine_profile, model, names
from planner.core.fleet.engine import GB, Engine
from planner.errors import CannotServe
from tests.helpers.models import model_of

H100 = engine_node("h100")
WINDOW = {"layers": 3, "tokens": 100, "heads": 8, "kv_heads": 4, "head_dim": 16}
"""Three layers of 2 x 4 x 2 x 16 = 256 bytes per token of the last 100 in bf16; a full layer takes 128."""
RECURRENT = {
    "kind": "mamba2",
    "layers": 1,
    "weights": 1000,
    "state_values": 1000,
    "state_dtype": "fp32",
    "convolution_values": 50,
}
"""A state of 4 x 1,000 + 2 x 50 bytes."""


def with_room(kv_bytes: float, served: dict[str, Any], **changes: Any) -> Engine:
    """A small model on H100 GPUs that have so many bytes of KV each."""
    made = {"model": model_of(**served), "hardware": H100, "weights": "bf16", "profile": engine_profile("vllm")}
    reserve = H100.memory_gb - Engine(**made, reserve_gb=0, **changes).weights_gb - kv_bytes / GB
    return Engine(**made, reserve_gb=reserve, **changes)


def longest(kv_bytes: float, served: dict[str, Any], **changes: Any) -> int:
    # half a byte more, so that rounding of gigabytes takes no token
    return longest_request(with_room(kv_bytes + 0.5, served, **changes)).tokens


def test_layers_with_a_window_hold_no_more_than_it() -> None:
    """Up to 100 tokens each takes 128 + 3 x 256 bytes; further ones 128."""
    assert longest(50 * 896, {"window": WINDOW}) == 50
    assert longest(100 * 896, {"window": WINDOW}) == 100
    assert longest(100 * 896 + 1000 * 128, {"window": WINDOW}) == 1100


def test_a_recurrent_state_is_held_once() -> None:
    assert longest(4100 + 500 * 3 * 128, {"recurrent": RECURRENT}) == 500


def test_a_model_that_sees_a_window_alone_takes_any_length_once_the_window_fits() -> None:
    served = {"window": {**WINDOW, "layers": 4}, "context_tokens": 5000}
    assert longest(99 * 1024, served) == 99
    assert longest(100 * 1024, served) == 5000


def test_all_gpus_of_a_group_and_all_its_stages_hold_one_stream() -> None:
    """A tensor-parallel pair has a KV head each; two stages half of the layers each: four GPUs hold four times."""
    assert longest(100 * 512, {}, tensor_parallel=2, pipeline_parallel=2) == 400


def test_a_page_that_is_half_used_does_not_count() -> None:
    assert longest(100 * 512, {}, block_tokens=64) == 100


def test_a_replay_counts_windows_and_states_for_each_stream() -> None:
    """Streams of 1,000 tokens: 100 x 768 bytes of windows are 600 tokens of the full layer's 128 bytes."""
    room = kv_room_per_gpu(with_room(1e6, {"window": WINDOW}), 1000)
    assert room.tokens == pytest.approx(1e6 / 128)
    assert room.stream_tokens == pytest.approx(100 * 768 / 128)
    state = kv_room_per_gpu(with_room(1e6, {"recurrent": RECURRENT}), 1000)
    assert (state.tokens, state.stream_tokens) == (pytest.approx(1e6 / 384), pytest.approx(4100 / 384))


def test_short_streams_are_counted_by_the_token() -> None:
    room = kv_room_per_gpu(with_room(1e6, {"window": WINDOW}), 80)
    assert (room.tokens, room.stream_tokens) == (pytest.approx(1e6 / 896), pytest.approx(0))


def test_a_model_without_windows_and_states_has_no_more_per_stream() -> None:
    room = kv_room_per_gpu(with_room(1e6, {}), 1000)
    assert (room.tokens, room.stream_tokens) == (pytest.approx(1e6 / 512), 0)


@given(st.sampled_from(names("models")), st.floats(1, 1e5), st.lists(st.integers(1, 200_000), min_size=1, max_size=9))
def test_a_replay_never_has_more_room_than_there_is(name: str, mean: float, lengths: list[int]) -> None:
    """Whatever streams are there, and whatever their mean was thought to be: what they take is not undercounted."""
    served = model(name)
    engine = Engine(model=served, hardware=engine_node("b300"), weights="fp4", profile=engine_profile("vllm"))
    try:
        room = kv_room_per_gpu(engine, mean)
    except CannotServe:
        return
    counted = (sum(lengths) + len(lengths) * room.stream_tokens) / room.tokens
    assert counted * engine.kv_gb * GB >= np.sum(engine.kv_bytes_per_stream(lengths)) * (1 - 1e-9)
