"""A model from its own configuration file, for every kind of architecture; small ones, with sizes computed by hand."""

import json
from pathlib import Path
from typing import Any

import pytest

from planner.catalogue.configurations.read import QUANTIZATION_FILE, Naming, ReadModel, read_configuration
from planner.core.fleet.shapes import parts
from planner.errors import UsageError
from planner.settings.models import GroupedAttention, LatentAttention, Model, Recurrent, TokenSelection, Window
from tests.helpers.configurations import (
    BASE,
    BLOOM,
    DEEPSEEK,
    DEEPSEEK_SPARSE,
    GEMMA_4,
    GPT_OSS,
    KIMI_LINEAR,
    LLAMA_4,
    MIMO,
    MINIMAX,
    MIXTRAL,
    NEMOTRON,
    QWEN,
    QWEN_HYBRID,
    Config,
    within,
)


def read(config: Any, quantization: Config | None = None) -> ReadModel:
    folder = Path("a-model")
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    if quantization is not None:
        (folder / QUANTIZATION_FILE).write_text(json.dumps(quantization))
    return read_configuration(folder / "config.json", Naming())


def model_in(config: Config, quantization: Config | None = None) -> Model:
    return read(config, quantization).model


def refusal(config: Any) -> str:
    with pytest.raises(UsageError) as caught:
        read(config)
    text = str(caught.value)
    assert "\n" not in text
    return text.partition("config.json: ")[2]


def test_llama_and_its_kin() -> None:
    model = model_in(BASE)
    assert model.attention == GroupedAttention(kind="grouped", heads=8, kv_heads=2, head_dim=8)
    assert (model.layers, model.dense_layers, model.dense_width, model.gated) == (4, 4, 256, True)
    assert (model.hidden, model.vocabulary, model.context_tokens, model.weight_dtype) == (64, 1000, 4096, "bf16")
    assert (model.experts, model.window, model.left_out, model.name) == (None, None, (), "a-model")
    # as many KV heads as heads where nothing is said
    assert model_in(within(BASE, num_key_value_heads=...)).attention.kv_heads == 8  # type: ignore[union-attr]


def test_experts_in_all_layers_or_all_but_some() -> None:
    mixtral = model_in(MIXTRAL)
    assert mixtral.experts is not None
    assert (mixtral.experts.routed, mixtral.experts.active, mixtral.experts.width) == (8, 2, 256)
    assert (mixtral.dense_layers, mixtral.dense_width) == (0, 0)
    # every second layer, from the second on, and the second has been taken out
    qwen = model_in(QWEN)
    assert (qwen.dense_layers, qwen.dense_width, qwen.expert_layers) == (3, 256, 1)
    assert qwen.window is None
    assert model_in(within(QWEN, num_experts=None, use_sliding_window=False)).experts is None


def test_windows_by_layer_types_and_what_is_not_converted() -> None:
    model = model_in(GPT_OSS)
    assert model.window == Window(layers=2, tokens=128, heads=8, kv_heads=2, head_dim=16)
    assert model.full_attention_layers == 2
    assert (model.weight_dtype, model.attention_dtype, model.dense_dtype) == ("fp4", "bf16", None)


@pytest.mark.parametrize(
    ("changes", "windowed"),
    [
        ({"model_type": "qwen2", "sliding_window": 128, "use_sliding_window": True, "max_window_layers": 3}, 1),
        ({"model_type": "qwen2", "sliding_window": 128, "use_sliding_window": False}, 0),
        ({"model_type": "gemma3", "sliding_window": 128, "sliding_window_pattern": 4}, 3),
        ({"model_type": "mistral", "sliding_window": 128}, 4),
        ({"model_type": "mistral", "sliding_window": None}, 0),
        ({"sliding_window": 4096}, 0),
    ],
)
def test_windows_where_there_are_no_layer_types(changes: Config, windowed: int) -> None:
    model = model_in(within(BASE, **changes))
    assert (model.window.layers if model.window else 0) == windowed
    assert model.full_attention_layers == 4 - windowed


def test_latent_attention_with_experts_after_the_first_layers() -> None:
    model = model_in(DEEPSEEK)
    assert model.attention == LatentAttention(
        kind="latent", heads=8, query_rank=24, kv_rank=128, rope_head=8, nope_head=16, value_head=16
    )
    assert model.experts is not None
    assert (model.experts.shared, model.experts.groups, model.dense_layers) == (1, 4, 1)
    assert (model.weight_dtype, model.selection) == ("fp8", None)
    assert model.left_out == ("num_nextn_predict_layers (layers that draft tokens)",)
    plain = model_in(within(DEEPSEEK, q_lora_rank=None)).attention
    assert isinstance(plain, LatentAttention)
    assert plain.query_rank is None


def test_sparse_attention_has_an_indexer_which_layers_may_share() -> None:
    chosen = {"tokens": 64, "heads": 4, "head_dim": 128}
    assert model_in(DEEPSEEK_SPARSE).selection == TokenSelection(**chosen, indexers=2)
    own = model_in(within(DEEPSEEK_SPARSE, model_type="deepseek_v32", indexer_types=...))
    assert own.selection == TokenSelection(**chosen)
    blocks = model_in(MINIMAX)
    assert blocks.selection == TokenSelection(tokens=256, heads=2, head_dim=128, layers=3)
    assert (blocks.dense_layers, blocks.dense_width) == (1, 128)


def test_llama_4_has_chunks_and_a_shared_expert_in_every_second_layer() -> None:
    model = model_in(LLAMA_4)
    assert model.window == Window(layers=3, tokens=512, heads=8, kv_heads=2, head_dim=8)
    assert model.experts is not None
    assert (model.dense_layers, model.dense_width, model.expert_layers) == (2, 256, 2)
    assert (model.experts.shared, model.experts.width, model.experts.active) == (1, 32, 1)
    assert model.left_out == ("vision_config (vision input)",)
    rotary = model_in(within(LLAMA_4, no_rope_layers=[1, 0, 1, 0]))
    assert rotary.full_attention_layers == 2


def test_a_hybrid_of_gated_attention_and_a_gated_delta_rule() -> None:
    """Queries and keys 2 x 8, values 4 x 8: 64 values are mixed; gate 32, two numbers per head, and back."""
    model = model_in(QWEN_HYBRID)
    assert model.attention == GroupedAttention(kind="grouped", heads=8, kv_heads=2, head_dim=16, gate=True)
    assert model.recurrent == Recurrent(
        kind="gated-delta",
        layers=3,
        weights=64 * (64 + 32 + 8) + 64 * 4 + 32 * 64,
        state_values=4 * 8 * 8,
        state_dtype="fp32",
        convolution_values=64 * 3,
        heads=2,
    )
    assert model.experts is not None
    assert (model.experts.shared, model.experts.shared_width) == (1, 48)
    assert model.tied_embeddings
    assert model.left_out == ("vision_config (vision input)", "mtp_num_hidden_layers (layers that draft tokens)")
    by_interval = model_in(within(QWEN_HYBRID, layer_types=...))
    assert by_interval.recurrent == model.recurrent


def test_a_hybrid_of_latent_attention_and_kimi_delta_attention() -> None:
    """Four heads of 8: queries, keys and values of 32, decay and gate over 8 values each, a number per head."""
    model = model_in(KIMI_LINEAR)
    assert isinstance(model.attention, LatentAttention)
    assert model.full_attention_layers == 1
    assert model.recurrent == Recurrent(
        kind="kda",
        layers=3,
        weights=64 * (3 * 32 + 2 * 8 + 4) + 2 * 8 * 32 + 3 * 32 * 4 + 32 * 64,
        state_values=4 * 8 * 8,
        state_dtype="fp32",
        convolution_values=3 * 32 * 3,
        heads=4,
    )
    later = within(KIMI_LINEAR, attn_res_block_size=12, mla_use_output_gate=True)
    assert "attn_res_block_size is not modelled; mla_use_output_gate is not modelled" in refusal(later)


def test_blocks_of_nemotron_have_one_part_each() -> None:
    """State 4 x 16 x 8; 64 inner values and 2 x 2 x 8 of groups are mixed."""
    model = model_in(NEMOTRON)
    assert (model.layers, model.attention_layers, model.dense_layers, model.sparse_layers) == (6, 1, 1, 2)
    assert model.recurrent == Recurrent(
        kind="mamba2",
        layers=2,
        weights=64 * (64 + 96 + 4) + 96 * 4 + 64 * 64,
        state_values=64 * 8,
        state_dtype="fp32",
        convolution_values=96 * 3,
        heads=4,
    )
    assert not model.gated
    whole = parts(model)
    assert whole.routed == 2 * 16 * 2 * 16 * 32
    assert whole.shared == 2 * 2 * 64 * 64
    assert whole.latent == 2 * 2 * 64 * 16
    listed = within(
        NEMOTRON,
        hybrid_override_pattern=...,
        num_hidden_layers=...,
        layers_block_type=["mamba", "moe", "mamba", "attention", "mlp", "moe"],
    )
    assert model_in(listed) == model


def test_gemma_4_has_heads_of_two_kinds_and_a_feed_forward_beside_experts() -> None:
    model = model_in(GEMMA_4)
    assert model.attention == GroupedAttention(kind="grouped", heads=8, kv_heads=1, head_dim=32, values_from_keys=True)
    assert model.window == Window(layers=3, tokens=128, heads=8, kv_heads=2, head_dim=16)
    assert model.experts is not None
    assert (model.experts.shared, model.experts.shared_width, model.experts.active) == (1, 96, 2)
    assert model.tied_embeddings
    dense = model_in(within(GEMMA_4, enable_moe_block=False, num_experts=None))
    assert (dense.experts, dense.dense_layers, dense.dense_width) == (None, 4, 96)


def test_mimo_has_windows_with_heads_of_their_own() -> None:
    model = model_in(MIMO)
    assert model.attention == GroupedAttention(kind="grouped", heads=8, kv_heads=2, head_dim=24, value_head=16)
    assert model.window == Window(layers=2, tokens=128, heads=8, kv_heads=4, head_dim=24, value_head=16)
    assert model.experts is not None
    assert (model.experts.shared, model.dense_layers, model.dense_width) == (0, 1, 256)


def test_older_architectures_have_feed_forwards_of_two_matrices() -> None:
    model = model_in(BLOOM)
    assert model.attention == GroupedAttention(kind="grouped", heads=8, kv_heads=8, head_dim=8)
    assert (model.gated, model.dense_width, model.tied_embeddings, model.context_tokens) == (False, 256, True, 2048)
    one_head = model_in({**BLOOM, "model_type": "gpt_bigcode", "multi_query": True})
    assert one_head.attention.kv_heads == 1  # type: ignore[union-attr]
    falcon = model_in({**BLOOM, "model_type": "falcon", "hidden_size": 64, "multi_query": True})
    assert falcon.attention.kv_heads == 1  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ({"quant_method": "fp8"}, ("fp8", None, None)),
        ({"quant_method": "awq", "bits": 4}, ("int4", None, None)),
        ({"quant_method": "gptq", "bits": 8}, ("int8", None, None)),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, ("int4", None, None)),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, ("int8", None, None)),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {"group_0": {"weights": {"num_bits": 4, "type": "int"}}},
                "ignore": ["lm_head", "re:.*self_attn.*", "re:.*shared_experts.*"],
            },
            ("int4", "bf16", "bf16"),
        ),
        (
            {"quant_algo": "NVFP4", "exclude_modules": [f"model.layers.{each}.self_attn*" for each in range(4)]},
            ("fp4", "bf16", None),
        ),
        (
            {"quant_algo": "NVFP4", "exclude_modules": ["lm_head", "layers.0.self_attn.k_norm", "layers.1.mlp.gate"]},
            ("fp4", None, None),
        ),
        (
            {
                "quant_algo": "MIXED_PRECISION",
                "quantized_layers": {
                    "layers.1.mlp.experts.0.up_proj": {"quant_algo": "NVFP4"},
                    "layers.1.mlp.shared_experts.up_proj": {"quant_algo": "FP8"},
                    "layers.1.self_attn.q_proj": {"quant_algo": "MXFP8"},
                },
            },
            ("fp4", "fp8", "fp8"),
        ),
    ],
)  # fmt: skip
def test_number_formats_of_quantised_models(block: Config, expected: tuple[str, str | None, str | None]) -> None:
    told = within(DEEPSEEK, quantization_config=block)
    model = model_in(told)
    assert (model.weight_dtype, model.attention_dtype, model.dense_dtype) == expected
    # the same in a file beside it
    assert model_in(within(DEEPSEEK, quantization_config=...), {"quantization": block}) == model


def test_a_format_that_only_few_layers_keep_is_named() -> None:
    kept = {"quant_algo": "NVFP4", "exclude_modules": ["model.layers.3.self_attn.q_proj"]}
    found = read(within(DEEPSEEK, quantization_config=kept))
    assert found.model.attention_dtype is None
    assert found.notes == ("attention of 1 of 4 layers keep their number format, which is not modelled",)


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({"torch_dtype": ...}, "its number format is not told: bf16 is assumed"),
        ({"torch_dtype": "float32"}, "it is published in float32, and taken as bf16, in which engines serve it"),
        ({"max_position_embeddings": ...}, "the longest context is not told: no limit is known"),
        (
            {"model_type": "gpt2", "tie_word_embeddings": ..., "torch_dtype": "float32"},
            "it is published in float32, and taken as bf16, in which engines serve it",
        ),
        (
            {"model_type": "novel"},
            "the architecture 'novel' is not known: its keys are read as those of Llama and its kin",
        ),
    ],
)
def test_what_is_assumed_is_said(changes: Config, note: str) -> None:
    assert read(within(BASE, **changes)).notes == (note,)


def test_an_unknown_architecture_that_does_not_tell_of_its_head_gets_a_note() -> None:
    notes = read(within(BASE, model_type="novel", tie_word_embeddings=...)).notes
    assert "whether the head shares the embedding's weights is not told: it is taken not to" in notes


def test_keys_that_are_not_understood_are_named() -> None:
    novel = within(
        BASE, model_type="novel", attention_sink_tokens=4, moe_router_dtype="float32", query_ratio=0.5, eos_token_id=7
    )
    assert model_in(novel).left_out == ("attention_sink_tokens (not understood)", "query_ratio (not understood)")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"hidden_size": ..., "vocab_size": ...}, "hidden_size is missing; vocab_size is missing; give a model's own"),
        ({"num_attention_heads": 0}, "num_attention_heads is 0, not a whole number from 1"),
        ({"num_attention_heads": True}, "num_attention_heads is True, not a whole number"),
        ({"num_hidden_layers": "4"}, "num_hidden_layers is '4', not a whole number"),
        ({"hidden_size": 10**12}, "hidden_size is 1000000000000, not a whole number from 1 to 1,000,000,000"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers is 1000000000, not a whole number from 1 to 10,000"),
        ({"num_key_value_heads": 3}, "3 KV heads do not divide 8 heads"),
        ({"num_attention_heads": 7}, "hidden_size 64 is not a multiple of 7 heads, and head_dim is missing"),
        ({"tie_word_embeddings": "no"}, "tie_word_embeddings is 'no', neither true nor false"),
        ({"torch_dtype": "float8"}, "the number format 'float8' is not known"),
        ({"layer_types": ["full_attention"]}, "layer_types has 1 values for 4 layers"),
        ({"layer_types": ["lightning"] * 4}, "layer_types has 'lightning', a kind of layer that is not modelled"),
        ({"sliding_window": 128}, "sliding_window is 128, but no layer_types tells which layers have it"),
        ({"model_type": "novel", "mamba_d_state": 16}, "mamba_d_state is not understood for model_type 'novel'"),
        (
            {"model_type": "novel", "moe_experts": 16},
            "moe_experts tells of experts, but the number of experts is under",
        ),
        ({"quantization_config": {"quant_method": "quip"}}, "the number format of quantization_config is not known"),
        ({"is_encoder_decoder": True}, "is a model with an encoder and a decoder"),
        ({"architectures": ["BertForMaskedLM"]}, "'BertForMaskedLM' does not generate text token by token"),
        ({"model_type": "deepseek_v4"}, "model_type deepseek_v4 is not modelled: its compressed attention"),
        ({"model_type": "nemotron-nas"}, "model_type nemotron-nas is not modelled"),
        ({"model_type": ..., "architectures": ...}, "has no model_type and architectures, as a model's configuration"),
        ({"num_local_experts": 8}, "num_experts_per_tok is missing"),
        ({"num_local_experts": 4, "num_experts_per_tok": 5}, "a token goes to 5 of 4 experts"),
    ],
)
def test_what_makes_no_model_gets_one_line(changes: Config, told: str) -> None:
    assert told in refusal(within(BASE, **changes))


def test_all_that_is_missing_is_told_at_once() -> None:
    said = refusal({"model_type": "llama"})
    for key in ("num_hidden_layers", "num_attention_heads", "hidden_size", "intermediate_size", "vocab_size"):
        assert key in said
    assert said.endswith("give a model's own config.json")


@pytest.mark.parametrize("content", ["[1, 2]", '"text"', "3", "null", "{", "", "\ufeff[]", '{"a": ' * 3000])
def test_what_is_no_json_object_gets_one_line(content: str) -> None:
    Path("config.json").write_text(content)
    with pytest.raises(
        UsageError, match=r"config\.json: (is not a JSON object|is not valid JSON|has lists or objects)"
    ):
        read_configuration(Path("config.json"))


def test_a_name_comes_from_the_file_or_else_its_folder() -> None:
    assert model_in(within(BASE, _name_or_path="Some-Org/Some_Model.7B")).name == "some_model.7b"
    assert (
        model_in(within(BASE, _name_or_path="Some-Org/Some_Model.7B")).source == "config.json of Some-Org/Some_Model.7B"
    )
    assert model_in(within(BASE, _name_or_path="/home/me/x")).name == "a-model"
    snapshot = Path("0123456789abcdef0123456789abcdef01234567")
    snapshot.mkdir()
    (snapshot / "config.json").write_text(json.dumps(BASE))
    with pytest.raises(UsageError, match="tells no name; give one with --name"):
        read_configuration(snapshot / "config.json")


def test_a_new_model_is_spread_over_the_fewest_gpus_that_hold_it() -> None:
    """60 layers of 856 M weights and two tables of 0.52 B: 52 B, 105 GB, 140 GB with room for KV: two GPUs."""
    large = within(BASE, hidden_size=8192, num_hidden_layers=60, num_attention_heads=64, num_key_value_heads=8,
                   intermediate_size=28_672, vocab_size=64_000)  # fmt: skip
    serving = model_in(large).serving
    assert (serving.decode_gpus, serving.tensor_parallel, serving.redundant_experts) == (2, 2, 0)
    assert serving.source.startswith("assumed: the fewest of 1, 2, 4, 8, ... GPUs of 80 GB")
    # a dense model is not split beyond a node
    assert model_in(within(large, num_hidden_layers=800)).serving.decode_gpus == 8
    experts = within(MIXTRAL, hidden_size=8192, num_hidden_layers=70, num_attention_heads=20, num_key_value_heads=4,
                     head_dim=128, num_local_experts=20, intermediate_size=8192, vocab_size=64_000)  # fmt: skip
    spread = model_in(experts).serving
    assert (spread.decode_gpus, spread.tensor_parallel, spread.redundant_experts) == (16, 4, 12)
