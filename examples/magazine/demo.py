"""Something to look at: three people, two articles and a draft, and what was said."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import func, select

from tallied.database.unit_of_work import UnitOfWork
from tallied.discussion import Discussion
from tallied.resolvers import comments
from tallied.resolvers.reactions import add_reaction

from . import articles
from .accounts import hash_password, new_session_key
from .models import User
from .policy import Reader

PEOPLE = {"ada": False, "ben": False, "eve": True}
"""Who there is, and whether they edit the magazine."""

ARTICLES = {
    "Why the sea is salty": "Rivers wash salt out of the rocks, and the sun takes only the water"
    " back.\n\nIt has been going on for a while.",
    "A pond in the yard": "Dig in autumn, plant in spring, and leave the rest to the frogs.",
}
DRAFT = ("What the frogs said", "They have not said anything yet.")
COMMENTS = [
    ("ben", None, "So the sea is *the end* of the line?"),
    ("ada", 0, "It is, until the sun is hot enough:\n\n> the sun takes only the water back"),
    ("ben", 1, "And the salt stays behind."),
    ("eve", None, "I have it from [a river](https://en.wikipedia.org/wiki/Seawater)."),
]
"""Who says what, and to which of these comments it is a reply."""

REACTIONS = [("eve", 1, "heart"), ("ben", 1, "heart"), ("ada", 2, "laugh")]


async def fill(discussion: Discussion, password: str) -> bool:
    """Fill an empty magazine in, as one unit of work; False where somebody is there already.

    :param password: what all of them sign in with.
    """
    hashed = await hash_password(password)

    async def work(unit: UnitOfWork) -> bool:
        if await unit.session.scalar(select(func.count()).select_from(User)):
            return False
        readers = {name: await _user(unit, name, hashed) for name in PEOPLE}
        access = {name: discussion.access(reader) for name, reader in readers.items()}
        keys = []
        for headline, body in ARTICLES.items():
            keys.append(await articles.write_draft(unit, access["ada"], headline, body))
            await articles.publish(unit, access["ada"], keys[-1])
        await articles.write_draft(unit, access["ada"], *DRAFT)
        thread_id = await articles.thread_of(unit, keys[0])
        said: list[UUID] = []
        for name, place, message in COMMENTS:
            new, to = comments.NewComment(message), None if place is None else said[place]
            added = await comments.add_comment(unit, access[name], thread_id, new, reply_to_id=to)
            assert added.comment is not None
            said.append(added.comment["id"])
        for name, place, kind in REACTIONS:
            await add_reaction(unit, access[name], said[place], kind)
        return True

    return await discussion.write(work)


async def _user(unit: UnitOfWork, name: str, hashed: str) -> Reader:
    user = User(
        name=name,
        password_hash=hashed,
        session_key=new_session_key(),
        is_editor=PEOPLE[name],
    )
    unit.session.add(user)
    await unit.session.flush()
    return Reader(user.subject, name, is_moderator=user.is_editor, user_id=user.id)
