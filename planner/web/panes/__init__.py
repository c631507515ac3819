"""What is shown below the answer: a module a pane. A new one is a module and a line here."""

from planner.web.panes import (
    capacity,
    cost,
    forecast,
    latency,
    nights,
    policies,
    provenance,
    runs,
    schedule,
    sql,
    sweep,
    traces,
    training,
)
from planner.web.panes.base import Pane

PANES: dict[str, Pane] = {
    pane.name: pane
    for pane in (
        *(cost.PANE, latency.PANE, policies.PANE, sweep.PANE, forecast.PANE, training.PANE, schedule.PANE),
        *(nights.PANE, capacity.PANE, traces.PANE, runs.PANE, provenance.PANE, sql.PANE),
    )
}
"""By name, in the order of the navigation."""
