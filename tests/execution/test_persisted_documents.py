"""Persisted documents: Apollo's protocol, the draft's, and a list of allowed documents."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from support.api import Api

from tallied.asgi import create_app
from tallied.database import Database
from tallied.errors import ConfigurationError
from tallied.execution.persisted_documents import PersistedDocuments, read_documents, sha256
from tallied.settings import SETTINGS, Settings

JSON = "application/json"
GRAPHQL = "application/graphql-response+json"
COUNT = "query Count { threads(first: 1) { totalCount } }"
NAME = "query Name { __typename }"
CREATE = 'mutation Create { createThread(input: {title: "Looms"}) { thread { title } } }'

pytestmark = pytest.mark.sqlite


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def apollo(text: str, **more: Any) -> dict[str, Any]:
    """Return a request as Apollo Client's first one, which has the hash alone."""
    return {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": digest(text)}}, **more}


async def post(api: Api, body: dict[str, Any], accept: str = GRAPHQL) -> httpx.Response:
    return await api.http.post("/graphql", json=body, headers={"accept": accept})


async def get(api: Api, body: dict[str, Any], accept: str = GRAPHQL) -> httpx.Response:
    params = {k: v if isinstance(v, str) else orjson.dumps(v).decode() for k, v in body.items()}
    return await api.http.get("/graphql", params=params, headers={"accept": accept})


def code(response: httpx.Response, status: int) -> str:
    assert response.status_code == status, response.text
    assert response.headers["cache-control"] == "no-store"
    assert response.json().keys() == {"errors"}
    (error,) = response.json()["errors"]
    result: str = error["extensions"]["code"]
    return result


@pytest.fixture
def listing(tmp_path: Path) -> Path:
    path = tmp_path / "documents.json"
    path.write_bytes(orjson.dumps({digest(COUNT): COUNT, "create-1": CREATE}))
    return path


@pytest.mark.parametrize("send", [post, get])
async def test_document_is_sent_once_then_named_by_hash(api: Api, send: Any) -> None:
    unknown = await send(api, apollo(NAME))
    assert code(unknown, 404) == "PERSISTED_QUERY_NOT_FOUND"
    assert unknown.json()["errors"][0]["message"] == "PersistedQueryNotFound"
    assert (await send(api, apollo(NAME), JSON)).status_code == 200
    for body in (
        apollo(NAME, query=NAME),
        apollo(NAME),
        apollo(NAME, query=None) if send is post else apollo(NAME, query=NAME),
        {"documentId": sha256(NAME)},
        {"documentId": digest(NAME)},
    ):
        response = await send(api, body)
        assert (response.status_code, response.json()["data"]) == (200, {"__typename": "Query"})


async def test_parts_of_request_work_with_named_document(api: Api) -> None:
    id = await api.thread("Engines", "one two")
    text = "query A($id: ID!) { thread(id: $id) { title } } query B { b: __typename }"
    await post(api, apollo(text, query=text, operationName="B"))
    for send in (post, get):
        answer = await send(api, apollo(text, operationName="A", variables={"id": id}))
        assert answer.json()["data"] == {"thread": {"title": "Engines"}}
        assert code(await send(api, apollo(text)), 422) == "BAD_REQUEST"


async def test_hash_of_other_document_is_refused(api: Api) -> None:
    for body in (
        apollo(COUNT, query=NAME),
        {"documentId": sha256(COUNT), "query": NAME},
        {"documentId": "create-1", "query": NAME},
    ):
        assert code(await post(api, body), 400) == "BAD_REQUEST"
    assert code(await post(api, apollo(COUNT)), 404) == "PERSISTED_QUERY_NOT_FOUND"


async def test_faulty_document_is_not_kept(api: Api) -> None:
    for text in ("{", "{ unknown }", "{ a(b: 1) }"):
        assert "errors" in (await post(api, apollo(text, query=text))).json()
        assert code(await post(api, apollo(text)), 404) == "PERSISTED_QUERY_NOT_FOUND"


async def test_named_mutation_is_never_done_by_get(api: Api) -> None:
    await post(api, apollo(CREATE, query=CREATE))
    assert code(await get(api, apollo(CREATE)), 405) == "METHOD_NOT_ALLOWED"
    assert await api("{ threads(first: 1) { totalCount } }") == {"totalCount": 1}


@pytest.mark.parametrize(
    "body",
    [
        {"documentId": 7},
        {"documentId": ""},
        {"documentId": "a b"},
        {"documentId": "sha256:"},
        {"documentId": "x:y:z"},
        {"documentId": "x" * 257},
        {"extensions": {}},
        {"extensions": {"persistedQuery": 7}},
        {"extensions": {"persistedQuery": {}}},
        {"extensions": {"persistedQuery": {"version": 2, "sha256Hash": digest(NAME)}}},
        {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": 7}}},
        {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": "abc"}}},
        {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": "x" * 64}}},
        {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": "a" * 10_000}}},
    ],
)
async def test_malformed_name_is_400(api: Api, body: dict[str, Any]) -> None:
    for accept in (JSON, GRAPHQL):
        assert code(await post(api, body, accept), 400) == "BAD_REQUEST"


async def test_keeping_documents_can_be_switched_off(database: Database) -> None:
    api = Api(database, automatic_documents=0)
    for body in (apollo(NAME), {"documentId": sha256(NAME)}):
        unknown = await post(api, body)
        assert code(unknown, 404) == "PERSISTED_QUERY_NOT_SUPPORTED"
        assert unknown.json()["errors"][0]["message"] == "PersistedQueryNotSupported"
    assert (await post(api, apollo(NAME, query=NAME))).status_code == 200
    assert code(await post(api, apollo(NAME)), 404) == "PERSISTED_QUERY_NOT_SUPPORTED"


def test_least_used_document_is_forgotten() -> None:
    texts = [f"{{ a{n}: __typename }}".ljust(100) for n in range(20)]
    value = PersistedDocuments({}, 1000)
    for text in texts[:10]:
        value.store(text)
    assert [value.find(sha256(text)) for text in texts[:10]] == texts[:10]
    value.store("x" * 1001)
    assert value.find(sha256("x" * 1001)) is None
    assert value.find(sha256(texts[0])) == texts[0]
    for text in texts[10:]:
        value.store(text)
        assert value.find(sha256(texts[0])) == texts[0]
    assert [text for text in texts if value.find(sha256(text))] == [texts[0], *texts[11:]]


async def test_listed_document_has_id_and_hash(database: Database, listing: Path) -> None:
    api = Api(database, persisted_documents=str(listing), automatic_documents=0)
    for body in (
        {"documentId": digest(COUNT)},
        {"documentId": sha256(COUNT)},
        apollo(COUNT),
        apollo(COUNT, query=COUNT),
        {"query": COUNT},
    ):
        assert (await post(api, body)).json()["data"] == {"threads": {"totalCount": 0}}
    answer = await post(api, {"documentId": "create-1"})
    assert answer.json()["data"] == {"createThread": {"thread": {"title": "Looms"}}}
    assert (await post(api, {"query": NAME})).json()["data"] == {"__typename": "Query"}


async def test_only_listed_documents_are_executed(database: Database, listing: Path) -> None:
    api = Api(database, persisted_documents=str(listing), only_persisted=True)
    for body in ({"query": NAME}, apollo(NAME, query=NAME), {"query": COUNT + " "}):
        for send in (post, get):
            assert code(await send(api, body), 403) == "DOCUMENT_NOT_ALLOWED"
            assert (await send(api, body, JSON)).json()["errors"]
    for body in (apollo(NAME), {"documentId": "other"}):
        assert code(await post(api, body), 404) == "PERSISTED_QUERY_NOT_FOUND"
    before = await api.contents()
    assert code(await post(api, {"query": CREATE + "#"}), 403) == "DOCUMENT_NOT_ALLOWED"
    assert await api.contents() == before
    for body in ({"documentId": digest(COUNT)}, {"query": COUNT}, apollo(COUNT)):
        assert (await post(api, body)).json()["data"] == {"threads": {"totalCount": 0}}
    assert (await post(api, {"documentId": "create-1"})).status_code == 200


def test_apollos_manifest_is_read(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    operation = {"id": "c0", "name": "Count", "type": "query", "body": COUNT}
    manifest = {"format": "apollo-persisted-query-manifest", "version": 1}
    path.write_bytes(orjson.dumps({**manifest, "operations": [operation]}))
    assert read_documents(str(path)) == {"c0": COUNT}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "cannot be read .No such file"),
        ("{", "is not JSON"),
        ("[]", "must be a JSON object of documents by their ids"),
        ('{"a": 7}', "must be a JSON object of documents by their ids"),
        ('{"a b": "{ __typename }"}', "must be a JSON object of documents by their ids"),
        ('{"format": "x", "operations": [{}]}', "or a manifest in Apollo's form"),
        ('{"format": "x"}', "or a manifest in Apollo's form"),
    ],
)
async def test_unusable_list_stops_start(
    database: Database, tmp_path: Path, text: str | None, sentence: str
) -> None:
    path = tmp_path / "documents.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigurationError, match=sentence) as caught:
        create_app(Settings(persisted_documents=str(path)), database)
    assert "TALLIED_PERSISTED_DOCUMENTS" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{ threads(first: 1) ", "Expected Name"),
        ("{ thread { id } }", "of type 'ID!' is required"),
        ("{ unknown }", "Cannot query field 'unknown'"),
        ("query A { __typename } query A { __typename }", "only one operation named 'A'"),
        ("fragment F on Thread { id }", "Fragment 'F' is never used"),
        ("{" + "a" * 100_000 + "}", "at most 100000 characters"),
        ("{" + " __typename" * 5000 + "}", "at most 5000 tokens"),
        ("{" + " __typename" * 501 + "}", "501 fields"),
        ("{ threads(first: 100) { nodes { comments(first: 100) { edges { node { "
         "thread { comments(first: 3) { nodes { id } } } } } } } } }", "at most 20000 are allowed"),
        ("query Q($n: Int = 100) { threads(first: $n) { nodes { comments(first: $n) { nodes { "
         "thread { comments(first: $n) { nodes { id } } } } } } } }", "at most 20000 are allowed"),
    ],
)  # fmt: skip
async def test_unusable_listed_document_stops_start(
    database: Database, tmp_path: Path, text: str, sentence: str
) -> None:
    path = tmp_path / "documents.json"
    path.write_bytes(orjson.dumps({"count-1": COUNT, "bad-1": text}))
    settings = Settings(persisted_documents=str(path))
    with pytest.raises(ConfigurationError) as caught:
        create_app(settings, database)
    message = str(caught.value)
    assert message.startswith(f"{SETTINGS['persisted_documents']}: {path}: the document 'bad-1' ")
    assert sentence in message
    assert "\n" not in message


async def test_listed_documents_may_depend_on_variables(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "documents.json"
    text = """query Q($n: Int!) { threads(first: $n) { nodes { comments(first: $n) { nodes { id
        thread { comments(first: $n) { nodes { id } } } } } } } }"""
    path.write_bytes(orjson.dumps({"many": text}))
    api = Api(database, persisted_documents=str(path), only_persisted=True)
    answer = await post(api, {"documentId": "many", "variables": {"n": 5}})
    assert answer.json()["data"] == {"threads": {"nodes": []}}
    answer = await post(api, {"documentId": "many", "variables": {"n": 50}})
    assert code(answer, 422) == "LIMIT_EXCEEDED"


async def test_only_persisted_needs_list(database: Database) -> None:
    with pytest.raises(ConfigurationError, match=r"Settings\.only_persisted. needs a list"):
        create_app(Settings(only_persisted=True), database)
