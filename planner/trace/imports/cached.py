"""What the user is to know of where an import's cached tokens lie."""

from collections.abc import Sequence

from planner.store.staging import RowCounts, Teller
from planner.trace.imports.job import ImportOptions
from planner.trace.imports.readers import Reader


def cached_notes(reader: Reader, options: ImportOptions, counts: RowCounts, tellers: Sequence[Teller]) -> list[str]:
    """Notes on where cached tokens were taken to lie. tellers: those whose rows do not tell, where the rows decide."""
    if reader.cached in (None, "told"):
        return []
    if options.cached:
        # what a shipped mapping says of all its logs need not have an effect on each
        if counts.with_cached or options.may_lack:
            return []
        return ["--cached has no effect: the log tells no cached tokens"]
    notes = [_proven(teller) if teller.is_outside else _damaged(teller) for teller in tellers if teller.proofs]
    silent = [teller.teller for teller in tellers if not teller.proofs]
    if reader.cached == "untold" and (silent or (not tellers and counts.untold)):
        of = f" of {', '.join(silent)}" if any(silent) else ""
        notes.append(
            f"input tokens{of} are taken to hold the cached ones, as no row says otherwise; if they do not, state it "
            "with --cached outside"
        )
    return notes


def _proven(teller: Teller) -> str:
    of = f" of {teller.teller}" if teller.teller else ""
    return (
        f"cached tokens{of} are added to the input tokens, which do not hold them: {teller.proofs:,} of "
        f"{teller.cached_rows:,} rows with cached tokens have more of these than of those; if those rows are wrong, "
        "state it with --cached inside"
    )


def _damaged(teller: Teller) -> str:
    of = f" of {teller.teller}" if teller.teller else ""
    return (
        f"{teller.proofs:,} of {teller.cached_rows:,} rows{of} with cached tokens have more of these than "
        "input tokens, too few to tell that input tokens do not hold them: these rows are refused; if none holds "
        "them, state it with --cached outside"
    )
