"""planner serve."""

import os
from pathlib import Path
from typing import Annotated

import typer

from planner.cli.options import Db, store_at
from planner.cli.output import print_line

_LOCAL = ("127.0.0.1", "localhost", "::1")
_LEAST_TOKEN = 16
"""Characters. Assumed: what is shorter can be guessed."""


def serve(
    scenarios: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SCENARIO]...", help="Built-in names or TOML files [default: the built-in one]."),
    ] = None,
    port: Annotated[int, typer.Option("--port", min=0, max=65_535, help="0 for any that is free.")] = 8765,
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS", help="Where to listen.")] = "127.0.0.1",
    name: Annotated[
        list[str] | None,
        typer.Option("--name", metavar="HOST", help="A name by which browsers reach the page; may be repeated."),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(
            "--token-file", metavar="FILE", help="A file with the token that is asked for [or PLANNER_TOKEN]."
        ),
    ] = None,
    db: Db = None,
) -> None:
    """Serve the page: the answer first, and what-if while a slider moves.

    On 127.0.0.1, where nobody else can reach it, unless --host says otherwise; then a token is asked for. Nothing is
    stored until "save run" but the traces of scenarios, which are drawn where they are not there yet.
    """
    from planner.catalogue.read import DEFAULT_SCENARIO
    from planner.web.security import Access
    from planner.web.serve import listener_at
    from planner.web.serve import serve as serve_page
    from planner.web.workbench import ServerSettings

    token = _token(token_file, host)
    settings = ServerSettings(
        db=store_at(db).path.absolute(),
        sources=_sources(scenarios or [DEFAULT_SCENARIO]),
        environment=dict(os.environ),
    )
    listener = listener_at(host, port)
    bound = listener.getsockname()[1]
    known = f"[{host}]" if ":" in host else host
    access = Access(
        hosts=tuple(dict.fromkeys((*Access().hosts, known.lower(), *map(str.lower, name or [])))), token=token
    )
    address = f"http://{known}:{bound}/"
    serve_page(settings, access, listener, ready=lambda: print_line(f"{address}: serving; end it with Ctrl-C"))


def _sources(given: list[str]) -> dict[str, str]:
    """Scenarios by the names that addresses have: those of the scenarios themselves. Raises UsageError."""
    from planner.catalogue.scenarios import load_scenario
    from planner.errors import UsageError

    sources: dict[str, str] = {}
    for source in given:
        name = load_scenario(source, (), os.environ).scenario.name
        if name in sources:
            raise UsageError(f"{source}: scenario {name} is given twice; give each once, or rename one")
        sources[name] = str(Path(source).absolute()) if Path(source).exists() else source
    return sources


def _token(file: Path | None, host: str) -> str | None:
    """The token; None where none is needed and none given. Raises UsageError."""
    from planner.errors import UsageError

    if file is not None:
        try:
            token = file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
            raise UsageError(f"{file}: cannot be read: {reason}; name another with --token-file") from error
        told_by = str(file)
    else:
        token, told_by = os.environ.get("PLANNER_TOKEN", "").strip(), "PLANNER_TOKEN"
    if not token:
        if file is not None:
            raise UsageError(f"{file}: is empty; write a token of {_LEAST_TOKEN} characters or more into it")
        if host not in _LOCAL:
            raise UsageError(
                f"--host {host} can be reached from elsewhere, so a token is needed: give --token-file FILE or set "
                "PLANNER_TOKEN"
            )
        return None
    if len(token) < _LEAST_TOKEN or not token.isascii() or not token.isprintable() or set(token) & set(' ",;\\'):
        raise UsageError(
            f"{told_by}: a token has {_LEAST_TOKEN} characters or more, letters and digits; for example "
            "`python3 -c 'import secrets; print(secrets.token_urlsafe(24))'`"
        )
    return token
