"""Errors that resolvers of a host raise on purpose reach clients unchanged."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from typing import Any

import pytest
import strawberry
from graphql import GraphQLError
from strawberry.exceptions import StrawberryGraphQLError
from strawberry.permission import BasePermission, PermissionExtension
from support.sockets import Site, site

from tallied.database import Database
from tallied.error_codes import make_extensions
from tallied.errors import NotAllowed
from tallied.schema.build import merge_schemas

pytestmark = pytest.mark.parametrize("backend", ["sqlite"])


class Members(BasePermission):
    """Without extensions, as most are."""

    message = "Members only."

    def has_permission(self, source: Any, info: Any, **arguments: Any) -> bool:
        return False


class Coded(Members):
    error_extensions = {"code": "FORBIDDEN", "retry": 17}  # noqa: RUF012


class Silent(Members):
    message = None


class Waiting(Members):
    async def has_permission(self, source: Any, info: Any, **arguments: Any) -> bool:  # type: ignore[override]
        return info.context.viewer is not None


class TeapotError(GraphQLError):
    def __init__(self, message: str) -> None:
        super().__init__(message, extensions={"code": "TEAPOT", "litres": 2.5})


class Teapots(Members):
    error_class = TeapotError


def say_when() -> str | None:
    raise GraphQLError("Say when.", extensions={"code": "WHEN", "found": [3, 4]})


def say_why() -> str | None:
    raise GraphQLError("Say why: {'a': None}.", extensions={"hint": "tomorrow"})


def raise_strawberrys() -> str | None:
    raise StrawberryGraphQLError("Strawberry says.", extensions={"code": "S"})


def raise_tallieds() -> str | None:
    raise NotAllowed("Not you.")


def raise_with_cause() -> str | None:
    try:
        raise ValueError("s3cret")
    except ValueError as error:
        raise GraphQLError("Too old.", original_error=error) from error


def return_an_error() -> str | None:
    return GraphQLError("Handed back.", extensions={"code": "BACK"})  # type: ignore[return-value]


def crash() -> str | None:
    raise ValueError("s3cret")


def deny() -> str | None:
    raise PermissionError("s3cret")


def count() -> int | None:
    return 3_000_000_000


def see() -> str | None:
    return "seen"


def describe_badly() -> str | None:
    raise GraphQLError("Odd.", extensions={"code": "ODD", "what": object()})


RESOLVERS = {
    "say_when": say_when,
    "say_why": say_why,
    "raise_strawberrys": raise_strawberrys,
    "raise_tallieds": raise_tallieds,
    "raise_with_cause": raise_with_cause,
    "return_an_error": return_an_error,
    "crash": crash,
    "deny": deny,
    "count": count,
    "describe_badly": describe_badly,
}
PERMISSIONS = {
    "members": Members,
    "coded": Coded,
    "silent": Silent,
    "waiting": Waiting,
    "teapots": Teapots,
}


def root(name: str, mutates: bool = False) -> type:
    """Return a root type with a field for each way to fail."""
    make = strawberry.mutation if mutates else strawberry.field
    fields: dict[str, Any] = {key: make(resolver) for key, resolver in RESOLVERS.items()}
    for key, permission in PERMISSIONS.items():
        fields[key] = make(see, permission_classes=[permission])
    return strawberry.type(type(name, (), fields))


@strawberry.type
class Item:
    @strawberry.field(permission_classes=[Coded])
    def price(self) -> int | None:
        return 5


@strawberry.type
class Query(root("Fields")):  # type: ignore[misc]
    @strawberry.field(extensions=[PermissionExtension([Members()], fail_silently=True)])
    def hidden(self) -> str | None:
        return "seen"

    @strawberry.field
    def items(self) -> list[Item]:
        return [Item(), Item()]


@strawberry.type
class Subscription:
    @strawberry.subscription(permission_classes=[Coded])
    async def closed(self) -> AsyncGenerator[int, None]:
        yield 2

    @strawberry.subscription
    async def dry(self) -> AsyncGenerator[int, None]:
        yield 2
        raise GraphQLError("The well is dry.", extensions={"code": "DRY"})

    @strawberry.subscription
    async def bare(self) -> AsyncGenerator[int, None]:
        yield 2
        raise GraphQLError("The well is bare.")

    @strawberry.subscription
    async def odd(self) -> AsyncGenerator[Item, None]:
        yield Item()


SCHEMA = merge_schemas(Query, root("Mutation", mutates=True), Subscription)

DELIBERATE: dict[str, tuple[str, dict[str, Any]]] = {
    "members": ("Members only.", make_extensions("NOT_ALLOWED")),
    "coded": ("Members only.", {"code": "FORBIDDEN", "retry": 17}),
    "silent": ("The viewer may not do this.", make_extensions("NOT_ALLOWED")),
    "waiting": ("Members only.", make_extensions("NOT_ALLOWED")),
    "teapots": ("Members only.", {"code": "TEAPOT", "litres": 2.5}),
    "sayWhen": ("Say when.", {"code": "WHEN", "found": [3, 4]}),
    "sayWhy": ("Say why: {'a': None}.", make_extensions("VETOED", {"hint": "tomorrow"})),
    "raiseStrawberrys": ("Strawberry says.", {"code": "S"}),
    "raiseTallieds": ("Not you.", make_extensions("NOT_ALLOWED")),
    "raiseWithCause": ("Too old.", make_extensions("VETOED")),
    "returnAnError": ("Handed back.", {"code": "BACK"}),
}
UNEXPECTED = ("crash", "deny", "count")


async def ask(server: Site, query: str, *, by: str) -> dict[str, Any]:
    if by == "http":
        return await server.post({"query": query})
    async with server.socket() as socket:
        return await socket.answer({"query": query})


@pytest.mark.parametrize("by", ["http", "socket"])
@pytest.mark.parametrize("kind", ["query", "mutation"])
async def test_deliberate_error_is_passed_on(
    database: Database, by: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "tallied.api")
    async with site(database, schema=SCHEMA) as server:
        for name, (message, extensions) in DELIBERATE.items():
            answer = await ask(server, f"{kind} {{ {name} }}", by=by)
            (error,) = answer["errors"]
            assert answer["data"] == {name: None}
            assert (error["message"], error["extensions"]) == (message, extensions)
            assert error["path"] == [name]
    records = [record for record in caplog.records if record.name == "tallied.api"]
    assert [record.levelname for record in records] == ["INFO"] * len(DELIBERATE)
    assert not any(record.exc_info for record in records)


@pytest.mark.parametrize("by", ["http", "socket"])
@pytest.mark.parametrize("kind", ["query", "mutation"])
async def test_unexpected_error_stays_masked(
    database: Database, by: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with site(database, schema=SCHEMA) as server:
        for name in UNEXPECTED:
            answer = await ask(server, f"{kind} {{ {name} }}", by=by)
            (error,) = answer["errors"]
            assert error["extensions"]["code"] == "INTERNAL_SERVER_ERROR"
            assert error["extensions"]["id"] in caplog.text
            assert "s3cret" not in str(answer)
            assert "3000000000" not in str(answer)
    assert [record.levelname for record in caplog.records] == ["ERROR"] * len(UNEXPECTED)
    assert all(record.exc_info for record in caplog.records)


async def test_permission_may_fail_silently(database: Database) -> None:
    async with site(database, schema=SCHEMA) as server:
        assert (await server.post({"query": "{ hidden }"}))["data"] == {"hidden": None}


async def test_status_is_that_of_partial_answer(database: Database) -> None:
    accept = "application/graphql-response+json"
    async with site(database, schema=SCHEMA) as server:
        body = {"query": "{ coded items { price } }"}
        answer = await server.http.post("/graphql", json=body, headers={"accept": accept})
    assert answer.status_code == 294
    assert answer.json()["data"] == {"coded": None, "items": [{"price": None}, {"price": None}]}
    paths = [error["path"] for error in answer.json()["errors"]]
    assert paths == [["coded"], ["items", 0, "price"], ["items", 1, "price"]]
    assert {error["extensions"]["code"] for error in answer.json()["errors"]} == {"FORBIDDEN"}


@pytest.mark.parametrize(
    ("field", "events", "error"),
    [
        ("closed", 0, {"message": "Members only.", "code": "FORBIDDEN", "retry": 17}),
        ("dry", 1, {"message": "The well is dry.", "code": "DRY"}),
        ("bare", 1, {"message": "The well is bare.", **make_extensions("VETOED")}),
    ],
)
async def test_subscription_ends_with_hosts_error(
    database: Database, field: str, events: int, error: dict[str, Any]
) -> None:
    async with site(database, schema=SCHEMA) as server, server.socket() as socket:
        id = await socket.subscribe(f"subscription {{ {field} }}")
        for _ in range(events):
            assert (await socket.receive())["payload"]["data"] == {field: 2}
        last = await socket.receive()
        assert (last["type"], last["id"]) == ("error", id)
        (reply,) = last["payload"]
        assert {"message": reply["message"], **reply["extensions"]} == error


async def test_event_carries_hosts_error(database: Database) -> None:
    async with site(database, schema=SCHEMA) as server, server.socket() as socket:
        await socket.subscribe("subscription { odd { price } }")
        payload = (await socket.receive())["payload"]
    assert payload["data"] == {"odd": {"price": None}}
    assert payload["errors"][0]["extensions"] == make_extensions("FORBIDDEN", {"retry": 17})


async def test_extensions_without_json_are_left_out(database: Database) -> None:
    async with site(database, schema=SCHEMA) as server:
        answer = await server.post({"query": "{ describeBadly sayWhen }"})
    codes = [error["extensions"] for error in answer["errors"]]
    assert codes[0] == {"code": "ODD"}
    assert codes[1]["code"] == "WHEN"
