"""A browser without a window, for tests of pages: Chromium, spoken to over a pipe.

The DevTools protocol is JSON, a message at a time with a zero byte after it, on file descriptors 3
and 4 of the browser (`--remote-debugging-pipe`), so that no port is opened and no library needed.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome", "chrome-headless-shell")
QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-extensions"),
    *("--disable-dev-shm-usage", "--mute-audio", "--hide-scrollbars", "--remote-debugging-pipe"),
)
PATIENCE = 60  # seconds for an answer
KEYS = {"ArrowUp": 38, "ArrowDown": 40, "ArrowLeft": 37, "ArrowRight": 39, "Tab": 9, "Home": 36,
        "End": 35, "PageUp": 33, "PageDown": 34}  # fmt: skip


def find_browser() -> str | None:
    """The program that runs Chromium, if there is one."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """A browser with an empty profile in `folder`, alive inside the `with` block."""

    def __init__(self, folder: Path):
        self.folder, self.events, self._last = Path(folder), [], 0
        self._buffer = b""

    def __enter__(self) -> Browser:
        to_browser, self._write = os.pipe()
        self._read, from_browser = os.pipe()
        command = [find_browser(), *QUIET, f"--user-data-dir={self.folder / 'profile'}"]
        wire = f'exec "$@" 3<&{to_browser} 4>&{from_browser}'
        self._process = subprocess.Popen(
            ["bash", "-c", wire, "browser", *command, "about:blank"],
            pass_fds=(to_browser, from_browser), stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        os.close(to_browser)
        os.close(from_browser)
        return self

    def __exit__(self, *error: object) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._write)
        os.close(self._read)

    def call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """The answer to a command; events that come before it are kept."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": parameters}
        message |= {"sessionId": session} if session else {}
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive(method)
            if answer.get("id") == self._last:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]
            self.events.append(answer)

    def _receive(self, waiting_for: str) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], PATIENCE)
            assert ready, f"the browser does not answer {waiting_for}"
            self._buffer += os.read(self._read, 2**16) or b"\0"
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def wait(self, is_it: Callable[[dict[str, Any]], bool], *, since: int) -> None:
        """Wait for an event, or find it among those from the `since`-th on."""
        while not any(map(is_it, self.events[since:])):
            self.events.append(self._receive("by an event"))

    def open(
        self,
        path: Path | str,
        *,
        width: int = 1200,
        height: int = 900,
        dark: bool = False,
        script: bool = True,
        address: str = "",
    ) -> Page:
        """Load a file in a new tab; `address` is what follows the # of its address."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session)
        for domain in ("Page", "Runtime", "Network", "Log"):
            page.call(f"{domain}.enable")
        page.resize(width, height)
        theme = "dark" if dark else "light"
        page.call(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": theme}],
        )
        if not script:
            page.call("Emulation.setScriptExecutionDisabled", value=True)
        page.load(Path(path).absolute().as_uri() + (f"#{address}" if address else ""))
        return page


class Page:
    """A tab of the browser."""

    def __init__(self, browser: Browser, session: str):
        self._browser, self._session = browser, session

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A command to this tab."""
        return self._browser.call(method, self._session, **parameters)

    def load(self, address: str) -> None:
        """Go to an address and wait until all of it is there."""
        seen = len(self._browser.events)
        self.call("Page.navigate", url=address)
        self._browser.wait(
            lambda event: (
                event.get("method") == "Page.loadEventFired"
                and event.get("sessionId") == self._session
            ),
            since=seen,
        )

    def resize(self, width: int, height: int = 900, *, scale: float = 1) -> None:
        """The size of the window in pixels."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=scale, mobile=width < 500,
        )  # fmt: skip

    def run(self, code: str) -> Any:
        """The value of an expression in the page; a promise is waited for."""
        answer = self.call(
            "Runtime.evaluate", expression=code, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def text(self, selector: str) -> str:
        """What can be read in the first element that matches."""
        return self.run(f"document.querySelector({json.dumps(selector)}).innerText")

    def choose(self, select: str, value: object) -> None:
        """Choose an option of a switch by its value."""
        self.run(
            f"(() => {{ const s = document.getElementById({json.dumps(select)});"
            f"s.value = {json.dumps(str(value))}; s.dispatchEvent(new Event('change')); }})()"
        )

    def press(self, key: str, *, shift: bool = False) -> None:
        """Press and release a key."""
        for kind in ("rawKeyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key,
                windowsVirtualKeyCode=KEYS[key], modifiers=8 if shift else 0,
            )  # fmt: skip

    def point(self, x: float, y: float, *, click: bool = False) -> None:
        """Move the mouse to a place of the window, and click there if asked."""
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        for kind in ("mousePressed", "mouseReleased") if click else ():
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def downloaded(self, folder: Path, button: str) -> Path:
        """Press a button that saves a file, and wait for the file."""
        folder.mkdir(exist_ok=True)
        self._browser.call(
            "Browser.setDownloadBehavior",
            behavior="allow", downloadPath=str(folder), eventsEnabled=True,
        )  # fmt: skip
        seen = len(self._browser.events)
        self.run(f"document.getElementById({json.dumps(button)}).click()")
        self._browser.wait(
            lambda event: event.get("params", {}).get("state") == "completed", since=seen
        )
        return next(folder.iterdir())

    def picture(self, path: Path, *, whole: bool = True) -> Path:
        """A screenshot as PNG."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))
        return path

    def printed(self, path: Path) -> Path:
        """The page on paper, as PDF."""
        done = self.call("Page.printToPDF", printBackground=False, preferCSSPageSize=True)
        path.write_bytes(base64.b64decode(done["data"]))
        return path

    def complaints(self) -> list[str]:
        """Errors of scripts, and what was refused by the page's policy."""
        told = self._said("Log.entryAdded")
        found = self._said("Runtime.exceptionThrown")
        found += [event for event in told if event["entry"]["level"] == "error"]
        return [json.dumps(event) for event in found]

    def requests(self) -> list[str]:
        """Every address that was asked for."""
        sent = self._said("Network.requestWillBeSent")
        return [event["request"]["url"] for event in sent]

    def _said(self, method: str, *, since: int = 0) -> list[dict[str, Any]]:
        return [
            event["params"]
            for event in self._browser.events[since:]
            if event.get("method") == method and event.get("sessionId") == self._session
        ]
