"""What `planner export` prints as JSON."""

from dataclasses import dataclass
from typing import Literal

from planner.documents import Document, Maybe
from planner.export.formats.schedule import AgainstPlan

ExportFormat = Literal["keda", "cronjob", "kueue", "slurm", "aws", "focus", "csv", "json"]


@dataclass(frozen=True, kw_only=True)
class ExportDocument(Document):
    """An exported run: the text, or the file that holds it."""

    run_id: str
    """The run that was exported."""
    to: ExportFormat
    """Format of the export."""
    out: str | None
    """Path of the file that was written; null if there is none."""
    summary: str
    """What the export contains, in one line."""
    notes: tuple[str, ...]
    """What a reader of the export should know, one line each."""
    against_plan: Maybe[tuple[AgainstPlan, ...]] = None
    """How what recurs differs from the plan; left out for formats that do not recur."""
    text: Maybe[str] = None
    """The export itself; left out if it was written to a file."""
