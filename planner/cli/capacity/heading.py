"""The first and last lines of output on an engine."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from planner.cli.output import percent, print_line, usd

if TYPE_CHECKING:
    from planner.capacity.documents import CapacityCurve, CapacityOverview, EngineHead


def heading(head: "EngineHead") -> str:
    """The engine in one line."""
    return f"{head.model} on {head.node} under {head.engine}: weights {head.weights}, KV {head.kv}"


def conditions(document: "CapacityOverview | CapacityCurve", *, swept: str | None = None, gpus: int = 0) -> str:
    """The conditions that the figures are for, but for the swept one. gpus: of a unit; 0 leaves them out."""
    load = document.workload
    stated = {
        "ep": f"units of {gpus} GPUs" if gpus else None,
        "kv": f"{load.kv_tokens:,.0f} tokens of KV",
        "hit": f"{percent(load.hit_ratio, 2)} cache hits",
        "target": f"target {document.target_tpot_ms:g} ms per output token",
        "rate": f"{usd(document.usd_per_gpu_hour)} per GPU-hour",
    }
    return ", ".join(text for what, text in stated.items() if text and what != swept)


def print_notes(notes: Sequence[str]) -> None:
    """Print what the figures rest on, one line each."""
    for note in notes:
        print_line(f"  {note}")
