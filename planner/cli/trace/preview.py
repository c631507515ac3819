"""What an import would do, as lines of text."""

from typing import TYPE_CHECKING

from planner.cli.output import print_line, print_table

if TYPE_CHECKING:
    from planner.trace.documents import ImportPreview, PreviewedRow


def print_preview(found: "ImportPreview") -> None:
    """Print format, columns, the first rows and what would be refused."""
    from planner.units import counted

    print_line(f"{found.rows_imported:,} of {counted(found.rows_read, 'row')} would be imported as {found.format}")
    for field, path in found.columns.items():
        print_line(f"  {field:<20}from {path}")
    for field, value in found.constants.items():
        print_line(f"  {field:<20}is {value} in every row")
    for path, values in found.where.items():
        print_line(f"  where {path} is {' or '.join(values) or 'empty'}")
    if found.rows_left_out:
        print_line(f"  left out {found.rows_left_out:,}: rows that are not asked for")
    for row in found.rejects:
        print_line(f"  refused {row.rejected:,}: {row.reason} (the first at {row.first_file}, line {row.first_line})")
    if found.first_rows:
        _print_rows(found.first_rows)
    for note in found.notes:
        print_line(f"  note: {note}")
    print_line("nothing is stored: this was a dry run")


def _print_rows(rows: "tuple[PreviewedRow, ...]") -> None:
    windowed = rows[0].end is not None
    heads = ["<arrival", "input", "cached", "output"]
    heads += ["requests", "<end"] if windowed else ["<class", "<session"]
    table = []
    for row in rows:
        cached = "-" if row.cached_input_tokens is None else f"{row.cached_input_tokens:,}"
        more = [f"{row.requests:,}", _time(row.end)] if windowed else [row.class_name or "-", row.session or "-"]
        table.append([_time(row.arrival), f"{row.input_tokens:,}", cached, f"{row.output_tokens:,}", *more])
    print_table(heads, table)


def _time(at: object) -> str:
    return at.isoformat() if hasattr(at, "isoformat") else ""
