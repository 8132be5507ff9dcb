"""A campaign's report of ten thousand answers in a real browser: quick to open, accessible, fit for a phone and for paper."""

from __future__ import annotations

import base64
import importlib.util
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from netassay.reports.campaign import Settings, write_campaign
from reports.campaign_answers import campaign, campaign_answers
from reports.test_browser import CHROMIUM, DRIVER, FLAGS, OVERLAPS

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="needs Debian's chromium and chromium-driver (/usr/bin/chromium, /usr/bin/chromedriver)"
)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1,797 digits, six questions each."""
    answers = campaign_answers()
    return write_campaign(answers, campaign(answers), tmp_path_factory.mktemp("campaign"), Settings(pages=3))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    driver.set_script_timeout(300)  # axe-core looks at every element: half a minute where many share a processor
    try:
        yield driver
    finally:
        driver.quit()


def visit(browser: Any, page: Path, width: int) -> None:
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": False})
    browser.get(page.as_uri())


def pages(report: Path) -> list[Path]:
    return [report, sorted(report.parent.glob("inputs/*.html"))[0]]


def test_it_stays_light(report: Path) -> None:
    """What makes a page slow to open: its size and its number of elements. The number of answers must not show in them."""
    assert report.stat().st_size < 600_000
    assert report.read_text(encoding="utf-8").count("<") < 25_000
    assert report.with_name("report.json").stat().st_size < 6_000_000
    assert len(json.loads(report.with_name("report.json").read_bytes())["results"]["index"]) == 10_782


@pytest.mark.parametrize("width", [1280, 390])
def test_it_fits_and_logs_nothing(browser: Any, report: Path, width: int) -> None:
    for page in pages(report):
        browser.get_log("browser")
        visit(browser, page, width)
        wide = browser.execute_script("return [document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        assert wide[0] <= wide[1] <= width
        assert browser.get_log("browser") == []
        assert browser.execute_script(OVERLAPS) == []


AXE = """
const done = arguments[arguments.length - 1];
document.querySelectorAll('details').forEach(e => e.open = true);
axe.run(document, {resultTypes: ['violations']}).then(
  r => done(r.violations.map(v => [v.id, v.impact, v.nodes.length, v.nodes[0].html.slice(0, 200)])), e => done([['error', String(e)]]));
"""


def axe_core() -> str:
    """The script of axe-core: NETASSAY_AXE names a file (axe.min.js of the npm package), else as axe-core-python brings it."""
    if os.environ.get("NETASSAY_AXE"):
        return Path(os.environ["NETASSAY_AXE"]).read_text(encoding="utf-8")
    found = importlib.util.find_spec("axe_core_python")
    scripts = [] if found is None or found.origin is None else list(Path(found.origin).parent.rglob("axe.min.js"))
    if not scripts:
        pytest.skip("axe-core is not installed (pip install axe-core-python)")
    return scripts[0].read_text(encoding="utf-8")


@pytest.mark.parametrize("width", [1280, 390])
def test_it_has_no_serious_accessibility_violation(browser: Any, report: Path, width: int) -> None:
    script = axe_core()
    for page in pages(report):
        visit(browser, page, width)
        browser.execute_script(script)
        assert [v for v in browser.execute_async_script(AXE) if v[1] not in ("minor", "moderate")] == []


def test_axe_would_find_a_violation(browser: Any, report: Path) -> None:
    script = axe_core()
    visit(browser, report, 1280)
    browser.execute_script("document.documentElement.removeAttribute('lang')")
    browser.execute_script(script)
    assert "html-has-lang" in [v[0] for v in browser.execute_async_script(AXE)]


def test_it_prints_with_everything_unfolded(browser: Any, report: Path) -> None:
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.get(report.as_uri())
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        shown = browser.execute_script("return Array.from(document.querySelectorAll('details table'), t => t.checkVisibility())")
        hidden = browser.execute_script("return document.querySelector('nav').offsetHeight")
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert shown
    assert all(shown)
    assert hidden == 0
    printed = browser.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})
    assert base64.b64decode(printed["data"]).startswith(b"%PDF-")
