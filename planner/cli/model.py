"""planner model add|list|show."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from planner.cli.options import Json
from planner.cli.output import print_json, print_line, print_table, print_text

if TYPE_CHECKING:
    from planner.catalogue.model_documents import ModelDescription
    from planner.settings.models import Model

app = typer.Typer(help="Models: their dimensions, and what these come to.", rich_markup_mode=None)


@app.command("add")
def add(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="The model's own config.json.")],
    name: Annotated[
        str | None, typer.Option("--name", metavar="N", help="Name [default: from the file, or else its folder].")
    ] = None,
    description: Annotated[
        str | None, typer.Option("--description", metavar="TEXT", help="One line on it [default: its size and kind].")
    ] = None,
    source: Annotated[
        str | None, typer.Option("--source", metavar="TEXT", help="Where the file is from [default: what it says].")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="File to write [default: NAME.toml here].")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file that is there.")] = False,
    as_json: Json = False,
) -> None:
    """Make a model of its own configuration file, offline.

    Reads config.json as Hugging Face's transformers writes it, and hf_quant_config.json beside it, and writes a TOML
    file that every option and setting takes that takes a model. A part that is not modelled is named; a model that
    cannot be modelled is refused.
    """
    from planner.catalogue.configurations.read import Naming, read_configuration
    from planner.catalogue.model_documents import added_model
    from planner.catalogue.model_toml import model_toml
    from planner.catalogue.read import built_in

    read = read_configuration(config, Naming(name=name, description=description, source=source))
    file = out or Path(f"{read.model.name}.toml")
    _check_file(file)
    _write(file, model_toml(read.model, read.notes), force=force)
    if as_json:
        print_json(added_model(read.model, file=str(file), notes=read.notes))
        return
    given = _given(file)
    print_line(f"{file}: written; give it as a model, as in `planner capacity --model {given}`")
    print_line(f"  {read.model.name}: {read.model.description}")
    for note in read.notes:
        print_line(f"  {note}")
    if read.model.left_out:
        print_line(f"  left out: {', '.join(read.model.left_out)}")
    if built_in("models", read.model.name) is not None:
        print_line(f"  a built-in model has the same name: {read.model.name} alone means that one, {given} yours")


def _given(file: Path) -> str:
    """A file as a model's option takes it: with a folder, so that it cannot be taken for a built-in name."""
    return str(file) if file.parent != Path() else f"./{file}"


def _check_file(file: Path) -> None:
    """Raises UsageError for a file that would be taken for a configuration, and may be the one that was read."""
    from planner.errors import UsageError

    if file.suffix == ".json":
        raise UsageError(f"--out {file}: a model is written as TOML; give a name that ends with .toml")


def _write(file: Path, text: str, *, force: bool) -> None:
    """Write the file. Raises PlannerError where it cannot be written."""
    from planner.errors import PlannerError
    from planner.files import atomic_write

    try:
        with atomic_write(file, new=not force) as draft:
            draft.write_text(text, encoding="utf-8")
    except FileExistsError as error:
        raise PlannerError(
            f"{file}: already exists; name another file with --out, or overwrite it with --force"
        ) from error
    except OSError as error:
        raise PlannerError(f"{file}: cannot be written: {error.strerror}; name another file with --out") from error


@app.command("list")
def list_(as_json: Json = False) -> None:
    """The built-in models."""
    from planner.catalogue.model_documents import model_entry
    from planner.catalogue.read import model, names

    entries = [model_entry(model(name)) for name in names("models")]
    if as_json:
        print_json(entries)
        return
    rows = [
        (e.name, e.parameters / 1e9, e.active_parameters / 1e9, e.weight_dtype, e.context_tokens, e.description)
        for e in entries
    ]
    print_table(("<model", "B weights", "B per token", "<as", "context", "<description"), rows)


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(metavar="MODEL", help="A built-in name or a TOML file.")],
    as_json: Json = False,
) -> None:
    """A model's dimensions as TOML, and the weights, KV cache and state that they come to."""
    from planner.catalogue.model_documents import describe_model
    from planner.catalogue.model_toml import model_toml
    from planner.catalogue.read import model

    served = model(name)
    described = describe_model(served)
    if as_json:
        print_json(described)
    else:
        print_text(model_toml(served, _figures(served, described)))


def _figures(served: "Model", described: "ModelDescription") -> list[str]:
    """What a model comes to, a line each."""
    whole = described.parts
    shares = {
        "attention": whole.attention + whole.window + whole.indexer,
        "recurrent layers": whole.recurrent,
        "dense feed-forwards": whole.dense,
        "shared experts": whole.shared,
        "routed experts": whole.routed + whole.latent + whole.router,
        "embedding and head": whole.embedding + whole.head,
    }
    lines = [
        f"{described.parameters / 1e9:,.1f} B weights, {described.active_parameters / 1e9:,.1f} B per token"
        f"{_published(served)}; {described.weights_gb:,.1f} GB in {served.weight_dtype}",
        "  " + ", ".join(f"{name} {weights / 1e9:,.2f} B" for name, weights in shares.items() if weights),
        f"KV cache {described.kv_bytes_per_token:,} B per token in bf16",
    ]
    if described.window_bytes:
        lines.append(f"  and up to {described.window_bytes / 1e6:,.1f} MB per stream in windows")
    if described.state_bytes:
        lines.append(f"  and {described.state_bytes / 1e6:,.1f} MB per stream of recurrent state")
    return lines


def _published(served: "Model") -> str:
    told = [
        f"{value:g} B{what}"
        for value, what in ((served.parameters_published, ""), (served.active_published, " per token"))
        if value is not None
    ]
    return f" (published: {', '.join(told)})" if told else ""
