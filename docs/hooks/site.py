"""What MkDocs calls while it builds the site: it fills in what is generated from the package.

A page of the reference holds a line `<!-- generated: NAME -->`. It is replaced by what `GENERATED` makes of it, with
the line below it, which is for readers of the source.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import commands
import data
import documents
import settings
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

_ROOT = Path(__file__).parents[2]
_JSON_INDEX = "reference/json.md"

GENERATED: dict[str, Callable[[], str]] = {
    "catalogue": data.catalogue,
    "changes": lambda: (_ROOT / "CHANGELOG.md").read_text(encoding="utf-8").removeprefix("# Changes\n"),
    "commands": commands.commands,
    "documents": documents.index,
    "job fields": settings.job_fields,
    "mapping fields": settings.mapping_fields,
    "mixed fields": settings.mixed_fields,
    "log formats": data.log_formats,
    "queries": data.queries,
    "scenario fields": settings.scenario_fields,
    "tables": data.tables,
    "views": data.views,
}
_MARKER = re.compile(r"^<!-- generated: ([a-z ]+) -->\n.*$", re.MULTILINE)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List the pages of the JSON documents in the navigation."""
    pages = [f"reference/json/{documents.stem(command)}.md" for command in documents.registered()]
    _extend(config.nav, pages)
    return config


def _extend(nav: Any, pages: list[str]) -> None:
    for entry in nav if isinstance(nav, list) else ():
        for name, below in entry.items() if isinstance(entry, dict) else ():
            if below == _JSON_INDEX:
                entry[name] = [_JSON_INDEX, *pages]
            else:
                _extend(below, pages)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages and schemas of the JSON documents, and the picture of the README."""
    for place, text in documents.files().items():
        files.append(File.generated(config, place, content=text))
    files.append(File.generated(config, "assets/nodes.svg", abs_src_path=str(_ROOT / "tests" / "golden" / "nodes.svg")))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put what is generated in place of its marker."""
    return _MARKER.sub(lambda marker: GENERATED[marker[1]](), markdown)
