"""The longest request that a model takes and the KV of a unit holds."""

from dataclasses import dataclass

from planner.capacity.engines import decode_of
from planner.core.fleet.engine import GB, Engine
from planner.core.replay.requests.model import NO_LIMIT
from planner.errors import PlannerError
from planner.settings.fleet import FleetSettings


@dataclass(frozen=True)
class LongestRequest:
    """Most tokens of a request, input and output together, and what sets that limit, in words."""

    tokens: int
    limit: str


def kv_tokens_per_gpu(engine: Engine) -> float:
    """Tokens whose KV one GPU holds. Raises CannotServe where the model does not fit."""
    # of a long stream, so that its last half-used page does not count
    return engine.kv_gb * GB / (float(engine.kv_bytes_per_stream(1e6)) / 1e6)


def longest_request(engine: Engine) -> LongestRequest:
    """The longest request that a decode unit serves: one stream is on the GPUs that share attention.

    Raises CannotServe where the model does not fit.
    """
    held = int(kv_tokens_per_gpu(engine) * engine.tensor_parallel)
    context, gpus = engine.model.context_tokens or NO_LIMIT, engine.tensor_parallel
    if context <= held:
        return LongestRequest(context, f"the context of {engine.model.name}")
    on = f"a {engine.hardware.name} GPU" if gpus == 1 else f"{gpus} {engine.hardware.name} GPUs that share attention"
    return LongestRequest(held, f"the KV cache of {on}")


def longest_of(fleet: FleetSettings) -> LongestRequest | None:
    """The same for a fleet; None where its engine cannot run, so that nothing is known of it."""
    try:
        engine, _ = decode_of(fleet)
    except PlannerError:
        return None
    return longest_request(engine)
