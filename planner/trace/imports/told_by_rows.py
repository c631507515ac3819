"""What no single row of a log tells, and all of them together do: the unit of its times, and the size of its blocks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from planner.errors import UsageError
from planner.store.staging import BlockSize, Staging, TimeGaps
from planner.trace.imports.job import UNITS_NS, ImportOptions, params_of
from planner.trace.imports.readers import Reader

_MILLION = 1_000_000
_MANY_ROWS = 20
"""Assumed: rows from which on the median gap tells more than the fractions of times."""
_LONGEST_GAP_S = 60
_LONGEST_FEW_GAP_S = 3600
"""Assumed: times are not seconds where half of the requests come later after the one before."""
_DENSE_ROWS = 100
_DENSE_PER_S = 1000
"""Assumed: so many rows, at more requests a second than this on average, have whole times in seconds instead of ms."""
_ASKED_PER_S = 100
"""Assumed: from here on a user is to be asked."""
_SIZES = (1, 2, 4, 8, 16, 32, 48, 64, 96, 128, 256, 384, 512, 768, 1024, 2048, 4096, 8192)
"""Sizes that engines and traces use, in tokens."""


@dataclass(frozen=True)
class Settled:
    """A reader and its options with what the rows tell, and what the user is to know of it."""

    reader: Reader
    options: ImportOptions
    notes: tuple[str, ...] = ()


def settle(stage: Staging, reader: Reader, options: ImportOptions) -> Settled:
    """Settle what the rows of requests tell, and what options state, in the staging area."""
    notes: list[str] = []
    if stage.number_wide_ids():
        notes.append("ids of prefix blocks are negative or above 2^63 - 1, so all are numbered from 0")
    if reader.told_by_rows:
        unit = options.time_unit or _unit(stage.time_gaps(), reader, notes)
        options = replace(options, time_unit=unit)
        stage.settle_times(params_of(options))
        size = options.block_tokens or _block_tokens(stage.block_sizes(_SIZES), reader, notes)
        stage.settle_blocks(size)
        reader = replace(reader, block_tokens=size)
    return Settled(reader, options, tuple(notes))


def check_options(reader: Reader, block_tokens: int | None) -> None:
    """Raises UsageError where --block-tokens is stated for a format whose blocks have a size of their own, or none."""
    if block_tokens is not None and not reader.told_by_rows:
        has = f"has blocks of {reader.block_tokens} tokens" if reader.block_tokens else "does not leave their size open"
        raise UsageError(f"--block-tokens {block_tokens}: format {reader.name} {has}; leave it out")


def _unit(gaps: TimeGaps, reader: Reader, notes: list[str]) -> str:
    """The unit of times: that of the format, or s where the times have fractions or come too close in it."""
    usual = reader.time_unit
    assert usual is not None
    per_s = (gaps.rows - 1) * _MILLION * (UNITS_NS["s"] // UNITS_NS[usual]) / max(gaps.span, 1)
    dense = gaps.rows >= _DENSE_ROWS
    says = f"--time-unit {usual} says otherwise"
    longest_s = _LONGEST_GAP_S if gaps.rows >= _MANY_ROWS else _LONGEST_FEW_GAP_S
    if gaps.has_fraction:
        if gaps.median_gap <= longest_s * _MILLION:
            notes.append(f"the times are taken to be seconds, because they have fractions; {says}")
            return "s"
        notes.append(
            f"the times have fractions and are taken to be {usual}, because in seconds half of the requests would come "
            f"more than {gaps.median_gap / _MILLION:,.0f} s after the one before; --time-unit s says otherwise"
        )
    elif dense and per_s > _DENSE_PER_S:
        notes.append(
            f"the times are taken to be seconds, because in {usual} there would be {per_s:,.0f} requests a second; "
            f"{says}"
        )
        return "s"
    elif dense and per_s > _ASKED_PER_S:
        notes.append(
            f"the times are taken to be {usual}, with {per_s:,.0f} requests a second; if they are seconds, give "
            "--time-unit s"
        )
    elif not dense and gaps.span and gaps.median_gap <= longest_s * _MILLION:
        notes.append(
            f"the times are taken to be {usual}, which {gaps.rows:,} rows are too few to tell; if they are seconds, "
            "give --time-unit s"
        )
    return usual


def _block_tokens(sizes: Sequence[BlockSize], reader: Reader, notes: list[str]) -> int:
    """The size of prefix blocks: that of the format where all rows fit it, or else what fits all rows, or most."""
    usual = reader.block_tokens
    assert usual is not None
    fits = {size.size: size.rows_that_fit for size in sizes}
    if not sizes or fits[usual] == sizes[0].rows:
        return usual
    rows, least, most = sizes[0].rows, sizes[0].least, sizes[0].most
    if least is not None and most is not None and least <= most:
        inside = [size for size in _SIZES if least <= size <= most]
        size = inside[0] if inside else least
        which = "the only size that fits" if least == most else f"of {least:,} to {most:,}, which fit"
        notes.append(f"prefix blocks have {size:,} tokens, {which} the ids of all rows; --block-tokens says otherwise")
        return size
    size = max(fits, key=lambda one: (fits[one], one == usual, -one))
    if size != usual:
        notes.append(
            f"prefix blocks have {size:,} tokens, which fits the ids of {fits[size]:,} of {rows:,} rows; "
            "--block-tokens says otherwise"
        )
    return size
