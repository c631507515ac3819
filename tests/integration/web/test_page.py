"""The page of `planner serve` as people use it: in a browser, with the mouse, the keyboard, and without script."""

import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, expect

from planner.web.controls import POLICY, SLIDERS
from planner.web.panes import PANES
from tests.conftest import Cli
from tests.helpers.live_pages import SCHEMES, WIDTHS, LivePages, Scheme, assert_accessible, assert_fits, screenshot
from tests.helpers.served import Server

pytestmark = pytest.mark.browser
OWN = "own-aggregated"


def opened(browse: LivePages, server: Server, address: str = "/", **options: object) -> Page:
    """A page whose answer is complete and whose timeline is drawn."""
    page = browse(server.address.rstrip("/") + address, **options)  # type: ignore[arg-type]
    complete(page)
    return page


def complete(page: Page) -> None:
    expect(page.locator("#live:not([data-pending]):not([aria-busy])")).to_be_attached(timeout=60_000)
    expect(page.locator("body[data-drawn]")).to_be_attached(timeout=60_000)


def asked(page: Page) -> dict[str, list[str]]:
    """What the address says."""
    return parse_qs(urlsplit(page.url).query)


def answered(page: Page) -> str:
    """The sentences that answer, and the figures below them."""
    return "\n".join(page.locator("section.verdict").all_inner_texts())


def move(page: Page, path: str, value: str) -> None:
    """Move a slider as a drag does: some input events, and a change where it ends."""
    page.wait_for_timeout(600)  # a pause between moves, each of which is a step back
    page.locator(f'[name="{path}"]').evaluate(
        """(field, value) => {
            field.value = value;
            field.dispatchEvent(new Event("input", { bubbles: true }));
            field.dispatchEvent(new Event("change", { bubbles: true }));
        }""",
        value,
    )
    settled(page, path)


def settled(page: Page, path: str) -> None:
    """Wait until the answer is that of the address."""
    page.wait_for_function("path => new URLSearchParams(location.search).has(path)", arg=path)
    complete(page)


MOVES = {
    "trace.demand_factor": "0.5",
    "fleet.nodes": "40",
    "policy.floor_nodes": "12",
    "policy.target_utilisation": "0.6",
    "fleet.start_up_s": "3600",
    "trace.cache_hit_ratio": "0.8",
    "slo.ttft_ms": "1000",
    "slo.tpot_ms": "10",
    "failures.nodes_down_ratio": "0.2",
    "economics.gpu_usd_per_hour": "4.2",
}
"""Where each slider is moved to: far enough that the answer is another."""


def test_the_answer_stands_in_the_first_html(browse: LivePages, server: Server) -> None:
    page = browse(server.address, java_script_enabled=False)
    expect(page.locator(".sentence")).to_contain_text(re.compile(r"Needs \d+ nodes|needs \d+ nodes"))
    expect(page.locator("dl.cards dt")).to_have_count(5)


@pytest.mark.parametrize("path", SLIDERS)
def test_each_slider_moves_the_answer_and_the_address(browse: LivePages, server: Server, path: str) -> None:
    page = opened(browse, server)
    before = answered(page)
    move(page, path, MOVES[path])
    assert float(asked(page)[path][0]) == float(MOVES[path])
    after = answered(page)
    assert after != before
    page.reload()
    complete(page)
    assert answered(page) == after
    assert float(page.locator(f'[name="{path}"]').input_value()) == float(MOVES[path])


def test_another_policy_is_another_answer(browse: LivePages, server: Server) -> None:
    page = opened(browse, server)
    before = answered(page)
    page.locator(f'[name="{POLICY}"]').select_option("fixed")
    settled(page, POLICY)
    assert asked(page)[POLICY] == ["fixed"]
    assert answered(page) != before


def test_back_and_forward_are_the_answers_of_their_addresses(browse: LivePages, server: Server) -> None:
    page = opened(browse, server)
    seen = [answered(page)]
    for value in ("0.6", "0.4"):
        move(page, "policy.target_utilisation", value)
        seen.append(answered(page))
    assert len(set(seen)) == 3
    for step, expected in ((page.go_back, seen[1]), (page.go_back, seen[0]), (page.go_forward, seen[1])):
        step()
        expect(page.locator(".sentence")).to_have_text(expected.partition("\n")[0], timeout=60_000)
        complete(page)
        assert answered(page) == expected
    assert page.locator('[name="policy.target_utilisation"]').input_value() == "0.6"


def test_a_slider_moved_back_leaves_the_address(browse: LivePages, server: Server) -> None:
    page = opened(browse, server)
    before = answered(page)
    move(page, "policy.target_utilisation", "0.6")
    slider = page.locator('[name="policy.target_utilisation"]')
    slider.evaluate(
        "field => { field.value = field.dataset.own; field.dispatchEvent(new Event('input', {bubbles: true})) }"
    )
    page.wait_for_function("() => !location.search.includes('target_utilisation')")
    complete(page)
    expect(page.locator(".sentence")).to_have_text(before.partition("\n")[0])


def test_two_plans_are_compared_and_one_is_dropped_again(browse: LivePages, server: Server) -> None:
    page = opened(browse, server)
    alone = answered(page)
    page.get_by_role("link", name="Compare with a plan B").click()
    complete(page)
    sides = page.locator("section.verdict")
    expect(sides).to_have_count(2)
    held = sides.nth(0).inner_text()
    move(page, "b.policy.target_utilisation", "0.5")
    assert asked(page)["b.policy.target_utilisation"] == ["0.5"]
    assert sides.nth(0).inner_text() == held
    assert sides.nth(1).inner_text() != held.replace("Plan A", "Plan B")
    expect(page.locator("#chart-timeline")).to_contain_text("held in B")
    page.get_by_role("link", name="Move sliders of plan A").click()
    complete(page)
    assert page.locator('input[type="hidden"][name="b.policy.target_utilisation"]').input_value() == "0.5"
    page.get_by_role("link", name="Drop plan B").click()
    complete(page)
    assert answered(page) == alone
    assert "b.policy.target_utilisation" not in asked(page)


def test_a_saved_plan_is_a_run_like_any_other(browse: LivePages, server: Server, cli: Cli) -> None:
    page = opened(browse, server, f"/?scenario={OWN}&policy.target_utilisation=0.65")
    page.get_by_role("button", name="Save as a run").click()
    heading = page.locator("h1")
    expect(heading).to_contain_text("Saved as run-", timeout=60_000)
    run_id = heading.inner_text().removeprefix("Saved as ")
    page.get_by_role("link", name="All stored runs").click()
    expect(page.get_by_role("cell", name=run_id)).to_be_visible()
    shown = cli("run", "show", run_id, "--json", "--db", str(server.db))
    assert shown.code in (0, 3), shown.err
    assert shown.json["run_id"] == run_id
    page_says = server.get(f"/answer.json?scenario={OWN}&policy.target_utilisation=0.65").json["a"]["plan"]
    assert shown.json["result_digest"] == page_says["result_digest"]


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("/?policy.target_utilisation=3", "policy.target_utilisation"),
        ("/?scenario=nowhere", "is not a scenario of this page"),
        ("/?from=2030-01-01T00:00", "has no interval in the time that is looked at"),
        ("/?trace=nothing", "nothing"),
    ],
)
def test_what_cannot_be_shown_is_said_in_place(browse: LivePages, server: Server, address: str, says: str) -> None:
    page = browse(server.address.rstrip("/") + address)
    expect(page.get_by_role("alert")).to_contain_text(says)
    assert [line for line in browse.told() if "422" not in line] == []
    page.get_by_role("link", name="Back to the scenario as it is").click()
    complete(page)


def test_an_answer_that_is_refused_while_a_slider_moves_is_said_in_place(browse: LivePages, server: Server) -> None:
    """And the sliders stay where they are, so that they can be moved back."""
    page = opened(browse, server)
    slider = page.locator('[name="policy.target_utilisation"]')
    slider.evaluate("field => { field.min = 0 }")
    slider.evaluate("field => { field.value = 0; field.dispatchEvent(new Event('input', {bubbles: true})) }")
    expect(page.get_by_role("alert")).to_contain_text("policy.target_utilisation", timeout=60_000)
    slider.evaluate("field => { field.value = 0.7; field.dispatchEvent(new Event('input', {bubbles: true})) }")
    expect(page.locator(".sentence")).to_be_visible(timeout=60_000)
    assert [line for line in browse.told() if "422" not in line] == []


def test_a_drag_over_the_timeline_is_looked_at_closer(browse: LivePages, server: Server) -> None:
    page = opened(browse, server)
    rows = page.locator("#live table").first.locator("tbody tr").count()
    picture = page.locator("#chart-timeline svg")
    picture.scroll_into_view_if_needed()
    box = picture.bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] * 0.6
    page.mouse.move(box["x"] + box["width"] * 0.4, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, middle, steps=5)
    page.mouse.up()
    settled(page, "from")
    start, end = asked(page)["from"][0], asked(page)["to"][0]
    assert "2026-11-02T0" < start < end < "2026-11-03"
    page.wait_for_function("rows => document.querySelectorAll('#live table tbody tr').length < rows", arg=rows)
    page.get_by_role("link", name="Look at the whole plan").click()
    complete(page)
    assert page.locator("#live table").first.locator("tbody tr").count() == rows


def test_everything_is_reached_by_the_keyboard(browse: LivePages, server: Server) -> None:
    page = opened(browse, server)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the answer"
    reached = []
    for _ in range(80):
        page.keyboard.press("Tab")
        place, name, outline = page.evaluate(
            """() => { const e = document.activeElement;
                return [e.tagName, e.name || e.textContent.trim(), getComputedStyle(e).outlineStyle] }"""
        )
        if place == "BODY":
            break
        assert outline != "none", f"focus is not seen on {place} {name}"
        reached.append(name)
    assert [name for name in reached if name in (POLICY, *SLIDERS)] == [POLICY, *SLIDERS]
    assert {"Show the command", "Save as a run", "Share this link", "Compare with a plan B"} <= set(reached)
    assert {pane.title for pane in PANES.values()} <= set(reached)


def test_arrow_keys_move_a_slider_by_a_step(browse: LivePages, server: Server) -> None:
    page = opened(browse, server)
    slider = page.locator('[name="policy.target_utilisation"]')
    slider.focus()
    for _ in range(5):
        page.keyboard.press("ArrowLeft")
    settled(page, "policy.target_utilisation")
    assert float(asked(page)["policy.target_utilisation"][0]) == pytest.approx(0.75)
    assert page.evaluate("document.activeElement.name") == "policy.target_utilisation"


def test_the_form_works_without_script(browse: LivePages, server: Server) -> None:
    page = browse(server.address, java_script_enabled=False)
    before = answered(page)
    page.get_by_role("button", name="Plan it").click()
    assert "policy.target_utilisation" in asked(page)
    assert answered(page) == before, "sliders that are not moved change nothing"
    page.locator('[name="policy.target_utilisation"]').focus()
    for _ in range(10):
        page.keyboard.press("ArrowLeft")
    page.get_by_role("button", name="Plan it").click()
    expect(page.locator(".sentence")).not_to_have_text(before.partition("\n")[0])
    assert 0.3 <= float(asked(page)["policy.target_utilisation"][0]) < 0.8
    page.get_by_role("link", name="Compare with a plan B").click()
    expect(page.locator("section.verdict")).to_have_count(2)


ADDRESSES = {
    "answer": "/",
    "compared": "/?compare=1&b.policy.target_utilisation=0.5&pane.side=b",
    "jobs": "/jobs",
    "problem": "/?scenario=nowhere",
    **{name: f"/{name}" for name in PANES},
}


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", ADDRESSES)
def test_every_page_fits_every_screen_and_serves_everybody(
    browse: LivePages, server: Server, name: str, scheme: Scheme
) -> None:
    page = browse(server.address.rstrip("/") + ADDRESSES[name], width=WIDTHS[-1], scheme=scheme)
    charts = page.locator(".chart").count()
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        expect(page.locator("#live:not([data-pending]):not([aria-busy])")).to_be_attached(timeout=60_000)
        expect(page.locator(".chart svg.marks")).to_have_count(charts, timeout=60_000)
        page.wait_for_timeout(300)  # a chart follows its box a moment later
        assert_fits(page)
        screenshot(page, f"{name}-{width}-{scheme}")
    assert_accessible(page)
    assert [line for line in browse.told() if name != "problem" or "422" not in line] == []


def test_a_name_full_of_markup_is_text(browse: LivePages, own: tuple[Path, list[str]], tmp_path: Path) -> None:
    """Names of scenarios, of nodes and in descriptions come from files; those of traces from whoever wrote a log."""
    from tests.helpers.served import served

    hostile = "<img src=x onerror=alert(1)></script><script>alert(2)</script>'\""
    file = tmp_path / "hostile.toml"
    text = Path(own[1][0]).read_text().replace(f'name = "{OWN}"', f"name = {toml(hostile)}", 1)
    file.write_text(text.replace('node_type = "H100"', f"node_type = {toml(hostile)}", 1))
    with served(tmp_path, own[0], str(file)) as server:
        page = browse(server.address)
        expect(page.locator("h1")).to_contain_text(hostile, timeout=60_000)
        complete(page)
        for name in PANES:
            page.goto(f"{server.address}{name}")
            expect(page.locator("#live")).to_be_attached()
        page.goto(f"{server.address}?trace=%3Cscript%3Ealert(3)%3C/script%3E")
        expect(page.get_by_role("alert")).to_be_visible()
        assert [line for line in browse.told() if "422" not in line] == []


def toml(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
