# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A headless Chromium, driven over its own DevTools protocol."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Optional

import websocket

NAMES = ("chromium", "chromium-browser", "google-chrome")
PATIENCE = 60.0
# Events by which a page tells that it wanted something, or that something in it is wrong.
_REQUEST, _CONSOLE, _LOG, _THROWN = (
    "Network.requestWillBeSent",
    "Runtime.consoleAPICalled",
    "Log.entryAdded",
    "Runtime.exceptionThrown",
)


def find() -> Optional[str]:
    """The browser's path, or None where there is none."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


class Page:
    """One page, and what it asked for and complained of since it was opened."""

    def __init__(self, address: str) -> None:
        self._socket = websocket.create_connection(address, timeout=PATIENCE, suppress_origin=True)
        self._number = 0
        self.events: list[dict[str, Any]] = []
        for domain in ("Page", "Network", "Log", "Runtime", "Accessibility", "DOM"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command, and its answer."""
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv())
            if message.get("id") == self._number:
                assert "error" not in message, message
                return message.get("result", {})
            self.events.append(message)

    def open(self, path: Path) -> float:
        """Open a file; returns the seconds until it was loaded and laid out."""
        self.events.clear()
        begun = time.monotonic()
        self.call("Page.navigate", url=path.resolve().as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(json.loads(self._socket.recv()))
        # Laid out as well. A frame would have to be waited for, and on a busy machine none may come.
        self.evaluate("document.body.offsetHeight")
        return time.monotonic() - begun

    def evaluate(self, expression: str) -> Any:
        """The value of an expression in the page."""
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def view(self, width: int, height: int = 900, *, dark: bool = False) -> None:
        """Take the size of a screen."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def screenshot(self, path: Path) -> None:
        """The whole page as a PNG."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True, format="png")
        path.write_bytes(base64.b64decode(shot["data"]))

    def printed(self, path: Path) -> None:
        """The page as a PDF, as it is printed."""
        path.write_bytes(base64.b64decode(self.call("Page.printToPDF", printBackground=False)["data"]))

    @property
    def requests(self) -> list[str]:
        """What the page asked for."""
        return [e["params"]["request"]["url"] for e in self.events if e["method"] == _REQUEST]

    @property
    def complaints(self) -> list[dict[str, Any]]:
        """What the console shows."""
        return [e["params"] for e in self.events if e["method"] in (_CONSOLE, _LOG, _THROWN)]

    def accessibility(self) -> list[tuple[str, str]]:
        """Role and name of everything that a screen reader is given."""
        nodes = self.call("Accessibility.getFullAXTree")["nodes"]
        return [
            (node["role"]["value"], str(node.get("name", {}).get("value", "")))
            for node in nodes
            if not node["ignored"]
        ]


@contextmanager
def running(program: str) -> Iterator[Page]:
    """A browser with one empty page. It reaches no network: every name resolves to nowhere."""
    with tempfile.TemporaryDirectory(prefix="hostfence-chromium-", ignore_cleanup_errors=True) as profile:
        command = [
            program,
            "--headless=new",
            "--no-sandbox",  # the tests run as root, and open nothing but their own files
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            "--remote-debugging-port=0",
            f"--user-data-dir={profile}",
            "about:blank",
        ]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            yield Page(_page_address(Path(profile), process))
        finally:
            process.terminate()
            process.wait(PATIENCE)


def _page_address(profile: Path, process: subprocess.Popen[bytes]) -> str:
    from urllib.request import urlopen

    told = profile / "DevToolsActivePort"
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        assert process.poll() is None, f"chromium ended with {process.returncode}"
        if told.exists() and len(told.read_text().splitlines()) == 2:
            port = told.read_text().splitlines()[0]
            with urlopen(f"http://127.0.0.1:{port}/json/list") as answer:
                pages = [item for item in json.load(answer) if item["type"] == "page"]
            if pages:
                return str(pages[0]["webSocketDebuggerUrl"])
        time.sleep(0.05)
    raise AssertionError("chromium did not say where it listens")
