"""Rows of the store's replay tables, without run_id."""

from datetime import timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from planner.core.replay.requests.kernels.layout import FULL, LATE, LONG
from planner.core.replay.requests.latency import bucket_edges_us
from planner.core.replay.requests.model import Requests
from planner.studies.replay.account import StageResults, ratio
from planner.units import Floats, from_us

_TIME = pl.Datetime("us", "UTC")


def replay_tables(results: StageResults) -> dict[str, pl.DataFrame]:
    """Rows by table, but for `replay_run` and `replay_request`."""
    return {
        "replay_interval": _interval_rows(results),
        "latency_histogram": _histogram_rows(results),
        "replay_minute": _minute_rows(results),
        "replay_unit": _unit_rows(results),
    }


def request_rows(results: StageResults, requests: Requests) -> pl.DataFrame:
    """Rows of the table replay_request, of requests that count. requests: all that were simulated."""
    read, done = results.prefill.kept, results.decode.kept
    counts = (requests.arrival_us >= results.span.from_us) & (requests.arrival_us < results.span.to_us)
    finish, status = done["finish_us"], read["status"]
    names = np.select(
        [np.isfinite(finish), status == FULL, status == LATE, status == LONG],
        ["completed", "rejected-queue", "rejected-timeout", "rejected-length"],
        "in-flight",
    )
    columns: dict[str, NDArray[np.generic]] = {
        "request_index": np.arange(len(requests)),
        "arrival_us": requests.arrival_us + results.window.origin_us,
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
    units = pl.col("prefill_unit", "decode_unit")
    return frame.with_columns(pl.when(units >= 0).then(units), pl.col("ttft_us", "e2e_us").fill_nan(None))


def _interval_rows(results: StageResults) -> pl.DataFrame:
    p, d, late = results.prefill.hours, results.decode.hours, results.missed
    rows = []
    for hour in range(results.span.hours):
        for class_id in range(results.span.classes):
            at = hour, class_id
            mine, other = p[at], d[at]
            refused = int(mine["full"] + mine["late"] + mine["long"])
            rows.append(
                {
                    "interval_start": from_us(results.window.from_us) + timedelta(hours=hour),
                    "class_id": class_id,
                    "arrived": int(mine["arrived"]),
                    "completed": int(other["completed"]),
                    "rejected_queue": int(mine["full"] + mine["long"]),
                    "rejected_timeout": int(mine["late"]),
                    "retried": int(mine["retried"]),
                    "input_tokens": int(mine["input_tokens"]),
                    "hit_tokens": int(mine["hit_tokens"]),
                    "ttft_mean_ms": ratio(mine["ttft_us"] / 1e3, float(mine["read"])),
                    "tpot_mean_ms": ratio(other["tpot_us"] / 1e3, float(other["with_tpot"])),
                    "e2e_mean_ms": ratio(other["e2e_us"] / 1e3, float(other["completed"])),
                    "ttft_counted": int(mine["read"] + late.ttft[at]),
                    "ttft_met": int(mine["ttft_met"]),
                    "tpot_counted": int(other["with_tpot"] + late.tpot[at]),
                    "tpot_met": int(other["tpot_met"]),
                    "both_met": int(other["good"]),
                    "both_counted": int(other["completed"]) + refused + int(late.both[at]),
                }
            )
    return pl.DataFrame(rows, schema_overrides={"class_id": pl.Int16, "ttft_mean_ms": pl.Float64})


def _histogram_rows(results: StageResults) -> pl.DataFrame:
    parts = []
    for metric, counted in results.histograms.items():
        edges = bucket_edges_us(counted.shape[2])
        hour, class_id, bucket = np.nonzero(counted)
        starts = [from_us(results.window.from_us) + timedelta(hours=int(h)) for h in hour]
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


def _minute_rows(results: StageResults) -> pl.DataFrame:
    p, d = results.prefill.minutes, results.decode.minutes
    starts = [from_us(results.window.origin_us) + timedelta(minutes=number) for number in range(len(d))]
    return pl.DataFrame(
        {
            "minute_start": pl.Series(starts, dtype=_TIME),
            "prefill_unit_us": results.held_us("prefill"),
            "prefill_busy_us": p["busy_us"],
            "decode_unit_us": results.held_us("decode"),
            "decode_busy_us": d["busy_us"],
            "stream_us": d["stream_us"],
            "kv_token_us": d["kv_token_us"],
            "kv_tokens_most": d["kv_tokens_most"],
            "output_tokens": d["tokens"].astype(np.int64),
            "prefill_work_us": p["work_us"],
            "prefill_queue_us": results.prefill.queue_us,
            "decode_queue_us": results.decode.queue_us,
        }
    )


def _unit_rows(results: StageResults) -> pl.DataFrame:
    """Units of both roles that took work in the simulated time."""
    end_us, parts = results.span.end_us, []
    for role in results.lives:
        stage, lives = results.stage(role), results.lives[role]
        drained = lives.drain_us <= end_us
        frame = pl.DataFrame(
            {
                "role": np.full(len(lives), role),
                "unit": np.arange(len(lives), dtype=np.int32),
                "serves_from": _moments(
                    results, np.where((lives.serve_us <= end_us) & (lives.drain_us > 0), lives.serve_us, np.nan)
                ),
                "drains_from": _moments(results, np.where(drained, lives.drain_us, np.nan)),
                "drain_s": pl.Series(stage.drain_us / 1e6, nan_to_null=True),
                "moved": np.zeros(len(lives), np.int64) if role == "prefill" else stage.units["moved"].astype(np.int64),
            }
        )
        parts.append(frame.filter(pl.col("serves_from").is_not_null()))
    return pl.concat(parts)


def _moments(results: StageResults, at_us: Floats) -> pl.Series:
    """Times from the origin as moments; nan as none."""
    origin_us = results.window.origin_us
    return pl.Series([None if np.isnan(at) else from_us(origin_us + round(at)) for at in at_us.tolist()], dtype=_TIME)
