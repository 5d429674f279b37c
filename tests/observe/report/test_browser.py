"""Reports in a real browser: they draw, answer to mouse and keys, fetch nothing, and axe-core finds nothing serious."""

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from looptree.observe.report import report
from looptree.observe.runs import Run
from tests.observe.recorded import Training, interrupted, recorded
from tests.observe.report.browsing import Opened
from tests.observe.report.poisoned import EVIL, poisoned


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reports")


@pytest.fixture(scope="module")
def reports(folder: Path) -> dict[str, Path]:
    """The files of a page about one run and of one that compares groups."""
    evil = {"env_id": "</script><script>alert(1)</script><img src=x onerror=alert(2)>", "lr": 1}
    runs = [
        recorded(folder / "a", Training(times=80), settings=evil, fields=("rate", "inside")),
        *(recorded(folder / name, Training(gain=2.0), settings={"lr": 2, "seed": name}) for name in "bc"),
    ]
    return {
        "run": report(runs[0]).save(folder / "run.html"),
        "interrupted": report(interrupted(folder / "d", inexact=("<b>begun</b> anew",))).save(folder / "cut.html"),
        "comparison": report(*runs).save(folder / "comparison.html"),
    }


PAGES = [
    *(("run", (width, colours)) for width in (1280, 400) for colours in ("light", "dark")),
    ("comparison", (1280, "light")),
    ("comparison", (400, "dark")),
]


@pytest.mark.parametrize(("kind", "opened"), PAGES, indirect=["opened"])
def test_everything_is_there_for_everybody(opened: Opened, reports: dict[str, Path], kind: str) -> None:
    page = opened.open(reports[kind].as_uri())
    for chart in page.locator("[data-chart]").all():
        chart.locator(".js-line").first.wait_for(state="attached")
    if kind == "run":
        assert page.locator("[data-timeline]:visible .point").count() == 160
        assert page.locator(".tree .loop", has_text="inner: Inner").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert Axe().run(page).response["violations"] == []


def test_where_a_run_was_interrupted_is_marked(opened: Opened, reports: dict[str, Path]) -> None:
    page = opened.open(reports["interrupted"].as_uri())
    place = "document.querySelector('[data-chart=\"0\"]').layout.shapes.map(shape => shape.x0)"
    assert page.locator("[data-chart='0'] .shapelayer path").count() == 1
    assert page.evaluate(place) == [20]
    page.get_by_label("passes", exact=True).check()
    page.wait_for_function("document.querySelector('[data-chart=\"0\"] .xtitle').textContent === 'passes'")
    assert page.evaluate(place) == [5]
    assert "<b>begun</b> anew" in page.get_by_role("list", name="Interruptions").inner_text()
    assert Axe().run(page).response["violations"] == []


def test_a_field_is_picked(opened: Opened, reports: dict[str, Path]) -> None:
    page = opened.open(reports["run"].as_uri())
    page.get_by_label("Field").select_option(label="training.rate")
    assert page.locator("[data-field]:visible h3").inner_text() == "training.rate"
    page.locator("[data-timeline]:visible .point").first.wait_for(state="attached")
    assert page.locator("[data-timeline]:visible .point").count() == 26  # every third pass of 80
    assert page.locator("[data-field]:visible").get_by_text("Half.after_step").first.is_visible()


def test_curves_are_drawn_over_what_is_chosen(opened: Opened, reports: dict[str, Path]) -> None:
    page = opened.open(reports["run"].as_uri())
    title = page.locator("[data-chart='0'] .xtitle")
    assert title.text_content() == "samples"
    page.get_by_label("passes", exact=True).focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("document.querySelector('[data-chart=\"0\"] .xtitle').textContent === 'seconds'")


def test_groups_can_be_left_out(opened: Opened, reports: dict[str, Path]) -> None:
    page = opened.open(reports["comparison"].as_uri())
    lines = page.locator("[data-chart='0'] .js-line")
    both = lines.count()
    page.get_by_role("checkbox", name="lr 2").uncheck()
    page.wait_for_function("n => document.querySelectorAll('[data-chart=\"0\"] .js-line').length < n", arg=both)
    assert lines.count() == 1


def test_keys_fold_the_tree_and_sort_the_table(opened: Opened, reports: dict[str, Path]) -> None:
    page = opened.open(reports["run"].as_uri())
    branch = page.locator(".tree details").first
    branch.locator("> summary").focus()
    page.keyboard.press("Enter")
    assert branch.get_attribute("open") is None
    page.get_by_role("button", name="Calls").focus()
    page.keyboard.press("Enter")
    calls = page.locator("#slowest tbody td:nth-of-type(1)").all_inner_texts()
    assert calls == sorted(calls, key=lambda each: -int(each.replace(",", "")))
    assert page.locator("#slowest [aria-sort=descending]").inner_text().startswith("Calls")


@pytest.mark.parametrize("kind", ["run", "comparison"])
def test_texts_of_a_run_are_never_carried_out(opened: Opened, tmp_path: Path, kind: str) -> None:
    """Nothing of them becomes an element, so that there is nothing for the page's rules to keep from running; what does
    run, or is kept from it, would be told in the console."""
    run = poisoned(tmp_path)
    pages = [run] if kind == "run" else [run, recorded(tmp_path / "other")]
    page = opened.open(report(*pages).save(tmp_path / "page.html").as_uri())
    handled_through(page)
    assert page.locator("img, svg[onload], [onerror], [onmouseover], a[href^=javascript]").count() == 0
    assert page.locator("script").count() == 3
    assert EVIL in page.locator("body").text_content()


def handled_through(page: Page) -> None:
    """Whatever can be done on a page is done."""
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    for axis in page.get_by_role("radio").all():
        axis.check()
    for chart in page.locator("[data-chart] .main-svg .nsewdrag").all():
        chart.hover()
    field = page.get_by_label("Field")
    for number in range(field.locator("option").count() if field.count() else 0):
        field.select_option(index=number)
    for button in page.get_by_role("button").all():
        if button.is_visible():
            button.click()


def test_the_theme_is_changed(opened: Opened, reports: dict[str, Path]) -> None:
    page = opened.open(reports["run"].as_uri())
    background = "getComputedStyle(document.body).backgroundColor"
    line = "document.querySelector('[data-chart=\"0\"] .js-line').style.stroke"
    before = page.evaluate(background), page.evaluate(line)
    page.get_by_role("button", name="Dark").click()
    after = page.evaluate(background), page.evaluate(line)
    assert before[0] != after[0]
    assert before[1] != after[1]
    assert page.get_by_role("button", name="Light").is_visible()


def test_a_notebook_draws_it_too(opened: Opened, folder: Path, reports: dict[str, Path]) -> None:
    page = report(Run(folder / "a"))
    opened.page.set_content(f"<h1>Notebook</h1>{page._repr_html_()}")
    frame = opened.page.frame_locator("iframe")
    frame.locator("[data-chart] .js-line").first.wait_for(state="attached")
