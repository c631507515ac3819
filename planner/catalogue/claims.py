"""What-if presets: claims as files, with the settings that they change in a scenario and the numbers they state."""

from typing import Annotated, Self

from pydantic import Field, TypeAdapter, ValidationError, field_validator, model_validator

from planner.catalogue.fields import field_paths
from planner.catalogue.read import describe, find, names, read_toml
from planner.errors import UsageError
from planner.settings.closed import Closed, Count, PositiveCount

Value = bool | int | float | str
Number = Annotated[float, Field(ge=-1e18, le=1e18, allow_inf_nan=False)]

_FOLDER = "what_if"


class QueueStep(Closed):
    """A batch size for queues of at least some length."""

    from_depth: Count
    """Waiting requests from which it applies."""
    batch: PositiveCount
    """Requests in a batch."""


class Overlay(Closed):
    """A claim: its words and numbers, and what it sets in a scenario."""

    name: str
    """Short name."""
    title: str
    """The claim in a few words."""
    claim: str
    """What was said, in our words."""
    source: str
    """Who said it."""
    overrides: dict[str, Value] = Field(alias="set")
    """Values of scenario fields by dotted path; empty where the claim concerns nothing in a scenario."""
    figures: dict[str, Number] = Field(default_factory=dict)
    """The numbers that the finding is computed from, with names that end in their units."""
    pricing_rule: str | None = None
    """Rule of dynamic prices that the claim is about: a built-in name or a path."""
    queue_rules: tuple[QueueStep, ...] = ()
    """Batches by queue length that the claim is about."""
    provenance: dict[str, str] = Field(default_factory=dict)
    """Where figures come from that are not the claim's own, "kind: source"."""

    @field_validator("overrides")
    @classmethod
    def _known(cls, overrides: dict[str, Value]) -> dict[str, Value]:
        unknown = sorted(set(overrides) - set(field_paths()))
        if unknown:
            raise ValueError(f"{', '.join(unknown)}: not a field of a scenario; correct the path")
        return overrides

    @model_validator(mode="after")
    def _about_figures(self) -> Self:
        unknown = sorted(set(self.provenance) - set(self.figures))
        if unknown:
            raise ValueError(f"provenance names {', '.join(unknown)}, which is not a figure; correct the name")
        return self


def overlay_names() -> list[str]:
    """Names of the built-in presets."""
    return names(_FOLDER)


def overlay(name: str) -> Overlay:
    """A preset by built-in name or path. Raises UsageError."""
    path = find(_FOLDER, name)
    try:
        return TypeAdapter(Overlay).validate_python(read_toml(path))
    except ValidationError as error:
        raise UsageError(f"{path}: {'; '.join(describe(error))}") from error
