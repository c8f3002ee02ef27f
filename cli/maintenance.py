"""The work of ``verify`` and ``rebuild``, with names and conditions as texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, Connection, Select, and_, func, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import Mapper

from ..checks.reports import Rebuilt, Verified
from ..counters import Counters, Drift
from ..counters.declarations.derived import Derived
from ..counters.declarations.mapped_rows import Key, primary_key
from ..counters.maintenance.conditions import parse_condition, parse_key
from ..counters.maintenance.derived_columns import pages, repair
from ..counters.maintenance.selection import CounterSelection, choose, keys_of, parents_in, rows_in
from ..counters.sql.recount import after_key
from ..database import Database, UnitOfWork
from ..errors import BadUserInput
from ..models.counters import counters as tallied_counters

Condition: TypeAlias = ColumnElement[bool] | None
Report: TypeAlias = Callable[[str, int, int], None]


async def verify(
    database: Database,
    report: Callable[[Drift], None],
    *,
    only: Sequence[str] = (),
    where: Sequence[str] = (),
    sample: int | None = None,
    with_amounts: bool = True,
    counters: Counters = tallied_counters,
) -> Verified:
    """Recount, and `report` each wrong counter and derived column; change nothing.

    :param only: names such as ``Thread.word_count`` or ``Thread``; all where there are none.
    :param where: conditions such as ``created_at >= 2026-01-01``, all of which must be met.
    :param sample: check only that many objects of each class, chosen at random.
    :param with_amounts: also check derived columns, such as the words of each comment.
    :param counters: by default, Tallied's; a host's extension of them has the host's, too.
    :raises CounterError: for a name that is not known.
    :raises BadUserInput: for a condition that cannot be read.
    """
    selection = choose(counters, only, with_amounts)
    condition = _condition(selection, where)
    of_amounts = {str(derived) for derived in counters.derived}

    def work(connection: Connection) -> Verified:
        sizes = _sizes(connection, selection, condition)
        looked_at = {name: min(number, sample or number) for name, number in sizes.items()}
        wrong = {False: 0, True: 0}
        for drift in counters.verify(
            connection, only=only, where=condition, sample=sample, derived=with_amounts
        ):
            wrong[drift.counter in of_amounts] += 1
            report(drift)
        is_complete = condition is None and looked_at == sizes
        return Verified(looked_at, is_complete, not selection.counters, wrong[False], wrong[True])

    async with database.plain.connect() as connection:
        return await connection.run_sync(work)


async def rebuild(
    database: Database,
    *,
    only: Sequence[str] = (),
    where: Sequence[str] = (),
    after: str | None = None,
    with_amounts: bool = False,
    batch_size: int = 1000,
    progress: Report = lambda *_: None,
    counters: Counters = tallied_counters,
) -> Rebuilt:
    """Correct wrong values while others write: derived columns first, then their counters.

    :param only: as for :func:`verify`.
    :param where: as for :func:`verify`.
    :param after: the place that an earlier run reported to `progress`.
    :param with_amounts: also repair derived columns, such as the words of each comment,
        whatever `only` names; not needed if it names them.
    :param batch_size: how many rows are locked at a time, at most.
    :param progress: called after each batch with the place reached, the number of finished
        rows, and the total.
    :param counters: as for :func:`verify`.
    :raises CounterError: for a name that is not known.
    :raises BadUserInput: for a condition or a place that cannot be read.
    """
    named = [*only, *map(str, counters.derived)] if only and with_amounts else only
    selection = choose(counters, named, with_amounts or bool(only))
    condition = _condition(selection, where)
    start = None if after is None else _parse_place(selection, after)
    repaired = 0
    for derived in selection.amounts:
        if start is None or start[0] is derived:
            repaired += await _repair_amounts(
                database,
                derived,
                _rows(selection, derived, condition),
                None if start is None else start[1],
                batch_size,
                progress,
            )
            start = None
    chosen = [counter.target for of_class in selection.counters.values() for counter in of_class]
    if not chosen:
        return Rebuilt(0, repaired)
    after_parent = None if start is None else (start[0].class_, start[1])
    async with database.plain.connect() as connection:
        rows = await connection.run_sync(
            lambda sync: counters.rebuild(
                sync,
                only=chosen,
                where=condition,
                after=after_parent,
                batch_size=batch_size,
                progress=lambda at: progress(_place(at.parent.__name__, at.key), at.done, at.total),
            )
        )
    return Rebuilt(rows, repaired)


async def _repair_amounts(
    database: Database,
    derived: Derived,
    condition: Condition,
    start: Key | None,
    batch_size: int,
    progress: Report,
) -> int:
    """Correct wrong derived columns page by page, each in a unit of work of its own."""
    mapper, repaired = derived.mapper, 0
    chosen = keys_of(mapper, condition)
    remaining = chosen if start is None else chosen.where(after_key(primary_key(mapper), start))
    async with database.plain.connect() as connection:
        total, todo = [await _count(connection, rows) for rows in (chosen, remaining)]
        done = total - todo
        wrong_pages = await connection.run_sync(
            lambda sync: pages(sync, derived, size=batch_size, start=start, where=condition)
        )
        while page := await connection.run_sync(lambda _: next(wrong_pages, None)):

            async def work(unit: UnitOfWork, keys: list[Key] = page.wrong) -> int:
                return await unit.session.run_sync(repair, derived, keys)

            repaired += await database.write(work) if page.wrong else 0
            done += page.rows
            progress(_place(str(derived), page.last), min(done, total), total)
    return repaired


async def _count(connection: AsyncConnection, keys: Select[Any]) -> int:
    number = await connection.execute(select(func.count()).select_from(keys.subquery()))
    await connection.rollback()
    return number.scalar_one()


def _place(name: str, key: Key) -> str:
    return f"{name}:{','.join(map(str, key))}"


def _parse_place(selection: CounterSelection, text: str) -> tuple[Any, Key]:
    """Return where to go on: a derived column, or the mapper of a class with counters, and a key.

    A place without a name is one of the counters, where those of one class are rebuilt.
    """
    columns = {str(derived): derived for derived in selection.amounts}
    classes = {mapper.class_.__name__: mapper for mapper in selection.counters}
    name, _, key = text.rpartition(":")
    if not name and len(classes or columns) == 1:
        (name,) = classes or columns
    if name in columns:
        return columns[name], parse_key(columns[name].mapper, key)
    if name in classes:
        return classes[name], parse_key(classes[name], key)
    names = " or ".join(f"{name}:ID" for name in (*columns, *classes))
    raise BadUserInput(f"The place {text!r} cannot be read; write {names}.")


def _condition(selection: CounterSelection, where: Sequence[str]) -> Condition:
    if not where:
        return None
    mapper = selection.one_class()
    return and_(*(parse_condition(mapper, text) for text in where))


def _rows(selection: CounterSelection, derived: Derived, condition: Condition) -> Condition:
    """Return the condition on the rows of `derived` for a `condition` on their parents."""
    if condition is None or not selection.counters:
        return condition
    mapper = selection.one_class()
    within = parents_in(mapper, condition)
    return None if within is None else rows_in(derived, mapper, selection.counters[mapper], within)


def _sizes(
    connection: Connection, selection: CounterSelection, condition: Condition
) -> dict[str, int]:
    mappers: list[Mapper[Any]] = [*selection.counters]
    mappers = mappers or [derived.mapper for derived in selection.amounts]
    sizes = {}
    for mapper in mappers:
        query = select(func.count()).select_from(keys_of(mapper, condition).subquery())
        sizes[mapper.class_.__name__] = connection.execute(query).scalar_one()
    return sizes
