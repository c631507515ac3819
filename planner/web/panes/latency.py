"""Latency of every request: a replay of a window of the plan, in a process of its own. Nothing is stored of it."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from time import perf_counter

import polars as pl

from planner.core.replay.requests.window import ReplayWindow
from planner.core.replay.requests.window import window_of as replay_window
from planner.documents import Document, Maybe, Time
from planner.errors import UsageError
from planner.planning.allowance import check_own_hits
from planner.report.drawing import Chart
from planner.report.replay_charts import replay_charts
from planner.report.verdict import verdict_of
from planner.report.wording import percent
from planner.runs.draft import UNSAVED
from planner.runs.read import ReplayView, RunView
from planner.studies.replay.document import LatencySummary, ReplayDocument
from planner.studies.replay.requests import check_drawn
from planner.studies.replay.rules import OF_REQUESTS
from planner.studies.replay.run import replay
from planner.studies.replay.store import measure
from planner.units import Progress, from_us
from planner.web.panes.base import JobKind, Pane, PaneView
from planner.web.state import State
from planner.web.workbench import Planned, Workbench, now, planned_key, replay_key

_SHOWN = ("p50", "p90", "p99")
_TIMES = {"ttft_ms": "TTFT", "tpot_ms": "TPOT", "e2e_ms": "E2E"}
_IN_TIME = {"ttft_attainment": "TTFT in time", "tpot_attainment": "TPOT in time", "both_attainment": "both in time"}


@dataclass(frozen=True, kw_only=True)
class LatencyDocument(Document):
    """The window that a replay would count."""

    window_start: Time | None
    """Requests that arrive from this time on are counted; null where the window cannot be replayed."""
    window_end: Time | None
    """Requests that arrive before this time are counted."""
    busiest_hour: bool
    """Whether the window is the plan's busiest hour, because no other is chosen."""
    requests: int
    """Requests that would be simulated, of the warm-up before the window and the cool-down after it too."""
    problem: str | None
    """Why the window cannot be replayed, and the cure."""


@dataclass(frozen=True, kw_only=True)
class ReplaysDocument(Document):
    """Replays of the same window through the plans that are looked at; they are not stored."""

    a: ReplayDocument
    b: Maybe[ReplayDocument] = None


def show(bench: Workbench, state: State) -> PaneView:
    """Which window a replay would count, and how many requests."""
    planned = bench.planned(state, "a")
    zone = planned.outcome.scenario.zone
    try:
        window = _window(state, planned)
    except UsageError as error:
        document = LatencyDocument(
            window_start=None, window_end=None, busiest_hour=False, requests=0, problem=str(error)
        )
    else:
        document = LatencyDocument(
            window_start=from_us(window.from_us, zone),
            window_end=from_us(window.to_us, zone),
            busiest_hour=state.start is None and state.end is None,
            requests=_requests(planned, window),
            problem=None,
        )
    return PaneView(document=document, context={"settings": planned.outcome.scenario.replay})


def _window(state: State, planned: Planned) -> ReplayWindow:
    """The window that is looked at; the busiest hour where that is the whole plan. Raises UsageError."""
    scenario = planned.outcome.scenario
    check_own_hits(scenario, OF_REQUESTS)
    check_drawn(scenario, planned.prepared.trace)
    start, end = state.times(scenario.zone)
    return replay_window(planned.outcome.demand, scenario.replay, start, end, False, scenario.zone)


def _requests(planned: Planned, window: ReplayWindow) -> int:
    """Requests of all intervals that a replay touches."""
    demand = planned.outcome.demand
    starts_us = demand.grid.starts_us
    touched = (starts_us < window.end_us) & (starts_us + demand.grid.interval_us > window.origin_us)
    return int(demand.requests[touched].sum())


def replay_plans(bench: Workbench, state: State) -> PaneView:
    """Every request of the window through each of the plans."""
    done: dict[Hashable, tuple[RunView, ReplayDocument]] = {}
    keys = {side: planned_key(state, side) for side in state.sides}
    distinct = {key: side for side, key in reversed(keys.items())}
    for place, (key, side) in enumerate(distinct.items()):
        done[key] = _replay(bench, state, side, _part(bench.progress, place, len(distinct)))
    runs = {side: done[key][0] for side, key in keys.items()}
    documents = {side: done[key][1] for side, key in keys.items()}
    charts = {side: _charts(run, side, alone=len(runs) == 1) for side, run in runs.items()}
    return PaneView(
        document=ReplaysDocument(a=documents["a"], b=documents.get("b")),
        charts=tuple(chart for drawn in charts.values() for chart in drawn),
        tables={
            "figures": figures_table(documents),
            **{f"hours-{side}": hours_table(document) for side, document in documents.items()},
        },
        context={
            "verdicts": {side: verdict_of(run, None).sentence for side, run in runs.items()},
            "drawn": {side: [chart.name for chart in drawn] for side, drawn in charts.items()},
        },
        measured={replay_key(state, side): _replayed(run) for side, run in runs.items()},
    )


def _replay(bench: Workbench, state: State, side: str, progress: Progress | None) -> tuple[RunView, ReplayDocument]:
    scenario = bench.scenario(state, side)
    start, end = state.times(scenario.zone)
    measured = measure(
        replay(bench.store, scenario, start=start, end=end, now=now(), clock=perf_counter, progress=progress)
    )
    return bench.drafted(measured.outcome, measured.tables), measured.document(UNSAVED)


def _part(progress: Progress | None, place: int, parts: int) -> Progress | None:
    """The progress of one of several parts that are as long as each other."""
    if progress is None:
        return None
    tell = progress
    return lambda done, total: tell(place * total + done, parts * total)


def _replayed(run: RunView) -> ReplayView:
    assert run.replay is not None
    return run.replay


def _charts(run: RunView, side: str, *, alone: bool) -> Sequence[Chart]:
    """The charts of a replay, named and titled by its plan where there are two."""
    drawn = replay_charts(run, _replayed(run))
    if alone:
        return drawn
    name = side.upper()
    return [
        replace(
            chart,
            name=f"{chart.name}-{side}",
            title=f"Plan {name}: {chart.title}",
            description=f"Plan {name}: {chart.description}",
            spec={**chart.spec, "title": f"Plan {name}: {chart.title}"},
        )
        for chart in drawn
    ]


def figures_table(documents: Mapping[str, ReplayDocument]) -> pl.DataFrame:
    """A row per figure, the plans beside each other."""
    columns = {side: _figures(document) for side, document in documents.items()}
    names = {side: "replayed" if len(columns) == 1 else f"plan {side.upper()}" for side in columns}
    (first, *_) = columns.values()
    return pl.DataFrame(
        {"figure": list(first), **{names[side]: list(figures.values()) for side, figures in columns.items()}}
    )


def _figures(document: ReplayDocument) -> dict[str, str]:
    figures = {
        "counted from": document.window_start.isoformat(timespec="minutes"),
        "counted to": document.window_end.isoformat(timespec="minutes"),
        "requests": f"{document.requests:,}",
        "completed": f"{document.completed:,}",
        "in flight at the end": f"{document.in_flight:,}",
        "rejected": f"{document.rejected:,}",
    }
    for field, name in _TIMES.items():
        summary: LatencySummary = getattr(document, field)
        figures |= {f"{name} {share}, ms": _ms(getattr(summary, share)) for share in _SHOWN}
    figures["TTFT target, ms"], figures["TPOT target, ms"] = (
        _ms(document.ttft_target_ms),
        _ms(document.tpot_target_ms),
    )
    for field, name in _IN_TIME.items():
        figures[name] = _share(getattr(document.slo, field))
    return {**figures, "peak use of KV memory": percent(document.kv_peak_ratio)}


def hours_table(document: ReplayDocument) -> pl.DataFrame:
    """A row per hour of arrival: quantiles of the latencies, and shares within the targets."""
    rows = [
        {
            "hour": f"{hour.start:%Y-%m-%d %H:%M}",
            "requests": hour.requests,
            **{
                f"{name} {share}, ms": getattr(getattr(hour, field), share)
                for field, name in _TIMES.items()
                for share in _SHOWN
            },
            **{f"{name}, %": _per_cent(getattr(hour, field)) for field, name in _IN_TIME.items()},
        }
        for hour in document.hours
    ]
    return pl.DataFrame(rows, infer_schema_length=None)


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:,.1f}"


def _share(value: float | None) -> str:
    return "–" if value is None else percent(value)


def _per_cent(value: float | None) -> float | None:
    return None if value is None else 100 * value


def _title(state: State) -> str:
    window = "the busiest hour" if state.start is None and state.end is None else "the chosen time"
    plans = "plans A and B" if state.b is not None else "the plan"
    return f"Replay {window} of {state.scenario} through {plans}"


REPLAY = JobKind(name="replay", title=_title, work=replay_plans, template="replayed.html.j2", document=ReplaysDocument)
PANE = Pane(
    name="latency",
    title="Latency",
    show=show,
    template="latency.html.j2",
    document=LatencyDocument,
    jobs=(REPLAY,),
)
