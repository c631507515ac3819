"""What is shown below the answer: a module a pane. A new one is a module and a line here."""

from planner.web.panes import cost, runs, sql, traces
from planner.web.panes.base import Pane

PANES: dict[str, Pane] = {pane.name: pane for pane in (cost.PANE, runs.PANE, traces.PANE, sql.PANE)}
"""By name, in the order of the navigation."""
