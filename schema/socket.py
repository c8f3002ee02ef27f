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
from graphql import GraphQLError
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.http.exceptions import WebSocketDisconnected
from strawberry.http.websocket_origin import is_same_origin
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import (
    BaseGraphQLTransportWSHandler,
    Operation,
)
from strawberry.subscriptions.protocols.graphql_transport_ws.types import SubscribeMessage

from ..settings import listed
from . import limits
from .execution import BY_SOCKET, Request
from .negotiation import JSON
from .reporting import BAD_REQUEST, mask, mistake, report
from .requests import Refused, request_of
from .serving import RETRY_AFTER, Events, Service
from .wire import FORBIDDEN, Gate, Wire, as_over_http

AT_ONCE = 6
"""How many operations of one WebSocket are executed at once, or not yet handed to the connection:
as many as a browser sends to one host over HTTP/1.1. The others wait, and so does a client that
does not read."""


class Sockets:
    """The WebSockets of one endpoint."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._origins = frozenset(listed(service.settings.origins))
        self._open = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one, from its handshake to its end."""
        socket = WebSocket(scope, receive, send)
        await socket.receive()
        try:
            self._check(socket)
        except Refused as refused:
            await _deny(socket, refused)
            return
        self._open += 1
        try:
            await socket.accept(GRAPHQL_TRANSPORT_WS_PROTOCOL)
            await Connection(self._service, socket).handle()
        finally:
            self._open -= 1

    def _check(self, socket: WebSocket) -> None:
        """Refuse what must not be opened.

        Browsers send a visitor's cookies along whichever page opens a WebSocket, and ask nobody
        whether it may; all that tells is Origin, which no page can forge (RFC 6455, 10.2).

        :raises Refused: then.
        """
        headers = socket.headers
        origin = headers.get("origin")
        if not (
            origin is None
            or is_same_origin(origin, headers.get("host"))
            or headers.get("sec-fetch-site") == "same-origin"  # where a proxy has changed Host
            or origin in self._origins
        ):
            says = "Pages of this origin may not open a WebSocket; the setting TALLIED_ORIGINS may"
            raise Refused(403, "ORIGIN_NOT_ALLOWED", f"{says} name it.")
        if GRAPHQL_TRANSPORT_WS_PROTOCOL not in socket.scope["subprotocols"]:
            says = f"Open the WebSocket with the sub-protocol {GRAPHQL_TRANSPORT_WS_PROTOCOL}."
            raise Refused(400, BAD_REQUEST, says)
        if self._open >= self._service.settings.concurrent_sockets:
            says = "The server has as many WebSockets open as it may; try again later."
            raise Refused(503, "OVERLOADED", says, {"Retry-After": RETRY_AFTER})


async def _deny(socket: WebSocket, refused: Refused) -> None:
    """Answer the handshake by HTTP."""
    told = orjson.dumps({"errors": [mistake(refused.code, refused.message)]})
    if "websocket.http.response" in socket.scope.get("extensions", {}):
        response = Response(told, refused.status, refused.headers, JSON)
        response.headers["Cache-Control"] = "no-store"
        await socket.send_denial_response(response)
    else:
        await socket.close()  # which is a 403, whatever it was for


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
        self._refused = ""

    def _request(self) -> HTTPConnection:
        """What an operation is asked by, as if it had come over HTTP."""
        return as_over_http(self.wire.socket, self.context["connection_params"])

    async def shutdown(self) -> None:
        """End all operations, and return when they have ended, those completed before, too."""
        await super().shutdown()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def handle_subscribe(self, message: SubscribeMessage) -> None:
        """Begin an operation."""
        id, most = message["id"], self._service.settings.socket_operations
        if not self.connection_acknowledged:
            await self.wire.close(4401, "Send connection_init first, and await connection_ack.")
        elif id in self.operations:
            await self.wire.close(4409, f"Subscriber for {id} already exists")
        elif len(self._tasks) >= most:
            says = f"The WebSocket has as many operations under way as it may, {most}."
            fault = limits.exceeded("socket_operations", most, says)
            await self._tell(id, "error", [report(fault)])
        else:
            try:
                asked = request_of(message["payload"])
            except Refused as refused:
                await self._tell(id, "error", [mistake(refused.code, refused.message)])
            else:
                self._begin(id, asked)

    def _begin(self, id: str, asked: Request) -> None:
        operation = Operation(self, id, asked.query or "", asked.variables, asked.operation_name)
        self.operations[id] = operation
        self._working += 1
        task = operation.task = asyncio.create_task(self._run(operation, asked))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

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
    ) -> Events | None:
        """Tell what comes of a query or a mutation; the events of a subscription are still to."""
        async with self._slots:
            served = await self._service.serve(asked, self._request(), BY_SOCKET)
            if isinstance(served, Events):
                return served
            if "data" in served.answer.body:
                await self._tell(operation.id, "next", orjson.Fragment(served.content))
                await self._end(operation, "complete")
            else:
                await self._end(operation, "error", served.answer.body["errors"])
        return None

    async def _stream(self, operation: Operation[dict[str, Any], None], events: Events) -> None:
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
            fault = GraphQLError(str(error), original_error=error)
            await self._end(operation, "error", [report(fault)])
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
