"""planner capacity: what a node can do and why; fitting it to measurements; caches on disk; mixed fleets."""

import typer

from planner.cli.capacity.cache import cache
from planner.cli.capacity.command import capacity
from planner.cli.capacity.fit import fit
from planner.cli.capacity.route import route

app = typer.Typer(help="What a node can do with a model, and why.", invoke_without_command=True, rich_markup_mode=None)
app.callback()(capacity)
app.command("fit")(fit)
app.command("cache")(cache)
app.command("route")(route)
