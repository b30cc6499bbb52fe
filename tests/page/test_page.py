"""The HTML report in a real browser, from disk, with the network off."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from routes.packets import Question
from routes.page import render
from routes.snapshot import Snapshot
from routes.verify import verify
from tests.snapshots import all_of, lab, with_interface, without_routes

BROKEN = all_of(
    without_routes("10.200.1.0/24"), with_interface(2, source_dest_check=True)
)
REASON = (
    "worker-0 to worker-1: stopped by the route: rtb-1 has no route to the pod CIDR"
    " (cause 1)"
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    chromium = shutil.which("chromium")
    driver = shutil.which("chromedriver")
    if not chromium or not driver:
        if "POD_ROUTES_REQUIRE_CHROMIUM" in os.environ:
            raise FileNotFoundError("chromium and chromedriver are not on PATH")
        pytest.skip("no Chromium: install Debian's chromium and chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (
        "headless",
        "no-sandbox",
        "disable-gpu",
        "disable-quic",
        "no-first-run",
        "disable-background-networking",
        "disable-component-update",
        "disable-sync",
        "window-size=1200,900",
        f"user-data-dir={tmp_path_factory.mktemp('chromium')}",
    ):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(executable_path=driver)
    with webdriver.Chrome(options=options, service=service) as opened:
        opened.execute_cdp_cmd("Network.enable", {})
        opened.execute_cdp_cmd(
            "Network.emulateNetworkConditions",
            {
                "offline": True,
                "latency": 0,
                "downloadThroughput": 0,
                "uploadThroughput": 0,
            },
        )
        yield opened


@pytest.fixture
def opened(
    browser: webdriver.Chrome, tmp_path: Path
) -> Callable[[Snapshot], webdriver.Chrome]:
    def show(snapshot: Snapshot) -> webdriver.Chrome:
        path = tmp_path / "report.html"
        path.write_text(render(verify(snapshot, Question())), encoding="utf-8")
        browser.get(path.as_uri())
        return browser

    return show


Opened = Callable[[Snapshot], webdriver.Chrome]


def messages(browser: webdriver.Chrome) -> list[object]:
    """Return what the page made the browser say in its console."""
    found: list[object] = browser.get_log("browser")  # type: ignore[no-untyped-call]
    return found


def tooltip(browser: webdriver.Chrome) -> str:
    """Return what the page shows beside the focused cell."""
    text: str = browser.execute_script(
        "return getComputedStyle(document.activeElement, '::after').content"
    )
    return text.strip('"')


@pytest.mark.parametrize("count", [1, 3, 20, 100, 300])
def test_the_page_opens_from_disk_without_a_console_message(
    opened: Opened, count: int
) -> None:
    browser = opened(lab(count) if count == 1 else BROKEN(lab(count)))

    assert browser.title == "Pod routes of stack dev"
    assert messages(browser) == []
    assert browser.find_element(By.TAG_NAME, "svg").is_displayed()
    resources = browser.execute_script(
        "return performance.getEntriesByType('resource').map((entry) => entry.name)"
    )
    assert [name for name in resources if not name.startswith("data:")] == []


def test_a_failing_cell_is_found_by_its_label_and_gives_its_reason(
    opened: Opened,
) -> None:
    browser = opened(BROKEN(lab(20)))

    cell = browser.find_element(
        By.CSS_SELECTOR, "[aria-label^='worker-0 to worker-1:']"
    )

    assert cell.accessible_name == REASON
    assert cell.aria_role == "gridcell"
    assert cell.text == "1"
    ActionChains(browser).move_to_element(cell).perform()
    shown = browser.execute_script(
        "return getComputedStyle(arguments[0], '::after').content", cell
    )
    assert shown == f'"{REASON}"'


def test_the_reason_is_reached_by_keyboard_alone(opened: Opened) -> None:
    browser = opened(BROKEN(lab()))
    body = browser.find_element(By.TAG_NAME, "body")

    body.send_keys(Keys.TAB)
    assert tooltip(browser) == "worker-0 to itself"
    browser.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)

    assert tooltip(browser) == REASON


def test_a_cause_stands_in_the_page_with_its_command(opened: Opened) -> None:
    browser = opened(BROKEN(lab()))

    text = browser.find_element(By.ID, "cause-1").text

    assert "10.200.1.0/24 of worker-1" in text
    assert "pulumi up --refresh --stack dev" in text


CONTRAST = """
const channel = (c) => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
const canvas = document.createElement("canvas").getContext("2d");
const light = (colour) => {
  canvas.clearRect(0, 0, 1, 1);
  canvas.fillStyle = colour;
  canvas.fillRect(0, 0, 1, 1);
  const [r, g, b] = canvas.getImageData(0, 0, 1, 1).data;
  return 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
};
const behind = (element) => {
  for (let at = element; at; at = at.parentElement) {
    const colour = getComputedStyle(at).backgroundColor;
    if (colour !== "rgba(0, 0, 0, 0)") return colour;
  }
  return "white";
};
const thin = new Set();
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement;
  if (!walker.currentNode.data.trim() || element.closest("svg, script")) continue;
  const style = getComputedStyle(element);
  const [a, b] = [light(style.color), light(behind(element))];
  const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  if (ratio < 4.5) thin.add(`${element.outerHTML} ${ratio.toFixed(2)}`);
}
return [...thin];
"""
"""Text whose contrast is below the 4.5 that WCAG 2.2, 1.4.3, asks for."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_enough_contrast(opened: Opened, scheme: str) -> None:
    browser = opened(BROKEN(lab(20)))
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia",
        {"features": [{"name": "prefers-color-scheme", "value": scheme}]},
    )

    assert browser.execute_script(CONTRAST) == []
