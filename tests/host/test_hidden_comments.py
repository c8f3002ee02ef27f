"""Viewers who may not know of a comment read the same bytes as if it were not there."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
from graphql import GraphQLEnumType, GraphQLInputObjectType, GraphQLList, GraphQLNonNull
from sqlalchemy import ColumnElement, select, text, update
from support.hidden_rows import (
    Question,
    Reader,
    add_published,
    complete_questions,
    hide_new_rows,
    random_questions,
    read_tables,
    write_tables,
)
from support.host import Discreet, Host, key
from support.oracle import values
from support.oracle_rows import fill
from support.rows import locked

from tallied.auth.viewer import Viewer
from tallied.database import Database, UnitOfWork
from tallied.models import Comment, Thread, WithdrawnText
from tallied.models.base import new_id
from tallied.resolvers.withdrawal import lock_tree
from tallied.schema.build import schema
from tallied.schema.ids import encode_id

QUERIES = 6
"""How many random queries are compared in a round."""


async def ask(reader: Reader, questions: Sequence[Question]) -> list[list[Any]]:
    return [await reader.read(question) for question in questions]


async def choose_questions(
    database: Database, chance: random.Random, ids: Sequence[str]
) -> list[Question]:
    """Return requests that name hidden rows, with cursors of places beside and at these."""
    drawn = await values(database)
    comments = [*drawn.ids["Comment"], *ids]
    chosen = {**drawn.ids, "Comment": comments, "": [*drawn.ids[""], *ids]}
    drawn.ids = chosen
    return [*complete_questions(ids), *random_questions(chance, drawn, QUERIES)]


def assert_same(
    questions: Sequence[Question],
    answers: Sequence[Sequence[Any]],
    others: Sequence[Sequence[Any]],
) -> None:
    for question, answer, other in zip(questions, answers, others, strict=True):
        assert answer == other, question


async def test_rows_that_were_never_shown_leave_no_trace(
    database: Database, oracle_round: int
) -> None:
    chance, reader = random.Random(oracle_round), Reader(database)
    await fill(database, chance)
    tables = await read_tables(database)
    ids = await hide_new_rows(database)
    questions = await choose_questions(database, chance, ids)
    answers = await ask(reader, questions)
    assert sum(map(bool, answers)) > len(questions) / 2
    await write_tables(database, tables)
    assert_same(questions, answers, await ask(reader, questions))


async def change_status(database: Database, ids: Sequence[Any], status: str) -> None:
    async def work(unit: UnitOfWork) -> None:
        tree = await lock_tree(unit.session, ids)
        for id in ids:
            if status == "deleted":
                tree.delete(id, "author")
            else:
                tree.hide(id, status)
        await tree.write()

    await database.write(work)


@pytest.mark.exhaustive
async def test_hidden_comments_read_as_deleted_ones(database: Database, oracle_round: int) -> None:
    chance, reader = random.Random(oracle_round), Reader(database)
    await fill(database, chance)
    ids = await add_published(database)
    keys = [key(id) for id in ids[:-1]]
    questions = await choose_questions(database, chance, ids)
    answers = []
    for status in ("pending", "spam", "deleted"):
        await change_status(database, keys, status)
        answers.append(await ask(reader, questions))
    assert_same(questions, answers[0], answers[1])
    assert_same(questions, answers[1], answers[2])


@pytest.mark.exhaustive
async def test_placeholder_tells_nothing_of_its_comment(
    database: Database, oracle_round: int
) -> None:
    chance, reader = random.Random(oracle_round), Reader(database)
    await fill(database, chance)
    async with database.read() as connection:
        is_chosen = (Comment.reply_count > 0, Comment.shown, Comment.author_id.is_not(None))
        rows = await connection.execute(select(Comment.id, Comment.thread_id).where(*is_chosen))
        id, thread_id = rows.first() or pytest.fail("no comment has replies")
    questions = await choose_questions(
        database, chance, [encode_id("Comment", id), encode_id("Thread", thread_id)]
    )
    await change_status(database, [id], "rejected")
    answers = await ask(reader, questions)
    await change_status(database, [id], "pending")

    async def rewrite(unit: UnitOfWork) -> None:
        is_own = WithdrawnText.comment_id == id
        new = {"message": "Other words", "author_id": None, "author_name": "Grace"}
        await unit.session.execute(update(WithdrawnText).where(is_own).values(**new))
        reason = update(Comment).where(Comment.id == id).values(pending_reason="words: other")
        await unit.session.execute(reason)

    await database.write(rewrite)
    assert_same(questions, answers, await ask(reader, questions))


LEAKS = {
    "number": "UPDATE tallied_thread SET last_seq = last_seq + 1 WHERE pending_count > 0",
    "count": "UPDATE tallied_thread SET comment_count = comment_count + 1 WHERE pending_count > 0",
    "total": "UPDATE tallied_thread SET top_level_count = top_level_count + 1"
    " WHERE pending_count > 0",
    "replies": "UPDATE tallied_comment SET reply_count = child_count WHERE shown",
    "row": "UPDATE tallied_comment SET placeholder = true WHERE message = 'Hidden words'",
    "thread": "UPDATE tallied_thread SET title = 'Open plans', title_folded = 'open plans'"
    " WHERE title LIKE 'Secret p%'",
}
"""What a leak of each kind would store."""


@pytest.mark.sqlite
async def test_planted_leaks_are_noticed(database: Database) -> None:
    chance, reader = random.Random(1), Reader(database)
    await fill(database, chance)
    tables = await read_tables(database)
    ids = await hide_new_rows(database)
    hidden = await read_tables(database)
    questions = list(complete_questions(ids))[:1]
    await write_tables(database, tables)
    answers = await ask(reader, questions)
    for name, statement in LEAKS.items():
        await write_tables(database, hidden)

        async def leak(unit: UnitOfWork, sql: str = statement) -> None:
            connection = await unit.session.connection()
            assert (await connection.execute(text(sql))).rowcount

        await database.write(leak)
        assert await ask(reader, questions) != answers, name


INPUTS = {"message": "One two", "title": "One", "reason": "One", "note": "One", "kind": "like"}


def build_input(type_: Any, id: str, thread: str) -> dict[str, Any]:
    """Return an input of a mutation, whose comments have that id."""

    def value(name: str, kind: Any) -> Any:
        kind = kind.of_type if isinstance(kind, GraphQLNonNull) else kind
        if isinstance(kind, GraphQLList):
            return [id]
        if isinstance(kind, GraphQLEnumType):
            return sorted(kind.values)[0]
        if isinstance(kind, GraphQLInputObjectType):
            return {"message": "One two"}
        return {"threadId": thread, **INPUTS}.get(name, id)

    return {
        name: value(name, field.type)
        for name, field in type_.fields.items()
        if isinstance(field.type, GraphQLNonNull) or name == "replyToId"
    }


async def test_mutations_answer_as_of_missing_comments(database: Database, statements: Any) -> None:
    host = Host(database, settings={"guests": "write"}, policy=Discreet())
    thread = await host.moderator.thread("Engines")
    secret = await host.moderator.thread("Secret plans")
    parent = await host.bob.comment(thread)
    hidden = []
    for status, more in (("PENDING", {}), ("SPAM", {"replyToId": parent})):
        hidden.append(await host.ada.comment(thread, "Hidden", **more))
        await host.moderator.do("moderateComments", "comments { id }", ids=hidden[-1:], to=status)
    hidden.append(await host.moderator.comment(secret))
    rows = [*((Comment, key(id)) for id in hidden), (Thread, key(secret))]
    missing = encode_id("Comment", new_id())
    mutations = schema._schema.mutation_type
    assert mutations is not None
    names = []
    for name, field in mutations.fields.items():
        input_type: Any = field.args["input"].type.of_type
        if not {"commentId", "replyToId", "ids"} & {*input_type.fields}:
            continue
        names.append(name)
        document = f"""mutation($i: {input_type.name}!) {{ {name}(input: $i) {{
          userErrors {{ message field path code params {{ max actual }} }} }} }}"""
        for client in (host.bob, host.guest):
            places = (thread, await client.thread(name)) if name == "moveComment" else (thread,)
            for place in places:
                inputs = [build_input(input_type, id, place) for id in (missing, *hidden)]
                answers = []
                # A wait for a lock, or another statement, would take time.
                async with locked(database, *rows):
                    for input in inputs:
                        with statements() as executed:
                            answers.append([await client.post(document, i=input), executed.verbs])
                assert answers[0][0] != {"data": {name: {"userErrors": []}}}, name
                assert answers == answers[:1] * len(answers), name
    assert len(names) >= 9


async def test_payloads_tell_nothing_of_hidden_replies(database: Database) -> None:
    host = Host(database, settings={"guests": "write"})
    payloads = []
    for has_hidden in (False, True):
        thread = await host.bob.thread("Engines")
        parent = await host.bob.comment(thread, "Above")
        reply = await host.ada.comment(thread, "Hi", replyToId=parent)
        if has_hidden:
            await host.moderator.do("moderateComments", "comments { id }", ids=[reply], to="SPAM")
        else:
            await host.ada.do("deleteComment", "comment { id }", commentId=reply)
        facts = """comment { message replyCount threadReplyCount isPublished isDeleted status
          pendingReason flagCount viewerCanReply viewerCanDelete viewerCanEdit seq
          replies(first: 2) { totalCount nodes { id } } }
          thread { commentCount wordCount lastSeq pendingCount unreadCount
            comments(first: 5) { totalCount nodes { message } } }"""
        answers: list[Any] = []
        for client in (host.bob, host.guest):
            names = {"authorName": "Gast"} if client is host.guest else {}
            answers.append(
                await client.do("addComment", facts, threadId=thread, message="Next", **names)
            )
        for name, more in (("editComment", {"message": "New"}), ("deleteComment", {})):
            payload = await host.bob.do(name, facts, commentId=parent, **more)
            answers.append(payload)
        payload = await host.guest(
            "query($t: ID!) { thread(id: $t) { commentCount lastSeq "
            "comments(first: 5) { totalCount nodes { message seq } } } }",
            t=thread,
        )
        payloads.append([*answers, payload])
    assert payloads[0] == payloads[1]


MODERATED = """query($t: ID!, $c: ID!, $n: Int!) { thread(id: $t) {
  commentCount pendingCount flaggedCount comments(first: $n) { totalCount nodes { id } }
  hidden: comments(first: $n, filterBy: {
    status: [PENDING, REJECTED, SPAM], topLevelOnly: false }) {
    totalCount nodes { id message status } } }
  comment(id: $c) { replyCount flagCount replies { totalCount } }
  moderationQueue { totalCount nodes { id message flagCount } } }"""


class Reticent(Discreet):
    """Nobody reads secret threads."""

    def may_read(self, viewer: Viewer | None, thread: type[Thread]) -> ColumnElement[bool]:
        return thread.title.not_like("Secret%")


async def test_moderator_sees_hidden_comments_and_numbers(database: Database) -> None:
    """Public numbers are the same as for readers; those of the queue leave out hidden threads."""
    host = Host(database, policy=Discreet())
    thread, secret = await host.bob.thread("Engines"), await host.moderator.thread("Secret plans")
    parent = await host.bob.comment(thread, "Above")
    ids = {"SECRET": await host.moderator.comment(secret, "In secret")}
    for status in ("PENDING", "REJECTED", "SPAM"):
        place = {} if status == "PENDING" else {"replyToId": parent}
        ids[status] = await host.ada.comment(thread, status, **place)
        change = {"ids": [ids[status]], "to": status}
        await host.moderator.do("moderateComments", "comments { id }", **change)
    change = {"ids": [ids["SECRET"]], "to": "PENDING"}
    await host.moderator.do("moderateComments", "comments { id }", **change)
    await host.ada.do("flagComment", "comment { id }", commentId=parent, reason="SPAM")
    hidden = [
        {"id": ids[status], "message": status, "status": status}
        for status in ("PENDING", "REJECTED", "SPAM")
    ]
    queue = [
        {"id": parent, "message": "Above", "flagCount": 1},
        {"id": ids["SECRET"], "message": "In secret", "flagCount": 0},
        {"id": ids["PENDING"], "message": "PENDING", "flagCount": 0},
    ]
    expected = {
        "thread": {
            "commentCount": 1,
            "pendingCount": 1,
            "flaggedCount": 1,
            "comments": {"totalCount": 1, "nodes": [{"id": parent}]},
            "hidden": {"totalCount": 3, "nodes": hidden},
        },
        "comment": {"replyCount": 0, "flagCount": 1, "replies": {"totalCount": 0}},
    }
    for policy, nodes in ((Discreet(), queue), (Reticent(), queue[::2])):
        moderator = Host(database, policy=policy).moderator
        for number in (5, 6):  # by graphql-core, and then by a plan
            read = await moderator(MODERATED, t=thread, c=parent, n=number)
            assert read.pop("moderationQueue") == {"totalCount": len(nodes), "nodes": nodes}
            assert read == expected
    await host.assert_exact()


async def test_payloads_show_waiting_comment_to_author_alone(database: Database) -> None:
    host = Host(database, settings={"link_limit": 1})
    thread = await host.bob.thread("Engines")
    parent = await host.bob.comment(thread)
    facts = """comment { id message status isPublished pendingReason parent { replyCount } }
      thread { commentCount lastSeq viewerPendingComments { message }
        comments(filterBy: { topLevelOnly: false }) { totalCount } }"""

    def expected(comment: dict[str, Any], pending: Sequence[str], number: int) -> dict[str, Any]:
        texts = [{"message": message} for message in pending]
        counts = {"commentCount": number, "comments": {"totalCount": number}}
        return {
            "comment": {"pendingReason": None, "parent": None, **comment},
            "thread": {**counts, "lastSeq": number, "viewerPendingComments": texts},
        }

    link, waits = "See https://example.org", {"status": "PENDING", "isPublished": False}
    first = await host.ada.do("addComment", facts, threadId=thread, message=link, replyToId=parent)
    id = first["comment"]["id"]
    place = {"parent": {"replyCount": 0}}
    assert first == expected({"id": id, "message": link, **waits, **place}, [link], 1)
    for client, message, pending in ((host.bob, "Next", []), (host.ada, "Own", [link])):
        added = await client.do("addComment", facts, threadId=thread, message=message)
        own = {"id": added["comment"]["id"], "message": message}
        number = added["thread"]["commentCount"]
        shown = {"status": None, "isPublished": True}
        assert added == expected({**own, **shown}, pending, number)
    edited = await host.ada.do("editComment", facts, commentId=id, message="Other")
    assert edited == expected({"id": id, "message": "Other", **waits, **place}, ["Other"], 3)
    refused = await host.ada.refused("addComment", threadId=thread, message="More", replyToId=id)
    assert refused["code"] == "NOT_FOUND"
    deleted = await host.ada.do(
        "deleteComment", "deletedCommentId thread { commentCount lastSeq }", commentId=id
    )
    assert deleted == {"deletedCommentId": id, "thread": {"commentCount": 3, "lastSeq": 3}}
    await host.assert_exact()
