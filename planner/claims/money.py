"""Claims about power, electricity and night-time training."""

from planner.catalogue.read import hardware
from planner.claims.base import ClaimCase, Figure, Finding, decode_engine, judge
from planner.claims.day import HOURS
from planner.core.fleet.operating import request_cost
from planner.core.fleet.shapes import active_parameters
from planner.units import S_PER_DAY, S_PER_HOUR


def power_per_qps(case: ClaimCase) -> Finding:
    """Watts of one request per second from the claim's own rate, and on the published day."""
    day, node = case.day, decode_engine(case.default).hardware
    own = case.number("gpu_w") / (case.number("requests_per_day") / S_PER_DAY)
    after = case.number("after_w_per_qps")
    per_qps = day.published.mean_nodes / day.requests_per_s
    usual = request_cost(per_qps, case.number("usual_node_kw"), case.usd_per_node_hour)
    most = request_cost(per_qps, node.node_kw, case.usd_per_node_hour)
    price = f"at ${case.usd_per_gpu_hour:g} per GPU-hour, the {case.default.economics.gpu_rate} rate"
    return Finding(
        judge(whole=own <= after, some=own <= case.number("before_w_per_qps")),
        f"It contradicts itself: {case.number('requests_per_day'):,.0f} requests a day on {case.number('gpu_w'):g} W "
        f"are {own / 1e3:.1f} kW per request/s, {own / after:.0f} times the {after:g} W claimed; the published day "
        f"takes {usual.w_per_qps:,.0f} to {most.w_per_qps:,.0f} W.",
        (
            Figure("own_w_per_qps", own, "W per request/s", "the claim's own GPU over its own rate"),
            Figure("own_over_claimed", own / after, "ratio", "that over what is claimed"),
            Figure("day_requests_per_s", day.requests_per_s, "requests/s", "mean of the profile's requests"),
            Figure("day_usd_per_qps_day", most.usd_per_qps_day, "USD", f"cost of one request/s for a day, {price}"),
            Figure("day_usd_per_request", most.usd_per_request, "USD", f"cost of one request, {price}"),
            Figure("day_usual_w_per_qps", usual.w_per_qps, "W per request/s", "mean nodes at their usual load"),
            Figure("day_most_w_per_qps", most.w_per_qps, "W per request/s", "mean nodes at the catalogue's maximum"),
        ),
    )


def electricity_only(case: ClaimCase) -> Finding:
    """Cost of the electricity of a GPU-day compared with the cost of the GPU-day."""
    yuan = case.number("yuan_per_kwh") * case.number("gpu_w") / 1e3 * HOURS
    claimed, rate = case.number("hardware_yuan_per_day"), case.number("yuan_per_usd")
    rent = case.usd_per_gpu_hour * HOURS * rate
    node = decode_engine(case.default).hardware
    system = node.node_kw / node.gpus_per_node * case.number("yuan_per_kwh") * HOURS
    return Finding(
        judge(whole=rent <= claimed, some=False),
        f"{yuan:.2f} yuan is the electricity of the GPU alone; a GPU-day at ${case.usd_per_gpu_hour:g} per hour costs "
        f"{rent:.0f} yuan, {rent / claimed:.0f} times as much.",
        (
            Figure("electricity_yuan_per_day", yuan, "yuan", "price times power times a day"),
            Figure(
                "rent_yuan_per_day",
                rent,
                "yuan",
                f"a GPU-day at the {case.default.economics.gpu_rate} rate of {case.default.economics.gpu_rates}, "
                f"{rate:g} yuan per USD",
            ),
            Figure("rent_over_claimed", rent / claimed, "ratio", "rent over the cost that is claimed"),
            Figure("system_yuan_per_day", system, "yuan", "electricity of a GPU's share of a node at its maximum"),
        ),
    )


def nightly_training(case: ClaimCase) -> Finding:
    """GPU-hours of the job against those that inference leaves, and the arithmetic that such a job can do."""
    day, served = case.day, decode_engine(case.default)
    gpu_hours = case.number("gpus") * case.number("hours")
    free = day.free_node_hours * case.default.fleet.gpus_per_node
    trainer_tflops = hardware("a100").dense_tflops["bf16"]
    requests = case.number("request_share_ratio") * day.profile.settings.totals.requests
    tokens = requests * (day.workload.input_tokens + day.workload.output_tokens)
    flops = tokens * active_parameters(served.model) * case.number("flops_per_weight_and_token")
    possible = gpu_hours * S_PER_HOUR * trainer_tflops * 1e12
    return Finding(
        judge(whole=flops <= possible and gpu_hours <= free, some=gpu_hours <= free),
        f"As a job it fits: {gpu_hours:g} GPU-hours of the {free:,.0f} that the published night leaves; but "
        f"{case.number('request_share_ratio'):.1%} of that day's requests are {tokens / 1e6:,.0f} M tokens, on which "
        f"training the whole model takes {flops / possible:.0f} times what the job can compute at peak.",
        (
            Figure("job_gpu_hours", gpu_hours, "GPU-hours", "as claimed"),
            Figure("free_gpu_hours", free, "GPU-hours", "fleet less what inference held on the published day"),
            Figure("share_of_free", gpu_hours / free, "ratio", "the job's share of the freed hours"),
            Figure("sampled_tokens", tokens, "tokens", "input and output of the share of the day's requests"),
            Figure("needed_over_peak", flops / possible, "ratio", "FLOP of training on them over the job's dense peak"),
        ),
    )
