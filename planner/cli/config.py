"""planner config show."""

import os

import typer

from planner.cli.options import Db, Json, Sets, scenario_of, store_at
from planner.cli.output import print_json, print_line, print_table

app = typer.Typer(help="The effective configuration.", rich_markup_mode=None)


@app.callback()
def _group() -> None:
    pass


@app.command("show")
def show(sets: Sets = None, db: Db = None, as_json: Json = False) -> None:
    """Where the store is, and every scenario field that a flag or the environment sets."""
    from planner.catalogue.scenarios import shown, value_at

    loaded = scenario_of(None, sets)
    store = store_at(db)
    origin = "flag --db" if db else "environment PLANNER_DB" if os.environ.get("PLANNER_DB") else "default"
    values = [(path, value_at(loaded.scenario, path), source) for path, source in sorted(loaded.origins.items())]
    if as_json:
        print_json(
            {
                "db": {"value": str(store.path.resolve()), "origin": origin, "exists": store.path.exists()},
                "scenario": loaded.scenario.name,
                "overridden": [{"path": path, "value": value, "origin": source} for path, value, source in values],
            }
        )
        return
    print_line(f"store     {store.path.resolve()} ({origin}{'' if store.path.exists() else ', not there yet'})")
    print_line(f"scenario  {loaded.scenario.name}")
    if values:
        print_table(("<field", "<value", "<set by"), [(path, shown(value), source) for path, value, source in values])
    else:
        print_line("no field is overridden; --set PATH=VALUE or the environment's PLANNER__A__B=VALUE do")
