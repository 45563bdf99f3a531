"""The page in headless Chromium: no error, nothing loaded, every section drawn, keyboard, phone, dark, print."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.report.page_content import FEW, LABELS, SAMPLES, SECTIONS, deployed
from tests.traced_graphs import pictures

playwright = pytest.importorskip(
    "playwright.sync_api", reason="the browser is driven by playwright, not installed here"
)

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
CHROMIUM = next((path for path in map(shutil.which, NAMES) if path), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the PATH: apt install chromium")

DESK, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 740}
SMALLEST = 10  # CSS pixels of a text that is read on a phone
CONTRAST = 4.5  # WCAG 2.2, AA
FOCUSABLE = "a[href], summary, [tabindex='0']"
# Of all visible text outside what scrolls on its own: its lowest size, and how far its right edge goes.
READABLE = """() => {
  const walker = document.createTreeWalker(document.querySelector('.page'), NodeFilter.SHOW_TEXT);
  const found = [];
  for (let node; (node = walker.nextNode());) {
    const parent = node.parentElement;
    const aside = '.scroll, .hidden, svg, thead, details:not([open]) > :not(summary)';
    if (!node.textContent.trim() || parent.closest(aside)) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    const box = range.getBoundingClientRect();
    if (box.width) found.push([parseFloat(getComputedStyle(parent).fontSize), box.right, node.textContent.trim()]);
  }
  return found;
}"""
FOCUS = """() => {
  const e = document.activeElement, style = getComputedStyle(e);
  const all = [...document.querySelectorAll("a[href], summary, [tabindex='0']")];
  return [all.indexOf(e), style.outlineStyle, parseFloat(style.outlineWidth), e.getBoundingClientRect().left];
}"""
COLOURS = """names => {
  const probe = document.body.appendChild(document.createElement('i'));
  const found = names.map(name => { probe.style.color = `var(--${name})`; return getComputedStyle(probe).color; });
  probe.remove();
  return found.map(text => text.match(/[\\d.]+/g).slice(0, 3).map(Number));
}"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(deployed().report(pictures(SAMPLES), LABELS, **FEW))
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def view(browser: Any, file: Path) -> Iterator[Any]:
    """Opens the page: view(width and height, of a colour scheme, of a medium)."""
    contexts = []

    def at(size: dict[str, int], **options: Any) -> Any:
        contexts.append(browser.new_context(viewport=size, **options))
        tab = contexts[-1].new_page()
        tab.heard = []
        tab.on("console", lambda message: tab.heard.append(message.text))
        tab.on("pageerror", lambda error: tab.heard.append(str(error)))
        tab.on("request", lambda request: tab.heard.append(request.url) if "://" in request.url else None)
        tab.goto(file.as_uri(), wait_until="load")
        return tab

    yield at
    for context in contexts:
        context.close()


@pytest.mark.parametrize("size", [DESK, PHONE])
def test_no_console_error_and_no_request_but_the_file(view: Any, file: Path, size: dict[str, int]) -> None:
    assert view(size).heard == [file.as_uri()]


def test_the_policy_holds_where_a_page_is_tampered_with(view: Any, file: Path) -> None:
    """What a script or a picture from elsewhere would do is refused by the page itself."""
    tab = view(DESK)
    tab.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=\"https://example.invalid/a.png\">')")
    tab.wait_for_function("document.images[0].complete")
    assert [text for text in tab.heard if "Content Security Policy" in text]
    assert tab.evaluate("document.images[0].naturalWidth") == 0


@pytest.mark.parametrize("size", [DESK, PHONE])
def test_every_section_is_drawn(view: Any, size: dict[str, int]) -> None:
    tab = view(size)
    for name in SECTIONS:
        section = tab.locator(f"section#{name}")
        box = section.bounding_box()
        assert box["height"] > 100 and box["width"] > 300, name
        assert len(section.inner_text()) > 100, name
    drawn = tab.evaluate("[...document.querySelectorAll('main svg')].map(e => e.getBoundingClientRect().width)")
    seen = tab.evaluate("[...document.querySelectorAll('main svg')].map(e => !e.closest('details:not([open])'))")
    assert all(width > 10 for width, open_ in zip(drawn, seen, strict=True) if open_)


def test_pictures_are_decoded(view: Any) -> None:
    tab = view(DESK)
    tab.locator("section#attention").scroll_into_view_if_needed()
    shot = tab.locator("section#attention .samples svg").first.screenshot()
    empty = tab.evaluate("e => { for (const i of document.querySelectorAll('svg image')) i.remove(); }", None)
    assert empty is None
    assert tab.locator("section#attention .samples svg").first.screenshot() != shot


def test_at_phone_width_all_text_is_large_enough_and_within_the_page(view: Any) -> None:
    tab = view(PHONE)
    assert tab.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    tab.evaluate("document.querySelectorAll('details').forEach(e => e.open = true)")
    assert tab.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    texts = tab.evaluate(READABLE)
    assert len(texts) > 100
    assert [text for size, right, text in texts if size < SMALLEST or right > PHONE["width"]] == []


def test_tab_reaches_everything_in_order_and_shows_where_it_is(view: Any) -> None:
    tab = view(DESK)
    count = tab.locator(FOCUSABLE).count()
    visible = [i for i in range(count) if tab.locator(FOCUSABLE).nth(i).is_visible()]
    reached = []
    for _ in visible:
        tab.keyboard.press("Tab")
        place, style, width, left = tab.evaluate(FOCUS)
        reached.append(place)
        assert style != "none" and width >= 2
        assert left >= 0
    assert count > 15
    assert reached == visible


def test_the_first_link_skips_to_the_report(view: Any) -> None:
    tab = view(DESK)
    tab.keyboard.press("Tab")
    tab.keyboard.press("Enter")
    assert tab.evaluate("document.activeElement.id") == "main"


def test_details_open_with_the_keyboard(view: Any) -> None:
    tab = view(DESK)
    details = tab.locator("section#network details").first
    assert details.get_attribute("open") is None
    details.locator("summary").focus()
    tab.keyboard.press("Enter")
    assert details.get_attribute("open") is not None
    assert details.locator("tbody tr").count() == len(deployed().graph.nodes)


def test_what_scrolls_can_be_scrolled_with_the_keyboard(view: Any) -> None:
    tab = view(PHONE)
    region = tab.locator("section#raster .scroll")
    region.focus()
    for _ in range(8):
        tab.keyboard.press("ArrowRight")
    tab.wait_for_function("document.querySelector('section#raster .scroll').scrollLeft > 0", timeout=5000)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out(view: Any, scheme: str) -> None:
    tab = view(DESK, color_scheme=scheme)
    papers, inks = (
        tab.evaluate(COLOURS, names) for names in (["paper", "panel"], ["ink", "soft", "accent", "good", "bad"])
    )
    assert (luminance(papers[0]) > 0.5) == (scheme == "light")
    assert min(contrast(ink, paper) for ink in inks for paper in papers) >= CONTRAST


def luminance(rgb: list[float]) -> float:
    """Relative luminance of WCAG 2, 0..1."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (part / 255 for part in rgb)]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


def contrast(a: list[float], b: list[float]) -> float:
    """Contrast of two colours, 1..21."""
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


def test_screen_readers_get_a_name_for_every_picture_and_region(view: Any) -> None:
    lines = [line.strip().lstrip("- '") for line in view(DESK).locator("main").aria_snapshot().splitlines()]
    assert [line for line in lines if line.rstrip(":") in ("img", "region", "figure")] == []
    assert sum(line.startswith('img "') for line in lines) > 10
    assert sum(line.startswith('region "') for line in lines) > len(SECTIONS)


def test_it_prints(view: Any) -> None:
    tab = view(DESK)
    made = tab.pdf(format="A4")
    assert made.startswith(b"%PDF")
    assert 2 <= made.count(b"/Type /Page\n") + made.count(b"/Type /Page ") <= 60
    tab.emulate_media(media="print")
    assert not tab.locator("nav.contents").is_visible()
