"""Requests a second of a server as ``tallied serve`` starts it, beside a bare Starlette route.

    python -m benchmarks.http [--quick] [--rows page,add] [--database postgresql] [--seconds 5]

Both servers are one process on the same core, and read and write the same database; the load and
PostgreSQL have the other cores. Their rounds take turns, so that what else the machine does falls
on both, and each figure is the median of its rounds. An aim is in parentheses after its figure.
"""

from __future__ import annotations

import asyncio
import json
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from typing import Annotated

import typer
from rich.console import Console

from .databases import BACKENDS, fresh_database, markdown_table, selected_backends
from .serving.host import SECRET
from .serving.load import HTTPRequest, generator
from .serving.operations import OPERATIONS, Operation
from .serving.processes import MemoryPeak, ServerProcess, split_cores
from .serving.storage import Stored, count_sessions, count_wrong, fill, forget_reactions

IDLE_MEMORY = 110
"""The aim for the resident size of an idle server, in MB."""

PEAK_GROWTH, REST_GROWTH = 1.4, 1.2
"""The aims for that size under load and a minute after, as ratios to the idle one."""

REST = 60.0
"""Seconds after the last load until the memory is measured again."""

PATIENCE = 30.0
"""Seconds that a server may take for the requests of an earlier load."""

console = Console(width=200)


@dataclass(frozen=True)
class Scale:
    """How much is stored, and how long and how often each server is measured."""

    threads: int = 1000
    comments: int = 12
    seconds: float = 5.0
    rounds: int = 5
    rest: float = REST


@dataclass
class Figures:
    """The figures of one server in one row, one for each round."""

    rates: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)
    peak: int = 0
    failures: int = 0

    def measure(
        self,
        server: ServerProcess,
        requests: Sequence[HTTPRequest],
        connections: int,
        seconds: float,
    ) -> None:
        """Add the figures of one round, which begins once nobody else's requests are under way."""
        server.wait_until_idle()
        begin = server.cpu()
        with MemoryPeak(server) as peak:
            load = generator()(server.port, requests, connections, seconds)
        self.rates.append(load.requests / load.seconds)
        self.cpu.append((server.cpu() - begin) / max(1, load.requests))
        self.p50.append(load.p50)
        self.p99.append(load.p99)
        self.peak = max(self.peak, peak.size)
        self.failures += load.failures


@dataclass
class Result:
    """The figures of all rows on one database."""

    rows: dict[str, tuple[Figures, Figures]] = field(default_factory=dict)
    """Those of Tallied and of the bare route."""
    idle: int = 0
    rest: int = 0
    sessions: int | None = None
    """The connections to PostgreSQL that were opened under load."""
    wrong: int = 0
    """The threads whose counter differed from their comments at the end."""


@contextmanager
def serve(
    url: str, cores: set[int]
) -> Iterator[tuple[ServerProcess, ServerProcess, ServerProcess]]:
    """Yield a server of Tallied, the bare one, and the host with a policy."""
    with tempfile.TemporaryDirectory(prefix="tallied-") as folder:
        tallied = ["-m", "tallied", "serve", "--database", url, "--guests", "write"]
        uvicorn = ["-m", "uvicorn", "--no-access-log", "--log-level", "warning", "--factory"]
        bare = [*uvicorn, "tallied.benchmarks.serving.bare:create_app"]
        protocol = ["--http", "tallied.server.http_protocol:BoundedProtocol"]
        host = [*uvicorn, *protocol, "tallied.benchmarks.serving.host:create_app"]
        environ = {"BARE_DATABASE": url}
        with (
            ServerProcess(tallied, Path(folder), cores, {"TALLIED_SECRET": SECRET}) as server,
            ServerProcess(bare, Path(folder), cores, environ) as floor,
            ServerProcess(host, Path(folder), cores, environ) as signed_in,
        ):
            yield server, floor, signed_in


def probe(port: int, item: HTTPRequest) -> None:
    """Send one request once nobody's requests are under way, and check its response.

    :raises RuntimeError: for errors; a load of them would be fast.
    """
    deadline = time.monotonic() + PATIENCE
    while True:
        with closing(HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as connection:
            headers = {"Content-Type": "application/json"}
            if item.authorization:
                headers["Authorization"] = item.authorization
            connection.request(item.method, item.path, item.body or None, headers)
            response = connection.getresponse()
            body = json.loads(response.read())
        if response.status != 503 or time.monotonic() > deadline:
            break
        time.sleep(0.1)  # Requests of the load before are still executed.
    data = body.get("data", body)
    if "errors" in body or not data or data.get("addComment", {}).get("userErrors"):
        raise RuntimeError(f"{item.path} responded with {body}")


def compare(
    servers: tuple[ServerProcess, ServerProcess],
    operation: Operation,
    stored: Stored,
    scale: Scale,
    reset: Callable[[], None],
) -> tuple[Figures, Figures]:
    """Measure one row; the first round warms up and does not count.

    :param reset: what makes the requests possible again, before each round.
    """
    requests = (operation.tallied(stored), operation.bare(stored))
    results = (Figures(), Figures())
    places = [0, 1]
    for place in places:
        reset()
        probe(servers[place].port, requests[place][0])
        warm_up = min(1.0, scale.seconds)
        Figures().measure(servers[place], requests[place], operation.connections, warm_up)
    for _ in range(scale.rounds):
        random.shuffle(places)
        for place in places:
            reset()
            results[place].measure(
                servers[place], requests[place], operation.connections, scale.seconds
            )
    return results


def _keep() -> None:
    """Leave what is stored as it is."""


def measure(url: str, rows: Sequence[str], scale: Scale, cores: set[int]) -> Result:
    """Measure rows on an empty database."""
    stored = asyncio.run(fill(url, scale.threads, scale.comments))
    result = Result()
    with serve(url, cores) as servers:
        time.sleep(min(1.0, scale.rest))
        result.idle = servers[0].memory()
        sessions = count_sessions(url)
        for name in rows:
            with console.status(OPERATIONS[name].title):
                operation = OPERATIONS[name]
                server = servers[2] if operation.has_policy else servers[0]
                reset = partial(forget_reactions, url) if operation.adds_reactions else _keep
                result.rows[name] = compare((server, servers[1]), operation, stored, scale, reset)
        with console.status("a rest"):
            time.sleep(scale.rest)
        result.rest = servers[0].memory()
        if sessions is not None:
            # This question's own connection is not among them.
            result.sessions = (count_sessions(url) or 0) - sessions - 1
    result.wrong = count_wrong(url)
    return result


def show(backend: str, result: Result, scale: Scale) -> None:
    """Print the table of one database, and the lines below it."""
    figures_of = ("requests/s", "ratio", "CPU, µs", "p50, p99 in ms", "peak, MB")
    table = markdown_table(BACKENDS[backend], "operation", "clients", *figures_of)
    for name, figures in result.rows.items():
        operation = OPERATIONS[name]
        table.add_row(operation.title, str(operation.connections), *cells(operation, *figures))
    console.print(table)
    own = [pair[0] for name, pair in result.rows.items() if not OPERATIONS[name].has_policy]
    peak = max((figures.peak for figures in own), default=result.idle)
    console.print(
        f"Memory of the process: {result.idle / 1e6:.0f} MB idle ({IDLE_MEMORY}),"
        f" {peak / result.idle:.2f} times that at its peak ({PEAK_GROWTH}),"
        f" {result.rest / result.idle:.2f} times {scale.rest:.0f} s after the last load"
        f" ({REST_GROWTH})."
    )
    if result.sessions is not None:
        console.print(f"Connections to the database opened under load: {result.sessions}.")
    failures = [
        f"{figures.failures} of {side} in {name}"
        for name, pair in result.rows.items()
        for side, figures in zip(("Tallied", "the bare route"), pair, strict=True)
        if figures.failures
    ]
    console.print(f"Failed requests: {', '.join(failures) or 'none'}.")
    console.print(f"Threads with a wrong counter: {result.wrong}.\n")


def cells(operation: Operation, tallied: Figures, bare: Figures) -> list[str]:
    """Return the cells of a row: Tallied's figures, the bare route's, and the aims."""
    rate, floor = median(tallied.rates), median(bare.rates)
    cpu, floor_cpu = (median(figures.cpu) * 1e6 for figures in (tallied, bare))
    times = [
        f"{median(figures.p50) * 1e3:.2f}, {median(figures.p99) * 1e3:.2f}"
        for figures in (tallied, bare)
    ]
    latency = quotient(median(tallied.p50), median(bare.p50))
    return [
        f"{rate:,.0f} : {floor:,.0f}",
        f"{quotient(rate, floor):.3f}" + (f" (≥ {operation.ratio:.2f})" if operation.ratio else ""),
        f"{cpu:,.0f}{f' (≤ {operation.cpu})' if operation.cpu else ''} : {floor_cpu:,.0f}",
        " : ".join(times)
        + (f", ratio {latency:.2f} (≤ {operation.latency})" if operation.latency else ""),
        f"{tallied.peak / 1e6:.0f} : {bare.peak / 1e6:.0f}",
    ]


def quotient(value: float, floor: float) -> float:
    """Return a ratio, which is not a number where a whole round had no response."""
    return value / floor if floor else float("nan")


def chosen_rows(rows: str) -> list[str]:
    """Return the names of the operations that the option ``--rows`` selects.

    :raises typer.BadParameter: for a name that there is not.
    """
    names = [name.strip() for name in rows.split(",")] if rows else list(OPERATIONS)
    if unknown := set(names) - set(OPERATIONS):
        problem = f"there is no {', '.join(sorted(unknown))}; use {', '.join(OPERATIONS)}"
        raise typer.BadParameter(problem, param_hint="--rows")
    return names


def main(
    quick: Annotated[bool, typer.Option(help="Fewer rounds, and no rest of a minute.")] = False,
    rows: Annotated[str, typer.Option(help=f"Some of {', '.join(OPERATIONS)}.")] = "",
    database: Annotated[str, typer.Option(help="sqlite, postgresql, or both.")] = "both",
    seconds: Annotated[float, typer.Option(min=0.1, help="How long each round is.")] = 5.0,
) -> None:
    """Print requests a second, processor time, latency and memory of both servers."""
    scale = Scale(seconds=seconds, **({"rounds": 3, "rest": 1.0} if quick else {}))
    names = chosen_rows(rows)
    with split_cores() as cores:
        for backend in selected_backends(database):
            with fresh_database(backend) as url:
                show(backend, measure(url, names, scale, cores), scale)


if __name__ == "__main__":
    typer.run(main)
