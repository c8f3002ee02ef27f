"""The deletion of comments with and without replies, and their restoration."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from support.host import ADA, Host, key
from support.reply_trees import (
    add_chain,
    add_reply,
    assert_sound,
    change_tree,
    read_rows,
    read_texts,
    read_values,
)
from support.rows import count_rows

from tallied.auth.viewer import Viewer
from tallied.database import Database
from tallied.models import Base, Comment
from tallied.models.base import new_id, now
from tallied.resolvers.erasure import ERASERS, erase_author
from tallied.resolvers.purge import purge_texts
from tallied.resolvers.views import read_comment, read_comments

READS = """query($t: ID!, $id: ID!, $ids: [ID!]!) {
  thread(id: $t) { comments(first: 9) { nodes { message messageHtml authorName } } }
  comment(id: $id) { message messageHtml authorName author { id name } }
  node(id: $id) { ... on Comment { message messageHtml authorName author { id name } } }
  nodes(ids: $ids) { ... on Comment { message authorName isDeleted viewerCanRestore } } }"""
TOMBSTONE = """comment { id message messageHtml wordCount isDeleted deletedBy deletedAt authorName
  author { id } viewerCanEdit viewerCanMove viewerCanDelete viewerCanRestore }
  deletedCommentId deletedCommentIds thread { commentCount wordCount }"""


@pytest.fixture
def host(database: Database) -> Host:
    return Host(database, settings={"guests": "write"}, deleted_author=lambda: "(deleted)")


STAYING = {
    "tallied_thread",  # without its author
    "tallied_revision",  # deleted with the comment's text
    "tallied_moderation_log",  # without the moderator, like the comments of others
}
"""The tables that refer to authors, and whose rows an erasure does not look for."""


def test_every_table_with_authors_has_eraser() -> None:
    erased = {table.name for eraser in ERASERS for table in eraser.find(new_id()).get_final_froms()}
    of_authors = {
        table.name
        for table in Base.metadata.tables.values()
        if any(key.column.table.name == "tallied_author" for key in table.foreign_keys)
    }
    assert of_authors - erased == STAYING


async def test_comment_with_replies_stays_without_text(host: Host) -> None:
    thread = await host.bob.thread("Engines")
    root, middle, leaf = await add_chain(host.ada, thread, 3)
    deleted = await host.ada.do("deleteComment", TOMBSTONE, commentId=middle, reason="A slip")
    tombstone = deleted["comment"]
    assert tombstone.pop("deletedAt") is not None
    assert deleted == {
        "comment": {
            "id": middle,
            "message": "",
            "messageHtml": "",
            "wordCount": 0,
            "isDeleted": True,
            "deletedBy": "AUTHOR",
            "authorName": None,
            "author": None,
            "viewerCanEdit": False,
            "viewerCanMove": False,
            "viewerCanDelete": False,
            "viewerCanRestore": False,
        },
        "deletedCommentId": None,
        "deletedCommentIds": [],
        "thread": {"commentCount": 2, "wordCount": 4},
    }
    again = await host.ada.do("deleteComment", TOMBSTONE, commentId=middle)
    assert again["comment"].pop("deletedAt") is not None
    assert again == deleted
    await host.assert_exact()
    # The last reply takes the tombstone above it along.
    deleted = await host.ada.do("deleteComment", TOMBSTONE, commentId=leaf)
    assert deleted["deletedCommentId"] == leaf
    assert deleted["deletedCommentIds"] == [leaf, middle]
    assert set(await read_rows(host.database)) == {root}
    assert await read_texts(host.database) == {}
    await host.assert_exact()


async def test_deletion_is_served_nowhere(host: Host) -> None:
    """No query, payload or view has a deleted text, its author or a right to change it."""
    thread = await host.bob.thread("Engines")
    root = await host.ada.comment(thread, "secret words of mine")
    guests = await host.guest.comment(thread, "secret words of a guest")
    for id in (root, guests):
        await add_reply(host.database, id)
        await host.moderator.do("deleteComment", "comment { id }", commentId=id)
    for client in (host.guest, host.ada, host.moderator):
        answer = await client(READS, t=thread, id=root, ids=[root, guests])
        assert "secret" not in str(answer)
        assert "Ada" not in str(answer["node"])
        assert answer["nodes"][1]["authorName"] is None
        for node in answer["nodes"]:
            assert node["isDeleted"] is True
            assert node["viewerCanRestore"] is (client is host.moderator)
        for change in ("editComment", "moveComment"):
            values = {"message": "x"} if change == "editComment" else {"threadId": thread}
            error = await client.refused(change, commentId=root, **values)
            assert (error["code"], error["field"]) == ("NOT_FOUND", "commentId")
    access = host.discussion.access()
    async with host.database.read() as connection:
        page = await read_comments(connection, access, key(thread))
        view = await read_comment(connection, access, key(root))
    assert page is not None
    for shown in (page.nodes[0], view):
        assert shown is not None
        assert (shown.message, shown.message_html, shown.author_name) == ("", "", None)
        assert (shown.is_deleted, shown.deleted_by) == (True, "moderator")
    await assert_sound(host.database)
    await host.assert_exact()


async def test_tombstone_without_listed_replies_is_unlisted(host: Host) -> None:
    """An empty tombstone would tell readers that there is a hidden reply."""
    thread = await host.bob.thread("Engines")
    root, middle, leaf = await add_chain(host.ada, thread, 3)
    database = host.database
    await change_tree(database, leaf, lambda tree, id: tree.hide(id, "pending"))
    deleted = await host.ada.do("deleteComment", TOMBSTONE, commentId=middle)
    assert (deleted["deletedCommentId"], deleted["deletedCommentIds"]) == (middle, [middle])
    assert deleted["comment"]["message"] == "word 1"
    assert (await host.ada.refused("deleteComment", commentId=middle))["code"] == "NOT_FOUND"
    await assert_sound(database)
    # Once the reply is shown, there is something to hang it on.
    await change_tree(database, leaf, lambda tree, id: tree.show(id))
    rows = await read_rows(database)
    assert (rows[middle].placeholder, rows[root].listed_reply_count) == (True, 1)
    await assert_sound(database)
    await host.assert_exact()
    # A hidden comment with replies is a placeholder, and gets its text back with the last one.
    await change_tree(database, root, lambda tree, id: tree.hide(id, "rejected"))
    rows = await read_rows(database)
    assert (rows[root].message, rows[root].placeholder, rows[root].status) == ("", True, "rejected")
    await assert_sound(database)
    deleted = await host.ada.do("deleteComment", TOMBSTONE, commentId=leaf)
    assert deleted["deletedCommentIds"] == [leaf, middle, root]
    rows = await read_rows(database)
    assert set(rows) == {root}
    assert (rows[root].message, rows[root].placeholder) == ("word 0", False)
    assert rows[root].author_id is not None
    await assert_sound(database)
    await host.assert_exact()


async def test_hidden_comment_is_missing_to_others(host: Host) -> None:
    """Without replies it is in no list; its author and moderators alone can come by it."""
    thread = await host.bob.thread("Engines")
    id = await host.ada.comment(thread, "one two")
    await change_tree(host.database, id, lambda tree, key: tree.hide(key, "pending"))
    read = "query($id: ID!) { comment(id: $id) { message } node(id: $id) { id } }"
    for client in (host.guest, host.bob):
        assert await client(read, id=id) == {"comment": None, "node": None}
        for change, values in (
            ("editComment", {"message": "x"}),
            ("moveComment", {"threadId": thread}),
            ("deleteComment", {}),
            ("restoreComment", {}),
        ):
            error = await client.refused(change, commentId=id, **values)
            assert (error["code"], error["field"]) == ("NOT_FOUND", "commentId"), change
    await assert_sound(host.database)
    deleted = await host.ada.do("deleteComment", "deletedCommentIds", commentId=id)
    assert deleted == {"deletedCommentIds": [id]}
    assert await read_rows(host.database) == {}
    await host.assert_exact()


async def test_deleted_placeholder_is_restored_as_placeholder(host: Host) -> None:
    thread = await host.bob.thread("Engines")
    root, leaf = await add_chain(host.ada, thread, 2)
    database = host.database
    await change_tree(database, root, lambda tree, id: tree.hide(id, "rejected"))
    assert (await host.ada.refused("editComment", commentId=root, message="x"))["code"]
    deleted = await host.moderator.do("deleteComment", TOMBSTONE, commentId=root)
    assert deleted["comment"]["isDeleted"] is True
    await assert_sound(database)
    await host.moderator.do("restoreComment", "comment { id }", commentId=root)
    row = (await read_rows(database))[root]
    assert (row.status, row.message, row.placeholder) == ("rejected", "", True)
    await assert_sound(database)
    await change_tree(database, root, lambda tree, id: tree.show(id))
    row = (await read_rows(database))[root]
    assert (row.status, row.message, row.placeholder) == ("published", "word 0", False)
    assert await read_texts(database) == {}
    await assert_sound(database)
    await host.assert_exact()
    assert leaf


async def test_purged_tombstone_is_not_restored(host: Host, database: Database) -> None:
    thread = await host.bob.thread("Engines")
    ids = [(await add_chain(host.ada, thread, 2))[0] for _ in range(5)]
    for id in ids[:4]:
        await host.ada.do("deleteComment", "comment { id }", commentId=id)
    await change_tree(database, ids[4], lambda tree, id: tree.hide(id, "rejected"))
    assert await purge_texts(database, now() - timedelta(days=1)) == 0
    progress: list[tuple[int, int]] = []
    number = await purge_texts(
        database, now(), batch_size=3, progress=lambda *numbers: progress.append(numbers)
    )
    assert (number, progress) == (4, [(3, 4), (4, 4)])
    assert set(await read_texts(database)) == {ids[4]}
    error = await host.moderator.refused("restoreComment", commentId=ids[0])
    assert (error["code"], error["field"]) == ("NOT_RESTORABLE", "commentId")
    assert "cannot be restored" in error["message"]
    # Within the time that texts are kept, they are; after it they are not restored.
    brief = Host(database, settings={"guests": "write", "restore_days": 0})
    other = (await add_chain(host.ada, thread, 2))[0]
    await brief.ada.do("deleteComment", "comment { id }", commentId=other)
    assert set(await read_texts(database)) == {ids[4]}
    read = "query($id: ID!) { comment(id: $id) { viewerCanRestore } }"
    assert (await brief.moderator(read, id=other)) == {"viewerCanRestore": False}
    assert (await host.moderator.refused("restoreComment", commentId=other))["code"]
    await assert_sound(database)
    await host.assert_exact()


async def test_erased_author_leaves_no_byte(host: Host, database: Database) -> None:
    """After the erasure, no column of any table has the name, the subject or a text."""
    ada = host.client(Viewer("subject-4711", "Adalbertina"))
    thread = await host.bob.thread("Engines")
    root, middle, leaf = await add_chain(ada, thread, 3)
    others = await add_reply(database, middle, "of another person")
    deleted, hidden, single = [(await add_chain(ada, thread, 2)) for _ in range(3)]
    for chain in (deleted, hidden, single):
        await add_reply(database, chain[1], "of another person")
    await ada.do("deleteComment", "comment { id }", commentId=deleted[0])
    await change_tree(database, hidden[0], lambda tree, id: tree.hide(id, "rejected"))
    await change_tree(database, single[1], lambda tree, id: tree.hide(id, "spam"))
    await ada.comment(thread, "word alone")
    await ada.do("addReaction", "comment { id }", commentId=others, kind="like")
    author = (await ada("{ viewer { author { id } } }"))["author"]["id"]
    assert {"Adalbertina", "subject-4711", "word 0"} <= await read_values(database)
    erased = await host.moderator.do(
        "deleteAuthor", "deletedAuthorId", authorId=author, comments="TOMBSTONE"
    )
    assert erased == {"deletedAuthorId": author}
    values = " ".join(await read_values(database))
    for trace in ("Adalbertina", "subject-4711", "word", key(author).hex, str(key(author))):
        assert trace not in values
    rows = await read_rows(database)
    for id in (root, middle, *deleted, *hidden, *single):
        assert (rows[id].status, rows[id].deleted_by) == ("deleted", "erasure"), id
        assert (await host.moderator.refused("restoreComment", commentId=id))["code"]
    assert leaf not in rows
    assert rows[others].message == "of another person"
    await assert_sound(database)
    await host.assert_exact()
    error = await host.moderator.refused("deleteAuthor", authorId=author, comments="TOMBSTONE")
    assert (error["code"], error["field"]) == ("NOT_FOUND", "authorId")


async def test_interrupted_erasure_goes_on(host: Host, database: Database) -> None:
    thread = await host.bob.thread("Engines")
    for _ in range(7):
        await add_chain(host.ada, thread, 2)
    author = (await host.ada("{ viewer { author { id } } }"))["author"]["id"]
    access, units = host.discussion.access(ADA), 0

    async def write(work: Any) -> Any:
        nonlocal units
        units += 1
        if units == 3:
            raise TimeoutError
        return await database.write(work)

    with pytest.raises(TimeoutError):
        await erase_author(write, access, key(author), batch_size=4)
    assert await count_rows(database, Comment) == 10
    await host.assert_exact()
    await erase_author(write, access, key(author), batch_size=4)
    assert await count_rows(database, Comment) == 0
    assert set(await host.authors()) == {"user-2"}
    assert units == 3 + 1 + 3 + 1
    await host.assert_exact()


async def test_tombstone_is_restored_by_moderator(host: Host) -> None:
    thread = await host.bob.thread("Engines")
    root, leaf = await add_chain(host.ada, thread, 2)
    before = (await read_rows(host.database))[root]
    await host.moderator.do("deleteComment", "comment { deletedBy }", commentId=root)
    for client, code in ((host.guest, "SIGN_IN_REQUIRED"), (host.ada, "NOT_ALLOWED")):
        assert (await client.refused("restoreComment", commentId=root))["code"] == code
    restored = await host.moderator.do(
        "restoreComment", "comment { message isDeleted authorName }", commentId=root
    )
    assert restored["comment"] == {"message": "word 0", "isDeleted": False, "authorName": "Ada"}
    again = await host.moderator.do("restoreComment", "comment { message }", commentId=root)
    assert again == {"comment": {"message": "word 0"}}
    assert (await host.ada.refused("restoreComment", commentId=root))["code"] == "NOT_ALLOWED"
    after = (await read_rows(host.database))[root]
    for column in Comment.__table__.columns:
        if column.key != "submission_key":
            assert getattr(after, column.key) == getattr(before, column.key), column
    assert await read_texts(host.database) == {}
    await host.assert_exact()
    assert leaf


async def test_comments_written_meanwhile_are_erased(host: Host, database: Database) -> None:
    thread = await host.bob.thread("Engines")
    await add_chain(host.ada, thread, 2)
    author = (await host.ada("{ viewer { author { id } } }"))["author"]["id"]
    units = 0

    async def write(work: Any) -> Any:
        nonlocal units
        units += 1
        if units < 4:
            await host.ada.comment(thread, "once more")
        return await database.write(work)

    await erase_author(write, host.discussion.access(ADA), key(author))
    assert await count_rows(database, Comment) == 0
    assert set(await host.authors()) == {"user-2"}
    await host.assert_exact()


async def test_erasure_in_one_batch_costs_few_statements(
    host: Host, database: Database, statements: Any
) -> None:
    thread = await host.bob.thread("Engines")
    costs = set()
    for size in (2, 5, 12):
        for number in range(size):
            chain = await add_chain(host.ada, thread, 3)
            if number % 2:
                await add_reply(database, chain[1])
        author = (await host.ada("{ viewer { author { id } } }"))["author"]["id"]
        with statements() as executed:
            await erase_author(database.write, host.discussion.access(ADA), key(author))
        costs.add(len(executed))
    # One more where the latest comment that remains has to be looked up.
    assert max(costs) <= min(costs) + 1 <= (21 if database.is_sqlite else 26)
