"""Planning many cases in several processes, with the same outcomes for any number of them."""

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool

from planner.errors import PlannerError
from planner.processes import end_with_parent, processors, quiet_children
from planner.studies.sweep.base import SweepBase
from planner.studies.sweep.case import CaseOutcome, SweepCase, run_cases
from planner.units import Progress

_CHUNK = 10
"""Cases that a process plans before it reports."""
_CASES_PER_WORKER = 100
"""Fewer cases take less time than starting a process."""


def run_all(
    base: SweepBase, cases: Sequence[SweepCase], *, workers: int | None = None, progress: Progress | None = None
) -> list[CaseOutcome]:
    """Plan all cases, in processes where there are many. progress: cases done, and in all. Raises UsageError."""
    chunks = [cases[first : first + _CHUNK] for first in range(0, len(cases), _CHUNK)]
    if workers is None:
        workers = min(processors(), len(cases) // _CASES_PER_WORKER)
    if workers < 2:
        outcomes = []
        for chunk in chunks:
            outcomes += run_cases(base, chunk)
            if progress is not None:
                progress(len(outcomes), len(cases))
        return outcomes
    return _in_processes(base, chunks, workers, progress)


def _in_processes(
    base: SweepBase, chunks: Sequence[Sequence[SweepCase]], workers: int, progress: Progress | None
) -> list[CaseOutcome]:
    if base.profile is not None:
        # solved here once: another process might round the smoothed shape in another way
        _ = base.profile.cell_share
    # a fork would copy locks that threads of polars may hold
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"), initializer=end_with_parent)
    done = 0
    try:
        with quiet_children():
            places = {pool.submit(run_cases, base, chunk): place for place, chunk in enumerate(chunks)}
        for future in as_completed(places):
            done += len(future.result())
            if progress is not None:
                progress(done, sum(map(len, chunks)))
    except BrokenProcessPool as error:
        raise PlannerError(
            "a worker process ended unexpectedly, perhaps because memory ran out; lower --cases, or free some memory"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
    ordered = sorted(places, key=lambda future: places[future])
    return [outcome for future in ordered for outcome in future.result()]
