"""A client of the API in the process of the application."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Any

import httpx
from sqlalchemy import Connection, select
from starlette.applications import Starlette
from starlette.routing import Route

from tallied.asgi import create_app
from tallied.auth.viewer import Viewer
from tallied.database import Database
from tallied.host.access import HostRules
from tallied.models import Base
from tallied.settings import Settings
from tallied.transport.http_endpoint import GraphQLEndpoint

from .asgi import post_json

ERRORS = "userErrors { message field code }"


def mutation(field: str, selection: str = ERRORS) -> str:
    """Return a document that calls a mutation with its input in ``$i``."""
    type_name = f"{field[0].upper()}{field[1:]}Input"
    return f"mutation($i: {type_name}!) {{ {field}(input: $i) {{ {selection} }} }}"


class Api:
    """A client that sends requests over HTTP, without a socket.

    :param rules: those of a host, but for what its guests may do, which the settings say.
    :param viewer: who asks; by default, a guest who may do everything.
    """

    guest_name = "Ada"
    server = "tallied.test"
    raises = True
    """Whether `http` raises the application's exceptions."""

    def __init__(
        self,
        database: Database,
        *,
        rules: HostRules | None = None,
        viewer: Viewer | None = None,
        **settings: Any,
    ) -> None:
        self.database = database
        self.viewer = viewer
        configured = Settings(**{"guests": "moderate", **settings})
        self.headers: dict[str, str] = {}
        self.app: Starlette = create_app(configured, database)
        if rules or viewer:
            rules = replace(rules or HostRules(), guests=configured.guests)
            endpoint = GraphQLEndpoint(
                database, configured, rules=rules, get_viewer=lambda _: viewer
            )
            self.app = Starlette(routes=[Route("/graphql", endpoint)])

    @cached_property
    def http(self) -> httpx.AsyncClient:
        """An HTTP client for requests other than those of this class."""
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app, raise_app_exceptions=self.raises),
            base_url=f"http://{self.server}",
            headers=self.headers,
        )

    async def post(self, query: str, **variables: Any) -> dict[str, Any]:
        """Return the response to a well-formed request, whatever it says."""
        return await self._send(query, variables, 200)

    async def _send(self, query: str, variables: dict[str, Any], *statuses: int) -> dict[str, Any]:
        content = {"query": query, "variables": variables}
        status, body = await post_json(self.app, self.server, "/graphql", content, self.headers)
        assert status in statuses, body
        answer: dict[str, Any] = body
        return answer

    async def __call__(self, query: str, **variables: Any) -> Any:
        """Return the data of a request that succeeds; of its root field where there is just one."""
        answer = await self.post(query, **variables)
        assert "errors" not in answer, answer["errors"]
        data = answer["data"]
        return next(iter(data.values())) if len(data) == 1 else data

    async def error(self, query: str, **variables: Any) -> dict[str, Any]:
        """Return the one error of a request that fails: message, code and field."""
        answer = await self._send(query, variables, 200, 503)
        assert not any((answer.get("data") or {}).values()), answer
        (error,) = answer["errors"]
        return {"message": error["message"], **error["extensions"]}

    async def do(self, field: str, selection: str, **input: Any) -> Any:
        """Return the payload of a mutation that succeeds."""
        payload = await self(mutation(field, f"{ERRORS} {selection}"), i=input)
        assert (errors := payload.pop("userErrors")) == [], errors
        return payload

    async def refused(self, field: str, **input: Any) -> dict[str, Any]:
        """Return the one user error of a mutation, which must change nothing."""
        before = await self.contents()
        (error,) = await self.rejected(mutation(field), i=input)
        assert await self.contents() == before
        return error

    async def rejected(self, query: str, **variables: Any) -> list[dict[str, Any]]:
        """Return the user errors of a mutation, which must hand out nothing else.

        The query selects ``userErrors { message field code }``.
        """
        payload = await self(query, **variables)
        errors: list[dict[str, Any]] = payload.pop("userErrors")
        assert errors
        assert not any(payload.values()), payload
        return errors

    async def thread(self, title: str = "Engines", *messages: str) -> str:
        """Return the id of a new thread with comments of these messages."""
        created = await self(
            "mutation($t: String!) { createThread(input: {title: $t}) { thread { id } } }", t=title
        )
        id: str = created["thread"]["id"]
        for message in messages:
            await self.comment(id, message)
        return id

    async def comment(
        self, thread_id: str, message: str = "three short words", **place: Any
    ) -> str:
        """Return the id of a new comment, or of a reply by ``replyToId``."""
        input = self.written(thread_id, message) | place
        id: str = (await self.do("addComment", "comment { id }", **input))["comment"]["id"]
        return id

    def written(self, thread_id: str, message: str = "three short words") -> dict[str, Any]:
        """Return the input of addComment; guests name themselves."""
        name = {} if self.viewer else {"authorName": self.guest_name}
        return {"threadId": thread_id, "message": message, **name}

    async def contents(self) -> Any:
        """Return every row of every table, to see that nothing has changed."""

        def read(connection: Connection) -> list[Any]:
            return [
                connection.execute(select(table).order_by(*table.primary_key)).all()
                for table in Base.metadata.sorted_tables
            ]

        async with self.database.read() as connection:
            return await connection.run_sync(read)
