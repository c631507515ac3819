"""planner capacity --check."""

from planner.cli.output import print_json, print_line, print_table


def show_check(as_json: bool) -> None:
    """Print every published point and the model's."""
    from planner.studies.capacity.check import check_model

    check = check_model()
    if as_json:
        print_json(check)
        return
    table = [
        (row.point, f"{row.target_ms:,.1f}", f"{row.model_ms:,.1f}", f"{row.relative_error:+.1%}", row.kind)
        for row in check.rows
    ]
    print_table(("<point", "published ms", "model ms", "difference", "<kind"), table)
    for note in check.notes:
        print_line(f"  {note}")
