"""How a new model is spread over GPUs where nothing else is known: the fewest that hold it."""

from math import gcd

from planner.core.fleet.shapes import weight_bytes
from planner.settings.models import Model, Serving

GPU_GB = 80
"""Memory of the GPU that the rule is for, an A100 or H100."""
NODE_GPUS = 8
KV_SHARE = 1 / 3
"""Room for KV over weights."""
_MOST_GPUS = 1024

RULE = (
    f"assumed: the fewest of 1, 2, 4, 8, ... GPUs of {GPU_GB} GB that hold the weights and a third more for KV, for a "
    f"dense model {NODE_GPUS} at most; tensor-parallel over up to {NODE_GPUS} of them that divide its heads"
)
UNKNOWN = Serving(source=RULE, prefill_gpus=1, decode_gpus=1, redundant_experts=0, tensor_parallel=1)
"""What stands in a model until the rule is applied to it."""


def usual_serving(model: Model) -> Serving:
    """The fewest GPUs that hold a model by the rule, and the redundant experts that make experts divide over them."""
    needed = weight_bytes(model, model.weight_dtype) * (1 + KV_SHARE) / (GPU_GB * 1e9)
    gpus = 1
    while gpus < needed and gpus < _MOST_GPUS:
        gpus *= 2
    if model.experts is None:
        # nothing but tensor parallelism splits its weights, and that stays inside a node
        gpus = min(gpus, NODE_GPUS)
    heads = gcd(
        model.attention.heads,
        model.window.heads if model.window else 0,
        (model.recurrent.heads or 0) if model.recurrent else 0,
    )
    return Serving(
        source=RULE,
        prefill_gpus=gpus,
        decode_gpus=gpus,
        redundant_experts=-model.experts.routed % gpus if model.experts else 0,
        tensor_parallel=gcd(heads, min(gpus, NODE_GPUS)),
    )
