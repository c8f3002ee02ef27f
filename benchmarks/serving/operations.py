"""The operations that are measured: as GraphQL, as requests of the bare route, and their aims."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from tallied.schema.ids import encode_id

from .host import authorization
from .load import HTTPRequest

COLUMNS = "id title commentCount wordCount lastCommentAt createdAt"

PAGE = f"{{ threads(first: 50) {{ nodes {{ {COLUMNS} }} pageInfo {{ hasNextPage }} }} }}"
NESTED = (
    f"{{ threads(first: 20) {{ nodes {{ {COLUMNS} comments(first: 10) {{ nodes {{"
    " id message authorName wordCount createdAt } } } } }"
)
THREAD = f"query Thread($id: ID!) {{ thread(id: $id) {{ {COLUMNS} }} }}"
ADD = (
    "mutation Add($input: AddCommentInput!) { addComment(input: $input) {"
    " comment { id wordCount createdAt } thread { id commentCount } userErrors { message } } }"
)

MESSAGE = "Whoever measures this comment measures nine words more."

Requests = Callable[[Sequence[UUID]], list[HTTPRequest]]


@dataclass(frozen=True)
class Operation:
    """One row of the table.

    :param tallied: the requests to a server of Tallied, for the keys of all threads.
    :param bare: the same to the bare route.
    :param ratio: the aim for requests a second, as a ratio to the bare route.
    :param cpu: the aim for the server's processor time of one request, in microseconds.
    :param latency: the aim for the median latency, as a ratio to the bare route.
    :param is_signed_in: whether it is for a viewer of :mod:`.host`, whose policy has a condition.
    """

    title: str
    tallied: Requests
    bare: Requests
    connections: int = 32
    ratio: float | None = None
    cpu: int | None = None
    latency: float | None = None
    is_signed_in: bool = False


def _post(query: str, variables: dict[str, Any] | None = None) -> HTTPRequest:
    body = {"query": query} if variables is None else {"query": query, "variables": variables}
    return HTTPRequest("POST", "/graphql", json.dumps(body))


def _threads(keys: Sequence[UUID]) -> list[HTTPRequest]:
    return [_post(THREAD, {"id": encode_id("Thread", key)}) for key in keys]


def _bare_threads(keys: Sequence[UUID]) -> list[HTTPRequest]:
    return [HTTPRequest("GET", f"/thread/{key}", "") for key in keys]


def _add(keys: Sequence[UUID]) -> list[HTTPRequest]:
    texts = {"message": MESSAGE, "authorName": "Ada"}
    inputs = [{"threadId": encode_id("Thread", key), **texts} for key in keys]
    return [_post(ADD, {"input": values}) for values in inputs]


def _bare_add(keys: Sequence[UUID]) -> list[HTTPRequest]:
    texts = {"message": MESSAGE, "authorName": "Ada"}
    bodies = [json.dumps({"threadId": str(key), **texts}) for key in keys]
    return [HTTPRequest("POST", "/add", body) for body in bodies]


def _hot(title: str, connections: int, ratio: float) -> Operation:
    return Operation(
        title,
        lambda keys: _add(keys[:1]),
        lambda keys: _bare_add(keys[:1]),
        connections=connections,
        ratio=ratio,
    )


def _page(title: str, **aims: Any) -> Operation:
    bare = HTTPRequest("GET", "/page", "")
    return Operation(title, lambda _: [_post(PAGE)], lambda _: [bare], **aims)


def _signed_in(operation: Operation) -> Operation:
    """Return the same operation for a viewer, with 85 % of its aim."""

    def requests(keys: Sequence[UUID]) -> list[HTTPRequest]:
        header = authorization()
        return [item._replace(authorization=header) for item in operation.tallied(keys)]

    return replace(
        operation,
        title=f"{operation.title}, signed in with a policy",
        tallied=requests,
        ratio=None if operation.ratio is None else round(0.85 * operation.ratio, 2),
        is_signed_in=True,
    )


READS = {
    "page": _page("page of 50 threads", ratio=0.75, cpu=150),
    "nested": Operation(
        "20 threads with 10 comments",
        lambda _: [_post(NESTED)],
        lambda _: [HTTPRequest("GET", "/nested", "")],
        ratio=0.85,
        cpu=500,
    ),
    "thread": Operation("one thread", _threads, _bare_threads, ratio=0.9, cpu=100),
}

OPERATIONS = {
    **READS,
    **{f"{name}_signed_in": _signed_in(operation) for name, operation in READS.items()},
    "add": Operation("addComment", _add, _bare_add, ratio=0.45, cpu=250),
    "hot": _hot("addComment, one hot thread", 32, 1.0),
    "hot100": _hot("addComment, one hot thread", 100, 2.0),
    "page1": _page("page of 50 threads", connections=1, latency=1.5),
    "thread1": Operation("one thread", _threads, _bare_threads, connections=1, latency=1.5),
}
"""The rows by the names that the option ``--rows`` takes."""
