"""planner capacity --check --points FILE."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from planner.cli.output import print_json, print_line, print_table

if TYPE_CHECKING:
    from planner.studies.capacity.scorecard.score import ErrorFigures, GroupErrors
    from planner.studies.capacity.scorecard.streams import StreamFigures

_HEADS = ("<points of", "<metric", "points", "median", "p90", "bias", "within 20 %", "in 90 % band")


def show_scorecard(points: Path, as_json: bool) -> None:
    """Print how far the model is from a file of measured points."""
    from planner.studies.capacity.measured.points_file import read_points_file
    from planner.studies.capacity.scorecard.score import score

    card = score(read_points_file(points))
    if as_json:
        print_json(card)
        return
    print_line(
        f"{card.file}: {card.points:,} points, {card.suspect:,} of them suspect and left out, {card.expressible:,} "
        "that the model has a figure for"
    )
    whole = (
        ("tpot_ms", card.tpot),
        ("ttft_ms", card.ttft),
        ("tokens_per_s", card.throughput),
        ("prefill_ms", card.prefill),
    )
    rows = [_row("all", metric, figures) for metric, figures in whole if figures.count]
    print_table(_HEADS, rows)
    if card.ttft.count:
        print_line(
            "  ttft_ms of all: at a concurrency of at most 8; beyond, it is waiting in the benchmark's own queue"
        )
    _print_streams(card.streams)
    for groups in (card.by_engine, card.by_gpu, card.by_model, card.by_concurrency):
        print_table(_HEADS, _rows(groups))
    for each in card.inexpressible:
        print_line(f"  {each.points:,} without a figure: {each.why}")
    for note in card.notes:
        print_line(f"  {note}")


def _print_streams(streams: "StreamFigures") -> None:
    if not streams.count:
        return
    print_line(
        f"  streams within a target for tpot_ms, model over measured: median {streams.median_ratio:.2f}, p10 to p90 "
        f"{streams.p10:.2f} to {streams.p90:.2f}, within a quarter {streams.within_25:.1%} of {streams.count:,}"
    )


def _rows(groups: "Sequence[GroupErrors]") -> list[tuple[object, ...]]:
    return [_row(each.group, each.metric, each) for each in groups]


def _row(group: str, metric: str, figures: "ErrorFigures") -> tuple[object, ...]:
    shown = [
        "" if value is None else f"{value:{sign}.1%}"
        for value, sign in (
            (figures.median, ""),
            (figures.p90, ""),
            (figures.bias, "+"),
            (figures.within_20, ""),
            (figures.covered_90, ""),
        )
    ]
    return (group, metric, f"{figures.count:,}", *shown)
