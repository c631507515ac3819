"""Claims about the KV cache: pages, and long contexts."""

from planner.capacity.engines import imbalance_of
from planner.catalogue.read import model
from planner.claims.base import ClaimCase, Figure, Finding, decode_engine, judge
from planner.core.fleet.batching import single_stream_roofline
from planner.core.fleet.engine import GB
from planner.core.fleet.operating import point_at
from planner.core.fleet.shapes import kv_bytes_per_token
from planner.settings.models import GroupedAttention


def paged_kv(case: ClaimCase) -> Finding:
    """KV cache of the context for three kinds of attention, and what paging saves at the day's lengths."""
    served, dense = decode_engine(case.default), model("llama-3.1-70b")
    grouped = dense.attention
    assert isinstance(grouped, GroupedAttention), "the catalogue's dense model has grouped attention"
    multi_head = dense.model_copy(update={"attention": grouped.model_copy(update={"kv_heads": grouped.heads})})
    context = case.number("context_tokens")
    mha, gqa, mla = (kv_bytes_per_token(each, "bf16") * context / GB for each in (multi_head, dense, served.model))
    claimed = 1 - case.number("paged_gb") / case.number("reserved_gb")
    tokens = case.day.workload.input_tokens + case.day.workload.output_tokens
    # a page is half used at the end
    saved = 1 - (tokens + (served.block_tokens - 1) / 2) / context
    return Finding(
        judge(whole=mla >= case.number("paged_gb"), some=mha >= case.number("paged_gb")),
        f"Plausible for a model with multi-head attention, {mha:.1f} GB for {dense.layers} layers of {grouped.heads} "
        f"heads, and for requests that use {1 - claimed:.0%} of what is reserved; the latent attention of the served "
        f"model needs {mla:.2f} GB.",
        (
            Figure("claimed_saving", claimed, "ratio", "one less used over reserved, as claimed"),
            Figure("multi_head_gb", mha, "GB", f"the context in {dense.name} with a KV head per head, bf16"),
            Figure("grouped_gb", gqa, "GB", f"the context in {dense.name} with its {grouped.kv_heads} KV heads, bf16"),
            Figure("latent_gb", mla, "GB", f"the context in {served.model.name}, latent attention, bf16"),
            Figure(
                "day_saving",
                saved,
                "ratio",
                f"pages of {served.block_tokens} tokens for a request of the day's mean length over a reserved context",
            ),
        ),
    )


def long_context(case: ClaimCase) -> Finding:
    """Decode at the context and the most streams that fit, per node and per stream."""
    engine, context = decode_engine(case.scenario), case.number("context_tokens")
    at, _ = imbalance_of(case.scenario.fleet.engine, engine.expert_parallel)
    point = point_at(engine, float(engine.batch_cap(context)), context, at, "memory")
    stream = 1e3 / point.tpot_ms
    roofline = single_stream_roofline(engine, engine.hardware.gpus_per_node)
    after, node = case.number("after_tokens_per_s"), point.tokens_per_s_per_node
    return Finding(
        "cannot be told" if stream < after < node else judge(whole=stream >= after, some=node >= after),
        f"It does not say per what: with that context and as many streams as fit, a node of the published decode unit "
        f"gives {node:,.0f} tokens/s, {node / after:.1f} times the claim, and one stream {stream:.1f}, "
        f"{stream / after:.1%} of it.",
        (
            Figure("streams_per_gpu", point.streams, "streams", "most whose KV cache fits, pages included"),
            Figure("kv_gb_per_gpu", point.kv_gb, "GB", "their KV cache"),
            Figure("tpot_ms", point.tpot_ms, "ms", "time per output token at that batch"),
            Figure("tokens_per_s_per_node", node, "tokens/s", "output of a node"),
            Figure("tokens_per_s_per_stream", stream, "tokens/s", "output of one stream"),
            Figure(
                "stream_roofline_tokens_per_s",
                roofline,
                "tokens/s",
                f"one stream whose {engine.weights} weights {engine.hardware.gpus_per_node} GPUs read once per token",
            ),
            Figure(
                "claimed_ratio", after / case.number("before_tokens_per_s"), "ratio", "after over before, as claimed"
            ),
        ),
    )
