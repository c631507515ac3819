"""Where the numbers of a plan come from."""

from collections import Counter
from dataclasses import dataclass
from typing import get_args

import polars as pl

from planner.documents import Document
from planner.errors import UsageError
from planner.report.provenance import PlanNumber, numbers_of
from planner.settings.sheets import Kind
from planner.text import quoted
from planner.web.panes.base import Pane, PaneView
from planner.web.state import State
from planner.web.workbench import Workbench

KINDS: tuple[str, ...] = get_args(Kind)


@dataclass(frozen=True, kw_only=True)
class ProvenanceDocument(Document):
    """The numbers that a plan rests on."""

    kinds: dict[str, int]
    """How many there are of each kind."""
    kind: str | None
    """The only kind that is listed; null for all."""
    numbers: tuple[PlanNumber, ...]


def show(bench: Workbench, state: State) -> PaneView:
    """Every number of the plan, or those of one kind."""
    numbers = numbers_of(bench.planned(state, state.side).run)
    counted = Counter(number.kind for number in numbers)
    kinds = {kind: counted[kind] for kind in KINDS}
    kind = state.pane.get("kind") or None
    if kind is not None and kind not in KINDS:
        raise UsageError(f"{quoted(kind, 40)} is not a kind of number; choose one of {', '.join(KINDS)}")
    listed = tuple(number for number in numbers if kind in (None, number.kind))
    return PaneView(
        document=ProvenanceDocument(kinds=kinds, kind=kind, numbers=listed),
        tables={"numbers": pl.DataFrame(listed, schema=["field", "value", "kind", "source", "meaning"])},
        context={"all": len(numbers)},
    )


PANE = Pane(
    name="provenance",
    title="Where numbers come from",
    show=show,
    template="provenance.html.j2",
    document=ProvenanceDocument,
)
