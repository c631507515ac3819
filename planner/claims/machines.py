"""Claims about other models and other machines: A100 nodes, a dense 70 B model, tensor parallelism, an edge module."""

from dataclasses import replace

from planner.capacity.engines import Modelled, model_capacity
from planner.claims.base import ClaimCase, Figure, Finding, decode_engine, judge
from planner.core.fleet.decode import step_us
from planner.core.fleet.engine import GB, Engine
from planner.core.fleet.shapes import WEIGHT_BYTES, active_parameters, total_parameters
from planner.settings.closed import WeightDtype
from planner.settings.scenario import Scenario

_MS = 1e3
"""Microseconds of a millisecond."""


def a100_fleet(case: ClaimCase) -> Finding:
    """What nodes of A100 and A800 do at the scenario's latency target, and how many the published day would need."""
    engine, published = decode_engine(case.scenario), decode_engine(case.default)
    h800, a100, a800 = (
        _modelled(case, scenario) for scenario in (case.default, case.scenario, _on_hardware(case.scenario, "a800"))
    )
    needed, on_h800 = (case.day.nodes_at_peak(m.prefill_tokens_per_s, m.decode_tokens_per_s) for m in (a100, h800))
    share = a100.decode_tokens_per_s / h800.decode_tokens_per_s
    fleet, target = case.default.fleet.nodes, case.default.slo.tpot_ms
    return Finding(
        judge(whole=needed <= fleet, some=True),
        f"The published fleet is of H800; in {engine.weights} the model fits A100 nodes, but at {target:g} ms per "
        f"token one decodes {a100.decode_tokens_per_s:,.0f} tokens/s, {share:.0%} of an H800 node, and the published "
        f"peak would need {needed:,.0f} nodes instead of {on_h800:,.0f}.",
        (
            Figure(
                "weights_gb_per_gpu",
                engine.weights_gb,
                "GB",
                f"decode weights in {engine.weights}; {engine.hardware.memory_gb:g} GB are available",
            ),
            Figure("a100_streams_per_gpu", a100.decode.streams, "streams", f"most that meet {target:g} ms"),
            Figure("a100_decode_tokens_per_s_per_node", a100.decode_tokens_per_s, "tokens/s", "output, modelled"),
            Figure("a800_decode_tokens_per_s_per_node", a800.decode_tokens_per_s, "tokens/s", "output, modelled"),
            Figure(
                "h800_decode_tokens_per_s_per_node",
                h800.decode_tokens_per_s,
                "tokens/s",
                "output, modelled, published engine",
            ),
            Figure("decode_ratio", share, "ratio", "A100 over H800"),
            Figure(
                "a100_prefill_tokens_per_s_per_node", a100.prefill_tokens_per_s, "tokens/s", "input with cache hits"
            ),
            Figure(
                "h800_prefill_tokens_per_s_per_node", h800.prefill_tokens_per_s, "tokens/s", "input with cache hits"
            ),
            Figure("a100_nodes_at_peak", needed, "nodes", "both roles in the published day's busiest quarter-hour"),
            Figure("h800_nodes_at_peak", on_h800, "nodes", "the same with modelled H800 nodes"),
            Figure(
                "a100_usd_per_million_output_tokens",
                a100.decode.usd_per_million_tokens,
                "USD",
                f"decode at the hardware catalogue's ${engine.hardware.usd_per_gpu_hour:g} per GPU-hour",
            ),
            Figure(
                "h800_usd_per_million_output_tokens",
                h800.decode.usd_per_million_tokens,
                "USD",
                f"decode at the hardware catalogue's ${published.hardware.usd_per_gpu_hour:g} per GPU-hour",
            ),
        ),
    )


def pruned_70b(case: ClaimCase) -> Finding:
    """The ratio and the size of the claimed FLOPs, and a dense 70 B model compared with the served one."""
    served = decode_engine(case.default).model
    dense, moe = _modelled(case, case.scenario), _modelled(case, case.default)
    before, after = case.number("parameters_before"), case.number("parameters_after")
    flops_after = case.number("flops_per_token_after")
    flops_ratio, ratio = flops_after / case.number("flops_per_token_before"), after / before
    flops = case.number("flops_per_weight") * after
    return Finding(
        judge(whole=flops <= flops_after, some=round(flops_ratio, 3) == round(ratio, 3)),
        f"The ratios agree at {ratio:.2f}, but a dense model of {after / 1e9:.0f} B takes {flops / 1e9:.0f} GFLOP per "
        f"token, {flops / flops_after:.0e} times the figure given; the published model is a mixture of experts with "
        f"{active_parameters(served) / 1e9:.0f} B of {total_parameters(served) / 1e9:.0f} B active.",
        (
            Figure("claimed_flops_ratio", flops_ratio, "ratio", "after over before, as claimed"),
            Figure("claimed_parameters_ratio", ratio, "ratio", "after over before, as claimed"),
            Figure("dense_flops_per_token", flops, "FLOP", "two per weight of the pruned model"),
            Figure("flops_over_claimed", flops / flops_after, "ratio", "that over the FLOPs claimed"),
            Figure("served_parameters", float(total_parameters(served)), "weights", f"of {served.name}"),
            Figure("served_active_parameters", float(active_parameters(served)), "weights", "that one token uses"),
            Figure(
                "dense_decode_tokens_per_s_per_node",
                dense.decode_tokens_per_s,
                "tokens/s",
                f"{case.scenario.fleet.engine.model} on {case.scenario.fleet.engine.hardware} nodes, "
                f"limited by {dense.decode.limit}",
            ),
            Figure(
                "served_decode_tokens_per_s_per_node",
                moe.decode_tokens_per_s,
                "tokens/s",
                f"{served.name} at the same time per output token",
            ),
        ),
    )


def all_reduce(case: ClaimCase) -> Finding:
    """All-reduce of a dense model over a node's GPUs: at the batch of the latency target, and at the claimed times."""
    engine, point = decode_engine(case.scenario), _modelled(case, case.scenario).decode
    context, tp = case.day.workload.kv_tokens, engine.tensor_parallel
    streams = point.streams * tp
    reduced, step = _all_reduce_step_us(engine, streams), point.step_ms * _MS
    alone = float(step_us(replace(engine, tensor_parallel=1), streams, context))
    after = case.number("after_ms")
    rows_before, rows_after = (ms * _MS / _all_reduce_step_us(engine, 1.0) for ms in (case.number("before_ms"), after))
    in_experts = _all_reduce_step_us(decode_engine(case.default), 1.0)
    left, scaling, claimed = 1 - reduced / step, alone / (tp * step), case.number("scaling_ratio")
    return Finding(
        judge(whole=scaling >= claimed, some=left >= claimed),
        f"It describes tensor parallelism: a dense 70 B model on {tp} {engine.hardware.name} takes {after:g} ms for "
        f"{rows_after:.0f} streams, and all-reduce alone leaves {left:.0%} of {tp} times one GPU, with fixed overheads "
        f"{scaling:.0%}; expert-parallel decode, as published, has {'none' if in_experts == 0 else 'it too'}.",
        (
            Figure("streams_of_node", streams, "streams", "at the scenario's time per output token"),
            Figure("all_reduce_ms", reduced / _MS, "ms", "of one decode step of that batch, bandwidth alone"),
            Figure("all_reduce_share", reduced / step, "ratio", "of the step"),
            Figure(
                "scaling_without_other_losses", left, "ratio", "8 GPUs over 8 times one, if all-reduce alone were lost"
            ),
            Figure(
                "scaling",
                scaling,
                "ratio",
                "8 GPUs over 8 times one for the same streams, as if one could hold them; overheads do not shrink",
            ),
            Figure("claimed_scaling", claimed, "ratio", "as claimed"),
            Figure("streams_before", rows_before, "streams", "whose all-reduce takes the time claimed before"),
            Figure("streams_after", rows_after, "streams", "whose all-reduce takes the time claimed after"),
            Figure("expert_parallel_all_reduce_ms", in_experts / _MS, "ms", "of a stream in the published decode unit"),
        ),
    )


def edge_13b(case: ClaimCase) -> Finding:
    """Most tokens per second of one stream on an edge module: memory bandwidth over the bytes of the weights."""
    formats: tuple[WeightDtype, ...] = ("bf16", "int8", "int4")
    parameters, bandwidth = case.number("parameters"), case.number("memory_gb_s")
    size = {name: parameters * WEIGHT_BYTES[name] / GB for name in formats}
    rate = {name: bandwidth / size[name] for name in formats}
    watts = case.number("module_w")
    published = case.day.published.output_tokens_per_s_per_decode_node
    fleet = decode_engine(case.default).hardware.node_kw * 1e3 / published
    memory = case.number("memory_gb")
    return Finding(
        judge(whole=size["bf16"] < memory, some=size["int4"] < memory),
        f"For one user: a module with {bandwidth:g} GB/s gives at most {rate['bf16']:.1f} tokens/s in bf16 and "
        f"{rate['int4']:.0f} in int4, which no software fully reaches; a token takes {watts / rate['int4']:.1f} J or "
        f"more, and {fleet:.1f} J on a published decode node.",
        (
            *(Figure(f"{name}_weights_gb", size[name], "GB", "weights") for name in formats),
            *(Figure(f"{name}_tokens_per_s", rate[name], "tokens/s", "roofline of one stream") for name in formats),
            Figure("module_j_per_token", watts / rate["int4"], "J", "power of the module over its int4 roofline"),
            Figure("fleet_j_per_token", fleet, "J", "a node at its maximum over the published output of a decode node"),
        ),
    )


def _modelled(case: ClaimCase, scenario: Scenario) -> Modelled:
    return model_capacity(scenario.fleet, scenario.slo.tpot_ms, case.day.workload)


def _on_hardware(scenario: Scenario, name: str) -> Scenario:
    engine = scenario.fleet.engine.model_copy(update={"hardware": name})
    return scenario.model_copy(update={"fleet": scenario.fleet.model_copy(update={"engine": engine})})


def _all_reduce_step_us(engine: Engine, rows: float) -> float:
    """All-reduces of a step: one after the attention of every layer and one after every dense feed-forward."""
    model = engine.model
    return (model.layers + model.dense_layers) * float(
        engine.speeds.all_reduce(rows, model.hidden, engine.tensor_parallel)
    )
