"""The endpoint over WebSocket, by the GraphQL over WebSocket protocol (graphql-transport-ws).

github.com/enisdenjo/graphql-ws has the protocol. Strawberry's handler keeps its states; what
a client sends is made sure to have the protocol's shape before, and an operation is served as
one that came over HTTP: with the same limits and codes, and for whom its client is by then.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Any, cast

import orjson
from graphql import located_error
from starlette.requests import HTTPConnection
from starlette.websockets import WebSocket
from strawberry.http.exceptions import WebSocketDisconnected
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import (
    BaseGraphQLTransportWSHandler,
    Operation,
)
from strawberry.subscriptions.protocols.graphql_transport_ws.types import SubscribeMessage

from ..execution import limits
from ..execution.errors import client_error, mask_error, report_error
from ..execution.executor import BY_SOCKET, Request
from .refusals import RequestError
from .requests import parse_request
from .service import Service, SubscriptionStream
from .websocket_messages import (
    BAD_MESSAGE,
    FORBIDDEN,
    ConnectionAuthenticator,
    MessageAdapter,
    as_http_connection,
)

MAX_CONCURRENT_OPERATIONS = 6
"""How many operations of one WebSocket are executed at once, or not yet handed to the connection:
as many as a browser sends to one host over HTTP/1.1. The others wait, and so does a client that
does not read."""


class WebSocketHandler(BaseGraphQLTransportWSHandler[dict[str, Any], None]):
    """One WebSocket, and the operations that are under way on it."""

    def __init__(self, service: Service, socket: WebSocket) -> None:
        self.adapter = MessageAdapter(socket, service.settings.body_size)
        super().__init__(
            view=cast(Any, ConnectionAuthenticator(service, self.adapter)),
            websocket=self.adapter,
            context={},
            root_value=None,
            schema=service.schema,
            connection_init_wait_timeout=timedelta(seconds=service.settings.header_time),
            max_subscriptions_per_connection=service.settings.socket_operations,
        )
        self._service = service
        self._slots = asyncio.Semaphore(MAX_CONCURRENT_OPERATIONS)
        self._tasks: set[asyncio.Task[None]] = set()
        self._working = 0
        self._held = 0
        self._refused = ""

    def _request(self) -> HTTPConnection:
        """What an operation is asked by, as if it had come over HTTP."""
        return as_http_connection(self.adapter.socket, self.context["connection_params"])

    async def shutdown(self) -> None:
        """End all operations, those that the client knows no more, too; return when they have."""
        for task in self._tasks:
            task.cancel()
        await super().shutdown()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def handle_subscribe(self, message: SubscribeMessage) -> None:
        """Begin an operation."""
        id, settings, size = message["id"], self._service.settings, self.adapter.size
        if not self.connection_acknowledged:
            await self.adapter.close(4401, "Send connection_init first, and await connection_ack.")
        elif id in self.operations:
            await self.adapter.close(4409, f"Subscriber for {id} already exists")
        elif self._refused:
            pass  # It is about to be closed: the client asks again on another.
        elif len(self._tasks) >= settings.socket_operations:
            says = "The WebSocket may have at most {} operations under way."
            await self._exceed(id, "socket_operations", settings.socket_operations, says)
        elif self._held + size > settings.body_size:
            says = "The operations under way of a WebSocket may have at most {} bytes together."
            await self._exceed(id, "body_size", settings.body_size, says)
        else:
            try:
                asked = parse_request(message["payload"])
            except RequestError as refused:
                # The protocol: an invalid message closes the connection with 4400.
                await self.adapter.close(BAD_MESSAGE, refused.message)
            else:
                self._begin(id, asked, size)

    async def _exceed(self, id: str, limit: str, maximum: int, says: str) -> None:
        fault = limits.limit_error(limit, maximum, says.format(maximum))
        await self._tell(id, "error", [report_error(fault)])

    def _begin(self, id: str, asked: Request, size: int) -> None:
        operation = Operation(self, id, asked.query or "", asked.variables, asked.operation_name)
        self.operations[id] = operation
        self._working += 1
        task = operation.task = asyncio.create_task(self._run(operation, asked))
        self._tasks.add(task)
        self._held += size

        def end(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            self._held -= size

        task.add_done_callback(end)

    async def _run(self, operation: Operation[dict[str, Any], None], asked: Request) -> None:
        events = None
        try:
            events = await self._answer(operation, asked)
        except RequestError as refused:
            await self._refuse(operation, refused)
        except Exception as error:
            await self._end(operation, "error", [mask_error(error, "outside of any field")])
        finally:
            await self._rest()
        if events:
            await self._stream(operation, events)

    async def _answer(
        self, operation: Operation[dict[str, Any], None], asked: Request
    ) -> SubscriptionStream | None:
        """Tell what comes of a query or a mutation; the events of a subscription are still to."""
        async with self._slots:
            served = await self._service.serve(asked, self._request(), BY_SOCKET)
            if isinstance(served, SubscriptionStream):
                return served
            if "data" in served.answer.body:
                await self._tell(operation.id, "next", orjson.Fragment(served.content))
                await self._end(operation, "complete")
            else:
                await self._end(operation, "error", served.answer.body["errors"])
        return None

    async def _stream(
        self, operation: Operation[dict[str, Any], None], events: SubscriptionStream
    ) -> None:
        """Tell what comes of a subscription's events, until there are no more."""
        try:
            async for event in events.source:
                async with self._slots:
                    served = await self._service.serve_event(events, event, self._request())
                    await self._tell(operation.id, "next", orjson.Fragment(served.content))
        except RequestError as refused:
            await self._refuse(operation, refused)
            await self._close_if_refused()
        except Exception as error:
            await self._end(operation, "error", [report_error(located_error(error), raised=True)])
        else:
            await self._end(operation, "complete")
        finally:
            if hasattr(events.source, "aclose"):
                await events.source.aclose()
            await events.context.stop()

    async def _refuse(
        self, operation: Operation[dict[str, Any], None], refused: RequestError
    ) -> None:
        """Tell why an operation is not executed; or that nobody knows who asks any more."""
        if refused.status == 401:
            self._refused = refused.message
        else:
            await self._end(operation, "error", [client_error(refused.code, refused.message)])

    async def _rest(self) -> None:
        self._working -= 1
        await self._close_if_refused()

    async def _close_if_refused(self) -> None:
        """Close once nothing is executed any more.

        The client comes back with a new token, and sends again what it has no answer to: that
        must not be a mutation that has been made.
        """
        if self._refused and not self._working:
            await self.adapter.close(FORBIDDEN, self._refused)

    async def _end(
        self, operation: Operation[dict[str, Any], None], type: str, payload: Any = None
    ) -> None:
        """Tell that an operation is over; its id is free from now on."""
        if self.operations.get(operation.id) is operation:
            del self.operations[operation.id]
        await self._tell(operation.id, type, payload)

    async def _tell(self, id: str, type: str, payload: Any = None) -> None:
        message = {"id": id, "type": type, "payload": payload}
        if payload is None:
            del message["payload"]
        with suppress(WebSocketDisconnected):  # The loop that receives is told so, too.
            await self.adapter.send_json(message)
