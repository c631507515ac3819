"""planner trace generate|import|expand|list|show|export|delete."""

import typer

from planner.cli.trace import expand, export, generate, import_logs, stored

app = typer.Typer(help="Stored request traces.", rich_markup_mode=None)
app.command("generate")(generate.generate)
app.command("import")(import_logs.import_logs)
app.command("expand")(expand.expand)
app.command("list")(stored.list_)
app.command("show")(stored.show)
app.command("export")(export.export)
app.command("delete")(stored.delete)
