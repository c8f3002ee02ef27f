"""The rows that the oracle's queries read."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import select

from tallied.auth.viewer import Viewer
from tallied.database import Database, UnitOfWork
from tallied.models import Author, Comment, Mark, Reaction, ReactionTotal, Revision, Thread
from tallied.models.base import new_id
from tallied.resolvers.withdrawal import lock_tree

START = datetime(2026, 1, 1, tzinfo=UTC)
VIEWERS = (
    None,
    Viewer("7", "Ada"),
    Viewer("8", "Bob"),
    Viewer("9", "Max", is_moderator=True),
    Viewer("404", "Nobody"),
)


async def fill(database: Database, chance: random.Random) -> None:
    """Fill in threads and comments of all kinds, many of which are alike."""
    authors = [
        Author(
            id=new_id(), subject=viewer.subject, name=viewer.name if viewer.name != "Bob" else None
        )
        for viewer in VIEWERS[1:4]
        if viewer
    ]
    threads = []
    for number in range(chance.randrange(8, 16)):
        target = {"target_type": "article", "target_id": str(number)} if number % 4 == 1 else {}
        moment = START + timedelta(hours=number // 3, microseconds=number % 2 * 1200)
        thread = Thread(
            title=f"{chance.choice(('Thread', 'Thread', 'Secret', 'Été % ﬁ'))} {number % 3}",
            created_at=moment,
            updated_at=moment,
            locked_at=moment if number % 5 == 2 else None,
            author_id=chance.choice([None, *(author.id for author in authors)]),
            comments=[_comment(chance, authors) for _ in range(chance.choice((0, 1, 3, 5, 9)))],
            **target,
        )
        threads.append(thread)

    for thread in threads:
        _reply(chance, thread.comments)

    async def work(unit: UnitOfWork) -> None:
        unit.session.add_all(authors)
        await unit.session.flush()
        unit.session.add_all(threads)

    await database.write(work)
    comments = [comment for thread in threads for comment in thread.comments]

    async def react(unit: UnitOfWork) -> None:
        for comment in comments[::3]:
            for number in range(1, chance.randint(2, 4)):
                unit.session.add(
                    Revision(
                        comment_id=comment.id,
                        number=number,
                        message="*one* two",
                        word_count=2,
                        edited_at=START + timedelta(hours=number),
                        editor_id=chance.choice([None, *(author.id for author in authors)]),
                    )
                )
        for comment in chance.sample(comments, k=len(comments) // 2):
            for kind in chance.sample(("like", "heart", "former"), k=2):
                unit.session.add(ReactionTotal(comment_id=comment.id, kind=kind))
                for author in chance.sample(authors, k=chance.randint(1, 3)):
                    unit.session.add(
                        Reaction(
                            comment_id=comment.id,
                            author_id=author.id,
                            kind=kind,
                            created_at=START + timedelta(hours=chance.randrange(3)),
                        )
                    )

    await database.write(react)

    async def mark(unit: UnitOfWork) -> None:
        for author in authors:
            for thread in chance.sample(threads, k=len(threads) // 2):
                unit.session.add(
                    Mark(
                        author_id=author.id, thread_id=thread.id, last_read_seq=chance.randrange(4)
                    )
                )

    await database.write(mark)
    await database.write(lambda unit: _delete(unit, chance))


async def _delete(unit: UnitOfWork, chance: random.Random) -> None:
    """Delete some comments, and hide some that have replies."""
    ids = (await unit.session.scalars(select(Comment.id).order_by(Comment.id))).all()
    tree = await lock_tree(unit.session, ids)
    for id in ids:
        if tree.is_removed(id) or tree.comments[id].status != "published":
            continue
        if chance.random() < 0.15:
            tree.delete(id, chance.choice(("author", "moderator", "host", "erasure")))
        elif chance.random() < 0.05:
            tree.hide(id, "spam")
    await tree.write()


def _comment(chance: random.Random, authors: Sequence[Author]) -> Comment:
    moment = START + timedelta(hours=chance.randrange(4), microseconds=chance.randrange(3))
    kind = chance.choice(("guest", "author", "author", "deleted"))
    return Comment(
        author_name=chance.choice(("Ada", "Grace")) if kind == "guest" else None,
        author_id=chance.choice(authors).id if kind == "author" else None,
        message=chance.choice(
            ("one two", '*three* "\u2028\\ <b>', "日本語 🙂 `x`", "**long** text & more\n\n" * 40)
        ),
        created_at=moment,
        edited_at=moment if chance.random() < 0.2 else None,
        depth=0,
    )


def _reply(chance: random.Random, comments: Sequence[Comment]) -> None:
    """Make some of a thread's comments replies to others, and hide some without replies."""
    for place, comment in enumerate(comments):
        if place and chance.random() < 0.6:
            answered = chance.choice(comments[:place])
            parent = answered
            if parent.depth == 2:  # as deep as replies may be
                comment.in_reply_to_id = answered.id
                parent = next(comment for comment in comments if comment.id == answered.parent_id)
            comment.parent_id, comment.depth = parent.id, parent.depth + 1
            comment.root_id = parent.root_id or parent.id
    parents = {comment.parent_id for comment in comments}
    for comment in comments:
        if chance.random() < 0.1:
            comment.status = "rejected"
            comment.placeholder = comment.id in parents
