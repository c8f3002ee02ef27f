"""The clients from npm, and the programs that use them, generated and compiled once a run."""

from __future__ import annotations

import fcntl
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import clients
import pytest
from support.server import Server

TIMEOUT = 120.0

SECRET = "3q8vRkzTf0W1xUeYcJ5mHn7LpAsDgB2i"


class Programs:
    """A copy of ``tests/clients`` to generate code in, with the checkout's schema beside it."""

    def __init__(self, checkout: Path, node: clients.Node) -> None:
        self.folder = checkout / "tests" / "clients"
        self.persisted = self.folder / "relay" / "persisted.json"
        self._checkout = checkout
        self._node = node

    def generate(self) -> None:
        """Copy the programs, and have graphql-codegen and relay-compiler generate their code."""
        ignored = shutil.ignore_patterns(
            "node_modules",
            "generated",
            "__generated__",
            "persisted.json",
            ".*",
            "__pycache__",
            "*.py",
        )
        shutil.copytree(clients.CLIENTS, self.folder, ignore=ignored)
        (self.folder / "node_modules").symlink_to(clients.MODULES)
        # relay-compiler wants both to be there.
        (self.folder / "relay" / "__generated__").mkdir()
        self.persisted.write_text("{}", "utf-8")
        (self._checkout / "schema").mkdir()
        shutil.copy(clients.ROOT / "schema" / "schema.graphql", self._checkout / "schema")
        self.tool("graphql-codegen", "--config", "codegen.ts")
        self.tool("relay-compiler")
        self.tool("tsc")
        self.tool("babel", "relay", "--extensions", ".ts", "--out-dir", "relay")

    def run(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run node, and return what it has printed, and its exit code."""
        return subprocess.run(
            [self._node.executable, *arguments],
            cwd=self.folder,
            env=self._node.environ() | environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )

    def tool(self, name: str, *arguments: str) -> str:
        """Run a tool that npm has installed; it must succeed."""
        result = self.run(f"node_modules/.bin/{name}", *arguments)
        assert result.returncode == 0, f"{name}:\n{result.stdout}"
        return result.stdout

    def test(self, path: str, **environ: str) -> Mapping[str, bool]:
        """Run the tests of a program; each must succeed. Their names, and whether they did."""
        # A client's timer, such as that of a socket which is kept open, must not be waited for.
        options = ("--test-force-exit", "--test-timeout=60000", "--test-reporter=tap")
        # As in development, so that the clients warn.
        result = self.run("--conditions=development", *options, path, **environ)
        results = re.findall(r"^ *(not )?ok \d+ - (.*)$", result.stdout, re.MULTILINE)
        assert result.returncode == 0, result.stdout
        return {name: not failed for failed, name in results}


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Programs:
    """The programs, generated and compiled by the first process of the run that needs them."""
    folder = tmp_path_factory.getbasetemp()
    if worker_id != "master":
        folder = folder.parent  # of all processes
    programs = Programs(folder / "checkout", clients.bring_in())
    is_generated = folder / "checkout.generated"
    with (folder / "checkout.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_generated.exists():
            programs.generate()
            is_generated.touch()
    return programs


@pytest.fixture(scope="module")
def server(
    programs: Programs, lasting_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server on each database, for all clients, which knows the documents of Relay's."""
    with pytest.MonkeyPatch.context() as environ:
        environ.setenv("TALLIED_SECRET", SECRET)
        environ.setenv("TALLIED_PERSISTED_DOCUMENTS", str(programs.persisted))
        server = Server(tmp_path_factory.mktemp("clients"), lasting_url)
    with server:
        yield server


@pytest.fixture
def serve(empty_url: str, tmp_path: Path) -> Iterator[Callable[[], Server]]:
    """``serve()`` starts a server on a fresh database; all of them end with the test."""
    started: list[Server] = []

    def start() -> Server:
        started.append(Server(tmp_path, empty_url))
        started[-1].wait()
        return started[-1]

    yield start
    for server in started:
        server.__exit__(None, None, None)
