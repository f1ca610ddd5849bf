"""A headless Chromium, driven as a person would: by clicks and keys, and by what is seen."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from support.waiting import wait_until

_ARGUMENTS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--hide-scrollbars",
)  # fmt: skip


class Browser:
    """The browser.

    Args:
        profile: an empty folder.
    """

    def __init__(self, profile: Path) -> None:
        options = ChromeOptions()
        options.binary_location = shutil.which("chromium") or ""
        for argument in (*_ARGUMENTS, f"--user-data-dir={profile}"):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = Chrome(options, ChromeService(shutil.which("chromedriver")))
        self.driver.set_script_timeout(120)

    def quit(self) -> None:
        """End it."""
        self.driver.quit()

    def open(self, url: str) -> None:
        """Open a page as a new visitor does, and wait until it is live."""
        self.complaints()
        self.driver.get(url)
        self.run("localStorage.clear()")
        self.driver.get(url)
        self.wait_for("#status[data-state=live]")

    def resize(self, width: int, height: int) -> None:
        """Make the page as large as that, whatever the least size of a window is."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def set_dark(self, *, is_dark: bool) -> None:
        """Have the system prefer dark, or light."""
        features = [{"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def run(self, script: str, *arguments: Any) -> Any:
        """Run a script in the page; return what it returns."""
        return self.driver.execute_script(script, *arguments)

    def find(self, selector: str) -> list[WebElement]:
        """Return the elements that can be seen."""
        return [found for found in self.driver.find_elements(By.CSS_SELECTOR, selector) if found.is_displayed()]

    def wait_for(self, selector: str) -> WebElement:
        """Return the first such element once it can be seen."""
        return wait_until(lambda: self.look(lambda: self.find(selector)), selector)[0]

    def wait_gone(self, selector: str) -> None:
        """Wait until no such element can be seen."""
        wait_until(lambda: self.look(lambda: not self.find(selector)), f"gone: {selector}")

    def wait_text(self, selector: str, text: str) -> None:
        """Wait until such an element shows a text."""
        wait_until(lambda: text in " | ".join(self.texts(selector)), f"{selector} shows {text!r}")

    def texts(self, selector: str) -> list[str]:
        """Return what such elements show, from top to bottom."""

        def read() -> list[tuple[int, str]]:
            return [(found.location["y"], found.text) for found in self.find(selector)]

        return [text for _, text in sorted(self.look(read) or [])]

    def look(self, at: Callable[[], Any]) -> Any:
        """Return what is seen; None if it changed meanwhile."""
        try:
            return at()
        except StaleElementReferenceException:
            return None

    def click(self, selector: str, number: int = 0) -> None:
        """Click on such an element, once it can be seen; a row that moves on is tried again."""

        def try_to() -> bool:
            found = self.find(selector)
            if len(found) <= number:
                return False
            ActionChains(self.driver).move_to_element(found[number]).click().perform()
            return True

        wait_until(lambda: self.look(try_to), f"clicked {selector}")

    def press(self, keys: str) -> None:
        """Press keys, wherever the focus is."""
        ActionChains(self.driver).send_keys(keys).perform()

    def write(self, selector: str, text: str) -> None:
        """Write a text into a box, in place of what is there."""
        box = self.wait_for(selector)
        box.clear()
        box.send_keys(text)

    def row(self, text: str) -> str:
        """Return a selector of the row that shows a text, once there is one."""
        script = """
            const row = [...document.querySelectorAll('.row:not([hidden])')].find(
                row => row.textContent.includes(arguments[0]));
            return row && row.getAttribute('aria-rowindex')"""
        index = wait_until(lambda: self.run(script, text), f"a row with {text!r}")
        return f".row:not([hidden])[aria-rowindex='{index}']"

    def shoot(self, path: Path) -> None:
        """Keep a picture of what is seen."""
        path.parent.mkdir(parents=True, exist_ok=True)
        assert self.driver.save_screenshot(str(path))

    def complaints(self) -> list[str]:
        """Return what the browser complained about since this was asked before."""
        return [entry["message"] for entry in self.driver.get_log("browser")]  # type: ignore[no-untyped-call]
