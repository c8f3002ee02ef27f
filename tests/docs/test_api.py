"""The reference of the API is correct: valid documents, existing files and names."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

import httpx
from graphql import (
    GraphQLEnumType,
    GraphQLSchema,
    build_schema,
    is_abstract_type,
    is_object_type,
    parse,
    validate,
)

import docs
import tallied
from tallied.asgi import create_app
from tallied.database import Database
from tallied.error_codes import CODES, make_extensions
from tallied.errors import CounterDeclarationError
from tallied.schema.printing import print_sdl
from tallied.settings import Settings

ROOT = Path(tallied.__file__).parent
PAGES = {page.stem: page.read_text("utf-8") for page in (ROOT / "docs").glob("*/*.md")}
BLOCKS = [
    block
    for text in PAGES.values()
    for block in re.findall(r"^```graphql\n(.*?)^```$", text, re.M | re.S)
]
FILES = re.findall(
    r"^\[(tests/clients/\S+)\]\(\.\./\.\./\1\):\n\n```\w+\n(.*?)^```$",
    PAGES["clients"],
    re.M | re.S,
)


@cache
def printed_schema() -> GraphQLSchema:
    return build_schema(print_sdl())


def test_documents_are_valid() -> None:
    assert BLOCKS
    for document in BLOCKS:
        assert validate(printed_schema(), parse(document)) == [], document


def test_clients_equal_those_of_tests() -> None:
    set_up = {path for path, _ in FILES}
    for client in ("apollo/client.ts", "urql/client.ts", "relay/environment.ts", "codegen.ts"):
        assert f"tests/clients/{client}" in set_up
    for path, text in FILES:
        assert (ROOT / path).read_text("utf-8") == text, path


def test_possible_types_are_those_of_schema() -> None:
    possible = {
        name: sorted(item.name for item in printed_schema().get_possible_types(type_))
        for name, type_ in printed_schema().type_map.items()
        if is_abstract_type(type_)
    }
    (client,) = (text for path, text in FILES if path.endswith("apollo/client.ts"))
    written = re.search(r"possibleTypes: (\{.*?\}),$", client, re.MULTILINE)
    assert written is not None
    assert json.loads(re.sub(r"(\w+):", r'"\1":', written[1])) == possible


def test_urql_has_keys_for_all_types_without_id() -> None:
    keyed = ("Connection", "Edge", "PageInfo", "Payload", "Query", "Mutation")
    names = {
        name
        for name, type_ in build_schema(print_sdl()).type_map.items()
        if is_object_type(type_) and "id" not in type_.fields and not name.endswith(keyed)
    }
    (client,) = (text for path, text in FILES if path.endswith("urql/client.ts"))
    written = set(re.findall(r"^ {10}(\w+): \(\) => ", client, re.MULTILINE))
    assert written == {name for name in names if not name.startswith("__")}


def test_written_pages_are_current() -> None:
    for page, print_page in docs.WRITTEN.items():
        assert page.read_text("utf-8") == print_page(), "python scripts/docs.py --write"


async def test_cost_equals_example(database: Database) -> None:
    (document,) = re.findall(r"^```graphql\n(.*?)^```$", PAGES["limits"], re.M | re.S)
    reply = re.search(r'"extensions": (\{"cost": \{.*?\}\})', PAGES["limits"], re.DOTALL)
    assert reply is not None
    transport = httpx.ASGITransport(create_app(Settings(guests="moderate"), database))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.post("/graphql", json={"query": document})
    assert answer.json()["extensions"] == json.loads(reply[1])


NOT_CODES = {
    *("POST", "HEAD", "CONNECT", "USER_ERROR", "DESC"),
    *("INFO", "WARNING", "XDG_STATE_HOME"),
}
"""Written in capitals, too; and the code of the errors' root, which is never raised itself."""


def test_every_code_has_its_description() -> None:
    types = printed_schema().type_map
    codes = set(types["UserErrorCode"].values)
    packages = ("schema", "execution", "transport", "server")
    modules = [path for package in packages for path in (ROOT / package).glob("*.py")]
    for path in (*modules, ROOT / "errors.py", ROOT / "asgi.py"):
        codes |= set(re.findall(r'"([A-Z_]{4,})"', path.read_text("utf-8")))
    enums = [type_ for type_ in types.values() if isinstance(type_, GraphQLEnumType)]
    values = {value for enum in enums if enum.name != "UserErrorCode" for value in enum.values}
    assert {"BAD_USER_INPUT", "NOT_FOUND", "BUSY", "OVERLOADED", "BAD_REQUEST"} <= codes
    assert codes - NOT_CODES - (values - {*types["UserErrorCode"].values}) == CODES.keys()


def test_every_error_names_place_of_its_code() -> None:
    for code in CODES:
        path, _, anchor = make_extensions(code)["documentation"].partition("#")
        assert f'<a id="{anchor}"></a>`{code}` |' in (ROOT / path).read_text("utf-8")
    assert make_extensions("TEAPOT") == {"code": "TEAPOT"}


def test_every_finding_of_counters_is_listed() -> None:
    sources = [path.read_text("utf-8") for path in (ROOT / "counters").rglob("*.py")]
    ids = {id for source in sources for id in re.findall(r'"counters\.(E\d+)"', source)}
    assert len(ids) > 30
    page = (ROOT / "docs" / "reference" / "counters.md").read_text("utf-8")
    assert [id for id in sorted(ids) if f'<a id="{id.lower()}"></a>' not in page] == []
    error = CounterDeclarationError("counters.E004", "No index.", "Add one.")
    assert str(error).endswith("See docs/reference/counters.md#e004")
