"""What-if presets judged: what a claim says, what follows from the model, and whether it can hold.

Everything is computed from the preset's own numbers, the catalogue, the published day and the model.
"""

from dataclasses import dataclass

from planner.catalogue.claims import Value, overlay
from planner.catalogue.read import built_in
from planner.catalogue.scenarios import Preset, load_scenario
from planner.claims import batching, formats, machines, memory, money, pricing, utilisation
from planner.claims.base import ClaimCase, Figure, Finding, Judge, Verdict
from planner.documents import Document
from planner.errors import UsageError

__all__ = ["JUDGES", "Figure", "Finding", "JudgedClaim", "Verdict", "judge_claim"]

JUDGES: dict[str, Judge] = {
    "a100-fleet": machines.a100_fleet,
    "all-reduce": machines.all_reduce,
    "customer-service": batching.customer_service,
    "edge-13b": machines.edge_13b,
    "electricity-only": money.electricity_only,
    "int8": formats.int8,
    "load-pricing": pricing.load_pricing,
    "load-test": formats.load_test,
    "long-context": memory.long_context,
    "nightly-training": money.nightly_training,
    "paged-kv": memory.paged_kv,
    "power-per-qps": money.power_per_qps,
    "pruned-70b": machines.pruned_70b,
    "queue-depth-batching": batching.queue_depth,
    "tensor-cores": formats.tensor_cores,
    "utilisation-82": utilisation.utilisation_82,
    "warm-starts": batching.warm_starts,
}
"""What judges each preset."""


@dataclass(frozen=True, kw_only=True)
class JudgedClaim(Document):
    """A what-if preset: what was claimed, and what follows from the model."""

    name: str
    title: str
    claim: str
    """What was said, in our words."""
    source: str
    """Who said it."""
    set: dict[str, Value]
    """Scenario fields that the preset sets, by dotted path."""
    verdict: Verdict
    """Whether the claim can hold."""
    summary: str
    """The finding in one sentence."""
    figures: tuple[Figure, ...]


def judge_claim(name: str) -> JudgedClaim:
    """A preset, what follows from the model for it, and whether its claim can hold. Raises UsageError."""
    name = built_in("what_if", name) or name
    if name not in JUDGES:
        raise UsageError(f'no what-if "{name}": give one of {", ".join(JUDGES)}')
    claim = overlay(name)
    changed = load_scenario(preset=Preset(name, claim.overrides)).scenario
    finding = JUDGES[name](ClaimCase(claim, load_scenario().scenario, changed))
    return JudgedClaim(
        name=claim.name,
        title=claim.title,
        claim=claim.claim,
        source=claim.source,
        set=claim.overrides,
        verdict=finding.verdict,
        summary=finding.summary,
        figures=finding.figures,
    )
