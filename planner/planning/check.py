"""Whether a scenario can be planned: what only the files behind it show."""

from collections.abc import Callable

from planner.capacity.engines import decode_of, prefill_of
from planner.catalogue.read import hardware, job_list, model, price_sheet, scenario_gpu_rate
from planner.core.fleet.deployment import Deployment
from planner.core.policy import KnownDemand, PolicyInputs, make_policy, policies_in
from planner.core.replay.jobs.outcome import check_jobs
from planner.errors import UsageError
from planner.planning.allowance import up_factors
from planner.planning.declared import declared_of
from planner.planning.selection import check_selection
from planner.planning.timetable import read_timetable
from planner.settings.scenario import Scenario
from planner.settings.training_jobs import JobList
from planner.trace.demand import MOST_INTERVALS
from planner.trace.synthetic.profile import load_profile
from planner.units import S_PER_DAY


def check(scenario: Scenario) -> list[str]:
    """Check what only the files behind a scenario show.

    Args:
        scenario: A scenario whose own fields are valid.

    Returns:
        The problems, one line each with its cure; empty if the scenario can be planned.
    """
    economics = scenario.economics
    attempts: tuple[Callable[[], object], ...] = (
        lambda: scenario.trace.profile is None or load_profile(scenario.trace.profile),
        lambda: check_selection(scenario),
        lambda: _check_size(scenario),
        lambda: declared_of(scenario, 0, 0),
        lambda: _policy(scenario),
        lambda: scenario_gpu_rate(economics),
        lambda: price_sheet(economics.price_sheet),
        lambda: economics.other_price_sheet is None or price_sheet(economics.other_price_sheet),
        lambda: jobs_named(scenario),
        lambda: up_factors(scenario.fleet, scenario.failures.nodes_down_ratio),
        lambda: _engines(scenario),
    )
    problems = []
    for attempt in attempts:
        try:
            attempt()
        except UsageError as error:
            problems.append(str(error))
    return problems


def require(*scenarios: Scenario) -> None:
    """Raises UsageError with every problem where one of the scenarios cannot be planned."""
    problems = [problem for scenario in scenarios for problem in check(scenario)]
    if problems:
        raise UsageError("; ".join(dict.fromkeys(problems)))


def jobs_named(scenario: Scenario) -> JobList | None:
    """The training jobs that a scenario names; None if it names none. Raises UsageError."""
    if scenario.training.jobs is None:
        return None
    jobs = job_list(scenario.training.jobs)
    check_jobs(jobs, scenario.fleet)
    return jobs


def _check_size(scenario: Scenario) -> None:
    """Raises UsageError where a trace that is drawn has more intervals than are planned."""
    settings = scenario.trace
    if settings.name is not None or settings.profile is None:
        return
    seconds = settings.days * S_PER_DAY
    if settings.start_at is not None and settings.end_at is not None:
        seconds = min(seconds, int((settings.end_at - settings.start_at).total_seconds()))
    if seconds > MOST_INTERVALS * scenario.interval_s:
        raise UsageError(
            f"trace.days {settings.days} makes {seconds // scenario.interval_s:,} intervals of {scenario.interval_s} "
            f"s, and at most {MOST_INTERVALS:,} are planned; lower it, or raise interval_s"
        )


def _policy(scenario: Scenario) -> None:
    """Build the policy, with placeholders for what it learns from a trace. Raises UsageError."""
    entries, notes = read_timetable(scenario)
    given = PolicyInputs(entries, notes, meets=lambda *_: True, known=KnownDemand((), scenario.interval_s))
    make_policy(scenario.policy, Deployment(scenario.fleet), given)


def _engines(scenario: Scenario) -> None:
    """Raises UsageError for a model or kind of node that is not known, or that units that are modelled cannot serve."""
    fleet = scenario.fleet
    model(fleet.engine.model), hardware(fleet.engine.hardware)
    if fleet.capacity == "modelled" or "slo" in policies_in(scenario.policy):
        prefill_of(fleet), decode_of(fleet)
