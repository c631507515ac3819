"""Pages of an API that were saved as a log: whether they are the whole of what it has, as far as they tell."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from planner.trace.imports import documents, layout
from planner.trace.imports.unpacking import Log

_DEEPEST = 3
"""Keys that what a page says of itself may be under."""
_MORE = frozenset({"hasmore", "hasnext", "hasnextpage"})
_NEXT = frozenset({
    "nextpage", "nextpagetoken", "nextcursor", "nexttoken", "nextlink", "nexturl", "nextpageurl", "nextoffset",
    "continuationtoken", "nextcontinuationtoken", "odatanextlink",
})  # fmt: skip
_OF_PAGES = frozenset({"meta", "links", "paging", "pagination", "pageinfo", "resultinfo", "responsemetadata"})
"""Objects that say how pages follow each other, where `next` and `cursor` mean the page after this one."""
_PAGE = frozenset({"page", "currentpage", "pagenumber", "pageindex"})
_PAGES = frozenset({"totalpages", "pagecount", "numpages"})
_TOTAL = frozenset({"totalcount", "totalitems", "totalrecords", "totalresults", "totalrows", "totalelements"})
_SIZE = frozenset({"page", "pagesize", "perpage", "limit", "offset", "size"})
"""Beside one of these, `total` is a number of records."""


@dataclass(frozen=True, kw_only=True)
class _Page:
    """What a page says: keys that tell whether one follows, the number of all pages and of all records.

    rows: records that it holds itself.
    """

    more: dict[str, bool]
    number: str | None
    pages: tuple[str, int] | None
    total: tuple[str, int] | None
    rows: int

    @property
    def says_anything(self) -> bool:
        return bool(self.more or self.pages or self.total)


def page_notes(logs: Sequence[Log]) -> tuple[str, ...]:
    """What the user is to know of pages that are not all there are."""
    found = [page for log in logs for page in _pages(log)]
    what = _missing(found)
    if what is None:
        return ()
    return (
        f"the log is incomplete: {what}; get the others from the API that it is from, and import all pages together",
    )


def _missing(found: Sequence[_Page]) -> str | None:
    """Why pages are not all; None where they may be."""
    if found and all(any(page.more.values()) for page in found):
        key = next(name for name, says_so in found[-1].more.items() if says_so)
        return f"its last page says that more follow ({key})"
    numbers = [page.pages for page in found if page.pages]
    if numbers:
        key, pages = max(numbers, key=lambda one: one[1])
        held = len({page.number or place for place, page in enumerate(found)})
        if held < pages:
            return f"it holds {held:,} of {pages:,} pages ({key})"
    totals = [page.total for page in found if page.total]
    if totals:
        key, total = max(totals, key=lambda one: one[1])
        rows = sum(page.rows for page in found)
        if rows < total:
            return f"its pages hold {rows:,} of {total:,} records ({key})"
    return None


def _pages(log: Log) -> list[_Page]:
    """The pages of a log, where its beginning has one that says something of the others."""
    if log.path.is_dir() or layout.kind_of(log)[0] != "json":
        return []
    first = map(_page_of, documents.first_records(log))
    if not any(page is not None and page.says_anything for page in first):
        return []
    return [page for text in documents.all_records(log) if (page := _page_of(text)) is not None]


def _page_of(text: str) -> _Page | None:
    """What a record says as a page; None for one without a list, which is no page."""
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict):
        return None
    more: dict[str, bool] = {}
    number, pages, total, rows = None, None, None, -1
    for path, siblings, key, value in _members(record, "", 1):
        name = _plain(key)
        if isinstance(value, list):
            rows = max(rows, sum(isinstance(each, dict) for each in value))
        elif (says_so := _says_more(name, path, value)) is not None:
            more[path] = says_so
        elif name in _PAGE and number is None:
            number = str(value)
        elif (count := _count(value)) is None:
            continue
        elif name in _PAGES:
            pages = (path, count)
        elif name in _TOTAL or (name == "total" and _SIZE & siblings) or (name == "value" and "relation" in siblings):
            total = (path, count)
    return _Page(more=more, number=number, pages=pages, total=total, rows=rows) if rows >= 0 else None


def _members(value: dict[str, Any], above: str, depth: int) -> Iterator[tuple[str, frozenset[str], str, object]]:
    """Path, names of those beside it, key and value of what is in an object and in the objects inside it."""
    siblings = frozenset(map(_plain, value))
    for key, inside in value.items():
        path = f"{above}{key}"
        if not isinstance(inside, dict):
            yield path, siblings, key, inside
        elif depth < _DEEPEST:
            yield from _members(inside, f"{path}.", depth + 1)


def _says_more(name: str, path: str, value: object) -> bool | None:
    """Whether something says that a page follows; None where it says nothing of that."""
    if name in _MORE:
        return value if isinstance(value, bool) else None
    parents = [_plain(key) for key in path.split(".")[:-1]]
    is_next = name in _NEXT or (name in ("next", "cursor", "href") and bool(_OF_PAGES & set(parents)))
    if name == "href":
        is_next = is_next and parents[-1] == "next"
    if not is_next and name == "next":
        is_next = value is None or (isinstance(value, str) and value.startswith(("http:", "https:", "/", "?")))
    return bool(value) if is_next else None


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _plain(key: str) -> str:
    """A key without its case and separators; nextPageToken is next_page_token."""
    return "".join(each for each in key.lower() if each.isalnum())
