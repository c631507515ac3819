"""What-if presets judged: what a claim says, what follows from the model, and whether it can hold.

Everything is computed from the preset's own numbers, the catalogue, the published day and the model.
"""

from dataclasses import asdict
from typing import Any

from planner.catalogue.claims import overlay
from planner.catalogue.read import built_in
from planner.catalogue.scenarios import Preset, load_scenario
from planner.claims import batching, formats, machines, memory, money, pricing, utilisation
from planner.claims.base import Case, Figure, Finding, Judge, Verdict
from planner.errors import UsageError

__all__ = ["FINDINGS", "Figure", "Finding", "Verdict", "document", "finding"]

FINDINGS: dict[str, Judge] = {
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


def finding(name: str) -> Finding:
    """What follows from the model for a preset, and whether its claim can hold. Raises UsageError."""
    name = built_in("what_if", name) or name
    if name not in FINDINGS:
        raise UsageError(f'no what-if "{name}": give one of {", ".join(FINDINGS)}')
    claim = overlay(name)
    changed = load_scenario(preset=Preset(name, claim.overrides)).scenario
    return FINDINGS[name](Case(claim, load_scenario().scenario, changed))


def document(name: str) -> dict[str, Any]:
    """A preset and its finding, ready for JSON. Raises UsageError."""
    found, claim = finding(name), overlay(name)
    return {
        "name": claim.name,
        "title": claim.title,
        "claim": claim.claim,
        "source": claim.source,
        "set": claim.overrides,
        "verdict": found.verdict,
        "summary": found.summary,
        "figures": [asdict(figure) for figure in found.figures],
    }
