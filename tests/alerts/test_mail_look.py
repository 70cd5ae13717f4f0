"""The HTML mail as a person sees it: no sideways scrolling on a phone, readable colours in light and dark."""

import html
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from driftbell.alerts.render import _TEMPLATES

GOLDEN = Path(__file__).parent / "golden"
PAGE = """<!doctype html><body><iframe id=f style="border:0;width:{width}px;height:2000px" srcdoc="{mail}"></iframe>
<script>document.getElementById('f').onload = () => {{
  const page = document.getElementById('f').contentDocument.documentElement;
  document.body.setAttribute('data-width', page.scrollWidth);
}}</script>"""


def mail(state: str) -> str:
    return (GOLDEN / f"cost-{state}.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("width", [360, 640])
@pytest.mark.parametrize("name", ["claims-triage", "x" * 120, "<b>שלום</b>" * 8])
def test_a_real_browser_shows_it_without_sideways_scrolling(tmp_path: Path, width: int, name: str) -> None:
    browser = shutil.which("chromium")
    if not browser:
        pytest.skip("chromium is not installed (apt-get install chromium)")
    shown = mail("opened").replace("claims-triage", html.escape(name))
    (tmp_path / "page.html").write_text(PAGE.format(width=width, mail=html.escape(shown, quote=True)))
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
               f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=2000", "--dump-dom",
               (tmp_path / "page.html").as_uri()]  # fmt: skip
    dom = subprocess.run(command, capture_output=True, text=True, timeout=60).stdout
    found = re.search(r'data-width="(\d+)"', dom)
    assert found, "the page was not laid out"
    assert int(found[1]) <= width


@pytest.mark.parametrize("state", ["opened", "updated", "unknown", "resolved"])
def test_mail_programs_get_the_dark_colours_and_load_nothing(state: str) -> None:
    assert "@media (prefers-color-scheme: dark)" in mail(state)
    assert re.findall(r"(src=|url\(|<link|<svg|@import)", mail(state)) == []


def luminance(colour: str) -> float:
    """Relative luminance of ``#rrggbb`` (WCAG 2.2)."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_every_text_has_enough_contrast_in_light_and_dark() -> None:
    loader = _TEMPLATES.loader
    assert loader is not None
    source = loader.get_source(_TEMPLATES, "incident-html.html")[0]
    light, _, dark = source.partition("@media (prefers-color-scheme: dark)")
    for part, background in ((light, "#ffffff"), (dark, "#1b1f24")):
        assert background in part
        for colour in re.findall(r"(?<![-\w])color: (#[0-9a-f]{6})", part):
            assert contrast(colour, background) >= 4.5, colour
