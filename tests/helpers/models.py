"""A small model, and changes of it."""

from typing import Any

from planner.settings.models import Model

SMALL_MODEL: dict[str, Any] = {
    "name": "small",
    "description": "",
    "source": "made up",
    "hidden": 64,
    "layers": 4,
    "dense_layers": 4,
    "dense_width": 256,
    "vocabulary": 1000,
    "weight_dtype": "bf16",
    "attention": {"kind": "grouped", "heads": 8, "kv_heads": 2, "head_dim": 16},
    "serving": {
        "source": "made up",
        "prefill_gpus": 1,
        "decode_gpus": 1,
        "redundant_experts": 0,
        "tensor_parallel": 1,
    },
}


def model_of(**changes: Any) -> Model:
    """A small dense model with changes."""
    return Model.model_validate({**SMALL_MODEL, **changes})
