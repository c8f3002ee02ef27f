"""A change of what a viewer may not know of changes nothing that they read."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from sqlalchemy import select
from support.hidden_rows import RULES, Question, Reader, complete_questions
from support.host import Client, Host

from tallied.auth.viewer import Viewer
from tallied.database import Database
from tallied.models import Author
from tallied.schema.ids import encode_id

ZED = Viewer("user-4", "Zed")
READERS = (None, Viewer("user-2", "Bob"), Viewer("user-5", "Nobody"))
"""A guest, the author of what is flagged, and another viewer."""

LINK = "See https://example.org"
AUTHORS = '{{ author(id: "{}") {{ name commentCount wordCount }} }}'
AROUND = """{{ thread(id: "{}") {{ around(commentId: "{}") {{ siblings {{ totalCount
  edges {{ cursor node {{ id }} }} pageInfo {{ hasNextPage startCursor endCursor }} }} }} }} }}"""


class Change(NamedTuple):
    """A mutation of one of the clients; its input names objects of the board."""

    client: str
    mutation: str
    input: dict[str, Any]


def change(client: str, mutation: str, **input: Any) -> Change:
    return Change(client, mutation, input)


def moderate(status: str, *ids: str) -> Change:
    return change("moderator", "moderateComments", ids=ids, to=status, reason="so")


def delete(client: str, id: str) -> Change:
    return change(client, "deleteComment", commentId=id)


def move(id: str, thread: str, **input: str) -> Change:
    return change("moderator", "moveComment", commentId=id, threadId=thread, **input)


def add(client: str, thread: str, **input: str) -> Change:
    return change(client, "addComment", threadId=thread, message=LINK, **input)


CHANGES = {
    "edit pending": change("ada", "editComment", commentId="pending", message="Other words"),
    "edit reply": change("ada", "editComment", commentId="pending reply", message="Other"),
    "delete pending": delete("ada", "pending"),
    "delete reply": delete("ada", "pending reply"),
    "delete rejected": delete("moderator", "rejected"),
    "delete below placeholder": delete("moderator", "below placeholder"),
    "delete below tombstone": delete("moderator", "below tombstone"),
    "delete last below deleted": delete("moderator", "below deleted"),
    "reject": moderate("REJECTED", "pending", "pending reply"),
    "reconsider": moderate("PENDING", "rejected"),
    "reconsider placeholder": moderate("PENDING", "placeholder"),
    "move": move("pending", "other"),
    "move reply": move("pending reply", "other"),
    "move below": move("pending", "thread", replyToId="shown"),
    "move into secret": move("pending", "secret"),
    "move out of secret": move("pending secret", "thread"),
    "add": add("ada", "thread"),
    "add reply": add("ada", "thread", replyToId="shown"),
    "add as guest": add("guest", "thread", authorName="Gast"),
    "flag": change("ada", "flagComment", commentId="shown", reason="SPAM", note="Look"),
    "close flag": moderate("PUBLISHED", "flagged"),
    "comment in secret": change(
        "moderator", "addComment", threadId="secret", message="More", replyToId="secret comment"
    ),
    "edit in secret": change(
        "moderator", "editComment", commentId="secret comment", message="Other words"
    ),
    "react in secret": change("moderator", "addReaction", commentId="secret comment", kind="like"),
    "delete in secret": delete("moderator", "secret comment"),
    "lock secret": change("moderator", "lockThread", threadId="secret"),
    "rename secret": change("moderator", "renameThread", threadId="secret", title="Secret"),
    "delete secret": change("moderator", "deleteThread", threadId="secret"),
    "mark as read": change("ada", "markRead", threadId="thread"),
    "erase": change("moderator", "deleteAuthor", authorId="Zed", comments="TOMBSTONE"),
    "delete author": change("moderator", "deleteAuthor", authorId="Zed", comments="KEEP"),
}


class Board:
    """A thread with comments of every state, and a secret one."""

    def __init__(self, database: Database) -> None:
        self.database = database
        settings = {"guests": "write", "link_limit": 1}
        self.host = Host(database, policy=RULES.policy, settings=settings)
        self.ids: dict[str, str] = {}

    def client(self, name: str) -> Client:
        client: Client = getattr(self.host, name, None) or self.host.client(ZED)
        return client

    async def fill(self) -> None:
        for name, title in (("thread", "Engines"), ("other", "Looms"), ("secret", "Secret plans")):
            self.ids[name] = await self.client("moderator").thread(title)
        for client, name, parent, status in (
            ("bob", "shown", None, None),
            ("ada", "reply", "shown", None),
            ("bob", "flagged", None, None),
            ("ada", "pending", None, "PENDING"),
            ("ada", "pending reply", "shown", "PENDING"),
            ("guest", "rejected", None, "REJECTED"),
            ("ada", "placeholder", None, None),
            ("bob", "below", "placeholder", None),
            ("ada", "below placeholder", "placeholder", "PENDING"),
            ("ada", "tombstone", None, None),
            ("bob", "answer", "tombstone", None),
            ("ada", "below tombstone", "tombstone", "PENDING"),
            ("ada", "deleted", None, None),
            ("zed", "below deleted", "deleted", "PENDING"),
            ("moderator", "secret comment", None, None),
            ("moderator", "pending secret", None, "PENDING"),
        ):
            await self.add(client, name, parent, status)
        await self.hide("placeholder", "REJECTED")
        for name in ("tombstone", "deleted"):
            await self.do(delete("ada", name))
        await self.do(change("ada", "flagComment", commentId="flagged", reason="SPAM"))
        async with self.database.read() as connection:
            for id, name in (await connection.execute(select(Author.id, Author.name))).all():
                self.ids[name] = encode_id("Author", id)

    async def add(self, client: str, name: str, parent: str | None, status: str | None) -> None:
        writer, thread = self.client(client), "secret" if "secret" in name else "thread"
        place = {} if parent is None else {"replyToId": self.ids[parent]}
        self.ids[name] = await writer.comment(self.ids[thread], f"Words of {name}", **place)
        if status is not None:
            await self.hide(name, status)

    async def hide(self, name: str, status: str) -> None:
        await self.do(moderate(status, name))

    async def do(self, change: Change) -> None:
        """Make a change that is not refused."""
        input = {
            name: [self.ids[id] for id in value]
            if isinstance(value, tuple)
            else self.ids.get(value, value)
            for name, value in change.input.items()
        }
        await self.client(change.client).do(change.mutation, "__typename", **input)

    async def read(self) -> list[Any]:
        """Return what each of the readers is answered."""
        comments = [id for name, id in self.ids.items() if name[0].islower() and name != "thread"]
        texts = [
            *(AUTHORS.format(self.ids[name]) for name in ("Ada", "Bob")),
            *(AROUND.format(self.ids["thread"], self.ids[name]) for name in ("shown", "below")),
        ]
        for start in range(0, len(comments), 9):
            ids = [*comments[start : start + 9], self.ids["thread"]]
            texts.append(next(complete_questions(ids)).text)
        reader = Reader(self.database)
        return [
            await reader.read(Question(text, {}, viewer)) for viewer in READERS for text in texts
        ]


@pytest.mark.sqlite
@pytest.mark.exhaustive
@pytest.mark.parametrize("name", CHANGES)
async def test_change_of_hidden_rows_is_not_noticed(database: Database, name: str) -> None:
    board = Board(database)
    await board.fill()
    before, rows = await board.read(), await board.host.guest.contents()
    await board.do(CHANGES[name])
    assert await board.host.guest.contents() != rows
    assert await board.read() == before


NOTICED = {
    "hide": moderate("SPAM", "reply"),
    "publish": moderate("PUBLISHED", "pending reply"),
    "edit": change("ada", "editComment", commentId="reply", message="Other words"),
    "react": change("ada", "addReaction", commentId="shown", kind="like"),
}


@pytest.mark.sqlite
@pytest.mark.parametrize(
    "name", ["hide", *(pytest.param(name, marks=pytest.mark.exhaustive) for name in [*NOTICED][1:])]
)
async def test_change_of_shown_rows_is_noticed(database: Database, name: str) -> None:
    """The comparison would find a trace."""
    board = Board(database)
    await board.fill()
    before = await board.read()
    await board.do(NOTICED[name])
    assert await board.read() != before
