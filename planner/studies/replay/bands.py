"""90 % bands of a replay: the same fleet and requests, where units are as fast, and as slow, as their bands say.

Both ends take all errors to go the same way: prompts and decode steps of one set-up are both faster or both slower.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from planner.capacity.bands import UnitBands
from planner.core.replay.iterations.model import Replica
from planner.core.replay.requests.model import Service
from planner.runs.outcome import FigureBand
from planner.studies.replay import account
from planner.studies.replay.account import StageResults
from planner.studies.replay.document import MANY_IN_FLIGHT, LatencySummary, SloAttainment, TimeFactors
from planner.studies.replay.simulate import Simulation
from planner.units import Progress

QUANTILES = ("p50", "p90", "p99")
"""Of latencies: those that have bands."""


@dataclass(frozen=True)
class EndFigures:
    """What a replay with units at one end of their bands measured.

    Shares of the requests that arrived: in_flight, those that had not finished when the simulation ended; waiting,
    those by which queues grew over the window.
    """

    figures: Mapping[str, float | None]
    in_flight: float
    waiting: float


@dataclass(frozen=True)
class ReplayEnds:
    """Both ends."""

    fast: EndFigures
    slow: EndFigures


def replay_ends(
    simulation: Simulation, service: Service | Replica, bands: UnitBands, progress: Progress | None = None
) -> ReplayEnds:
    """Replay both ends of the bands of a service's times."""
    fast, slow = (
        _at(simulation.run(service.slower(prompts, steps), progress))
        for prompts, steps in ((bands.prompts.low, bands.steps.low), (bands.prompts.high, bands.steps.high))
    )
    return ReplayEnds(fast, slow)


def replay_bands(results: StageResults, ends: ReplayEnds, bands: UnitBands) -> tuple[FigureBand, ...]:
    """The bands of a replay's latencies and attainments; of those that it has.

    A latency has no upper end where so many requests did not finish at the slow end that their quantiles would move.
    """
    latencies_end = ends.slow.in_flight < MANY_IN_FLIGHT
    found = []
    for name, value in _figures(results).items():
        if value is None:
            continue
        fast, slow = ends.fast.figures[name], ends.slow.figures[name]
        known = [value, *(each for each in (fast, slow) if each is not None)]
        ends_above = not _is_latency(name) or (latencies_end and slow is not None)
        measured = [getattr(bands, role).measured for role in _decided_by(name)]
        found.append(
            FigureBand(
                figure=name,
                value=value,
                low=min(known),
                high=max(known) if ends_above else None,
                measured=all(measured),
            )
        )
    return tuple(found)


def band_notes(ends: ReplayEnds | None) -> list[str]:
    """What the reader of the bands should know."""
    if ends is None or max(ends.slow.in_flight, ends.slow.waiting) < MANY_IN_FLIGHT:
        return []
    keeps = "bands: where units are as slow as their band allows, the fleet does not keep up with the requests"
    if ends.slow.in_flight >= MANY_IN_FLIGHT:
        late = f"{ends.slow.in_flight:.1%} of them had not finished when the simulation ended"
        return [f"{keeps}: {late}, so that latencies have no upper end"]
    return [f"{keeps}: queues grow by {ends.slow.waiting:.1%} of them in the window, and latencies with its length"]


def time_factors(bands: UnitBands) -> TimeFactors:
    """The bands of the times of units, as a document."""
    return TimeFactors(prompts=bands.prompts, decode_steps=bands.steps)


def _at(results: StageResults) -> EndFigures:
    counts, minutes = account.count_arrivals(results), results.minutes(None)
    queues = (results.prefill.queue_us + results.decode.queue_us)[minutes] / results.span.minutes_us[minutes]
    arrived = max(counts.arrived, 1)
    return EndFigures(_figures(results), counts.in_flight / arrived, float(queues[-1] - queues[0]) / arrived)


def _figures(results: StageResults) -> dict[str, float | None]:
    """The figures that have bands, by their paths in the document of a replay."""
    quality, slo = account.measure_quality(results, None), account.measure_attainment(results, None)
    return {**dict(_latencies(ttft_ms=quality.ttft_ms, tpot_ms=quality.tpot_ms)), **_attainments(slo)}


def _latencies(**summaries: LatencySummary) -> Iterator[tuple[str, float | None]]:
    for metric, summary in summaries.items():
        for quantile in QUANTILES:
            yield f"{metric}.{quantile}", getattr(summary, quantile)


def _attainments(slo: SloAttainment) -> dict[str, float | None]:
    return {f"slo.{name}": value for name, value in vars(slo).items()}


def _is_latency(figure: str) -> bool:
    return not figure.startswith("slo.")


def _decided_by(figure: str) -> tuple[str, ...]:
    """Whose times decide a figure."""
    if "ttft" in figure:
        return ("prompts",)
    return ("steps",) if "tpot" in figure else ("prompts", "steps")
