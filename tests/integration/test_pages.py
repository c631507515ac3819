"""Pages of an API that are not all of them are said to be incomplete."""

import json
from pathlib import Path

import pytest

from tests.conftest import Cli
from tests.helpers.gateway_logs import imported, usage_page, written


def test_a_page_that_is_not_the_last_is_said_to_be_incomplete(tmp_path: Path, cli: Cli) -> None:
    first = written(tmp_path / "1.json", "", usage_page(has_more=True))
    assert any("the log is incomplete" in note for note in imported(cli, first)["notes"])
    written(tmp_path / "2.json", "", usage_page(has_more=False, start_s=1793581200))
    whole = cli("trace", "import", str(tmp_path / "*.json"), "--name", "whole", "--json").json
    assert whole["notes"] == []
    assert whole["requests"] == 4


CALL = {"id": "a", "created_at": "2026-11-02T09:00:04Z", "provider": "p", "model": "m", "model_type": "text-generation",
        "success": True, "cached": False, "tokens_in": 100, "tokens_out": 5, "status_code": 200}  # fmt: skip
NEXT = "its last page says that more follow ({})"
PAGES: list[tuple[dict[str, object], str | None]] = [
    ({"page": 1, "page_size": 1, "total_pages": 250, "total": 500}, "it holds 1 of 250 pages (total_pages)"),
    ({"meta": {"page": 1, "totalItems": 900, "totalPages": 18}}, "it holds 1 of 18 pages (meta.totalPages)"),
    ({"result_info": {"page": 1, "per_page": 50, "total_count": 500}}, "1 of 500 records (result_info.total_count)"),
    ({"total": 7, "limit": 1}, "its pages hold 1 of 7 records (total)"),
    ({"nextPageToken": "x"}, NEXT.format("nextPageToken")),
    ({"next_cursor": "x"}, NEXT.format("next_cursor")),
    ({"nextToken": "x"}, NEXT.format("nextToken")),
    ({"meta": {"cursor": "x"}}, NEXT.format("meta.cursor")),
    ({"links": {"next": "/v1/logs?page=2"}}, NEXT.format("links.next")),
    ({"_links": {"next": {"href": "/v1/logs?page=2"}}}, NEXT.format("_links.next.href")),
    ({"count": 3, "next": "https://host/logs?page=2", "previous": None}, NEXT.format("next")),
    ({"@odata.nextLink": "https://host/logs"}, NEXT.format("@odata.nextLink")),
    ({"hasMore": True}, NEXT.format("hasMore")),
    ({"page": 1, "total_pages": 1, "total": 1, "page_size": 50}, None),
    ({"next_cursor": None, "meta": {"cursor": ""}, "next": None, "has_more": False}, None),
    ({"total": 2500, "next": "step"}, None),  # of what, it does not say
    ({}, None),
]


@pytest.mark.parametrize(("told", "what"), PAGES)
def test_a_page_that_tells_of_others_is_said_to_be_incomplete(
    told: dict[str, object], what: str | None, tmp_path: Path, cli: Cli
) -> None:
    page = written(tmp_path / "1.json", "", {"result": [CALL], **told})
    notes = [note for note in imported(cli, page)["notes"] if "incomplete" in note]
    assert bool(notes) == bool(what)
    assert what is None or what in notes[0]


def test_pages_that_are_all_there_are_complete(tmp_path: Path, cli: Cli) -> None:
    def page(number: int, cursor: str | None) -> dict[str, object]:
        call = {**CALL, "id": str(number)}
        return {"result": [call], "meta": {"page": number, "totalPages": 3, "total_count": 3, "nextCursor": cursor}}

    written(tmp_path / "2.json", "", page(2, "c"))
    lines = [json.dumps(page(1, "b")), json.dumps(page(3, None))]
    (tmp_path / "1.json").write_text("\n".join(lines) + "\n")
    whole = cli("trace", "import", str(tmp_path / "*.json"), "--name", "whole", "--json").json
    assert (whole["rows_imported"], [note for note in whole["notes"] if "incomplete" in note]) == (3, [])
    some = imported(cli, tmp_path / "1.json")
    assert any("it holds 2 of 3 pages (meta.totalPages)" in note for note in some["notes"])


def test_a_page_behind_many_records_is_seen(tmp_path: Path, cli: Cli) -> None:
    pages = [{"result": [{**CALL, "id": str(at)}], "next_cursor": str(at) if at < 499 else None} for at in range(500)]
    path = tmp_path / "l.jsonl"
    path.write_text("".join(json.dumps(page) + "\n" for page in pages))
    account = imported(cli, path)
    assert account["rows_imported"] == 500
    assert not [note for note in account["notes"] if "incomplete" in note]
