"""Named SQL from files: `sql/queries/NAME.sql`, with its meaning and parameters in the head comment.

-- One line on what it answers.
-- @public            (listed by `planner sql --list`)
-- @param run_id      what to give
"""

import re
from dataclasses import dataclass
from functools import cache

from planner.documents import Document
from planner.errors import QueryError
from planner.files import shipped

_USED = re.compile(r"\$([a-z_][a-z0-9_]*)")


@dataclass(frozen=True, kw_only=True)
class QueryEntry(Document):
    """A named query as `planner sql --list` shows it."""

    name: str
    meaning: str
    params: dict[str, str]
    """The value to give for each parameter."""


@dataclass(frozen=True, kw_only=True)
class NamedQuery(QueryEntry):
    """A query file. public: whether it is listed."""

    public: bool
    sql: str

    @property
    def used(self) -> set[str]:
        """Parameters that the statement names."""
        return set(_USED.findall(re.sub(r"--.*", "", self.sql)))


@cache
@cache
def named_query(name: str) -> NamedQuery:
    """The query of that name. Raises QueryError that lists the public ones."""
    path = shipped("sql") / "queries" / f"{name}.sql"
    if not re.fullmatch(r"[a-z0-9_]+", name) or not path.is_file():
        names = ", ".join(query.name for query in public_queries())
        raise QueryError(f'no query named "{name}"; the named queries are: {names}')
    text = path.read_text(encoding="utf-8")
    meaning, public, params = [], False, {}
    for line in text.splitlines():
        if not line.startswith("--"):
            break
        note = line.removeprefix("--").strip()
        if note == "@public":
            public = True
        elif note.startswith("@param "):
            _, param, what = note.split(maxsplit=2)
            params[param] = what
        else:
            meaning.append(note)
    return NamedQuery(name=name, meaning=" ".join(meaning), params=params, public=public, sql=text)


def named_queries() -> list[NamedQuery]:
    """Every query file, by name."""
    return [named_query(path.stem) for path in sorted((shipped("sql") / "queries").glob("*.sql"))]


def public_queries() -> list[QueryEntry]:
    """The queries that are listed, by name."""
    return [QueryEntry(name=q.name, meaning=q.meaning, params=q.params) for q in named_queries() if q.public]
