"""Sweeps: what a plan's figures become where its inputs are uncertain. Parameters, cases, processes, storing."""

import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import polars as pl
from pydantic import ValidationError

from planner.capacity.units import LatencyLimits
from planner.catalogue.read import describe
from planner.catalogue.scenarios import field_paths, number_kind, value_at
from planner.core.demand import Demand
from planner.core.fleet.deployment import Deployment, Units
from planner.core.sensitivity import Law, latin_hypercube, seeds
from planner.errors import PlannerError, ScenarioError, UsageError
from planner.planning.capacity import modelled_limits, policy_limits, with_modelled_capacity
from planner.planning.check import require
from planner.planning.foresight import drawn_from
from planner.planning.notes import sampling_notes
from planner.planning.prepare import ensure_trace, resolve
from planner.settings.scenario import Scenario, TraceSettings
from planner.settings.sweep import Range
from planner.store import Session, Store
from planner.studies.sweep.case import (
    CACHE_HIT,
    GPU_PRICE,
    GROWTH,
    LEVEL,
    NODES_DOWN,
    NOISE,
    OWN,
    Case,
    Outcome,
    Study,
    Value,
    run_cases,
)
from planner.trace.demand import binned
from planner.trace.stored import TraceInfo
from planner.trace.synthetic.cells import cells_of, demand_of
from planner.trace.synthetic.profile import Profile
from planner.units import Progress

NOISE_SEEDS = 32
"""Draws of the noise whose spread stands for it beside one-at-a-time changes; assumed: enough for a 5 % quantile."""

MOST_CASES = 100_000
"""Assumed: far more than quantiles need; above, a mistyped number is likelier."""

_CHUNK = 10
"""Cases that a process plans before it reports."""
_CASES_PER_WORKER = 100
"""Fewer are planned sooner than a process starts."""

_TABLES = ("policy", "training", "economics")
_FIELDS = (
    LEVEL,
    GROWTH,
    NOISE,
    "fleet.nodes",
    "fleet.prefill.tokens_per_s_per_node",
    "fleet.decode.tokens_per_s_per_node",
    "fleet.start_up_s",
    "fleet.drain_deadline_s",
    "slo.max_shortfall_ratio",
)
"""Beside all numbers of _TABLES: fields that a plan depends on. Others describe replays, the trace that is drawn, or
modelled capacities, which a sweep takes as they come out for the scenario."""

_LIMITS = {CACHE_HIT: (0.0, 0.99), GPU_PRICE: (0.0, 1e6), NODES_DOWN: (0.0, 0.5)}
"""Between these values the parameters that are no fields mean something; the upper ones are assumed."""


@dataclass(frozen=True)
class Parameter:
    """One uncertain value: its law, what it is in the scenario (None for a field left out), whether it is whole."""

    path: str
    law: Law
    base: Value
    whole: bool
    provenance: str

    def value(self, number: float) -> Value:
        """A drawn number as the parameter takes it: prices are whole micro-dollars."""
        if self.whole:
            return round(number)
        return round(number, 6) if self.path == GPU_PRICE else number


@dataclass(frozen=True)
class Sweep:
    """A finished sweep. cases: samples for each policy. outcomes: of all cases, by policy and index."""

    scenario: Scenario
    trace: TraceInfo
    policies: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    cases: int
    seed: int
    outcomes: tuple[Outcome, ...]
    notes: tuple[str, ...]

    def of(self, policy: str, role: str) -> list[Outcome]:
        """The outcomes of a policy's cases in one role, in order."""
        return [each for each in self.outcomes if (each.case.policy, each.case.role) == (policy, role)]


def sweep(
    store: Store,
    scenario: Scenario,
    *,
    policies: Sequence[str] = (),
    cases: int = 1000,
    seed: int = 1,
    vary: Sequence[str] = (),
    workers: int | None = None,
    now: datetime,
    progress: Progress | None = None,
    drawing: Progress | None = None,
) -> Sweep:
    """Plan a scenario at sampled values, one at a time at the ends of each range, and at the base.

    Nothing is stored but a drawn trace. policies: none for the scenario's own. vary: "PATH=LOW:HIGH" or "PATH=base".
    workers: processes; None for what the machine has. The outcomes do not depend on it. Raises UsageError.
    """
    if not 2 <= cases <= MOST_CASES:
        raise UsageError(f"--cases {cases}: give 2 to {MOST_CASES:,}")
    if seed < 0:
        raise UsageError(f"--seed {seed}: give 0 or more")
    names = tuple(dict.fromkeys(policies)) or (scenario.policy.name,)
    ranges = ranges_of(scenario, vary)
    require(*(_with_policy(scenario, name) for name in names))
    trace = ensure_trace(store, scenario, now=now, progress=drawing)
    study, notes = study_of(store, scenario, trace, names)
    parameters, further = parameters_of(study, ranges)
    if not parameters and not study.settings.noise:
        raise UsageError("nothing is uncertain: sweep.vary is empty; give --vary PATH=LOW:HIGH")
    for parameter in parameters:
        _check_ends(study, parameter)
    planned = design(study, parameters, names, cases, seed)
    outcomes = run_all(study, planned, workers=workers, progress=progress)
    return Sweep(study.scenario, trace, names, tuple(parameters), cases, seed, tuple(outcomes), (*notes, *further))


def study_of(store: Store, scenario: Scenario, trace: TraceInfo, policies: Sequence[str]) -> tuple[Study, list[str]]:
    """The base of a sweep, and what the reader should know of it. Raises UsageError."""
    with store.read() as session:
        demand = binned(session, trace, scenario.interval_s, scenario.zone)
        notes = list(sampling_notes(session, trace, demand.grid))
        scenario = with_modelled_capacity(session, scenario, trace)
        limits, why = _limits(session, scenario, trace, policies)
    profile, settings, by_cells = _source(scenario, trace, demand)
    if by_cells:
        notes.append(
            "the demand of a case is that of a trace drawn with its level, growth, noise and seed, to the token"
        )
    else:
        notes.append(
            "the demand of a case is the stored demand of every interval times level and noise; the noise is that of "
            "drawn traces, on top of what is stored"
        )
    notes += why
    base = Study(
        scenario=scenario,
        trace=trace,
        demand=demand,
        profile=profile,
        settings=settings,
        by_cells=by_cells,
        limits=limits,
        prepared={
            name: resolve(_with_policy(scenario, name), trace, demand)
            for name in dict.fromkeys((scenario.policy.name, *policies))
        },
    )
    return base, notes


def _source(scenario: Scenario, trace: TraceInfo, demand: Demand) -> tuple[Profile | None, TraceSettings, bool]:
    """What the demand of cases comes from: the profile, the settings at the base, whether its cells give the demand."""
    try:
        drawn = drawn_from(scenario, trace)
    except UsageError:
        # a profile that has gone or changed: the stored demand is all there is
        drawn = None
    as_stored = {"noise": 0.0, "growth_per_day": 0.0}
    if drawn is None:
        return None, scenario.trace.model_copy(update={"demand_factor": 1.0, **as_stored}), False
    profile, settings = drawn
    if demand.grid.interval_s % profile.settings.cell_s == 0:
        of_cells = demand_of(cells_of(profile, settings), profile.settings.population.block_tokens, demand.grid)
        columns = ("requests", "input_tokens", "cached_input_tokens", "output_tokens")
        if all((getattr(of_cells, name) == getattr(demand, name)).all() for name in columns):
            return profile, settings, True
    return profile, settings.model_copy(update={"noise": 0.0}), False


def _limits(
    session: Session, scenario: Scenario, trace: TraceInfo, policies: Sequence[str]
) -> tuple[LatencyLimits | None, list[str]]:
    """What units do within the latency targets, or why that is not known. Raises UsageError for a policy that asks."""
    for name in policies:
        limits = policy_limits(session, _with_policy(scenario, name), trace)
        if limits is not None:
            return limits, [_latency_note(scenario, limits)]
    try:
        limits = modelled_limits(session, scenario, trace)
        return limits, [_latency_note(scenario, limits)]
    except UsageError as error:
        return None, [f"latencies are not modelled: {error}"]


def _latency_note(scenario: Scenario, limits: LatencyLimits) -> str:
    slo, able = scenario.slo, Deployment(scenario.fleet).capacity(Units(1, 1), 1)
    return (
        "latency_met_ratio is the share of requests in intervals whose serving units are modelled to give 99 % of "
        f"first tokens within {slo.ttft_ms:g} ms and {slo.tpot_ms:g} ms per token on average: prefill units up to "
        f"{limits.input_tokens_per_s / able[0]:.0%} and decode units up to {limits.output_tokens_per_s / able[1]:.0%} "
        "of the scenario's capacity; replay a plan to see"
    )


def _with_policy(scenario: Scenario, name: str) -> Scenario:
    return scenario.model_copy(update={"policy": scenario.policy.model_copy(update={"name": name})})


def ranges_of(scenario: Scenario, vary: Sequence[str]) -> list[Range]:
    """The scenario's ranges, changed by "PATH=LOW:HIGH" and taken out by "PATH=base". Raises UsageError."""
    found = {each.path: each for each in scenario.sweep.vary}
    for text in vary:
        path, _, values = (part.strip() for part in text.partition("="))
        _check_path(path, f"--vary {path}")
        if values == "base":
            found.pop(path, None)
            continue
        try:
            low, high = map(float, values.split(":"))
        except ValueError as error:
            raise UsageError(
                f"--vary {text}: write PATH=LOW:HIGH, for example fleet.start_up_s=30:600, or PATH=base"
            ) from error
        law = found[path].law if path in found else "uniform"
        given = {"path": path, "law": law, "low": low, "high": high, "provenance": "set: flag --vary"}
        try:
            found[path] = Range.model_validate(given)
        except ValidationError as error:
            raise UsageError(f"--vary {text}: {'; '.join(describe(error))}") from error
    for path in found:
        _check_path(path, f"sweep.vary: {path}")
    return list(found.values())


def _check_path(path: str, head: str) -> None:
    known = [name for name, _ in field_paths()]
    if path in OWN or path in _FIELDS or (path in known and path.split(".")[0] in _TABLES and number_kind(path)):
        return
    if path in known:
        raise UsageError(
            f"{head}: is no number that a sweep varies; give {', '.join((*OWN, *_FIELDS))}, or a number of "
            f"{', '.join(_TABLES)}"
        )
    raise UsageError(f"{head}: is not a known field, nor one of {', '.join(OWN)}; correct its name")


def parameters_of(study: Study, ranges: Sequence[Range]) -> tuple[list[Parameter], list[str]]:
    """The parameters of ranges around a base, and notes on what is left out. Raises UsageError."""
    found, notes = [], []
    for each in ranges:
        base = _base(study, each.path)
        whole = each.path not in OWN and number_kind(each.path) is int
        low, high = each.low, each.high
        if each.path == GROWTH and not study.by_cells:
            raise UsageError(
                f"{GROWTH}: can only be varied for a trace drawn from a profile, by intervals of whole cells; "
                "leave it out"
            )
        if each.relative:
            if not base:
                notes.append(f"{each.path} is {base} in the scenario: its range, relative to that, is nothing")
                continue
            low, high = low * base, high * base
        least, most = _LIMITS.get(each.path, (low, high))
        if each.relative:
            low, high = max(low, least), min(high, most)
        if low < least or high > most:
            raise UsageError(f"{each.path} from {low:g} to {high:g}: give values from {least:g} to {most:g}")
        top = low if base is None else min(max(float(base), low), high)
        found.append(Parameter(each.path, Law(each.law, low, high, top), base, whole, each.provenance))
    return found, notes


def _base(study: Study, path: str) -> Value:
    """The scenario's own value of a parameter."""
    own = {CACHE_HIT: study.hit_ratio, GPU_PRICE: study.gpu_usd_per_hour, NODES_DOWN: 0.0}
    if path in own:
        return own[path]
    value: Value = value_at(study.scenario.model_copy(update={"trace": study.settings}), path)
    return value


def _check_ends(study: Study, parameter: Parameter) -> None:
    """Raises UsageError where a scenario cannot have the values at the ends of a range."""
    for end in (parameter.law.low, parameter.law.high):
        try:
            study.scenario_at(study.scenario.policy.name, {parameter.path: parameter.value(end)}, study.settings.seed)
        except ScenarioError as error:
            raise UsageError(
                f"{parameter.path} from {parameter.law.low:g} to {parameter.law.high:g}: {error}"
            ) from error


def design(study: Study, parameters: Sequence[Parameter], policies: Sequence[str], cases: int, seed: int) -> list[Case]:
    """All cases to plan: the base, both ends of every range, draws of the noise, samples; the same for every policy."""
    base = {each.path: each.base for each in parameters}
    own_seed = study.settings.seed
    rows: list[tuple[str, str | None, Mapping[str, Value], int]] = [("base", None, base, own_seed)]
    for each in parameters:
        if each.path != NOISE:
            for role, end in (("low", each.law.low), ("high", each.law.high)):
                rows.append((role, each.path, {**base, each.path: each.value(end)}, own_seed))
    most_noise = max([study.settings.noise, *(each.law.high for each in parameters if each.path == NOISE)])
    if most_noise:
        # the noise may be that of the scenario, and vary by its seed alone
        noisy = {**base, NOISE: most_noise}
        rows += [("seed", NOISE, noisy, drawn) for drawn in seeds("noise", NOISE_SEEDS, seed)]
    shares = latin_hypercube([each.path for each in parameters], cases, seed)
    columns = {each.path: each.law.values(shares[each.path]) for each in parameters}
    for index, drawn in enumerate(seeds("case", cases, seed)):
        values = {each.path: each.value(float(columns[each.path][index])) for each in parameters}
        rows.append(("sample", None, values, drawn))
    return [
        Case(index, role, varied, policy, values, drawn)
        for policy in policies
        for index, (role, varied, values, drawn) in enumerate(rows)
    ]


def run_all(
    study: Study, cases: Sequence[Case], *, workers: int | None = None, progress: Progress | None = None
) -> list[Outcome]:
    """Plan all cases, in processes where there are many. progress: cases done, and in all. Raises UsageError."""
    chunks = [cases[first : first + _CHUNK] for first in range(0, len(cases), _CHUNK)]
    if workers is None:
        workers = min(_processors(), len(cases) // _CASES_PER_WORKER)
    if workers < 2:
        found = []
        for chunk in chunks:
            found += run_cases(study, chunk)
            if progress is not None:
                progress(len(found), len(cases))
        return found
    return _in_processes(study, chunks, workers, progress)


def _processors() -> int:
    # what this process may use, where the system tells
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _in_processes(
    study: Study, chunks: Sequence[Sequence[Case]], workers: int, progress: Progress | None
) -> list[Outcome]:
    if study.profile is not None:
        # solved here once: another process might round the smoothed shape in another way
        _ = study.profile.cell_share
    # a fork would copy locks that threads of polars may hold
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
    done = 0
    try:
        with _quiet_children():
            places = {pool.submit(run_cases, study, chunk): place for place, chunk in enumerate(chunks)}
        for future in as_completed(places):
            done += len(future.result())
            if progress is not None:
                progress(done, sum(map(len, chunks)))
    except BrokenProcessPool as error:
        raise PlannerError(
            "a process that planned cases has ended, perhaps for want of memory; run fewer --cases, or free memory"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
    ordered = sorted(places, key=lambda future: places[future])
    return [outcome for future in ordered for outcome in future.result()]


@contextmanager
def _quiet_children() -> Iterator[None]:
    """Processes started inside use one thread of polars each, and leave Ctrl-C to this one."""
    before = os.environ.get("POLARS_MAX_THREADS")
    os.environ["POLARS_MAX_THREADS"] = "1"
    in_main = threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN) if in_main else None
    try:
        yield
    finally:
        if in_main:
            signal.signal(signal.SIGINT, handler)
        if before is None:
            del os.environ["POLARS_MAX_THREADS"]
        else:
            os.environ["POLARS_MAX_THREADS"] = before


def save(store: Store, found: Sweep, *, now: datetime, version: str) -> str:
    """Store all cases of a sweep in one transaction; returns the sweep_id."""
    frame = case_frame(found).with_columns(
        created_at=pl.lit(now),
        scenario=pl.lit(found.scenario.name),
        trace=pl.lit(found.trace.name),
        settings=pl.when(pl.col("role") == "base").then(pl.lit(found.scenario.model_dump_json())),
        planner_version=pl.lit(version),
    )
    with store.write() as session:
        sweep_id = f"sweep-{session.next_number('sweep_sequence'):05d}"
        session.append("sweep_case", frame.with_columns(sweep_id=pl.lit(sweep_id)))
    return sweep_id


def case_frame(found: Sweep) -> pl.DataFrame:
    """A row per case, as in the table sweep_case, without what all rows of the sweep share."""
    rows = [
        {
            "policy": each.case.policy,
            "case_index": each.case.index,
            "role": each.case.role,
            "varied": each.case.varied,
            "parameters": json.dumps(dict(each.case.values)),
            "noise_seed": each.case.seed,
            "plan_s": each.plan_s,
            "peak_nodes": each.peak_nodes,
            "inference_node_s": each.inference_node_s,
            "training_node_s": each.training_node_s,
            "useful_training_node_s": each.useful_training_node_s,
            "cost_usd_micros": each.cost_usd_micros,
            "revenue_usd_micros": each.revenue_usd_micros,
            "demanded_tokens": each.demanded_tokens,
            "shortfall_tokens": each.shortfall_tokens,
            "requests": each.requests,
            "latency_met_requests": each.latency_met_requests,
            "slo_met": each.slo_met,
        }
        for each in found.outcomes
    ]
    return pl.DataFrame(
        rows, infer_schema_length=None, schema_overrides={"varied": pl.String, "latency_met_requests": pl.Int64}
    )
