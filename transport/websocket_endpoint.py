"""One WebSocket, by the GraphQL over WebSocket protocol (graphql-transport-ws).

The protocol is at github.com/enisdenjo/graphql-ws. Strawberry's handler keeps the states of a
connection. The adapter checks the shape of messages before, and an operation is served like one
over HTTP: with the same limits and codes, and for the viewer that the client has by then.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Any, TypeAlias, cast

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
from .request_errors import RequestError
from .requests import parse_request
from .service import Service, SubscriptionStream
from .websocket_messages import (
    BAD_MESSAGE,
    FORBIDDEN,
    ConnectionAuthenticator,
    MessageAdapter,
    as_http_connection,
)

SocketOperation: TypeAlias = Operation[dict[str, Any], None]

MAX_CONCURRENT_OPERATIONS = 6
"""The most operations of one WebSocket that are executed, or written to it, at once: as many as a
browser sends to one host over HTTP/1.1. The others wait. So does a client that does not read."""


class WebSocketHandler(BaseGraphQLTransportWSHandler[dict[str, Any], None]):
    """The handler of one WebSocket, with its operations."""

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
        self._executing: set[SocketOperation] = set()
        self._pending_bytes = 0
        self._close_reason = ""
        """Why no further operation is accepted; empty while they are."""

    def _request(self) -> HTTPConnection:
        """Return the request of an operation, as if it had come over HTTP."""
        return as_http_connection(self.adapter.socket, self.context["connection_params"])

    async def shutdown(self) -> None:
        """Cancel all operations, also those that the client has completed, and await their end."""
        for task in self._tasks:
            task.cancel()
        await super().shutdown()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def handle_subscribe(self, message: SubscribeMessage) -> None:
        """Start an operation."""
        id, settings, size = message["id"], self._service.settings, self.adapter.size
        if not self.connection_acknowledged:
            await self.adapter.close(4401, "Send connection_init first, and await connection_ack.")
        elif id in self.operations:
            await self.adapter.close(4409, f"Subscriber for {id} already exists")
        elif self._close_reason:
            pass  # The WebSocket is about to be closed: the client asks again on another one.
        elif len(self._tasks) >= settings.socket_operations:
            sentence = "The WebSocket may have at most {} operations under way."
            await self._reject(id, "socket_operations", settings.socket_operations, sentence)
        elif self._pending_bytes + size > settings.body_size:
            sentence = "The operations under way of a WebSocket may have at most {} bytes together."
            await self._reject(id, "body_size", settings.body_size, sentence)
        else:
            try:
                request = parse_request(message["payload"])
            except RequestError as error:
                # The protocol: an invalid message closes the connection with 4400.
                await self.adapter.close(BAD_MESSAGE, error.message)
            else:
                self._start(id, request, size)

    async def _reject(self, id: str, limit: str, maximum: int, sentence: str) -> None:
        error = limits.limit_error(limit, maximum, sentence.format(maximum))
        await self._send(id, "error", [report_error(error)])

    def _start(self, id: str, request: Request, size: int) -> None:
        """Start the task of an operation.

        :param size: the bytes of its message.
        """
        operation: SocketOperation = Operation(
            self, id, request.query or "", request.variables, request.operation_name
        )
        self.operations[id] = operation
        self._executing.add(operation)
        self._pending_bytes += size
        task = operation.task = asyncio.create_task(self._run(operation, request))
        self._tasks.add(task)

        def end(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            self._pending_bytes -= size
            # A task that is cancelled before it begins does not end its execution itself.
            self._executing.discard(operation)
            if self._close_reason:
                closing = asyncio.create_task(self._close_if_idle())
                self._tasks.add(closing)
                closing.add_done_callback(self._tasks.discard)

        task.add_done_callback(end)

    async def _run(self, operation: SocketOperation, request: Request) -> None:
        stream = None
        try:
            stream = await self._execute(operation, request)
        except RequestError as error:
            await self._refuse(operation, error)
        except Exception as error:
            await self._complete(operation, "error", [mask_error(error, "outside of any field")])
        finally:
            await self._end_execution(operation)
        if stream:
            await self._send_events(operation, stream)

    async def _execute(
        self, operation: SocketOperation, request: Request
    ) -> SubscriptionStream | None:
        """Send the response to a query or a mutation; return the stream of a subscription."""
        async with self._slots:
            served = await self._service.serve(request, self._request(), BY_SOCKET)
            if isinstance(served, SubscriptionStream):
                return served
            if "data" in served.response.body:
                await self._send(operation.id, "next", orjson.Fragment(served.content))
                await self._complete(operation, "complete")
            else:
                await self._complete(operation, "error", served.response.body["errors"])
        return None

    async def _send_events(self, operation: SocketOperation, stream: SubscriptionStream) -> None:
        """Send the response to each event of a subscription, until there are no more."""
        try:
            async for event in stream.source:
                async with self._slots:
                    served = await self._service.serve_event(stream, event, self._request())
                    await self._send(operation.id, "next", orjson.Fragment(served.content))
        except RequestError as error:
            await self._refuse(operation, error)
            await self._close_if_idle()
        except Exception as error:
            payload = [report_error(located_error(error), raised=True)]
            await self._complete(operation, "error", payload)
        else:
            await self._complete(operation, "complete")
        finally:
            if hasattr(stream.source, "aclose"):
                await stream.source.aclose()
            await stream.context.stop()

    async def _refuse(self, operation: SocketOperation, error: RequestError) -> None:
        """Send why an operation is not executed, or stop accepting any without a valid viewer."""
        if error.status == 401:
            self._close_reason = error.message
        else:
            payload = [client_error(error.code, error.message)]
            await self._complete(operation, "error", payload)

    async def _end_execution(self, operation: SocketOperation) -> None:
        self._executing.discard(operation)
        await self._close_if_idle()

    async def _close_if_idle(self) -> None:
        """Close the WebSocket if it accepts no operations and executes none any more.

        The client comes back with a new token, and sends again every operation without a response:
        that must not be a mutation that was made.
        """
        if self._close_reason and not self._executing:
            await self.adapter.close(FORBIDDEN, self._close_reason)

    async def _complete(self, operation: SocketOperation, type: str, payload: Any = None) -> None:
        """Send the last message of an operation, whose id is free from now on."""
        if self.operations.get(operation.id) is operation:
            del self.operations[operation.id]
        await self._send(operation.id, type, payload)

    async def _send(self, id: str, type: str, payload: Any = None) -> None:
        message = {"id": id, "type": type, "payload": payload}
        if payload is None:
            del message["payload"]
        with suppress(WebSocketDisconnected):  # The loop that receives will see it, too.
            await self.adapter.send_json(message)
