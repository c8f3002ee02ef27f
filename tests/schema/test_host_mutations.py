"""Mutations of a host report rejections as Tallied's do."""

from __future__ import annotations

from typing import Any

import pytest
import strawberry
from strawberry import UNSET
from support.host import Host, titles
from support.rows import count_rows

from tallied.database import Database
from tallied.errors import BadUserInput, InvalidText, NotFound, Rejected, SignInRequired, Vetoed
from tallied.execution.requested_fields import Info
from tallied.host.targets import Target
from tallied.models import Thread
from tallied.resolvers import threads
from tallied.schema.build import merge_schemas
from tallied.schema.payloads import Payload, mutation


def too_dull() -> Rejected:
    """Return a host's own reason, with a code that the schema does not have."""
    error = Rejected("colour is too dull.", field="colour")
    error.code = "TOO_DULL"
    return error


@strawberry.input
class DyeInput:
    colour: str
    client_mutation_id: str | None = UNSET


@strawberry.type(description="What dye and paint give back.")
class DyePayload(Payload):
    colour: str | None = None


async def dyed(info: Info, colour: str) -> DyePayload:
    """Write a thread, and then reject it all for some colours."""

    async def work(unit: Any, access: Any) -> None:
        await threads.create_thread(unit, access.as_host(), colour)
        if access.viewer is None:
            raise SignInRequired("Guests may not dye; sign in first.")
        errors = [
            InvalidText("colour is too long.", field="input.colour", code="TOO_LONG"),
            NotFound("There is no such wool.", field="input.wool"),
        ]
        if colour == "both":
            raise ExceptionGroup("both", errors)
        if colour == "grey":
            raise too_dull()
        if colour == "unreadable":
            raise BadUserInput("colour cannot be read.", field="colour")
        if colour == "broken":
            raise RuntimeError("the vat has a hole")
        if colour == "ugly":
            raise Vetoed("Nobody wears that.")

    await info.context.write(work)
    return DyePayload(colour=colour)


@strawberry.type
class Mutation:
    @mutation("Dye wool.", DyePayload)
    async def dye(self, info: Info, input: DyeInput) -> DyePayload | None:
        return await dyed(info, input.colour)

    @mutation("Paint a wall, with arguments of its own.", DyePayload)
    async def paint(self, info: Info, colour: str, *, coats: int = 2) -> DyePayload | None:
        return await dyed(info, f"{colour}{'!' * coats}" if coats != 2 else colour)

    @strawberry.mutation
    async def spray(self, info: Info, colour: str) -> str:
        await dyed(info, colour)
        return colour


@pytest.fixture
def host(database: Database) -> Host:
    return Host(
        database,
        schema=merge_schemas(None, Mutation, prefix="Forum"),
        targets=[Target("a", titles)],
    )


DYE = """mutation($i: DyeInput!) { dye(input: $i) { colour clientMutationId
           userErrors { message field code } } }"""
PAINT = """mutation($c: String!) { paint(colour: $c) { colour clientMutationId
             userErrors { message field code } } }"""
REJECTED = {
    "both": [
        ("colour is too long.", "input.colour", "TOO_LONG"),
        ("There is no such wool.", "input.wool", "NOT_FOUND"),
    ],
    "grey": [("colour is too dull.", "colour", "VETOED")],
    "ugly": [("Nobody wears that.", None, "VETOED")],
}


@pytest.mark.slow
@pytest.mark.parametrize("colour", REJECTED)
async def test_rejection_is_in_payload_and_rolled_back(host: Host, colour: str) -> None:
    reply = [
        {"message": message, "field": field, "code": code}
        for message, field, code in REJECTED[colour]
    ]
    values = {"colour": colour, "clientMutationId": "7"}
    assert await host.ada(DYE, i=values) == {
        "colour": None,
        "clientMutationId": "7",
        "userErrors": reply,
    }
    painted = await host.ada(PAINT, c=colour)
    assert painted == {"colour": None, "clientMutationId": None, "userErrors": reply}
    assert await count_rows(host.database, Thread) == 0


async def test_success_is_in_payload(host: Host) -> None:
    done = {"colour": "red", "clientMutationId": None, "userErrors": []}
    assert await host.ada(DYE, i={"colour": "red"}) == done
    assert await host.ada(PAINT, c="red") == done
    query = 'mutation { paint(colour: "red", coats: 3) { colour } }'
    assert await host.ada(query) == {"colour": "red!!!"}
    guest = await host.guest(PAINT, c="red")
    assert [item["code"] for item in guest["userErrors"]] == ["SIGN_IN_REQUIRED"]
    assert await count_rows(host.database, Thread) == 3
    query = 'mutation { threadFor(input: {target: {type: "a", key: "1"}}) { thread { title } } }'
    assert await host.ada(query) == {"thread": {"title": "Object 1"}}, "as Tallied's own have it"


async def test_other_exceptions_are_errors(host: Host) -> None:
    for colour, code in (("unreadable", "BAD_USER_INPUT"), ("broken", "INTERNAL_SERVER_ERROR")):
        error = await host.ada.error(PAINT, c=colour)
        assert error["code"] == code
        assert "vat" not in error["message"]
    error = await host.ada.error('mutation { spray(colour: "ugly") }')
    assert (error["message"], error["code"]) == ("Nobody wears that.", "VETOED")
    assert await count_rows(host.database, Thread) == 0
