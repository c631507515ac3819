"""Storing a replay with its plan."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime

import polars as pl

from planner.capacity.units import table_imbalance
from planner.files import version
from planner.runs.outcome import FigureBand, PlanOutcome
from planner.runs.write import save_plan
from planner.store import Store
from planner.studies.replay import account
from planner.studies.replay.bands import replay_bands
from planner.studies.replay.document import Arrivals, LoadImbalance, ReplayDocument, UnitUse
from planner.studies.replay.run import Replayed
from planner.studies.replay.summary import summarise
from planner.studies.replay.tables import replay_tables, request_rows
from planner.units import from_us


def store_replay(store: Store, done: Replayed, *, now: datetime) -> tuple[str, ReplayDocument]:
    """Store a replay with its plan, in one transaction, as a run of the kind "replay".

    Args:
        store: The store to write to.
        done: What `planner.replay` returned. Outcomes of single requests are stored where it kept them.
        now: When the run is stored, with an offset.

    Returns:
        The id of the run, for example "run-00002", and the document that `planner replay --json` prints: times with the
        scenario's offset, latencies in milliseconds, costs in US dollars, shares from 0 to 1.

    Raises:
        StoreError: The store cannot be written, or another process holds it.
    """
    measured = measure(done)
    run_id = save_plan(store, measured.outcome, now=now, version=version(), replay=measured.tables)
    return run_id, measured.document(run_id)


@dataclass(frozen=True, kw_only=True)
class MeasuredReplay:
    """A finished replay with its figures, stored or not.

    Attributes:
        done: The replay.
        outcome: Its plan, with the bands of the replay's figures beside its own.
        tables: Rows of the replay's tables without run_id.
        arrivals: Requests by what became of them.
        use: How units were used.
        imbalance: How even their loads were.
        bands: Those of the replay's figures.
    """

    done: Replayed
    outcome: PlanOutcome
    tables: Mapping[str, pl.DataFrame]
    arrivals: Arrivals
    use: UnitUse
    imbalance: LoadImbalance
    bands: tuple[FigureBand, ...]

    def document(self, run_id: str) -> ReplayDocument:
        """What `planner replay --json` prints."""
        return summarise(
            self.done, run_id, arrivals=self.arrivals, use=self.use, imbalance=self.imbalance, bands=self.bands
        )


def measure(done: Replayed) -> MeasuredReplay:
    """The figures of a replay, and what would be stored of it."""
    results, scenario = done.results, done.outcome.scenario
    use, exact = account.measure_use(results, None), scenario.replay.ranks == "exact"
    arrivals = account.count_arrivals(results)
    imbalance = account.measure_imbalance(
        results, exact=exact, table=table_imbalance(scenario.fleet, use.streams_per_gpu)
    )
    tables = {"replay_run": _run_row(done, arrivals, imbalance), **replay_tables(results)}
    if done.requests is not None:
        tables["replay_request"] = request_rows(results, done.requests)
    bands = () if done.ends is None else replay_bands(results, done.ends, done.unit_bands)
    # those of the plan stay as they are; names of figures tell them apart
    outcome = replace(done.outcome, bands=(*done.outcome.bands, *bands))
    return MeasuredReplay(
        done=done, outcome=outcome, tables=tables, arrivals=arrivals, use=use, imbalance=imbalance, bands=bands
    )


def _run_row(done: Replayed, arrivals: Arrivals, imbalance: LoadImbalance) -> pl.DataFrame:
    """The row of the table replay_run."""
    results, settings, window = done.results, done.outcome.scenario.replay, done.results.window
    row = {
        "window_start": from_us(window.from_us),
        "window_end": from_us(window.to_us),
        "simulated_from": from_us(window.origin_us),
        "simulated_to": from_us(window.end_us),
        "ranks": settings.ranks,
        "prefill_balancer": settings.prefill_balancer,
        "decode_balancer": settings.decode_balancer,
        **asdict(arrivals),
        "moved": results.decode.moved,
        "simulated_requests": done.simulated,
        "wall_s": done.wall_s,
        "kv_peak_ratio": account.kv_peak_ratio(results),
        **asdict(imbalance),
        "waited_for_start": results.waited_for_start,
        "waited_for_repair": results.waited_for_repair,
    }
    return pl.DataFrame([row], infer_schema_length=None)
