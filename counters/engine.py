"""The engine: a set of declared counters, installed on a session class."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from sqlalchemy.orm import InstanceState, Mapper, Session, configure_mappers, sessionmaker

from ..errors import UncountedStatementError
from . import listeners
from .cascade import Cascades
from .checks import check, check_installed, check_tables
from .declare import Counter
from .derived import Derived
from .guard import refuse_legacy_bulk
from .ledger import Ledger
from .paused import Paused
from .rebuild import Progress, rebuild
from .resolve import Chains, find_chains, find_tables, in_order
from .selection import Named
from .source import Source, counts_as
from .verify import Drift, verify


class Counters:
    """A set of counters, and the engine that keeps them.

    Declaring them does nothing yet; :meth:`install` puts the engine to work on the
    sessions of one class.
    """

    def __init__(self, *counters: Counter) -> None:
        self.declared = counters
        self.sources: dict[Mapper[Any], Source] = {}
        """By the class that was declared, each with the counters that were declared on it."""
        self.parents: tuple[Mapper[Any], ...] = ()
        self.tables: Mapping[Table, Mapper[Any] | None] = {}
        """The tables that something is counted by or in, or that a cascade starts from."""
        self.cascades = Cascades(())
        self._of_parent: dict[Mapper[Any], tuple[Counter, ...]] = {}
        self._chained: Chains = {}
        self._source_of: dict[Mapper[Any], Source | None] = {}
        """By the class of an object, with the counters of all classes that it inherits from."""
        self._classes: tuple[type[Session], ...] = ()

    def install(self, target: type[Session] | sessionmaker[Any] | async_sessionmaker[Any]) -> None:
        """Keep the counters current in the sessions of `target`, and in no others.

        :param target: a Session class of your own, a ``sessionmaker`` or an
            ``async_sessionmaker``.
        :raises CounterDeclarationError: for a counter that cannot work as declared.
        :raises TypeError: for a `target` of another kind.
        """
        if not self._classes:
            self._resolve()
        session_class = _session_class(target)
        if issubclass(session_class, self._classes):
            return
        check_installed(self, session_class)
        self._classes += (session_class,)
        listeners.listen_to_sessions(self, session_class)
        refuse_legacy_bulk(self, session_class)

    @property
    def classes(self) -> tuple[type[Session], ...]:
        """The session classes that the counters are installed on."""
        return self._classes

    def returned(
        self, session: Session | AsyncSession, parent: type[Any], key: Any
    ) -> Mapping[str, Any] | None:
        """The counters of a parent as the last flush of this transaction has stored them.

        :param key: the parent's primary key; a tuple where it has several columns.
        :returns: the counters by attribute name; None if no flush has changed them.
        """
        sync = session.sync_session if isinstance(session, AsyncSession) else session
        ledger = self.ledger(sync)
        if ledger is None:
            return None
        mapper = self.parent_of(parent)
        return ledger.returned.get((mapper, key if isinstance(key, tuple) else (key,)))

    def paused(self, session: Session | AsyncSession) -> Paused:
        """A block in which the counters stand still, for a bulk load.

        ``with counters.paused(session):``, or ``async with`` on an AsyncSession. At its
        end exactly the parents that were touched are repaired, in the same transaction.
        """
        return Paused(self, session)

    def verify(
        self,
        connection: Connection,
        *,
        only: Iterable[Named] = (),
        where: ColumnElement[bool] | None = None,
        sample: int | None = None,
        amounts: Sequence[Derived] = (),
    ) -> Iterator[Drift]:
        """Recount, and yield each counter that is wrong; changes nothing and blocks nobody.

        What comes is streamed, so memory stays small whatever the number of rows. On
        SQLite give it a connection that begins no ``IMMEDIATE`` transaction, or that one
        keeps writers waiting.

        :param only: the counters to look at, as ``Thread.word_count``, by that name, or
            all of a class; a name of `amounts` too. All of them where it is empty.
        :param where: a condition on the parents to look at, such as
            ``Thread.created_at > yesterday``.
        :param sample: look at so many of them only, drawn at random.
        :param amounts: derived columns of the sources to check as well, row by row in
            Python. With `where` or `sample`, of those parents' rows.
        :raises CounterError: for a name that is not known, and for a `where` that would
            be about several classes.
        """
        self._resolve()
        return verify(self, connection, only=only, where=where, sample=sample, amounts=amounts)

    def rebuild(
        self,
        connection: Connection,
        *,
        only: Iterable[Named] = (),
        where: ColumnElement[bool] | None = None,
        after: tuple[type[Any], Any] | None = None,
        batch_size: int = 1000,
        progress: Callable[[Progress], None] | None = None,
    ) -> int:
        """Put every wrong counter right, while writers go on (:mod:`.rebuild`).

        Each batch of parents is a transaction of its own on `connection`, which must not
        be in one; its isolation level does not matter. It may be stopped at any time, and
        begun again from the start or `after` what it has reached.

        :param only: the counters to repair, as for :meth:`verify`. What is computed from
            them along a chain is repaired with them.
        :param where: a condition on the parents to look at.
        :param after: the class and the primary key to go on after, as a former run's
            ``Progress`` has told them.
        :param batch_size: how many parents are locked at a time, at most.
        :param progress: called after each batch.
        :returns: how many parents had a wrong counter.
        :raises CounterError: as :meth:`verify` does.
        """
        self._resolve()
        return rebuild(
            self,
            connection,
            only=only,
            where=where,
            after=after,
            batch_size=batch_size,
            progress=progress,
        )

    def parent_of(self, class_: type[Any]) -> Mapper[Any]:
        """The declared parent that `class_` is, or inherits from.

        :raises TypeError: for a class that has no counters.
        """
        mapper: Mapper[Any] = class_.__mapper__
        for parent in self.parents:
            if mapper.isa(parent):
                return parent
        raise TypeError(f"{class_.__name__} has no counters")

    def counters_of(self, parent: Mapper[Any]) -> tuple[Counter, ...]:
        """The counters that are stored on `parent`."""
        return self._of_parent[parent]

    def chained(self, parent: Mapper[Any]) -> dict[Counter, Counter]:
        """The counters that are computed from counters of `parent`, each with the one it uses."""
        return self._chained.get(parent, {})

    def refuse(self, mapper: Mapper[Any], what: str) -> None:
        """Raise if rows of `mapper` are counted, or reached by a cascade that is.

        :raises UncountedStatementError: naming `what`.
        """
        if any(table in self.tables for table in mapper.tables):
            name = mapper.class_.__name__
            raise UncountedStatementError(
                f"{what} fires no event and cannot be counted: use Session.add_all(), or "
                f"session.execute(insert({name}), rows)."
            )

    def source_of(self, state: InstanceState[Any]) -> Source | None:
        """What an object counts for, if it does."""
        mapper = state.mapper
        if mapper not in self._source_of:
            counters = [c for c in self.declared if counts_as(mapper, c.source)]
            self._source_of[mapper] = Source(mapper, counters) if counters else None
        return self._source_of[mapper]

    def ledger(self, session: Session) -> Ledger | None:
        """The memory of `session`; None where the engine is not installed on it."""
        ledger: Ledger | None = session.info.get(self)
        if ledger is not None and ledger.session() is session:
            return ledger
        if not isinstance(session, self._classes):
            return None
        ledger = session.info[self] = Ledger(session)  # info may have been copied from another
        return ledger

    # Setting up

    def _resolve(self) -> None:
        if self._of_parent:
            return
        configure_mappers()
        check(self.declared)
        by_source: dict[Mapper[Any], list[Counter]] = {}
        by_parent: dict[Mapper[Any], list[Counter]] = {}
        for counter in self.declared:
            by_source.setdefault(counter.source, []).append(counter)
            by_parent.setdefault(counter.parent, []).append(counter)
        check_tables(by_source)
        self._of_parent = {mapper: tuple(found) for mapper, found in by_parent.items()}
        self.sources = {mapper: Source(mapper, found) for mapper, found in by_source.items()}
        self._chained = find_chains(self.declared)
        self.parents = in_order(self._of_parent, self._chained)
        self.cascades = Cascades(self.sources.values())
        self.tables = find_tables(self.sources, self.parents, self.cascades)
        listeners.listen_to_models(self)


def _session_class(
    target: type[Session] | sessionmaker[Any] | async_sessionmaker[Any],
) -> type[Session]:
    if isinstance(target, async_sessionmaker):
        base: Any = target.kw.get("sync_session_class") or target.class_.sync_session_class
        base = base.class_ if isinstance(base, sessionmaker) else base
        session_class: type[Session] = type(base.__name__, (base,), {})
        target.configure(sync_session_class=session_class)
        return session_class
    if isinstance(target, sessionmaker):
        return target.class_
    if isinstance(target, type) and issubclass(target, Session):
        return target
    raise TypeError(
        f"install() takes a Session class, a sessionmaker or an async_sessionmaker, not {target!r}"
    )
