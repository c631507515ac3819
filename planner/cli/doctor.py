"""planner doctor."""

from planner.cli.options import Db, Json, store_at
from planner.cli.output import print_json, print_table


def doctor(db: Db = None, as_json: Json = False) -> None:
    """Check this installation and the store."""
    from planner.cli.doctor_checks import checks
    from planner.errors import PlannerError

    found = checks(store_at(db))
    if as_json:
        print_json({"ok": all(check.ok for check in found), "checks": [vars(check) for check in found]})
    else:
        print_table(("<check", "<", "<found"), [(c.name, "ok" if c.ok else "FAILS", c.found) for c in found])
    failed = [check.name for check in found if not check.ok]
    if failed:
        raise PlannerError(f"{', '.join(failed)}: see above for the cure")
