"""Atom feeds (RFC 4287) of the latest comments: of a thread, and of all that may be read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from starlette.requests import Request
from starlette.responses import Response

from ..errors import NotFound
from ..resolvers.views import CommentView, ThreadView
from ..transport.caching import caching_headers
from .site import Site

NAMESPACE = "http://www.w3.org/2005/Atom"
MEDIA_TYPE = "application/atom+xml; charset=utf-8"
ENTRIES = 50
"""The comments in a feed."""

NOTHING_YET = datetime(1970, 1, 1, tzinfo=UTC)
"""The time of a feed without comments."""

_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""The characters that XML 1.0 does not allow (section 2.2)."""


class Feed(NamedTuple):
    """What a feed is about."""

    id: str
    title: str
    page: str
    """The path of the page with the same comments."""
    updated: datetime


async def feed_of_all(site: Site, request: Request) -> Response:
    """Return the feed of the latest comments in all threads that the viewer may read."""
    page = await site.discussion.read_latest_comments(await site.access(request), first=ENTRIES)
    links = site.links(request)
    updated = max(map(_changed_at, page.nodes), default=NOTHING_YET)
    address = str(request.base_url.replace(path=links.feed()))
    feed = Feed(address, site.texts("feed_of_all"), links.threads(), updated)
    return await _respond(site, request, feed, page.nodes, page.threads)


async def feed_of_thread(site: Site, request: Request) -> Response:
    """Return the feed of the latest comments in a thread."""
    id: UUID = request.path_params["id"]
    access = await site.access(request)
    thread = await site.discussion.read_thread(access, id)
    if thread is None:
        raise NotFound(site.texts("not_found"))
    page = await site.discussion.read_latest_comments(access, thread_id=id, first=ENTRIES)
    updated = max([thread.updated_at, thread.created_at, *map(_changed_at, page.nodes)])
    feed = Feed(f"urn:uuid:{id}", thread.title, site.links(request).thread(id), updated)
    return await _respond(site, request, feed, page.nodes, {id: thread})


async def _respond(
    site: Site,
    request: Request,
    feed: Feed,
    comments: Iterable[CommentView],
    threads: Mapping[UUID, ThreadView],
) -> Response:
    """Return a feed, or 304 if the client has it."""
    content = _write(site, request, feed, comments, threads)
    personal = await site.viewer(request) is not None
    is_current, headers = await caching_headers(
        content, MEDIA_TYPE, request.headers, 0, personal=personal
    )
    headers["Vary"] = "Authorization, Cookie"
    # No Last-Modified: the feed changes with each deletion, too, and has no time of these.
    if is_current:
        return Response(status_code=304, headers=headers)
    headers["X-Content-Type-Options"] = "nosniff"
    return Response(content, headers=headers, media_type=MEDIA_TYPE)


def _write(
    site: Site,
    request: Request,
    feed: Feed,
    comments: Iterable[CommentView],
    threads: Mapping[UUID, ThreadView],
) -> bytes:
    links, base = site.links(request), request.base_url.replace(path=request.scope["path"])
    root = Element("feed", {"xmlns": NAMESPACE, "xml:lang": site.texts("language")})
    _add(root, "id", feed.id)
    _add(root, "title", feed.title)
    _add(root, "updated", feed.updated.isoformat())
    SubElement(root, "link", rel="self", type="application/atom+xml", href=str(base))
    SubElement(
        root, "link", rel="alternate", type="text/html", href=str(base.replace(path=feed.page))
    )
    for comment in comments:
        name = comment.author_name or site.texts("guest")
        title = threads[comment.thread_id].title
        entry = SubElement(root, "entry")
        _add(entry, "id", f"urn:uuid:{comment.id}")
        _add(entry, "title", site.texts("feed_entry", name=name, title=title))
        _add(entry, "published", comment.created_at.isoformat())
        _add(entry, "updated", _changed_at(comment).isoformat())
        _add(SubElement(entry, "author"), "name", name)
        page = base.replace(path=links.comment(comment.id), fragment=f"comment-{comment.id}")
        SubElement(entry, "link", rel="alternate", type="text/html", href=str(page))
        _add(entry, "content", comment.message_html, type="html")
    content: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return content


def _add(parent: Element, name: str, text: str, **attributes: str) -> None:
    SubElement(parent, name, attributes).text = _NOT_IN_XML.sub("\ufffd", text)


def _changed_at(comment: CommentView) -> datetime:
    return comment.edited_at or comment.created_at
