"""The calls of functions that one request makes in the server, by package.

    python -m benchmarks.calls [--rows page,add] [--database postgresql] [--bare] [--functions 20]

Each server is in this process: the bytes of a request go into the HTTP protocol of ``tallied
serve``, and the bytes of the response come out of it, without a socket. A number of calls is the
same on a busy machine, so that it tells what a change saves where a time does not.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Sequence
from cProfile import Profile
from functools import partial
from pathlib import Path
from types import CodeType
from typing import Annotated, Any, NamedTuple, cast

import typer
import uvicorn
from rich.console import Console
from uvicorn.server import ServerState

from tallied import asgi
from tallied.server.http_protocol import Config
from tallied.settings import Settings

from .databases import BACKENDS, fresh_database, markdown_table, selected_backends
from .http import chosen_rows
from .serving import bare, host
from .serving.client import to_bytes
from .serving.operations import OPERATIONS, Operation
from .serving.storage import Stored, fill

ROOT = Path(__file__).parents[1]

BUILT_IN, STANDARD_LIBRARY, GENERATED = "built in", "standard library", "generated"
"""The packages of functions that have none."""

DRIVERS = ("asyncpg", "aiosqlite")

console = Console(width=200)


class Scale(NamedTuple):
    """How much is stored, and how many requests are counted."""

    threads: int = 200
    comments: int = 12
    rounds: int = 20
    """The number of requests of each connection."""


class Calls(NamedTuple):
    """The calls of one request, on average."""

    packages: Counter[str]
    """The calls by package."""
    functions: list[tuple[str, float, float]]
    """The functions with their calls and microseconds, the longest first."""


class Client(asyncio.Transport):
    """A connection to an application whose bytes stay in this process.

    :param protocol: what the server has for each connection.
    """

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__({"peername": ("127.0.0.1", 50000), "sockname": ("127.0.0.1", 8000)})
        self._protocol = protocol
        self._received = b""
        self._response: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        protocol.connection_made(self)

    def send(self, request: bytes) -> asyncio.Future[bytes]:
        """Send a request, and return the body of its response once it is there."""
        self._received = b""
        self._response = asyncio.get_running_loop().create_future()
        self._protocol.data_received(request)
        return self._response

    def write(self, data: Any) -> None:
        """Take a part of the response."""
        self._received += data
        head, _, body = self._received.partition(b"\r\n\r\n")
        (length,) = [line[15:] for line in head.split(b"\r\n") if line[:15] == b"content-length:"]
        if len(body) >= int(length) and not self._response.done():
            self._response.set_result(body)

    def end(self) -> None:
        """End the connection, as the client does."""
        self._protocol.connection_lost(None)

    def close(self) -> None:
        """Do nothing, as the connection has ended."""

    def get_write_buffer_size(self) -> int:
        """Return how many bytes the client has not read: it reads all at once."""
        return 0

    def is_closing(self) -> bool:
        """Return whether the connection is being closed, which no response does."""
        return False

    def pause_reading(self) -> None:
        """Do nothing: a request has few bytes."""

    def resume_reading(self) -> None:
        """Do nothing."""


async def measure(
    make_config: Callable[[], uvicorn.Config],
    requests: Sequence[bytes],
    connections: int,
    rounds: int,
) -> Calls:
    """Return the calls of one of some requests, which are sent in turn."""
    config = make_config()
    config.load()
    app = cast("Any", config.app)
    make_protocol = cast("Callable[..., asyncio.Protocol]", config.http_protocol_class)
    number, loop = 0, asyncio.get_running_loop()

    async def send_round(clients: Sequence[Client]) -> None:
        nonlocal number
        responses = []
        for client in clients:
            responses.append(client.send(requests[number % len(requests)]))
            number += 1
        for response in responses:
            body = await response
            if b'"errors"' in body or b'"userErrors":[{' in body or body[:1] != b"{":
                raise RuntimeError(f"The server responded with {body[:1000]!r}")

    async with app.router.lifespan_context(app):
        state = ServerState()
        options: dict[str, Any] = {"server_state": state, "app_state": {}, "_loop": loop}
        clients = [Client(make_protocol(config=config, **options)) for _ in range(connections)]
        for _ in range(5):  # The second use of a document compiles it.
            await send_round(clients)
        profile = Profile()
        profile.enable()
        for _ in range(rounds):
            await send_round(clients)
        profile.disable()
        for client in clients:
            client.end()
    return count(profile, rounds * connections)


def count(profile: Profile, requests: int) -> Calls:
    """Return the calls of a profile for each request, without those of this module."""
    packages: Counter[str] = Counter()
    functions = []
    for entry in profile.getstats():
        package, name = describe(entry.code)
        if package != __name__:
            packages[package] += entry.callcount
            time = entry.inlinetime / requests * 1e6
            functions.append((f"{package}: {name}", entry.callcount / requests, time))
    for package, calls in packages.items():
        packages[package] = round(calls / requests)
    return Calls(packages, sorted(functions, key=lambda row: row[2], reverse=True))


def describe(code: CodeType | str) -> tuple[str, str]:
    """Return the package and the name of a function."""
    if isinstance(code, str):
        return BUILT_IN, code
    path, name = Path(code.co_filename), f"{code.co_qualname}:{code.co_firstlineno}"
    if code.co_filename == __file__:
        return __name__, name
    if code.co_filename.startswith("<"):
        return GENERATED, name
    if "site-packages" in path.parts:
        package = path.parts[path.parts.index("site-packages") + 1]
        return "driver" if package in DRIVERS else package, name
    if path.is_relative_to(ROOT):
        return path.relative_to(ROOT).parts[0].removesuffix(".py"), name
    return STANDARD_LIBRARY, name


def config_of(operation: Operation, url: str, *, is_bare: bool) -> uvicorn.Config:
    """Return the configuration of the server that an operation is sent to."""
    settings = Settings(database=url, environment="production", guests="write", secret=host.SECRET)
    if is_bare:
        return uvicorn.Config(bare.create_app(), log_config=None, access_log=False)
    app = host.create_app() if operation.has_policy else asgi.create_app(settings)
    options = {"log_config": None, "access_log": False, "server_header": False}
    result: uvicorn.Config = Config(settings, cast("Any", app), **options)
    return result


def measure_rows(
    url: str, stored: Stored, rows: Sequence[str], scale: Scale, *, is_bare: bool = False
) -> dict[str, Calls]:
    """Return the calls of some operations."""
    os.environ["BARE_DATABASE"] = url
    return {name: run(OPERATIONS[name], url, stored, scale, is_bare=is_bare) for name in rows}


def run(operation: Operation, url: str, stored: Stored, scale: Scale, *, is_bare: bool) -> Calls:
    """Return the calls of one operation: a read by itself, and a write as one of 32 at once."""
    requests = (operation.bare if is_bare else operation.tallied)(stored)
    make_config = partial(config_of, operation, url, is_bare=is_bare)
    connections = operation.connections if operation.is_write else 1
    work = measure(
        make_config, [to_bytes(*request) for request in requests], connections, scale.rounds
    )
    loop_factory = uvicorn.Config("").get_loop_factory()
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(work)


def show(title: str, results: dict[str, Calls]) -> None:
    """Print the table of one database: a row for each operation, a column for each package."""
    totals: Counter[str] = Counter()
    for calls in results.values():
        totals.update(calls.packages)
    packages = [package for package, calls in totals.most_common() if calls >= len(results)]
    table = markdown_table(title, "package", *results)
    table.add_row("all", *(f"{calls.packages.total():,}" for calls in results.values()))
    for package in packages:
        table.add_row(package, *(f"{calls.packages[package]:,}" for calls in results.values()))
    console.print(table)


def show_functions(name: str, calls: Calls, number: int) -> None:
    """Print the functions of one operation that take the longest."""
    table = markdown_table(name, "function", "calls", "µs")
    for function, times, microseconds in calls.functions[:number]:
        table.add_row(function, f"{times:.1f}", f"{microseconds:.1f}")
    console.print(table)


def main(
    rows: Annotated[str, typer.Option(help=f"Some of {', '.join(OPERATIONS)}.")] = "",
    database: Annotated[str, typer.Option(help="sqlite, postgresql, or both.")] = "both",
    quick: Annotated[bool, typer.Option(help="Fewer requests.")] = False,
    is_bare: Annotated[bool, typer.Option("--bare", help="Those of the bare route.")] = False,
    functions: Annotated[int, typer.Option(help="So many functions of each, too.")] = 0,
) -> None:
    """Print the calls of functions of one request."""
    scale = Scale(**({"rounds": 3} if quick else {}))
    for backend in selected_backends(database):
        with fresh_database(backend) as url:
            stored = asyncio.run(fill(url, scale.threads, scale.comments))
            results = measure_rows(url, stored, chosen_rows(rows), scale, is_bare=is_bare)
        show(f"{BACKENDS[backend]}{', the bare route' if is_bare else ''}", results)
        for name, calls in results.items() if functions else ():
            show_functions(name, calls, functions)


if __name__ == "__main__":
    typer.run(main)
