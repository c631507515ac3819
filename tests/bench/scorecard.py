"""`make scorecard`: the capacity model against a file of measured points, and against what is recorded here.

Fails where a median or a p90 got worse than recorded by more than rounding, or fewer answers to "how many streams
within this target" come within a quarter. Record again, on purpose, with
PLANNER_UPDATE_SCORECARD=1. The points are those of the file that PLANNER_TEST_POINTS names.
"""

import os
import sys
import tomllib
from pathlib import Path

from planner.studies.capacity.measured.points_file import read_points_file
from planner.studies.capacity.scorecard.score import ErrorFigures, Scorecard, score
from planner.studies.capacity.scorecard.streams import StreamFigures

RECORDED = Path(__file__).with_name("scorecard.toml")
METRICS = ("tpot", "ttft", "throughput", "prefill")
ROUNDING = 5e-4
LEAST_COVERED = 0.88
"""Of a 90 % band."""


def main() -> int:
    card = score(read_points_file(Path(os.environ["PLANNER_TEST_POINTS"])))
    if os.environ.get("PLANNER_UPDATE_SCORECARD"):
        RECORDED.write_text(_text(card))
    before = tomllib.loads(RECORDED.read_text())
    worse = []
    for metric in METRICS:
        figures: ErrorFigures = getattr(card, metric)
        for name in ("median", "p90"):
            now, then = getattr(figures, name), before[metric][name]
            print(f"{metric:11s} {name:7s} {now:7.1%}  recorded {then:7.1%}  of {figures.count:,}")
            if now > then + ROUNDING:
                worse.append(f"{metric} {name}")
        covered, then = figures.covered_90 or 0.0, before[metric]["covered_90"]
        print(f"{metric:11s} in band {covered:7.1%}  recorded {then:7.1%}")
        if covered < LEAST_COVERED:
            worse.append(f"{metric} in its band")
        if figures.count < before[metric]["count"]:
            worse.append(f"{metric} has a figure for {figures.count:,} points, {before[metric]['count']:,} before")
    worse += _worse_streams(card.streams, before["streams"])
    if worse:
        print(f"worse than recorded: {', '.join(worse)}", file=sys.stderr)
    return 1 if worse else 0


def _worse_streams(now: StreamFigures, then: dict[str, float]) -> list[str]:
    print(
        f"{'streams':11s} within a quarter {now.within_25:.1%}  recorded {then['within_25']:.1%}  of {now.count:,}; "
        f"p10 to p90 {now.p10:.2f} to {now.p90:.2f}, recorded {then['p10']:.2f} to {then['p90']:.2f}"
    )
    worse = []
    if now.within_25 is None or now.within_25 < then["within_25"] - ROUNDING:
        worse.append("streams within a quarter")
    if now.count < then["count"]:
        worse.append(f"streams are told for {now.count:,} targets, {then['count']:,.0f} before")
    return worse


def _text(card: Scorecard) -> str:
    lines = ["# Errors of the capacity model, written by `make scorecard` with PLANNER_UPDATE_SCORECARD=1."]
    for metric in METRICS:
        figures: ErrorFigures = getattr(card, metric)
        lines += ["", f"[{metric}]", f"count = {figures.count}"]
        lines += [
            f"{name} = {getattr(figures, name):.4f}" for name in ("median", "p90", "bias", "within_20", "covered_90")
        ]
    lines += ["", "[streams]", f"count = {card.streams.count}"]
    lines += [f"{name} = {getattr(card.streams, name):.4f}" for name in ("median_ratio", "p10", "p90", "within_25")]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
