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
from ..execution.errors import mask, mistake, report
from ..execution.executor import BY_SOCKET, Request
from .refusals import Refused
from .requests import request_of
from .service import Service, SubscriptionStream
from .websocket_messages import BAD_MESSAGE, FORBIDDEN, Gate, Wire, as_over_http

AT_ONCE = 6
"""How many operations of one WebSocket are executed at once, or not yet handed to the connection:
as many as a browser sends to one host over HTTP/1.1. The others wait, and so does a client that
does not read."""


class Connection(BaseGraphQLTransportWSHandler[dict[str, Any], None]):
    """One WebSocket, and the operations that are under way on it."""

    def __init__(self, service: Service, socket: WebSocket) -> None:
        self.wire = Wire(socket, service.settings.body_size)
        super().__init__(
            view=cast(Any, Gate(service, self.wire)),
            websocket=self.wire,
            context={},
            root_value=None,
            schema=service.schema,
            connection_init_wait_timeout=timedelta(seconds=service.settings.header_time),
            max_subscriptions_per_connection=service.settings.socket_operations,
        )
        self._service = service
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self._working = 0
        self._held = 0
        self._refused = ""

    def _request(self) -> HTTPConnection:
        """What an operation is asked by, as if it had come over HTTP."""
        return as_over_http(self.wire.socket, self.context["connection_params"])

    async def shutdown(self) -> None:
        """End all operations, those that the client knows no more, too; return when they have."""
        for task in self._tasks:
            task.cancel()
        await super().shutdown()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def handle_subscribe(self, message: SubscribeMessage) -> None:
        """Begin an operation."""
        id, settings, size = message["id"], self._service.settings, self.wire.size
        if not self.connection_acknowledged:
            await self.wire.close(4401, "Send connection_init first, and await connection_ack.")
        elif id in self.operations:
            await self.wire.close(4409, f"Subscriber for {id} already exists")
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
                asked = request_of(message["payload"])
            except Refused as refused:
                # The protocol: an invalid message closes the connection with 4400.
                await self.wire.close(BAD_MESSAGE, refused.message)
            else:
                self._begin(id, asked, size)

    async def _exceed(self, id: str, limit: str, maximum: int, says: str) -> None:
        fault = limits.exceeded(limit, maximum, says.format(maximum))
        await self._tell(id, "error", [report(fault)])

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
        except Refused as refused:
            await self._refuse(operation, refused)
        except Exception as error:
            await self._end(operation, "error", [mask(error, "outside of any field")])
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
        except Refused as refused:
            await self._refuse(operation, refused)
            await self._close_if_refused()
        except Exception as error:
            await self._end(operation, "error", [report(located_error(error), raised=True)])
        else:
            await self._end(operation, "complete")
        finally:
            if hasattr(events.source, "aclose"):
                await events.source.aclose()
            await events.context.stop()

    async def _refuse(self, operation: Operation[dict[str, Any], None], refused: Refused) -> None:
        """Tell why an operation is not executed; or that nobody knows who asks any more."""
        if refused.status == 401:
            self._refused = refused.message
        else:
            await self._end(operation, "error", [mistake(refused.code, refused.message)])

    async def _rest(self) -> None:
        self._working -= 1
        await self._close_if_refused()

    async def _close_if_refused(self) -> None:
        """Close once nothing is executed any more.

        The client comes back with a new token, and sends again what it has no answer to: that
        must not be a mutation that has been made.
        """
        if self._refused and not self._working:
            await self.wire.close(FORBIDDEN, self._refused)

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
            await self.wire.send_json(message)
