"""Traces and SQL in a driven browser: a log sent and stored, a query run, on a phone and on a screen."""

from pathlib import Path

import pytest

from tests.helpers.live_pages import LivePages, Scheme, assert_accessible, assert_fits, screenshot
from tests.helpers.served_panes import Served

LOG = "arrival,input_tokens,output_tokens\n" + "".join(
    f"2025-03-0{day}T{hour:02d}:00:00Z,{1000 * hour + day},50\n" for day in range(3, 10) for hour in range(24)
)


def test_a_log_is_sent_looked_at_stored_and_planned_with(server: Served, browse: LivePages, tmp_path: Path) -> None:
    log = tmp_path / "week.csv"
    log.write_text(LOG + "soon,1,1\n")
    page = browse(f"{server.address}/traces")
    page.set_input_files("#log", log)
    page.fill("#upload-name", "<img src=x onerror=alert(1)> week")
    page.click("text=Send it and look")
    page.locator("text=1 would be refused").wait_for()
    assert_accessible(page)
    screenshot(page, "import-preview")
    page.click("text=Store it as")
    page.locator("text=168 of 169 rows imported").wait_for()
    page.click("text=Look at it")
    page.locator("body[data-drawn='1']").wait_for(state="attached")
    assert page.locator("#shown").inner_text() == "<img src=x onerror=alert(1)> week"
    page.get_by_role("link", name="Plan with it: <img").click()
    assert "trace=%3Cimg" in page.url


def test_a_broken_log_and_a_taken_name_are_told_in_place(server: Served, browse: LivePages, tmp_path: Path) -> None:
    log = tmp_path / "broken.csv"
    log.write_bytes(b"\x00\x01no log\n")
    page = browse(f"{server.address}/traces")
    page.set_input_files("#log", log)
    page.fill("#upload-name", "hour")
    page.click("text=Send it and look")
    page.locator("#upload-problem:not([hidden])").wait_for()
    assert 'a trace named "hour" is stored already' in page.locator("#upload-problem").inner_text()
    assert_accessible(page)
    page.fill("#upload-name", "broken")
    page.click("text=Send it and look")
    page.locator("#live [role=alert]:has-text('broken.csv')").wait_for()
    told = browse.told()
    assert all("422" in line for line in told), told


@pytest.mark.parametrize("width", [390, 1400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_panes_fit_and_are_accessible(server: Served, browse: LivePages, width: int, scheme: Scheme) -> None:
    page = browse(f"{server.address}/traces?pane.show=hour", width=width, scheme=scheme)
    page.locator("body[data-drawn='1']").wait_for(state="attached")
    assert_fits(page)
    assert_accessible(page)
    screenshot(page, f"traces-{width}-{scheme}")
    page.goto(f"{server.address}/sql")
    page.fill("#sql", "SELECT *\nFROM trace -- all of it")
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_role("region", name="Rows of the query").wait_for()
    assert_fits(page)
    assert_accessible(page)
    screenshot(page, f"sql-{width}-{scheme}")
