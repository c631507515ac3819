"""The documentation as MkDocs builds it: complete, self-contained, with links that lead somewhere."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin

import pytest
import typer.main
from pydantic import BaseModel

import planner
from planner.cli.app import app
from planner.cli.documents import DOCUMENTS, document_type
from planner.core.policy import POLICIES
from planner.documents import schema
from planner.errors import PlannerError
from planner.export.run import WRITERS
from planner.nightly.jobs_file import JobsFile
from planner.settings.mixed import MixedFleet
from planner.settings.scenario import Scenario
from planner.store.queries import named_queries
from planner.store.tables import TABLES
from planner.trace.imports.readers import readers
from tests.helpers.pages import DOCS, ROOT

LOADING = {"script": "src", "img": "src", "iframe": "src", "source": "src", "object": "data", "embed": "src"}


@dataclass
class Page(HTMLParser):
    """What a page loads, the anchors in it, and the texts of its code."""

    loads: list[str] = field(default_factory=list)
    anchors: set[str] = field(default_factory=set)
    codes: set[str] = field(default_factory=set)
    classes: set[str] = field(default_factory=set)
    _code: list[str] | None = None

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors.add(given.get("id", ""))
        self.classes |= set(given.get("class", "").split())
        if tag in LOADING:
            self.loads.append(given.get(LOADING[tag], ""))
        if tag == "link":
            self.loads.append(given.get("href", ""))
        self.loads += [part.split()[0] for part in given.get("srcset", "").split(",") if part.strip()]
        self.loads += re.findall(r"url\(([^)]*)\)", given.get("style", ""))
        if tag == "code":
            self._code = []

    def handle_endtag(self, tag: str) -> None:
        if tag == "code" and self._code is not None:
            self.codes.add("".join(self._code))
            self._code = None

    def handle_data(self, data: str) -> None:
        if self._code is not None:
            self._code.append(data)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; every warning of MkDocs is an error, those of links and anchors too."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def page(site: Path, name: str) -> Page:
    parsed = Page()
    parsed.feed((site / f"{name}.html").read_text())
    return parsed


def commands(command: Any = None, name: str = "planner") -> list[tuple[str, Any]]:
    """Every command and group with its name."""
    command = command or typer.main.get_command(app)
    below = getattr(command, "commands", {})
    return [(name, command), *(found for key in below for found in commands(below[key], f"{name} {key}"))]


def fields(model: type[BaseModel], before: str = "") -> Iterator[str]:
    """The path of every field, those of tables inside, of tables in lists, and of tables by name too."""
    for own_name, setting in model.model_fields.items():
        name = setting.alias or own_name
        kinds = [setting.annotation, *get_args(setting.annotation)]
        tables = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        below = {tuple: "[]", dict: ".NAME"}.get(get_origin(setting.annotation) or Scenario, "")
        for table in tables:
            yield from fields(table, f"{before}{name}{below}.")
        # a table that may be left out is a table alone
        others = [kind for kind in kinds[1:] if kind is not NoneType and kind not in tables]
        if name != "provenance" and (not tables or others or below):
            yield f"{before}{name}"


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    elsewhere = re.compile(r"(?:[a-z]+:)?//")
    for path in site.rglob("*.html"):
        parsed = Page()
        parsed.feed(path.read_text())
        assert [address for address in parsed.loads if elsewhere.match(address)] == [], path
        # what the theme would fetch from elsewhere when it is used
        assert "mermaid" not in parsed.classes
    for path in site.rglob("*.css"):
        text = path.read_text()
        loaded = [*re.findall(r"url\(['\"]?([^'\")]*)", text), *re.findall(r"@import\s+['\"]([^'\"]*)", text)]
        assert [address for address in loaded if elsewhere.match(address)] == [], path
    assert not list(site.rglob("*.py"))


def test_every_command_and_option_is_in_the_reference(site: Path) -> None:
    shown = page(site, "reference/cli")
    for name, command in commands():
        assert name.replace(" ", "-") in shown.anchors, name
        for parameter in command.params:
            if parameter.param_type_name == "option":
                spelt = [code.split()[0] for code in shown.codes if code.strip()]
                assert set(parameter.opts) <= set(spelt), (name, parameter.opts)
            else:
                assert any((parameter.metavar or parameter.name.upper()) in code for code in shown.codes), name


def test_every_field_of_scenarios_and_jobs_is_in_the_reference(site: Path) -> None:
    settings, jobs = page(site, "reference/settings"), page(site, "reference/jobs-file")
    for path in fields(Scenario):
        assert path in settings.codes, path
        assert path.replace("[]", "") in settings.anchors, path
    assert {"fleet.engine.hardware", "policy.bounds[].days"} <= set(fields(Scenario))
    for path in fields(JobsFile):
        assert path in jobs.codes, path
    assert {"job[].log.path", "job[].export[].to"} <= set(fields(JobsFile))
    mixed = page(site, "reference/mixed-fleet-file")
    for path in fields(MixedFleet):
        assert path in mixed.codes, path
    assert "pool[].scenario" in set(fields(MixedFleet))


def test_every_table_column_and_query_is_in_the_reference(site: Path) -> None:
    tables, queries = page(site, "reference/tables"), page(site, "reference/queries")
    for table in TABLES:
        assert table.name in tables.anchors, table.name
        assert {column.name for column in table.columns} <= tables.codes, table.name
    assert {path.stem for path in (ROOT / "sql" / "views").iterdir()} <= tables.codes
    for query in named_queries():
        if query.public:
            assert query.name in queries.anchors, query.name
            assert {f"--param {name}=..." for name in query.params} <= queries.codes, query.name


def test_every_key_of_every_json_document_is_in_the_reference(site: Path) -> None:
    for command in (command for command, kinds in DOCUMENTS.items() if kinds):
        place = f"reference/json/{command.replace(' ', '-')}"
        whole = schema(document_type(command))
        assert json.loads((site / f"{place}.schema.json").read_text()) == whole
        shown = page(site, place)
        for part in (whole, *whole.get("$defs", {}).values()):
            assert set(part.get("properties", ())) <= shown.codes, command


def test_every_policy_reader_export_format_and_exit_code_is_in_the_documentation(site: Path) -> None:
    assert set(POLICIES) <= page(site, "reference/policies").codes
    formats = page(site, "reference/log-formats")
    assert set(readers()) <= formats.codes
    assert set(readers()) <= formats.anchors
    assert set(WRITERS) <= page(site, "how-to/export-a-schedule").codes
    codes = (DOCS / "reference" / "exit-codes.md").read_text()
    kinds = [PlannerError]
    while kinds:
        kind = kinds.pop()
        kinds += kind.__subclasses__()
        assert f"\n| {kind.exit_code} | " in codes, kind


def test_every_exported_name_is_in_the_documentation(site: Path) -> None:
    assert set(planner.__all__) <= page(site, "how-to/use-python").codes


def test_every_built_in_name_is_in_the_catalogue(site: Path) -> None:
    shown = page(site, "reference/catalogue").codes
    for path in (ROOT / "planner" / "catalogue" / "data").glob("*/*.toml"):
        assert path.stem in shown, path


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "SECURITY.md", "examples/README.md"])
def test_links_of_pages_outside_the_site_lead_somewhere(name: str, site: Path) -> None:
    text = (ROOT / name).read_text()
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    assert links or name == "SECURITY.md"
    for link in links:
        if re.match(r"[a-z]+://", link):
            continue
        path, _, anchor = link.partition("#")
        target = ((ROOT / name).parent / path).resolve()
        assert target.exists(), link
        if anchor:
            assert anchor in page(site, str(target.relative_to(DOCS).with_suffix(""))).anchors, link
