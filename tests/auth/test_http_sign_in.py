"""Authentication over HTTP: tokens, `get_viewer` of a host, and caching."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import Any

import httpx
import jwt
import pytest
from starlette.requests import HTTPConnection
from support.host import ADA, HEADER, Client, Host, get_viewer

from tallied.auth.tokens import encode_token
from tallied.auth.viewer import Viewer
from tallied.database import Database
from tallied.error_codes import make_extensions
from tallied.errors import Unauthenticated

SECRET = "3q8vRkzTf0W1xUeYcJ5mHn7LpAsDgB2i"
OTHER = "Zy7wKd2NqV9rTb4MxG6sHf1JcP8uLe3a"
HOUR = timedelta(hours=1)
WHO = "{ viewer { name isModerator } }"
START = """mutation { createThread(input: {title: "Engines", comment: {message: "one"}}) {
             thread { author { name } } userErrors { code } } }"""


class Bearer:
    """Asks a server on its own, with whatever header."""

    def __init__(self, database: Database, **settings: Any) -> None:
        self.host = Host(database, get_viewer=None, settings={"secret": SECRET, **settings})

    async def __call__(
        self, query: str, *headers: tuple[str, str], accept: str = "application/json"
    ) -> httpx.Response:
        client = self.host.guest.http
        raw = [(name, value.encode("latin-1")) for name, value in headers]
        return await client.post(
            "/graphql", json={"query": query}, headers=[("accept", accept.encode()), *raw]
        )


@pytest.fixture
def bearer(database: Database) -> Bearer:
    return Bearer(database)


def authorization(token: str) -> tuple[str, str]:
    return ("authorization", f"Bearer {token}")


async def test_token_authenticates_viewer(bearer: Bearer) -> None:
    for viewer in (ADA, Viewer("7", "Zoë 字", is_moderator=True), Viewer("8")):
        answer = await bearer(WHO, authorization(encode_token(SECRET, viewer, HOUR)))
        expect = {"name": viewer.name, "isModerator": viewer.is_moderator}
        assert answer.json()["data"] == {"viewer": expect}
    answer = await bearer(START, authorization(encode_token(SECRET, ADA, HOUR)))
    created = answer.json()["data"]["createThread"]
    assert created == {"thread": {"author": {"name": "Ada"}}, "userErrors": []}
    assert await bearer.host.authors() == {"user-1": ("Ada", 1, 1)}


async def test_without_token_viewer_is_guest(bearer: Bearer) -> None:
    assert (await bearer(WHO)).json()["data"] == {"viewer": None}
    created = (await bearer(START)).json()["data"]["createThread"]
    assert created == {"thread": None, "userErrors": [{"code": "SIGN_IN_REQUIRED"}]}


def signed(secret: str, **claims: Any) -> str:
    values = {"iss": "tallied", "aud": "tallied", "sub": "user-1", "exp": time.time() + 600}
    return f"Bearer {jwt.encode({**values, **claims}, secret, 'HS256')}"


REFUSED = {
    "expired": [signed(SECRET, exp=1)],
    "forged": [signed(OTHER)],
    "too long": [signed(SECRET, fill="x" * 9000)],
    "another scheme": ["Basic dXNlcjpwYXNz"],
    "not ASCII": ["\xff"],
    "two headers": [signed(SECRET), "x"],
}
"""Headers of which test_tokens.py has many more."""


@pytest.mark.parametrize("name", REFUSED)
async def test_bad_token_is_refused_and_changes_nothing(bearer: Bearer, name: str) -> None:
    before = await bearer.host.guest.contents()
    headers = [("authorization", value) for value in REFUSED[name]]
    for accept in ("application/json", "application/graphql-response+json"):
        answer = await bearer(START, *headers, accept=accept)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["content-type"].startswith(accept)
        body = answer.json()
        assert body.keys() == {"errors"}
        (error,) = body["errors"]
        assert error["extensions"] == make_extensions("UNAUTHENTICATED")
        assert SECRET not in answer.text
        assert headers[0][1].removeprefix("Bearer ") not in answer.text
    assert await bearer.host.guest.contents() == before


async def test_tokens_are_accepted_by_both_secrets_or_by_none(database: Database) -> None:
    bearer = Bearer(database, previous_secret=OTHER)
    for secret in (SECRET, OTHER):
        answer = await bearer(WHO, authorization(encode_token(secret, ADA, HOUR)))
        assert answer.json()["data"]["viewer"]["name"] == "Ada"
    answer = await Bearer(database, secret="")(WHO, ("authorization", signed(SECRET)))
    assert answer.status_code == 401
    assert "accepts no tokens" in answer.json()["errors"][0]["message"]


async def test_bad_token_is_refused_over_get(bearer: Bearer) -> None:
    http = bearer.host.guest.http
    answer = await http.get(
        "/graphql", params={"query": WHO}, headers=[("authorization", signed(SECRET, exp=1))]
    )
    assert answer.status_code == 401
    assert answer.headers["cache-control"] == "no-store"
    assert "Authorization" in answer.headers["vary"]


# A host's own


async def post_with(database: Database, get_viewer: Any) -> httpx.Response:
    """Return the response of a host with this `get_viewer`."""
    host = Host(database, get_viewer=get_viewer)
    answer = await host.guest.http.post("/graphql", json={"query": START})
    if answer.status_code != 200:
        assert await host.authors() == {}
    return answer


async def test_get_viewer_may_be_async(database: Database) -> None:
    async def waits(_: HTTPConnection) -> Viewer | None:
        await asyncio.sleep(0)
        return ADA

    for result in (waits, lambda _: ADA):
        answer = await post_with(database, result)
        assert answer.json()["data"]["createThread"]["thread"]["author"] == {"name": "Ada"}
    answer = await post_with(database, lambda _: None)
    assert answer.json()["data"]["createThread"]["userErrors"] == [{"code": "SIGN_IN_REQUIRED"}]


async def test_get_viewer_may_refuse(database: Database) -> None:
    def refuse(_: HTTPConnection) -> None:
        raise Unauthenticated("The session has ended; sign in again.")

    async def refuse_later(_: HTTPConnection) -> None:
        refuse(_)

    for function in (refuse, refuse_later):
        answer = await post_with(database, function)
        assert answer.status_code == 401
        assert "www-authenticate" in answer.headers
        message = "The session has ended; sign in again."
        error = {"message": message, "extensions": make_extensions("UNAUTHENTICATED")}
        assert answer.json()["errors"] == [error]


def _time_out(_: HTTPConnection) -> None:
    raise TimeoutError


def _fails(_: HTTPConnection) -> None:
    raise RuntimeError("the password of the directory is hunter2")


async def _fails_later(_: HTTPConnection) -> None:
    _fails(_)


@pytest.mark.parametrize(
    "result",
    [
        _fails,
        _fails_later,
        _time_out,
        lambda _: "user-1",
        lambda _: 1,
        lambda _: False,
        lambda _: {"subject": "user-1"},
        lambda _: object(),
        lambda _: Viewer(subject=42),  # type: ignore[arg-type]
        lambda _: Viewer("a\0b"),
    ],
)
async def test_failing_get_viewer_is_masked(
    database: Database, result: Any, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await post_with(database, result)
    assert answer.status_code == 500
    (error,) = answer.json()["errors"]
    assert error["extensions"]["code"] == "INTERNAL_SERVER_ERROR"
    assert "hunter2" not in answer.text
    assert any(error["extensions"]["id"] in record.getMessage() for record in caplog.records)


async def test_slow_get_viewer_times_out(database: Database) -> None:
    async def hangs(_: HTTPConnection) -> None:
        await asyncio.Event().wait()

    host = Host(database, get_viewer=hangs, settings={"execution_time": 1})
    answer = await host.guest.http.post("/graphql", json={"query": WHO})
    assert answer.status_code == 503
    (error,) = answer.json()["errors"]
    assert error["extensions"] == make_extensions("TIMEOUT")
    assert "who asks" in error["message"]


async def test_get_viewer_is_called_once_with_headers(database: Database) -> None:
    observed: list[str | None] = []

    def watch(connection: HTTPConnection) -> Viewer | None:
        observed.append(connection.headers.get(HEADER))
        return get_viewer(connection)

    host = Host(database, get_viewer=watch)
    await host.ada(f"{{ a: {WHO[1:-1]} b: {WHO[1:-1]} }}")
    assert observed == ['["user-1", "Ada", false]']


# Caches


async def test_personal_response_is_never_public(database: Database) -> None:
    """The header is the host's own: no cache knows that it says who asks."""
    host = Host(database, settings={"cache_time": 60})
    thread = await host.ada.thread("Engines")

    async def get(client: Client, **headers: str) -> httpx.Response:
        query = f'{{ thread(id: "{thread}") {{ title viewerCanRename }} }}'
        return await client.http.get("/graphql", params={"query": query}, headers=headers)

    for_ada, for_guests = await get(host.ada), await get(host.guest)
    assert for_ada.json()["data"]["thread"]["viewerCanRename"] is True
    assert for_guests.json()["data"]["thread"]["viewerCanRename"] is False
    assert for_ada.headers["cache-control"] == "private, no-cache"
    assert for_guests.headers["cache-control"] == "public, max-age=60"
    assert for_ada.headers["etag"] != for_guests.headers["etag"]
    again = await get(host.ada, **{"if-none-match": for_ada.headers["etag"]})
    assert (again.status_code, again.headers["cache-control"]) == (304, "private, no-cache")
    # What a guest was given is not right for Ada.
    other = await get(host.ada, **{"if-none-match": for_guests.headers["etag"]})
    assert other.status_code == 200


async def test_response_to_cookie_is_private(database: Database) -> None:
    host = Host(database, get_viewer=lambda connection: ADA if connection.cookies else None)
    http = host.guest.http
    answer = await http.get("/graphql", params={"query": WHO}, headers={"cookie": "session=1"})
    assert answer.json()["data"]["viewer"] == {"name": "Ada", "isModerator": False}
    assert answer.headers["cache-control"] == "private, no-cache"
