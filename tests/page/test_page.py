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

from routes.report.html import render
from routes.verify.header_space import Traffic
from routes.verify.snapshot import Snapshot
from routes.verify.verification import verify
from tests import builders
from tests.snapshots import (
    UPDATE,
    all_of,
    lab,
    with_interface,
    with_routes,
    with_worker,
    without_routes,
)

BROKEN = all_of(
    without_routes("10.200.1.0/24"),
    with_interface(2, source_dest_check=True),
    with_worker(1, availability_zone="us-east-1b"),
)
REASON = "worker-0 to worker-1: blocked by the route, B"
TRACE = [
    REASON,
    "us-east-1a to us-east-1b: between availability zones",
    *("IPv4", "ok", "instance", "i-0 is running"),
    *("ok", "source/destination check", "eni-0: off"),
    *("ok", "security group", "sg-0 outbound"),
    *("ok", "network ACL", "acl-1 of subnet-1, outbound"),
    *("B", "route", "rtb-1 has no route to the pod CIDR", UPDATE),
    *("·", "network ACL", "acl-2 of subnet-2, inbound"),
    *("·", "security group", "sg-1 inbound"),
    *("·", "source/destination check", "eni-1: off"),
    *("·", "instance", "i-1 is running", "IPv4, the reply"),
    *("·", "network ACL", "acl-2 of subnet-2, outbound"),
    *("·", "route", "rtb-1: 10.200.0.0/24 to eni-0"),
    *("·", "network ACL", "acl-1 of subnet-1, inbound"),
    "· no packet gets this far; it would pass.",
]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    chromium = shutil.which("chromium")
    driver = shutil.which("chromedriver")
    if not chromium or not driver:
        if "POD_ROUTES_REQUIRE_CHROMIUM" in os.environ:
            raise FileNotFoundError("chromium and chromedriver are not on PATH")
        pytest.skip("install chromium and its driver (Debian: chromium-driver)")
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
        path.write_text(render(verify(snapshot, Traffic())), encoding="utf-8")
        browser.get(path.as_uri())
        return browser

    return show


Opened = Callable[[Snapshot], webdriver.Chrome]


def messages(browser: webdriver.Chrome) -> list[object]:
    """Return the messages in the browser's console."""
    log: list[object] = browser.get_log("browser")  # type: ignore[no-untyped-call]
    return log


def trace(browser: webdriver.Chrome) -> list[str]:
    """Return the lines of the trace that the page shows."""
    return browser.find_element(By.ID, "trace").text.splitlines()


@pytest.mark.parametrize("count", [1, 3, 20, 100, 300])
def test_the_page_opens_from_disk_without_a_console_message(
    opened: Opened, count: int
) -> None:
    browser = opened(lab(count) if count == 1 else BROKEN(lab(count)))

    assert browser.title == "Pod routes of stack dev"
    assert messages(browser) == []
    assert browser.find_element(By.CLASS_NAME, "vpc").is_displayed()
    resources = browser.execute_script(
        "return performance.getEntriesByType('resource').map((entry) => entry.name)"
    )
    assert [name for name in resources if not name.startswith("data:")] == []


def test_a_failing_cell_has_its_reason_as_label_and_on_hover(
    opened: Opened,
) -> None:
    browser = opened(BROKEN(lab(20)))

    cell = browser.find_element(
        By.CSS_SELECTOR, "[aria-label^='worker-0 to worker-1:']"
    )

    assert cell.accessible_name == REASON
    assert cell.aria_role == "gridcell"
    assert cell.text == "B"
    ActionChains(browser).move_to_element(cell).perform()
    shown = browser.execute_script(
        "return getComputedStyle(arguments[0], '::after').content", cell
    )
    assert shown == f'"{REASON}"'


def test_a_trace_is_reached_with_the_keyboard_alone(opened: Opened) -> None:
    browser = opened(BROKEN(lab()))

    browser.find_element(By.TAG_NAME, "body").send_keys(Keys.TAB)
    assert trace(browser) == ["worker-0 to itself"]
    browser.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)

    assert trace(browser) == TRACE
    assert browser.current_url.endswith("#worker-0/worker-1")


def test_an_unevaluated_worker_has_no_trace(opened: Opened) -> None:
    browser = opened(lab(unmatched=("worker-9",)))

    (cell,) = browser.find_elements(
        By.CSS_SELECTOR, "[aria-label^='worker-0 to worker-9']"
    )
    cell.click()

    assert trace(browser) == ["worker-0 to worker-9: not evaluated"]
    assert messages(browser) == []


def test_a_trace_is_reached_with_the_mouse(opened: Opened) -> None:
    browser = opened(BROKEN(lab(20)))

    browser.find_element(By.ID, "worker-0/worker-1").click()

    assert trace(browser) == TRACE


def test_a_trace_is_reached_by_a_link(opened: Opened) -> None:
    browser = opened(BROKEN(lab(100)))

    browser.execute_script("location.hash = '#worker-0/worker-1'")

    (cell,) = browser.find_elements(By.CSS_SELECTOR, "[aria-selected]")
    assert cell.accessible_name == REASON
    assert trace(browser) == TRACE
    browser.refresh()
    assert trace(browser) == TRACE


def test_a_cause_is_in_the_page_with_its_command(opened: Opened) -> None:
    browser = opened(BROKEN(lab()))

    findings = browser.find_elements(By.CSS_SELECTOR, ".findings > li")
    (text,) = (each.text for each in findings if each.text.startswith("B route"))

    assert "10.200.1.0/24 of worker-1" in text
    assert UPDATE in text


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
    unknown = with_routes(builders.route("10.200.3.0/24", "tgw-1"))
    browser = opened(all_of(BROKEN, unknown)(lab(20)))
    browser.find_element(By.ID, "worker-0/worker-1").click()
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia",
        {"features": [{"name": "prefers-color-scheme", "value": scheme}]},
    )

    assert browser.execute_script(CONTRAST) == []


def test_on_a_phone_nothing_is_wider_than_the_screen(opened: Opened) -> None:
    browser = opened(BROKEN(lab()))
    screen = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    try:
        browser.find_element(By.ID, "worker-0/worker-1").click()
        width = browser.execute_script("return document.documentElement.scrollWidth")
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})

    assert trace(browser) == TRACE
    assert width == 390
