"""Measure how long minimal requests wait while other clients attack, or ask for much.

    python -m benchmarks.pings [--quick] [--url postgresql+asyncpg://...]

One process serves, another attacks it, and this one pings it. It prints the median, the 99th
percentile and the maximum of the pings during each attack, in milliseconds. The first line is
without an attack: it shows how much of the maximum is due to the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from statistics import quantiles

from graphql import get_introspection_query

from tallied.benchmarks.serving.processes import ServerProcess
from tallied.database import Database, UnitOfWork
from tallied.migrations.runner import migrate
from tallied.models import Comment, Thread

SIZE = 100
"""How many threads there are, with as many comments each: as many as pages show."""

PING = json.dumps({"query": "{ __typename }"})
HEADERS = {"Content-Type": "application/json"}

COMMENT = "id message wordCount createdAt editedAt"
ROW = "id title wordCount commentCount lastCommentAt createdAt updatedAt"


def repeat(text: str, count: int) -> str:
    """Return the text repeated, each # replaced by the number of the repetition."""
    return " ".join(text.replace("#", str(number)) for number in range(count))


FULL_TYPE = get_introspection_query().partition("fragment FullType")[2]

ATTACKS: dict[str, str] = {
    "nothing": "",
    "10,000 aliases": "{" + repeat("a#: __typename", 10_000) + "}",
    "a fragment of 20,000 fields": "{ ...f } fragment f on Query {" + " __typename" * 20_000 + "}",
    "3,000 repeats of a real field": "{" + " threads(first:1){totalCount}" * 3000 + "}",
    "20 times introspection": "{"
    + repeat("a#: __schema { types { ...FullType } }", 20)
    + "} fragment FullType"
    + FULL_TYPE,
    "2,000 operations": repeat("query q# { __typename }", 2000),
    "allowed: 100 threads": "{ threads(first: 100) { nodes { ROW } } }",
    "allowed: 100 x 100": (
        "{ threads(first: 100) { nodes { ROW comments(first: 100) { nodes { COMMENT } } } } }"
    ),
    "allowed: 100 x 99, and each thread again": (
        "{ threads(first: 100) { edges { cursor node { id comments(first: 99) {"
        " edges { cursor node { COMMENT thread { ROW } } } } } } } }"
    ),
    "allowed: 20 aliases x 100 x 8": "{"
    + repeat(
        "a#: threads(first: 100) { nodes { id comments(first: 8) { nodes { COMMENT } } } }", 20
    )
    + "}",
    "allowed: 100 x 28 aliases x 6": "{ threads(first: 100) { nodes { "
    + repeat("a#: comments(first: 6) { edges { cursor node { COMMENT } } }", 28)
    + " } } }",
    "allowed: 100 x 100 messageHtml": (
        "{ threads(first: 100) { nodes { comments(first: 100) { nodes { messageHtml } } } } }"
    ),
    "allowed: 100 long messageHtml": (
        '{ threads(first: 1, filterBy: {titleContains: "long"}) { nodes {'
        " comments(first: 100) { nodes { messageHtml } } } } }"
    ),
    "allowed: 1000 long messages": (
        '{ threads(first: 1, filterBy: {titleContains: "long"}) { nodes { '
        + repeat("a#: comments(first: 100) { nodes { message } }", 10)
        + " } } }"
    ),
    "refused late: 2800 long messages": (
        '{ threads(first: 1, filterBy: {titleContains: "long"}) { nodes { '
        + repeat("a#: comments(first: 100) { nodes { thread { id } message } }", 28)
        + " } } }"
    ),
}

LONG = '*some* **_words_** [and](https://example.org) `\\"quotes"` & < ' * 150
"""A message of as many characters as one may have, or somewhat less, that takes long to render."""


def connect(port: int) -> closing[http.client.HTTPConnection]:
    """Yield a connection to the server."""
    return closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60))


def ask(connection: http.client.HTTPConnection, body: str) -> bytes:
    connection.request("POST", "/graphql", body, HEADERS)
    return connection.getresponse().read()


def body_of(name: str, number: int) -> str:
    """Return the body of one request of the attack, which the server has not received before."""
    text = ATTACKS[name].replace("COMMENT", COMMENT).replace("ROW", ROW)
    return json.dumps({"query": f"{text} # {time.time()} {number}"})


def attack(port: int, name: str, stop: multiprocessing.Event) -> None:  # type: ignore[valid-type]
    """Send a document again and again."""
    os.nice(19)  # Attackers have machines of their own: here, they leave the server its cores.
    number = 0
    with connect(port) as connection:
        while not stop.is_set():  # type: ignore[attr-defined]
            number += 1
            ask(connection, body_of(name, number))


def measure(port: int, name: str, attackers: int, seconds: float) -> list[float]:
    """Return the seconds that each ping took during an attack."""
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    processes = [
        context.Process(target=attack, args=(port, name, stop), daemon=True)
        for _ in range(attackers if ATTACKS[name] else 0)
    ]
    for process in processes:
        process.start()
    time.sleep(min(2, seconds) if processes else 0)
    waits = []
    with connect(port) as connection:
        ask(connection, PING)
        deadline = time.perf_counter() + seconds
        while time.perf_counter() < deadline:
            begun = time.perf_counter()
            ask(connection, PING)
            waits.append(time.perf_counter() - begun)
            time.sleep(0.002)
    stop.set()
    for process in processes:
        process.join()
    return waits


async def fill(url: str, threads: int = SIZE) -> None:
    """Make the tables, and by default as many threads and comments as pages show."""
    database = Database(url)
    await migrate(database)

    async def work(unit: UnitOfWork) -> None:
        unit.session.add_all(
            Thread(
                title=f"Thread {number}",
                comments=[
                    Comment(author_name="Ada", message="words " * 12) for _ in range(threads)
                ],
            )
            for number in range(threads)
        )
        early = datetime(2020, 1, 1, tzinfo=UTC)
        unit.session.add(
            Thread(
                title="Long messages",
                created_at=early,
                comments=[
                    Comment(author_name="Ada", message=LONG, created_at=early) for _ in range(SIZE)
                ],
            )
        )

    await database.write(work)
    await database.dispose()


def on_a_server(work: Callable[[int], None], url: str | None = None, threads: int = SIZE) -> None:
    """Call `work` with the port of a server on a filled database, by default a new SQLite file."""
    with tempfile.TemporaryDirectory(prefix="tallied-") as folder:
        url = url or f"sqlite+aiosqlite:///{Path(folder) / 'pings.db'}"
        asyncio.run(fill(url, threads))
        command = ["-m", "tallied", "serve", "--database", url]
        with ServerProcess(command, Path(folder)) as server:
            work(server.port)


def show(name: str, seconds: list[float]) -> None:
    """Print a line of the table."""
    waits = [1000 * ping_time for ping_time in seconds]
    parts = quantiles(waits, n=100)
    printed_error = f"{parts[49]:8.1f} {parts[98]:8.1f} {max(waits):8.1f}"
    print(f"{name:44} {len(waits):6} {printed_error}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two seconds for each attack")
    parser.add_argument("--attackers", type=int, default=1, help="how many attack at once")
    parser.add_argument("--url", help="an empty database; by default, a new SQLite file")
    options = parser.parse_args()
    seconds = 2.0 if options.quick else 10.0

    def run(port: int) -> None:
        print(f"{'attack':44} {'pings':>6} {'median':>8} {'99 %':>8} {'slowest':>8}")
        for name in ATTACKS:
            show(name, measure(port, name, options.attackers, seconds))

    on_a_server(run, options.url)


if __name__ == "__main__":
    main()
