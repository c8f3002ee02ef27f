"""Hostile documents: other clients never wait long for them.

One client pings a real server while another attacks it, each in a thread of its own, and
what is measured is how long the pings take. A machine that is busy with other things makes
a ping late now and then; a server that is kept from answering does so every time. So an
attack is repeated, and the best of a few rounds counts.
"""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from graphql import get_introspection_query
from support.server import Server

MAX_WAIT = 0.05
"""Seconds that a client may have to wait."""

ROUNDS = 6
PING = b'{"query":"{ __typename }"}'
HEADERS = {"content-type": "application/json"}

_numbers = itertools.count(1)


def many(text: str, count: int) -> str:
    """Return the text so many times, with # as the number."""
    return " ".join(text.replace("#", str(number)) for number in range(count))


FRAGMENTS = get_introspection_query().partition("fragment FullType")[2]
INTROSPECTION = "__schema { types { ...FullType } }"

DOCUMENTS: dict[str, Callable[[], str]] = {
    "10,000 aliases": lambda: "{" + many("a#: __typename", 10_000) + "}",
    "a fragment of 20,000 fields": lambda: (
        "{ ...f } fragment f on Query {" + " __typename" * 20_000 + "}"
    ),
    "a fragment of 20,000 short fields": lambda: (
        "{ ...f } fragment f on Query {" + " a" * 20_000 + "}"
    ),
    "3,000 repeats of a real field": lambda: "{" + " threads(first:1){totalCount}" * 3000 + "}",
    "as many repeats as there are tokens for": lambda: "{" + " threads(first:1){id}" * 480 + "}",
    "20 times introspection": lambda: (
        "{" + many(f"a#: {INTROSPECTION}", 20) + "} fragment FullType" + FRAGMENTS
    ),
    "introspection": get_introspection_query,
    "2,000 operations": lambda: many("query q# { __typename }", 2000),
    "fragments that spread each other": lambda: (
        "{ ...f0 }" + many("fragment f# on Query { ...f# a: __typename }", 500)
    ),
    "a megabyte of blanks": lambda: "{ __typename }" + " " * 1_000_000,
    "a string of nearly the longest document": lambda: (
        '{ node(id: "' + "x" * 99_900 + '") { id } }'
    ),
    "a comment of nearly the longest document": lambda: "{ __typename } #" + "x" * 99_900,
    "a name of nearly the longest document": lambda: "{ " + "x" * 99_900 + " }",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("hostile")
    with Server(folder, f"sqlite:///{folder / 'forum.db'}") as server:
        yield server
        assert server.stop() == 0
        assert "Traceback" not in server.printed


class Pings(threading.Thread):
    """Asks for as little as can be, again and again, and keeps the longest wait."""

    def __init__(self, server: Server) -> None:
        super().__init__(daemon=True)
        self.longest = 0.0
        self.count = 0
        self.started_well = threading.Event()
        self._url = f"{server.url}/graphql"
        self._over = threading.Event()

    def run(self) -> None:
        with httpx.Client(headers=HEADERS) as client:
            client.post(self._url, content=PING)
            self.started_well.set()
            while not self._over.wait(0.001):
                begun = time.perf_counter()
                answer = client.post(self._url, content=PING)
                self.longest = max(self.longest, time.perf_counter() - begun)
                assert answer.json()["data"] == {"__typename": "Query"}
                self.count += 1

    def stop(self) -> float:
        self._over.set()
        self.join(20)
        assert self.count > 0
        return self.longest


def longest_wait(server: Server, attack: Callable[[httpx.Client], None]) -> float:
    """Return the longest that a ping takes during an attack, in the best of a few rounds."""
    longest = []
    with httpx.Client(headers=HEADERS, timeout=20) as attacker:
        for _ in range(ROUNDS):
            pings = Pings(server)
            pings.start()
            pings.started_well.wait(20)
            attack(attacker)
            longest.append(pings.stop())
            if longest[-1] <= MAX_WAIT:
                break
    return min(longest)


@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", DOCUMENTS)
def test_hostile_document_delays_no_request(server: Server, kind: str) -> None:
    def attack(client: httpx.Client) -> None:
        for _ in range(3):
            # Each is another document, which the server cannot know already.
            document = f"{DOCUMENTS[kind]()} # {next(_numbers)}"
            answer = client.post(f"{server.url}/graphql", json={"query": document})
            assert answer.status_code == 200
            assert answer.json().keys() <= {"data", "errors", "extensions"}

    assert longest_wait(server, attack) <= MAX_WAIT


BODIES = {
    "a deep array": b"[" * 1_000_000,
    "a deep object": b'{"a":' * 200_000,
    "a long array": b"[" + b"1," * 500_000 + b"1]",
    "a huge integer": b'{"query": "{ a }", "variables": {"a": ' + b"9" * 200_000 + b"}}",
    "zeros": b"\0" * 1_000_000,
    "escapes": b'{"query": "' + b"\\u0041" * 150_000 + b'"}',
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", BODIES)
def test_hostile_body_delays_no_request(server: Server, kind: str) -> None:
    def attack(client: httpx.Client) -> None:
        for _ in range(5):
            answer = client.post(f"{server.url}/graphql", content=BODIES[kind])
            assert answer.json().keys() <= {"data", "errors"}
            assert answer.json()["errors"]

    assert longest_wait(server, attack) <= MAX_WAIT


def test_hostile_variable_delays_no_request(server: Server) -> None:
    query = "query($n: Int!, $id: ID!) { threads(first: $n) { totalCount } node(id: $id) { id } }"
    values = [{"n": list(range(100_000)), "id": "x"}, {"n": 1, "id": "x" * 900_000}]
    bodies = [json.dumps({"query": query, "variables": item}) for item in values]

    def attack(client: httpx.Client) -> None:
        for body in bodies * 3:
            answer = client.post(f"{server.url}/graphql", content=body)
            assert answer.json()["errors"]

    assert longest_wait(server, attack) <= MAX_WAIT


@pytest.mark.slow
def test_many_hostile_requests_leave_server_sound(server: Server, tmp_path: Path) -> None:
    """Not within a time: they are more than the machine has cores."""
    document = DOCUMENTS["20 times introspection"]
    statuses: list[int] = []

    def attack() -> None:
        with httpx.Client(headers=HEADERS, timeout=60) as client:
            for _ in range(3):
                query = f"{document()} # {next(_numbers)}"
                answer = client.post(f"{server.url}/graphql", json={"query": query})
                statuses.append(answer.status_code)

    attackers = [threading.Thread(target=attack) for _ in range(20)]
    for attacker in attackers:
        attacker.start()
    for attacker in attackers:
        attacker.join(60)
    assert len(statuses) == 60
    assert set(statuses) <= {200, 503}
    assert server.ask("{ threads(first: 1) { totalCount } }") == {"threads": {"totalCount": 0}}
