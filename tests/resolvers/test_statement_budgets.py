"""The number of SQL statements of each request, the same at every size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest
from graphql import FieldNode, OperationDefinitionNode, parse
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from support.api import Api
from support.reply_trees import add_reply
from support.rows import store
from support.statements import Budget

from tallied.auth.viewer import Viewer
from tallied.database import Database
from tallied.host.access import HostRules
from tallied.host.targets import Target, targets_by_name
from tallied.models import Author, Comment, Thread
from tallied.schema.build import schema
from tallied.schema.ids import encode_id

COUNTED = "thread { id wordCount commentCount lastCommentAt }"
COSTS: dict[str, int | tuple[int, int]] = {
    # The insert, the update of the thread, and a look at the thread: is it locked? A viewer's
    # author is found, and counted.
    """mutation($id: ID!) { addComment(input: { threadId: $id, authorName: "Ada",
         message: "six" }) { commentEdge { cursor node { id message } } %s } }""": (3, 5),
    """mutation($id: ID!) { addComment(input: { threadId: $id, authorName: "Ada", message: "six" })
         { thread { title wordCount updatedAt lockedAt viewerCanComment } } }""": (3, 6),
    # Its row under lock, two updates, and the history. A viewer's author is found here and below,
    # and that of the comment is counted.
    """mutation($c: ID!) { editComment(input: { commentId: $c,
         message: "one" }) { %s } }""": (4, 6),
    # The lock of the thread that numbers it, one update for both threads, and a look at the one
    # that it comes to. Its author has as many comments and words as before.
    """mutation($c: ID!, $to: ID!) { moveComment(input: { commentId: $c,
         threadId: $to }) { commentEdge { cursor } %s previousThread { wordCount } } }""": (5, 6),
    # It was the latest of its thread, so the one before it is looked up.
    """mutation($c: ID!) { flagComment(input: { commentId: $c, reason: SPAM }) {
         userErrors { code } comment { id } } }""": (0, 8),
    """mutation($c: ID!) { moderateComments(input: { ids: [$c], to: PUBLISHED }) {
         userErrors { code } comments { id } } }""": (2, 12),
    "mutation($c: ID!) { deleteComment(input: { commentId: $c }) { %s } }": (4, 6),
    # The one with a reply, whose text is moved into a table of its own; it is restored below.
    """mutation($root: ID!) { deleteComment(input: { commentId: $root }) {
         comment { message isDeleted } %s } }""": (4, 6),
    # Its author under lock, and the text.
    """mutation($root: ID!) { restoreComment(input: { commentId: $root }) {
         comment { message } %s } }""": (6, 8),
    """mutation($id: ID!) { renameThread(input: { threadId: $id,
         title: "x" }) { %s } }""": (2, 3),
    "mutation($id: ID!) { lockThread(input: { threadId: $id }) { %s } }": (2, 3),
    "mutation($id: ID!) { unlockThread(input: { threadId: $id }) { %s } }": (2, 3),
    # Its row to see whether a viewer may, and under lock; the comments that go with it are looked
    # up, locked, and looked at once it is gone, since their authors' counters follow.
    "mutation($id: ID!) { deleteThread(input: { threadId: $id }) { %s } }": (5, 7),
    """mutation { createThread(input: { title: "Looms" }) { threadEdge { cursor } %s } }""": (1, 2),
    """mutation { createThread(input: { title: "Looms", comment: { authorName: "Ada",
         message: "one two" } }) { comment { message } threadEdge { cursor } %s } }""": (2, 4),
    # It is looked for, and so is the object; then it is inserted, and read. A viewer's author is
    # found twice: as who may read it, and under lock, as who begins it.
    """mutation { threadFor(input: { target: {type: "book", key: "7"} }) { %s } }""": (4, 6),
    # The next time it is found.
    """mutation { again: threadFor(input: { target: {type: "book", key: "7"} }) { %s } }""": (1, 2),
    # A guest may not. The comment under lock, the total, the reaction, and the comment's counter.
    # The second time, the lock alone.
    """mutation($r: ID!) { addReaction(input: { commentId: $r, kind: "like" }) {
         comment { reactionCount } } }""": (0, 4),
    # The author, the thread, and the mark.
    "mutation($to: ID!) { markRead(input: { threadId: $to }) { lastReadSeq } }": (0, 3),
    """mutation($r: ID!) { again: addReaction(input: { commentId: $r, kind: "like" }) {
         comment { reactionCount } } }""": (0, 1),
    """mutation($r: ID!) { removeReaction(input: { commentId: $r, kind: "like" }) {
         comment { reactionCount } } }""": (0, 4),
    # As of a thread; the guests' author has no comments that could be locked and looked at.
    "mutation($a: ID!) { deleteAuthor(input: { authorId: $a }) { deletedAuthorId } }": (6, 9),
}
"""What each mutation costs a guest and a viewer, with the counters in its payload.

On PostgreSQL a deletion costs one more: the comments are locked ahead of what they count for. That
of a thread costs four more, for the reactions to its comments, their totals and the flags.
"""

REJECTED: dict[str, int | tuple[int, int]] = {
    """mutation { createThread(input: { title: "" }) { userErrors { code } } }""": 0,
    """mutation($id: ID!) { renameThread(input: { threadId: $id,
         title: "" }) { userErrors { code } } }""": 0,
    """mutation($id: ID!) { addComment(input: { threadId: $id, authorName: "Ada",
         message: "" }) { userErrors { code } } }""": 0,
    """mutation($c: ID!) { editComment(input: { commentId: $c,
         message: "" }) { userErrors { code } } }""": 0,
    """mutation($gone: ID!) { deleteComment(input: { commentId: $gone }) {
         userErrors { code } } }""": 1,
    """mutation($gone: ID!) { restoreComment(input: { commentId: $gone }) {
         userErrors { code } } }""": 1,
    """mutation($gone: ID!) { addReaction(input: { commentId: $gone, kind: "like" }) {
         userErrors { code } } }""": (0, 1),
    """mutation($c: ID!) { addReaction(input: { commentId: $c, kind: "x" }) {
         userErrors { code } } }""": 0,
    """mutation($gone: ID!) { removeReaction(input: { commentId: $gone, kind: "like" }) {
         userErrors { code } } }""": (0, 2),
    """mutation($gone: ID!, $id: ID!) { moveComment(input: { commentId: $gone, threadId: $id }) {
         userErrors { code } } }""": 1,
    """mutation($none: ID!) { deleteThread(input: { threadId: $none }) {
         userErrors { code } } }""": 1,
    "mutation($none: ID!) { lockThread(input: { threadId: $none }) { userErrors { code } } }": 1,
    "mutation($none: ID!) { unlockThread(input: { threadId: $none }) { userErrors { code } } }": 1,
    """mutation { threadFor(input: { target: {type: "film", key: "7"} }) {
         userErrors { code } } }""": 0,
    """mutation { threadFor(input: { target: {type: "book", key: "8"} }) {
         userErrors { code } } }""": (2, 3),
    """mutation($gone: ID!) { flagComment(input: { commentId: $gone, reason: SPAM }) {
         userErrors { code } } }""": (0, 1),
    """mutation($gone: ID!) { moderateComments(input: { ids: [$gone], to: PENDING }) {
         userErrors { code } } }""": (1, 2),
    """mutation($none: ID!) { markRead(input: { threadId: $none, upTo: 1 }) {
         userErrors { code } } }""": (0, 2),
    """mutation($nobody: ID!) { deleteAuthor(input: { authorId: $nobody }) {
         userErrors { code } } }""": (1, 2),
}
"""The statements of a rejected mutation, for a guest and for a viewer, whose author is found."""

PAGE = """totalCount edges { cursor node { id title } }
  pageInfo { hasNextPage hasPreviousPage startCursor endCursor }"""
READS: dict[str, int | tuple[int, int]] = {
    "query($id: ID!) { thread(id: $id) { title wordCount commentCount lastCommentAt } }": 1,
    """query($id: ID!) { thread(id: $id) { comments(first: 5) { totalCount nodes { message }
         pageInfo { hasNextPage } } } }""": 2,
    "{ limits { titleLength messageLength pageSize } }": 0,
    "query($c: ID!) { comment(id: $c) { message thread { id } } }": 1,
    "query($c: ID!) { comment(id: $c) { message thread { title } } }": 2,
    "query($c: ID!) { node(id: $c) { id ... on Comment { message } ... on Thread { title } } }": 1,
    "query($gone: ID!) { comment(id: $gone) { message thread { title } } }": 1,
    """query($ids: [ID!]!) { nodes(ids: $ids) { id ... on Comment { message }
         ... on Thread { title } } }""": 2,
    """query($ids: [ID!]!) { nodes(ids: $ids) { ... on Thread { comments(last: 3) {
         nodes { message } } } ... on Comment { thread { title } } } }""": 4,
    "{ moderationQueue(first: 5) { totalCount nodes { message } } }": 2,
    f"{{ threads(first: 100) {{ {PAGE} }} }}": 2,
    f"""{{ threads(last: 100, orderBy: {{field: COMMENT_COUNT, direction: ASC}},
         filterBy: {{titleContains: "thread", activeSince: "2020-01-01T00:00:00Z",
         minCommentCount: 1}}) {{ {PAGE} }} }}""": 2,
    """{ threads(first: 100) { nodes { title
         a: comments(first: 3) { nodes { message thread { title } } }
         b: comments(last: 3, orderBy: {field: CREATED_AT, direction: DESC}) {
           edges { cursor node { message } } } } } }""": 3,
    # Each distinct set of arguments is a statement more; a count costs nothing.
    """{ threads(first: 100) { nodes { a: comments(first: 1) { nodes { message } }
         b: comments(first: 2) { nodes { message } } c: comments(last: 1) { nodes { message } }
         same: comments(first: 1) { nodes { message } }
         counted: comments(first: 1) { totalCount } } } }""": 4,
    # A page of each filter, and where it is asked for, one count of all that it lets through.
    """{ threads(first: 100) { nodes { title
         a: comments(first: 3, filterBy: {authorName: "Ada"}) {
           totalCount nodes { message } pageInfo { hasNextPage } }
         b: comments(first: 3, filterBy: {since: "2020-01-01T00:00:00Z"}) {
           totalCount }
         c: comments(first: 3, filterBy: {}) { totalCount } } } }""": 4,
    """query($id: ID!, $c: ID!) { a: thread(id: $id) { title } b: comment(id: $c) { message }
         c: threads(first: 2) { nodes { title } } d: node(id: $id) { id } }""": 4,
    "query($a: ID!) { author(id: $a) { name commentCount wordCount createdAt } }": 1,
    """query($a: ID!, $id: ID!) { nodes(ids: [$a, $id]) { id ... on Author { name }
         ... on Thread { title author { name } } } }""": 2,
    "{ viewer { name isModerator } }": 0,
    "{ reactionKinds { name emoji label } }": 0,
    """query($id: ID!) { thread(id: $id) { comments(first: 100) { nodes { revision
         revisions { number message messageHtml editor { name } } } } } }""": (3, 4),
    """query($id: ID!) { thread(id: $id) { comments(first: 100) { nodes { message
         withdrawnText { message authorName } } } } }""": (3, 4),
    """query($id: ID!) { thread(id: $id) { comments(first: 100) { nodes { reactionCount
         reactionGroups { kind count viewerHasReacted } } } } }""": 3,
    """query($id: ID!) { thread(id: $id) { comments(first: 100) { nodes {
         reactionGroups { kind } reactors(first: 3) { author { name } } } } } }""": 4,
    # The new comments of a thread, and of a page of threads.
    """query($id: ID!) { thread(id: $id) { lastSeq commentsSince(seq: 1, first: 100) {
         nodes { seq message } pageInfo { hasNextPage } } } }""": 2,
    """{ threads(first: 100) { nodes { commentsSince(seq: 1) { totalCount
         nodes { seq message } } } } }""": 3,
    # The marks of a page of threads, and the first unread comments.
    "{ threads(first: 100) { nodes { title unreadCount } } }": (1, 2),
    "{ threads(first: 100) { nodes { unreadCount firstUnread { message } } } }": (1, 3),
    """{ threadFor(target: {type: "book", key: "9"}) { title } }""": 1,
    """{ counts(targets: [{type: "book", key: "7"}, {type: "book", key: "9"}]) {
         target { key } commentCount lastCommentAt } }""": 1,
    # All authors in one; the viewer's own, by which it is known what they may do, in another.
    """{ threads(first: 100) { nodes { author { name } viewerCanComment viewerCanDelete
         comments(first: 3) { nodes { authorName author { name } viewerCanEdit } } } } }""": (2, 4),
}
"""What each query costs a guest, in whose threads only guests write, and a viewer."""


async def books(session: AsyncSession, ids: Sequence[str]) -> dict[str, str]:
    """Return the titles of a host's books, of which there is one."""
    result = await session.execute(text("SELECT '7' AS id, 'The Mill on the Floss' AS title"))
    return {row.id: row.title for row in result if row.id in ids}


RULES = HostRules(targets=targets_by_name([Target("book", books)]))
GUEST, VIEWER = 0, 1


SIZES = [9, *(pytest.param(size, marks=pytest.mark.exhaustive) for size in (2, 25))]


@pytest.mark.parametrize("role", [GUEST, VIEWER])
@pytest.mark.parametrize("size", SIZES)
async def test_every_request_costs_same_at_every_size(
    database: Database, statements: Any, size: int, role: int
) -> None:
    viewer = Viewer("7", "Ada", is_moderator=True) if role == VIEWER else None
    api = Api(database, rules=RULES, viewer=viewer)
    spent = Budget(api, statements)
    threads, author = await filled(api, size, size, viewer)
    to = await api.thread("Looms", "one two three")
    deleted = await api.comment(to)
    await api(
        "mutation($id: ID!) { deleteComment(input: {commentId: $id}) { deletedCommentId } }",
        id=deleted,
    )
    comments = [await api.comment(id) for id in threads]
    root = await api.comment(await api.thread("Mills"))
    for _ in range(size):
        await add_reply(database, root)
    missing, unknown_author = (encode_id(name, UUID(int=7)) for name in ("Thread", "Author"))
    input = {
        "id": threads[0],
        "to": to,
        "root": root,
        "gone": deleted,
        "none": missing,
        "c": comments[0],
    }
    input["r"] = await api.comment(threads[1])
    input |= {"ids": [*threads, deleted, *comments], "a": author, "nobody": unknown_author}

    async def cost(query: str) -> int:
        selection = query.replace("%s", COUNTED)
        if role == VIEWER:
            selection = selection.replace('authorName: "Ada",', "")
        variables = {name: value for name, value in input.items() if f"${name}:" in selection}
        return len(await spent(selection, **variables))

    def allowed(query: str, budget: Any) -> int:
        # A guest who may do everything has the comments locked of a thread that may not be there.
        locks_ahead = ("deleteThread" in query and (query in COSTS or role == GUEST)) or (
            "deleteAuthor" in query and query in COSTS
        )
        count = budget[query] if isinstance(budget[query], int) else budget[query][role]
        # The comments, and with a thread or a comment its flags, totals of reactions and reactions.
        # One with replies stays.
        is_comment = "deleteComment" in query and "$root" not in query and query in COSTS
        ahead = locks_ahead + 3 * (is_comment or (locks_ahead and "deleteThread" in query))
        return count + (0 if database.is_sqlite else ahead)

    for budget in (READS, REJECTED, COSTS):
        spent_on = {query: await cost(query) for query in budget}
        assert spent_on == {query: allowed(query, budget) for query in budget}


async def filled(
    api: Api, threads: int, comments: int, viewer: Viewer | None = None
) -> tuple[list[str], str]:
    """Return the ids of so many threads, each with so many comments, and of an author.

    :param viewer: who has written them; by default, guests.
    """
    author = Author(subject=viewer.subject if viewer else "8", name="Ada")
    written: dict[str, Any] = {"author": author} if viewer else {}
    created = [
        Thread(
            title=f"Thread {number}",
            comments=[
                Comment(author_name=None if viewer else "Ada", message="one two", **written)
                for _ in range(comments)
            ],
            **written,
        )
        for number in range(threads)
    ]

    await store(api.database, author, *created)
    return [encode_id("Thread", thread.id) for thread in created], encode_id("Author", author.id)


def test_every_field_of_roots_has_its_budget() -> None:
    for root, budgets in (("Query", READS), ("Mutation", COSTS), ("Mutation", REJECTED)):
        selection = {
            field.name.value
            for text in budgets
            for operation in parse(text.replace("%s", "")).definitions
            if isinstance(operation, OperationDefinitionNode)
            for field in operation.selection_set.selections
            if isinstance(field, FieldNode)
        }
        assert selection == set(schema._schema.type_map[root].fields)
