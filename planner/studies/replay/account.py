"""The account of a replay: rows for the store, and the document for people and programs."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta, tzinfo
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from planner.core.replay.requests.kernels.layout import FULL, LATE
from planner.core.replay.requests.latency import E2E, TPOT, attained, bucket_edges_us, quantiles_ms
from planner.core.replay.requests.missed import Missed, missed
from planner.core.replay.requests.model import Lives, Requests, Service, Span
from planner.core.replay.requests.stages import DecodeStage, PrefillStage
from planner.settings.scenario import FleetSettings, SloSettings
from planner.units import US_PER_HOUR, Floats, from_us

Counts = NDArray[np.int32]

SHARES = (0.5, 0.9, 0.95, 0.99)
"""Quantiles that are told."""
METRICS = ("ttft", "tpot", "e2e")
_TIME = pl.Datetime("us", "UTC")


@dataclass(frozen=True)
class Measured:
    """Both stages after the end, and what they were made from. from_us: start of the counted window; origin_us: of the
    simulation; UTC epoch microseconds. lives: by role."""

    prefill: PrefillStage
    decode: DecodeStage
    span: Span
    from_us: int
    origin_us: int
    lives: Mapping[str, Lives]
    service: Service
    fleet: FleetSettings
    zone: tzinfo

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

    def held_us(self, role: str) -> Floats:
        """Unit-microseconds in which units of a role were there, by minute."""
        stage = self.prefill if role == "prefill" else self.decode
        return held_us(self.lives[role], stage.units["drain_took_us"], self.span)


def counts(measured: Measured) -> dict[str, int]:
    """Requests of the window: arrived = completed + in flight + rejected, each counted for itself."""
    hours = measured.prefill.hours
    arrived, rejected = int(hours["arrived"].sum()), int(hours["full"].sum() + hours["late"].sum())
    completed = int(measured.decode.hours["completed"].sum())
    in_flight = measured.prefill.in_flight + measured.decode.in_flight
    assert arrived == completed + in_flight + rejected, "a request was lost or counted twice"
    return {
        "arrived": arrived,
        "completed": completed,
        "in_flight": in_flight,
        "rejected": rejected,
        "retried": int(hours["retried"].sum()),
    }


def overall(measured: Measured) -> dict[str, Any]:
    """The figures of the whole window."""
    most = float(measured.decode.minutes["kv_tokens_most"][measured.minutes(None)].max())
    return {
        **_felt(measured, None, slice(None)),
        **_use(measured, measured.minutes(None)),
        "kv_peak_ratio": most / measured.service.kv_capacity_tokens,
    }


def hours(measured: Measured) -> list[dict[str, Any]]:
    """What users felt and units did, hour by hour of the window, JSON-ready."""
    rows = []
    for hour in range(measured.span.hours):
        felt = _felt(measured, hour, slice(None))
        rows.append(
            {
                "start": from_us(measured.from_us + hour * US_PER_HOUR, measured.zone).isoformat(),
                **_counted(measured, hour, slice(None)),
                **felt.pop("slo"),
                **felt,
                **_use(measured, measured.minutes(hour)),
            }
        )
    return rows


def classes(measured: Measured, names: Mapping[int, str]) -> list[dict[str, Any]]:
    """What users of every class felt over the window. names: by class_id."""
    return [
        {
            "class_id": number,
            "class": names.get(number),
            **_counted(measured, None, slice(number, number + 1)),
            **_felt(measured, None, slice(number, number + 1)),
        }
        for number in range(measured.span.classes)
    ]


def delivered(measured: Measured, hour: int | None) -> float:
    """Output tokens of an hour of the window or of the whole, first tokens included.

    A minute that is only in part in the hour gives as much of its other tokens, so that hours add up to the whole.
    """
    span, number = measured.span, hour or 0
    from_us = span.from_us + number * US_PER_HOUR
    to_us = span.to_us if hour is None else min(from_us + US_PER_HOUR, span.to_us)
    edges = np.concatenate([[0.0], np.cumsum(span.minutes_us)])
    part = np.diff(np.clip(edges, from_us, to_us)) / span.minutes_us
    first = measured.prefill.hours["read"][_rows(hour)].sum()
    return float(first + measured.decode.minutes["tokens"] @ part)


def _rows(hour: int | None) -> slice:
    return slice(None) if hour is None else slice(hour, hour + 1)


def _counted(measured: Measured, hour: int | None, class_id: slice) -> dict[str, int]:
    p, d = measured.prefill.hours[_rows(hour), class_id], measured.decode.hours[_rows(hour), class_id]
    return {
        "requests": int(p["arrived"].sum()),
        "completed": int(d["completed"].sum()),
        "rejected": int(p["full"].sum() + p["late"].sum()),
    }


def _felt(measured: Measured, hour: int | None, class_id: slice) -> dict[str, Any]:
    """Latencies, attainment of targets, goodput and hits of an hour or of all, and of some classes."""
    rows = _rows(hour)
    p, d = measured.prefill.hours[rows, class_id], measured.decode.hours[rows, class_id]
    sums = {"ttft": p["ttft_us"], "tpot": d["tpot_us"], "e2e": d["e2e_us"]}
    # who was refused, or is not done at the end though its time has passed, is not within target either
    refused, late = p["full"] + p["late"], measured.missed
    tokens = float(p["input_tokens"].sum())
    return {
        **{
            f"{name}_ms": _latency(counted[rows, class_id].sum(axis=(0, 1)), float(sums[name].sum()))
            for name, counted in measured.histograms.items()
        },
        "slo": {
            "ttft_attainment": attained(p["ttft_met"], p["read"] + refused + late.ttft[rows, class_id]),
            "tpot_attainment": attained(d["tpot_met"], d["with_tpot"] + late.tpot[rows, class_id]),
            "both_attainment": attained(d["good"], d["completed"] + refused + late.both[rows, class_id]),
        },
        "goodput_requests_per_s": float(d["good"].sum()) / measured.seconds(hour),
        "hit_ratio": float(p["hit_tokens"].sum()) / tokens if tokens else None,
    }


def _latency(counted: Counts, sum_us: float) -> dict[str, float | None]:
    """Mean and quantiles of a histogram, ms."""
    total = int(counted.sum())
    found = quantiles_ms(counted, SHARES)
    return {
        "mean": sum_us / total / 1e3 if total else None,
        **{f"p{share * 100:g}": value for share, value in zip(SHARES, found, strict=True)},
    }


def _use(measured: Measured, minutes: slice) -> dict[str, float | None]:
    """What units did in some minutes: queues, streams, KV, utilisation, tokens."""
    p, d = measured.prefill.minutes[minutes], measured.decode.minutes[minutes]
    fleet, time_us = measured.fleet, measured.span.minutes_us[minutes].sum()
    streams, tokens = float(d["stream_us"].sum()), float(d["tokens"].sum())
    decoding, reading = (float(measured.held_us(role)[minutes].sum()) for role in ("decode", "prefill"))
    return {
        "prefill_queue_requests": _ratio(measured.prefill.queue_us[minutes].sum(), time_us),
        "decode_queue_requests": _ratio(measured.decode.queue_us[minutes].sum(), time_us),
        "streams_per_gpu": _ratio(streams, decoding * fleet.decode.nodes * fleet.gpus_per_node),
        "kv_occupancy": _ratio(d["kv_token_us"].sum(), decoding * measured.service.kv_capacity_tokens),
        "prefill_busy": _ratio(p["busy_us"].sum(), reading),
        "prefill_utilisation": _ratio(p["work_us"].sum(), reading),
        "decode_busy": _ratio(d["busy_us"].sum(), decoding),
        "missed_tokens_per_s_per_prefill_node": _ratio(p["tokens"].sum() * 1e6, reading * fleet.prefill.nodes),
        "tokens_per_s_per_decode_node": _ratio(tokens * 1e6, decoding * fleet.decode.nodes),
        "tokens_per_s_per_stream": _ratio(tokens * 1e6, streams),
    }


def _ratio(amount: float, over: float) -> float | None:
    return float(amount) / over if over else None


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


def missed_limits(slo: SloSettings, attained: float | None) -> list[str]:
    """The limits of a scenario that a replay misses, one line each. attained: share of requests within both targets."""
    least = slo.min_attainment
    if least is None or attained is None or attained >= least:
        return []
    return [f"{attained:.2%} of requests are within both targets and slo.min_attainment asks for {least:.2%}"]


def imbalance(measured: Measured, *, exact: bool) -> dict[str, float | None]:
    """Largest over mean load of units while requests were counted: time mean and 99th percentile.

    prefill_: missed tokens and requests of prefill units; the others are of decode units. rank_: inside units, the mean
    of them at every moment; None where ranks were not kept one by one.
    """
    prefill, decode = measured.prefill.samples, measured.decode.samples
    columns = {
        "kv": (decode, "kv"),
        "stream": (decode, "streams"),
        "prefill_token": (prefill, "tokens"),
        "prefill_request": (prefill, "requests"),
        "rank_kv": (decode if exact else decode[:0], "rank_kv"),
        "rank_stream": (decode if exact else decode[:0], "rank_streams"),
    }
    found: dict[str, float | None] = {}
    for name, (samples, column) in columns.items():
        values = samples[column][measured.span.counts(samples["at_us"])]
        found[f"{name}_imbalance_mean"] = float(values.mean()) if len(values) else None
        found[f"{name}_imbalance_p99"] = float(np.quantile(values, 0.99)) if len(values) else None
    return found


def units(measured: Measured) -> pl.DataFrame:
    """Rows of the table replay_unit, without run_id: units of both roles that were there by the end."""
    end_us, parts = measured.span.end_us, []
    for role, stage in (("prefill", measured.prefill), ("decode", measured.decode)):
        lives, own = measured.lives[role], stage.units
        drained = lives.drain_us <= end_us
        frame = pl.DataFrame(
            {
                "role": np.full(len(lives), role),
                "unit": np.arange(len(lives), dtype=np.int32),
                "serves_from": _moments(measured, np.where(lives.serve_us <= end_us, lives.serve_us, np.nan)),
                "drains_from": _moments(measured, np.where(drained, lives.drain_us, np.nan)),
                "drain_s": pl.Series(stage.drain_us / 1e6, nan_to_null=True),
                "moved": own["moved"].astype(np.int64) if role == "decode" else np.zeros(len(lives), np.int64),
            }
        )
        parts.append(frame.filter(pl.col("serves_from").is_not_null()))
    return pl.concat(parts)


def _moments(measured: Measured, at_us: Floats) -> pl.Series:
    """Times from the origin as moments; nan as none."""
    known = [None if np.isnan(at) else from_us(measured.origin_us + round(at)) for at in at_us.tolist()]
    return pl.Series(known, dtype=_TIME)


def drains(units: pl.DataFrame, role: str) -> list[float]:
    """Seconds that units of a role took from taking no more work to being empty, in the order of units."""
    return units.filter(pl.col("role") == role)["drain_s"].drop_nulls().to_list()


def failures(measured: Measured) -> dict[str, dict[str, int]]:
    """By role: units that failed until the end, and the requests in them then, which were begun again."""
    return {
        name: {
            "units": int(np.count_nonzero(measured.lives[name].fail_us <= measured.span.end_us)),
            "requests": int(stage.units["lost"].sum()),
        }
        for name, stage in (("prefill", measured.prefill), ("decode", measured.decode))
    }


def frames(measured: Measured) -> dict[str, pl.DataFrame]:
    """Rows of the replay's tables but `replay_run` and `replay_request`, without run_id."""
    return {
        "replay_interval": _intervals(measured),
        "latency_histogram": _histogram_rows(measured),
        "replay_minute": _minutes(measured),
        "replay_unit": units(measured),
    }


def request_rows(measured: Measured, requests: Requests) -> pl.DataFrame:
    """Rows of the table replay_request, without run_id, of requests that count. requests: all that were simulated."""
    read, done = measured.prefill.kept, measured.decode.kept
    counts = (requests.arrival_us >= measured.span.from_us) & (requests.arrival_us < measured.span.to_us)
    finish, status = done["finish_us"], read["status"]
    names = np.select(
        [np.isfinite(finish), status == FULL, status == LATE],
        ["completed", "rejected-queue", "rejected-timeout"],
        "in-flight",
    )
    columns: dict[str, NDArray[Any]] = {
        "request_index": np.arange(len(requests)),
        "arrival_us": requests.arrival_us + measured.origin_us,
        "class_id": requests.class_id.astype(np.int16),
        "input_tokens": requests.input_tokens,
        "output_tokens": requests.output_tokens,
        "status": names,
        "prefill_unit": read["unit"],
        "decode_unit": done["unit"],
        "ttft_us": read["first_us"] - requests.arrival_us,
        "e2e_us": finish - requests.arrival_us,
        "moved": done["moved"],
    }
    frame = pl.DataFrame({name: column[counts] for name, column in columns.items()})
    nobody = pl.col("prefill_unit", "decode_unit")
    return frame.with_columns(pl.when(nobody >= 0).then(nobody), pl.col("ttft_us", "e2e_us").fill_nan(None))


def _intervals(measured: Measured) -> pl.DataFrame:
    p, d, late = measured.prefill.hours, measured.decode.hours, measured.missed
    rows = []
    for hour in range(measured.span.hours):
        for class_id in range(measured.span.classes):
            at = hour, class_id
            mine, other = p[at], d[at]
            refused = int(mine["full"] + mine["late"])
            rows.append(
                {
                    "interval_start": from_us(measured.from_us) + timedelta(hours=hour),
                    "class_id": class_id,
                    "arrived": int(mine["arrived"]),
                    "completed": int(other["completed"]),
                    "rejected_queue": int(mine["full"]),
                    "rejected_timeout": int(mine["late"]),
                    "retried": int(mine["retried"]),
                    "input_tokens": int(mine["input_tokens"]),
                    "hit_tokens": int(mine["hit_tokens"]),
                    "ttft_mean_ms": _ratio(mine["ttft_us"] / 1e3, float(mine["read"])),
                    "tpot_mean_ms": _ratio(other["tpot_us"] / 1e3, float(other["with_tpot"])),
                    "e2e_mean_ms": _ratio(other["e2e_us"] / 1e3, float(other["completed"])),
                    "ttft_counted": int(mine["read"] + late.ttft[at]),
                    "ttft_met": int(mine["ttft_met"]),
                    "tpot_counted": int(other["with_tpot"] + late.tpot[at]),
                    "tpot_met": int(other["tpot_met"]),
                    "both_met": int(other["good"]),
                    "both_counted": int(other["completed"]) + refused + int(late.both[at]),
                }
            )
    return pl.DataFrame(rows, schema_overrides={"class_id": pl.Int16, "ttft_mean_ms": pl.Float64})


def _histogram_rows(measured: Measured) -> pl.DataFrame:
    parts = []
    for metric, counted in measured.histograms.items():
        edges = bucket_edges_us(counted.shape[2])
        hour, class_id, bucket = np.nonzero(counted)
        starts = [from_us(measured.from_us) + timedelta(hours=int(h)) for h in hour]
        parts.append(
            pl.DataFrame(
                {
                    "interval_start": pl.Series(starts, dtype=_TIME),
                    "class_id": class_id.astype(np.int16),
                    "metric": np.full(len(hour), metric),
                    "from_us": edges[bucket],
                    "to_us": edges[bucket + 1],
                    "request_count": counted[hour, class_id, bucket].astype(np.int64),
                }
            )
        )
    return pl.concat(parts)


def _minutes(measured: Measured) -> pl.DataFrame:
    p, d = measured.prefill.minutes, measured.decode.minutes
    starts = [from_us(measured.origin_us) + timedelta(minutes=number) for number in range(len(d))]
    return pl.DataFrame(
        {
            "minute_start": pl.Series(starts, dtype=_TIME),
            "prefill_unit_us": measured.held_us("prefill"),
            "prefill_busy_us": p["busy_us"],
            "decode_unit_us": measured.held_us("decode"),
            "decode_busy_us": d["busy_us"],
            "stream_us": d["stream_us"],
            "kv_token_us": d["kv_token_us"],
            "kv_tokens_most": d["kv_tokens_most"],
            "output_tokens": d["tokens"].astype(np.int64),
            "prefill_work_us": p["work_us"],
            "prefill_queue_us": measured.prefill.queue_us,
            "decode_queue_us": measured.decode.queue_us,
        }
    )
