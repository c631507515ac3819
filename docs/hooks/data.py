"""What the package ships as data: tables, named queries, log formats and the catalogue."""

import tomllib
from pathlib import Path

from words import code, definition, prose, table

import planner
from planner.store.queries import NamedQuery, named_queries
from planner.store.tables import TABLES
from planner.trace.imports.readers import Reader, readers

_CATALOGUE = Path(planner.__file__).parent / "catalogue" / "data"
_VIEWS = Path(planner.__file__).parent.parent / "sql" / "views"


def tables() -> str:
    """Every stored table, a heading each."""
    return "\n\n".join(
        f"## {each.name}\n\nA row is {prose(each.row)}.\n\n"
        + table(
            ("Column", "Type", "Unit", "Meaning"),
            [(code(c.name), c.dtype, "" if c.unit == "-" else c.unit, prose(c.meaning)) for c in each.columns],
        )
        for each in TABLES
    )


def views() -> str:
    """Every view with what its head comment says."""
    return table(
        ("View", "What it shows"), [(code(path.stem), prose(_head(path))) for path in sorted(_VIEWS.iterdir())]
    )


def _head(path: Path) -> str:
    lines = path.read_text(encoding="utf-8").splitlines()
    head = next((i for i, line in enumerate(lines) if not line.startswith("--")), len(lines))
    return " ".join(line.removeprefix("--").strip() for line in lines[:head])


def queries() -> str:
    """Every public named query."""
    return "\n\n".join(_query(query) for query in named_queries() if query.public)


def _query(query: NamedQuery) -> str:
    statement = "\n".join(line for line in query.sql.splitlines() if not line.startswith("--"))
    params = [definition(code(f"--param {name}=..."), prose(meaning)) for name, meaning in query.params.items()]
    return "\n\n".join([f"## {query.name}", prose(query.meaning), *params, f"```sql\n{statement.strip()}\n```"])


def log_formats() -> str:
    """Every reader: what files it takes, and their columns."""
    return "\n\n".join(_reader(reader) for reader in readers().values())


def _reader(reader: Reader) -> str:
    facts = [f"Files: {', '.join(reader.containers)}."]
    if reader.columns:
        facts.append(f"Needs {', '.join(map(code, reader.columns))}.")
    if reader.optional:
        facts.append(f"May have {', '.join(map(code, reader.optional))}.")
    if reader.block_tokens:
        facts.append(f"Prefix blocks of {reader.block_tokens} tokens.")
    if reader.metrics:
        facts.append(f"Counters: {', '.join(f'{key} from {code(name)}' for key, name in reader.metrics.items())}.")
    if reader.demand:
        facts.append("Gives demand per window.")
    if reader.mapping:
        facts.append(f"A mapping; the form of its logs: <{reader.mapping.source}>.")
    return f"### {reader.name}\n\n{prose(reader.description)}.\n\n{' '.join(facts)}"


def catalogue() -> str:
    """Every built-in name by folder, with the description that its file gives."""
    return "\n\n".join(
        f"## {folder.name}\n\n"
        + table(
            ("Name", "What it is"), [(code(path.stem), prose(_described(path))) for path in sorted(folder.iterdir())]
        )
        for folder in sorted(_CATALOGUE.iterdir())
        if folder.is_dir()
    )


def _described(path: Path) -> str:
    entry = tomllib.loads(path.read_text(encoding="utf-8"))
    named = (entry.get(key) for key in ("description", "title", "name", "gpu"))
    return next((text for text in named if isinstance(text, str)), _head_of_toml(path))


def _head_of_toml(path: Path) -> str:
    lines = path.read_text(encoding="utf-8").splitlines()
    return " ".join(line.removeprefix("#").strip() for line in lines if line.startswith("#"))
