"""Feed-forwards of a configuration: which layers have one, which have experts, and how wide they are."""

from dataclasses import dataclass

from planner.catalogue.configurations.mixers import HIDDEN
from planner.catalogue.configurations.tree import Configuration
from planner.settings.models import Experts

ROUTED = ("n_routed_experts", "num_experts", "num_local_experts", "moe_num_experts")
ACTIVE = ("num_experts_per_tok", "num_experts_per_token", "experts_per_token", "top_k_experts", "moe_k")
SHARED = ("n_shared_experts", "num_shared_experts", "moe_num_shared_experts")
SHARED_WIDTH = (
    "shared_expert_intermediate_size",
    "moe_shared_expert_intermediate_size",
    "shared_intermediate_size",
    "share_expert_dim",
)
EXPERT_WIDTH = ("moe_intermediate_size", "expert_intermediate_size")
WIDTH = ("intermediate_size", "ffn_dim", "n_inner", "ffn_hidden_size")
_TWO_MATRICES = frozenset(
    {"bloom", "falcon", "gpt2", "gpt_bigcode", "gpt_neox", "gptj", "mpt", "opt", "phi", "starcoder2"}
)
"""Architectures whose feed-forward has no gate (transformers: their modelling code)."""
_FOURFOLD = _TWO_MATRICES - {"opt", "phi", "starcoder2"}
"""Architectures whose feed-forward is four times as wide as tokens where no width is told."""


@dataclass(frozen=True, kw_only=True)
class FeedForwards:
    """The layers of a model by their feed-forward."""

    dense_layers: int
    sparse_layers: int
    dense_width: int
    gated: bool
    experts: Experts | None = None


def usual_feed_forwards(c: Configuration, layers: int) -> FeedForwards:
    """Dense layers, or experts in all layers but those that some key calls dense."""
    if c.few(*ROUTED) < 2:
        return FeedForwards(dense_layers=layers, sparse_layers=0, dense_width=dense_width(c), gated=gated(c))
    dense = dense_layers(c, layers)
    shared, width = shared_experts(c)
    return FeedForwards(
        dense_layers=dense,
        sparse_layers=layers - dense,
        dense_width=c.count("dense_intermediate_size", "intermediate_size_mlp", *WIDTH) if dense else 0,
        gated=gated(c),
        experts=experts(c, shared=shared, shared_width=width),
    )


def gated(c: Configuration) -> bool:
    """Whether a feed-forward has three matrices: but for squared ReLU and some older architectures it has."""
    activation = c.text("hidden_act", "mlp_hidden_act", "activation_function", "hidden_activation")
    return c.model_type not in _TWO_MATRICES and activation not in ("relu2", "relu")


def dense_width(c: Configuration) -> int:
    """Width of the feed-forward of a dense model."""
    if c.model_type in _FOURFOLD:
        return c.count(*WIDTH, default=4 * c.count(*HIDDEN))
    return c.count(*WIDTH)


def experts(c: Configuration, *, shared: int, shared_width: int | None, width: int | None = None) -> Experts:
    """The mixture of experts. width: of a routed one, where the usual keys do not tell it."""
    own = width or c.count(*EXPERT_WIDTH, *WIDTH)
    return c.made(
        Experts,
        routed=c.count(*ROUTED),
        active=c.count(*ACTIVE),
        shared=shared,
        width=own,
        shared_width=shared_width if shared and shared_width != own else None,
        hidden=c.count("moe_latent_size") if c.has("moe_latent_size") else None,
        groups=c.count("n_group", default=1),
    )


def shared_experts(c: Configuration) -> tuple[int, int | None]:
    """How many experts are shared, and how wide one is; None for as wide as a routed one."""
    width = c.few(*SHARED_WIDTH) or None
    count = c.few(*SHARED) if c.has(*SHARED) else int(width is not None)
    return count, width


def dense_layers(c: Configuration, layers: int) -> int:
    """Layers of a model with experts that have none."""
    for name in ("moe_layer_freq", "mlp_layer_types"):
        if c.has(name) and isinstance(c.keys.get(name), list):
            c.few("first_k_dense_replace")
            told = c.series(name, layers) or []
            return sum(each in (0, "dense") for each in told)
    first = c.few("first_k_dense_replace")
    step = c.count("moe_layer_freq", "decoder_sparse_step", default=1)
    only = [each for each in c.series("mlp_only_layers") or [] if isinstance(each, int)]
    if c.has("decoder_sparse_step"):
        sparse = [each for each in range(layers) if (each + 1) % step == 0 and each not in only]
    else:
        sparse = [each for each in range(first, layers) if each % step == 0 and each not in only]
    return layers - len(sparse)
