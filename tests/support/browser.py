"""A real browser: a headless Chromium, driven by the Chrome DevTools Protocol."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
    # As a name server of an attacker would answer.
    "--host-resolver-rules=MAP rebound.example 127.0.0.1",
)
TIMEOUT = 30.0


def find_chromium() -> str:
    """Return the command of a Chromium; skip the test where there is none."""
    for name in NAMES:
        if path := shutil.which(name):
            return path
    pytest.skip("needs a Chromium (on Debian: apt install chromium), and there is none here")


class Page:
    """One page of a browser, of a given size."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._ids = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._task = asyncio.create_task(self._listen())
        self.logged: list[str] = []
        """What the page's scripts and the browser have complained of."""

    async def _listen(self) -> None:
        with suppress(ConnectionClosed):
            async for text in self._connection:
                message = json.loads(text)
                if "id" in message:
                    self._answers.pop(message["id"]).set_result(message)
                elif message["method"] in ("Runtime.exceptionThrown", "Log.entryAdded"):
                    self.logged.append(json.dumps(message["params"]))

    async def call(self, method: str, **parameters: Any) -> Any:
        """Call a method of the protocol."""
        id = next(self._ids)
        answer = self._answers[id] = asyncio.get_running_loop().create_future()
        await self._connection.send(json.dumps({"id": id, "method": method, "params": parameters}))
        reply = await asyncio.wait_for(answer, TIMEOUT)
        assert "error" not in reply, reply
        return reply["result"]

    async def open(self, url: str, width: int = 1280, height: int = 800) -> None:
        """Open an address in a window of that size, in CSS pixels."""
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        for domain in ("Page", "Runtime", "Log"):
            await self.call(f"{domain}.enable")
        await self.call("Page.navigate", url=url)

    async def run(self, script: str) -> Any:
        """Return the value of an expression in JavaScript, awaited where it is a promise."""
        result = await self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    async def wait(self, script: str) -> Any:
        """Return the value of an expression once it is true."""
        deadline = time.monotonic() + TIMEOUT
        while not (value := await self._try(script)):
            assert time.monotonic() < deadline, (script, self.logged, await self._text())
            await asyncio.sleep(0.1)
        return value

    async def _try(self, script: str) -> Any:
        with suppress(AssertionError):  # while the page is loading, nothing of it is there
            return await self.run(script)

    async def _text(self) -> Any:
        return await self._try("document.body.innerText")

    async def screenshot(self, path: Path) -> None:
        """Save what the page looks like as a PNG."""
        image = await self.call("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(image["data"]))


class Browser:
    """A Chromium that runs until the block ends.

    :param folder: an empty folder, for the profile.
    """

    def __init__(self, folder: Path) -> None:
        self._log = folder / "chromium.log"
        self._port_file = folder / "DevToolsActivePort"
        self._command = [find_chromium(), *OPTIONS, f"--user-data-dir={folder}", "about:blank"]

    def __enter__(self) -> Browser:
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=log, start_new_session=True
            )
        self._wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        self._process.kill()
        self._process.wait()

    def _wait(self) -> None:
        """Wait until the browser has written the address of its protocol into its profile."""
        deadline = time.monotonic() + TIMEOUT
        while not self._port_file.is_file() or self._port_file.read_text().count("\n") < 1:
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.05)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Page]:
        """Open a page without cookies, storage or cache, until the block ends."""
        port, path = self._port_file.read_text().split()
        host = f"ws://127.0.0.1:{port}"
        async with connect(f"{host}{path}", max_size=None, proxy=None) as connection:
            browser = Page(connection)
            context = await browser.call("Target.createBrowserContext")
            target = await browser.call("Target.createTarget", url="about:blank", **context)
            url = f"{host}/devtools/page/{target['targetId']}"
            async with connect(url, max_size=None, proxy=None) as page:
                yield Page(page)
            await browser.call("Target.disposeBrowserContext", **context)
