"""What a model's dimensions come to: windows, recurrent states, sparse attention, kinds of experts, formats by part."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from planner.catalogue.model_toml import model_toml
from planner.catalogue.read import engine_profile, hardware, model, names
from planner.catalogue.toml_tree import tree_of
from planner.core.fleet.engine import Engine
from planner.core.fleet.shapes import (
    active_parameters,
    attention_shape,
    index_bytes_per_token_and_layer,
    index_flops,
    indexer_weights,
    kv_bytes_of_stream,
    kv_bytes_per_token,
    parts,
    state_bytes_per_stream,
    total_parameters,
    weight_bytes,
    window_shape,
)
from planner.settings.models import Model
from tests.helpers.models import model_of

WINDOW = {"layers": 3, "tokens": 128, "heads": 8, "kv_heads": 2, "head_dim": 16}
RECURRENT = {
    "kind": "gated-delta",
    "layers": 3,
    "weights": 5000,
    "state_values": 1000,
    "state_dtype": "fp32",
    "convolution_values": 30,
}
EXPERTS = {"routed": 16, "active": 2, "shared": 1, "width": 32}
SPARSE = {"dense_layers": 0, "dense_width": 0, "experts": EXPERTS}
LATENT = {
    "kind": "latent",
    "heads": 8,
    "query_rank": 24,
    "kv_rank": 128,
    "rope_head": 8,
    "nope_head": 16,
    "value_head": 16,
}


def test_layers_that_are_not_counted_follow_from_those_that_are() -> None:
    plain = model_of()
    assert (plain.full_attention_layers, plain.expert_layers) == (4, 0)
    assert (plain.mixer_layers, plain.feed_forward_layers) == (4, 4)
    mixed = model_of(window=WINDOW)
    assert (mixed.full_attention_layers, mixed.mixer_layers) == (1, 4)
    # as in Nemotron-H: each block is a state space, attention, or a feed-forward
    single = model_of(attention_layers=1, recurrent={**RECURRENT, "layers": 2}, dense_layers=1, sparse_layers=0)
    assert (single.full_attention_layers, single.mixer_layers, single.feed_forward_layers) == (1, 3, 1)


@pytest.mark.parametrize("name", names("models"))
def test_computed_sizes_are_the_published_ones(name: str) -> None:
    """Within 3 %, or what the publisher rounded off; publishers count embedding and head as active, or not."""
    known = model(name)
    whole = parts(known)
    if known.parameters_published is not None:
        assert abs(whole.total / 1e9 - known.parameters_published) <= margin(known.parameters_published)
    if known.active_published is not None:
        active = active_parameters(known)
        counted = [count / 1e9 for count in (active - whole.head, active, active + whole.embedding)]
        assert min(abs(each - known.active_published) for each in counted) <= margin(known.active_published)


def margin(published: float) -> float:
    """What a computed size may be off: 3 %, or half a unit of the last digit, as 7 B stands for 6.74 B."""
    digits = len(f"{published:g}".partition(".")[2])
    return max(0.03 * published, 0.5 * 10**-digits)


def test_nearly_all_models_of_the_catalogue_have_a_published_size() -> None:
    unknown = {name for name in names("models") if model(name).parameters_published is None}
    assert unknown == {"glm-5.1", "glm-5.2"}
    assert len(names("models")) >= 40


@pytest.mark.parametrize("name", names("models"))
def test_a_model_is_written_as_it_is_read(name: str) -> None:
    assert Model.model_validate(tree_of(model_toml(model(name)))) == model(name)


def test_a_layer_with_a_window_holds_no_more_than_its_window() -> None:
    """One layer grows by 2 x 2 heads x 16 values x 2 bytes a token; three hold at most 128 tokens."""
    mixed = model_of(window=WINDOW)
    token = 2 * 2 * 16 * 2
    assert kv_bytes_per_token(mixed, "bf16") == token
    assert kv_bytes_of_stream(mixed, "bf16", [100, 128, 1000]).tolist() == [
        400 * token,
        512 * token,
        (1000 + 3 * 128) * token,
    ]
    assert kv_bytes_of_stream(mixed, "fp8", 1000) == (1000 + 3 * 128) * token / 2
    # pages of 16 are half used at the end, in windows too
    assert kv_bytes_of_stream(mixed, "bf16", 1000, block=16) == (1007.5 + 3 * 135.5) * token


def test_heads_of_windows_are_copied_by_their_own_number() -> None:
    """Eight GPUs hold each of 2 KV heads four times, each of a window's 4 twice."""
    mixed = model_of(window={**WINDOW, "kv_heads": 4})
    held = kv_bytes_of_stream(mixed, "bf16", 1000, tensor_parallel=8)
    assert held == 1000 * (2 * 2 * 16 * 2) * 4 + 3 * 128 * (2 * 4 * 16 * 2) * 2


@given(st.integers(1, 100_000), st.integers(0, 1000), st.sampled_from([1, 16, 64]), st.sampled_from([1, 2, 8]))
def test_a_longer_stream_holds_more_and_a_window_saves_memory(tokens: int, more: int, block: int, tp: int) -> None:
    for known in (model_of(), model_of(window=WINDOW)):
        short, long = kv_bytes_of_stream(known, "bf16", [tokens, tokens + more], block=block, tensor_parallel=tp)
        assert 0 < short <= long
    windowed, plain = (
        kv_bytes_of_stream(known, "bf16", tokens, block=block, tensor_parallel=tp)
        for known in (model_of(window=WINDOW), model_of())
    )
    assert windowed <= plain


def test_a_recurrent_layer_holds_a_state_of_one_size() -> None:
    """3 layers of 1,000 values in fp32 and 30 in bf16, whatever the context."""
    hybrid = model_of(recurrent=RECURRENT)
    assert state_bytes_per_stream(hybrid) == 3 * (4000 + 60)
    assert state_bytes_per_stream(model_of()) == 0
    assert parts(hybrid).recurrent == 15_000
    assert parts(hybrid).attention == parts(model_of()).attention / 4
    engine = Engine(model=hybrid, hardware=hardware("h100"), weights="bf16", profile=engine_profile("deepseek-ep"))
    assert engine.kv_bytes_per_stream(10) == 10 * 128 + 3 * 4060


def test_an_indexer_keeps_a_key_of_its_own_per_token() -> None:
    """128 values in fp8 and a 4-byte scale; with latent attention its queries are made of compressed ones."""
    chosen = {"tokens": 64, "heads": 4, "head_dim": 128}
    sparse = model_of(attention=LATENT, selection=chosen)
    assert index_bytes_per_token_and_layer(sparse) == 132
    assert index_flops(sparse) == 2 * 4 * 128
    assert indexer_weights(sparse) == 24 * 4 * 128 + 64 * (128 + 4)
    latent = 2 * (128 + 8)
    assert kv_bytes_per_token(sparse, "bf16") == 4 * (latent + 132)
    shared = model_of(attention=LATENT, selection={**chosen, "indexers": 2})
    assert kv_bytes_per_token(shared, "bf16") == 4 * latent + 2 * 132
    assert parts(shared).indexer * 2 == parts(sparse).indexer
    some = model_of(selection={**chosen, "layers": 3})
    assert kv_bytes_per_token(some, "bf16") == 4 * 128 + 3 * 132
    assert indexer_weights(some) == 64 * 5 * 128


def test_queries_that_are_not_compressed_have_one_projection() -> None:
    plain, compressed = (
        attention_shape(model_of(attention=attention)).before
        for attention in ({key: value for key, value in LATENT.items() if key != "query_rank"}, LATENT)
    )
    heads = 8 * (16 + 8)
    assert plain - compressed == 64 * heads - (64 * 24 + 24 * heads)


def test_gates_shared_values_and_short_values_change_the_projections() -> None:
    """Hidden 64, 8 heads and 2 KV heads of 16: queries 64 x 128, keys and values 64 x 32 each, out 128 x 64."""
    usual = {"kind": "grouped", "heads": 8, "kv_heads": 2, "head_dim": 16}

    def weights(**more: Any) -> int:
        shape = attention_shape(model_of(attention={**usual, **more}))
        return shape.before + shape.after

    assert weights() == 64 * (128 + 32 + 32) + 128 * 64
    assert weights(gate=True) - weights() == 64 * 128
    assert weights() - weights(values_from_keys=True) == 64 * 32
    assert weights() - weights(value_head=8) == 64 * 16 + 64 * 64
    short = model_of(attention={**usual, "value_head": 8})
    assert kv_bytes_per_token(short, "bf16") == 4 * 2 * 2 * (16 + 8)
    assert attention_shape(short).decode_flops == 2 * 8 * (16 + 8)


def test_a_window_has_a_shape_of_its_own() -> None:
    shape = window_shape(model_of(window={**WINDOW, "kv_heads": 4, "value_head": 8}))
    assert shape is not None
    assert shape.before == 64 * (8 * 16 + 4 * 16 + 4 * 8)
    assert shape.after == 64 * 8 * 8
    assert window_shape(model_of()) is None


def test_experts_have_two_or_three_matrices_and_may_work_on_smaller_tokens() -> None:
    """Hidden 64, width 32, 16 routed and one shared in each of 4 layers."""
    usual = parts(model_of(**SPARSE))
    assert (usual.routed, usual.shared, usual.router) == (4 * 16 * 3 * 64 * 32, 4 * 3 * 64 * 32, 4 * 64 * 16)
    plain = parts(model_of(**SPARSE, gated=False))
    assert (plain.routed * 3, plain.shared * 3) == (usual.routed * 2, usual.shared * 2)
    latent = parts(model_of(**{**SPARSE, "experts": {**EXPERTS, "hidden": 16, "shared_width": 96}}))
    assert latent.routed * 4 == usual.routed
    assert latent.shared == 3 * usual.shared
    assert latent.latent == 4 * 2 * 64 * 16


def test_all_parts_are_the_whole_and_a_token_passes_its_own_experts() -> None:
    sparse = model_of(**SPARSE)
    whole = parts(sparse)
    assert total_parameters(sparse) == whole.mixing + whole.shared + whole.routed + whole.router + 2 * 1000 * 64
    assert active_parameters(sparse) == whole.total - whole.embedding - whole.routed * 14 / 16
    tied = model_of(**SPARSE, tied_embeddings=True)
    assert total_parameters(tied) == whole.total - 1000 * 64
    assert active_parameters(tied) == active_parameters(sparse)


def test_parts_that_keep_their_format_do_so_only_where_the_rest_is_in_four_bits() -> None:
    plain = model_of(**SPARSE, weight_dtype="fp4")
    kept = plain.model_copy(update={"attention_dtype": "bf16", "dense_dtype": "fp8"})
    whole = parts(plain)
    for weights in ("bf16", "fp8"):
        assert weight_bytes(kept, weights) == weight_bytes(plain, weights)
    assert weight_bytes(kept, "fp4") - weight_bytes(plain, "fp4") == 1.5 * whole.mixing + 0.5 * whole.shared
    engines = [
        Engine(
            model=each,
            hardware=hardware("h100"),
            weights="fp4",
            profile=engine_profile("deepseek-ep"),
            tensor_parallel=2,
            expert_parallel=2,
        )
        for each in (kept, plain)
    ]
    assert (engines[0].weights_gb - engines[1].weights_gb) * 1e9 == pytest.approx(
        1.5 * whole.mixing / 2 + 0.5 * whole.shared
    )


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"window": {**WINDOW, "layers": 5}}, "5 window and recurrent layers of 4 in all; lower them"),
        ({"attention_layers": 2, "window": WINDOW}, "3 window and recurrent layers and 2 attention_layers of 4 in all"),
        ({"recurrent": {**RECURRENT, "layers": 4}}, "has no layer with attention, which is not modelled"),
        ({"window": {**WINDOW, "kv_heads": 3}}, "3 KV heads do not divide 8 heads"),
        ({"sparse_layers": 1}, "has layers without a dense feed-forward but no"),
        ({"dense_layers": 3}, "has layers without a dense feed-forward but no"),
        ({**SPARSE, "sparse_layers": 0}, "but no layer with them"),
        ({**SPARSE, "dense_layers": 2, "dense_width": 8, "sparse_layers": 3}, "5 dense and sparse layers of 4 in all"),
        ({**SPARSE, "experts": {**EXPERTS, "shared": 0, "shared_width": 8}}, "has a shared_width but no shared expert"),
        ({"parameters_published": 7.0}, "has published counts but no published_source"),
        ({"selection": {"tokens": 8, "heads": 1, "head_dim": 8, "layers": 5}}, "5 layers select of 4"),
        ({"selection": {"tokens": 8, "heads": 1, "head_dim": 8, "layers": 2, "indexers": 3}}, "3 indexers for 2"),
        (
            {"attention": {**LATENT, "query_rank": None}, "selection": {"tokens": 8, "heads": 1, "head_dim": 8}},
            "works on compressed queries",
        ),
        (
            {"attention": {"kind": "grouped", "heads": 8, "kv_heads": 2, "head_dim": 16, "value_head": 8,
                           "values_from_keys": True}},
            "leave out value_head",
        ),
    ],
)  # fmt: skip
def test_layers_that_do_not_add_up_are_refused(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        model_of(**changes)
