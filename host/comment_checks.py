"""Checks of comments before they are published, and of messages that are edited.

A host derives a class from :class:`CommentCheck`, and passes objects of it to a discussion::

    class NoShouting(CommentCheck):
        reads_database = False

        async def check(self, comment, session):
            return "in capitals" if comment.message.isupper() else None

    Discussion(comment_checks=[*standard_checks(settings), NoShouting()])

The checks run in their order, within the unit of work and under the lock of the thread, after the
rules for texts and after the ``before_*`` hooks. So they may wait for nothing outside the database.
They run neither for viewers who may moderate the thread, nor where the host itself writes.
"""

from __future__ import annotations

import hashlib
from typing import ClassVar, NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import HTTPConnection

from ..auth.networks import client_network
from ..auth.viewer import Viewer
from .policy import ThreadContext

IPV4_PREFIX = 24
"""The bits of an IPv4 address that identify guests, many of whom have several addresses."""


class CheckedComment(NamedTuple):
    """A comment that is to be published, or whose message is to change."""

    id: UUID
    message: str
    author_name: str | None
    """The name that a guest gives."""
    author_id: UUID | None
    """The key of the author; None for a guest."""
    viewer: Viewer | None
    """The viewer who writes; None for a guest."""
    thread: ThreadContext
    reply_to_id: UUID | None = None
    """The comment that it is a reply to, or answers."""
    is_edit: bool = False
    """Whether the message of a stored comment is to change."""
    request: HTTPConnection | None = None
    """The request; None if the host's own code passes none."""

    @property
    def subject(self) -> str | None:
        """What identifies who writes: the author's key, or for guests a hash of their network.

        It is None for a guest without a known address.
        """
        if self.author_id is not None:
            return str(self.author_id)
        client = None if self.request is None else self.request.client
        if client is None:
            return None
        network = client_network(client.host, ipv4_prefix=IPV4_PREFIX)
        return hashlib.sha256(network.encode()).hexdigest()


class CommentCheck:
    """The base class of checks, which publishes every comment."""

    reads_database: ClassVar[bool] = True
    """Whether it uses the session. Comments are then written each in a transaction of its own."""

    async def check(self, comment: CheckedComment, session: AsyncSession) -> str | None:
        """Return why the comment is to wait for a moderator, or None to publish it.

        The reason is for moderators alone. Further checks run in any case.

        :param session: the session of the unit of work; not to be committed or rolled back.
        :raises Rejected: to refuse the comment, such as :class:`~tallied.errors.Vetoed` with a
            message for the viewer.
        """
        return None
