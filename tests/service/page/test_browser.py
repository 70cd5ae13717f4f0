"""The page in a real browser: from a decorated call over OTLP to its incident, at a desk and on a phone."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import workload
from running_service import NOW, Running, services

from driftbell.service import encode

CHROMIUM = shutil.which("chromium")
playwright = pytest.importorskip(
    "playwright.sync_api", reason="playwright is missing: pip install -r requirements-browser.lock"
)
axe = pytest.importorskip(
    "axe_playwright_python.sync_playwright", reason="axe is missing: pip install -r requirements-browser.lock"
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is missing: apt-get install chromium")

START = NOW // 86400 * 86400
END = START + workload.HOURS * 3600
APPLICATION = Path(__file__).parents[2] / "kit" / "application.py"


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """A service that got a week of calls over OTLP, an incident at their end, and those of a decorated function."""
    with services(tmp_path_factory.mktemp("browser")) as start:
        running: Running = start(now=START, prices=workload.PRICES, schedule={"evaluate_every": 3600})
        sent = 0
        for records in workload.hours(START):
            for body in encode.requests(records, 0.0, first=sent):
                assert running.post("/v1/traces", data=body, headers={"Content-Type": "application/x-protobuf"}).ok
            sent += len(records)
        subprocess.run([sys.executable, APPLICATION, "3", running.url], check=True, timeout=60, capture_output=True)
        running.time[0] = END
        running.service.catch_up()
        running.service.store.refresh_all()
        running.time[0] = END + 60
        yield running


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield opened
        opened.close()


@pytest.fixture
def tab(browser, service):
    """A tab that fails the test when a page logs an error or breaks our policy, or loads anything from elsewhere."""
    context = browser.new_context(
        base_url=service.url, viewport={"width": 1200, "height": 800}, timezone_id="Asia/Tokyo"
    )
    page = context.new_page()
    page.set_default_timeout(20_000)
    trouble: list[str] = []
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("console", lambda message: trouble.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: trouble.append(request.url) if not request.url.startswith(service.url) else None)
    yield page
    context.close()
    assert trouble == []


def incident_path(service) -> str:
    (incident,) = service.get("/api/v1/incidents?state=all").json()["incidents"]
    return f"/incidents/{incident['id']}"


def pages(service) -> dict[str, str]:
    """An address of each kind."""
    calls = service.get("/api/v1/calls?workflow=triage&limit=1").json()["calls"]
    return {
        "overview": "/",
        "workflow": "/workflow?name=triage",
        "series": "/workflow/series?name=triage&series=input_tokens",
        "incidents": "/incidents?state=all",
        "incident": incident_path(service),
        "calls": "/calls?workflow=triage",
        "call": f"/calls/{calls[0]['trace_id']}/{calls[0]['span_id']}",
        "summaries": "/summaries",
        "telemetry": "/telemetry",
        "sign-in": "/signin",
        "silenced": "/incidents",
    }


def test_from_the_overview_to_the_cause_in_three_clicks(tab, service):
    tab.goto("/")
    tab.get_by_role("link", name="triage", exact=True).click()
    tab.get_by_role("region", name="Incidents in this span").get_by_role("link").first.click()
    heading = tab.get_by_role("heading", level=1).inner_text()
    assert heading.startswith("triage: ")
    assert "amer" in tab.get_by_text("Where", exact=True).locator("..").inner_text()
    chart = tab.locator(".chart").first
    assert chart.locator("path.line").get_attribute("d")
    assert chart.locator("path.band").get_attribute("d")
    parts = tab.locator("table.fall")
    assert "Input length" in parts.inner_text()
    tab.locator("table.calls").get_by_role("link").first.click()
    assert tab.get_by_role("heading", level=1).inner_text() == "What produced this answer"


def test_the_parts_of_a_cost_sum_to_its_change(tab, service):
    tab.goto(incident_path(service))
    told = tab.get_by_text("The parts sum to").inner_text()
    before, after = re.findall(r"([\d.]+)c", tab.locator("#fall").inner_text())
    total = float(re.search(r"sum to \+([\d.]+)c", told)[1])
    assert float(after) - float(before) == pytest.approx(total, abs=0.11)


def test_a_decorated_call_is_found_and_tells_what_produced_it(tab, service):
    tab.goto("/calls?since=2020-01-01T00:00:00Z&until=2021-01-01T00:00:00Z")
    assert "No call fits" in tab.content()
    workflows = {each["name"]: each for each in service.get("/api/v1/workflows").json()["workflows"]}
    newest = workflows["ticket-triage"]["first_ts"]
    tab.goto(f"/calls?since={newest - 60:.0f}&until={newest + 600:.0f}&workflow=ticket-triage")
    assert tab.locator("table.calls tbody tr").count() == 3
    tab.locator("table.calls").get_by_role("link").first.click()
    text = tab.locator("main").inner_text()
    for told in ("atlas-2026", "doc-1", "doc-2", "1 cited in the answer", "1.2.3", "ticket-triage"):
        assert told in text
    assert "secret answer" not in tab.content()
    assert "example.com" not in tab.content()


def test_filters_stand_in_the_address_and_can_be_shared(tab, service):
    tab.goto("/calls?workflow=triage&range=7d")
    tab.get_by_label("Segment").select_option("amer")
    tab.wait_for_url(re.compile("segment=amer"))
    assert "status" not in tab.url, "what is not chosen makes the address no longer"
    rows = tab.locator("table.calls tbody tr td:nth-child(3)").all_inner_texts()
    assert rows
    assert set(rows) == {"amer"}
    shared = tab.url
    tab.goto("/")
    tab.goto(shared)
    assert tab.get_by_label("Segment").input_value() == "amer"


def test_times_are_in_the_zone_of_the_reader(tab, service):
    tab.goto("/calls?workflow=triage&range=7d")
    time = tab.locator("time").first
    hour = int(time.get_attribute("datetime")[11:13])
    assert f"{(hour + 9) % 24:02}:" in time.inner_text()
    assert "UTC" in time.get_attribute("title")
    assert "Asia/Tokyo" in tab.locator("[data-zone]").inner_text()


def test_a_value_is_read_off_a_chart_by_pointing(tab, service):
    tab.goto("/workflow/series?name=triage&series=input_tokens&range=7d")
    plot = tab.locator(".plot").first
    plot.hover(position={"x": plot.bounding_box()["width"] * 0.9, "y": 50})
    assert re.search(r"^[\d,]+ .*usual [\d,]+ to [\d,]+", tab.locator(".tip").inner_text(), re.S)


def test_everything_is_reached_with_the_keyboard(tab, service):
    tab.goto(incident_path(service))
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.className") == "skip"
    tab.keyboard.press("Enter")
    assert tab.evaluate("document.activeElement.id") == "main"
    reached = set()
    for _ in range(60):
        tab.keyboard.press("Tab")
        reached.add(tab.evaluate("document.activeElement.textContent.trim() || document.activeElement.name"))
    assert {"by", "False alarm", "New normal", "Silence"} <= reached
    tab.goto("/")
    tab.keyboard.press("/")
    assert tab.evaluate("document.activeElement.name") == "q"


def faults(tab, names: dict[str, str], options: dict | None = None) -> list[tuple[str, str, str]]:
    """What axe finds serious or critical: page, rule and the first element."""
    found = []
    for name, path in names.items():
        tab.goto(path)
        violations = axe.Axe().run(tab, options=options or {"resultTypes": ["violations"]}).response["violations"]
        found += [
            (name, each["id"], each["nodes"][0]["html"][:120])
            for each in violations
            if each["impact"] in ("serious", "critical")
        ]
    return found


def test_no_page_has_a_serious_fault_for_who_uses_assistive_technology(tab, service):
    assert faults(tab, pages(service)) == []


def test_every_text_can_be_read_in_the_dark(tab, service):
    tab.emulate_media(color_scheme="dark")
    assert faults(tab, pages(service), {"runOnly": ["color-contrast"], "resultTypes": ["violations"]}) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_who_begins_is_shown_how_without_a_fault(browser, tmp_path_factory, scheme):
    with services(tmp_path_factory.mktemp("empty")) as start:
        page = browser.new_page(base_url=start().url, color_scheme=scheme, viewport={"width": 360, "height": 700})
        paths = {
            "start": "/",
            "incidents": "/incidents",
            "calls": "/calls",
            "weeks": "/summaries",
            "none": "/incidents/x",
        }
        assert faults(page, paths) == []
        page.goto("/")
        for line in ("from driftbell import monitor", "monitor.configure(", "@monitor.observe(", "def triage("):
            assert line in page.locator("pre").first.inner_text()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        page.close()


@pytest.mark.parametrize("width", [360, 768])
def test_no_page_scrolls_sideways(tab, service, width):
    tab.set_viewport_size({"width": width, "height": 700})
    for name, path in pages(service).items():
        tab.goto(path)
        assert tab.evaluate("document.documentElement.scrollWidth") <= width, name


def test_dark_is_dark_and_light_is_light(tab, service):
    def brightness() -> int:
        tab.goto("/")
        return sum(map(int, re.findall(r"\d+", tab.evaluate("getComputedStyle(document.body).backgroundColor"))[:3]))

    tab.emulate_media(color_scheme="dark")
    dark = brightness()
    tab.emulate_media(color_scheme="light")
    assert dark < 100 < 700 < brightness()


def test_it_works_without_a_script(browser, service):
    context = browser.new_context(base_url=service.url, java_script_enabled=False)
    page = context.new_page()
    page.goto("/calls?workflow=triage&range=7d")
    page.get_by_label("Status").select_option("error")
    page.get_by_role("button", name="Find").click()
    assert "status=error" in page.url
    page.goto(incident_path(service))
    assert page.get_by_role("button", name="False alarm").is_visible()
    assert "UTC" in page.locator("time").first.inner_text()
    context.close()


def test_a_link_in_a_mail_opens_the_page_for_who_is_signed_in(browser, tmp_path_factory, monkeypatch):
    """The strict cookie stays away from a request that another site begins; the page asks again by itself."""
    monkeypatch.setenv("PAGE_TOKEN", "a-token")
    with services(tmp_path_factory.mktemp("guarded")) as start:
        running: Running = start(token="env:PAGE_TOKEN")
        page = browser.new_page()
        page.goto(f"{running.url}/calls?range=7d")
        page.get_by_label("Token of this service").fill("a-token")
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url("**/calls?range=7d")
        page.goto(f'data:text/html,<a href="{running.url}/incidents">a mail</a>')
        page.get_by_role("link").click()
        page.get_by_role("heading", name="Incidents").wait_for()
        page.get_by_role("button", name="Sign out").click()
        page.get_by_role("heading", name="Sign in").wait_for()
        page.close()


def test_who_is_on_call_takes_it_silences_it_and_judges_it(tab, service):
    """Last, for it changes the incident."""
    tab.goto(incident_path(service))
    tab.get_by_label("Your name").fill("Ana")
    tab.get_by_role("button", name="Acknowledge").click()
    tab.get_by_text("taken by Ana").wait_for()
    assert tab.get_by_role("button", name="Acknowledged").is_disabled()
    tab.locator("details.silence summary").click()
    tab.get_by_label("for", exact=True).select_option("1d")
    tab.get_by_role("textbox", name="why").fill("known")
    tab.locator("details.silence").get_by_role("button", name="Silence").click()
    tab.get_by_text("Silent until").wait_for()
    tab.goto("/incidents")
    tab.get_by_role("button", name="End").click()
    tab.get_by_role("heading", name="Silences").wait_for(state="detached")
    tab.goto(incident_path(service))
    assert tab.get_by_label("Your name").input_value() == "Ana"
    tab.get_by_role("button", name="False alarm").click()
    tab.get_by_text("a false alarm, says Ana").wait_for()
    assert "Resolved" in tab.locator(".head").inner_text()
