"""Claims about batches and waiting: queue depth, customer service, warm starts."""

from collections.abc import Callable
from dataclasses import replace
from math import ceil, floor, sqrt

from planner.capacity.engines import model_capacity
from planner.claims.base import ClaimCase, Figure, Finding, decode_engine, judge, prefill_engine
from planner.core.fleet.batching import DepthRule, batch_at, collect, ridge_tokens
from planner.core.fleet.decode import Imbalance, step_us
from planner.core.fleet.engine import Engine
from planner.core.fleet.operating import OperatingPoint, constant, point_at
from planner.core.fleet.prefill import us_per_missed_token
from planner.units import S_PER_HOUR


def queue_depth(case: ClaimCase) -> Finding:
    """What a decode node does with the batches that the rule chooses, with or without overlap, whichever is faster."""
    engine, published = decode_engine(case.default), case.day.published
    rules = [DepthRule(rule.from_depth, rule.batch) for rule in case.preset.queue_rules]
    depths = (case.number("short_queue_requests"), case.number("long_queue_requests"))
    low, high = (_at(case, engine, batch_at(rules, int(depth))) for depth in depths)
    price = f"at the hardware catalogue's ${engine.hardware.usd_per_gpu_hour:g} per GPU-hour"
    figures = [
        figure
        for name, point in (("short_queue", low), ("long_queue", high))
        for figure in (
            Figure(f"{name}_streams_per_gpu", point.streams, "streams", "the rule's batch, taken per GPU"),
            Figure(f"{name}_step_ms", point.step_ms, "ms", "one decode step"),
            Figure(f"{name}_tokens_per_s_per_node", point.tokens_per_s_per_node, "tokens/s", "output"),
            Figure(f"{name}_usd_per_million_output_tokens", point.usd_per_million_tokens, "USD", f"decode, {price}"),
        )
    ]
    rate = published.output_tokens_per_s_per_decode_node
    return Finding(
        judge(whole=high.tokens_per_s_per_node >= rate, some=True),
        f"The rule can be run, but taken per GPU its batches give {low.tokens_per_s_per_node:,.0f} and "
        f"{high.tokens_per_s_per_node:,.0f} tokens/s per node, ${low.usd_per_million_tokens:.2f} and "
        f"${high.usd_per_million_tokens:.2f} per million output tokens, where {rate:,.0f} tokens/s were published.",
        (*figures, Figure("published_tokens_per_s_per_node", rate, "tokens/s", "daily mean of a decode node")),
    )


def customer_service(case: ClaimCase) -> Finding:
    """What fits within the latency: decode steps, and the longest prompt before a first token."""
    engine, prefill, day = decode_engine(case.default), prefill_engine(case.default), case.day
    limit_ms = case.number("latency_ms")
    step = float(step_us(engine, case.number("streams_per_gpu"), day.workload.kv_tokens, imbalance=_imbalance(case)))
    step_ms = step / 1e3
    prompt = _longest_prompt(prefill, limit_ms)
    share = day.share_of_prompts_up_to(prompt)
    load = case.number("requests_per_s") / day.requests_per_s
    return Finding(
        "cannot be told",
        f"It states neither prompt nor output length, nor whether it means the first token or the answer: "
        f"{limit_ms:g} ms are {limit_ms / step_ms:.1f} decode steps of {step_ms:.1f} ms, so at the published batch it "
        f"can hold for a first token only, and for prompts of at most {prompt} tokens, {share:.0%} of the published "
        "day's.",
        (
            Figure("decode_step_ms", step_ms, "ms", f"{case.number('streams_per_gpu'):g} streams per GPU"),
            Figure("whole_steps_in_limit", float(floor(limit_ms / step_ms)), "steps", "output tokens that fit"),
            Figure(
                "longest_prompt_tokens",
                float(prompt),
                "tokens",
                "longest whose prefill on one GPU meets the limit, no hits",
            ),
            Figure("prompts_in_limit", share, "ratio", "requests of the day with inputs no longer than that"),
            Figure("load_over_day", load, "ratio", "requests claimed over the published day's mean"),
            Figure(
                "claimed_cost_change", case.number("cost_change_ratio"), "ratio", "as claimed, without saying of what"
            ),
        ),
    )


def warm_starts(case: ClaimCase) -> Finding:
    """What short start-ups, merged prompts and narrow weights gain on the published day."""
    day, prefill = case.day, prefill_engine(case.default)
    before, after = case.default.fleet.start_up_s, case.scenario.fleet.start_up_s
    saved = day.started_nodes * (before - after) / S_PER_HOUR
    rate = day.requests_per_s / (day.prefill_nodes / case.default.fleet.prefill.nodes)
    enough = ridge_tokens(prefill) / day.missed_tokens
    collected = collect(enough / rate, rate, int(case.number("largest_batch_requests")), _prefill_s(case))
    read = {
        name: replace(prefill, weights=name).weights_gb * prefill.hardware.gpus_per_node for name in ("bf16", "fp8")
    }
    disk = case.number("disk_gb_s")
    return Finding(
        "holds",
        f"Right in principle, small on the published day: starts of {after} s instead of {before} s save {saved:.1f} "
        f"of {day.node_hours:,.0f} node-hours, {enough:.0f} prompts together make the experts compute-bound after a "
        f"mean wait of {collected.mean_wait_s * 1e3:.0f} ms, and a node starts with {read['fp8']:.0f} GB in fp8 "
        f"instead of {read['bf16']:.0f} GB in bf16.",
        (
            Figure("started_nodes", day.started_nodes, "nodes", "that joined inference on the published day"),
            Figure("saved_node_hours", saved, "node-hours", "by the shorter start-up of these nodes"),
            Figure("saved_share", saved / day.node_hours, "ratio", "of the day's node-hours"),
            Figure(
                "pre_start_intervals",
                float(ceil(after / case.default.interval_s)),
                "intervals",
                "by which nodes have to start ahead",
            ),
            Figure("prompts_to_ridge", enough, "requests", "of mean missed input that make experts compute-bound"),
            Figure(
                "collected_requests",
                collected.batch,
                "requests",
                "by a prefill unit in the time that they take to arrive",
            ),
            Figure("collection_wait_ms", collected.mean_wait_s * 1e3, "ms", "mean wait for such a batch"),
            Figure("collection_duty", collected.duty, "ratio", "share of the time that the unit is then busy"),
            *(Figure(f"{name}_gb_per_node", size, "GB", "weights of a prefill node") for name, size in read.items()),
            *(
                Figure(f"{name}_read_s", size / disk, "s", f"reading them at {disk:g} GB/s")
                for name, size in read.items()
            ),
            Figure("read_gb_s_for_start", read["fp8"] / after, "GB/s", f"to read fp8 weights within {after} s"),
        ),
    )


def _imbalance(case: ClaimCase) -> Imbalance:
    return Imbalance(*(case.number(f"{of}_imbalance_ratio") for of in ("kv", "expert", "dispatch")))


def _at(case: ClaimCase, engine: Engine, streams: int) -> OperatingPoint:
    """The point of a batch, overlapped or not, whichever has the shorter step."""
    return point_at(engine, streams, case.day.workload.kv_tokens, constant(_imbalance(case)))


def _longest_prompt(engine: Engine, limit_ms: float) -> int:
    """The most tokens whose prefill on one GPU is within the limit, without cache hits.

    The mean context of a prompt's tokens is half the prompt and the time of a token grows linearly with it, so the
    time of m tokens is a*m + b*m^2/2.
    """
    fixed = float(us_per_missed_token(engine, 0.0))
    slope = float(us_per_missed_token(engine, 1.0)) - fixed
    return floor((sqrt(fixed**2 + 2 * slope * limit_ms * 1e3) - fixed) / slope)


def _prefill_s(case: ClaimCase) -> Callable[[float], float]:
    """Seconds that a prefill unit takes for a number of mean requests."""
    fleet = case.default.fleet
    modelled = model_capacity(fleet, case.default.slo.tpot_ms, case.day.workload)
    per_request = case.day.workload.input_tokens / (modelled.prefill_tokens_per_s * fleet.prefill.nodes)
    return lambda requests: requests * per_request
