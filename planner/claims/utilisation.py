"""Claims about how busy GPUs are."""

from planner.claims.base import ClaimCase, Figure, Finding, decode_engine, judge
from planner.core.fleet.shapes import active_parameters, attention_shape

_TERA = 1e12
_ROUNDING = 0.005
"""Rounding of a claim in whole per cent."""


def utilisation_82(case: ClaimCase) -> Finding:
    """Nodes held over nodes owned, and arithmetic done over the peak of nodes that decode or prefill."""
    day, served, workload = case.day, decode_engine(case.default), case.day.workload
    model, node = served.model, served.hardware
    shape = attention_shape(model)
    products = 2 * active_parameters(model)
    decode_flops = products + model.layers * shape.decode_flops * workload.kv_tokens
    # the output head works for a prompt's last token only
    prefill_flops = (
        products
        - 2 * model.vocabulary * model.hidden
        + model.layers * shape.prefill_flops * workload.missed_context_tokens
    )
    missed_rate = day.published.input_tokens_per_s_per_prefill_node * (1 - workload.hit_ratio)
    peak = {name: tflops * _TERA * node.gpus_per_node for name, tflops in node.dense_tflops.items()}
    held = day.published.mean_nodes / day.published.peak_nodes
    decode = decode_flops * day.published.output_tokens_per_s_per_decode_node / peak["bf16"]
    prefill = prefill_flops * missed_rate / peak[served.weights]
    claimed = case.number("utilisation_ratio")
    return Finding(
        judge(whole=min(decode, prefill) >= claimed, some=held >= claimed - _ROUNDING),
        f"As a share of serving nodes it holds, {held:.1%} on the published day; the GPUs' arithmetic is used to "
        f"{decode:.0%} of the bf16 peak in decode and {prefill:.0%} of the {served.weights} peak in prefill.",
        (
            Figure("claimed", claimed, "ratio", "as claimed"),
            Figure("nodes_held", held, "ratio", "published mean of serving nodes over their peak"),
            Figure("decode_flops_per_token", decode_flops, "FLOP", "products and attention of one output token"),
            Figure("decode_compute_use", decode, "ratio", "at the published rate of a decode node, of dense bf16"),
            Figure(
                "prefill_flops_per_missed_token", prefill_flops, "FLOP", "products and attention of one missed token"
            ),
            Figure(
                "prefill_compute_use",
                prefill,
                "ratio",
                f"at the published rate of a prefill node without cache hits, of dense {served.weights}",
            ),
        ),
    )
