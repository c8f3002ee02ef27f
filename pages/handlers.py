"""What the pages do: each handler takes the site and a request, and returns the response.

A change is followed by a redirect, so that a reload repeats nothing. A refused one shows the form
again, with what was written and the reason.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias
from uuid import UUID

from starlette.datastructures import URL
from starlette.requests import Request
from starlette.responses import Response

from ..errors import (
    BadUserInput,
    Conflict,
    InvalidText,
    NotFound,
    RateLimited,
    Rejected,
    RepeatedText,
    Vetoed,
)
from ..host.access import Access
from ..models.comment import PENDING
from ..resolvers.comments import NewComment
from ..resolvers.pagination.arguments import Record
from ..resolvers.views import CommentView
from .failures import respond, status_of, with_retry_after
from .feeds import feed_of_all, feed_of_thread
from .forms import FormState
from .site import PAGES, Site, go, local_path
from .views import PAGE_PARAMETERS

Handler: TypeAlias = Callable[[Site, Request], Awaitable[Response]]

FORM_ERRORS = (InvalidText, Vetoed, RepeatedText, RateLimited)
"""The errors that are shown with the form of a comment, which is to be changed or sent later."""

FIELDS = {
    "title": "title",
    "message": "message",
    "comment.message": "message",
    "authorName": "author_name",
    "comment.authorName": "author_name",
}
"""The fields of forms by those of errors."""

THREADS = 20
"""The threads on a page of the list."""


def endpoint(site: Site, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """Return the endpoint of a route."""

    async def respond_to(request: Request) -> Response:
        request.scope[PAGES] = True
        return await respond(site, request, handler)

    return respond_to


async def show_threads(site: Site, request: Request) -> Response:
    """Show a page of the threads that the viewer may read."""
    query, access = request.query_params, await site.access(request)
    before = query.get("before")
    page = await site.discussion.read_threads(
        access,
        first=None if before else THREADS,
        last=THREADS if before else None,
        after=None if before else query.get("after"),
        before=before,
    )
    return await site.render(
        request, "tallied/threads.html", page=page, may_start=access.may_start()
    )


async def new_thread(site: Site, request: Request) -> Response:
    """Show the form of a new thread, and create it."""
    access, form = await site.access(request), FormState()
    access.require(access.may_start(), "start a discussion")
    if request.method == "POST":
        form.values = await site.read_form(request)
        try:
            change = await site.discussion.create_thread(
                access, form.values.get("title", ""), _new_comment(form.values)
            )
        except FORM_ERRORS as error:
            _add_errors(site, form, error)
            response = await site.render(request, "tallied/new.html", status_of(error), form=form)
            return with_retry_after(response, error)
        return go(site.links(request).thread(change.thread["id"]))
    return await site.render(request, "tallied/new.html", form=form)


async def show_thread(site: Site, request: Request) -> Response:
    """Show a thread with a page of its comments."""
    return await _show(site, request, "thread", request.path_params["id"])


async def show_comment(site: Site, request: Request) -> Response:
    """Show a comment with those above it, its neighbours, and the replies."""
    return await _show(site, request, "comment", request.path_params["id"])


async def add_comment(site: Site, request: Request) -> Response:
    """Add a comment to a thread, or a reply."""
    access, thread_id = await site.access(request), request.path_params["id"]
    values = await site.read_form(request)
    reply_to = _read_key(values.get("reply_to"))
    try:
        change = await site.discussion.add_comment(
            access,
            thread_id,
            _new_comment(values),
            reply_to_id=reply_to,
            submission=values.get("submission") or None,
        )
    except FORM_ERRORS as error:
        form = FormState(values)
        form.submission = values.get("submission") or form.submission
        _add_errors(site, form, error)
        kind, id = ("comment", reply_to) if reply_to else ("thread", thread_id)
        response = await _show(site, request, kind, id, status_of(error), form)
        return with_retry_after(response, error)
    assert change.comment is not None
    links = site.links(request)
    page = _first_page(local_path(values.get("next"), links.thread(thread_id)))
    is_only_page = change.thread["top_level_count"] <= site.size.comments
    is_on_page = reply_to is None and (site.descending or is_only_page)
    return _go_to(change.comment, page if is_on_page else links.comment(change.comment["id"]), page)


async def edit_comment(site: Site, request: Request) -> Response:
    """Show the form of a comment, and change its message."""
    access, id = await site.access(request), request.path_params["id"]
    next, form = request.query_params.get("next"), FormState()
    refusal: Rejected | None = None
    if request.method == "POST":
        form.values = values = await site.read_form(request)
        next = values.get("next")
        revision = values.get("revision", "")
        if not (revision.isascii() and revision.isdigit() and len(revision) < 10):
            raise BadUserInput("revision must be a number.", field="revision")
        try:
            change = await site.discussion.edit_comment(
                access, id, values.get("message", ""), expected_revision=int(revision)
            )
        except Conflict as error:
            refusal = error
        except FORM_ERRORS as error:
            refusal = error
            _add_errors(site, form, error)
        else:
            assert change.comment is not None
            links = site.links(request)
            page = local_path(next, links.comment(id))
            return _go_to(change.comment, page, links.thread(change.comment["thread_id"]))
    comment = await _read_comment(site, access, id)
    access.require(comment.viewer_can_edit, "edit this comment")
    conflict = refusal if isinstance(refusal, Conflict) else None
    response = await site.render(
        request,
        "tallied/edit.html",
        200 if refusal is None else status_of(refusal),
        comment=comment,
        form=form,
        conflict=conflict,
        # After a conflict the viewer has seen the newest text, and after another error the older.
        revision=comment.revision if conflict else form.values.get("revision", comment.revision),
        next=local_path(next, site.links(request).comment(id)),
    )
    return with_retry_after(response, refusal)


async def delete_comment(site: Site, request: Request) -> Response:
    """Ask whether a comment is to be deleted, and delete it."""
    access, id = await site.access(request), request.path_params["id"]
    if request.method == "POST":
        values = await site.read_form(request)
        change = await site.discussion.delete_comment(access, id)
        thread = site.links(request).thread(change.thread["id"])
        return go(local_path(values.get("next"), thread))
    comment = await _read_comment(site, access, id)
    access.require(comment.viewer_can_delete, "delete this comment")
    thread = site.links(request).thread(comment.thread_id)
    next = local_path(request.query_params.get("next"), thread)
    return await site.render(request, "tallied/delete.html", comment=comment, next=next)


async def react(site: Site, request: Request) -> Response:
    """Add a reaction of the viewer to a comment, or withdraw it."""
    access, id = await site.access(request), request.path_params["id"]
    values = await site.read_form(request)
    withdraws = values.get("withdraw") == "yes"
    change = site.discussion.remove_reaction if withdraws else site.discussion.add_reaction
    await change(access, id, values.get("kind", ""))
    return go(local_path(values.get("next"), site.links(request).comment(id)), _anchor(id))


async def lock_thread(site: Site, request: Request) -> Response:
    """Close a discussion, or open it again."""
    access, id = await site.access(request), request.path_params["id"]
    values = await site.read_form(request)
    await site.discussion.lock_thread(access, id, locked=values.get("locked") == "yes")
    return go(local_path(values.get("next"), site.links(request).thread(id)))


async def refuse_path(site: Site, request: Request) -> Response:
    """Say that there is no page at a path."""
    raise NotFound(site.texts("not_found"))


HANDLERS: tuple[tuple[str, list[str], Handler], ...] = (
    ("/", ["GET"], show_threads),
    ("/new", ["GET", "POST"], new_thread),
    ("/feed.atom", ["GET"], feed_of_all),
    ("/threads/{id:uuid}", ["GET"], show_thread),
    ("/threads/{id:uuid}/feed.atom", ["GET"], feed_of_thread),
    ("/threads/{id:uuid}/comments", ["POST"], add_comment),
    ("/threads/{id:uuid}/lock", ["POST"], lock_thread),
    ("/comments/{id:uuid}", ["GET"], show_comment),
    ("/comments/{id:uuid}/edit", ["GET", "POST"], edit_comment),
    ("/comments/{id:uuid}/delete", ["GET", "POST"], delete_comment),
    ("/comments/{id:uuid}/react", ["POST"], react),
)
"""The routes below the path of the pages: their methods, and the handler."""


async def _show(
    site: Site,
    request: Request,
    kind: str,
    id: UUID,
    status: int = 200,
    form: FormState | None = None,
) -> Response:
    """Show a ``thread``, or a ``comment`` in its place."""
    read = site.read_comment if kind == "comment" else site.read_thread
    discussion = await read(request, id, form)
    if discussion is None:
        raise NotFound(site.texts("not_found"))
    return await site.render(request, f"tallied/{kind}.html", status, discussion=discussion)


def _new_comment(values: Mapping[str, str]) -> NewComment:
    return NewComment(values.get("message", ""), values.get("author_name") or None)


def _add_errors(site: Site, form: FormState, error: Rejected) -> None:
    """Add an error, and the others of the same form, beside their fields."""
    for item in (error, *error.others):
        form.errors.setdefault(FIELDS.get(item.field or "", ""), site.texts.error(item))


def _read_key(text: str | None) -> UUID | None:
    try:
        return UUID(text) if text else None
    except ValueError as error:
        raise BadUserInput("reply_to must be the key of a comment.", field="reply_to") from error


def _first_page(path: str) -> str:
    return str(URL(path).remove_query_params(PAGE_PARAMETERS))


def _go_to(comment: Record, page: str, other_page: str) -> Response:
    """Redirect to a comment on its page, or to a notice on another one if it is held back."""
    if comment["status"] == PENDING:
        return go(str(URL(other_page).include_query_params(notice="pending")), "notice")
    return go(page, _anchor(comment["id"]))


def _anchor(id: Any) -> str:
    return f"comment-{id}"


async def _read_comment(site: Site, access: Access, id: UUID) -> CommentView:
    comment = await site.discussion.read_comment(access, id)
    if comment is None:
        raise NotFound(site.texts("not_found"))
    return comment
