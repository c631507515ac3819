"""The settings of replays: balancers, queues and failures."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from planner.settings.closed import Closed, Count, PositiveCount, Seed, WeekOfSeconds

BalancerName = Literal[
    "random", "round-robin", "join-shortest-queue", "power-of-two", "least-kv", "two-key", "prefix-aware"
]
QueueMode = Literal["at-once", "window", "depth"]
StepOrder = Literal["decode-first", "prefill-first"]
SessionMode = Literal["open", "closed"]


class ReplaySettings(Closed):
    """How every request is replayed: balancers, queues, and what is simulated around the counted window."""

    prefill_balancer: BalancerName
    """Balancer that sends requests to prefill units, or to units that do both."""
    decode_balancer: BalancerName
    """Balancer that sends requests to decode units; they keep no prefixes, so not prefix-aware."""
    max_batched_tokens: PositiveCount | None = None
    """Tokens of one step of a unit that does both, of each group of its GPUs that share attention: streams and chunks
    of prompts. Left out: as the engine has them unless told."""
    max_sequences: PositiveCount | None = None
    """Requests that each group of GPUs of a unit that does both has begun at a time. Left out: as many as the capacity
    counts on where that is modelled, so that slo.tpot_ms holds; else as the engine has them unless told."""
    order: StepOrder | None = None
    """What a unit that does both computes first: decode-first, all streams and then chunks of prompts in each step;
    prefill-first, steps of prompts alone as long as any waits and fits. Left out: as the engine does."""
    ranks: Literal["measured", "exact"]
    """Whether the GPUs of a decode unit are modelled by the measured imbalance, or simulated one by one."""
    queue_mode: QueueMode
    """When a prefill pass starts: at once, after a collection window, or with a batch by queue depth."""
    window_ms: Annotated[float, Field(ge=0, le=3_600_000, allow_inf_nan=False)]
    """Collection window of mode window, ms; at most an hour."""
    depth_rules: str
    """Largest passes of mode depth, waiting:requests, ascending from 0 waiting, for example 0:4,10:16,50:32."""
    pass_tokens_per_gpu: PositiveCount
    """Maximum tokens of a prefill pass, per GPU of the unit."""
    chunk_tokens: PositiveCount
    """Maximum tokens of one prompt in a pass; the rest continues in the next."""
    queue_limit: Count
    """Requests that may wait at a prefill unit; further ones are rejected. 0 for no limit."""
    timeout_s: Annotated[float, Field(ge=1e-6, le=604_800, allow_inf_nan=False)] | None = None
    """Longest wait until prefill begins, seconds, at most a week; beyond it a request is rejected. Left out: no
    limit."""
    retries: Annotated[int, Field(ge=0, le=1000)]
    """How often a rejected request is retried; 0 for never."""
    retry_after_s: Annotated[float, Field(ge=1e-6, le=86_400, allow_inf_nan=False)]
    """Seconds between a rejection and the retry, at most a day."""
    sessions: SessionMode = "open"
    """When later turns of a session come: open, when they came in the trace; closed, after the answer to the turn
    before and the time that the user took in the trace to think, so that arrivals shift with latency."""
    hits: Literal["trace", "routed"]
    """Prefix cache hits: the trace's, or found by routing: leading blocks that the chosen prefill unit was the last to
    have, with room for all; for traces with prefix blocks."""
    warm_up_s: Annotated[int, Field(ge=1800, le=604_800)]
    """Seconds simulated before the counted window, 1800 to 604,800 (a week), so that the empty start flatters no
    result."""
    cool_down_s: WeekOfSeconds
    """Seconds simulated after the counted window, at most a week, so that its long streams end under load."""
    seed: Seed
    """Seed of random balancers."""

    @field_validator("decode_balancer")
    @classmethod
    def _without_prefixes(cls, name: BalancerName) -> BalancerName:
        if name == "prefix-aware":
            raise ValueError("decode units keep no prefixes; use two-key or another balancer")
        return name

    @field_validator("depth_rules")
    @classmethod
    def _parsed(cls, text: str) -> str:
        parse_depth_rules(text)
        return text

    @property
    def depths(self) -> tuple[tuple[int, int], ...]:
        """The depth rules, parsed: waiting requests, largest pass."""
        return parse_depth_rules(self.depth_rules)


def parse_depth_rules(text: str) -> tuple[tuple[int, int], ...]:
    """Read the rules of queue mode depth.

    Args:
        text: waiting:requests pairs, ascending from 0 waiting, for example "0:4,10:16,50:32".

    Returns:
        Pairs of the waiting requests from which a rule applies, and the requests of its largest pass.

    Raises:
        ValueError: the text is not such pairs, they do not ascend from 0, or a pass has no request.
    """
    try:
        rules = tuple((int(depth), int(batch)) for depth, batch in (part.split(":") for part in text.split(",")))
    except ValueError as error:
        raise ValueError(
            f'"{text}" is not a list of depth rules; write waiting:requests, for example 0:4,10:16,50:32'
        ) from error
    depths = [depth for depth, _ in rules]
    if depths[0] != 0 or depths != sorted(set(depths)) or min(batch for _, batch in rules) < 1:
        raise ValueError(f'depth rules "{text}" do not ascend from 0 with passes of at least 1; correct them')
    return rules


class FailureSettings(Closed):
    """How often nodes fail in a replay, and how long their unit is down; a node takes its whole unit down. Plans allow
    for the share of nodes that are down."""

    per_node_per_day: Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)] | None = None
    """Failures of a serving node per day: 24 over its MTBF in hours. Left out: none in replays."""
    repair_s: Annotated[int, Field(ge=0, le=31_536_000)]
    """Seconds, at most a year, from a failure until the unit's nodes are repaired or replaced; then the unit starts
    up."""
    nodes_down_ratio: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """Share of nodes that are down on average, 0 to 0.5, which plans allow for: nodes fail independently, and a unit
    serves while all of its nodes are up. Replays take per_node_per_day instead."""
    seed: Seed
    """Seed of the failures."""
