"""Every page that fuki writes, as a browser shows it: wide, narrow, dark, on paper, and with hostile strings."""

import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Dialog, Page, ViewportSize

NAMES = ["report", "addon", "plan", "diff", "same", "hostile-report", "hostile-plan", "hostile-diff"]
WIDTHS = [1280, 375]
Scheme = Literal["light", "dark"]
DETAILS = "() => document.querySelectorAll('details').forEach(details => details.open = true)"
OVERFLOWING = """() => [...document.querySelectorAll('body *')].filter(element =>
    !element.closest('.scroll, .bar, .spans, .off, svg') && element.getBoundingClientRect().right > innerWidth + 1
).map(element => element.outerHTML.slice(0, 200))"""
UNREACHABLE = """() => [...document.querySelectorAll('.scroll')].filter(element =>
    element.scrollWidth > element.clientWidth && element.tabIndex < 0
).map(element => element.outerHTML.slice(0, 200))"""
HEADINGS = "() => [...document.querySelectorAll('h1, h2, h3, h4')].map(heading => Number(heading.tagName[1]))"


@contextmanager
def opened(
    browser: Browser, path: Path, *, width: int = 1280, scheme: Scheme = "light", scripts: bool = True
) -> Iterator[Page]:
    """A page; it must ask for nothing but itself, run nothing, and have nothing to complain about."""
    viewport: ViewportSize = {"width": width, "height": 900}
    context = browser.new_context(viewport=viewport, color_scheme=scheme, java_script_enabled=scripts)
    page = context.new_page()
    noticed: list[str] = []

    def dismiss(dialog: Dialog) -> None:
        noticed.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", dismiss)
    page.on("console", lambda message: noticed.append(message.text))
    page.on("pageerror", lambda error: noticed.append(str(error)))
    page.on("request", lambda request: noticed.append(request.url))
    page.goto(path.as_uri())
    yield page
    context.close()
    assert noticed == [path.as_uri()]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_runs_out_of_the_window(name, width, browser, pages):
    with opened(browser, pages[name], width=width) as page:
        page.evaluate(DETAILS)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(OVERFLOWING) == []
        assert page.evaluate(UNREACHABLE) == []


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (375, "dark"), (1280, "dark"), (375, "light")])
def test_the_checker_for_accessibility_has_nothing_to_complain_about(name, width, scheme, browser, pages):
    """Contrast, headings, names, tables, regions that scroll: all rules that axe has."""
    with opened(browser, pages[name], width=width, scheme=scheme) as page:
        page.evaluate(DETAILS)
        report = Axe().run(page)
    checked = {rule["id"] for rule in report.response["passes"]}
    assert {"color-contrast", "heading-order", "document-title", "html-has-lang", "region"} <= checked
    assert [(rule["id"], [node["html"] for node in rule["nodes"]]) for rule in report.response["violations"]] == []


@pytest.mark.parametrize("name", NAMES)
def test_headings_are_an_outline(name, browser, pages):
    with opened(browser, pages[name]) as page:
        levels = page.evaluate(HEADINGS)
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert len(levels) > 1
    assert all(deeper <= level + 1 for level, deeper in pairwise(levels))


@pytest.mark.parametrize("name", NAMES)
def test_a_page_is_whole_without_scripts_and_is_dark_where_that_is_asked_for(name, browser, pages):
    shown = {}
    for scripts in (True, False):
        for scheme in ("light", "dark"):
            with opened(browser, pages[name], scripts=scripts, scheme=scheme) as page:
                colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
                shown[scripts, scheme] = page.inner_text("body"), colour
    assert shown[True, "light"] == shown[False, "light"]
    assert shown[True, "dark"] == shown[False, "dark"]
    light, dark = (sum(map(int, re.findall(r"\d+", shown[False, scheme][1])[:3])) for scheme in ("light", "dark"))
    assert dark < 3 * 64 < 3 * 192 < light


@pytest.mark.parametrize("name", NAMES)
def test_paper_has_all_that_is_folded_on_the_screen_in_black_on_white(name, browser, pages, tmp_path):
    with opened(browser, pages[name], scheme="dark") as page:
        page.emulate_media(media="print")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        page.pdf(path=tmp_path / "page.pdf", format="A4")
        page.emulate_media(media="screen")
        page.evaluate(DETAILS)
        words = set(re.findall(r"[0-9a-f]{8}-[0-9a-f]{4}|PCR \d+|0x[0-9a-f]+|\.[a-z]{4,}", page.inner_text("main")))
    text = subprocess.run(
        ["pdftotext", "-layout", tmp_path / "page.pdf", "-"], capture_output=True, check=True, text=True
    )
    printed = " ".join(text.stdout.split())
    assert [word for word in sorted(words) if word not in printed] == []
    assert words or name == "same"


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("hostile")])
def test_hostile_strings_are_shown_as_they_are_and_make_nothing(name, browser, pages):
    """That nothing of them ran is held by `opened`, for this test as for all others."""
    with opened(browser, pages[name]) as page:
        page.evaluate(DETAILS)
        count = page.evaluate("document.querySelectorAll('script, img, iframe, object, link, base, form').length")
        styles = page.evaluate("document.querySelectorAll('style').length")
        text = page.inner_text("body")
        title = page.title()
    assert (count, styles) == (0, 1)
    assert "<img src=x onerror=alert(" in text
    assert "\N{RIGHT-TO-LEFT OVERRIDE}" not in text + title
    if name != "hostile-plan":
        assert "<script>alert(1)</script>" in text
        assert "{{ 7 * 7 }} &amp;" in text


def test_the_report_begins_with_what_boots_who_signed_and_who_gets_what(browser, pages):
    with opened(browser, pages["report"], width=375) as page:
        glance = page.inner_text("#glance")
        rows = page.evaluate("[...document.querySelectorAll('#firmware table:last-of-type tbody tr')].length")
        before = page.evaluate(
            "document.querySelector('#glance').compareDocumentPosition(document.querySelector('#identity'))"
        )
    assert before & 4
    assert "root=LABEL=root ro debug" in glance
    assert "CN=Acme" in glance
    assert "PCR polic" in glance
    assert re.search(r"ovmf\s+all\s+Amazon EC2: \d\d machines", glance)
    # A row for each platform and what its machines select, however many sizes there are.
    assert rows < 12


def grouped(pages: Mapping[str, Path], browser: Browser) -> str:
    with opened(browser, pages["report"]) as page:
        page.evaluate(DETAILS)
        return page.inner_text("#firmware")


def test_equal_machines_are_one_row_with_the_id_of_each(browser, pages):
    text = grouped(pages, browser)
    assert re.search(r"one for each of \d\d", text)
    assert "m6a.48xlarge" in text
    assert len(re.findall(r"^[0-9a-f]{8}-[0-9a-f-]{27}$", text, re.MULTILINE)) >= 10
