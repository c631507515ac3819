"""The settings of a plan: frozen, closed models, one per stage. A misspelt field fails instead of being ignored.

The numbers of the built-in scenarios stand in `planner/catalogue/data/scenarios/*.toml`, each with its provenance;
the models hold types, limits and meanings only.
"""

import re
from datetime import datetime
from functools import cache
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AwareDatetime, Field, field_validator, model_validator

from planner.settings.closed import Closed as Closed
from planner.settings.closed import Count as Count
from planner.settings.closed import DayWindow as DayWindow
from planner.settings.closed import PositiveCount as PositiveCount
from planner.settings.closed import PositiveFloat as PositiveFloat
from planner.settings.closed import Share as Share
from planner.settings.closed import parse_day_window as parse_day_window
from planner.settings.policy import PolicySettings as PolicySettings
from planner.settings.sweep import SweepSettings as SweepSettings

WeightDtype = Literal["bf16", "fp8", "int8", "int4", "fp4"]
CacheDtype = Literal["bf16", "fp8"]
Overlap = Literal["auto", "on", "off"]


def known_zone(name: str) -> str:
    """The name, if it is an IANA time zone. Raises ValueError."""
    if name not in _zones():
        raise ValueError(f'"{name}" is not an IANA time zone; for example UTC or Asia/Shanghai')
    return name


@cache
def _zones() -> frozenset[str]:
    # looked up in thousands of files
    return frozenset(available_timezones())


class TraceSettings(Closed):
    """Which requests to plan for: a stored trace by name, or one drawn from a load profile."""

    name: str | None = None
    """A stored trace to use. Leave out to use the trace drawn from the profile and the fields below."""
    profile: str | None = None
    """Load profile that the synthetic trace is drawn from: a built-in name or the path of a TOML file."""
    seed: Count = 1
    """Seed of every random draw."""
    scale: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the requests that is stored: one over a whole number; every row stands for 1/scale requests."""
    days: PositiveCount = 1
    """Days to draw, each following the profile's daily shape."""
    demand_factor: PositiveFloat = 1.0
    """Multiplies the profile's totals: requests and tokens."""
    growth_per_day: Annotated[float, Field(gt=-1, allow_inf_nan=False)] = 0.0
    """Growth of the load from one day to the next, compounding; 0.01 is one per cent a day."""
    weekday_factors: tuple[PositiveFloat, ...] = (1.0,) * 7
    """Load factor of each local weekday, Monday first."""
    noise: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Standard deviation of the log of the load, day to day and quarter-hour to quarter-hour; 0 for none."""
    start_at: AwareDatetime | None = None
    """Draw only from this moment on; a multiple of the profile's cell (15 min), with offset."""
    end_at: AwareDatetime | None = None
    """Draw only up to this moment; a multiple of the profile's cell (15 min), with offset."""

    @field_validator("weekday_factors", mode="before")
    @classmethod
    def _split(cls, factors: object) -> object:
        return tuple(factors.split(",")) if isinstance(factors, str) else factors

    @field_validator("weekday_factors")
    @classmethod
    def _seven(cls, factors: tuple[float, ...]) -> tuple[float, ...]:
        if len(factors) != 7:
            raise ValueError(f"has {len(factors)} numbers; give seven, Monday first")
        return factors

    @field_validator("scale")
    @classmethod
    def _one_over_whole(cls, scale: float) -> float:
        weight = round(1 / scale)
        if abs(scale * weight - 1) > 1e-3:
            raise ValueError(
                f"{scale:g} is not one over a whole number; "
                f"use {1 / weight:.6g} (1/{weight}) or {1 / (weight + 1):.6g} (1/{weight + 1})"
            )
        return 1 / weight

    @model_validator(mode="after")
    def _some_trace(self) -> Self:
        if self.name is None and self.profile is None:
            raise ValueError("neither name nor profile is given; give one of them")
        if self.start_at and self.end_at and self.start_at >= self.end_at:
            raise ValueError("start_at is not before end_at; exchange them")
        return self

    @property
    def weight(self) -> int:
        """Real requests per stored row."""
        return round(1 / self.scale)


class UnitSettings(Closed):
    """One kind of deployment unit: the smallest group of nodes that serves its role."""

    nodes: PositiveCount
    """Nodes of one unit."""
    tokens_per_s_per_node: PositiveFloat
    """Capacity of one serving node: input tokens (cache hits included) for prefill, output tokens for decode."""


class UnitCounts(Closed):
    """A number of units of each role."""

    prefill: Count
    """Prefill units."""
    decode: Count
    """Decode units."""


class EngineSettings(Closed):
    """What serves, for capacities modelled from the hardware; an expert-parallel group is one deployment unit."""

    hardware: str
    """Kind of node that the model computes with: a built-in name or the path of a TOML file."""
    model: str
    """Model that is served: a built-in name or the path of a TOML file."""
    weights: WeightDtype
    """Number format of the weights."""
    kv: CacheDtype
    """Number format of the KV cache."""
    redundant_experts: Count
    """Further copies of routed experts in each unit."""
    tensor_parallel: PositiveCount
    """GPUs that share attention and dense layers."""
    rows_per_stream: Annotated[float, Field(ge=1, le=2)]
    """Tokens computed per stream and step: 2 with one draft token."""
    accepted: Annotated[float, Field(ge=1, le=2)]
    """Tokens that a stream gains per step: above 1 with a draft token."""
    overlap: Overlap
    """Two micro-batches that overlap computing and exchange: on, off, or what is faster at each batch."""
    reserve_gb: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    """Memory per GPU that is neither weights nor KV cache."""
    block_tokens: Annotated[int, Field(ge=1, le=1_000_000)]
    """Tokens of a KV page; 1 for none."""
    balancer: str
    """Who sends requests to GPUs; how far their KV is out of balance was measured for each."""
    kv_imbalance: Annotated[float, Field(ge=1, le=1000)] | None = None
    """Largest over mean of GPUs' KV, their streams then being even; left out: both as measured for the balancer."""
    expert_imbalance: Annotated[float, Field(ge=1, le=1000)]
    """Largest over mean of the tokens that GPUs' experts get."""
    dispatch_imbalance: Annotated[float, Field(ge=1, le=1000)]
    """Largest over mean of what GPUs with as many streams send; times the streams' imbalance, measured per balancer."""
    prefill_balance: Annotated[float, Field(ge=0.001, le=1)]
    """Share of the balanced prefill rate that the fleet reaches."""
    prefill_utilisation: Annotated[float, Field(ge=0.001, le=1)]
    """Free factor: the use of the modelled prefill rate that plans count on. A replay takes the whole rate."""
    calibration: str | None = None
    """Overheads and validity range fitted to own measurements: the path of what `planner capacity fit` wrote."""


class FleetSettings(Closed):
    """The nodes owned, how they form units, and how fast units come and go."""

    nodes: PositiveCount
    """Nodes of the whole fleet, serving and training."""
    node_type: str
    """Kind of node, named in reports."""
    gpus_per_node: PositiveCount
    """GPUs of one node, for prices per GPU-hour."""
    capacity: Literal["observed", "modelled"]
    """Where unit capacities come from: observed, the throughput in the fields below; modelled, from the hardware up."""
    prefill: UnitSettings
    """The prefill unit."""
    decode: UnitSettings
    """The decode unit."""
    base: UnitCounts
    """Units that a serving fleet cannot do without."""
    step: UnitCounts
    """Units that scale together: one scaling step."""
    start_up_s: Count
    """Seconds from joining inference until a unit serves: weights, warm-up."""
    drain_deadline_s: Count
    """Seconds that a leaving unit may take to finish its streams before they are handed over."""
    engine: EngineSettings
    """What serves, where capacity is modelled."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        base = self.base.prefill * self.prefill.nodes + self.base.decode * self.decode.nodes
        if self.base.prefill < 1 or self.base.decode < 1:
            raise ValueError("base needs at least one prefill and one decode unit; raise base.prefill or base.decode")
        if base > self.nodes:
            raise ValueError(
                f"the base units need {base} nodes and the fleet has {self.nodes}; "
                "raise nodes, or lower base.prefill or base.decode"
            )
        if self.step.prefill + self.step.decode < 1:
            raise ValueError("step holds no unit; give step.prefill or step.decode at least 1")
        return self


BalancerName = Literal[
    "random", "round-robin", "join-shortest-queue", "power-of-two", "least-kv", "two-key", "prefix-aware"
]


class ReplaySettings(Closed):
    """How every request is replayed: balancers, queues, and what is simulated around the counted window."""

    prefill_balancer: BalancerName
    """Who sends requests to prefill units."""
    decode_balancer: BalancerName
    """Who sends requests to decode units; they keep no prefixes, so not prefix-aware."""
    ranks: Literal["measured", "exact"]
    """Whether the GPUs of a decode unit enter by the measured imbalance, or are kept one by one."""
    queue_mode: Literal["at-once", "window", "depth"]
    """When a prefill pass starts: at once, after a collection window, or with a batch by queue depth."""
    window_ms: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    """Collection window of mode window."""
    depth_rules: str
    """Largest passes of mode depth, waiting:requests, ascending from 0 waiting, for example 0:4,10:16,50:32."""
    pass_tokens_per_gpu: PositiveCount
    """Tokens of a prefill pass at most, per GPU of the unit."""
    chunk_tokens: PositiveCount
    """Tokens of one prompt in a pass at most; the rest goes on in the next."""
    queue_limit: Count
    """Requests that may wait at a prefill unit; further ones are rejected. 0 for no limit."""
    timeout_s: PositiveFloat | None = None
    """Longest wait until prefill begins; beyond it a request is rejected. Left out: none."""
    retries: Annotated[int, Field(ge=0, le=1000)]
    """How often a rejected request comes again; 0 for never."""
    retry_after_s: PositiveFloat
    """How long after it was rejected it comes again."""
    hits: Literal["trace", "routed"]
    """Prefix cache hits: the trace's, or found by routing: leading blocks that the chosen prefill unit was the last to
    have, with room for all; for traces with prefix blocks."""
    warm_up_s: Annotated[int, Field(ge=1800)]
    """Simulated before the counted window, at least half an hour, so that an empty start flatters nothing."""
    cool_down_s: Count
    """Simulated after the counted window, so that its long streams end under load."""
    seed: Count
    """Seed of random balancers."""

    @field_validator("decode_balancer")
    @classmethod
    def _without_prefixes(cls, name: BalancerName) -> BalancerName:
        if name == "prefix-aware":
            raise ValueError("decode units keep no prefixes to be aware of; take two-key or another balancer")
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
    """Pairs of waiting requests and largest pass from "0:4,10:16". Raises ValueError."""
    try:
        rules = tuple((int(depth), int(batch)) for depth, batch in (part.split(":") for part in text.split(",")))
    except ValueError as error:
        raise ValueError(f'"{text}" are no depth rules; write waiting:requests, for example 0:4,10:16,50:32') from error
    depths = [depth for depth, _ in rules]
    if depths[0] != 0 or depths != sorted(set(depths)) or min(batch for _, batch in rules) < 1:
        raise ValueError(f'depth rules "{text}" do not ascend from 0 with passes of at least 1; correct them')
    return rules


class FailureSettings(Closed):
    """How often nodes fail in a replay, and how long their unit is gone; a node takes its whole unit down."""

    per_node_per_day: Annotated[float, Field(ge=0, le=1000)] | None = None
    """Failures of a serving node a day; 24 over its MTBF in hours. Left out: none in replays."""
    repair_s: Count
    """Seconds from a failure until the unit's nodes are whole again, repaired or replaced; then the unit starts up."""
    seed: Count
    """Seed of the failures."""


class ForecastSettings(Closed):
    """How demand is forecast from the intervals before."""

    method: Literal["seasonal-naive", "day-of-week", "holt-winters", "statsforecast-mstl"]
    """Forecaster; statsforecast-mstl needs the extra `forecast`."""
    season: Literal["day", "week"]
    """What repeats: a day or a week; day-of-week knows both."""
    horizon_s: Annotated[int, Field(ge=60, le=1_209_600)]
    """How far forecasts look ahead, at most two weeks; rounded up to whole intervals."""


Placement = Literal["first-fit", "deadline-first", "value-first"]


class TrainingSettings(Closed):
    """What happens to nodes that inference does not hold."""

    lend: bool
    """Whether free nodes train; otherwise they are idle."""
    restore_s: Count
    """Seconds until a training job that got nodes has loaded its checkpoint and makes progress again."""
    min_window_s: Count
    """Nodes that are free for a shorter time stay idle."""
    max_nodes: Count | None = None
    """Most nodes that training can use at a time; left out: no limit."""
    jobs: str | None = None
    """Jobs to place on the lent nodes: the name of a built-in list or the path of a TOML file; left out: none."""
    placement: Placement = "first-fit"
    """Which waiting job starts first: that which could start first (then as listed), that with the earliest deadline,
    or that of the most value per node-hour."""


class EconomicsSettings(Closed):
    """What a GPU costs and what tokens earn."""

    gpu_rates: str
    """Sheet of GPU rates per hour: a built-in name or the path of a TOML file."""
    gpu_rate: str
    """Which rate of the sheet prices the fleet: for example rental, owned, reserved, on-demand or spot."""
    price_sheet: str
    """Token prices behind the theoretical revenue: a built-in name or the path of a TOML file."""
    other_price_sheet: str
    """Token prices of the traffic that other_share names."""
    other_share: Share
    """Share of the traffic billed by other_price_sheet."""
    off_peak: bool
    """Whether the sheets' off-peak discounts apply to the expected revenue."""
    unpaid_share: Share
    """Share of the traffic that nobody pays for: free web and app use."""
    training_rate_ratio: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    """What training is charged per node-hour, over what the node-hour costs."""
    budget_usd: PositiveFloat | None = None
    """Most that inference may cost over the plan; above it the plan exits 3."""


class SloSettings(Closed):
    """Limits a plan has to hold; a plan that misses one exits 3."""

    max_shortfall_ratio: Share
    """Most tokens demanded beyond the capacity, as a share of all tokens."""
    ttft_ms: PositiveFloat
    """Target time to the first token, queueing included; attainment is reported by replays."""
    tpot_ms: PositiveFloat
    """Target time per output token; modelled decode capacity is that of the largest batch that meets it."""
    min_attainment: Share | None = None
    """Least share of requests within both targets; a replay below it exits 3. Left out: none is asked for."""


_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./:@-]*")


class ExportSettings(Closed):
    """What runs the cluster: the workloads behind the units, and how a schedule reaches them."""

    namespace: str
    """Kubernetes namespace of the workloads; with aws_service ecs, the cluster."""
    prefill_workload: str
    """Workload whose replicas are prefill units: its name in Kubernetes or ECS, or the EC2 Auto Scaling group."""
    decode_workload: str
    """Workload whose replicas are decode units: its name in Kubernetes or ECS, or the EC2 Auto Scaling group."""
    workload_kind: Literal["Deployment", "StatefulSet", "LeaderWorkerSet"]
    """Kind of the workloads in Kubernetes; a unit of several nodes is one replica of a LeaderWorkerSet."""
    cronjob_action: Literal["scale", "hpa"]
    """What CronJobs set: the replicas of the workloads, or minReplicas of the HPAs of the same names."""
    kubectl_image: str
    """Container image with kubectl, for CronJobs; within one minor version of the cluster."""
    aws_service: Literal["ec2", "ecs"]
    """Whose scheduled actions: EC2 Auto Scaling groups of nodes, or ECS services whose tasks are units."""
    slurm_partition: str
    """Slurm partition that training reserves nodes of."""
    slurm_account: str
    """Slurm account that may use the reserved nodes."""

    @field_validator("namespace", "prefill_workload", "decode_workload")
    @classmethod
    def _label(cls, name: str) -> str:
        if not _LABEL.fullmatch(name):
            raise ValueError(
                f'"{name}" is no Kubernetes name (DNS-1123); write 1 to 63 of a-z, 0-9 and "-", '
                "with a letter or digit first and last"
            )
        return name

    @field_validator("slurm_partition", "slurm_account")
    @classmethod
    def _word(cls, name: str) -> str:
        if not _WORD.fullmatch(name):
            raise ValueError(f'"{name}" is no Slurm name; write letters, digits, "_", "." and "-"')
        return name

    @field_validator("kubectl_image")
    @classmethod
    def _image(cls, name: str) -> str:
        if not _IMAGE.fullmatch(name):
            raise ValueError(f'"{name}" is no container image; write it like registry.k8s.io/kubectl:v1.36.0')
        return name

    @model_validator(mode="after")
    def _two_workloads(self) -> Self:
        if self.prefill_workload == self.decode_workload:
            raise ValueError(f'both workloads are "{self.prefill_workload}"; give each role its own')
        return self


class Scenario(Closed):
    """Everything a plan depends on besides the stored trace."""

    name: str
    """Short name of the scenario."""
    description: str
    """One line on what it describes."""
    timezone: str
    """IANA zone of local times: the day window, timetables, hourly tables."""
    what_if: str | None = None
    """Claim whose settings are part of the scenario: the name of a what-if preset, or the path of one."""
    interval_s: Annotated[int, Field(ge=60, le=3600, multiple_of=60)]
    """Length of a planning interval: whole minutes from 1 to 60."""
    trace: TraceSettings
    policy: PolicySettings
    fleet: FleetSettings
    forecast: ForecastSettings
    replay: ReplaySettings
    failures: FailureSettings
    training: TrainingSettings
    economics: EconomicsSettings
    slo: SloSettings
    export: ExportSettings
    sweep: SweepSettings
    provenance: dict[str, str] = Field(default_factory=dict)
    """Where each value comes from, "kind: source"; kinds are published, computed, fitted, inferred, assumed, set."""

    @field_validator("timezone")
    @classmethod
    def _zone(cls, name: str) -> str:
        return known_zone(name)

    @model_validator(mode="after")
    def _floor_fits(self) -> Self:
        if self.policy.floor_nodes > self.fleet.nodes:
            raise ValueError(
                f"policy.floor_nodes is {self.policy.floor_nodes} and fleet.nodes {self.fleet.nodes}; "
                "lower the floor or raise the fleet"
            )
        return self

    @property
    def zone(self) -> ZoneInfo:
        """The time zone of local times."""
        return ZoneInfo(self.timezone)

    def local(self, moment: datetime) -> datetime:
        """A moment in the scenario's zone."""
        return moment.astimezone(self.zone)
