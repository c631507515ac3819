"""What a plan costs and earns."""

from planner.report.charts import economics_chart, waterfall_chart
from planner.runs.documents import PlanDocument, plan_document
from planner.web.panes.base import Pane, PaneView
from planner.web.state import State
from planner.web.workbench import Workbench


def show(bench: Workbench, state: State) -> PaneView:
    """Cost and revenue by hour, and from theoretical to expected revenue."""
    run = bench.planned(state, "a").run
    return PaneView(
        document=plan_document(run),
        charts=(economics_chart(run), waterfall_chart(run)),
        context={"summary": run.summary},
    )


PANE = Pane(name="cost", title="Cost and revenue", show=show, template="cost.html.j2", document=PlanDocument)
