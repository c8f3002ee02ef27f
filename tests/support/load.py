"""Many concurrent writers over HTTP, each with a connection and a thread."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .server import TIMEOUT

ADD = """mutation($input: AddCommentInput!) {
  addComment(input: $input) { comment { id wordCount } thread { commentCount } }
}"""

REACT = """mutation($input: AddReactionInput!) {
  addReaction(input: $input) { comment { id reactionCount } }
}"""


@dataclass
class Writer(threading.Thread):
    """Adds comments to one thread, until all are there or the server is gone."""

    port: int
    thread_id: str
    number: int
    messages: list[str]
    each: Callable[[], None] = lambda: None
    """Called after every answer."""
    token: str = ""
    """What it signs in by; a guest has none."""
    acknowledged: dict[str, str] = field(default_factory=dict)
    """The ids that the server has answered with, and what was sent."""
    errors: list[Any] = field(default_factory=list)
    cut_off: bool = False
    """Whether the connection has ended before the work."""

    def __post_init__(self) -> None:
        super().__init__(daemon=True)

    __hash__ = threading.Thread.__hash__

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
        try:
            for message in self.messages:
                self._add(connection, message)
                self.each()
        except (ConnectionError, http.client.HTTPException):
            self.cut_off = True
        finally:
            connection.close()

    def _add(self, connection: http.client.HTTPConnection, message: str) -> None:
        sent = {
            "threadId": self.thread_id,
            "authorName": f"Writer {self.number}",
            "message": message,
        }
        data = self.send(connection, ADD, input=sent)
        if data is not None:
            self.acknowledged[data["addComment"]["comment"]["id"]] = message

    def send(
        self, connection: http.client.HTTPConnection, query: str, **variables: Any
    ) -> Any | None:
        """Return the data of a response; None if it has errors, which are kept."""
        body = json.dumps({"query": query, "variables": variables})
        headers = {"content-type": "application/json"}
        if self.token:
            headers["authorization"] = f"Bearer {self.token}"
        connection.request("POST", "/graphql", body, headers)
        answer = json.loads(connection.getresponse().read())
        if "errors" in answer:
            self.errors.append(answer["errors"])
            return None  # Its data are there if the change may have been made: `addComment: null`.
        return answer["data"]


class Reactor(Writer):
    """Reacts to comments, whose ids are in the place of the messages."""

    __hash__ = threading.Thread.__hash__

    def _add(self, connection: http.client.HTTPConnection, message: str) -> None:
        data = self.send(connection, REACT, input={"commentId": message, "kind": "like"})
        if data is not None:
            self.acknowledged[message] = data["addReaction"]["comment"]["id"]


def start_writers(
    port: int,
    thread_id: str,
    *,
    writers: int,
    comments: int,
    each: Callable[[], None] = lambda: None,
) -> list[Writer]:
    """Start writers whose messages are 1 to 7 words long, and all different."""
    started = [
        Writer(
            port,
            thread_id,
            number,
            [f"{number}/{turn}" + " word" * (turn % 7) for turn in range(comments)],
            each,
        )
        for number in range(writers)
    ]
    for writer in started:
        writer.start()
    return started
