"""The page fits a real browser, is accessible and contains no foreign markup."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.report.conftest import HOSTILE
from tests.workspace import BROWSER, NPM

Scheme = Literal["light", "dark"]

FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-sync", "--disable-background-networking"),
    "--disable-component-update",
]

# Counts what no page may contain, and cells that are not isolated or overflow.
COUNTS = """() => ({
    foreign: document.querySelectorAll(
        'script, img, iframe, object, form, base, main style, main main, html html'
    ).length,
    links: [...document.querySelectorAll('[href], [src]')].filter(
        e => !e.getAttribute('href')?.startsWith('#')).length,
    handlers: [...document.querySelectorAll('*')].filter(
        e => e.getAttributeNames().some(name => name.startsWith('on'))).length,
    footers: document.querySelectorAll('body > .page > footer').length,
    inside: [...new Set([...document.querySelectorAll('bdi *')].map(e => e.tagName))],
    loose: [...document.querySelectorAll('bdi')].filter(cell => {
        const style = getComputedStyle(cell), box = cell.getBoundingClientRect();
        const around = cell.parentElement.getBoundingClientRect();
        return style.unicodeBidi !== 'isolate' || style.overflow !== 'hidden'
            || box.left < around.left - 1 || box.right > around.right + 1;
    }).length,
})"""

# Characters that change the order of letters, or are invisible.
HIDDEN = re.compile(
    "[\u202a-\u202e\u2066-\u2069\u200b-\u200f\u2060\ufeff\u2028\x00-\x09\x0b-\x1f\x7f-\x9f]"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not BROWSER:
        pytest.skip("chromium is absent")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=BROWSER, args=FLAGS)
        yield browser
        browser.close()


def opened(browser: Browser, file: Path, width: int, scheme: Scheme) -> Page:
    """Open the page, and fail if it logs a message or requests anything."""
    page = browser.new_page(
        viewport={"width": width, "height": 740}, color_scheme=scheme
    )
    events: list[str] = []
    page.on("console", lambda message: events.append(message.text))
    page.on("pageerror", lambda error: events.append(str(error)))
    page.on("request", lambda request: events.append(request.url))
    page.goto(file.as_uri())
    assert events == [file.as_uri()]
    return page


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_logs_nothing_fits_the_screen_and_begins_with_its_verdict(
    sample_files: Path,
    hostile_files: Path,
    browser: Browser,
    width: int,
    scheme: Scheme,
) -> None:
    for folder in (sample_files, hostile_files):
        page = opened(browser, folder / "report.html", width, scheme)
        assert page.evaluate("document.documentElement.scrollWidth") == width
        verdict = page.locator("#verdict").bounding_box()
        assert verdict
        assert 0 < verdict["y"] + verdict["height"] < 740
        page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(
    sample_files: Path, hostile_files: Path, browser: Browser, scheme: Scheme
) -> None:
    axe = NPM / "axe-core/axe.min.js"
    if not axe.exists():
        pytest.skip("npm's packages are absent")
    for folder in (sample_files, hostile_files):
        # The policy of the page would block axe, too.
        page = browser.new_page(bypass_csp=True, color_scheme=scheme)
        page.goto((folder / "report.html").as_uri())
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = 1)")
        page.evaluate(axe.read_text())
        found = page.evaluate("axe.run()")
        assert found["passes"]
        grave = [v for v in found["violations"] if v["impact"] != "minor"]
        assert grave == []
        page.close()


def test_the_pages_are_valid_html(sample_files: Path, hostile_files: Path) -> None:
    validate = NPM / ".bin/html-validate"
    if not validate.exists():
        pytest.skip("npm's packages are absent")
    pages = [folder / "report.html" for folder in (sample_files, hostile_files)]
    done = subprocess.run(
        [validate, *pages], check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_hostile_rows_change_nothing_outside_their_cells(
    hostile_files: Path, browser: Browser
) -> None:
    page = opened(browser, hostile_files / "report.html", 360, "light")
    assert page.title() == "Product descriptions: report"
    # Each title is shown as text.
    text = page.locator("main").inner_text()
    for title in HOSTILE:
        assert re.sub(r"[^ -~]+.*", "", title[:40], flags=re.DOTALL) in text
    assert r"\u202egnp.exe\u202c" in text
    assert "1,000,000 characters in all" in text
    # They become nothing but text, and none leaves its cell.
    counts = page.evaluate(COUNTS)
    assert set(counts.pop("inside")) == {"I", "BR", "SMALL"}
    assert counts == {
        **dict.fromkeys(("foreign", "links", "handlers", "loose"), 0),
        "footers": 1,
    }
    assert not HIDDEN.search((hostile_files / "report.html").read_text())
    page.close()
