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


@dataclass(frozen=True)
class KvRoom:
    """Room for KV of one GPU in tokens of context, of which each stream takes so many on top of its own."""

    tokens: float
    stream_tokens: float


def kv_room_per_gpu(engine: Engine, kv_tokens: float) -> KvRoom:
    """The room for streams of about so many tokens; never more than there is, whatever their lengths.

    The state of recurrent layers, and windows that streams of that length fill, count as tokens that each stream takes.
    Where streams grow beyond a window that all attention sees, their further tokens are counted although they take
    nothing. Raises CannotServe where the model does not fit.
    """
    growing = [line for line in engine.kv_lines if line.per_token > 0]
    line = min(growing, key=lambda each: each.per_stream + each.per_token * kv_tokens)
    return KvRoom(engine.kv_gb * GB / line.per_token, line.per_stream / line.per_token)


def longest_request(engine: Engine) -> LongestRequest:
    """The longest request that a decode unit serves: one stream is on the GPUs that share attention.

    Raises CannotServe where the model does not fit.
    """
    gpus = engine.tensor_parallel * engine.pipeline_parallel
    held = max(line.tokens_in(engine.kv_gb * GB * gpus) for line in engine.kv_lines)
    context = engine.model.context_tokens or NO_LIMIT
    if context <= held:
        return LongestRequest(context, f"the context of {engine.model.name}")
    on = f"a {engine.hardware.name} GPU" if gpus == 1 else f"{gpus} {engine.hardware.name} GPUs that share attention"
    return LongestRequest(int(held), f"the KV cache of {on}")


def longest_of(fleet: FleetSettings) -> LongestRequest | None:
    """The same for a fleet; None where its engine cannot run, so that nothing is known of it."""
    try:
        engine, _ = decode_of(fleet)
    except PlannerError:
        return None
    return longest_request(engine)
