"""Small configuration files of each kind of model: the keys are those that publishers use, dimensions are made up."""

from typing import Any

Config = dict[str, Any]

BASE: Config = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "intermediate_size": 256,
    "vocab_size": 1000,
    "max_position_embeddings": 4096,
    "hidden_act": "silu",
    "torch_dtype": "bfloat16",
    "tie_word_embeddings": False,
    "rope_theta": 10000.0,
    "rms_norm_eps": 1e-05,
}
MIXTRAL: Config = {**BASE, "model_type": "mixtral", "num_local_experts": 8, "num_experts_per_tok": 2}
QWEN: Config = {
    **BASE,
    "model_type": "qwen3_moe",
    "head_dim": 16,
    "num_experts": 16,
    "num_experts_per_tok": 4,
    "moe_intermediate_size": 32,
    "decoder_sparse_step": 2,
    "mlp_only_layers": [1],
    "sliding_window": 4096,
    "use_sliding_window": False,
    "max_window_layers": 4,
    "norm_topk_prob": True,
}
GPT_OSS: Config = {
    **BASE,
    "model_type": "gpt_oss",
    "head_dim": 16,
    "num_local_experts": 16,
    "num_experts_per_tok": 4,
    "intermediate_size": 32,
    "sliding_window": 128,
    "layer_types": ["sliding_attention", "full_attention"] * 2,
    "quantization_config": {
        "quant_method": "mxfp4",
        "modules_to_not_convert": ["model.layers.*.self_attn", "model.layers.*.mlp.router", "lm_head"],
    },
}
DEEPSEEK: Config = {
    **{key: value for key, value in BASE.items() if key != "num_key_value_heads"},
    "model_type": "deepseek_v3",
    "kv_lora_rank": 128,
    "q_lora_rank": 24,
    "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 8,
    "v_head_dim": 16,
    "num_key_value_heads": 8,
    "n_routed_experts": 16,
    "n_shared_experts": 1,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
    "first_k_dense_replace": 1,
    "moe_layer_freq": 1,
    "n_group": 4,
    "topk_group": 2,
    "num_nextn_predict_layers": 1,
    "quantization_config": {"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [128, 128]},
}
DEEPSEEK_SPARSE: Config = {
    **DEEPSEEK,
    "model_type": "glm_moe_dsa",
    "index_topk": 64,
    "index_n_heads": 4,
    "index_head_dim": 128,
    "indexer_types": ["full", "full", "shared", "shared"],
}
LLAMA_4: Config = {
    "architectures": ["Llama4ForConditionalGeneration"],
    "model_type": "llama4",
    "vision_config": {"hidden_size": 99, "num_hidden_layers": 99},
    "text_config": {
        **{key: value for key, value in BASE.items() if key not in ("architectures", "tie_word_embeddings")},
        "model_type": "llama4_text",
        "intermediate_size": 32,
        "intermediate_size_mlp": 256,
        "attention_chunk_size": 512,
        "interleave_moe_layer_step": 2,
        "num_local_experts": 16,
        "num_experts_per_tok": 1,
    },
}
QWEN_HYBRID: Config = {
    "architectures": ["Qwen3_5MoeForConditionalGeneration"],
    "model_type": "qwen3_5_moe",
    "tie_word_embeddings": True,
    "vision_config": {"depth": 9},
    "text_config": {
        **{key: value for key, value in BASE.items() if key not in ("architectures", "tie_word_embeddings")},
        "model_type": "qwen3_5_moe_text",
        "head_dim": 16,
        "attn_output_gate": True,
        "full_attention_interval": 4,
        "layer_types": ["linear_attention", "linear_attention", "linear_attention", "full_attention"],
        "linear_conv_kernel_dim": 4,
        "linear_key_head_dim": 8,
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
        "linear_value_head_dim": 8,
        "mamba_ssm_dtype": "float32",
        "num_experts": 16,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 32,
        "shared_expert_intermediate_size": 48,
        "mtp_num_hidden_layers": 1,
    },
}
NEMOTRON: Config = {
    **BASE,
    "model_type": "nemotron_h",
    "num_hidden_layers": 6,
    "hybrid_override_pattern": "MEM*-E",
    "mlp_hidden_act": "relu2",
    "mamba_num_heads": 4,
    "mamba_head_dim": 16,
    "ssm_state_size": 8,
    "n_groups": 2,
    "conv_kernel": 4,
    "mamba_ssm_cache_dtype": "float32",
    "n_routed_experts": 16,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
    "moe_latent_size": 16,
    "n_shared_experts": 1,
    "moe_shared_expert_intermediate_size": 64,
}
del NEMOTRON["hidden_act"]
GEMMA_4: Config = {
    "architectures": ["Gemma4ForConditionalGeneration"],
    "model_type": "gemma4",
    "audio_config": None,
    "vision_config": {"hidden_size": 9},
    "text_config": {
        **{key: value for key, value in BASE.items() if key not in ("architectures", "tie_word_embeddings")},
        "model_type": "gemma4_text",
        "hidden_activation": "gelu_pytorch_tanh",
        "head_dim": 16,
        "global_head_dim": 32,
        "num_global_key_value_heads": 1,
        "attention_k_eq_v": True,
        "layer_types": ["sliding_attention", "sliding_attention", "sliding_attention", "full_attention"],
        "sliding_window": 128,
        "enable_moe_block": True,
        "num_experts": 16,
        "top_k_experts": 2,
        "moe_intermediate_size": 32,
        "intermediate_size": 96,
    },
}
MIMO: Config = {
    **BASE,
    "model_type": "mimo_v2_flash",
    "head_dim": 24,
    "v_head_dim": 16,
    "sliding_window": 128,
    "sliding_window_size": 128,
    "attention_chunk_size": 128,
    "hybrid_layer_pattern": [0, 1, 1, 0],
    "swa_num_attention_heads": 8,
    "swa_num_key_value_heads": 4,
    "swa_head_dim": 24,
    "swa_v_head_dim": 16,
    "n_routed_experts": 16,
    "n_shared_experts": None,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
    "moe_layer_freq": [0, 1, 1, 1],
}
MINIMAX: Config = {
    **BASE,
    "model_type": "minimax_m3",
    "head_dim": 16,
    "intermediate_size": 32,
    "dense_intermediate_size": 128,
    "shared_intermediate_size": 32,
    "n_shared_experts": 1,
    "num_local_experts": 16,
    "num_experts_per_tok": 2,
    "moe_layer_freq": [0, 1, 1, 1],
    "sparse_attention_config": {
        "use_sparse_attention": True,
        "sparse_attention_freq": [0, 1, 1, 1],
        "sparse_block_size": 128,
        "sparse_topk_blocks": 2,
        "sparse_index_dim": 128,
        "sparse_num_index_heads": 2,
        "sparse_score_type": "max",
    },
}
BLOOM: Config = {
    "architectures": ["BloomForCausalLM"],
    "model_type": "bloom",
    "n_embed": 64,
    "n_layer": 4,
    "n_head": 8,
    "vocab_size": 1000,
    "seq_length": 2048,
    "torch_dtype": "bfloat16",
}
KINDS: dict[str, Config] = {
    "bloom": BLOOM,
    "deepseek": DEEPSEEK,
    "deepseek-sparse": DEEPSEEK_SPARSE,
    "gemma-4": GEMMA_4,
    "gpt-oss": GPT_OSS,
    "llama": BASE,
    "llama-4": LLAMA_4,
    "mimo": MIMO,
    "minimax": MINIMAX,
    "mixtral": MIXTRAL,
    "nemotron": NEMOTRON,
    "qwen": QWEN,
    "qwen-hybrid": QWEN_HYBRID,
}
"""One of each kind."""


def within(config: Config, **changes: Any) -> Config:
    """A configuration with other values in its text model; a key whose value is ... is left out."""
    inner = config.get("text_config")
    if inner is not None:
        return {**config, "text_config": within(inner, **changes)}
    return {key: value for key, value in {**config, **changes}.items() if value is not ...}
