"""Chromium without a screen, spoken to over its DevTools pipe: https://chromedevtools.github.io/devtools-protocol/."""

from __future__ import annotations

import base64
import itertools
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

# Seconds for one answer; a page of a megabyte takes one or two on a busy machine
PATIENCE = 60.0
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--no-first-run",
    # Nothing of its own goes to the network
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND",
)


class Browser:
    """A running Chromium with one page. What the page asks for and complains of is kept in `requests` and `complaints`."""

    def __init__(self, home: Path) -> None:
        program = shutil.which("chromium")
        assert program, "chromium is not installed"
        read_of_browser, self._out = os.pipe()
        self._in, write_of_browser = os.pipe()

        def plug() -> None:
            # Chromium reads commands from descriptor 3 and writes answers to 4; kept out of the way of each other first
            held = os.dup(read_of_browser), os.dup(write_of_browser)
            os.dup2(held[0], 3)
            os.dup2(held[1], 4)

        self._process = subprocess.Popen(
            [program, *FLAGS, "--remote-debugging-pipe", f"--user-data-dir={home}", "about:blank"],
            preexec_fn=plug,
            close_fds=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(read_of_browser)
        os.close(write_of_browser)
        self._numbers = itertools.count(1)
        self._rest = b""
        self._session = ""
        self._loaded = False
        self.requests: list[str] = []
        self.complaints: list[str] = []
        target = self._tell("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._tell("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self._tell(f"{domain}.enable")

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._out)
        os.close(self._in)
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _tell(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        answer = self._hear(lambda heard: heard.get("id") == number, method)
        assert "error" not in answer, f"{method}: {answer['error']}"
        found: dict[str, Any] = answer["result"]
        return found

    def _hear(self, enough: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
        """Takes messages until one is enough, and returns it."""
        end = time.monotonic() + PATIENCE
        while True:
            while b"\0" in self._rest:
                head, self._rest = self._rest.split(b"\0", 1)
                message: dict[str, Any] = json.loads(head)
                self._note(message)
                if enough(message):
                    return message
            ready = select.select([self._in], [], [], max(0.0, end - time.monotonic()))[0]
            piece = os.read(self._in, 1 << 20) if ready else b""
            assert piece, f"chromium gave no answer to {what} within {PATIENCE:.0f} s, or ended"
            self._rest += piece

    def _note(self, message: dict[str, Any]) -> None:
        given = message.get("params", {})
        match message.get("method"):
            case "Page.loadEventFired":
                self._loaded = True
            case "Network.requestWillBeSent":
                self.requests.append(given["request"]["url"])
            case "Runtime.exceptionThrown":
                self.complaints.append(str(given["exceptionDetails"]))
            case "Runtime.consoleAPICalled" if given["type"] in ("error", "warning", "assert"):
                self.complaints.append(str(given["args"]))
            case "Log.entryAdded" if given["entry"]["level"] in ("error", "warning"):
                self.complaints.append(str(given["entry"]))

    def resize(self, width: int) -> None:
        """Gives the window so many pixels; a narrow one is that of a phone."""
        phone = width < 600
        self._tell(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=844 if phone else 900,
            deviceScaleFactor=2 if phone else 1,
            mobile=phone,
        )

    def open(self, file: Path, width: int = 1280, dark: bool = False, printed: bool = False) -> None:
        """Opens a file in a window of so many pixels."""
        self.requests.clear()
        self.complaints.clear()
        self.resize(width)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._tell("Emulation.setEmulatedMedia", media="print" if printed else "screen", features=[scheme])
        self._loaded = False
        self._tell("Page.navigate", url=file.as_uri())
        if not self._loaded:
            self._hear(lambda _heard: self._loaded, "Page.navigate")

    def ask(self, script: str) -> Any:
        """The value of a JavaScript expression in the page."""
        found = self._tell("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def accessible(self) -> list[dict[str, Any]]:
        """What a screen reader is told of, in order."""
        nodes: list[dict[str, Any]] = self._tell("Accessibility.getFullAXTree")["nodes"]
        return [node for node in nodes if not node.get("ignored")]

    def picture(self, file: Path, element: str = "") -> None:
        """A PNG of the whole page, or of the element with this CSS selector."""
        box = self.ask(
            f"(() => {{ const e = {json.dumps(element)} ? document.querySelector({json.dumps(element)}) : document.documentElement;"
            "const b = e.getBoundingClientRect();"
            "return {x: b.x + scrollX, y: b.y + scrollY, width: b.width, height: b.height, scale: 1} })()"
        )
        data = self._tell("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=box)["data"]
        file.write_bytes(base64.b64decode(data))

    def pdf(self, file: Path) -> None:
        """The page as it is printed."""
        file.write_bytes(base64.b64decode(self._tell("Page.printToPDF", printBackground=False)["data"]))
