"""planner capacity without further options: memory, decode, prefill, cost."""

from typing import TYPE_CHECKING

from planner.cli.capacity.heading import conditions, heading, print_notes
from planner.cli.output import print_json, print_line, usd
from planner.runs.bands import BASIS, ends, whole

if TYPE_CHECKING:
    from planner.capacity.documents import CapacityOverview
    from planner.studies.capacity.study import EngineStudy


def show_overview(study: "EngineStudy", as_json: bool) -> None:
    """Print what a node can do at the operating point."""
    from planner.studies.capacity.overview import describe_capacity

    overview = describe_capacity(study)
    if as_json:
        print_json(overview)
    else:
        _print(overview)


def _print(overview: "CapacityOverview") -> None:
    memory, decode, prefill = overview.memory, overview.decode, overview.prefill
    request, load = overview.request, overview.workload
    print_line(f"{heading(overview)}, {conditions(overview)}")
    print_line(
        f"  model    {overview.parameters / 1e9:,.1f} B weights, {overview.active_parameters / 1e9:,.1f} B per token"
    )
    print_line(
        f"  memory   {memory.memory_gb:g} GB per GPU: {memory.weights_gb:.1f} weights, {memory.reserve_gb:g} "
        f"reserve, {memory.kv_gb:.1f} for KV of {memory.kv_bytes_per_token:,} B per token: at most "
        f"{memory.batch_cap:,.0f} streams"
    )
    print_line(
        f"  decode   {decode.streams:g}{ends(overview.streams, '{:g}'.format)} streams on each of {decode.gpus} GPUs, "
        f"limited by {decode.limit}: {decode.tpot_ms:.1f} ms{ends(overview.tpot_ms, '{:.1f}'.format)} per token, "
        f"{decode.tokens_per_s_per_node:,.0f}{ends(overview.tokens_per_s_per_node, whole)} tokens/s per "
        f"node, {usd(decode.usd_per_million_tokens)} per million"
    )
    print_line(
        f"  prefill  {prefill.missed_tokens_per_s_per_node:,.0f} tokens/s per node without hits, "
        f"{prefill.tokens_per_s_per_node:,.0f}{ends(overview.input_tokens_per_s_per_node, whole)} with, "
        f"{usd(prefill.usd_per_million_tokens)} per million; one prompt alone on an idle unit: "
        f"{overview.ttft_ms.value:,.0f} ms{ends(overview.ttft_ms, whole)} to its first token"
    )
    print_line(
        f"  request  {load.input_tokens:,.0f} tokens in, {load.output_tokens:,.0f} out: "
        f"{request.nodes_per_qps:.3f} nodes, {request.w_per_qps:,.0f} W and {usd(request.usd_per_qps_day)} a "
        f"day per request/s; {request.usd_per_request * 1000:.4f} USD per thousand"
    )
    bases = {"decode": overview.tpot_ms.measured, "prefill": overview.input_tokens_per_s_per_node.measured}
    same = len(set(bases.values())) == 1
    words = (BASIS[bases["decode"]],) if same else (f"{role} {BASIS[measured]}" for role, measured in bases.items())
    print_line(f"  bands    90 %, in parentheses, {'; '.join(words)}")
    print_notes(overview.notes)
