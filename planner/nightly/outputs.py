"""Where the outputs of nights are, and what is wrong where they cannot be written."""

import os
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from planner.drafts import sweep
from planner.errors import PlannerError
from planner.files import atomic_write
from planner.nightly.dates import ONE_DAY
from planner.nightly.jobs_file import ExportFile, NightlyJob


def report_folder(out: Path, job: NightlyJob, night: date) -> Path:
    """The folder of a night's report."""
    return out / job.name / str(night)


def export_path(out: Path, file: ExportFile, night: date) -> Path:
    """The file that a night exports: its pattern with the day that the night plans."""
    return out / file.path.format(date=night + ONE_DAY)


def sweep_outputs(out: Path, jobs: Sequence[NightlyJob]) -> None:
    """Remove what killed nights left half-written."""
    exports = [(out / file.path).parent for job in jobs for file in job.export]
    for folder in {out, *(out / job.name for job in jobs), *exports}:
        sweep(folder)


def check_writable(out: Path) -> None:
    """Make the folder of outputs if it is missing. Raises OSError, PlannerError if it cannot be written."""
    out.mkdir(parents=True, exist_ok=True)
    if not os.access(out, os.W_OK):
        raise PlannerError(f"{out}: cannot be written; correct its permissions, or set out in the jobs file")


def write_whole(path: Path, text: str) -> None:
    """Write a file, all of it or nothing. Raises PlannerError."""
    try:
        with atomic_write(path) as draft:
            draft.write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        raise unwritten(path, error) from error


def unwritten(path: Path, error: OSError) -> PlannerError:
    """A file or folder that cannot be written, by its own name, as an expected failure."""
    return PlannerError(
        f"{path}: cannot be written: {error.strerror or error}; free some space or correct its permissions"
    )


def write_failure(error: OSError) -> PlannerError:
    """A file that cannot be written as an expected failure."""
    what = f"{error.filename}: " if error.filename is not None else ""
    return PlannerError(f"{what}{error.strerror or error}; free some space or correct its permissions")
