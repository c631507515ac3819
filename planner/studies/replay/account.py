"""The account of a replay: figures of the counted window, of its hours and of its classes, from both stages."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import tzinfo
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from planner.core.fleet.units import AGGREGATED, EVERY_ROLE
from planner.core.replay.iterations.model import Replica
from planner.core.replay.requests.kernels.layout import Records
from planner.core.replay.requests.latency import E2E, TPOT, attained, quantiles_ms
from planner.core.replay.requests.missed import Missed, missed
from planner.core.replay.requests.model import Lives, Service, Span
from planner.core.replay.requests.sessions import ArrivalShifts
from planner.core.replay.requests.tallies import AnyStage, PromptStage, StreamStage
from planner.core.replay.requests.window import ReplayWindow
from planner.settings.fleet import FleetSettings
from planner.studies.replay.document import (
    Arrivals,
    FailureCounts,
    FailuresByRole,
    LatencySummary,
    LoadImbalance,
    ReplayClass,
    RequestOutcomes,
    ServiceQuality,
    SloAttainment,
    UnitUse,
)
from planner.units import US_PER_HOUR, Floats

Counts = NDArray[np.int32]

SHARES = (0.5, 0.9, 0.95, 0.99)
"""Quantiles of LatencySummary, in the order of its fields."""
REJECTED = {"full": "rejected-queue", "late": "rejected-timeout", "long": "rejected-length"}
"""Tallies of prefill of the requests that are rejected, and what that is called."""
_EVERY = slice(None)
"""Every class."""


class Counted(Protocol):
    """What is counted of requests by hour of arrival and class: of one replay, or of several together."""

    @property
    def span(self) -> Span: ...

    @property
    def histograms(self) -> Mapping[str, Counts]:
        """By metric: (hours, classes, buckets)."""

    @property
    def missed(self) -> Missed:
        """Requests that were not done at the end and are outside a target."""

    def seconds(self, hour: int | None) -> float:
        """How long an hour of the window, or the whole window, is."""

    def tallies(self, hour: int | None, classes: slice) -> tuple[Records, Records]:
        """Tallies of prefill and decode of an hour or of the whole window, and of some classes."""


@dataclass(frozen=True, kw_only=True)
class StageResults:
    """What prompts and streams had at the end of a replay, and its inputs.

    window: of the span, UTC. lives: by role. service: of units of two roles, or of one that does both.
    waited_for_start, waited_for_repair: requests of the window that came while a role held no unit that served, or only
    such that had failed. preempted: how often requests lost their KV to others. shifts: what a closed loop of sessions
    changed of arrivals.
    """

    prefill: PromptStage
    decode: StreamStage
    span: Span
    window: ReplayWindow
    lives: Mapping[str, Lives]
    service: Service | Replica
    fleet: FleetSettings
    zone: tzinfo
    waited_for_start: int = 0
    waited_for_repair: int = 0
    preempted: int = 0
    shifts: ArrivalShifts | None = None

    @property
    def histograms(self) -> dict[str, Counts]:
        """By metric: (hours, classes, buckets)."""
        return {"ttft": self.prefill.ttft, "tpot": self.decode.histograms[TPOT], "e2e": self.decode.histograms[E2E]}

    @cached_property
    def missed(self) -> Missed:
        """Requests that were not done at the end and are outside a target."""
        return missed(self.prefill, self.decode, self.span)

    def minutes(self, hour: int | None) -> slice:
        """The minutes that an hour of the window, or the whole window, touches."""
        begin, end = self.span.from_us / 60e6, self.span.to_us / 60e6
        if hour is not None:
            begin, end = begin + 60 * hour, min(begin + 60 * (hour + 1), end)
        return slice(math.floor(begin), math.ceil(end))

    def seconds(self, hour: int | None) -> float:
        """How long an hour of the window, or the whole window, is."""
        whole_s = (self.span.to_us - self.span.from_us) / 1e6
        return whole_s if hour is None else min(3600.0, whole_s - 3600 * hour)

    def stage(self, role: str) -> AnyStage:
        """What units of a role leave; of those that do both, what their streams do."""
        return self.prefill if role == "prefill" else self.decode

    def role(self, stage: str) -> str:
        """The role of the units that read prompts (prefill), or that decode (decode)."""
        return stage if stage in self.lives else AGGREGATED

    def held_us(self, stage: str) -> Floats:
        """Unit-microseconds that units were held that read prompts (prefill), or that decode (decode), by minute."""
        return held_us(self.lives[self.role(stage)], self.stage(stage).units["drain_took_us"], self.span)

    def nodes_of(self, stage: str) -> float:
        """Nodes, or the part of one, of such a unit."""
        return self.fleet.gpus_of(stage) / self.fleet.gpus_per_node

    def tallies(self, hour: int | None, classes: slice) -> tuple[Records, Records]:
        """Tallies of prefill and decode of an hour or of the whole window, and of some classes."""
        return self.prefill.hours[_rows(hour), classes], self.decode.hours[_rows(hour), classes]


def count_arrivals(results: StageResults) -> Arrivals:
    """Requests of the window by what became of them."""
    hours = results.prefill.hours
    arrived, rejected = int(hours["arrived"].sum()), int(sum(hours[why].sum() for why in REJECTED))
    completed = int(results.decode.hours["completed"].sum())
    in_flight = results.prefill.in_flight + results.decode.in_flight
    assert arrived == completed + in_flight + rejected, "a request was lost or counted twice"
    return Arrivals(
        arrived=arrived,
        completed=completed,
        in_flight=in_flight,
        rejected=rejected,
        retried=int(hours["retried"].sum()),
    )


def count_rejects(results: StageResults) -> dict[str, int]:
    """Rejected requests of the window by reason; reasons that none has are left out."""
    counts = {reason: int(results.prefill.hours[why].sum()) for why, reason in REJECTED.items()}
    return {reason: count for reason, count in counts.items() if count}


def count_requests(results: Counted, hour: int | None, classes: slice = _EVERY) -> RequestOutcomes:
    """Requests of an hour or of the whole window, and of some classes."""
    prefill, decode = results.tallies(hour, classes)
    return RequestOutcomes(
        requests=int(prefill["arrived"].sum()),
        completed=int(decode["completed"].sum()),
        rejected=int(sum(prefill[why].sum() for why in REJECTED)),
    )


def measure_attainment(results: Counted, hour: int | None, classes: slice = _EVERY) -> SloAttainment:
    """Attainment of the targets in an hour or in the whole window, by some classes."""
    prefill, decode = results.tallies(hour, classes)
    # a request that was rejected, or is unfinished past its target time, is not within target either
    refused, late, rows = sum(prefill[why] for why in REJECTED), results.missed, _rows(hour)
    return SloAttainment(
        ttft_attainment=attained(prefill["ttft_met"], prefill["read"] + refused + late.ttft[rows, classes]),
        tpot_attainment=attained(decode["tpot_met"], decode["with_tpot"] + late.tpot[rows, classes]),
        both_attainment=attained(decode["good"], decode["completed"] + refused + late.both[rows, classes]),
    )


def measure_quality(results: Counted, hour: int | None, classes: slice = _EVERY) -> ServiceQuality:
    """Latencies, goodput and hits of an hour or of the whole window, and of some classes."""
    prefill, decode = results.tallies(hour, classes)
    latencies = {name: counted[_rows(hour), classes].sum(axis=(0, 1)) for name, counted in results.histograms.items()}
    tokens = float(prefill["input_tokens"].sum())
    return ServiceQuality(
        ttft_ms=_summarise(latencies["ttft"], float(prefill["ttft_us"].sum())),
        tpot_ms=_summarise(latencies["tpot"], float(decode["tpot_us"].sum())),
        e2e_ms=_summarise(latencies["e2e"], float(decode["e2e_us"].sum())),
        goodput_requests_per_s=float(decode["good"].sum()) / results.seconds(hour),
        hit_ratio=float(prefill["hit_tokens"].sum()) / tokens if tokens else None,
    )


def summarise_classes(results: Counted, names: Mapping[int, str]) -> tuple[ReplayClass, ...]:
    """What users of every class got over the window. names: of the classes that are taken, by number."""
    rows = []
    for number in sorted(names) or range(results.span.classes):
        own = slice(number, number + 1)
        rows.append(
            ReplayClass(
                class_id=number,
                name=names.get(number),
                **vars(count_requests(results, None, own)),
                **vars(measure_quality(results, None, own)),
                slo=measure_attainment(results, None, own),
            )
        )
    return tuple(rows)


def measure_use(results: StageResults, hour: int | None) -> UnitUse:
    """What units did in the minutes of an hour or of the whole window."""
    minutes = results.minutes(hour)
    p, d = results.prefill.minutes[minutes], results.decode.minutes[minutes]
    fleet, time_us = results.fleet, results.span.minutes_us[minutes].sum()
    streams, tokens = float(d["stream_us"].sum()), float(d["tokens"].sum())
    held = d["kv_token_us"].sum() + streams * results.service.kv_stream_tokens
    decoding, reading = (float(results.held_us(role)[minutes].sum()) for role in ("decode", "prefill"))
    return UnitUse(
        prefill_queue_requests=ratio(results.prefill.queue_us[minutes].sum(), time_us),
        decode_queue_requests=ratio(results.decode.queue_us[minutes].sum(), time_us),
        streams_per_gpu=ratio(streams, decoding * fleet.gpus_of("decode")),
        kv_occupancy=ratio(held, decoding * results.service.kv_capacity_tokens),
        prefill_busy=ratio(p["busy_us"].sum(), reading),
        prefill_utilisation=ratio(p["work_us"].sum(), reading),
        decode_busy=ratio(d["busy_us"].sum(), decoding),
        missed_tokens_per_s_per_prefill_node=ratio(p["tokens"].sum() * 1e6, reading * results.nodes_of("prefill")),
        tokens_per_s_per_decode_node=ratio(tokens * 1e6, decoding * results.nodes_of("decode")),
        tokens_per_s_per_stream=ratio(tokens * 1e6, streams),
    )


def kv_peak_ratio(results: StageResults) -> float:
    """Largest share of a decode unit's KV memory in use in the minutes of the window."""
    most = float(results.decode.minutes["kv_tokens_most"][results.minutes(None)].max())
    return most / results.service.kv_capacity_tokens


def count_tokens(results: StageResults, hour: int | None) -> float:
    """Output tokens of an hour of the window or of the whole, first tokens included.

    Later tokens of a minute that is partly in the hour count pro rata, so that hours add up to the whole.
    """
    span, number = results.span, hour or 0
    from_us = span.from_us + number * US_PER_HOUR
    to_us = span.to_us if hour is None else min(from_us + US_PER_HOUR, span.to_us)
    edges = np.concatenate([[0.0], np.cumsum(span.minutes_us)])
    part = np.diff(np.clip(edges, from_us, to_us)) / span.minutes_us
    first = results.prefill.hours["first"][_rows(hour)].sum()
    return float(first + results.decode.minutes["tokens"] @ part)


def held_us(lives: Lives, drain_took_us: Floats, span: Span) -> Floats:
    """Unit-microseconds in which units take work or end what they began, by minute.

    drain_took_us: nan for units that have not begun to drain, inf for those that have not ended it.
    """
    edges = np.concatenate([[0.0], np.cumsum(span.minutes_us)])
    empty_us = lives.stop_us + np.where(np.isnan(drain_took_us), 0.0, drain_took_us)
    begin = np.clip(lives.serve_us[:, None], edges[:-1], edges[1:])
    end = np.clip(empty_us[:, None], edges[:-1], edges[1:])
    total: Floats = np.maximum(end - begin, 0).sum(axis=0)
    return total


def measure_imbalance(results: StageResults, *, exact: bool, table: float | None) -> LoadImbalance:
    """How uneven the load of units was while requests were counted.

    exact: whether the GPUs of decode units were replayed one by one. table: what the balancer's table has for them.
    """
    prefill, decode = results.prefill.samples, results.decode.samples
    ranks = decode if exact else decode[:0]
    columns = {
        "kv": (decode, "kv"),
        "stream": (decode, "streams"),
        "prefill_token": (prefill, "tokens"),
        "prefill_request": (prefill, "requests"),
        "rank_kv": (ranks, "rank_kv"),
        "rank_stream": (ranks, "rank_streams"),
    }
    figures: dict[str, float | None] = {}
    for name, (samples, column) in columns.items():
        values = samples[column][results.span.counts(samples["at_us"])]
        figures[f"{name}_imbalance_mean"] = float(values.mean()) if len(values) else None
        figures[f"{name}_imbalance_p99"] = float(np.quantile(values, 0.99)) if len(values) else None
    return LoadImbalance(**figures, rank_kv_imbalance_table=table)


def drain_times_s(results: StageResults, role: str) -> tuple[float, ...]:
    """Seconds that units of a role took from taking no more work to being empty, in the order of units.

    Those that took no more before the simulated time are no part of it.
    """
    stage, lives = results.stage(role), results.lives[role]
    there = (lives.serve_us <= results.span.end_us) & (lives.drain_us > 0)
    took_us = stage.drain_us[there]
    return tuple((took_us[~np.isnan(took_us)] / 1e6).tolist())


def count_failures(results: StageResults) -> FailuresByRole:
    """Units that failed until the end, and the requests in them then, which were restarted."""
    none = FailureCounts(units=0, requests=0)
    return FailuresByRole(**{role: _failed(results, role) if role in results.lives else none for role in EVERY_ROLE})


def ratio(amount: float, over: float) -> float | None:
    """A ratio; None if the denominator is 0."""
    return float(amount) / over if over else None


def _failed(results: StageResults, role: str) -> FailureCounts:
    lost = (results.prefill, results.decode) if role == AGGREGATED else (results.stage(role),)
    return FailureCounts(
        units=int(np.count_nonzero(results.lives[role].fail_us <= results.span.end_us)),
        # units that do both lose prompts and streams
        requests=int(sum(each.units["lost"].sum() for each in lost)),
    )


def _rows(hour: int | None) -> slice:
    return slice(None) if hour is None else slice(hour, hour + 1)


def _summarise(counted: Counts, sum_us: float) -> LatencySummary:
    """Mean and quantiles of a histogram, ms."""
    total = int(counted.sum())
    p50, p90, p95, p99 = quantiles_ms(counted, SHARES)
    return LatencySummary(mean=sum_us / total / 1e3 if total else None, p50=p50, p90=p90, p95=p95, p99=p99)
