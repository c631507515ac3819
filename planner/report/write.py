"""A report: one self-contained HTML page, PNG and SVG of every chart, CSV of every table."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from planner.catalogue.read import DEFAULT_SCENARIO
from planner.catalogue.scenarios import is_built_in
from planner.documents import Document
from planner.errors import PlannerError
from planner.report.band_tables import replay_band_table
from planner.report.cards import answer_cards, further_cards
from planner.report.charts import charts, node_table
from planner.report.flags import flag_table
from planner.report.job_charts import job_charts, job_table
from planner.report.pages import write_page
from planner.report.provenance import numbers_of
from planner.report.replay_charts import replay_charts
from planner.report.run_flags import run_flags
from planner.report.verdict import verdict_of
from planner.report.week_charts import is_long
from planner.runs.local_time import local_times
from planner.runs.read import RunView
from planner.runs.waking import waking_lines
from planner.studies.outlook import Outlook
from planner.trace.synthetic.profile import load_profile


@dataclass(frozen=True, kw_only=True)
class ReportFiles(Document):
    """The files of a report that was written."""

    run_id: str
    page: str
    """Path of the page."""
    files: list[str]
    """Paths of all files, the page among them."""


def write_report(
    run: RunView,
    folder: Path,
    *,
    outlook: Outlook | None = None,
    pictures: bool = True,
    notes: Sequence[str] = (),
) -> list[Path]:
    """Write the report of a run; returns the files. Each file is written atomically. Raises PlannerError.

    outlook: its distance to the bound and its targets as modelled. pictures: whether charts are also written as SVG and
    PNG. notes: further ones beside those of the run.
    """
    published, flags, verdict = _published_nodes(run), run_flags(run), verdict_of(run, outlook)
    first, *others = charts(run, published, flags)
    drawn = [first, *(replay_charts(run, run.replay) if run.replay is not None else ()), *others]
    if run.jobs is not None:
        drawn += job_charts(run, run.jobs)
    tables = {chart.name: chart.table for chart in drawn} | {
        "training_windows": local_times(run.training, run.scenario.zone),
        "provenance": pl.DataFrame(numbers_of(run), schema=["field", "value", "kind", "source", "meaning"]),
    }
    if is_long(run):
        tables["nodes"] = node_table(run, published)
        tables["economics"] = local_times(run.hours, run.scenario.zone)
    if flags.findings:
        tables["flags"] = flag_table(flags.findings, run.scenario.zone)
    if run.replay is not None and run.replay.bands:
        tables["replay_bands"] = replay_band_table(run.replay.bands)
    if run.jobs is not None:
        tables["training_jobs"] = job_table(run, run.jobs)
    context: dict[str, object] = {
        "run": run,
        "summary": run.summary,
        "record": run.record,
        "verdict": verdict,
        "answer": answer_cards(verdict, run),
        "further": further_cards(run),
        "long": is_long(run),
        "published": bool(published),
        "waking": waking_lines(run),
        "notes": (*run.record.notes, *notes),
        "keeps_up": run.replay is None or all(band.high is not None for band in run.replay.bands),
    }
    return write_page("page.html.j2", folder, drawn, tables, context, pictures=pictures)


_PUBLISHED = (
    "fleet.serving",
    "fleet.nodes",
    "fleet.node_type",
    "fleet.gpus_per_node",
    "fleet.prefill.nodes",
    "fleet.decode.nodes",
    "fleet.engine.model",
    "fleet.engine.hardware",
    "trace.demand_factor",
)
"""Fields that say which model was published with which demand on which fleet."""


def _published_nodes(run: RunView) -> dict[int, int]:
    """The published timeline of the profile that the plan's trace was drawn from, where it is of the plan's fleet.

    That of the built-in profile is of the fleet, model and demand of the built-in scenario, which has its name.
    """
    if run.record.profile is None:
        return {}
    if run.record.profile == DEFAULT_SCENARIO and not all(is_built_in(run.scenario, path) for path in _PUBLISHED):
        return {}
    try:
        return load_profile(run.record.profile).published_nodes()
    except PlannerError:
        # the profile may have been moved since; the run's own figures do not need it
        return {}
