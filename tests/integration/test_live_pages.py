"""The browser that tests use: what it watches, what it finds, and what it leaves behind."""

import asyncio
from pathlib import Path

import pytest

from tests.helpers.live_pages import LivePages, assert_accessible, assert_fits, screenshot

CLOSED = (
    "<meta http-equiv='Content-Security-Policy' "
    "content=\"default-src 'none'; style-src 'nonce-a'; script-src 'nonce-a'\">"
)


def written(folder: Path, body: str, head: str = "") -> Path:
    page = folder / "page.html"
    head = f"<meta charset='utf-8'><title>A page</title><link rel='icon' href='data:,'>{head}"
    page.write_text(f"<!doctype html><html lang='en'><head>{head}</head><body><main>{body}</main></body></html>")
    return page


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("console.log('so far')", "console log: so far (file://"),
        ("missing.call()", "error: missing is not defined"),
        ("Promise.reject(new Error('in vain'))", "error: in vain"),
        ("fetch('http://example.org/a').catch(() => 0)", "asks elsewhere: GET http://example.org/a"),
        ("new Image().src = 'http://127.0.0.1:9/a.png'", "asks elsewhere: GET http://127.0.0.1:9/a.png"),
        ("new WebSocket('ws://127.0.0.1:9/a')", "opens a socket: ws://127.0.0.1:9/a"),
        ("document.body.style.color = 'red'; document.body.setAttribute('style', 'color: red')", None),
        ("new Image().src = 'data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA='", None),
    ],
)
def test_what_a_page_says_and_asks_elsewhere_is_told(
    script: str, told: str | None, browse: LivePages, tmp_path: Path
) -> None:
    page = browse(written(tmp_path, f"<script>{script}</script>"))
    page.wait_for_load_state("networkidle")
    troubles = browse.told()
    assert any(each.startswith(told) for each in troubles) if told else troubles == []
    assert browse.told() == []


def test_a_request_to_elsewhere_reaches_nobody(browse: LivePages, tmp_path: Path) -> None:
    page = browse(written(tmp_path, "<script>fetch('http://example.org/').catch(() => 0)</script>"))
    page.wait_for_load_state("networkidle")
    assert any("net::ERR_NAME_NOT_RESOLVED" in each for each in browse.told())


def test_every_page_of_a_reader_is_watched(browse: LivePages, tmp_path: Path) -> None:
    first = browse(written(tmp_path, ""))
    second = first.context.new_page()
    second.goto(written(tmp_path, "<script>console.warn('here')</script>").as_uri())
    assert [each.partition(" (")[0] for each in browse.told()] == ["console warning: here"]


def test_what_nobody_asked_for_is_left_at_the_end(browse: LivePages, tmp_path: Path) -> None:
    browse(written(tmp_path, "<script>console.error('at the end')</script>"))
    assert [each.partition(" (")[0] for each in browse.close()] == ["console error: at the end"]
    browse.told()


def test_a_page_has_the_width_and_the_colours_of_its_reader(browse: LivePages, tmp_path: Path) -> None:
    page = written(tmp_path, "")
    seen = "[innerWidth, matchMedia('(prefers-color-scheme: dark)').matches]"
    assert browse(page, width=390, scheme="dark").evaluate(seen) == [390, True]
    assert browse(page, width=1400).evaluate(seen) == [1400, False]
    assert browse.requests == [page.as_uri()] * 2


GOOD = "<h1>Nodes</h1><p>As many as are needed.</p>"


def test_serious_findings_are_named(browse: LivePages, tmp_path: Path) -> None:
    assert_accessible(browse(written(tmp_path, GOOD)))
    bad = browse(written(tmp_path, GOOD + "<p style='color: #bbb'>faint</p><img src='data:,' width='9' height='9'>"))
    with pytest.raises(AssertionError) as found:
        assert_accessible(bad)
    assert "serious color-contrast" in str(found.value)
    assert "critical image-alt" in str(found.value)


def test_what_is_too_wide_is_named(browse: LivePages, tmp_path: Path) -> None:
    wide = "<div id='wide' style='width: 500px'>wide</div>"
    assert_fits(browse(written(tmp_path, f"<div style='overflow: auto'>{wide}</div>"), width=390))
    with pytest.raises(AssertionError, match=r"div#wide: ends at 508 of 390 px"):
        assert_fits(browse(written(tmp_path, wide), width=390))


def test_pages_that_allow_no_scripts_of_others_are_examined_too(
    browse: LivePages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And neither the examination nor a picture makes them complain."""
    monkeypatch.setenv("PLANNER_TEST_PICTURES", str(tmp_path))
    page = browse(written(tmp_path, GOOD, CLOSED))
    assert_accessible(page)
    assert_fits(page)
    screenshot(page, "closed")
    assert (tmp_path / "closed.png").read_bytes().startswith(b"\x89PNG")


def test_pictures_are_kept_only_where_a_folder_is_named(
    browse: LivePages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PLANNER_TEST_PICTURES", raising=False)
    page = written(tmp_path, GOOD)
    screenshot(browse(page), "none")
    assert list(tmp_path.iterdir()) == [page]


def test_other_tests_run_loops_of_their_own(request: pytest.FixtureRequest) -> None:
    async def answer() -> int:
        return 1

    request.getfixturevalue("_driver")
    assert asyncio.run(answer()) == 1
