"""Chromium driven by chromedriver over its own HTTP interface (W3C WebDriver): no package needed."""

from __future__ import annotations

import base64
import json
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
)


class Driver:
    """A browser without a screen."""

    def __init__(self, chromedriver: str, browser: str, profile: Path) -> None:
        """Start both; ``profile`` is the browser's new data folder."""
        self.downloads = profile / "downloads"
        self._process = subprocess.Popen(
            [chromedriver, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self._process.stdout is not None
        line = next(line for line in self._process.stdout if "successfully on port " in line)
        self._address = f"http://127.0.0.1:{line.split('on port ')[1].strip().rstrip('.')}"
        options = {
            "binary": browser,
            "args": [*FLAGS, f"--user-data-dir={profile}"],
            "prefs": {
                "download.default_directory": str(self.downloads),
                "profile.default_content_setting_values.automatic_downloads": 1,  # several from one page
            },
        }
        asked = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "SEVERE"}}
        self._session = self._ask("/session", {"capabilities": {"alwaysMatch": asked}})["sessionId"]

    def __enter__(self) -> Driver:
        return self

    def __exit__(self, *_: object) -> None:
        self._ask(f"/session/{self._session}", method="DELETE")
        self._process.kill()
        self._process.wait()

    def open(self, address: str, *, width: int = 1280, height: int = 1600) -> None:
        """Show a page in a window of so many pixels."""
        self._of("/window/rect", {"width": width, "height": height})
        self._of("/url", {"url": address})

    def run(self, script: str, *arguments: Any) -> Any:
        """What the body of a JavaScript function returns."""
        return self._of("/execute/sync", {"script": script, "args": arguments})

    def wait(self, script: str, *arguments: Any, seconds: float = 240) -> Any:
        """What a script returns once that is something."""
        end = time.monotonic() + seconds
        while not (value := self.run(script, *arguments)):
            if time.monotonic() > end:
                raise TimeoutError(f"{script} {arguments}\n{self.run('return document.body.innerText')}")
            time.sleep(0.3)
        return value

    def click(self, text: str) -> None:
        """Click the visible button or tab of this text."""
        script = """
        const found = [...document.querySelectorAll("button, a, [role=tab]")].find(each =>
            each.innerText.trim() === arguments[0] && !each.disabled && !each.closest("[aria-hidden=true]") &&
            each.checkVisibility({visibilityProperty: true}));
        if (found) found.click();
        return Boolean(found);
        """
        self.wait(script, text)

    def press(self, script: str) -> None:
        """Click, as a mouse does, the element that a script returns."""
        self._of(f"/element/{self.wait(script)[ELEMENT]}/click", {})

    def upload(self, file: Path, selector: str = "input[type=file]") -> None:
        """Give a file to a page's file input."""
        self.wait("return document.querySelector(arguments[0])", selector)
        found = self._of("/element", {"using": "css selector", "value": selector})
        self._of(f"/element/{found[ELEMENT]}/value", {"text": str(file)})

    def errors(self) -> list[str]:
        """What scripts and requests have failed with since the last call."""
        return [entry["message"] for entry in self._of("/se/log", {"type": "browser"})]

    def screenshot(self, path: Path) -> None:
        """What is seen, as a PNG."""
        path.write_bytes(base64.b64decode(self._of("/screenshot")))

    def _of(self, path: str, body: Any = None) -> Any:
        return self._ask(f"/session/{self._session}{path}", body)

    def _ask(self, path: str, body: Any = None, method: str | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._address + path, data, method=method)
        with urllib.request.urlopen(request, timeout=300) as reply:
            return json.load(reply)["value"]
