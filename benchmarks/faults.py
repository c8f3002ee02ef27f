"""Clients of a server whose networks fail, for minutes: nothing acknowledged is lost or doubled.

    python -m benchmarks.faults [--minutes 20] [--database sqlite|postgresql]

Sixteen clients add, edit and delete comments over HTTP. A proxy in front of the server, and one in
front of PostgreSQL, delay, stall, cut and refuse connections at random. A client repeats a request
whose outcome it does not know. So in the end the rows must be exactly those in the clients' books,
and every counter must be exact. If a response says that nothing was changed, the comment that is
sent again must not be a duplicate. The server must print no traceback, respond with no internal
error, be ready soon after the last fault, and not grow.
The exit code is 1 if any of this fails.
"""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console
from sqlalchemy import make_url, select

from tallied.benchmarks.databases import (
    BACKENDS,
    blocking_engine,
    fresh_database,
    selected_backends,
)
from tallied.benchmarks.faulty_proxy import FaultyProxy, RandomFaults
from tallied.benchmarks.serving.processes import ServerProcess
from tallied.models import Comment
from tallied.schema.ids import encode_id

MAX_GROWTH = 15_000_000
"""The bytes by which the server may grow between a fifth of the time and the end."""

UNCHANGED = {"BUSY", "UNAVAILABLE", "OVERLOADED"}
"""The codes that say that nothing was changed."""

UNCERTAIN = {"OUTCOME_UNKNOWN", "TIMEOUT", "connection lost", "no answer"}
"""The codes, and what is not an answer, after which nobody knows whether anything was changed."""

LOG_FAULTS = ("Traceback", "never awaited", "was destroyed", "never retrieved")
"""What the server must not print."""

ADD = (
    "mutation($i: AddCommentInput!) { addComment(input: $i)"
    " { isDuplicate comment { id } userErrors { code } } }"
)
EDIT = "mutation($i: EditCommentInput!) { editComment(input: $i) { userErrors { code } } }"
DELETE = "mutation($i: DeleteCommentInput!) { deleteComment(input: $i) { userErrors { code } } }"
PAGE = (
    "query($t: ID!) { thread(id: $t) { wordCount commentCount"
    " comments(last: 20) { nodes { id message wordCount } } } }"
)

console = Console(width=120)


@dataclass
class Book:
    """What the clients know, together."""

    url: str
    threads: list[str] = field(default_factory=list)
    messages: dict[str, str] = field(default_factory=dict)
    """The comments that are there, by their ids."""
    done: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    """How often an answer was an error, by its code."""
    failures: list[str] = field(default_factory=list)
    slowest: float = 0.0
    """The longest that a client waited for one answer, in seconds."""


class Client:
    """One client: it does one thing after the other, each until it knows how it ended."""

    def __init__(self, book: Book, number: int) -> None:
        self._book = book
        self._number = number
        self._count = 0
        self._ids: list[str] = []
        self._http = httpx.AsyncClient(timeout=30)

    async def run(self, over: asyncio.Event) -> None:
        """Work until `over`, and finish everything that was begun."""
        while not over.is_set():
            deed = random.choices(
                (self._add, self._edit, self._delete, self._read), (60, 20, 10, 10)
            )[0]
            await deed()
            self._book.done[deed.__name__[1:]] += 1
        await self._http.aclose()

    async def _add(self) -> None:
        self._count += 1
        message = f"client {self._number} comment {self._count} " + words()
        values = {
            "threadId": random.choice(self._book.threads),
            "message": message,
            "authorName": f"Client {self._number}",
            "clientMutationId": f"{self._number}-{self._count}",
        }
        payload, is_sure = await self._finish(ADD, "addComment", {"i": values})
        if is_sure and payload["isDuplicate"]:
            self._book.failures.append("an answer said that nothing was changed, and it was")
        self._book.messages[payload["comment"]["id"]] = message
        self._ids.append(payload["comment"]["id"])

    async def _edit(self) -> None:
        if self._ids:
            id, message = random.choice(self._ids), f"edited by {self._number} " + words()
            await self._finish(EDIT, "editComment", {"i": {"commentId": id, "message": message}})
            self._book.messages[id] = message

    async def _delete(self) -> None:
        if self._ids:
            id = self._ids.pop(random.randrange(len(self._ids)))
            await self._finish(DELETE, "deleteComment", {"i": {"commentId": id}})
            del self._book.messages[id]

    async def _read(self) -> None:
        await self._finish(PAGE, "thread", {"t": random.choice(self._book.threads)})

    async def _finish(self, query: str, root: str, variables: Any) -> tuple[Any, bool]:
        """Send a request until its end is known.

        :returns: the root field, and whether every answer before said that nothing was changed.
        """
        is_sure = True
        while True:
            code, data = await self._ask(query, variables)
            if code is None:
                codes = {error["code"] for error in data[root].get("userErrors", [])}
                # What was deleted by a request that got no answer is not there any more.
                if codes - ({"NOT_FOUND"} if root == "deleteComment" and not is_sure else set()):
                    self._book.failures.append(f"{root} was answered {', '.join(codes)}")
                    await asyncio.sleep(1)
                return data[root], is_sure
            self._book.answers[code] += 1
            if code in UNCERTAIN:
                is_sure = False
            elif code not in UNCHANGED:
                self._book.failures.append(f"{root} was answered {code}")
                is_sure = False
            await asyncio.sleep(random.uniform(0.05, 0.5))

    async def _ask(self, query: str, variables: Any) -> tuple[str | None, Any]:
        """Send one request; return the code of what kept it from ending well, if anything did."""
        began = time.monotonic()
        try:
            response = await self._http.post(
                f"{self._book.url}/graphql", json={"query": query, "variables": variables}
            )
            answer = response.json()
        except httpx.TimeoutException:
            return "no answer", None
        except (httpx.TransportError, ValueError):
            return "connection lost", None
        self._book.slowest = max(self._book.slowest, time.monotonic() - began)
        if errors := answer.get("errors"):
            return errors[0]["extensions"]["code"], None
        return None, answer["data"]


def words() -> str:
    """Return some words."""
    return " ".join(random.choices(("lorem", "ipsum", "dolor", "sit"), k=random.randint(2, 12)))


class Server(ServerProcess):
    """``tallied serve`` on a database.

    :param folder: where its log is written.
    """

    keeps_all = True

    def __init__(self, folder: Path, url: str) -> None:
        command = ["-X", "dev", "-m", "tallied", "serve", "--database", url]
        environ = {"TALLIED_ENVIRONMENT": "development", "TALLIED_GUESTS": "moderate"}
        super().__init__(command, folder, environ=environ)
        self._log = folder / "output"

    @property
    def printed(self) -> str:
        """Return all output of the server so far."""
        return self._log.read_text("utf-8")

    async def is_ready(self, seconds: float) -> bool:
        """Return whether the server can do its work within so many seconds."""
        deadline = time.monotonic() + seconds
        async with httpx.AsyncClient(timeout=3) as http:
            while time.monotonic() < deadline and self.process.poll() is None:
                try:
                    answer = await http.get(f"http://127.0.0.1:{self.port}/health/ready")
                    if answer.status_code == 200:
                        return True
                except httpx.TransportError:
                    pass
                await asyncio.sleep(0.1)
        return False

    def log_faults(self) -> list[str]:
        """Return what the server should not have printed."""
        lines = self.printed.splitlines()
        return [
            "\n".join(lines[at : at + 40])
            for at, line in enumerate(lines)
            if any(fault in line for fault in LOG_FAULTS)
        ]


async def create_threads(book: Book, port: int) -> None:
    """Create the threads that the clients write in."""
    query = "mutation($i: CreateThreadInput!) { createThread(input: $i) { thread { id } } }"
    async with httpx.AsyncClient() as http:
        for number in range(8):
            answer = await http.post(
                f"http://127.0.0.1:{port}/graphql",
                json={"query": query, "variables": {"i": {"title": f"Thread {number}"}}},
            )
            book.threads.append(answer.json()["data"]["createThread"]["thread"]["id"])


def compare(book: Book, url: str) -> list[str]:
    """Return how the rows differ from what the clients know, and the counters from the rows."""
    engine = blocking_engine(url)
    with engine.connect() as connection:
        rows = connection.execute(select(Comment.__table__.c.id, Comment.__table__.c.message))
        stored = {encode_id("Comment", id): message for id, message in rows}
    engine.dispose()
    failures = []
    if missing := book.messages.keys() - stored.keys():
        failures.append(f"{len(missing)} acknowledged comments are missing")
    if unknown := stored.keys() - book.messages.keys():
        failures.append(f"{len(unknown)} comments are there that nobody knows of")
    wrong = sum(stored[id] != book.messages[id] for id in stored.keys() & book.messages.keys())
    if wrong:
        failures.append(f"{wrong} comments have another message than their last edit")
    verify = subprocess.run(
        [sys.executable, "-m", "tallied", "verify", "--database", url],
        capture_output=True,
        text=True,
    )
    if verify.returncode:
        failures.append(f"verify: {verify.stdout}{verify.stderr}")
    return failures


async def run(url: str, seconds: float, clients: int = 16) -> list[str]:
    """Work until `over`, and finish everything that was begun."""
    parsed = make_url(url)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tallied-")))
        proxies, behind = {}, parsed
        if parsed.get_backend_name() == "postgresql":
            host, port = parsed.query.get("host", parsed.host), parsed.port or 5432
            target = Path(str(host)) / f".s.PGSQL.{port}" if "/" in str(host) else port
            proxy = await stack.enter_async_context(FaultyProxy(target))
            proxies["to the database"] = proxy
            behind = parsed.set(host="127.0.0.1", port=proxy.port, query={})
        server = Server(folder, behind.render_as_string(hide_password=False))
        stack.callback(server.process.kill)
        if not await server.is_ready(60):
            return [f"the server did not start: {server.printed}"]
        front = await stack.enter_async_context(FaultyProxy(server.port))
        proxies["to the server"] = front
        book = Book(f"http://127.0.0.1:{front.port}")
        await create_threads(book, server.port)
        faults, sizes = RandomFaults(proxies), []
        over = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(faults.run(over))
            working = [
                group.create_task(Client(book, number).run(over)) for number in range(clients)
            ]
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline and server.process.poll() is None:
                sizes.append(server.memory())
                await asyncio.sleep(min(1.0, seconds / 20))
            over.set()
            _, stuck = await asyncio.wait(working, timeout=60)
            for task in stuck:
                task.cancel()
        if stuck:
            book.failures.append(f"{len(stuck)} clients got no end of their request in a minute")
        if not await server.is_ready(10):
            book.failures.append("the server is not ready 10 seconds after the last fault")
        sizes.append(server.memory())
        growth = sizes[-1] - sizes[len(sizes) // 5]
        if growth > MAX_GROWTH and seconds > 60:
            book.failures.append(f"the server has grown by {growth / 1e6:.1f} MB")
        began = time.monotonic()
        await asyncio.to_thread(server.stop)  # whose connections the proxies forward
        stopping = time.monotonic() - began
        book.failures += [f"the server printed: {part}" for part in server.log_faults()[:3]]
        book.failures += compare(book, url)
    show(book, faults, sizes, stopping)
    return book.failures


def show(book: Book, faults: RandomFaults, sizes: list[int], stopping: float) -> None:
    """Print what came of a run."""

    def format_counts(counts: Counter[str]) -> str:
        return ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items())) or "none"

    steps = [sizes[min(len(sizes) - 1, len(sizes) * part // 5)] / 1e6 for part in range(6)]
    console.print(f"done: {format_counts(book.done)}; {len(book.messages):,} comments in the end")
    console.print(f"faults: {format_counts(faults.made)}")
    console.print(f"answers that were errors: {format_counts(book.answers)}")
    console.print(
        f"the slowest answer {book.slowest:.1f} s; stopping took {stopping:.1f} s; memory"
        f" {', '.join(f'{step:.0f}' for step in steps)} MB at the start and after each fifth"
    )


def main(
    minutes: Annotated[float, typer.Option(min=0.01, help="How long on each database.")] = 20.0,
    database: Annotated[str, typer.Option(help="sqlite, postgresql, or both.")] = "both",
) -> None:
    """Run clients of a server whose networks fail, for minutes."""
    failed = False
    for backend in selected_backends(database):
        console.print(f"[bold]{BACKENDS[backend]}[/bold]")
        with fresh_database(backend) as url:
            failures = asyncio.run(run(url, 60 * minutes))
        for failure, count in Counter(failures).items():
            console.print(f"FAILED: {failure} ({count} times)", style="bold red", markup=False)
        failed = failed or bool(failures)
    if failed:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
