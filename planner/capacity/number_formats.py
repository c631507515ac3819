"""Which number formats go with a model on a kind of GPU, and what is said where the GPU cannot compute in them."""

from planner.errors import UsageError
from planner.settings.closed import CacheDtype, WeightDtype
from planner.settings.hardware import Hardware
from planner.settings.models import Model

UNPACKED: WeightDtype = "int4"
"""Held in 4 bits and computed in another format on every GPU."""


def check_weights(served: Model, node: Hardware, weights: WeightDtype) -> None:
    """Raises UsageError where a GPU cannot compute in a format.

    What a model is published in runs all the same, and so does int4: engines unpack it.
    """
    if weights in node.dense_tflops or weights in (UNPACKED, served.weight_dtype):
        return
    raise UsageError(
        f"{node.name} cannot compute in {weights}, and {served.name} is not published in it; give weights in "
        f"{', '.join(node.dense_tflops)}, or in {UNPACKED}, which engines unpack"
    )


def format_notes(node: Hardware, weights: WeightDtype, kv: CacheDtype) -> list[str]:
    """What is assumed of formats that a GPU cannot compute in."""
    told = []
    if weights not in node.dense_tflops:
        told.append(f"weights: {node.name} cannot compute in {weights}: they are unpacked to bf16")
    if kv not in node.dense_tflops:
        told.append(f"KV cache: {node.name} cannot compute in {kv}: it is unpacked, which not every engine does")
    return told
