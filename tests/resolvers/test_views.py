"""Views, from which a host renders pages, equal the API."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncSession
from support.host import ADA, BOB, MODERATOR, Discreet, Host, key

from tallied.auth.viewer import Viewer
from tallied.database import Database
from tallied.errors import BadUserInput, UnknownTargetType
from tallied.host.access import Access
from tallied.host.policy import CommentContext
from tallied.host.targets import Target
from tallied.resolvers import comments, threads, views
from tallied.resolvers.pagination.filters import CommentFilter, ThreadFilter

THREAD = """id title commentCount wordCount lastCommentAt createdAt updatedAt lockedAt
  author { name } target { type key } viewerCanComment viewerCanRename viewerCanLock
  viewerCanDelete"""
COMMENT = """id message messageHtml wordCount createdAt editedAt authorName
  viewerCanEdit viewerCanMove viewerCanDelete"""
PAGE = "pageInfo { hasPreviousPage hasNextPage startCursor endCursor }"


class Tidy(Discreet):
    """A thread's author may delete its comments."""

    def may_delete(self, viewer: Viewer | None, comment: CommentContext) -> bool:
        is_author = viewer is not None and None is not comment.thread.author_id == viewer.author_id
        return is_author or super().may_delete(viewer, comment)


async def titles(_: AsyncSession, ids: Sequence[str]) -> Mapping[str, str]:
    return {id: f"{'Secret' if id == '1' else 'Photo'} {id}" for id in ids}


@pytest.fixture
def host(database: Database) -> Host:
    return Host(
        database,
        policy=Tidy(),
        targets=[Target("photo", titles)],
        deleted_author=lambda: "someone who has left",
        settings={"guests": "write"},
    )


async def fill(host: Host) -> list[str]:
    """Add threads with comments of everyone; some are deleted, long, edited, locked or hidden."""
    engines = await host.ada.thread("Engines", "one *two*")
    comments = [
        await client.comment(engines, message)
        for client, message in (
            (host.bob, "three <b>four</b>"),
            (host.guest, "five " * 200),
            (host.client(Viewer("gone", "Gone")), "six"),
            (host.client(Viewer("nameless")), "seven"),
            (host.moderator, "eight"),
        )
    ]
    deleted = await host.guest(
        "query($c: ID!) { comment(id: $c) { author { id } } }", c=comments[2]
    )
    await host.moderator.do("deleteAuthor", "deletedAuthorId", authorId=deleted["author"]["id"])
    await host.bob.do("editComment", "comment { id }", commentId=comments[0], message="three `x`")
    secret = await host.moderator.thread("Secret plans", "nine ten")
    locked = await host.bob.thread("Looms", "eleven")
    await host.moderator.do("lockThread", "thread { id }", threadId=locked)
    target = {"type": "photo", "key": "7"}
    photo = (await host.ada.do("threadFor", "thread { id }", target=target))["thread"]["id"]
    return [engines, secret, locked, photo]


def reply(row: Any, node: Mapping[str, Any]) -> None:
    """Return a row says what a node of the API does."""
    for name, value in node.items():
        column = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
        if name == "id":
            assert row.id == key(value)
        elif name == "author":
            assert row.author_name == (value and value["name"])
        elif name == "target":
            target = value and (value["type"], value["key"])
            assert target == (row.target_type and (row.target_type, row.target_id))
        elif value is not None and name.endswith("At"):
            assert getattr(row, column).isoformat().replace("+00:00", "Z") == value
        else:
            assert getattr(row, column) == value, name


def page_told(page: Any, connection: Mapping[str, Any]) -> None:
    assert len(page.nodes) == len(connection["nodes"])
    for row, node in zip(page.nodes, connection["nodes"], strict=True):
        reply(row, node)
    assert connection["pageInfo"] == {
        "hasPreviousPage": page.has_previous_page,
        "hasNextPage": page.has_next_page,
        "startCursor": page.start_cursor,
        "endCursor": page.end_cursor,
    }


async def test_views_equal_api(host: Host) -> None:
    ids = await fill(host)
    for viewer in (None, ADA, BOB, MODERATOR):
        await assert_equal_to_api(host, ids, viewer)


async def assert_equal_to_api(host: Host, ids: Sequence[str], viewer: Viewer | None) -> None:
    """Assert that the views of a viewer say what the API says to the same viewer."""
    client, access = host.client(viewer), host.discussion.access(viewer)
    query = f"""query($id: ID!) {{ thread(id: $id) {{ {THREAD}
        comments(first: 4, orderBy: {{field: CREATED_AT, direction: ASC}}) {{ nodes {{ {COMMENT} }}
          {PAGE} }} }} }}"""
    observed = 0
    async with host.database.read() as connection:
        for id in ids:
            node = await client(query, id=id)
            page = await views.read_comments(connection, access, key(id), first=4)
            alone = await views.read_thread(connection, access, key(id))
            assert (page is None, alone is None) == (node is None, node is None)
            if page is None or alone is None:
                continue
            comments = node.pop("comments")
            reply(page.thread, node)
            reply(alone, node)
            page_told(page, comments)
            for row in page.nodes:
                one = await views.read_comment(connection, access, row.id)
                assert one is not None
                reply(one, next(n for n in comments["nodes"] if key(n["id"]) == row.id))
                observed += 1
        listed = await client(
            f"{{ threads(first: 2, orderBy: {{field: LAST_COMMENT_AT, direction: DESC}}) {{"
            f" nodes {{ {THREAD} }} {PAGE} }} }}"
        )
        page_told(await views.read_threads(connection, access, first=2), listed)
    assert observed == (6 if viewer is MODERATOR else 5)


async def test_pages_continue_by_cursors_of_api(host: Host) -> None:
    thread = await host.ada.thread("Engines")
    messages = [f"{number}." for number in range(7)]
    for message in messages:
        await host.bob.comment(thread, message)
    access, result, before = host.discussion.access(), [], None
    async with host.database.read() as connection:
        for more in (True, True, False):
            page = await views.read_comments(connection, access, key(thread), last=3, before=before)
            assert page is not None
            result = [item.message for item in page.nodes] + result
            assert (page.has_previous_page, page.has_next_page) == (more, before is not None)
            before = page.start_cursor
        assert result == messages
        answer = await host.guest(
            """query($id: ID!, $before: String) { thread(id: $id) { comments(
                 last: 3, before: $before, orderBy: {field: CREATED_AT, direction: ASC}) {
                 nodes { message } } } }""",
            id=thread,
            before=page.end_cursor if page else None,
        )
        assert answer == {"comments": {"nodes": []}}
        latest = await views.read_comments(
            connection, access, key(thread), first=2, descending=True
        )
        assert latest is not None
        assert [item.message for item in latest.nodes] == ["6.", "5."]
        with pytest.raises(BadUserInput, match="after is not a cursor of this order"):
            await views.read_comments(
                connection, access, key(thread), first=2, after=latest.end_cursor
            )
        with pytest.raises(BadUserInput, match="first must be from 1 to 1000, not 1001"):
            await views.read_threads(connection, access, first=1001)
        since = CommentFilter(since=latest.nodes[-1].created_at)
        page = await views.read_comments(connection, access, key(thread), first=9, filter_by=since)
        assert page is not None
        assert [item.message for item in page.nodes] == ["5.", "6."]
        lively = ThreadFilter(title_contains="ENGINE", min_comment_count=7)
        threads = await views.read_threads(connection, access, first=9, filter_by=lively)
        assert [item.title for item in threads.nodes] == ["Engines"]


async def test_views_find_thread_of_object(host: Host) -> None:
    for id in ("7", "1"):
        target = {"type": "photo", "key": id}
        await host.moderator.do("threadFor", "thread { id }", target=target)
    ada, moderator = map(host.discussion.access, (ADA, MODERATOR))
    async with host.database.read() as connection:
        result = await views.read_thread_for(connection, ada, "photo", "7")
        assert result is not None
        assert (result.title, result.viewer_can_comment) == ("Photo 7", True)
        for access, id, server in ((ada, "1", False), (moderator, "1", True), (ada, "8", False)):
            result = await views.read_thread_for(connection, access, "photo", id)
            assert (result is not None) == server
        with pytest.raises(UnknownTargetType):
            await views.read_thread_for(connection, ada, "film", "7")


async def test_unit_of_work_reads_own_writes(host: Host) -> None:
    access = host.discussion.access(ADA)

    async def work(unit: Any) -> None:
        new = comments.NewComment("one two")
        begun = await threads.create_thread(unit, access, "Engines", new)
        page = await views.read_comments(unit.session, access, begun.thread["id"], first=5)
        assert page is not None
        assert page.thread.word_count == 2
        assert [(item.author_name, item.viewer_can_edit) for item in page.nodes] == [("Ada", True)]

    await host.discussion.write(work)


@pytest.mark.slow
@pytest.mark.parametrize("size", [2, 12])
async def test_page_costs_same_at_every_size(
    host: Host, statements: Callable[[], Any], size: int
) -> None:
    thread = await host.ada.thread("Engines")
    for number in range(size):
        await host.client(Viewer(f"s{number}", f"N{number}")).comment(thread)

    async def cost(access: Access, **read: Any) -> int:
        with statements() as executed:
            async with host.database.read() as connection:
                page = await views.read_comments(connection, access, key(thread), first=100)
                assert page is not None
                assert [item.author_name for item in page.nodes] == [f"N{n}" for n in range(size)]
                await views.read_threads(connection, access, first=100)
        return len(list(executed))

    # The thread, its comments and all names; the threads and all names; and who the viewer is.
    assert await cost(host.discussion.access()) == 5
    assert await cost(host.discussion.access(ADA)) == 7
    assert await cost(host.discussion.access_as_host()) == 5


async def test_rendering_does_not_block_event_loop(database: Database) -> None:
    may_go_on = threading.Event()

    def render(message: str) -> str:
        assert may_go_on.wait(60)  # what sets it, is on the event loop
        return f"<p>{len(message)}</p>"

    host = Host(database, render=render)
    thread = await host.ada.thread("Engines", *["long " * 200] * 3)
    asyncio.get_running_loop().call_later(0.1, may_go_on.set)
    async with host.database.read() as connection:
        access = host.discussion.access()
        page = await views.read_comments(connection, access, key(thread), first=3)
    assert page is not None
    assert [item.message_html for item in page.nodes] == ["<p>1000</p>"] * 3
