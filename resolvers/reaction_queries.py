"""Reactions as readers see them: how many of each kind, and of whom."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    String,
    and_,
    bindparam,
    exists,
    false,
    func,
    literal_column,
    select,
    true,
    type_coerce,
)

from ..auth.viewer import Viewer
from ..database.row_reader import RowReader
from ..host.access import HostRules, ReactionKind
from ..models import Author, Comment, Reaction, ReactionTotal
from .lists import is_among_ids, key_column
from .pagination.arguments import Record
from .queries import is_in_thread
from .selections import table_of
from .view_types import ReactionGroup

TOTAL, REACTION, AUTHOR, COMMENT = map(table_of, (ReactionTotal, Reaction, Author, Comment))

AUTHOR_COLUMNS = ("id", "name", "created_at", "comment_count", "word_count")
"""The columns of an author who has reacted, or who has edited a comment."""


async def read_reaction_groups(
    reader: RowReader,
    rules: HostRules,
    viewer: Viewer | None,
    ids: Sequence[UUID],
    condition: ColumnElement[bool] | None = None,
) -> Mapping[UUID, list[ReactionGroup]]:
    """Return the reactions to each of these comments, by one statement.

    The kinds are in the order of the setting. Those that it has no more follow, by name.

    :param ids: the keys of the comments; on SQLite, also their hexadecimal digits.
    :param condition: the condition that the threads of the comments must meet.
    """
    statement = _select_groups(
        is_guest=viewer is None,
        is_sqlite=reader.dialect.name == "sqlite",
        is_stored=bool(ids) and isinstance(ids[0], str),
    )
    if condition is not None:
        statement = statement.where(is_in_thread(condition))
    parameters = {"ids": ids} if viewer is None else {"ids": ids, "subject": viewer.subject}
    rows_of: defaultdict[str, list[Any]] = defaultdict(list)
    for row in await reader.select(statement, parameters):
        rows_of[row[1]].append(row)
    kinds = rules.reaction_kinds
    groups: defaultdict[UUID, list[ReactionGroup]] = defaultdict(list)
    for name in (*kinds, *sorted(rows_of.keys() - kinds.keys())):
        kind = kinds.get(name) or ReactionKind(name, "", "")
        emoji, label = kind.emoji or None, kind.label or None
        equal: dict[tuple[int, int], ReactionGroup] = {}  # Most groups are equal to another.
        for id, _, count, has_reacted in rows_of.get(name, ()):
            group = equal.get((count, has_reacted))
            if group is None:
                group = ReactionGroup(name, emoji, label, count, bool(has_reacted))
                equal[count, has_reacted] = group
            groups[id].append(group)
    return groups


@cache
def _select_groups(*, is_guest: bool, is_sqlite: bool, is_stored: bool) -> Select[Any]:
    own: ColumnElement[bool] = false()
    if not is_guest:
        subject: ColumnElement[str] = bindparam("subject")
        author = select(AUTHOR.c.id).where(AUTHOR.c.subject == subject).scalar_subquery()
        own = exists().where(
            REACTION.c.comment_id == TOTAL.c.comment_id,
            REACTION.c.author_id == author,
            REACTION.c.kind == TOTAL.c.kind,
        )
    stored_as = String() if is_stored else None
    id = key_column(TOTAL.c.comment_id, stored_as)
    # Otherwise SQLite looks up the comments first, most of which have no reactions.
    of_total = func.likely(TOTAL.c.comment_id) if is_sqlite else TOTAL.c.comment_id
    return (
        select(id, TOTAL.c.kind, TOTAL.c.count, type_coerce(own, Integer()).label("own"))
        .join_from(TOTAL, COMMENT, COMMENT.c.id == of_total)
        .where(is_among_ids(TOTAL.c.comment_id, is_sqlite=is_sqlite, stored_as=stored_as))
        .where(TOTAL.c.count > 0, COMMENT.c.shown)
    )


async def read_reactors(
    reader: RowReader, ids: Sequence[UUID], size: int, kind: str | None = None
) -> Mapping[UUID, list[tuple[str, Any, Record]]]:
    """Return the latest reactions of each kind to these comments, by one statement.

    :param size: the most reactions of each kind.
    :param kind: the only kind, if it is given.
    :returns: kind, time and author of each, by comment.
    """
    is_sqlite = reader.dialect.name == "sqlite"
    statement = _select_reactors(of_kind=kind is not None, is_sqlite=is_sqlite)
    parameters = {"ids": ids, "size": size, **({} if kind is None else {"kind": kind})}
    reactors: defaultdict[UUID, list[tuple[str, Any, Record]]] = defaultdict(list)
    for id, name, time, *author in await reader.select(statement, parameters):
        record = dict(zip(AUTHOR_COLUMNS, author, strict=True))
        reactors[id].append((name, time, record))
    return reactors


@cache
def _select_reactors(*, of_kind: bool, is_sqlite: bool) -> Select[Any]:
    size = bindparam("size", type_=Integer())
    latest = REACTION.alias("latest")
    order = (latest.c.created_at.desc(), latest.c.author_id.desc())
    is_of_total = and_(latest.c.comment_id == TOTAL.c.comment_id, latest.c.kind == TOTAL.c.kind)
    slice = select(latest.c.author_id).where(is_of_total).order_by(*order).limit(size)
    page: Any
    on: ColumnElement[bool] = true()
    if is_sqlite:
        page = REACTION.alias("page")
        # By their keys, SQLite would look through all reactions of a kind for the latest ones.
        rows: Select[Any] = slice.with_only_columns(literal_column("latest.rowid")).correlate(TOTAL)
        on = literal_column("page.rowid").in_(rows)
    else:
        page = slice.add_columns(latest.c.created_at).correlate(TOTAL).lateral("page")
    authors = [AUTHOR.c[name] for name in AUTHOR_COLUMNS]
    source = (
        TOTAL.join(page, on)
        .join(AUTHOR, AUTHOR.c.id == page.c.author_id)
        .join(COMMENT, COMMENT.c.id == TOTAL.c.comment_id)
    )
    statement = (
        select(TOTAL.c.comment_id, TOTAL.c.kind, page.c.created_at, *authors)
        .select_from(source)
        .where(is_among_ids(TOTAL.c.comment_id, is_sqlite=is_sqlite), COMMENT.c.shown)
        .order_by(page.c.created_at.desc(), page.c.author_id.desc(), TOTAL.c.kind)
    )
    return statement.where(TOTAL.c.kind == bindparam("kind")) if of_kind else statement
