"""The mail in a real browser: no overflow on a phone, readable in light and dark, nothing loaded from outside.

Chromium is not a mail program; how Outlook and Gmail show the mail stays untested here.
"""

import shutil

import pytest

from driftbell.alerts.weekly.letter import compose
from driftbell.alerts.weekly.render import render

CHROMIUM = shutil.which("chromium")
playwright = pytest.importorskip(
    "playwright.sync_api", reason="playwright is missing: pip install -r requirements-browser.lock"
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is missing: apt-get install chromium")

LEAST_CONTRAST = 4.5
CONTRASTS = """() => {
  const parse = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map(v => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = element => {
    for (let at = element; at; at = at.parentElement) {
      const color = parse(getComputedStyle(at).backgroundColor);
      if (color.length === 3 || color[3] > 0) return color;
    }
    return [255, 255, 255];
  };
  const poor = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const text = node.textContent.replace(/\\u00a0/g, ' ').trim();
    if (!text) continue;
    const pair = [light(parse(getComputedStyle(node.parentElement).color)), light(behind(node.parentElement))];
    const ratio = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
    if (ratio < %s) poor.push([text.slice(0, 40), Math.round(ratio * 100) / 100]);
  }
  return poor;
}"""
OVERFLOWS = """() => [...document.querySelectorAll('body *')]
  .filter(e => e.getBoundingClientRect().right > window.innerWidth + 0.5)
  .map(e => e.tagName + ' ' + e.textContent.slice(0, 40))"""


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def mails(insurer, records):
    """The mails of one feature, of many, and one with very long names and large amounts."""
    one = insurer.numbers(("claims-triage",), records)
    many = insurer.numbers(records=records)
    long = insurer.SETTINGS.model_dump()
    long["workflows"]["claims-triage"]["title"] = "Schadensfallerstbewertungszusammenfassungsvorschlag2026"
    long["workflows"]["claims-triage"]["outcome_title"] = "übernommener Regulierungsvorschlag"
    settings = type(insurer.SETTINGS).model_validate(long)
    wide = insurer.numbers(records=records, settings=settings)
    late = insurer.WEEK.end + 8 * 3600
    return [render(compose(numbers, settings, late)).html for numbers in (one, many, wide)]


@pytest.fixture
def opened(browser):
    """Opens a mail and fails when it asks for anything from outside."""
    pages = []

    def show(html: str, width: int, scheme: str):
        page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
        asked = []
        page.route("**/*", lambda route: (asked.append(route.request.url), route.abort()))
        page.set_content(html)
        assert asked == []
        pages.append(page)
        return page

    yield show
    for page in pages:
        page.close()


@pytest.mark.parametrize("width", [360, 640, 1200])
def test_nothing_is_wider_than_the_screen(mails, opened, width):
    for html in mails:
        page = opened(html, width, "light")
        assert page.evaluate(OVERFLOWS) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read(mails, opened, scheme):
    for html in mails:
        assert opened(html, 640, scheme).evaluate(CONTRASTS % LEAST_CONTRAST) == []


def test_dark_is_dark_and_the_contrast_check_can_fail(mails, opened):
    page = opened(mails[0], 360, "dark")
    assert page.evaluate("getComputedStyle(document.querySelector('td')).color") != "rgb(31, 41, 55)"
    grey = "<body style='background:#fff'><p style='color:#999'>too pale</p></body>"
    assert opened(grey, 360, "light").evaluate(CONTRASTS % LEAST_CONTRAST)


def test_the_decisions_stand_on_the_first_screen_of_a_phone(mails, opened):
    page = opened(mails[0], 360, "light")
    assert page.evaluate("document.querySelectorAll('.verb')[0].getBoundingClientRect().bottom") < 800
    details = page.get_by_text("DETAILS", exact=True).bounding_box()
    assert details is not None
    assert details["y"] < 1.5 * 800


def test_everything_before_the_details_is_one_screen_on_a_desktop(mails, opened):
    for html in mails:
        details = opened(html, 1200, "light").get_by_text("DETAILS", exact=True).bounding_box()
        assert details is not None
        assert details["y"] < 900
