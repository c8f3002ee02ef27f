"""Values that scalars of a host cannot parse are client errors."""

from __future__ import annotations

from decimal import Decimal
from typing import NewType
from uuid import UUID

import pytest
import strawberry
from graphql import GraphQLError
from support.sockets import Site, site

from tallied.database import Database
from tallied.schema.build import merge_schemas

pytestmark = pytest.mark.parametrize("backend", ["sqlite"])

Hex = NewType("Hex", bytes)
Even = NewType("Even", int)


def read_even(value: object) -> int:
    if not isinstance(value, int) or value % 2:
        raise GraphQLError("Even takes 2, 4 and so on.")
    return value


def read_hex(value: str) -> bytes:
    return bytes.fromhex(value)


SCALARS = {
    Hex: strawberry.scalar(name="Hex", parse_value=read_hex, serialize=bytes.hex),
    Even: strawberry.scalar(name="Even", parse_value=read_even, serialize=int),
}


@strawberry.type
class Query:
    @strawberry.field
    def show(
        self,
        hex: Hex | None = None,
        even: Even | None = None,
        uuid: UUID | None = None,
        decimal: Decimal | None = None,
    ) -> str:
        return f"{hex!r} {even} {uuid} {decimal}"


SCHEMA = merge_schemas(Query, scalars=SCALARS)


async def reply(server: Site, query: str, **variables: object) -> tuple[str, str]:
    answer = await server.post({"query": query, "variables": variables})
    (error,) = answer["errors"]
    assert not answer.get("data")
    return error["extensions"]["code"], error["message"]


@pytest.mark.parametrize(
    ("type_", "value"), [("Hex", "zz"), ("Even", 7), ("UUID", "x-7"), ("Decimal", "twelve")]
)
async def test_unreadable_value_is_clients_mistake(
    database: Database, type_: str, value: object, caplog: pytest.LogCaptureFixture
) -> None:
    name = type_.lower()
    async with site(database, schema=SCHEMA) as server:
        query = f"query($v: {type_}) {{ show({name}: $v) }}"
        code, message = await reply(server, query, v=value)
        assert code == "BAD_USER_INPUT"
        assert type_ in message
        assert "fromhex" not in message
        literal = f'"{value}"' if isinstance(value, str) else str(value)
        code, message = await reply(server, f"{{ show({name}: {literal}) }}")
        assert code == "BAD_USER_INPUT"
        assert "fromhex" not in message
    assert not any(record.exc_info for record in caplog.records)


async def test_readable_values_are_read(database: Database) -> None:
    query = "query($h: Hex, $e: Even) { show(hex: $h, even: $e) }"
    async with site(database, schema=SCHEMA) as server:
        answer = await server.post({"query": query, "variables": {"h": "ff10", "e": 6}})
    assert answer["data"] == {"show": "b'\\xff\\x10' 6 None None"}
