"""Requests that are not done at the end of a replay, and can no longer be within a target. Pure."""

from dataclasses import dataclass

import numpy as np

from planner.core.replay.requests.kernels.layout import HOUR_US, Records
from planner.core.replay.requests.model import Span
from planner.core.replay.requests.tallies import PromptFigures, StreamFigures
from planner.units import Ints


@dataclass(frozen=True)
class Missed:
    """Counted requests that were neither done nor refused at the end: (hours, classes) of arrival.

    ttft: no first token though the time for it has passed. tpot: in decode for longer than all their tokens may take.
    both: either, or in decode after a first token that was late. What failed units held and was being read again is
    left out.
    """

    ttft: Ints
    tpot: Ints
    both: Ints


def missed(prefill: PromptFigures, decode: StreamFigures, span: Span) -> Missed:
    """Count them, after the end of both stages."""
    waiting, streams = prefill.in_system, decode.in_system
    unread = (waiting["output_tokens"] >= 0) & (span.end_us - waiting["arrival_us"] > span.ttft_us)
    began_late = streams["first_us"] - streams["arrival_us"] > span.ttft_us
    slow = span.end_us - streams["first_us"] > span.tpot_us * (streams["output_tokens"] - 1)
    ttft = _by_hour(waiting[unread], span)
    return Missed(ttft, _by_hour(streams[slow], span), ttft + _by_hour(streams[slow | began_late], span))


def _by_hour(requests: Records, span: Span) -> Ints:
    counts = np.zeros((span.hours, span.classes), np.int64)
    counted = requests[span.counts(requests["arrival_us"])]
    hour = ((counted["arrival_us"] - span.from_us) / HOUR_US).astype(np.int64)
    np.add.at(counts, (hour, counted["class_id"]), 1)
    return counts
