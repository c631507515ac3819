"""What the reader of a replay should know: what its targets mean, and how it stands to what was observed of streams."""

from collections.abc import Sequence

from planner.catalogue.read import DEFAULT_SCENARIO
from planner.planning.observed import differences
from planner.settings.economics import SloSettings
from planner.settings.scenario import Scenario
from planner.studies.replay.document import LatencySummary, ReplayHour
from planner.trace.stored import TraceInfo

BUILT_IN_MEAN = 21.0
"""Tokens/s of a stream over the whole built-in day. Computed: `planner replay --all`; a bench replays it again."""
_DECIDING = ("interval_s", "trace.", "policy.", "fleet.", "replay.", "failures.")


def target_note(slo: SloSettings, tpot_ms: LatencySummary) -> str:
    """What the targets are, and how far the median request is from the one that users read by."""
    text = (
        f"targets: a first token within {slo.ttft_ms:,.0f} ms (slo.ttft_ms), and for each further token of a request "
        f"at most {slo.tpot_ms:g} ms on average (slo.tpot_ms), which is {1000 / slo.tpot_ms:.1f} tokens/s"
    )
    if tpot_ms.p50 is None:
        return text
    over = tpot_ms.p50 / slo.tpot_ms - 1
    return (
        f"{text}; the median request takes {tpot_ms.p50:.1f} ms, {abs(over):.1%} {'over' if over > 0 else 'under'} it"
    )


def stream_notes(
    scenario: Scenario, trace: TraceInfo, mean: float | None, hours: Sequence[ReplayHour], *, whole: bool
) -> list[str]:
    """How the tokens/s of a stream stand to what was observed, where the plan is like what that was observed on.

    mean: over the counted window. whole: whether that is all of the plan but its warm-up.
    """
    seen = scenario.fleet.observed
    if seen is None:
        return []
    least, most = seen.least_tokens_per_s_per_stream, seen.most_tokens_per_s_per_stream
    if mean is None or least is None or most is None or list(differences(scenario, trace)):
        return []
    stands = "below" if mean < least else "above" if mean > most else "inside"
    text = (
        f"streams of {seen.source} had {least:g} to {most:g} tokens/s on average over the whole; here the mean is "
        f"{mean:.1f}, {stands} that"
    )
    slow = [hour for hour in hours if (hour.tokens_per_s_per_stream or most) < least]
    if whole:
        return [f"{text}; {len(slow)} of {len(hours)} hours, the busiest, are below {least:g}" if slow else text]
    if _is_built_in(scenario):
        return [
            f"{text}, in this window alone: replayed with --all the whole day has {BUILT_IN_MEAN}, and its busiest "
            "hours are below"
        ]
    return [f"{text}, in this window alone: --all replays the whole"]


def _is_built_in(scenario: Scenario) -> bool:
    """Whether nothing is set that changes a replay of the built-in day."""
    changed = [path for path, text in scenario.provenance.items() if text.startswith("set: ")]
    return scenario.name == DEFAULT_SCENARIO and not any(path.startswith(_DECIDING) for path in changed)
