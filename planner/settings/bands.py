"""How far measured times lie from modelled ones: 90 % bands by what is known of a set-up, as data."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from planner.settings.closed import Closed, PositiveCount

Width = Annotated[float, Field(gt=0, le=10, allow_inf_nan=False)]
Wider = Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)]

Metric = Literal["tpot", "ttft", "throughput", "prefill"]
"""Time per output token; time to the first token; output tokens per second at full load; time to compute prompts."""
ModelKind = Literal["dense", "experts", "recurrent"]


class MetricWidths(Closed):
    """Logarithms of measured over modelled times that nine in ten do not exceed, of dense models on known set-ups."""

    below: Width
    """How far below the model; for throughput that of the time per token."""
    above: Width
    """How far above."""


class WiderBands(Closed):
    """What widens a band: logarithms that are added to that of its width."""

    seldom: Wider
    """Where the GPU, the number format, the kind of model or the engine has few measured points."""
    experts: Wider
    """Of times per output token: where the model has experts."""
    prompts: Wider
    """Of times per output token: for each unit of the share that prompts have in them beyond `prompts_from`."""
    prompts_from: Annotated[float, Field(ge=0, le=1)]
    """Share of prompts from which a band widens."""


class KnownParts(Closed):
    """What has many measured points; everything else is seldom."""

    gpus: tuple[str, ...]
    """Names of hardware."""
    weights: tuple[str, ...]
    """Number formats of weights."""
    engines: tuple[str, ...]
    """Names of engines."""
    models: tuple[ModelKind, ...]
    """Kinds of models."""


class OwnPoints(Closed):
    """Widths of bands where a set-up's own points were fitted."""

    points: tuple[PositiveCount, ...]
    """How many points, ascending."""
    width: tuple[Width, ...]
    """Logarithms, below and above alike, of the same parallelism."""
    carried_over: tuple[Width, ...]
    """The same where the calibration is carried over to another parallelism."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if not self.points or list(self.points) != sorted(set(self.points)):
            raise ValueError("points must be ascending numbers; write each once")
        if not len(self.points) == len(self.width) == len(self.carried_over):
            raise ValueError("has not as many widths as points; write one for each")
        return self


class BandsFile(Closed):
    """90 % bands of modelled times."""

    tpot: MetricWidths
    """Of the time per output token."""
    ttft: MetricWidths
    """Of the time to the first token."""
    throughput: MetricWidths
    """Of output tokens per second at full load, as times."""
    prefill: MetricWidths
    """Of the time to compute prompts."""
    wider: WiderBands
    """What widens these."""
    known: KnownParts
    """What is known well."""
    own: OwnPoints
    """Bands where own points were fitted."""
    provenance: dict[str, str]
    """Where each table comes from, "kind: source"."""
