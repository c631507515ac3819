"""Serving engines as data: what a step costs beside its kernels, how prompts share steps, and limits."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from planner.settings.closed import Closed, PositiveCount

Time = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
Factor = Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)]
PositiveFactor = Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)]

KernelSource = Literal["curves", "shares"]
PromptPlace = Literal["mixed", "between"]
ExpertSplit = Literal["tensor", "expert"]


class EngineOverheads(Closed):
    """Time of a step that no kernel accounts for, microseconds."""

    layer_us: Time
    """Per layer (and micro-batch): small kernels, and launching all of them."""
    row_us: Time = 0.0
    """Per layer and row."""
    quantised_us: Time = 0.0
    """Per layer whose products take activations in 8 bits or fewer: quantising them."""
    norm_us: Time = 0.0
    """Per layer that normalises queries and keys."""
    experts_us: Time = 0.0
    """Per layer with experts: choosing them, and sorting tokens by them."""
    prompt_layer_us: Time = 0.0
    """Per layer of a step with prompts in it: kernels are launched one by one, as no recorded graph fits."""
    collective_us: Time = 0.0
    """Per exchange between GPUs, beside what was measured of it alone."""
    step_us: Time
    """Per step: scheduling and sampling."""
    stream_us: Time = 0.0
    """Per step and stream of a group of GPUs that share attention: sampling and detokenising."""
    prompt_us: Time = 0.0
    """Per step with prompts in it: admitting them, and what is not recorded for such steps."""


class EngineFactors(Closed):
    """Times of kernels inside the engine over what was measured of them alone."""

    products: PositiveFactor = 1.0
    """Matrix products."""
    experts: PositiveFactor = 1.0
    """Routed experts of decode steps."""
    attention: PositiveFactor = 1.0
    """Attention of decode steps."""
    waiting_groups: Factor = 0.0
    """Longer kernels where groups of GPUs wait for each other at experts that they share, as a share for each doubling
    of the groups."""
    all_reduce: PositiveFactor = 1.0
    """Exchange between GPUs that share attention or experts."""
    prompt_experts: PositiveFactor = 1.0
    """Routed experts for the tokens of prompts."""
    prompt_attention: PositiveFactor = 1.0
    """Attention of prompts."""


class EnginePrompts(Closed):
    """How prompts share steps with streams, and what a first token takes."""

    place: PromptPlace
    """mixed: chunks of prompts in the steps of streams; between: in steps of their own, for which streams wait."""
    interleave: Factor
    """Time that a stream waits for prompts of others in its lifetime over what they take: 1 where they come evenly, a
    half where they come all at once."""
    first_token_us: Time = 0.0
    """Least time to a first token: API, tokeniser, first scheduling."""
    token_us: Time = 0.0
    """Per prompt token, before it is computed: tokeniser, transport."""
    alone: Factor = 1.0
    """Time of a prompt's own steps over that of their kernels and overheads, in the time to its first token."""
    alone_layer_us: Time = 0.0
    """Per layer of a prompt's own steps, in the time to its first token: kernels that nothing was recorded for."""
    alone_experts_us: Time = 0.0
    """The same per layer with experts."""
    queue: Factor = 0.0
    """Of the prompts of other streams, the share that is waited for in front where steps are full of prompts."""
    full_load: PositiveFactor = 1.0
    """Time that prompts take at full load, where steps are never quite full of them, over that of full steps."""
    step: Factor = 0.0
    """Decode steps that a prompt waits for before it begins, and its first token after it ends."""


class EngineLimits(Closed):
    """What an engine takes at a time, unless it is told otherwise."""

    max_batched_tokens: PositiveCount
    """Tokens of one step of a group of GPUs that share attention: rows of streams and chunks of prompts."""
    max_sequences: PositiveCount
    """Streams of a group of GPUs that share attention."""
    memory_share: Annotated[float, Field(gt=0, le=1)]
    """Share of a GPU's memory that the engine takes for weights, KV cache and itself."""
    expert_split: ExpertSplit
    """How experts are split over GPUs unless told: every expert over all of them, or whole experts to each."""

    def left_gb(self, memory_gb: float) -> float:
        """What the engine leaves of a GPU's memory, GB."""
        return (1 - self.memory_share) * memory_gb


class EngineProfile(Closed):
    """One serving engine."""

    name: str
    """Short name."""
    title: str
    """The engine as it is called."""
    version: str
    """Versions that the values were fitted or measured on."""
    kernels: KernelSource
    """curves: measured kernels of the GPU by size; shares: one share of each peak ([kernels] of the GPU)."""
    dispatch: bool
    """Whether tokens travel to experts on other GPUs by kernels of their own also inside a group that shares attention;
    else what experts give is added up there."""
    overheads: EngineOverheads
    """Time that no kernel accounts for."""
    factors: EngineFactors = Field(default_factory=EngineFactors)
    """Times of kernels over what was measured of them alone."""
    prompts: EnginePrompts
    """How prompts share steps with streams."""
    limits: EngineLimits
    """What it takes at a time."""
    provenance: dict[str, str]
    """Where each value comes from, by field: "kind: source"."""

    @model_validator(mode="after")
    def _provenance(self) -> Self:
        tables = ("overheads", "factors", "prompts", "limits")
        known = {f"{table}.{name}" for table in tables for name in type(getattr(self, table)).model_fields}
        unknown = sorted(set(self.provenance) - known - set(tables) - {"kernels", "dispatch"})
        if unknown:
            raise ValueError(f"provenance names {', '.join(unknown)}, which is not a value here; correct the name")
        silent = sorted(table for table in tables if not any(key.startswith(table) for key in self.provenance))
        if silent:
            raise ValueError(f"provenance says nothing of {', '.join(silent)}; add it")
        return self
