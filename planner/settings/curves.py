"""What kernels were measured to reach on a GPU, by size and number format: shares of a roofline, and times."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from planner.settings.closed import Closed, PositiveFloat, WeightDtype

RooflineShare = Annotated[float, Field(gt=0, le=1)]
Microseconds = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]


def check_ascending(**values: tuple[float, ...]) -> None:
    """Refuses figures between which nothing can be interpolated.

    Args:
        values: by the name of their field.

    Raises:
        ValueError: some do not ascend.
    """
    for name, each in values.items():
        if not each or list(each) != sorted(set(each)):
            raise ValueError(f"{name} must ascend, with one value or more")


class ProductCurves(Closed):
    """Matrix products: the share of their roofline that kernels reach, by bytes of weights and by rows.

    The roofline is the time to read the weights at the memory's bandwidth, or to compute the rows at the peak of the
    number format, whichever is longer. A format without a peak is weight-only: it is computed in bf16.
    """

    rows: tuple[PositiveFloat, ...]
    """Rows of a product; of experts, the mean rows of those that get any. Ascending."""
    weight_mb: tuple[PositiveFloat, ...]
    """Weights that are read, MB (a million bytes): of a product, or of all experts that get rows. Ascending."""
    share: dict[WeightDtype, tuple[tuple[RooflineShare, ...], ...]]
    """Share of the roofline by number format: a row for each of weight_mb, a column for each of rows."""

    @model_validator(mode="after")
    def _rectangular(self) -> Self:
        for name in ("rows", "weight_mb"):
            values = getattr(self, name)
            if len(values) < 2 or list(values) != sorted(set(values)):
                raise ValueError(f"{name} must ascend, with two or more values")
        for dtype, table in self.share.items():
            if len(table) != len(self.weight_mb) or any(len(line) != len(self.rows) for line in table):
                raise ValueError(f"share.{dtype} must have a row for each of weight_mb and a column for each of rows")
        if "bf16" not in self.share:
            raise ValueError("share has no bf16; add it")
        return self


class AttentionCurve(Closed):
    """Attention of a decode step in one layer: at least floor_us, else start_us and the KV at a share of the peak.

    Of sequences of 256 tokens or more; many shorter ones take longer than their bytes tell.
    """

    floor_us: Microseconds
    """The least time of a call, microseconds."""
    start_us: Microseconds
    """Time of a call before it reads at full speed, microseconds."""
    share: RooflineShare
    """Share of the memory's bandwidth at which KV is read."""
    compute_share: RooflineShare | None = None
    """Share of the bf16 peak that its arithmetic reaches, for latent attention; left out: all of it."""


class PromptAttention(Closed):
    """Attention of prompts: the share of the bf16 peak that its arithmetic reaches, by the prompt's length."""

    tokens: tuple[PositiveFloat, ...]
    """Length of the prompt. Ascending."""
    share: tuple[RooflineShare, ...]
    """Share of the bf16 peak, one for each of tokens."""

    @model_validator(mode="after")
    def _one_for_each(self) -> Self:
        check_ascending(tokens=self.tokens)
        if len(self.share) != len(self.tokens):
            raise ValueError("share must have a value for each of tokens")
        return self


class AllReduceCurve(Closed):
    """Adding up what GPUs of a tensor-parallel group hold: time by the bytes that one GPU holds."""

    gpus: tuple[int, ...]
    """Sizes of the group. Ascending."""
    kilobytes: tuple[PositiveFloat, ...]
    """Bytes of one GPU, thousands. Ascending."""
    us: tuple[tuple[Microseconds, ...], ...]
    """Microseconds: a row for each of gpus, a column for each of kilobytes."""

    @model_validator(mode="after")
    def _rectangular(self) -> Self:
        check_ascending(gpus=self.gpus, kilobytes=self.kilobytes)
        if len(self.us) != len(self.gpus) or any(len(line) != len(self.kilobytes) for line in self.us):
            raise ValueError("us must have a row for each of gpus and a column for each of kilobytes")
        return self


class ExchangeCurve(Closed):
    """Tokens that travel to experts on other GPUs and back over links: a start, and bytes of one GPU at a rate.

    Bytes of one GPU are those of all copies of its tokens, those for its own experts too.
    """

    dispatch_start_us: Microseconds
    """Microseconds before tokens travel at full speed."""
    dispatch_gb_s: PositiveFloat
    """Rate of the way there, GB/s per GPU."""
    combine_start_us: Microseconds
    """Microseconds before results travel at full speed."""
    combine_gb_s: PositiveFloat
    """Rate of the way back, GB/s per GPU."""


class Curves(Closed):
    """What kernels were measured to reach on one GPU."""

    source: str
    """Where they were measured, "kind: source", with versions."""
    products: ProductCurves
    """Matrix products of attention and dense feed-forwards."""
    experts: ProductCurves
    """Fused products of all routed experts of a layer on one GPU."""
    attention: dict[str, AttentionCurve]
    """Attention of decode steps by the number format of the cache; bf16 is required."""
    latent_attention: dict[str, AttentionCurve]
    """The same of latent attention."""
    prompt_attention: PromptAttention
    """Attention of prompts."""
    all_reduce: AllReduceCurve | None = None
    """All-reduce over the node's links; left out: not measured."""
    exchange: ExchangeCurve | None = None
    """Dispatch and combine between GPUs of an expert-parallel group; left out: not measured."""

    @model_validator(mode="after")
    def _with_bf16(self) -> Self:
        for name in ("attention", "latent_attention"):
            if "bf16" not in getattr(self, name):
                raise ValueError(f"{name} has no bf16; add it")
        return self
