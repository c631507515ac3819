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
    from planner.catalogue.documents import EffectiveConfig, StorePlace
    from planner.catalogue.fields import value_at
    from planner.catalogue.toml import shown

    scenario = scenario_of(None, sets)
    path = store_at(db).path
    origin = "flag --db" if db else "environment PLANNER_DB" if os.environ.get("PLANNER_DB") else "default"
    place = StorePlace(value=str(path.resolve()), origin=origin, exists=path.exists())
    config = EffectiveConfig(db=place, scenario=scenario.scenario.name, overridden=scenario.set_fields())
    if as_json:
        print_json(config)
        return
    print_line(f"store     {place.value} ({place.origin}{'' if place.exists else ', not created yet'})")
    print_line(f"scenario  {config.scenario}")
    if config.overridden:
        rows = [
            (field.path, shown(value_at(scenario.scenario, field.path)), field.origin) for field in config.overridden
        ]
        print_table(("<field", "<value", "<set by"), rows)
    else:
        print_line("no field is overridden; use --set PATH=VALUE, or PLANNER__A__B=VALUE in the environment")
