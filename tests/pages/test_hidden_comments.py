"""Pages, feeds and views show readers the same as if hidden comments were not there."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import ColumnElement, select
from support.hidden_rows import hide_new_rows, read_tables, write_tables
from support.host import ADA, BOB, HEADER, MODERATOR, Host, key, titles
from support.oracle_rows import VIEWERS, fill
from support.statements import recorded

from tallied.auth.viewer import Viewer
from tallied.database import Database, UnitOfWork
from tallied.host.policy import CommentContext, Policy
from tallied.host.targets import Target
from tallied.models import Author, Reaction, ReactionTotal, Revision, Thread, WithdrawnText
from tallied.models.base import new_id, now
from tallied.pages import Pages
from tallied.pages.views import PageSize
from tallied.resolvers import views
from tallied.resolvers.pagination.filters import CommentFilter

COOKIE = "of-this-browser"
HEADERS = ("etag", "last-modified", "cache-control", "vary", "location", "content-type")
ACTIONS = {
    "/comments/{}/edit": {"message": "Other words", "revision": "1"},
    "/comments/{}/delete": {},
    "/comments/{}/react": {"kind": "like"},
}


class Open(Policy):
    """Everyone may read each history, and nobody reads secret threads."""

    def may_read(self, viewer: Viewer | None, thread: type[Thread]) -> ColumnElement[bool]:
        return thread.title.not_like("Secret%")

    def may_read_history(self, viewer: Viewer | None, comment: CommentContext) -> bool:
        return True


class Visitor:
    """A viewer who reads all there is, by pages and in Python, and counts the statements."""

    def __init__(self, database: Database, viewer: Viewer | None) -> None:
        targets = [Target("article", titles)]
        settings = {"guests": "write"}
        self.host = Host(database, policy=Open(), targets=targets, settings=settings)
        secret = "a secret of the tests, long enough"
        self.pages = Pages(self.host.discussion, secret=secret, size=PageSize(3))
        self.pages.install(self.host.app)
        self.database, self.viewer = database, viewer
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.host.app),
            base_url="http://host.test/discussion",
            cookies={"tallied_form": COOKIE},
        )
        if viewer is not None:
            value = [viewer.subject, viewer.name, viewer.is_moderator]
            self.http.headers[HEADER] = json.dumps(value)

    async def open(self, path: str, form: dict[str, str] | None = None) -> tuple[Any, ...]:
        """Return a page, or what follows when a form is sent, and the number of statements."""
        with recorded(self.database.engine.sync_engine) as statements:
            if form is None:
                response = await self.http.get(path)
            else:
                form = form | {"csrf": self.pages.forms._sign(COOKIE, self.viewer)}
                response = await self.http.post(path, data=form)
        headers = [response.headers.get(name) for name in HEADERS]
        return path, response.status_code, headers, response.text, len(statements)

    async def read(self, threads: Sequence[UUID], comments: Sequence[UUID]) -> list[Any]:
        """Return the results of the functions for hosts, and the number of statements."""
        access, everything = self.host.discussion.access(self.viewer), CommentFilter()
        everything = everything._replace(top_level_only=False)
        with recorded(self.database.engine.sync_engine) as statements:
            async with self.database.read() as connection:
                author = await connection.scalar(select(Author.id).where(Author.subject == "7"))
                pair = connection, access
                results: list[Any] = [
                    await views.read_threads(*pair),
                    await views.read_latest_comments(*pair, first=100),
                    await views.read_latest_comments(*pair, first=2),
                    await views.read_latest_comments(*pair, author_id=author, first=100),
                    await views.read_reactions(*pair, comments),
                    await views.read_unread(*pair, threads),
                    await views.read_counts(*pair, [("article", str(n)) for n in range(100)]),
                ]
                for thread in threads:
                    results += [
                        await views.read_thread(*pair, thread),
                        await views.read_comments(*pair, thread, filter_by=everything),
                        await views.read_comments_since(*pair, thread, 0),
                        await views.read_trees(*pair, thread, comments, levels=3, first=2),
                    ]
                for comment in comments:
                    results += [
                        await views.read_comment(*pair, comment),
                        await views.read_replies(*pair, comment),
                        await views.read_around(*pair, comment, siblings=2),
                    ]
        return [*results, len(statements)]

    async def read_texts(self, comments: Sequence[UUID]) -> list[Any]:
        """Return what comments said before, and the number of statements."""
        access = self.host.discussion.access(self.viewer)
        with recorded(self.database.engine.sync_engine) as statements:
            async with self.database.read() as connection:
                history = await views.read_history(connection, access, comments)
                withdrawn = await views.read_withdrawn_texts(connection, access, comments)
        return [history, withdrawn, len(statements)]

    async def read_all(self, threads: Sequence[UUID], comments: Sequence[UUID]) -> list[Any]:
        opened = [await self.open(path) for path in paths(threads, comments)]
        return opened + await self.read(threads, comments)


def paths(threads: Sequence[UUID], comments: Sequence[UUID]) -> Iterator[str]:
    """Yield the addresses of pages about these."""
    yield from ("/", "/new", "/feed.atom")
    for thread in threads:
        yield from (f"/threads/{thread}", f"/threads/{thread}/feed.atom")
    yield from (f"/comments/{comment}" for comment in comments)
    yield from (f"/comments/{comments[0]}{action}" for action in ("/edit", "/delete"))


async def add_facts(database: Database, ids: Sequence[UUID]) -> None:
    """Add a history, a withdrawn text and a reaction to each of these comments."""

    async def work(unit: UnitOfWork) -> None:
        of_bob = select(Author.id).where(Author.subject == "8")
        author = (await unit.session.execute(of_bob)).scalar_one()
        for id in ids:
            unit.session.add_all(
                [
                    WithdrawnText(
                        comment_id=id, message="Gone", status="published", withdrawn_at=now()
                    ),
                    ReactionTotal(comment_id=id, kind="like"),
                    Reaction(comment_id=id, author_id=author, kind="like", created_at=now()),
                    Revision(
                        comment_id=id, number=1, message="Hidden", word_count=1, edited_at=now()
                    ),
                ]
            )

    await database.write(work)


DATABASES = ["sqlite", pytest.param("postgresql", marks=pytest.mark.exhaustive)]


@pytest.mark.parametrize("backend", DATABASES)
@pytest.mark.parametrize(
    "viewer", [None, *(pytest.param(each, marks=pytest.mark.exhaustive) for each in VIEWERS[1:])]
)
async def test_pages_and_views_tell_nothing_of_hidden_rows(
    database: Database, monkeypatch: pytest.MonkeyPatch, viewer: Viewer | None
) -> None:
    """A moderator sees the same, but for the texts, which they may ask for."""
    monkeypatch.setattr("tallied.pages.forms.secrets.token_urlsafe", lambda size: "random")
    await fill(database, random.Random(2))
    tables, visitor = await read_tables(database), Visitor(database, viewer)
    ids = [*map(key, await hide_new_rows(database))]
    pending, _, deleted, *_, reply, hidden, _, secret, shown, thread = ids
    await add_facts(database, [pending, deleted, reply, hidden])
    requested = [thread, secret], [pending, deleted, reply, hidden, shown]
    answers, texts = await visitor.read_all(*requested), await visitor.read_texts(requested[1])
    await write_tables(database, tables)
    for answer, expected in zip(answers, await visitor.read_all(*requested), strict=True):
        assert answer == expected
    is_aware = viewer is not None and viewer.is_moderator
    assert (texts != await visitor.read_texts(requested[1])) == is_aware


@pytest.mark.parametrize("backend", DATABASES)
async def test_forms_about_hidden_comments_answer_as_of_none(database: Database) -> None:
    await fill(database, random.Random(2))
    *_, reply, hidden, pending, secret, _, thread = map(key, await hide_new_rows(database))
    comments = [reply, hidden, pending]
    visitor, missing = Visitor(database, Viewer("8", "Bob")), new_id()

    async def send(path: str, id: UUID, form: dict[str, str]) -> list[Any]:
        answer = await visitor.open(path.format(id), form)
        return [answer[1:3], answer[3].replace(str(id), "ID"), answer[4]]

    for path, form in ACTIONS.items():
        expected = await send(path, missing, form)
        assert expected[0][0] == 404
        for id in comments:
            assert await send(path, id, form) == expected
    for path in ("/threads/{}/comments", "/threads/{}/lock"):
        form = {"message": "Words", "locked": "yes"}
        assert await send(path, secret, form) == await send(path, missing, form)
    answers = [
        await visitor.open(f"/threads/{thread}/comments", {"message": "Words", "reply_to": str(id)})
        for id in (missing, *comments)
    ]
    assert answers.count(answers[0]) == len(answers)


@pytest.mark.parametrize("backend", DATABASES)
@pytest.mark.parametrize("state", ["Hidden", "Deleted"])
async def test_withdrawn_comment_is_without_words_on_pages(database: Database, state: str) -> None:
    """Its reply stays, and its words and its author are on no page and in no feed."""
    host = Visitor(database, BOB).host
    thread = await host.bob.thread("Engines")
    parent = await host.ada.comment(thread, "Unwanted words")
    await host.discussion.add_comment(BOB, key(thread), "An answer", reply_to_id=key(parent))
    if state == "Hidden":
        await host.moderator.do("moderateComments", "comments { id }", ids=[parent], to="SPAM")
    else:
        await host.ada.do("deleteComment", "comment { id }", commentId=parent)
    for viewer in (None, ADA, BOB, MODERATOR):
        visitor = Visitor(database, viewer)
        for path in paths([key(thread)], [key(parent)]):
            text = (await visitor.open(path))[3]
            assert "Unwanted" not in text, path
            assert f"{key(parent)}/react" not in text, path
            signed_in = "Ada" if viewer is ADA else None
            assert text.count("Ada") == text.count(f">{signed_in}<"), path
            if path.endswith(f"{key(thread)}"):
                assert f"{state} comment" in text
            if path.endswith("feed.atom"):
                assert text.count("<entry>") == 1
