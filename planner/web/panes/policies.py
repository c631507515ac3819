"""Policies side by side on one demand, and the bound that none can beat: a comparison in a process of its own."""

from dataclasses import dataclass
from time import perf_counter

from planner.core.policy import POLICIES
from planner.documents import Document
from planner.report.compare_page import best_sentence, configured_table, nodes_chart, ranking_table, trade_chart
from planner.runs.bands import basis
from planner.runs.draft import UNSAVED
from planner.studies.compare.candidates import compare, default_policies
from planner.studies.compare.document import ComparisonDocument, describe_comparison
from planner.web.panes.base import JobKind, Pane, PaneView, plan_words
from planner.web.state import State
from planner.web.workbench import Workbench, now

_CHOSEN = "policy."
"""How the keys of policies that are chosen begin, after `pane.`."""


@dataclass(frozen=True, kw_only=True)
class PolicyChoice(Document):
    """A policy that can be compared."""

    policy: str
    """Policy, or policy@demand-source."""
    chosen: bool
    """Whether the next comparison has it."""


@dataclass(frozen=True, kw_only=True)
class PoliciesDocument(Document):
    """Which policies can be compared, and which will be."""

    policies: tuple[PolicyChoice, ...]
    left_out: tuple[str, ...]
    """Why others that are usual are not chosen unless they are named."""


def show(bench: Workbench, state: State) -> PaneView:
    """The policies to choose from; the usual ones are chosen where none is."""
    outcome = bench.planned(state, state.side).outcome
    usual, left_out = default_policies(outcome.scenario, outcome.demand)
    chosen = _chosen(state) or usual
    names = dict.fromkeys((*usual, *chosen, *POLICIES))
    document = PoliciesDocument(
        policies=tuple(PolicyChoice(policy=name, chosen=name in chosen) for name in names), left_out=left_out
    )
    return PaneView(document=document, context={"key": f"pane.{_CHOSEN}"})


def _chosen(state: State) -> tuple[str, ...]:
    return tuple(key.removeprefix(_CHOSEN) for key in state.pane if key.startswith(_CHOSEN))


def compare_policies(bench: Workbench, state: State) -> PaneView:
    """What `planner compare` works out, of the plan that is looked at."""
    scenario = bench.scenario(state, state.side)
    comparison = compare(
        bench.store,
        scenario,
        _chosen(state),
        now=now(),
        clock=perf_counter,
        progress=bench.progress,
        drawing=bench.progress,
    )
    unsaved = {candidate.name: UNSAVED for candidate in comparison.candidates}
    document = describe_comparison(comparison, UNSAVED, unsaved, {})
    bands = [band for policy in document.policies for band in policy.bands]
    return PaneView(
        document=document,
        charts=(trade_chart(document), nodes_chart(comparison.plans, comparison.demand.grid, scenario.zone)),
        tables={"ranking": ranking_table(document), "configured": configured_table(document)},
        context={
            "sentence": best_sentence(document),
            "tuned": any(row.at_equal_shortfall for row in document.policies),
            "basis": basis(bands) if bands else "",
        },
    )


COMPARE = JobKind(
    name="compare",
    title=lambda state: f"Compare policies for {plan_words(state)}",
    work=compare_policies,
    template="compared.html.j2",
    document=ComparisonDocument,
)
PANE = Pane(
    name="policies",
    title="Policies",
    show=show,
    template="policies.html.j2",
    document=PoliciesDocument,
    jobs=(COMPARE,),
)
