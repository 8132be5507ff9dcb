"""The report in a real browser: nothing fetched, nothing logged, nothing wider than a phone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from netassay.reports.html import write_report
from reports import sample_answers

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="needs Debian's chromium and chromium-driver (/usr/bin/chromium, /usr/bin/chromedriver)"
)
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("reports")
    tabular, names = sample_answers.tabular_answers(4)
    odd = "<img src=http://example.invalid/x.png>" + "w" * 90
    return {
        "images": write_report(
            sample_answers.image_answers(4), folder / "images", title="Digits", image_layout=(1, 8, 8), output_meaning="logits"
        ),
        "verdicts": write_report(
            sample_answers.verdicts(4), folder / "verdicts", title="Verdicts", image_layout=(1, 8, 8), output_meaning="logits"
        ),
        "tabular": write_report(tabular, folder / "tabular", title="Records", feature_names=names, scale=[1.0], command="netassay " * 40),
        "hostile": write_report(tabular, folder / "hostile", title=odd, feature_names=[odd] * 30, label_names=[odd, odd], notes=[odd]),
    }


def visit(browser: Any, path: Path, width: int) -> list[str]:
    """Opens the page at that width; gives the addresses it asked for."""
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": False})
    browser.get_log("performance")
    browser.get(path.as_uri())
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]


@pytest.mark.parametrize("name", ["images", "tabular", "verdicts", "hostile"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_stands_alone_and_fits(browser: Any, reports: dict[str, Path], name: str, width: int) -> None:
    browser.get_log("browser")
    asked = visit(browser, reports[name], width)
    assert [url for url in asked if not url.startswith("data:")] == [reports[name].as_uri()]
    assert browser.get_log("browser") == []
    wide = browser.execute_script("return [document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert wide[0] <= wide[1] <= width


def test_the_log_would_show_a_fetch(browser: Any, reports: dict[str, Path], tmp_path: Path) -> None:
    """The check above can fail: a page that asks for a picture is seen doing so."""
    page = (
        reports["images"].read_text(encoding="utf-8").replace("img-src data:", "img-src *").replace("<main", '<img src="missing.png"><main')
    )
    leaky = tmp_path / "leaky.html"
    leaky.write_text(page, encoding="utf-8")
    browser.get_log("browser")
    assert (tmp_path / "missing.png").as_uri() in visit(browser, leaky, 1280)
    assert browser.get_log("browser") != []


def test_pictures_and_plots_are_drawn(browser: Any, reports: dict[str, Path]) -> None:
    visit(browser, reports["images"], 1280)
    images = browser.execute_script(
        "return Array.from(document.images, i => [i.complete, i.naturalWidth, i.getBoundingClientRect().width])"
    )
    assert len(images) > 20
    assert all(done and pixels > 0 and shown > 20 for done, pixels, shown in images)
    plots = browser.execute_script("return Array.from(document.querySelectorAll('svg.plot'), p => p.getBoundingClientRect().height)")
    assert len(plots) > 10
    assert min(plots) > 40
    for ident in ("verdict", "stability", "sensitivity", "reachability", "glossary", "provenance", "sign-off"):
        assert browser.execute_script("return document.getElementById(arguments[0]).offsetHeight", ident) > 0


OVERLAPS = """
const found = [];
for (const plot of document.querySelectorAll('svg.plot')) {
  const frame = plot.getBoundingClientRect();
  const outside = r => r.left < frame.left - 1 || r.right > frame.right + 1 || r.bottom > frame.bottom + 1 || r.top < frame.top - 1;
  const apart = (r, q) => r.left >= q.right - 1 || q.left >= r.right - 1 || r.top >= q.bottom - 2 || q.top >= r.bottom - 2;
  const boxes = Array.from(plot.querySelectorAll('text'), t => [t.textContent, t.getBoundingClientRect()]);
  boxes.forEach(([a, r], i) => {
    if (outside(r)) found.push(['outside', a]);
    for (const [b, q] of boxes.slice(i + 1)) if (!apart(r, q)) found.push([a, b]);
  });
}
return found;
"""


@pytest.mark.parametrize("name", ["images", "tabular", "verdicts"])
@pytest.mark.parametrize("width", [1280, 390])
def test_no_text_overlaps_in_plots(browser: Any, reports: dict[str, Path], name: str, width: int) -> None:
    visit(browser, reports[name], width)
    assert browser.execute_script(OVERLAPS) == []


def test_the_skip_link_is_the_first_stop_of_the_keyboard(browser: Any, reports: dict[str, Path]) -> None:
    from selenium.webdriver.common.keys import Keys

    visit(browser, reports["images"], 1280)
    browser.switch_to.active_element.send_keys(Keys.TAB)
    first = browser.switch_to.active_element
    assert first.text == "Skip to the results"
    assert first.location["x"] >= 0
    assert browser.execute_script("return getComputedStyle(arguments[0]).outlineStyle", first) == "solid"


CONTRAST = """
const linear = x => x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4;
const light = colour => {
  const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map(x => linear(x / 255));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ground = e => {
  for (; e; e = e.parentElement) {
    const colour = getComputedStyle(e).backgroundColor;
    if (!/, 0\\)$/.test(colour)) return colour;
  }
  return 'rgb(255, 255, 255)';
};
const weak = [];
for (const e of document.querySelectorAll('p, a, td, th, dt, dd, span, figcaption, caption, h1, h2, h3, h4, h5, li, text')) {
  if (!e.textContent.trim()) continue;
  const style = getComputedStyle(e);
  const [a, b] = [light(e.tagName === 'text' ? style.fill : style.color), light(ground(e))].sort((x, y) => y - x);
  if ((a + 0.05) / (b + 0.05) < 4.5) weak.push([e.tagName, e.textContent.slice(0, 30)]);
}
return weak;
"""


def test_text_has_enough_contrast(browser: Any, reports: dict[str, Path]) -> None:
    for name in ("images", "tabular"):
        visit(browser, reports[name], 1280)
        assert browser.execute_script(CONTRAST) == []
