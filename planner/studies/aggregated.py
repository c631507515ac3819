"""What studies cannot say of units that do both: refused before anything is computed."""

from planner.core.policy import policies_in
from planner.errors import UsageError
from planner.settings.scenario import Scenario


def require_replayable(scenario: Scenario) -> None:
    """Raises UsageError for a fleet whose requests cannot be replayed."""
    if scenario.fleet.serving == "aggregated":
        raise UsageError(
            "a replay of aggregated units is not there; `planner plan` counts them by intervals, or set "
            "fleet.serving=disaggregated"
        )


def unmodelled_latency(scenario: Scenario) -> str | None:
    """Why latencies of a fleet are not modelled without a replay; None where they are."""
    if scenario.fleet.serving != "aggregated":
        return None
    return "latencies of aggregated units are not modelled; take a policy other than slo"


def require_latency(scenario: Scenario) -> None:
    """Raises UsageError for a policy that needs latencies which are not modelled."""
    why = unmodelled_latency(scenario)
    if why and "slo" in policies_in(scenario.policy):
        raise UsageError(f"{scenario.policy.name}: {why}")
