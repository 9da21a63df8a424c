"""A headless Chromium driven through its DevTools protocol: pages measured, clicked, pictured."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self
from urllib.request import ProxyHandler, build_opener

from websockets.sync.client import ClientConnection, connect

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
START_SECONDS = 60.0
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--hide-scrollbars", "--remote-debugging-port=0"),
]


class Tab:
    """One page of a browser."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._calls = 0

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol, and its answer."""
        self._calls += 1
        ask = {"id": self._calls, "method": method, "params": parameters}
        self._socket.send(json.dumps(ask))
        while (answer := json.loads(self._socket.recv(timeout=60))).get("id") != self._calls:
            pass  # events
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        return dict(answer["result"])

    def open(self, page: Path, *, width: int, height: int, dark: bool = False) -> Self:
        """Show a file in a window of this size, its scripts off."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Emulation.setScriptExecutionDisabled", value=True)
        self.call("Page.navigate", url=page.resolve().as_uri())
        deadline = time.monotonic() + START_SECONDS
        while (
            self.ask("location.href + document.readyState") != f"{page.resolve().as_uri()}complete"
        ):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{page} is not shown")
            time.sleep(0.02)
        return self

    def ask(self, expression: str) -> Any:
        """What an expression of JavaScript comes to on the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"])
        return answer["result"].get("value")

    def click(self, selector: str) -> None:
        """Press the mouse where the element's middle is, as a reader would."""
        one = f"document.querySelector({json.dumps(selector)})"
        self.ask(f"{one}.scrollIntoView({{block: 'center'}})")
        box = self.ask(f"{one}.getBoundingClientRect().toJSON()")
        middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        for kind in ("mousePressed", "mouseReleased"):
            at = {"x": middle[0], "y": middle[1], "button": "left", "clickCount": 1}
            self.call("Input.dispatchMouseEvent", type=kind, **at)

    def picture(self, height: int | None = None) -> bytes:
        """The page as PNG, from its top: all of it, or so many pixels."""
        size = self.ask("[innerWidth, document.documentElement.scrollHeight]")
        clip = {"x": 0, "y": 0, "width": size[0], "height": height or size[1], "scale": 1}
        shot = self.call(
            "Page.captureScreenshot", clip=clip, captureBeyondViewport=True, optimizeForSpeed=True
        )
        return b64decode(shot["data"])


@contextmanager
def browser() -> Iterator[Tab]:
    """A browser of our own with one page, gone at the end.

    Raises:
        RuntimeError: there is no Chromium, or it does not start.
    """
    if CHROMIUM is None:
        raise RuntimeError("no chromium: apt-get install chromium")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        process = subprocess.Popen(
            [CHROMIUM, *FLAGS, f"--user-data-dir={folder}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            with connect(_page(Path(folder), process), max_size=None, proxy=None) as socket:
                yield Tab(socket)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _page(folder: Path, process: subprocess.Popen[bytes]) -> str:
    """Where its first page listens."""
    told = folder / "DevToolsActivePort"
    deadline = time.monotonic() + START_SECONDS
    while not (told.exists() and told.read_text().count("\n")):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{CHROMIUM} did not start")
        time.sleep(0.05)
    port = told.read_text().splitlines()[0]
    with build_opener(ProxyHandler({})).open(f"http://127.0.0.1:{port}/json/list") as answer:
        pages = json.load(answer)
    return next(str(one["webSocketDebuggerUrl"]) for one in pages if one["type"] == "page")
