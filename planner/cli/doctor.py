"""planner doctor."""

from planner.cli.options import Db, Json, store_at
from planner.cli.output import print_json, print_table


def doctor(db: Db = None, as_json: Json = False) -> None:
    """Check this installation and the store."""
    from planner.cli.doctor_checks import examine
    from planner.errors import PlannerError

    report = examine(store_at(db))
    if as_json:
        print_json(report)
    else:
        print_table(("<check", "<", "<found"), [(c.name, "ok" if c.ok else "FAILS", c.found) for c in report.checks])
    if report.failed:
        raise PlannerError(f"{', '.join(report.failed)}: failed; see above for the cure")
