"""Load profiles as data: a day's totals, its hourly load, its requests, and what was published about it."""

from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from planner.settings.closed import (
    Closed,
    Instant,
    PositiveCount,
    PositiveFloat,
    PositiveNodeCount,
    PositiveTotal,
    Share,
    Total,
    valid_zone,
)
from planner.units import S_PER_HOUR


class Totals(Closed):
    """The totals of one day."""

    requests: PositiveTotal
    """Requests."""
    input_tokens: PositiveTotal
    """Input tokens, cache hits included."""
    cached_input_tokens: Total
    """Input tokens found in the KV cache; at most input_tokens."""
    output_tokens: PositiveTotal
    """Output tokens."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.cached_input_tokens > self.input_tokens:
            raise ValueError("cached_input_tokens exceeds input_tokens; cached tokens are part of the input")
        return self


class Shape(Closed):
    """Hourly load in a CSV beside the profile."""

    file: str
    """CSV with a row for each of the day's 24 hours, beside the profile."""
    time_column: str
    """Column with the hour's start, ISO-8601 with offset."""
    load_column: str
    """Column with the hour's load in any unit, above 0."""


class Lognormal(Closed):
    """A lognormal length, truncated at max; mu and sigma are of the natural logarithm of tokens."""

    mu: Annotated[float, Field(ge=-20, le=25, allow_inf_nan=False)]
    """Mean of the logarithm, -20 to 25: lengths of 2**31 have 21.5."""
    sigma: Annotated[float, Field(ge=1e-6, le=10, allow_inf_nan=False)]
    """Standard deviation of the logarithm, at most 10: one length in six is then 22,000 times the median."""
    max: Annotated[int, Field(ge=1, le=2**31 - 1)]
    """Longest length, tokens."""


ShapeParameter = Annotated[float, Field(ge=0.01, le=1e4, allow_inf_nan=False)]
"""Of a Beta distribution: from 0.01, where all values are near the ends, to 10,000, where all are alike."""


class CachedShare(Closed):
    """Beta distribution of the cached share of a follow-up's input."""

    alpha: ShapeParameter
    """First shape parameter."""
    beta: ShapeParameter
    """Second shape parameter."""


class Population(Closed):
    """The distribution of requests."""

    input: Lognormal
    """Input tokens of a request."""
    output: Lognormal
    """Output tokens of a request."""
    correlation: Annotated[float, Field(gt=-1, lt=1)]
    """Correlation of the logarithms of input and output."""
    follow_up_share: Share
    """Share of the requests that find part of their input in the KV cache."""
    cached_share: CachedShare
    """How large that part is."""
    block_tokens: PositiveCount
    """Tokens of a cache block; hits are whole blocks."""


class Published(Closed):
    """What was published about a day's outcome."""

    nodes_file: str
    """CSV with interval_start and inference_nodes, beside the profile."""
    peak_nodes: PositiveNodeCount
    """Peak nodes of inference."""
    mean_nodes: PositiveFloat
    """Mean nodes of inference."""
    cost_usd: PositiveFloat
    """Cost of inference, USD."""
    revenue_usd: PositiveFloat
    """Theoretical revenue, USD."""
    margin_ratio: Annotated[float, Field(ge=-1, le=1e6, allow_inf_nan=False)]
    """Margin over cost, a ratio."""
    cache_hit_ratio: Share
    """Share of the input tokens found in the KV cache."""
    input_tokens: PositiveTotal
    """Input tokens, cache hits included."""
    cached_input_tokens: Total
    """Input tokens found in the KV cache."""
    output_tokens: PositiveTotal
    """Output tokens."""
    kv_tokens_per_output_token: PositiveFloat
    """Mean KV length of an output token, tokens."""
    input_tokens_per_s_per_prefill_node: PositiveFloat
    """Throughput of a prefill node, cache hits included, tokens/s."""
    output_tokens_per_s_per_decode_node: PositiveFloat
    """Throughput of a decode node, tokens/s."""


class ProfileFile(Closed):
    """The TOML file of a profile."""

    name: str
    """Short name."""
    description: str
    """One line on the day that it describes."""
    source: str
    """Where it comes from."""
    licence: str
    """Licence of the numbers."""
    timezone: str
    """IANA zone of local times."""
    start: Instant
    """Start of the day, with its offset."""
    cell_s: Annotated[int, Field(ge=60, le=3600, multiple_of=60)]
    """Seconds of a cell of constant load: whole minutes that divide an hour."""
    totals: Totals
    """Totals of the day."""
    shape: Shape
    """How its load changes from hour to hour."""
    population: Population
    """What individual requests look like."""
    published: Published | None = None
    """What was published about the day's outcome; left out: nothing."""
    provenance: dict[str, str]
    """Where each value comes from, by field: "kind: source"."""

    @field_validator("timezone")
    @classmethod
    def _zone(cls, name: str) -> str:
        return valid_zone(name)

    @field_validator("cell_s")
    @classmethod
    def _divides_hour(cls, cell_s: int) -> int:
        if S_PER_HOUR % cell_s:
            raise ValueError(f"{cell_s} does not divide an hour; use 900")
        return cell_s
