"""Models as documents: what their dimensions come to."""

from dataclasses import dataclass

from planner.core.fleet.shapes import (
    ModelParts,
    active_parameters,
    kv_bytes_per_token,
    parts,
    state_bytes_per_stream,
    total_parameters,
    weight_bytes,
    window_bytes_per_token_and_layer,
)
from planner.documents import Document
from planner.settings.closed import WeightDtype
from planner.settings.models import Model


@dataclass(frozen=True, kw_only=True)
class ModelEntry(Document):
    """A built-in model."""

    name: str
    description: str
    parameters: int
    """Weights, norms left out."""
    active_parameters: int
    """Weights that one token uses, the embedding table left out."""
    weight_dtype: WeightDtype
    """Number format that the weights are published in."""
    context_tokens: int | None
    """Longest request that it takes; null: no limit is known."""


@dataclass(frozen=True, kw_only=True)
class ModelDescription(Document):
    """A model and what its dimensions come to."""

    parameters: int
    """Weights, norms left out."""
    active_parameters: int
    """Weights that one token uses, the embedding table left out."""
    parts: ModelParts
    weights_gb: float
    """One copy of all weights as published, 10^9 bytes."""
    kv_bytes_per_token: int
    """KV cache of one more token of a long context in bf16, bytes."""
    window_bytes: int
    """Most that the layers with a window hold of a stream in bf16, bytes."""
    state_bytes: int
    """State of recurrent layers that a stream holds, bytes."""
    model: Model
    """Its settings, as in its TOML file."""


@dataclass(frozen=True, kw_only=True)
class AddedModel(ModelDescription):
    """A model that was made of a configuration file."""

    file: str
    """The TOML file that was written."""
    notes: tuple[str, ...]
    """What was assumed in reading it."""


def model_entry(model: Model) -> ModelEntry:
    """A model in a list."""
    return ModelEntry(
        name=model.name,
        description=model.description,
        parameters=total_parameters(model),
        active_parameters=active_parameters(model),
        weight_dtype=model.weight_dtype,
        context_tokens=model.context_tokens,
    )


def describe_model(model: Model) -> ModelDescription:
    """What a model's dimensions come to."""
    windows = model.window.layers * model.window.tokens if model.window else 0
    return ModelDescription(
        parameters=total_parameters(model),
        active_parameters=active_parameters(model),
        parts=parts(model),
        weights_gb=weight_bytes(model, model.weight_dtype) / 1e9,
        kv_bytes_per_token=kv_bytes_per_token(model, "bf16"),
        window_bytes=windows * window_bytes_per_token_and_layer(model, "bf16"),
        state_bytes=state_bytes_per_stream(model),
        model=model,
    )


def added_model(model: Model, *, file: str, notes: tuple[str, ...]) -> AddedModel:
    """A model that was written into a file."""
    described = describe_model(model)
    return AddedModel(
        parameters=described.parameters,
        active_parameters=described.active_parameters,
        parts=described.parts,
        weights_gb=described.weights_gb,
        kv_bytes_per_token=described.kv_bytes_per_token,
        window_bytes=described.window_bytes,
        state_bytes=described.state_bytes,
        model=model,
        file=file,
        notes=notes,
    )
