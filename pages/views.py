"""What a page shows: a discussion, or a comment with its surroundings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, urlencode, urlsplit
from uuid import UUID

from markupsafe import Markup
from sqlalchemy.ext.asyncio import AsyncConnection

from ..auth.viewer import Viewer
from ..host.access import Access
from ..resolvers import views
from ..resolvers.authors import with_author
from ..resolvers.views import CommentView, ThreadView, ViewPage
from .forms import FormState

PAGE_PARAMETERS = ("after", "before", "notice")
"""The parameters of the page of a thread."""


class Links(NamedTuple):
    """The addresses of the pages."""

    root: str
    """The path of the list of threads."""
    here: str
    """The path and the query of the page that is shown, to which forms lead back."""
    sign_in: str | None
    """The path of the host's sign-in page; None if there is none."""

    def same(self, **query: str | None) -> str:
        """Return the path of the page that is shown, with another page of comments."""
        parts = urlsplit(self.here)
        others = [item for item in parse_qsl(parts.query) if item[0] not in PAGE_PARAMETERS]
        return _with_query(parts.path, dict(others) | query)

    def threads(self, **query: str | None) -> str:
        """Return the path of the list of threads."""
        return _with_query(f"{self.root}/", query)

    def new_thread(self) -> str:
        """Return the path of the form for a new thread."""
        return f"{self.root}/new"

    def thread(self, id: UUID, action: str = "", **query: str | None) -> str:
        """Return the path of a thread, or of an action on it."""
        return _with_query(f"{self.root}/threads/{id}{action and '/' + action}", query)

    def comment(self, id: UUID, action: str = "", **query: str | None) -> str:
        """Return the path of a comment with its surroundings, or of an action on it."""
        return _with_query(f"{self.root}/comments/{id}{action and '/' + action}", query)

    def feed(self, thread_id: UUID | None = None) -> str:
        """Return the path of the feed of a thread, or of all."""
        middle = "" if thread_id is None else f"/threads/{thread_id}"
        return f"{self.root}{middle}/feed.atom"

    def style(self) -> str:
        """Return the path of the style sheet."""
        return f"{self.root}/static/discussion.css"

    def sign_in_page(self, next: str = "") -> str | None:
        """Return the path of the sign-in page, which leads back."""
        if self.sign_in is None:
            return None
        mark = "&" if "?" in self.sign_in else "?"
        return f"{self.sign_in}{mark}next={quote(next or self.here, safe='')}"


@dataclass(frozen=True)
class ReactionOption:
    """A kind of reactions to a comment, with their number."""

    kind: str
    emoji: str
    label: str
    count: int
    viewer_has_reacted: bool


@dataclass(frozen=True, kw_only=True)
class DiscussionView:
    """A thread with a page of comments, for the templates and macros of ``tallied/``."""

    thread: ThreadView
    comments: ViewPage[CommentView]
    """The comments of the page; around a comment, those between its neighbours."""
    replies: Mapping[UUID, ViewPage[CommentView]]
    """The replies to comments, by the comment."""
    reactions: Mapping[UUID, Sequence[ReactionOption]]
    ancestors: Sequence[CommentView] = ()
    """Around a comment, those above it."""
    comment: CommentView | None = None
    """The comment that the page is about; None on the page of a thread."""
    descending: bool
    """Whether the latest comment comes first."""
    viewer: Viewer | None
    links: Links
    csrf: Markup
    """The field that each form has."""
    notice: str | None = None
    """The name of a text about the change before."""
    form: FormState = field(default_factory=FormState)
    reply_form: FormState = field(default_factory=FormState)
    """The form of the reply to :attr:`comment`."""

    def new_form(self) -> FormState:
        """Return an empty form."""
        return FormState()


class PageSize(NamedTuple):
    """How much a page shows."""

    comments: int = 50
    levels: int = 3
    """The levels of replies below each comment."""
    replies: int = 5
    """The replies to each comment."""


class Below(NamedTuple):
    """The replies to comments, and the reactions to all."""

    replies: Mapping[UUID, ViewPage[CommentView]]
    reactions: Mapping[UUID, Sequence[ReactionOption]]


async def read_thread_page(
    connection: AsyncConnection,
    access: Access,
    thread_id: UUID,
    size: PageSize,
    *,
    after: str | None,
    before: str | None,
    descending: bool,
) -> tuple[views.CommentPage, Below] | None:
    """Return a page of comments with their replies, or None if it may not be read.

    :raises BadUserInput: for a cursor of another order.
    """
    access = await with_author(connection, access)
    page = await views.read_comments(
        connection,
        access,
        thread_id,
        first=None if before else size.comments,
        last=size.comments if before else None,
        after=after,
        before=before,
        descending=descending,
    )
    if page is None:
        return None
    return page, await _read_below(connection, access, thread_id, page.nodes, size)


async def read_comment_page(
    connection: AsyncConnection, access: Access, id: UUID, size: PageSize
) -> tuple[views.CommentSurroundings, Below] | None:
    """Return a comment with its surroundings and replies, or None if it may not be read."""
    access = await with_author(connection, access)
    around = await views.read_around(connection, access, id, siblings=size.replies)
    if around is None:
        return None
    comments, above = around.siblings.nodes, around.ancestors
    return around, await _read_below(
        connection, access, around.thread.id, comments, size, above=above
    )


async def _read_below(
    connection: AsyncConnection,
    access: Access,
    thread_id: UUID,
    comments: Sequence[CommentView],
    size: PageSize,
    above: Sequence[CommentView] = (),
) -> Below:
    replies = await views.read_trees(
        connection,
        access,
        thread_id,
        [comment.id for comment in comments],
        levels=size.levels,
        first=size.replies,
    )
    ids = [comment.id for comment in (*above, *comments)]
    ids += [comment.id for page in replies.values() for comment in page.nodes]
    groups = await views.read_reactions(connection, access, ids)
    options = {id: _options(access, groups.get(id, ())) for id in ids}
    return Below(replies, options)


def _options(access: Access, groups: Sequence[views.ReactionGroup]) -> list[ReactionOption]:
    """Return all kinds of reactions to a comment, with their numbers."""
    by_kind = {group.kind: group for group in groups}
    return [
        ReactionOption(
            *kind,
            count=by_kind[kind.name].count if kind.name in by_kind else 0,
            viewer_has_reacted=kind.name in by_kind and by_kind[kind.name].viewer_has_reacted,
        )
        for kind in access.rules.reaction_kinds.values()
    ]


def _with_query(path: str, query: Mapping[str, str | None]) -> str:
    values = {name: value for name, value in query.items() if value}
    return f"{path}?{urlencode(values)}" if values else path
