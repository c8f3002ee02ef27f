"""Start a server, and see that it answers: python scripts/smoke.py [--guests-read] COMMAND ...

The command runs with a database of its own and a free port, in TALLIED_DATABASE,
TALLIED_PORT and PORT, and no other setting of Tallied's. A query must be answered over HTTP,
the schema and the playground must be there with every file that it refers to, the example
that it opens on must run (or, with --guests-read, must ask to sign in), and SIGTERM must end
the server and all its processes.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

PATIENCE = 60.0
"""Seconds that the server has to start, and again to stop."""


class SmokeError(Exception):
    """The server does not do what it should."""


def free_port() -> int:
    """Return a port that nothing listens on at this moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def fetch(url: str, **headers: str) -> tuple[str, bytes]:
    """Return the media type and the body at `url`."""
    with urlopen(Request(url, headers=headers), timeout=10) as answer:
        return answer.headers.get_content_type(), answer.read()


def query(url: str, document: str, **variables: str) -> Any:
    """Return the data of the response to `document`."""
    headers = {"content-type": "application/json", "accept": "application/json"}
    request = Request(
        url, json.dumps({"query": document, "variables": variables}).encode(), headers
    )
    with urlopen(request, timeout=10) as answer:
        result = json.load(answer)
    if "errors" in result:
        raise SmokeError(f"the query was answered with errors: {result['errors']}")
    return result["data"]


def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    """Return when `url` answers."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SmokeError(f"the command ended at once, with exit code {process.returncode}")
        try:
            fetch(url, accept="text/html")
        except URLError:
            time.sleep(0.05)
        else:
            return
    raise SmokeError(f"nothing answers at {url} after {PATIENCE:.0f} seconds")


def check(base: str, *, guests_write: bool = True) -> None:
    """Look at what the server at `base` serves."""
    data = query(f"{base}/graphql", "{ threads(first: 1) { totalCount } }")
    if data != {"threads": {"totalCount": 0}}:
        raise SmokeError(f"an empty forum was answered with {data}")
    kind, page = fetch(f"{base}/graphql", accept="text/html")
    assets = re.findall(r'(?:src|href)="(playground/[^"]+)"', page.decode())
    if kind != "text/html" or not any("vendor/graphiql.js" in asset for asset in assets):
        raise SmokeError("the endpoint does not show the playground to a browser")
    for asset in assets:
        if not fetch(f"{base}/{asset}")[1]:
            raise SmokeError(f"{asset} is empty")
    if b'href="graphql"' not in fetch(f"{base}/", accept="text/html")[1]:
        raise SmokeError("/ does not lead to the playground")
    if b"\ntype Query {" not in fetch(f"{base}/schema.graphql")[1]:
        raise SmokeError("/schema.graphql is not the schema")
    if "__schema" not in json.loads(fetch(f"{base}/introspection.json")[1]):
        raise SmokeError("/introspection.json is not the answer to an introspection")
    example = fetch(f"{base}/playground/examples/start.graphql")[1].decode()
    payload = query(f"{base}/graphql", example, authorName="Ada")["createThread"]
    codes = [error["code"] for error in payload["userErrors"]]
    if codes != ([] if guests_write else ["SIGN_IN_REQUIRED"]):
        raise SmokeError(f"the example was answered with the codes {codes}")
    if guests_write and payload["thread"]["wordCount"] < 2:
        raise SmokeError(f"the example's thread has {payload['thread']['wordCount']} words")
    done = "its example runs" if guests_write else "guests only read"
    print(f"smoke: all {len(assets)} assets of the playground are served, and {done}")


def stop(process: subprocess.Popen[bytes]) -> None:
    """Return when the command, and whatever it has started, has ended."""
    os.killpg(process.pid, signal.SIGTERM)
    process.wait(PATIENCE)
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    raise SmokeError("a process of the command is left behind")


def run(command: list[str], *, guests_write: bool = True) -> None:
    """Start `command`, check what it serves, and stop it.

    :param guests_write: whether those may write who have not signed in.
    :raises SmokeError: when something is not as it should be.
    """
    port = str(free_port())
    with tempfile.TemporaryDirectory(prefix="tallied-smoke-") as folder:
        url = f"sqlite+aiosqlite:///{Path(folder) / 'smoke.db'}"
        environ = {name: text for name, text in os.environ.items() if name[:8] != "TALLIED_"}
        environ |= {"TALLIED_PLAYGROUND": "true", "TALLIED_DATABASE": url}
        environ |= {"TALLIED_PORT": port, "PORT": port}
        process = subprocess.Popen(command, env=environ, cwd=folder, start_new_session=True)
        try:
            wait_for(f"http://127.0.0.1:{port}/graphql", process)
            check(f"http://127.0.0.1:{port}", guests_write=guests_write)
            stop(process)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


if __name__ == "__main__":
    try:
        only_read = sys.argv[1:2] == ["--guests-read"]
        run(sys.argv[1 + only_read :], guests_write=not only_read)
    except (SmokeError, OSError, subprocess.TimeoutExpired) as error:
        sys.exit(f"smoke: {error}")
