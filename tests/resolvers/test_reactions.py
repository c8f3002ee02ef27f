"""Reactions: idempotent, counted, read by one statement, and written under the comment's lock."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import ColumnElement, and_, bindparam
from support.api import mutation
from support.board import Board, race
from support.diary import Diary
from support.host import ADA, BOB, Discreet, Gate, Host, blocked, key, run_behind
from support.plans import PlannedApi
from support.query_plans import executed, plan_of
from support.rows import count_rows, find_drifts

from tallied.auth.viewer import Viewer
from tallied.counters.sql.driver import DriverStatement
from tallied.database import Database
from tallied.database.unit_of_work import UnitOfWork
from tallied.errors import ConfigurationError
from tallied.host.policy import CommentContext, Policy
from tallied.models import Comment, Reaction, ReactionTotal, Thread
from tallied.resolvers import reactions, views
from tallied.resolvers.comments import move_comment
from tallied.settings import Settings

GROUPS = "reactionCount reactionGroups { kind emoji count viewerHasReacted }"
PAGE = f"""query($t: ID!) {{ thread(id: $t) {{ comments {{ nodes {{ {GROUPS}
  reactors(first: 2) {{ kind reactedAt author {{ id name commentCount viewerCanDelete }} }} }}
  }} }} }}"""


class Shy(Discreet):
    """Nobody reacts to their own comments."""

    def may_react(self, viewer: Viewer | None, comment: CommentContext) -> bool:
        return viewer is not None and viewer.author_id != comment.author_id


async def count_all(database: Database) -> tuple[int, int]:
    """Return the number of reactions, and that of their totals."""
    return await count_rows(database, Reaction), await count_rows(database, ReactionTotal)


def groups(payload: Any) -> list[tuple[str, int, bool]]:
    return [
        (group["kind"], group["count"], group["viewerHasReacted"])
        for group in payload["comment"]["reactionGroups"]
    ]


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_comments_without_reactions_are_not_looked_up(database: Database) -> None:
    host = Host(database)
    thread = await host.ada.thread("Engines", "one", "two")
    page = "query($t: ID!) { thread(id: $t) { comments { nodes { reactionGroups { kind } } } } }"
    with executed(database) as statements:
        answer = await PlannedApi(database)(page, t=thread)
    assert answer["data"]["thread"]["comments"]["nodes"] == 2 * [{"reactionGroups": []}]
    plan = await plan_of(database, *statements[-1])
    assert plan.index("SEARCH tallied_reaction_total") < plan.index("SEARCH tallied_comment")


async def test_reactions_are_idempotent_and_exact(database: Database, statements: Any) -> None:
    diary = Diary([])
    host = Host(database, hooks=[diary], settings={"reactions": "like:👍:Like,heart:❤️:Heart"})
    thread = await host.ada.thread("Engines", "one", "two")
    comment = await host.bob.comment(thread)
    diary.events.clear()

    async def react(client: Any, change: str, kind: str) -> list[tuple[str, int, bool]]:
        return groups(
            await client.do(change, f"comment {{ {GROUPS} }}", commentId=comment, kind=kind)
        )

    assert await react(host.ada, "addReaction", "heart") == [("heart", 1, True)]
    both = [("like", 1, True), ("heart", 1, True)]
    for _ in range(2):
        assert await react(host.ada, "addReaction", "like") == both
    expected = [("like", 1, False), ("heart", 2, True)]
    assert await react(host.bob, "addReaction", "heart") == expected
    names = [(point, event.reaction["kind"]) for point, event in diary.events if event.reaction]
    assert names == [
        (f"{when}_add_reaction", kind)
        for kind in ("heart", "like", "heart")
        for when in ("before", "after")
    ]
    assert diary.events[-1][1].comment["reaction_count"] == 3  # type: ignore[index]

    query = f"query($c: ID!) {{ comment(id: $c) {{ viewerCanReact {GROUPS} }} }}"
    guest = await host.guest(query, c=comment)
    assert (guest["reactionCount"], guest["viewerCanReact"]) == (3, False)
    assert [group["viewerHasReacted"] for group in guest["reactionGroups"]] == [False, False]
    planned = PlannedApi(database, host.discussion.rules)
    for viewer in (None, ADA, BOB):
        with statements() as executed:
            answer = await planned(PAGE, viewer, t=thread)
        assert sum(verb.startswith("SELECT tallied_reaction") for verb in executed.verbs) == 2
        assert answer == await planned.by_core(PAGE, viewer, t=thread)
    assert planned.counts.executed == 3
    latest = answer["data"]["thread"]["comments"]["nodes"][2]["reactors"]
    assert [(row["kind"], row["author"]["name"]) for row in latest] == [
        ("heart", "Bob"),
        ("like", "Ada"),
        ("heart", "Ada"),
    ]
    async with database.read() as connection:
        access = host.discussion.access(BOB)
        page = await views.read_comments(connection, access, key(thread))
        assert page is not None
        assert [row.reaction_count for row in page.nodes] == [0, 0, 3]
        (found,) = (
            await views.read_reactions(connection, access, [row.id for row in page.nodes])
        ).values()
    assert [(row.kind, row.count, row.viewer_has_reacted) for row in found] == expected

    # A kind that the settings have no more stays readable, and can be taken back.
    later = Host(database, settings={"reactions": "heart:❤️:Heart"})
    former = await later.ada(query, c=comment)
    assert [(group["kind"], group["emoji"]) for group in former["reactionGroups"]] == [
        ("heart", "❤️"),
        ("like", None),
    ]
    assert (await later.bob.refused("addReaction", commentId=comment, kind="like"))["code"] == (
        "UNKNOWN_REACTION"
    )
    for _ in range(2):
        payload = await later.ada.do(
            "removeReaction", f"comment {{ {GROUPS} }}", commentId=comment, kind="like"
        )
        assert groups(payload) == [("heart", 2, True)]
    await host.assert_exact()


async def test_wrong_reactions_are_refused(database: Database) -> None:
    host = Host(database, policy=Shy(), settings={"guests": "moderate"})
    thread = await host.ada.thread("Engines")
    comment, own = await host.bob.comment(thread), await host.ada.comment(thread)
    secret = await host.moderator.comment(await host.moderator.thread("Secret plans"))
    deleted = await host.bob.comment(thread)
    await host.bob.do("deleteComment", "deletedCommentId", commentId=deleted)
    tombstone, hidden = [await host.bob.comment(thread) for _ in range(2)]

    async def withdraw(unit: UnitOfWork) -> None:
        for id, placeholder in ((tombstone, True), (hidden, False)):
            row = await unit.session.get(Comment, key(id))
            assert row is not None
            row.status, row.placeholder = "deleted" if placeholder else "spam", placeholder

    await database.write(withdraw)
    for change in ("addReaction", "removeReaction"):
        for client, id, kind, code in (
            (host.guest, comment, "like", "SIGN_IN_REQUIRED"),
            (host.ada, comment, "dislike", "UNKNOWN_REACTION"),
            (host.ada, comment, "\0", "UNKNOWN_REACTION"),
            (host.ada, comment, "", "UNKNOWN_REACTION"),
            (host.ada, own, "like", "NOT_ALLOWED"),
            (host.ada, secret, "like", "NOT_FOUND"),
            (host.ada, deleted, "like", "NOT_FOUND"),
            (host.ada, thread, "like", "NOT_FOUND"),
            (host.ada, hidden, "like", "NOT_FOUND"),
            (host.ada, tombstone, "like", "NOT_FOUND"),
        ):
            if change == "removeReaction" and code == "NOT_ALLOWED":
                continue  # There is no reaction to take back; the policy is asked first.
            error = await client.refused(change, commentId=id, kind=kind)
            assert error["code"] == code, (change, code)
            assert error["message"].endswith("."), error
    with pytest.raises(TypeError):
        await database.write(
            lambda unit: reactions.add_reaction(
                unit,
                host.discussion.access(ADA),
                key(comment),
                7,  # type: ignore[arg-type]
            )
        )
    assert await count_all(database) == (0, 0)


@pytest.mark.parametrize("value", ["like", "like:x", "Like:x:y", "a:x:y,a:z:w", "a:b:c:d", "a::b"])
def test_wrong_kinds_are_refused(value: str) -> None:
    with pytest.raises(ConfigurationError, match="TALLIED_REACTIONS"):
        Settings(reactions=value)
    assert Settings(reactions="").reactions == ""


async def test_deletions_take_reactions_along(database: Database) -> None:
    host = Host(database)
    threads = [await host.moderator.thread(f"Engines {number}") for number in range(2)]
    comments = [await host.moderator.comment(id) for id in (*threads, *threads)]
    for client in (host.ada, host.bob):
        for comment in comments:
            for kind in ("like", "heart"):
                await client.do("addReaction", "comment { id }", commentId=comment, kind=kind)
    await host.assert_exact()
    authors = (await host.ada("{ viewer { author { id } } }"))["author"]["id"]
    await host.ada.do("deleteAuthor", "deletedAuthorId", authorId=authors)
    assert await count_all(database) == (
        8,
        8,
    )
    await host.assert_exact()
    await host.moderator.do("deleteComment", "deletedCommentId", commentId=comments[0])
    assert await count_all(database) == (
        6,
        6,
    )
    await host.assert_exact()
    await host.moderator.do("deleteThread", "deletedThreadId", threadId=threads[1])
    assert await count_all(database) == (
        2,
        2,
    )
    await host.assert_exact()


async def test_parameters_of_policy_keep_their_values(database: Database) -> None:
    class Titled(Policy):
        def may_read(self, viewer: Any, thread: type[Thread]) -> ColumnElement[bool]:
            names = ("kind", "subject", "author_id", "comment_id", "ids")
            return and_(*(thread.title == bindparam(name, "Engines") for name in names))

    host = Host(database, policy=Titled())
    comment = await host.bob.comment(await host.ada.thread("Engines"))
    for name in ("addReaction", "removeReaction"):
        change = mutation(name, "userErrors { code } comment { id }")
        payload = await host.ada(change, i={"commentId": comment, "kind": "like"})
        assert payload == {"userErrors": [], "comment": {"id": comment}}


@pytest.mark.parametrize("is_locked", [True, False])
@pytest.mark.parametrize("backend", ["postgresql"])
async def test_reaction_waits_for_hiding_of_comment(
    database: Database, monkeypatch: pytest.MonkeyPatch, is_locked: bool
) -> None:
    """Without the lock, the reaction is written to a comment that is hidden by then."""
    host = Host(database)
    comment = await host.bob.comment(await host.ada.thread("Engines"))
    if not is_locked:
        build = reactions._select_locked

        def select_unlocked(*arguments: Any, **options: Any) -> Any:
            statement = build(*arguments, **options).statement.where()  # a copy, since it is kept
            statement._for_update_arg = None
            return DriverStatement(statement)

        monkeypatch.setattr(reactions, "_select_locked", select_unlocked)
    reacting: list[asyncio.Task[Any]] = []

    async def hide(unit: UnitOfWork) -> None:
        row = await unit.session.get(Comment, key(comment))
        assert row is not None
        row.status = "spam"
        await unit.session.flush()
        like = {"commentId": comment, "kind": "like"}
        change = mutation("addReaction", "userErrors { code }")
        reacting.append(asyncio.create_task(host.ada(change, i=like)))
        await blocked(database, *reacting)

    await database.write(hide)
    codes = [error["code"] for error in (await reacting[0])["userErrors"]]
    assert codes == (["NOT_FOUND"] if is_locked else [])
    assert await count_rows(database, Reaction) == (0 if is_locked else 1)
    assert await find_drifts(database) == []


@pytest.mark.parametrize("policy", [Policy(), Discreet()])
async def test_reaction_follows_comment_that_is_moved(database: Database, policy: Policy) -> None:
    """The thread that was found with the comment is another one under its lock."""
    for has_reacted in (False, True):
        board = Board(Host(database, policy=policy))
        await board.fill()
        own: dict[str, Any] = {"commentId": board.ids[2], "kind": "like"}
        if has_reacted:
            await board.host.bob.do("addReaction", "comment { id }", **own)

        async def move(board: Board, unit: UnitOfWork) -> None:
            await move_comment(unit, board.access, board.comment, board.other)

        async def react(board: Board, unit: UnitOfWork, withdraws: bool = has_reacted) -> None:
            access = board.host.discussion.access(BOB)
            change = reactions.remove_reaction if withdraws else reactions.add_reaction
            await change(unit, access, board.comment, "like")

        assert await race(board, move, react) == ["ok", "ok"]
        own_rows = Reaction.comment_id == board.comment
        assert await count_rows(database, Reaction, own_rows) == (not has_reacted)
    await board.host.assert_exact()


async def test_tombstone_and_erasure_lose_reactions(database: Database) -> None:
    host = Host(database)
    thread = await host.ada.thread("Engines")
    parent, other = await host.bob.comment(thread), await host.bob.comment(thread)
    await host.bob.comment(thread, "one", replyToId=parent)
    for client in (host.ada, host.moderator):
        for comment in (parent, other):
            for kind in ("like", "heart"):
                await client.do("addReaction", "comment { id }", commentId=comment, kind=kind)
    payload = await host.bob.do(
        "deleteComment",
        "comment { isDeleted reactionCount viewerCanReact reactionGroups { kind } }",
        commentId=parent,
    )
    assert payload["comment"] == {
        "isDeleted": True,
        "reactionCount": 0,
        "viewerCanReact": False,
        "reactionGroups": [],
    }
    assert await count_all(database) == (
        4,
        2,
    )
    author = (await host.ada("{ viewer { author { id } } }"))["author"]["id"]
    await host.ada.do("deleteAuthor", "deletedAuthorId", authorId=author, comments="TOMBSTONE")
    assert await count_rows(database, Reaction) == 2
    assert await find_drifts(database) == []


LEVELS = ("READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE")
RACES = ("addReaction", "same", "removeReaction", "deleteComment", "deleteThread", "deleteAuthor")


@pytest.mark.parametrize(
    ("backend", "level"),
    [("sqlite", LEVELS[0]), *(("postgresql", level) for level in LEVELS)],
    indirect=["backend"],
)
@pytest.mark.parametrize("race", RACES)
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.exhaustive
async def test_concurrent_changes_keep_reactions_exact(
    database: Database, open_database: Any, race: str, level: str, first: bool
) -> None:
    strict = database if database.is_sqlite else open_database(isolation_level=level)
    operation = {"same": "add_reaction", "addReaction": "add_reaction"}.get(
        race, race.replace("R", "_r").replace("C", "_c").replace("T", "_t").replace("A", "_a")
    )
    gate = Gate("add_reaction" if first else operation)
    host = Host(strict, hooks=[gate])
    plain = Host(strict)
    thread = await plain.moderator.thread("Engines")
    comment = await plain.moderator.comment(thread)
    for client in (plain.ada, plain.bob):
        await client.comment(thread)
    deleted = plain.bob if first else plain.ada
    author = (await deleted("{ viewer { author { id } } }"))["author"]["id"]
    if race in ("removeReaction", "deleteAuthor"):
        await plain.bob.do("addReaction", "comment { id }", commentId=comment, kind="like")

    def other() -> Any:
        select = "userErrors { code }"
        like = {"commentId": comment, "kind": "like"}
        match race:
            case "same":
                return host.ada(mutation("addReaction", select), i=like)
            case "addReaction" | "removeReaction":
                return host.bob(mutation(race, select), i=like)
            case "deleteComment":
                return host.moderator(mutation(race, select), i={"commentId": comment})
            case "deleteThread":
                return host.moderator(mutation(race, select), i={"threadId": thread})
        return host.moderator(mutation(race, select), i={"authorId": author})

    own = host.ada(
        mutation("addReaction", "userErrors { code }"), i={"commentId": comment, "kind": "like"}
    )
    behind = run_behind(gate, strict, *((own, other()) if first else (other(), own)))
    answers = await behind
    allowed = {"NOT_FOUND"} if race in ("deleteComment", "deleteThread") else set()
    codes = {error["code"] for answer in answers for error in answer["userErrors"]}
    assert codes <= allowed
    left = 0 if allowed else 1 + (race == "addReaction" or (race == "deleteAuthor" and not first))
    assert await count_rows(strict, Reaction) == left
    await host.assert_exact()
