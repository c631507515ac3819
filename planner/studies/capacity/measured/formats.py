"""What the readers of benchmark tools have in common: how a format is described, and how its figures are taken."""

from collections.abc import Callable
from dataclasses import dataclass

from planner.studies.capacity.measured.entries import Entry
from planner.studies.capacity.measured.serving import MeasuredServing


@dataclass(frozen=True, kw_only=True)
class Format:
    """The output of one tool.

    recognises: whether an entry is of it. read: its measurement. cure: how to measure again. The keys name in messages
    where the figures stand; concurrency_keys: where the requests in flight do. unit: of its times, as published.
    """

    recognises: Callable[[Entry], bool]
    read: Callable[[Entry], MeasuredServing]
    cure: str
    ttft_key: str
    tpot_key: str
    e2e_key: str
    rate_key: str
    concurrency_keys: tuple[str, ...]
    unit: str = "milliseconds"


def mean_or_median(
    entry: Entry, cure: str, figure: str, means: tuple[str, ...], medians: tuple[str, ...], notes: list[str]
) -> float | None:
    """The mean at the first key that has one, else a median, which is noted; None where neither was measured.

    figure: its name in the note. Raises PlannerError.
    """
    if entry.has(*means):
        return entry.measured(cure, *means)
    median = entry.measured(cure, *medians)
    if median is not None:
        notes.append(f"{figure} is a median: the file has no mean")
    return median


def in_flight(
    *, request_rate: float | None, e2e_ms: float | None, ttft_ms: float | None, tpot_ms: float | None, outputs: float
) -> float | None:
    """Mean requests in flight by Little's law: requests per second × seconds of a request. None where one is unknown.

    Without a mean of whole requests, their time is that to the first token and one step for each further one.
    """
    if e2e_ms is None and ttft_ms is not None and (tpot_ms is not None or outputs <= 1):
        e2e_ms = ttft_ms + max(outputs - 1, 0) * (tpot_ms or 0)
    if request_rate is None or e2e_ms is None:
        return None
    return request_rate * e2e_ms / 1e3
