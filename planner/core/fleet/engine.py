"""How a model runs on a kind of node: number formats, parallelism, overheads; and what fits its memory. Pure."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from planner.core.fleet.shapes import (
    HEAD_BYTES,
    WEIGHT_BYTES,
    attention_shape,
    dense_dtype,
    expert_weights,
    kv_bytes_of_stream,
    latent_weights,
    mixing_dtype,
    parts,
    shared_weights,
    state_bytes_per_stream,
    window_shape,
)
from planner.core.fleet.speeds import Speeds, speeds_of
from planner.documents import Document
from planner.errors import CannotServe, UsageError
from planner.settings.closed import CacheDtype, WeightDtype
from planner.settings.engines import EngineProfile
from planner.settings.fleet import Overlap
from planner.settings.hardware import Hardware
from planner.settings.models import Model
from planner.units import Floats

MOST_ROWS = 16.0
"""Assumed: a draft of 15 tokens; more are not accepted."""
RESERVE_GB = 10.0
"""Activations, graphs, communication buffers, router and norms, per GPU. Assumed."""
GB = 1e9


@dataclass(frozen=True)
class Scale(Document):
    """What was fitted to measurements of one set-up: its times over those of the engine's profile, by part.

    kernels: of all kernels, as they act in steps of streams. prompts: of prompts in them or beside them, on top of
    that. overheads: of the time that no kernel accounts for.
    """

    kernels: float = 1.0
    prompts: float = 1.0
    overheads: float = 1.0


@dataclass(frozen=True)
class Validity(Document):
    """Where the model is valid: streams per GPU and KV length. The defaults are a few times the published points."""

    most_streams: float = 1024.0
    most_kv_tokens: float = 131_072.0
    least_streams: float = 0.0
    least_kv_tokens: float = 0.0


@dataclass(frozen=True)
class KvLine:
    """KV cache of a stream as a line over its tokens of context, bytes."""

    per_stream: float
    per_token: float

    def tokens_in(self, room: float) -> float:
        """Tokens of the one stream that fills a room of so many bytes; infinite where it never does."""
        left = room - self.per_stream
        if self.per_token == 0:
            return np.inf if left >= 0 else 0.0
        return max(left / self.per_token, 0.0)


@dataclass(frozen=True, kw_only=True)
class Engine:
    """A model on a kind of node, served by an engine. Raises UsageError where the parts do not fit together.

    tensor_parallel: GPUs that share attention and dense layers: a group. expert_parallel: GPUs, or groups of
    expert_tensor GPUs, that share one copy of the routed experts. expert_tensor: GPUs that share every expert.
    redundant_experts: redundant copies among experts. pipeline_parallel: groups that hold the layers one after the
    other. rows_per_stream: tokens computed per stream and step, 1 and any draft tokens; accepted: tokens that a stream
    gains per step. overlap: two micro-batches, one computing while the other's tokens travel; auto takes whichever is
    faster at the batch. block_tokens: of a KV page; 1 for none. scale: fitted to measurements of this very set-up.
    """

    model: Model
    hardware: Hardware
    weights: WeightDtype
    profile: EngineProfile
    kv: CacheDtype = "bf16"
    expert_parallel: int = 1
    expert_tensor: int = 1
    redundant_experts: int = 0
    tensor_parallel: int = 1
    pipeline_parallel: int = 1
    rows_per_stream: float = 1.0
    accepted: float = 1.0
    overlap: Overlap = "auto"
    reserve_gb: float = RESERVE_GB
    block_tokens: int = 1
    scale: Scale = field(default_factory=Scale)
    validity: Validity = field(default_factory=Validity)

    def __post_init__(self) -> None:
        problems = [*self._parallel_problems(), *self._number_problems()]
        if problems:
            raise UsageError(f"{self.model.name} on {self.hardware.name}: {'; '.join(problems)}")

    def _parallel_problems(self) -> list[str]:
        experts, ep, tp = self.model.experts, self.expert_parallel, self.tensor_parallel
        sizes = (ep, tp, self.expert_tensor, self.pipeline_parallel)
        if min(sizes) < 1 or self.redundant_experts < 0:
            return [
                "expert_parallel, expert_tensor, tensor_parallel and pipeline_parallel must be at least 1, "
                "redundant_experts at least 0"
            ]
        problems = []
        if experts is None and (ep > 1 or self.expert_tensor > 1 or self.redundant_experts):
            problems.append("the model is dense; set expert_parallel and expert_tensor to 1 and redundant_experts to 0")
        if experts and (experts.routed + self.redundant_experts) % ep:
            slots = experts.routed + self.redundant_experts
            problems.append(
                f"EP{ep} does not divide {slots} expert copies, {self.redundant_experts} of them redundant; "
                f"use {-slots % ep} more redundant experts, or another EP size"
            )
        if experts and experts.width % self.expert_tensor:
            problems.append(
                f"expert_tensor {self.expert_tensor} does not divide the width {experts.width} of an expert; use a "
                "divisor of it"
            )
        problems += self._tensor_problems()
        if self.pipeline_parallel > self.model.layers:
            problems.append(f"{self.pipeline_parallel} pipeline stages for {self.model.layers} layers; use fewer")
        return problems

    def _tensor_problems(self) -> list[str]:
        """Why heads, or linked GPUs, cannot be shared out over a tensor-parallel group."""
        model, tp, near = self.model, self.tensor_parallel, self.hardware.nvlink_gpus
        full, window, recurrent = attention_shape(model), window_shape(model), model.recurrent
        problems = []
        if full.heads % tp or (near % tp and tp % near):
            problems.append(
                f"TP{tp} does not divide {full.heads} heads and {near} linked GPUs; use a divisor of both, or whole "
                "nodes"
            )
        others = {
            "heads of layers with a window": window.heads if window else 0,
            "heads of recurrent layers": (recurrent.heads or 0) if recurrent else 0,
        }
        problems += [
            f"TP{tp} does not divide {heads} {kind}; use a divisor" for kind, heads in others.items() if heads % tp
        ]
        # heads of keys and values are split, or each is held by as many GPUs
        for kind, shape in (("", full), (" of layers with a window", window)):
            if shape and shape.kv_heads % tp and tp % shape.kv_heads:
                problems.append(
                    f"TP{tp} neither divides {shape.kv_heads} heads of keys and values{kind} nor is a multiple of "
                    "them; use one that does"
                )
        return problems

    def _number_problems(self) -> list[str]:
        problems = []
        if not 1 <= self.rows_per_stream <= MOST_ROWS or not 1 <= self.accepted <= self.rows_per_stream:
            problems.append(f"rows_per_stream must be from 1 to {MOST_ROWS:g}, and accepted from 1 to rows_per_stream")
        if not 0 <= self.reserve_gb < self.hardware.memory_gb or self.block_tokens < 1:
            problems.append("reserve_gb must be at least 0 and less than the memory, block_tokens at least 1")
        return problems

    @cached_property
    def speeds(self) -> Speeds:
        """What kernels take."""
        return speeds_of(self.hardware, self.profile, self.weights)

    @property
    def expert_gpus(self) -> int:
        """GPUs that share one copy of the routed experts."""
        return self.expert_parallel * self.expert_tensor

    @property
    def splits_batches(self) -> bool:
        """Whether two micro-batches overlap: only where tokens travel to experts."""
        return self.overlap == "on" and self.expert_parallel > 1

    @property
    def expert_slots(self) -> int:
        """Routed experts that a GPU holds."""
        experts = self.model.experts
        return (experts.routed + self.redundant_experts) // self.expert_parallel if experts else 0

    @property
    def peak_of_kernel_dtype(self) -> float:
        """Dense peak for the engine's weights over the peak that the kernel speeds hold for.

        Weights in a format that the GPU cannot compute in are unpacked and computed in bf16.
        """
        peaks = self.hardware.dense_tflops
        return peaks.get(self.weights, peaks["bf16"]) / peaks[self.hardware.kernels.dtype]

    @cached_property
    def weights_gb(self) -> float:
        """Weights on one GPU, GB."""
        model, whole, tp = self.model, parts(self.model), self.tensor_parallel
        # copies that an engine makes of attention's weights are held in their format
        mixing = whole.mixing + model.full_attention_layers * _copied(model)
        size, mixing_size, dense_size = (
            WEIGHT_BYTES[each]
            for each in (self.weights, mixing_dtype(model, self.weights), dense_dtype(model, self.weights))
        )
        experts = model.expert_layers * self.expert_slots * expert_weights(model) / self.expert_tensor
        # where tokens travel to experts, each GPU has shared experts of its own for the rows that it has
        beside = model.expert_layers * (shared_weights(model) + latent_weights(model))
        whole_to_each = beside if self.profile.dispatch else beside / tp
        tables = whole.tables * HEAD_BYTES
        split = mixing / tp * mixing_size + whole.dense / tp * dense_size
        layers = (split + experts * size + whole_to_each * dense_size) / self.pipeline_parallel
        return (layers + tables / tp) / GB

    @property
    def kv_gb(self) -> float:
        """Room for KV cache on one GPU, GB. Raises CannotServe where the model does not fit."""
        room = self.hardware.memory_gb - self.reserve_gb - self.weights_gb
        if room <= 0:
            raise CannotServe(
                f"{self.model.name} in {self.weights} does not fit {self.hardware.name}: {self.weights_gb:.1f} GB of "
                f"weights and {self.reserve_gb:g} GB reserve per GPU of {self.hardware.memory_gb:g} GB; "
                "spread it over more GPUs (tensor_parallel, pipeline_parallel; experts by a larger unit) or use a "
                "smaller number format",
                "memory",
            )
        return room

    def kv_bytes_per_stream(self, kv_tokens: ArrayLike) -> Floats:
        """KV cache that one stream takes on a GPU with a mean context, bytes; pages are half used at the end.

        Latent caches, and KV heads beyond their number, are held by every GPU of a tensor-parallel group. The state of
        recurrent layers is counted, and is split.
        """
        held = kv_bytes_of_stream(
            self.model, self.kv, kv_tokens, block=self.block_tokens, tensor_parallel=self.tensor_parallel
        )
        return held + state_bytes_per_stream(self.model)

    @property
    def kv_lines(self) -> tuple[KvLine, ...]:
        """Lines of which the lower one is what a stream takes with whole pages: of streams up to a window, and beyond.

        The first line is the steeper one. Each holds at least what streams take, however long they are.
        """
        whole = replace(self, block_tokens=1)
        edge = float(self.model.window.tokens) if self.model.window else 1.0
        none, one, two = (float(whole.kv_bytes_per_stream(times * edge)) for times in (0.0, 1.0, 2.0))
        lines = [KvLine(none, (one - none) / edge)]
        if self.model.window:
            lines.append(KvLine(2 * one - two, (two - one) / edge))
        return tuple(lines)

    def batch_cap(self, kv_tokens: ArrayLike) -> Floats:
        """Most streams per GPU whose KV fits, whole numbers. Raises CannotServe where the model does not fit."""
        cap: Floats = np.floor(self.kv_gb * GB / self.kv_bytes_per_stream(kv_tokens))
        return cap


def _copied(model: Model) -> int:
    """Weights of one attention layer that are held twice."""
    shape = attention_shape(model)
    return shape.stored - shape.before - shape.after


def on_same_kernels(engine: Engine, **changes: Any) -> Engine:
    """The engine with other fields, but the same GPU, kernels and weights: tables of kernels are not made again."""
    other = replace(engine, **changes)
    # where a cached property keeps its value
    vars(other)["speeds"] = engine.speeds
    return other
