"""How an engine is spread over GPUs where nobody says: as is usual for its model, or as far as a kind of node needs."""

from collections.abc import Iterator
from dataclasses import dataclass

from planner.capacity.engines import decode_engine, prefill_engine, usual_decode_gpus
from planner.catalogue.configurations.serving import KV_SHARE
from planner.catalogue.read import engine_profile, hardware, model
from planner.errors import UsageError
from planner.settings.fleet import EngineSettings

SPREADING = ("tensor_parallel", "pipeline_parallel", "expert_tensor", "redundant_experts")
"""Settings that say how an engine is spread."""
MOST_GPUS = 1024
"""Of a unit that is tried. Assumed: some times the largest that is served."""


@dataclass(frozen=True, kw_only=True)
class Spread:
    """An engine and the GPUs of its units. note: what differs from the model's usual spread, and why."""

    settings: EngineSettings
    prefill_gpus: int
    decode_gpus: int
    note: str | None = None


def usual_spread(settings: EngineSettings) -> Spread:
    """The units that are usual for the model of an engine, in whole groups. Raises UsageError for unknown names."""
    served, node = model(settings.model), hardware(settings.hardware)
    group = settings.tensor_parallel * settings.pipeline_parallel
    usual = served.serving.prefill_gpus, usual_decode_gpus(served, node)
    prefill, decode = (-(-gpus // group) * group for gpus in usual)
    return Spread(settings=settings, prefill_gpus=prefill, decode_gpus=decode)


def fitting_spread(settings: EngineSettings, kv_tokens: float) -> Spread:
    """The usual units where they hold the model and a stream of so many tokens for each GPU.

    Else the fewest GPUs that do, and have room for a third of the weights in KV, as the usual ones are chosen; or the
    usual ones where no number of GPUs that is tried does. Raises UsageError.
    """
    usual = usual_spread(settings)
    if _holds(usual, kv_tokens, 0.0):
        return usual
    return next((each for each in _wider(usual) if _holds(each, kv_tokens, KV_SHARE)), usual)


def _wider(usual: Spread) -> Iterator[Spread]:
    """More and more GPUs: the larger unit for both roles, then twice as many each time.

    Attention is shared by all of them, up to a node; beyond, the layers of a dense model are held one after the other,
    and experts are on all GPUs.
    """
    gpus = max(usual.prefill_gpus, usual.decode_gpus)
    if usual.prefill_gpus != usual.decode_gpus:
        yield _noted(usual, usual.settings, gpus)
    served, node = model(usual.settings.model), hardware(usual.settings.hardware)
    split = engine_profile(usual.settings.name).limits.expert_split
    while gpus <= MOST_GPUS:
        tensor = usual.settings.tensor_parallel
        while 2 * tensor <= min(gpus, node.gpus_per_node) and gpus % (2 * tensor) == 0:
            tensor *= 2
        parallel = gpus // (tensor if split == "tensor" else 1)
        update = {
            "tensor_parallel": tensor,
            "pipeline_parallel": 1 if served.experts else gpus // tensor,
            "redundant_experts": -served.experts.routed % parallel if served.experts else 0,
        }
        yield _noted(usual, usual.settings.model_copy(update=update), gpus)
        gpus *= 2


def _noted(usual: Spread, settings: EngineSettings, gpus: int) -> Spread:
    served, node = model(settings.model), hardware(settings.hardware)
    least = min(usual.prefill_gpus, usual.decode_gpus)
    parts = [f"tensor_parallel {settings.tensor_parallel}", f"pipeline_parallel {settings.pipeline_parallel}"]
    if served.experts:
        parts[1] = f"redundant_experts {settings.redundant_experts}"
    return Spread(
        settings=settings,
        prefill_gpus=gpus,
        decode_gpus=gpus,
        note=(
            f"units: {gpus} {node.name} GPUs ({', '.join(parts)}), since a unit of {least}, as is usual, does not hold "
            f"{served.name} in {settings.weights} and a stream per GPU; --gpus, --set and --weights choose otherwise"
        ),
    )


def _holds(spread: Spread, kv_tokens: float, kv_share: float) -> bool:
    """Whether units of both roles hold the model, with so much of its weights as room for KV, and streams to decode."""
    try:
        prefill = prefill_engine(spread.settings, spread.prefill_gpus)
        decode = decode_engine(spread.settings, spread.decode_gpus)
    except UsageError:
        return False
    roomy = all(engine.kv_gb >= kv_share * engine.weights_gb for engine in (prefill, decode))
    return roomy and float(decode.batch_cap(kv_tokens)) >= 1
