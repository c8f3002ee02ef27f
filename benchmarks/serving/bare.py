"""A bare Starlette application with the SQL of a few operations: the floor of a server in Python.

It has neither GraphQL nor an ORM, limits, policies, nor a log. ``uvicorn --factory
tallied.benchmarks.serving.bare:create_app`` serves the database of the variable `BARE_DATABASE`.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import make_url
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from uuid_utils.compat import uuid7

from tallied.models.base import now

from .bare_databases import DATABASES, Rows

PAGE = 50
NESTED = (20, 10)
TREE = (20, 3)

THREAD = ("id", "title", "commentCount", "wordCount", "lastCommentAt", "createdAt")
COMMENT = ("id", "message", "authorName", "wordCount", "createdAt")


def create_app() -> Starlette:
    """Return the application of the database that the environment names."""
    url = make_url(os.environ["BARE_DATABASE"])
    database = DATABASES[url.get_backend_name()](url)

    async def page(_: Request) -> Response:
        rows = await database.page(PAGE + 1)
        nodes = [_object(THREAD, row) for row in rows[:PAGE]]
        return respond({"nodes": nodes, "pageInfo": {"hasNextPage": len(rows) > PAGE}})

    async def nested(_: Request) -> Response:
        threads, size = NESTED
        rows = await database.page(threads)
        comments: dict[Any, list[dict[str, Any]]] = {row[0]: [] for row in rows}
        for row in await database.comments(list(comments), size):
            if row[0] is not None:
                comments[row[-1]].append(_object(COMMENT, row))
        nodes = [{**_object(THREAD, row), "comments": {"nodes": comments[row[0]]}} for row in rows]
        return respond({"nodes": nodes})

    async def thread(request: Request) -> Response:
        row = await database.thread(UUID(request.path_params["id"]))
        return respond(None if row is None else _object(THREAD, row))

    async def add(request: Request) -> Response:
        values = orjson.loads(await request.body())
        id, time = uuid7(), now()
        words = len(values["message"].split())
        comment = (id, values["authorName"], values["message"], words, time)
        (count,) = await database.add(UUID(values["threadId"]), comment)
        thread = {"id": values["threadId"], "commentCount": count}
        comment = {"id": str(id), "wordCount": words, "createdAt": time}
        return respond({"comment": comment, "thread": thread})

    async def tree(request: Request) -> Response:
        top, replies = TREE
        rows = await database.top_level(UUID(request.path_params["id"]), top)
        below = await database.replies([row[0] for row in rows], replies)
        reactions: dict[Any, list[dict[str, Any]]] = {row[0]: [] for row in (*rows, *below)}
        for id, kind, count in await database.reactions(list(reactions)):
            reactions[id].append({"kind": kind, "count": count, "viewerHasReacted": False})
        nodes: dict[Any, list[dict[str, Any]]] = {row[0]: [] for row in rows}
        for row in below:
            nodes[row[-1]].append({**_object(COMMENT, row), "reactionGroups": reactions[row[0]]})
        comments = [
            {**_object(COMMENT, row), "reactionGroups": reactions[row[0]], "replies": nodes[row[0]]}
            for row in rows
        ]
        return respond({"comments": comments})

    async def unread(_: Request) -> Response:
        rows = await database.page(PAGE + 1)
        counts = dict(await database.unread([row[0] for row in rows[:PAGE]]))
        nodes = [{**_object(THREAD, row), "unreadCount": counts[row[0]]} for row in rows[:PAGE]]
        return respond({"nodes": nodes, "pageInfo": {"hasNextPage": len(rows) > PAGE}})

    async def react(request: Request) -> Response:
        values = orjson.loads(await request.body())
        (count,) = await database.react(UUID(values["commentId"]), values["kind"], now())
        return respond({"comment": {"id": values["commentId"], "reactionCount": count}})

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with database:
            yield

    routes = [
        Route("/page", page),
        Route("/nested", nested),
        Route("/thread/{id}", thread),
        Route("/add", add, methods=["POST"]),
        Route("/tree/{id}", tree),
        Route("/unread", unread),
        Route("/react", react, methods=["POST"]),
    ]
    return Starlette(routes=routes, lifespan=lifespan)


def respond(data: Any) -> Response:
    """Return data as a response of JSON."""
    return Response(orjson.dumps(data), media_type="application/json")


def _object(names: Sequence[str], row: Rows) -> dict[str, Any]:
    return {"id": str(row[0]), **dict(zip(names[1:], row[1:], strict=False))}
