"""The operations that are measured: as GraphQL, as requests of the bare route, and their aims."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from tallied.schema.ids import encode_id

from .host import authorization
from .load import HTTPRequest
from .storage import Stored

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

TREE = """query Tree($id: ID!) { thread(id: $id) { id comments(first: 20) { nodes {
    id message authorName createdAt replyCount reactionGroups { kind count viewerHasReacted }
    replies(first: 3) { nodes {
        id message authorName createdAt replyCount reactionGroups { kind count viewerHasReacted }
    } }
} } } }"""
UNREAD = (
    f"{{ threads(first: 50) {{ nodes {{ {COLUMNS} unreadCount }} pageInfo {{ hasNextPage }} }} }}"
)
REACT = (
    "mutation React($input: AddReactionInput!) { addReaction(input: $input) {"
    " comment { id reactionCount } userErrors { message } } }"
)
KINDS = ("like", "heart", "laugh")

MESSAGE = "Whoever measures this comment measures nine words more."

Requests = Callable[[Stored], list[HTTPRequest]]


@dataclass(frozen=True)
class Operation:
    """One row of the table.

    :param tallied: the requests to a server of Tallied.
    :param bare: the same to the bare route.
    :param ratio: the aim for requests a second, as a ratio to the bare route.
    :param cpu: the aim for the server's processor time of one request, in microseconds.
    :param latency: the aim for the median latency, as a ratio to the bare route.
    :param has_policy: whether it is sent to :mod:`.host`, whose policy has a condition.
    :param is_write: whether it changes what is stored.
    :param adds_reactions: whether each request is for one round, after which its reaction goes.
    """

    title: str
    tallied: Requests
    bare: Requests
    connections: int = 32
    ratio: float | None = None
    cpu: int | None = None
    latency: float | None = None
    has_policy: bool = False
    is_write: bool = False
    adds_reactions: bool = False


def _post(query: str, variables: dict[str, Any] | None = None) -> HTTPRequest:
    body = {"query": query} if variables is None else {"query": query, "variables": variables}
    return HTTPRequest("POST", "/graphql", json.dumps(body))


def _threads(stored: Stored) -> list[HTTPRequest]:
    return [_post(THREAD, {"id": encode_id("Thread", key)}) for key in stored.threads]


def _bare_threads(stored: Stored) -> list[HTTPRequest]:
    return [HTTPRequest("GET", f"/thread/{key}", "") for key in stored.threads]


def _add(stored: Stored, size: int | None = None) -> list[HTTPRequest]:
    texts = {"message": MESSAGE, "authorName": "Ada"}
    inputs = [{"threadId": encode_id("Thread", key), **texts} for key in stored.threads[:size]]
    return [_post(ADD, {"input": values}) for values in inputs]


def _bare_add(stored: Stored, size: int | None = None) -> list[HTTPRequest]:
    texts = {"message": MESSAGE, "authorName": "Ada"}
    bodies = [json.dumps({"threadId": str(key), **texts}) for key in stored.threads[:size]]
    return [HTTPRequest("POST", "/add", body) for body in bodies]


def _hot(title: str, connections: int, ratio: float) -> Operation:
    return Operation(
        title,
        partial(_add, size=1),
        partial(_bare_add, size=1),
        is_write=True,
        connections=connections,
        ratio=ratio,
    )


def _page(title: str, **aims: Any) -> Operation:
    bare = HTTPRequest("GET", "/page", "")
    return Operation(title, lambda _: [_post(PAGE)], lambda _: [bare], **aims)


def _authorize(requests: Sequence[HTTPRequest]) -> list[HTTPRequest]:
    header = authorization()
    return [item._replace(authorization=header) for item in requests]


def _react(stored: Stored) -> list[HTTPRequest]:
    ids = [encode_id("Comment", key) for key in stored.comments]
    inputs = [{"commentId": id, "kind": kind} for kind in KINDS for id in ids]
    return _authorize([_post(REACT, {"input": values}) for values in inputs])


def _bare_react(stored: Stored) -> list[HTTPRequest]:
    bodies = [{"commentId": str(id), "kind": kind} for kind in KINDS for id in stored.comments]
    return [HTTPRequest("POST", "/react", json.dumps(body)) for body in bodies]


def _signed_in(operation: Operation) -> Operation:
    """Return the same operation for a viewer, with 85 % of its aim."""

    return replace(
        operation,
        title=f"{operation.title}, signed in with a policy",
        tallied=lambda stored: _authorize(operation.tallied(stored)),
        ratio=None if operation.ratio is None else round(0.85 * operation.ratio, 2),
        has_policy=True,
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
    "add": Operation("addComment", _add, _bare_add, ratio=0.45, cpu=250, is_write=True),
    "hot": _hot("addComment, one hot thread", 32, 1.0),
    "hot100": _hot("addComment, one hot thread", 100, 2.0),
    "tree": Operation(
        "20 comments with 3 replies each, and reactions",
        lambda stored: [_post(TREE, {"id": encode_id("Thread", stored.tree)})],
        lambda stored: [HTTPRequest("GET", f"/tree/{stored.tree}", "")],
        ratio=0.75,
    ),
    "unread": Operation(
        "page of 50 threads with unread marks",
        lambda _: _authorize([_post(UNREAD)]),
        lambda _: [HTTPRequest("GET", "/unread", "")],
        ratio=0.75,
    ),
    "react": Operation(
        "addReaction", _react, _bare_react, ratio=0.5, is_write=True, adds_reactions=True
    ),
    "page1": _page("page of 50 threads", connections=1, latency=1.5),
    "thread1": Operation("one thread", _threads, _bare_threads, connections=1, latency=1.5),
}
"""The rows by the names that the option ``--rows`` takes."""
