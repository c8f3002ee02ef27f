"""The endpoint over HTTP: accepted requests, refused requests, and their messages."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson
import pytest
from support.api import Api

from tallied.asgi import create_app
from tallied.database import Database
from tallied.settings import Settings
from tallied.transport.media_types import choose

GRAPHQL = "application/graphql-response+json"
JSON = "application/json"
QUERY = {"query": "{ __typename }"}

pytestmark = pytest.mark.sqlite


def refused(response: httpx.Response, status: int, code: str) -> str:
    """Return the sentence of a refusal, which is JSON and has no data."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"].split(";")[0] in (JSON, GRAPHQL)
    answer = response.json()
    assert answer.keys() == {"errors"}
    (error,) = answer["errors"]
    assert error["extensions"]["code"] == code
    message: str = error["message"]
    assert 8 < len(message) < 200
    return message


GARBAGE = {
    "nothing": b"",
    "no JSON": b"NONSENSE",
    "half an object": b'{"query":',
    "null": b"null",
    "a number": b"3",
    "a string": b'"x"',
    "an array": b"[]",
    "a batch": orjson.dumps([QUERY]),
    "an empty object": b"{}",
    "a typing error": b'{"qeury": "{ __typename }"}',
    "a query of null": b'{"query": null}',
    "a query of a number": b'{"query": 7}',
    "a query of an object": b'{"query": {}}',
    "a query of a list": b'{"query": ["{ __typename }"]}',
    "variables of a list": b'{"query": "{ __typename }", "variables": [7]}',
    "variables of a string": b'{"query": "{ __typename }", "variables": "{}"}',
    "an operation name of a number": b'{"query": "{ __typename }", "operationName": 7}',
    "extensions of a list": b'{"query": "{ __typename }", "extensions": []}',
    "invalid UTF-8": b'{"query": "\xff"}',
    "UTF-16": '{"query": "{ __typename }"}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"query": "{ __typename }"}',
    "empty variables": b'{"query": "{ __typename }", "variables": ""}',
    "extensions of true": b'{"query": "{ __typename }", "extensions": true}',
    "half a surrogate pair": b'{"query": "{ __typename }", "variables": {"a": "\\ud800"}}',
    "not a number": b'{"query": "{ __typename }", "variables": {"a": NaN}}',
    "infinity": b'{"query": "{ __typename }", "variables": {"a": Infinity}}',
    "a comment": b'{"query": "{ __typename }"} // hello',
    "two objects": b'{"query": "{ __typename }"}{}',
    "a deep array": b"[" * 100_000,
    "a deep array, closed": b"[" * 100_000 + b"]" * 100_000,
    "a deep object": b'{"a":' * 100_000,
    "a huge integer": b'{"query": "{ __typename }", "variables": {"a": ' + b"9" * 200_000 + b"}}",
    "zeros": b"\0" * 1000,
}


SENTENCES = {
    "a byte order mark": "byte order mark (U+FEFF); send the JSON without it.",
    "UTF-16": "is in UTF-16 or UTF-32; send JSON in UTF-8.",
    "empty variables": "variables must be an object: the variables by their names, not an empty"
    " string; leave it out where there is none.",
    "variables of a string": "their names, not a string.",
    "variables of a list": "their names, not an array.",
    "extensions of true": "an object, not a boolean.",
    "a query of a number": "query must be a string: the GraphQL document, not a number.",
}
"""The ends of messages that name the mistake."""


@pytest.mark.parametrize("kind", GARBAGE)
async def test_garbage_is_400_in_json(api: Api, kind: str) -> None:
    for accept in (JSON, GRAPHQL):
        response = await api.http.post(
            "/graphql", content=GARBAGE[kind], headers={"content-type": JSON, "accept": accept}
        )
        message = refused(response, 400, "BAD_REQUEST")
        assert message.endswith(SENTENCES.get(kind, ""))
        assert response.headers["content-type"].startswith(accept)


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "text/plain",
        "application/jsonp",
        "application/json5",
        "application/graphql",
        "application/graphql+json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json; charset=utf-16",
        "application/json; charset=latin-1",
        "text/html, application/json",
    ],
)
async def test_simple_content_types_are_415(api: Api, content_type: str | None) -> None:
    headers = {} if content_type is None else {"content-type": content_type}
    response = await api.http.post("/graphql", content=orjson.dumps(QUERY), headers=headers)
    assert "application/json" in refused(response, 415, "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize(
    "content_type",
    [
        JSON,
        "Application/JSON",
        "application/json;charset=utf-8",
        'application/json; charset="UTF-8"',
    ],
)
async def test_json_in_utf_8_is_accepted(api: Api, content_type: str) -> None:
    response = await api.http.post(
        "/graphql", content=orjson.dumps(QUERY), headers={"content-type": content_type}
    )
    assert response.json()["data"] == {"__typename": "Query"}


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"])
async def test_other_method_is_405_with_allow(api: Api, method: str) -> None:
    response = await api.http.request(method, "/graphql", json=QUERY)
    refused(response, 405, "METHOD_NOT_ALLOWED")
    assert response.headers["allow"] == "GET, HEAD, POST"


async def test_body_past_limit_is_413(database: Database) -> None:
    api = Api(database, body_size=2000)

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield b" " * 300

    headers = {"content-type": JSON}
    fits = orjson.dumps(QUERY).ljust(2000)
    response = await api.http.post("/graphql", content=fits, headers=headers)
    assert response.json()["data"] == {"__typename": "Query"}
    for body in (fits + b" ", chunks()):
        response = await api.http.post("/graphql", content=body, headers=headers)
        assert "2000 bytes" in refused(response, 413, "CONTENT_TOO_LARGE")
    lies = {**headers, "content-length": "9" * 5000}
    response = await api.http.post("/graphql", content=fits, headers=lies)
    refused(response, 413, "CONTENT_TOO_LARGE")


FAULTY = {
    "{": "GRAPHQL_PARSE_FAILED",
    "": "GRAPHQL_PARSE_FAILED",
    "# nothing": "GRAPHQL_PARSE_FAILED",
    '{ thread(id: "\\ud800") { id } }': "GRAPHQL_PARSE_FAILED",
    "{" * 5000: "GRAPHQL_PARSE_FAILED",
    "{ a " * 2000 + "}" * 2000: "GRAPHQL_PARSE_FAILED",
    "{ __typename }" + " __typename" * 50_000: "LIMIT_EXCEEDED",
    "{" + " a" * 10_000 + "}": "LIMIT_EXCEEDED",
    "{ unknown }": "GRAPHQL_VALIDATION_FAILED",
    "{ threads { nodes { unknown } } }": "GRAPHQL_VALIDATION_FAILED",
    "{ threads(first: 1) }": "GRAPHQL_VALIDATION_FAILED",
    "{ thread { id } }": "GRAPHQL_VALIDATION_FAILED",
    "subscription { x }": "GRAPHQL_VALIDATION_FAILED",
    "query($a: Int) { __typename }": "GRAPHQL_VALIDATION_FAILED",
    "{ ...a } fragment a on Query { ...a }": "GRAPHQL_VALIDATION_FAILED",
    "{ __typename @unknown }": "GRAPHQL_VALIDATION_FAILED",
    "fragment a on Query { __typename }": "GRAPHQL_VALIDATION_FAILED",
    "query a { __typename } query a { __typename }": "GRAPHQL_VALIDATION_FAILED",
    "{ threads(first: TEN) { totalCount } }": "BAD_USER_INPUT",
    "query a { __typename } query b { __typename }": "BAD_REQUEST",
}


@pytest.mark.parametrize("query", FAULTY, ids=lambda query: query[:40])
async def test_request_error_has_status_of_draft(api: Api, query: str) -> None:
    failed = 400 if FAULTY[query] == "GRAPHQL_PARSE_FAILED" else 422
    for accept, status in ((JSON, 200), (GRAPHQL, failed)):
        response = await api.http.post(
            "/graphql", json={"query": query}, headers={"accept": accept}
        )
        refused(response, status, FAULTY[query])
        if len(query) < 1000:
            response = await api.http.get(
                "/graphql", params={"query": query}, headers={"accept": accept}
            )
            refused(response, status, FAULTY[query])


async def test_bad_variable_is_request_error(api: Api) -> None:
    body = {"query": "query($n: Int!) { threads(first: $n) { totalCount } }"}
    for accept, status in ((JSON, 200), (GRAPHQL, 422)):
        for variables in (None, {}, {"n": None}, {"n": "x"}, {"n": [1]}):
            response = await api.http.post(
                "/graphql", json={**body, "variables": variables}, headers={"accept": accept}
            )
            message = refused(response, status, "BAD_USER_INPUT")
            assert "$n" in message
            assert "None" not in message


async def test_field_error_is_partial_success(api: Api) -> None:
    query = '{ __typename thread(id: "x") { id } threads(first: 1) { totalCount } }'
    for accept, status in ((JSON, 200), (GRAPHQL, 294)):
        response = await api.http.post(
            "/graphql", json={"query": query}, headers={"accept": accept}
        )
        assert response.status_code == status
        answer = response.json()
        assert answer["data"] == {
            "__typename": "Query",
            "thread": None,
            "threads": {"totalCount": 0},
        }
        (error,) = answer["errors"]
        assert (error["path"], error["extensions"]["code"]) == (["thread"], "BAD_USER_INPUT")
        assert error["locations"] == [{"line": 1, "column": 14}]
        query_of_null = "{ threads(first: 0) { totalCount } }"
        response = await api.http.post(
            "/graphql", json={"query": query_of_null}, headers={"accept": accept}
        )
        assert (response.status_code, response.json()["data"]) == (status, {"threads": None})


async def test_operation_is_chosen_by_its_name(api: Api) -> None:
    document = "query a { a: __typename } query b { b: __typename } mutation c { c: __typename }"

    async def ask(name: Any) -> httpx.Response:
        body = {"query": document, "operationName": name}
        return await api.http.post("/graphql", json=body)

    assert (await ask("b")).json()["data"] == {"b": "Query"}
    assert (await ask("c")).json()["data"] == {"c": "Mutation"}
    for name, sentence in ((None, "operationName"), ("", "operationName"), ("d", "no operation")):
        assert sentence in refused(await ask(name), 200, "BAD_REQUEST")


async def test_queries_can_be_sent_by_get(api: Api) -> None:
    id = await api.thread("Engines", "one two")
    query = "query a($id: ID!) { thread(id: $id) { title } } query b { __typename }"
    response = await api.http.get(
        "/graphql",
        params={
            "query": query,
            "operationName": "a",
            "variables": orjson.dumps({"id": id}).decode(),
            "extensions": "",
        },
    )
    assert response.json()["data"] == {"thread": {"title": "Engines"}}
    head = await api.http.head("/graphql", params={"query": "{ __typename }"})
    assert head.status_code == 200


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"qeury": "{ __typename }"},
        {"query": "{ __typename }", "variables": "["},
        {"query": "{ __typename }", "variables": "\ufeff{}"},
        {"query": "{ __typename }", "variables": "[]"},
        {"query": "{ __typename }", "variables": "7"},
        {"query": "{ __typename }", "variables": "NaN"},
        {"query": "{ __typename }", "extensions": "[]"},
        [("query", "{ __typename }"), ("query", "{ a: __typename }")],
    ],
)
async def test_malformed_get_is_400(api: Api, params: Any) -> None:
    refused(await api.http.get("/graphql", params=params), 400, "BAD_REQUEST")


async def test_mutation_is_never_done_by_get(api: Api) -> None:
    mutation = 'mutation { createThread(input: {title: "Looms"}) { thread { id } } }'
    for params in (
        {"query": mutation},
        {
            "query": f"query a {{ __typename }} {mutation}".replace("mutation", "mutation b"),
            "operationName": "b",
        },
    ):
        for accept in (JSON, GRAPHQL):
            response = await api.http.get("/graphql", params=params, headers={"accept": accept})
            assert "POST" in refused(response, 405, "METHOD_NOT_ALLOWED")
            assert response.headers["allow"] == "POST"
    assert await api("{ threads(first: 1) { totalCount } }") == {"totalCount": 0}


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, JSON),
        ("", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        (JSON, JSON),
        (GRAPHQL, GRAPHQL),
        (f"{GRAPHQL}, {JSON};q=0.9", GRAPHQL),
        (f"{JSON}, {GRAPHQL}", JSON),
        (f"{JSON};q=0.5, {GRAPHQL}", GRAPHQL),
        (f"{GRAPHQL}; charset=utf-8, {JSON}; charset=utf-8", GRAPHQL),
        (f"{GRAPHQL};q=0, */*", JSON),
        (f"{JSON};q=0, */*;q=0.1", GRAPHQL),
        (f"text/html, {GRAPHQL};q=0.1", GRAPHQL),
        (f"{JSON};q=high, {GRAPHQL}", GRAPHQL),
        ("text/html", None),
        ("image/png, text/*", None),
        (f"{JSON};q=0", None),
    ],
)
async def test_accept_header_decides_media_type(
    api: Api, accept: str | None, expected: str | None
) -> None:
    headers = {"content-type": JSON} | ({} if accept is None else {"accept": accept})
    if accept is None:
        del api.http.headers["accept"]
    response = await api.http.post("/graphql", content=orjson.dumps(QUERY), headers=headers)
    if expected is None:
        assert JSON in refused(response, 406, "NOT_ACCEPTABLE")
    else:
        assert response.status_code == 200
        assert response.headers["content-type"].split(";")[0] == expected


BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


async def test_browser_gets_playground(database: Database) -> None:
    api = Api(database, playground=True)
    assert choose(BROWSER, [JSON, GRAPHQL, "text/html"]) == "text/html"
    page = await api.http.get("/graphql", headers={"accept": BROWSER})
    assert page.headers["content-type"].startswith("text/")
    assert "Accept" in page.headers["vary"]


async def test_compressed_body_is_415(api: Api) -> None:
    body = gzip.compress(orjson.dumps(QUERY))
    headers = {"content-type": JSON, "content-encoding": "gzip"}
    response = await api.http.post("/graphql", content=body, headers=headers)
    assert "Content-Encoding" in refused(response, 415, "UNSUPPORTED_MEDIA_TYPE")
    assert response.headers["accept-encoding"] == "identity"


async def test_document_past_size_is_refused(database: Database) -> None:
    api = Api(database, document_size=1000)
    query = "{ __typename }".ljust(1000)
    assert await api(query) == "Query"
    error = await api.error(query + " ")
    assert (error["code"], error["limit"], error["maximum"]) == (
        "LIMIT_EXCEEDED",
        "document_size",
        1000,
    )
    assert "1000 characters" in error["message"]


async def test_unknown_properties_are_ignored(api: Api) -> None:
    response = await api.http.post("/graphql", json={**QUERY, "future": [1, 2]})
    assert response.json()["data"] == {"__typename": "Query"}


async def test_repeated_document_is_parsed_once(database: Database) -> None:
    app = create_app(Settings(guests="moderate"), database)
    (endpoint,) = {route.app for route in app.routes if getattr(route, "path", "") == "/graphql"}
    query = "query($n: Int!) { threads(first: $n) { totalCount } }"
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://tallied.test") as http:
        for padding in ("", " " * 2000):  # short and long ones are read in different ways
            before = endpoint.executor.documents.hits
            for number in range(1, 11):
                body = {"query": query + padding, "variables": {"n": number}}
                answer = await http.post("/graphql", json=body)
                assert answer.json()["data"] == {"threads": {"totalCount": 0}}
            assert endpoint.executor.documents.hits == before + 9
