"""The account of a replay: rows for the store, and the document for people and programs."""

from collections.abc import Mapping
from datetime import timedelta, tzinfo
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from planner.replay.engine import DecodeStage, PrefillStage, Span
from planner.replay.latency import E2E, TPOT, attained, bucket_edges_us, quantiles_ms
from planner.replay.model import Floats, Lives, Service
from planner.scenario.models import FleetSettings
from planner.units import US_PER_HOUR, from_us

Counts = NDArray[np.int32]

SHARES = (0.5, 0.9, 0.95, 0.99)
"""Quantiles that are told."""
METRICS = ("ttft", "tpot", "e2e")


def counts(prefill: PrefillStage, decode: DecodeStage) -> dict[str, int]:
    """Requests of the window: arrived = completed + in flight + rejected; what is in flight is found in the stages."""
    hours = prefill.hours
    arrived, rejected = int(hours["arrived"].sum()), int(hours["full"].sum() + hours["late"].sum())
    completed = int(decode.hours["completed"].sum())
    in_flight = arrived - completed - rejected
    assert completed <= int(hours["read"].sum()) <= arrived - rejected, "a request was lost or counted twice"
    assert in_flight <= prefill.inside + decode.inside, "a request is neither complete nor there"
    return {"arrived": arrived, "completed": completed, "in_flight": in_flight, "rejected": rejected}


def histograms(prefill: PrefillStage, decode: DecodeStage) -> dict[str, Counts]:
    """Histograms by metric: (hours, classes, buckets)."""
    return {"ttft": prefill.ttft, "tpot": decode.histograms[TPOT], "e2e": decode.histograms[E2E]}


def latency(counted: Counts, sum_us: float) -> dict[str, float | None]:
    """Mean and quantiles of a histogram, ms."""
    total = int(counted.sum())
    found = quantiles_ms(counted, SHARES)
    return {
        "mean": sum_us / total / 1e3 if total else None,
        **{f"p{share * 100:g}": value for share, value in zip(SHARES, found, strict=True)},
    }


def summary(prefill: PrefillStage, decode: DecodeStage, service: Service) -> dict[str, Any]:
    """The figures of the whole window."""
    histogram, p, d = histograms(prefill, decode), prefill.hours, decode.hours
    sums = {"ttft": p["ttft_us"], "tpot": d["tpot_us"], "e2e": d["e2e_us"]}
    figures = {f"{name}_ms": latency(histogram[name].sum(axis=(0, 1)), float(sums[name].sum())) for name in METRICS}
    return {
        **figures,
        "slo": {
            "ttft_attainment": attained(p["ttft_met"], p["read"]),
            "tpot_attainment": attained(d["tpot_met"], d["with_tpot"]),
            "both_attainment": attained(d["good"], d["completed"]),
        },
        "kv_peak_ratio": float(decode.minutes["kv_tokens_most"].max()) / service.kv_capacity_tokens,
    }


def frames(
    prefill: PrefillStage, decode: DecodeStage, span: Span, from_: int, origin_us: int, lives: Mapping[str, Lives]
) -> dict[str, pl.DataFrame]:
    """Rows of the replay's tables but `replay_run`, without run_id. from_, origin_us: UTC epoch microseconds."""
    return {
        "replay_interval": _intervals(prefill, decode, span, from_),
        "latency_histogram": _histogram_rows(prefill, decode, from_),
        "replay_minute": _minutes(prefill, decode, origin_us, lives),
    }


def _intervals(prefill: PrefillStage, decode: DecodeStage, span: Span, from_: int) -> pl.DataFrame:
    p, d = prefill.hours, decode.hours
    rows = []
    for hour in range(span.hours):
        for class_id in range(span.classes):
            mine, other = p[hour, class_id], d[hour, class_id]
            rows.append(
                {
                    "interval_start": from_us(from_) + timedelta(hours=hour),
                    "class_id": class_id,
                    "arrived": int(mine["arrived"]),
                    "completed": int(other["completed"]),
                    "rejected_queue": int(mine["full"]),
                    "rejected_timeout": int(mine["late"]),
                    "ttft_mean_ms": _mean_ms(mine["ttft_us"], mine["read"]),
                    "tpot_mean_ms": _mean_ms(other["tpot_us"], other["with_tpot"]),
                    "e2e_mean_ms": _mean_ms(other["e2e_us"], other["completed"]),
                    "ttft_counted": int(mine["read"]),
                    "ttft_met": int(mine["ttft_met"]),
                    "tpot_counted": int(other["with_tpot"]),
                    "tpot_met": int(other["tpot_met"]),
                    "both_met": int(other["good"]),
                }
            )
    return pl.DataFrame(rows, schema_overrides={"class_id": pl.Int16, "ttft_mean_ms": pl.Float64})


def _mean_ms(total_us: float, counted: float) -> float | None:
    return float(total_us) / float(counted) / 1e3 if counted else None


def _histogram_rows(prefill: PrefillStage, decode: DecodeStage, from_: int) -> pl.DataFrame:
    parts = []
    for metric, counted in histograms(prefill, decode).items():
        edges = bucket_edges_us(counted.shape[2])
        hour, class_id, bucket = np.nonzero(counted)
        parts.append(
            pl.DataFrame(
                {
                    "interval_start": pl.Series([from_us(from_) + timedelta(hours=int(h)) for h in hour], dtype=_TIME),
                    "class_id": class_id.astype(np.int16),
                    "metric": np.full(len(hour), metric),
                    "from_us": edges[bucket],
                    "to_us": edges[bucket + 1],
                    "request_count": counted[hour, class_id, bucket].astype(np.int64),
                }
            )
        )
    return pl.concat(parts)


_TIME = pl.Datetime("us", "UTC")


def _minutes(prefill: PrefillStage, decode: DecodeStage, origin_us: int, lives: Mapping[str, Lives]) -> pl.DataFrame:
    p, d = prefill.minutes, decode.minutes
    serving = {role: serving_us(own, len(d)) for role, own in lives.items()}
    return pl.DataFrame(
        {
            "minute_start": pl.Series(
                [from_us(origin_us) + timedelta(minutes=number) for number in range(len(d))], dtype=_TIME
            ),
            "prefill_unit_us": serving["prefill"],
            "prefill_busy_us": p["busy_us"],
            "prefill_wait_us": p["wait_us"],
            "decode_unit_us": serving["decode"],
            "decode_busy_us": d["busy_us"],
            "decode_wait_us": d["wait_us"],
            "stream_us": d["stream_us"],
            "kv_token_us": d["kv_token_us"],
            "kv_tokens_most": d["kv_tokens_most"],
            "output_tokens": d["tokens"].astype(np.int64),
        }
    )


def serving_us(lives: Lives, minutes: int) -> Floats:
    """Unit-microseconds in which units take work, by minute."""
    edges = np.arange(minutes + 1) * 60e6
    begin = np.clip(lives.serve_us[:, None], edges[:-1], edges[1:])
    end = np.clip(lives.stop_us[:, None], edges[:-1], edges[1:])
    total: Floats = np.maximum(end - begin, 0).sum(axis=0)
    return total


def imbalance(decode: DecodeStage, span_us: tuple[float, float, float], *, exact: bool) -> dict[str, float | None]:
    """Largest over mean load of decode units while requests were counted: time mean and 99th percentile.

    rank_: inside units; None where ranks were not kept one by one.
    """
    samples = decode.samples
    inside = samples[(samples["at_us"] >= span_us[0]) & (samples["at_us"] < span_us[1])]
    names = {"kv": "kv", "streams": "stream"}
    found: dict[str, float | None] = {}
    for column, name in names.items():
        values = inside[column]
        found[f"{name}_imbalance_mean"] = float(values.mean()) if len(values) else None
        found[f"{name}_imbalance_p99"] = float(np.quantile(values, 0.99)) if len(values) else None
    for column, name in names.items():
        kept = exact and len(inside) > 0
        found[f"rank_{name}_imbalance_mean"] = float(inside[f"rank_{column}"].mean()) if kept else None
    return found


def drains(decode: DecodeStage) -> list[float]:
    """Seconds that decode units took from taking no more work to being empty, in the order of units."""
    return [float(took) / 1e6 for took in decode.drain_us if np.isfinite(took)]


def failures(
    prefill: PrefillStage, decode: DecodeStage, lives: Mapping[str, Lives], end_us: float
) -> dict[str, dict[str, int]]:
    """By role: units that failed until the end, and the requests in them then, which were begun again."""
    return {
        name: {
            "units": int(np.count_nonzero(lives[name].fail_us <= end_us)),
            "requests": int(stage.units["lost"].sum()),
        }
        for name, stage in (("prefill", prefill), ("decode", decode))
    }


def hours(
    prefill: PrefillStage,
    decode: DecodeStage,
    span: Span,
    from_: int,
    origin_us: int,
    lives: Mapping[str, Lives],
    service: Service,
    fleet: FleetSettings,
    zone: tzinfo,
) -> list[dict[str, Any]]:
    """What users felt and units did, hour by hour of the window, JSON-ready."""
    histogram, p, d = histograms(prefill, decode), prefill.hours, decode.hours
    sums = {"ttft": p["ttft_us"], "tpot": d["tpot_us"], "e2e": d["e2e_us"]}
    rows = []
    for hour in range(span.hours):
        begin = (from_ - origin_us) / 60e6 + 60 * hour
        minutes = slice(int(begin), int(min(begin + 60, span.to_us / 60e6)))
        rows.append(
            {
                "start": from_us(from_ + hour * US_PER_HOUR, zone).isoformat(),
                "requests": int(p["arrived"][hour].sum()),
                "completed": int(d["completed"][hour].sum()),
                "rejected": int(p["full"][hour].sum() + p["late"][hour].sum()),
                **{
                    f"{name}_ms": latency(histogram[name][hour].sum(axis=0), float(sums[name][hour].sum()))
                    for name in METRICS
                },
                "ttft_attainment": attained(p["ttft_met"][hour], p["read"][hour]),
                "tpot_attainment": attained(d["tpot_met"][hour], d["with_tpot"][hour]),
                "goodput_requests_per_s": float(d["good"][hour].sum()) / max((minutes.stop - minutes.start) * 60, 1),
                **_use(prefill, decode, lives, service, fleet, minutes),
            }
        )
    return rows


def _use(
    prefill: PrefillStage,
    decode: DecodeStage,
    lives: Mapping[str, Lives],
    service: Service,
    fleet: FleetSettings,
    minutes: slice,
) -> dict[str, float | None]:
    """What units did in some minutes: queues, streams, KV, utilisation, tokens."""
    p, d = prefill.minutes[minutes], decode.minutes[minutes]
    time_us = len(d) * 60e6
    there = {role: float(serving_us(own, len(decode.minutes))[minutes].sum()) for role, own in lives.items()}
    streams, tokens = float(d["stream_us"].sum()), float(d["tokens"].sum())
    decoding = there["decode"]
    return {
        "prefill_queue_requests": float(p["wait_us"].sum()) / time_us if time_us else None,
        "decode_queue_requests": float(d["wait_us"].sum()) / time_us if time_us else None,
        "streams_per_gpu": streams / decoding / (fleet.decode.nodes * fleet.gpus_per_node) if decoding else None,
        "kv_occupancy": float(d["kv_token_us"].sum()) / decoding / service.kv_capacity_tokens if decoding else None,
        "prefill_busy": float(p["busy_us"].sum()) / there["prefill"] if there["prefill"] else None,
        "decode_busy": float(d["busy_us"].sum()) / decoding if decoding else None,
        "missed_tokens_per_s_per_prefill_node": float(p["tokens"].sum()) / there["prefill"] * 1e6 / fleet.prefill.nodes
        if there["prefill"]
        else None,
        "tokens_per_s_per_decode_node": tokens / decoding * 1e6 / fleet.decode.nodes if decoding else None,
        "tokens_per_s_per_stream": tokens / streams * 1e6 if streams else None,
    }
