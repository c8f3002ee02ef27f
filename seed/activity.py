"""What people do beside writing comments: they reply, react, edit and flag."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from random import Random
from typing import Any, NamedTuple, TypeAlias
from uuid import UUID

from sqlalchemy import insert, select
from uuid_utils.compat import uuid7

from ..database import UnitOfWork
from ..models import Author, Base, Comment, Flag, Reaction, ReactionTotal, Revision
from ..models.comment import PENDING
from .text import Writer

AUTHORS = 40
"""How many people sign in; the others are guests."""

SUBJECT = "demo-"
"""What the subjects of these people begin with."""

DEPTH = 4
"""The greatest depth of a reply."""

RECENT = 30
"""To how many of the latest comments of a thread people still reply."""

PENDING_EVERY, FLAGGED_EVERY = 400, 300
"""Of how many comments one waits for a moderator, and one is flagged."""

KINDS = ("like", "heart", "laugh")
REASONS = ("spam", "abuse", "off_topic")

Row: TypeAlias = tuple[type[Base], dict[str, Any]]


class Item(NamedTuple):
    """A thread or a comment, and the rows that belong to it."""

    entity: type[Base]
    values: dict[str, Any]
    others: Sequence[Row] = ()


async def write_authors(unit: UnitOfWork, writer: Writer, ids: list[UUID]) -> None:
    """Add the people who sign in, unless they are there, and add their keys to a list."""
    subjects = [f"{SUBJECT}{number:02}" for number in range(AUTHORS)]
    names = [writer.author(writer.language()) for _ in subjects]
    query = select(Author.subject, Author.id).where(Author.subject.in_(subjects))
    keys = {row.subject: row.id for row in await unit.session.execute(query)}
    new = [
        {"id": uuid7(), "subject": subject, "name": name}
        for subject, name in zip(subjects, names, strict=True)
        if subject not in keys
    ]
    if new:
        await unit.session.execute(insert(Author), new)
    keys |= {row["subject"]: row["id"] for row in new}
    ids += [keys[subject] for subject in subjects]


class Activity:
    """What happens in the threads, one after the other.

    :param authors: the keys of the people who sign in.
    """

    def __init__(self, random: Random, authors: Sequence[UUID]) -> None:
        self._random = random
        self._authors = authors
        self._number = 0
        self._recent: list[dict[str, Any]] = []

    def begin_thread(self) -> None:
        """Forget the comments of the thread before."""
        self._recent.clear()

    def author(self) -> UUID | None:
        """Return the author of a thread or a comment, who may be a guest."""
        return self._random.choice(self._authors) if self._random.random() < 0.25 else None

    def add(self, values: dict[str, Any], end: datetime, original: str | None) -> Item:
        """Return a comment in its place, with what others make of it.

        :param values: the columns of the comment, to which others are added.
        :param end: the time until which all happens.
        :param original: the message before its edit, if it was edited.
        """
        self._number += 1
        values |= self._place()
        is_pending = self._number % PENDING_EVERY == 0
        is_flagged = self._number % FLAGGED_EVERY == 0
        values |= {"flagged": is_flagged, "revision": 1 if original is None else 2}
        values["status"] = PENDING if is_pending else "published"
        if not (is_pending or is_flagged):
            self._recent = [*self._recent[-RECENT + 1 :], values]
        others: list[Row] = []
        if original is not None:
            others += _revisions(values, original)
        if is_flagged:
            others += self._flags(values["id"], end)
        elif not is_pending and self._random.random() < 0.05:
            others += self._reactions(values["id"], values["created_at"], end)
        return Item(Comment, values, others)

    def _place(self) -> dict[str, Any]:
        random = self._random
        parent = random.choice(self._recent) if self._recent and random.random() < 0.4 else None
        if parent is None or parent["depth"] == DEPTH:
            return {"parent_id": None, "root_id": None, "depth": 0}
        root_id = parent["root_id"] or parent["id"]
        return {"parent_id": parent["id"], "root_id": root_id, "depth": parent["depth"] + 1}

    def _reactions(self, id: UUID, start: datetime, end: datetime) -> Iterator[Row]:
        random = self._random
        people = random.sample(self._authors, random.choice((1, 1, 2, 3, 5)))
        kinds = {person: random.choice(KINDS) for person in people}
        for kind in dict.fromkeys(kinds.values()):
            yield ReactionTotal, {"comment_id": id, "kind": kind}
        for person, kind in kinds.items():
            time = start + (end - start) * random.random() ** 3
            values = {"comment_id": id, "author_id": person, "kind": kind, "created_at": time}
            yield Reaction, values

    def _flags(self, id: UUID, end: datetime) -> Iterator[Row]:
        for person in self._random.sample(self._authors, self._random.choice((1, 1, 2))):
            reason = self._random.choice(REASONS)
            values = {"comment_id": id, "author_id": person, "reason": reason, "created_at": end}
            yield Flag, values


def _revisions(values: dict[str, Any], original: str) -> Iterator[Row]:
    messages = ((original, values["created_at"]), (values["message"], values["edited_at"]))
    for number, (message, time) in enumerate(messages, 1):
        yield (
            Revision,
            {
                "comment_id": values["id"],
                "number": number,
                "message": message,
                "word_count": Comment.count_words(message),
                "edited_at": time,
                "editor_id": values["author_id"],
            },
        )
