"""Authentication over WebSocket, by the same rules as over HTTP."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import timedelta
from typing import Any

import jwt
import pytest
from starlette.applications import Starlette
from starlette.requests import HTTPConnection
from support.host import Gate
from support.rows import count_rows
from support.sockets import site

from tallied.auth.tokens import encode_token
from tallied.auth.viewer import Viewer
from tallied.database import Database
from tallied.discussion import Discussion
from tallied.error_codes import make_extensions
from tallied.errors import ConfigurationError, Unauthenticated
from tallied.models import Thread
from tallied.settings import Settings

SECRET = "3q8vRkzTf0W1xUeYcJ5mHn7LpAsDgB2i"
OTHER = "Zy7wKd2NqV9rTb4MxG6sHf1JcP8uLe3a"
HOUR = timedelta(hours=1)
ADA = Viewer("user-1", "Ada")
WHO = "{ viewer { name } }"
START = 'mutation { createThread(input: {title: "Engines"}) { userErrors { code } } }'
ORIGIN = "https://forum.example"

pytestmark = pytest.mark.sqlite


def bearer(secret: str = SECRET, lasts: timedelta = HOUR) -> str:
    return f"Bearer {encode_token(secret, ADA, lasts)}"


def expiring(seconds: float) -> str:
    """Return a token that is valid for so many seconds, with 10 seconds of tolerance."""
    claims: dict[str, Any] = {"iss": "tallied", "aud": "tallied", "sub": "user-1", "name": "Ada"}
    claims["exp"] = time.time() - 10 + seconds
    return f"Bearer {jwt.encode(claims, SECRET, 'HS256')}"


def signed(database: Database, **options: Any) -> Any:
    """Return a server on its own, with signed tokens."""
    return site(database, settings={"secret": SECRET, "guests": "read"}, **options)


@pytest.mark.parametrize("name", ["Authorization", "authorization", "AUTHORIZATION"])
async def test_payload_may_carry_authorization(database: Database, name: str) -> None:
    async with signed(database) as server:
        async with server.socket({name: bearer(), "theme": {"dark": True}}) as socket:
            assert await socket(WHO) == {"name": "Ada"}
            assert await socket(START) == {"userErrors": []}
        async with server.socket(additional_headers={name: bearer()}) as socket:
            assert await socket(WHO) == {"name": "Ada"}
        token = bearer()
        async with server.socket({name: token}, additional_headers={name: token}) as socket:
            assert await socket(WHO) == {"name": "Ada"}


@pytest.mark.parametrize("payload", [None, {}, {"authToken": "Bearer x"}, {"headers": {}}])
async def test_without_authorization_viewer_is_guest(database: Database, payload: Any) -> None:
    async with signed(database) as server, server.socket(payload) as socket:
        assert await socket(WHO) is None
        assert await socket(START) == {"userErrors": [{"code": "SIGN_IN_REQUIRED"}]}


@pytest.mark.parametrize(
    ("payload", "code", "sentence"),
    [
        ({"authorization": bearer(OTHER)}, 4403, "The token is not one that this server accepts;"),
        ({"authorization": expiring(-60)}, 4403, "The token has expired; get a new one."),
        ({"authorization": "Bearer x.y"}, 4403, "The token cannot be read; send it as it was"),
        ({"authorization": "Basic eDp5"}, 4403, "The Authorization header cannot be read;"),
        ({"authorization": bearer(), "Authorization": bearer(OTHER)}, 4403, "The Authorization h"),
        ({"authorization": ["Bearer x"]}, 4400, "authorization in the payload must be a string"),
        ({"Authorization": "Bearer x\r\nx-user: 1"}, 4400, "Authorization in the payload must be"),
        ({"authorization": "Bearer é"}, 4400, "authorization in the payload must be a string"),
    ],
)
async def test_bad_authorization_opens_no_socket(
    database: Database, payload: Any, code: int, sentence: str
) -> None:
    async with signed(database) as server, server.socket(init=False) as socket:
        await socket.send("connection_init", payload=payload)
        reply, reason = await socket.closed()
        assert (reply, reason[: len(sentence)]) == (code, sentence)
        assert reason.endswith((".", "`"))


async def test_authorization_of_handshake_is_not_replaced(database: Database) -> None:
    """It may be a proxy's, which over HTTP sets it whatever the client sends."""
    async with (
        signed(database) as server,
        server.socket(init=False, additional_headers={"authorization": "Basic eDp5"}) as socket,
    ):
        await socket.send("connection_init", payload={"authorization": bearer()})
        code, reason = await socket.closed()
        assert code == 4403
        assert "send it once" in reason


async def test_get_viewer_receives_equal_requests_over_both(database: Database) -> None:
    observed: list[dict[str, Any]] = []

    async def get_viewer(connection: HTTPConnection) -> Viewer:
        observed.append(
            {
                "headers": {
                    name: connection.headers.get(name)
                    for name in ("authorization", "x-api-key", "host", "cookie", "x-forged")
                },
                "cookies": connection.cookies,
                "query": dict(connection.query_params),
                "path": connection.url.path,
                "host": connection.url.netloc,
                "client": connection.client.host if connection.client else None,
            }
        )
        return ADA

    headers = {"x-api-key": "k", "cookie": "user=ada; theme=dark"}
    async with site(database, get_viewer=get_viewer) as server:
        await server.http.post(
            "/graphql",
            params={"room": "7"},
            json={"query": WHO},
            headers={**headers, "authorization": "Bearer t"},
        )
        server.url += "?room=7"
        payload = {"Authorization": "Bearer t", "x-forged": "1", "cookie": "user=max", "host": "x"}
        async with server.socket(payload, additional_headers=headers) as socket:
            assert len(observed) == 2  # once, as the connection is opened,
            assert await socket(WHO) == {"name": "Ada"}
            assert len(observed) == 3  # and once an operation, as over HTTP.
    assert observed[0] == observed[1] == observed[2]
    assert observed[0]["headers"]["authorization"] == "Bearer t"
    assert observed[0]["cookies"] == {"user": "ada", "theme": "dark"}


async def test_expired_token_refuses_later_operations(database: Database) -> None:
    async with (
        signed(database) as server,
        server.socket({"authorization": expiring(1.5)}) as socket,
    ):
        assert await socket(WHO) == {"name": "Ada"}
        await asyncio.sleep(2)
        await socket.subscribe(START)
        assert await socket.closed() == (4403, "The token has expired; get a new one.")
    assert await count_rows(database, Thread) == 0


@pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
async def test_running_mutation_is_answered_before_expired_close(database: Database) -> None:
    """A client comes back with a new token, and sends again whatever has no answer."""
    gate, is_valid = Gate("create_thread"), [True]

    def get_viewer(_: HTTPConnection) -> Viewer:
        if not is_valid[0]:
            raise Unauthenticated("The session is over; sign in again.")
        return ADA

    options: dict[str, Any] = {"hooks": [gate], "get_viewer": get_viewer}
    async with site(database, **options) as server, server.socket() as socket:
        id = await socket.subscribe(START)
        await gate.arrived.wait()
        is_valid[0] = False
        for _ in range(3):
            await socket.subscribe(START)
        await asyncio.sleep(0.2)
        gate.open.set()
        answer = await socket.receive()
        assert (answer["id"], answer["type"]) == (id, "next")
        assert answer["payload"]["data"]["createThread"] == {"userErrors": []}
        assert await socket.receive() == {"type": "complete", "id": id}
        assert await socket.closed() == (4403, "The session is over; sign in again.")
    assert await count_rows(database, Thread) == 1


async def test_request_state_ends_with_operation(database: Database) -> None:
    """As over HTTP; otherwise a viewer would stay signed in for ever."""
    names = ["Ada", "Bob", "Cleo"]

    def get_viewer(connection: HTTPConnection) -> Viewer:
        if not hasattr(connection.state, "viewer"):
            connection.state.viewer = Viewer("user-1", names.pop(0))
        viewer: Viewer = connection.state.viewer
        return viewer

    async with site(database, get_viewer=get_viewer) as server, server.socket() as socket:
        assert await socket(WHO) == {"name": "Bob"}
        assert await socket(WHO) == {"name": "Cleo"}


async def test_failing_or_slow_get_viewer_closes_socket(database: Database) -> None:
    async def slow(_: HTTPConnection) -> None:
        await asyncio.sleep(3600)

    def broken(_: HTTPConnection) -> Any:
        raise ConfigurationError("s3cret")

    for get_viewer, code, sentence in (
        (slow, 1013, "It took longer than 1 seconds to find out who asks; try again later."),
        (broken, 4500, "Something went wrong on the server; it has been logged, with the id "),
    ):
        options: dict[str, Any] = {"get_viewer": get_viewer, "settings": {"execution_time": 1}}
        async with site(database, **options) as server, server.socket(init=False) as socket:
            await socket.send("connection_init")
            reply, reason = await socket.closed()
            assert (reply, reason[: len(sentence)]) == (code, sentence)


OPEN = [
    {},
    {"origin": "http://{host}"},
    {"origin": "https://{host}"},  # a proxy that ends TLS
    {"origin": "https://forum.example"},
    {"origin": "https://app.example:8443"},
    {"origin": "https://www.example", "sec-fetch-site": "same-origin"},  # one that changes Host
]
SHUT = [
    "https://evil.example",
    "http://forum.example",
    "https://forum.example.evil.example",
    "https://app.example",
    "http://{host}0",
    "http://evil.example/{host}",
    "null",
    "",
    "x",
]


def allowing(database: Database) -> Any:
    return site(database, settings={"origins": "https://forum.example, https://app.example:8443"})


@pytest.mark.parametrize("headers", OPEN)
async def test_allowed_origins_open_socket(database: Database, headers: dict[str, str]) -> None:
    async with allowing(database) as server:
        headers = {name: value.format(host=server.host) for name, value in headers.items()}
        async with server.socket(additional_headers=headers) as socket:
            assert await socket("{ __typename }") == "Query"


@pytest.mark.parametrize("origin", SHUT)
async def test_other_origins_open_no_socket(database: Database, origin: str) -> None:
    async with allowing(database) as server:
        for more in ({}, {"sec-fetch-site": "cross-site"}):
            refusal = await server.refusal(origin=origin.format(host=server.host), **more)
            assert refusal.status_code == 403
            (error,) = refusal.json()["errors"]
            assert error["extensions"] == make_extensions("ORIGIN_NOT_ALLOWED")
            assert "TALLIED_ORIGINS" in error["message"]
            assert refusal.headers["content-type"] == "application/json"


async def test_default_allows_only_own_origin(database: Database) -> None:
    async with site(database) as server:
        assert (await server.refusal(origin=ORIGIN)).status_code == 403
        async with server.socket(additional_headers={"origin": f"http://{server.host}"}) as socket:
            assert await socket("{ __typename }") == "Query"


@pytest.mark.parametrize(
    "origins",
    [
        "forum.example",
        "https://forum.example/",
        "https://Forum.example",
        "https://forum.example:443",
        "http://forum.example:80",
        "https://a.example https://b.example",
        "https://a.example,null",
    ],
)
def test_impossible_origin_is_refused_as_setting(origins: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^TALLIED_ORIGINS .* must be origins like"):
        Settings(origins=origins)


@pytest.mark.parametrize(
    "origins",
    ["", "https://a.example,http://localhost:3000, capacitor://localhost", "http://[::1]:8080"],
)
def test_origins_of_any_scheme_may_be_named(origins: str) -> None:
    assert Settings(origins=origins).origins == origins


async def test_operation_cancelled_before_start_keeps_no_socket_open(database: Database) -> None:
    """Messages that are there at once are handled before any task of theirs begins."""
    viewers = iter([ADA])

    def get_viewer(_: HTTPConnection) -> Viewer:
        for viewer in viewers:
            return viewer
        raise Unauthenticated("The session is over; sign in again.")

    messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    messages.put_nowait({"type": "websocket.connect"})
    for message in (
        {"type": "connection_init"},
        {"type": "subscribe", "id": "refused", "payload": {"query": WHO}},
        {"type": "subscribe", "id": "cancelled", "payload": {"query": WHO}},
        {"type": "complete", "id": "cancelled"},
    ):
        messages.put_nowait({"type": "websocket.receive", "text": json.dumps(message)})
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)
        if message["type"] == "websocket.close":
            messages.put_nowait({"type": "websocket.disconnect", "code": message["code"]})

    discussion = Discussion(database, get_viewer=get_viewer)
    app = Starlette(routes=discussion.routes())
    scope = {
        "type": "websocket",
        "scheme": "ws",
        "path": "/graphql",
        "headers": [(b"host", b"localhost")],
        "subprotocols": ["graphql-transport-ws"],
        "extensions": {},
    }
    async with asyncio.timeout(5):
        await app(scope, messages.get, send)
    assert [message.get("code") for message in sent][-1] == 4403
