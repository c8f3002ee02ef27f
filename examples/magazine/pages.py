"""The front page, and an article with its discussion: pages that are put together on the server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from tallied.database.unit_of_work import UnitOfWork
from tallied.errors import NotFound, Rejected
from tallied.host.access import Access
from tallied.resolvers import changes, comments, threads
from tallied.resolvers.reactions import add_reaction, remove_reaction
from tallied.resolvers.validation import clean_message
from tallied.resolvers.views import (
    CommentView,
    ReactionGroup,
    read_around,
    read_comments,
    read_reactions,
    read_trees,
)

from . import articles, forms, queries
from .policy import Reader
from .site import ArticleID, OurSite, Site, Us, go, page, to_sign_in

LATEST = 50
"""How many articles the front page shows."""

COMMENTS = 50
"""How many comments at the top level a page shows."""

LEVELS, REPLIES = 4, 5
"""How many levels of replies it shows below each, and how many replies to a comment."""

router = APIRouter()


@router.get("/")
async def front(request: Request, site: OurSite, us: Us) -> Response:
    async with site.discussion.database.read() as connection:
        rows = await queries.articles(connection, us, LATEST)
    return page(request, "front.html", us, articles=rows)


@router.get("/articles/{id}")
async def article(
    request: Request,
    site: OurSite,
    us: Us,
    id: ArticleID,
    after: Annotated[str | None, Query()] = None,
) -> Response:
    return await _article(request, site, us, id, after)


@router.post("/articles/{id}/comments")
async def comment(request: Request, site: OurSite, us: Us, id: ArticleID) -> Response:
    form = await forms.read(request)
    message, reply_to = form.get("message", ""), form.get("reply_to", "")
    if us is None:
        return to_sign_in(request)
    access = site.discussion.access(us)

    async def work(unit: UnitOfWork) -> changes.ChangedRows:
        new, thread_id = (
            comments.NewComment(clean_message(message)),
            await articles.thread_of(unit, id),
        )
        to = _key(reply_to) if reply_to else None
        return await comments.add_comment(unit, access, thread_id, new, reply_to_id=to)

    try:
        change = await site.discussion.write(work)
    except NotFound:
        raise
    except Rejected as error:  # with what was written, so that it can be mended
        problem = {"message": message, "problem": error.message, "reply_to": reply_to}
        return await _article(request, site, us, id, status=422, form=problem)
    assert change.comment is not None
    if reply_to:
        return go(f"/comments/{change.comment['id']}")
    return go(f"/articles/{id}#comment-{change.comment['id']}")


@router.get("/comments/{id}")
async def linked_comment(request: Request, site: OurSite, us: Us, id: UUID) -> Response:
    """Show a comment with those above it, its neighbours, and the replies to them."""
    access = site.discussion.access(us)
    async with site.discussion.database.read() as connection:
        around = await read_around(connection, access, id, siblings=REPLIES)
        about = around and await queries.article_about(connection, around.thread.id)
        if around is None or about is None:
            raise HTTPException(404, "There is no such comment; it may have been deleted.")
        article_row = await queries.article(connection, us, about)
        nodes = around.siblings.nodes
        below = await _below(connection, access, around.thread.id, nodes, around.ancestors)
    values = {"article": article_row, "around": around, "form": {}, **below}
    return page(request, "comment.html", us, **values)


@router.post("/comments/{id}/react")
async def react(request: Request, site: OurSite, us: Us, id: UUID) -> Response:
    """Add a reaction to a comment, or take it back."""
    form = await forms.read(request)
    if us is None:
        return to_sign_in(request)
    access = site.discussion.access(us)
    change = add_reaction if form.get("taken") != "yes" else remove_reaction
    await site.discussion.write(lambda unit: change(unit, access, id, form.get("kind", "")))
    return go(f"/comments/{id}#comment-{id}")


@router.post("/comments/{id}/delete")
async def delete_comment(request: Request, site: OurSite, us: Us, id: UUID) -> Response:
    await forms.read(request)
    access = site.discussion.access(us)
    change = await site.discussion.write(lambda unit: comments.delete_comment(unit, access, id))
    async with site.discussion.database.read() as connection:
        about = await queries.article_about(connection, change.thread["id"])
    return go(f"/articles/{about}#discussion" if about else "/")


@router.post("/articles/{id}/lock")
async def lock(request: Request, site: OurSite, us: Us, id: ArticleID) -> Response:
    """Close a discussion, or open it again."""
    locked = (await forms.read(request)).get("locked") == "yes"
    access = site.discussion.access(us)

    async def work(unit: UnitOfWork) -> None:
        thread_id = await articles.thread_of(unit, id)
        await threads.lock_thread(unit, access, thread_id, locked=locked)

    await site.discussion.write(work)
    return go(f"/articles/{id}#discussion")


async def _article(
    request: Request,
    site: Site,
    us: Reader | None,
    id: int,
    after: str | None = None,
    status: int = 200,
    form: Mapping[str, str] | None = None,
) -> Response:
    access, said, below = site.discussion.access(us), None, {}
    async with site.discussion.database.read() as connection:
        article_row = await queries.article(connection, us, id)
        if article_row is None:
            raise HTTPException(404, "There is no such article; it may have been withdrawn.")
        if article_row.thread_id is not None:
            said = await read_comments(
                connection,
                access,
                article_row.thread_id,
                first=COMMENTS,
                after=after,
                descending=True,
            )
        if said is not None:
            below = await _below(connection, access, said.thread.id, said.nodes)
    values = {
        "article": article_row,
        "said": said,
        "own": us is not None and (us.is_moderator or us.user_id == article_row.author_id),
        "form": form or {},
        **below,
    }
    return page(request, "article.html", us, status, **values)


async def _below(
    connection: AsyncConnection,
    access: Access,
    thread_id: UUID,
    nodes: Sequence[CommentView],
    others: Sequence[CommentView] = (),
) -> dict[str, Any]:
    """Return the replies to comments, and the reactions to all that a page shows."""
    ids = [comment.id for comment in nodes]
    trees = await read_trees(connection, access, thread_id, ids, levels=LEVELS, first=REPLIES)
    replies = [comment for page in trees.values() for comment in page.nodes]
    shown = [comment.id for comment in (*others, *nodes, *replies)]
    return {
        "trees": trees,
        "reactions": _with_kinds(access, shown, await read_reactions(connection, access, shown)),
    }


def _with_kinds(
    access: Access, ids: Sequence[UUID], groups: Mapping[UUID, Sequence[ReactionGroup]]
) -> dict[UUID, list[dict[str, Any]]]:
    """Return for each comment the kinds of reactions, with their numbers."""
    result = {}
    for id in ids:
        by_kind = {group.kind: group for group in groups.get(id, ())}
        result[id] = [
            {
                "kind": kind.name,
                "emoji": kind.emoji,
                "label": kind.label,
                "count": by_kind[kind.name].count if kind.name in by_kind else 0,
                "taken": kind.name in by_kind and by_kind[kind.name].viewer_has_reacted,
            }
            for kind in access.rules.reaction_kinds.values()
        ]
    return result


def _key(text: str) -> UUID:
    """Return the key of a comment in a form.

    :raises HTTPException: for a text that is none.
    """
    try:
        return UUID(text)
    except ValueError:
        raise HTTPException(422, "There is no such comment to reply to.") from None
