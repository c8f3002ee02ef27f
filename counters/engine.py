"""The engine: a set of declared counters, installed on a session class."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, event
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from sqlalchemy.orm import (
    InstanceState,
    Mapper,
    ORMExecuteState,
    Session,
    SessionTransaction,
    UOWTransaction,
    configure_mappers,
    sessionmaker,
)
from sqlalchemy.orm.attributes import instance_state

from ..errors import UncountedStatementError
from . import preview, statements
from .cascade import Cascades
from .checks import check
from .declare import Counter
from .derived import Derived
from .flush import Flush
from .guard import protect, refuse_legacy_bulk
from .ledger import Ledger
from .paused import Paused
from .rebuild import Progress, rebuild
from .selection import Named
from .source import Source
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
        self.tables: dict[Table, Mapper[Any]] = {}
        """The tables that something is counted by or in, or that a cascade starts from."""
        self.cascades = Cascades(())
        self._of_parent: dict[Mapper[Any], tuple[Counter, ...]] = {}
        self._chained: dict[Mapper[Any], dict[Counter, Counter]] = {}
        self._source_of: dict[Mapper[Any], Source | None] = {}
        """By the class of an object, with the counters of all classes that it inherits from."""
        self._classes: tuple[type[Session], ...] = ()

    def install(self, target: type[Session] | sessionmaker[Any] | async_sessionmaker[Any]) -> None:
        """Keep the counters current in the sessions of `target`, and in no others.

        :param target: a Session class of your own, a ``sessionmaker`` or an
            ``async_sessionmaker``.
        :raises CounterDeclarationError: for a counter that cannot work as declared.
        """
        if not self._classes:
            self._resolve()
        session_class = _session_class(target)
        self._classes += (session_class,)
        event.listen(session_class, "transient_to_pending", self._on_add)
        event.listen(session_class, "pending_to_transient", self._on_remove)
        event.listen(session_class, "persistent_to_detached", self._on_remove)
        event.listen(session_class, "before_flush", self._before_flush)
        event.listen(session_class, "after_flush", self._after_flush)
        event.listen(session_class, "do_orm_execute", self._on_execute)
        event.listen(session_class, "after_transaction_create", self._on_begin)
        event.listen(session_class, "after_rollback", self._on_rollback)
        event.listen(session_class, "after_transaction_end", self._on_end)
        refuse_legacy_bulk(self, session_class)

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
        mapper: Mapper[Any] = instance_mapper(parent)
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
            counters = [c for c in self.declared if mapper.isa(c.source)]
            self._source_of[mapper] = Source(mapper, counters) if counters else None
        return self._source_of[mapper]

    def ledger(self, session: Session) -> Ledger | None:
        """The memory of `session`; None where the engine is not installed on it."""
        ledger: Ledger | None = session.info.get(self)
        if ledger is None and isinstance(session, self._classes):
            ledger = session.info[self] = Ledger()
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
        self._of_parent = {mapper: tuple(found) for mapper, found in by_parent.items()}
        self.sources = {mapper: Source(mapper, found) for mapper, found in by_source.items()}
        self._find_chains()
        self.parents = self._in_order()
        self.cascades = Cascades(self.sources.values())
        self._find_tables()
        for mapper, source in self.sources.items():
            preview.listen(self, mapper, source.counters)
            if not any(mapper.isa(other) for other in self.sources if other is not mapper):
                self._listen_to_source(mapper)
        for mapper in self.parents:
            protect(mapper, self._of_parent[mapper])
            self._listen_to_parent(mapper)

    def _find_chains(self) -> None:
        for outer in self.declared:
            for inner in self.declared:
                if outer.of is not None and outer.of.property is inner.target.property:
                    self._chained.setdefault(inner.parent, {})[outer] = inner

    def _in_order(self) -> tuple[Mapper[Any], ...]:
        """Parents by the name of their table, but a chain's inner links before its outer ones."""
        waiting = sorted(self._of_parent, key=lambda mapper: str(mapper.local_table))
        done: list[Mapper[Any]] = []

        def visit(mapper: Mapper[Any]) -> None:
            for inner, outers in self._chained.items():
                if inner is not mapper and any(outer.parent is mapper for outer in outers):
                    visit(inner)
            if mapper not in done:
                done.append(mapper)

        for mapper in waiting:
            visit(mapper)
        return tuple(done)

    def _find_tables(self) -> None:
        registries = {mapper.registry for mapper in (*self.sources, *self.parents)}
        for mapper in (each for registry in registries for each in registry.mappers):
            reaching = self.cascades.reaches_from(mapper.tables)
            known = (*self.sources, *self.parents)
            if reaching or any(mapper.isa(each) for each in known):
                table = mapper.local_table
                if isinstance(table, Table) and not (
                    table in self.tables and mapper.isa(self.tables[table])
                ):
                    self.tables[table] = mapper
            if reaching:
                self._listen_to_cascade(mapper)

    def _flush_of(self, obj: Any) -> Flush | None:
        session = instance_state(obj).session
        ledger = None if session is None else self.ledger(session)
        return None if ledger is None else ledger.flush

    def _listen_to_source(self, root: Mapper[Any]) -> None:
        def on(name: str, step: Callable[[Flush, Source, InstanceState[Any]], None]) -> None:
            def listener(mapper: object, connection: object, obj: Any) -> None:
                state = instance_state(obj)
                flush, source = self._flush_of(obj), self.source_of(state)
                if flush is not None and source is not None:
                    step(flush, source, state)

            event.listen(root.class_, name, listener, propagate=True)

        on("before_update", Flush.updating)
        on("before_delete", Flush.lock_late)
        on("after_insert", Flush.inserted)
        on("after_update", Flush.updated)
        on("after_delete", Flush.deleted)

    def _listen_to_parent(self, parent: Mapper[Any]) -> None:
        def before_insert(mapper: object, connection: object, obj: Any) -> None:
            if flush := self._flush_of(obj):
                flush.bear(parent, instance_state(obj))

        def before_update(mapper: object, connection: object, obj: Any) -> None:
            if flush := self._flush_of(obj):
                flush.refuse_new_key(parent, instance_state(obj))

        def after_delete(mapper: object, connection: object, obj: Any) -> None:
            if flush := self._flush_of(obj):
                flush.bury(parent, instance_state(obj))

        def from_database(state: InstanceState[Any], *_: Any) -> None:
            session = state.session
            if session is not None and (ledger := self.ledger(session)):
                ledger.forget_preview(state)

        for listener in (before_insert, before_update, after_delete):
            event.listen(parent.class_, listener.__name__, listener, propagate=True)
        # By state, since an object that is expired may have been collected already.
        event.listen(parent.class_, "expire", from_database, propagate=True, raw=True)
        event.listen(parent.class_, "refresh", from_database, propagate=True, raw=True)

    def _listen_to_cascade(self, reaching: Mapper[Any]) -> None:
        def before_delete(mapper: Mapper[Any], connection: object, obj: Any) -> None:
            if flush := self._flush_of(obj):
                flush.reach(reaching)

        event.listen(reaching.class_, "before_delete", before_delete)

    # A session's events

    def _on_add(self, session: Session, obj: Any) -> None:
        state = instance_state(obj)
        if source := self.source_of(state):
            preview.show_added(self, source.counters, state)

    def _on_remove(self, session: Session, obj: Any) -> None:
        ledger = self.ledger(session)
        if ledger is not None and self.source_of(instance_state(obj)):
            ledger.insist_on_flush(session)

    def _before_flush(self, session: Session, context: UOWTransaction, instances: object) -> None:
        ledger = self.ledger(session)
        assert ledger is not None
        ledger.flush = Flush(self, ledger, session, context)
        ledger.flush.lock_known()

    def _after_flush(self, session: Session, context: UOWTransaction) -> None:
        ledger = self.ledger(session)
        if ledger is not None and ledger.flush is not None:
            ledger.flush.finish()
            ledger.flush = None

    def _on_execute(self, state: ORMExecuteState) -> Any:
        return statements.execute(self, state)

    def _on_begin(self, session: Session, transaction: SessionTransaction) -> None:
        if transaction.nested and (ledger := self.ledger(session)):
            ledger.begin_savepoint(transaction)

    def _on_rollback(self, session: Session) -> None:
        if ledger := self.ledger(session):
            ledger.roll_back(session)

    def _on_end(self, session: Session, transaction: SessionTransaction) -> None:
        if ledger := self.ledger(session):
            ledger.end(session, transaction)


def instance_mapper(class_: type[Any]) -> Mapper[Any]:
    """The mapper of a mapped class."""
    return class_.__mapper__  # type: ignore[no-any-return]


def _session_class(
    target: type[Session] | sessionmaker[Any] | async_sessionmaker[Any],
) -> type[Session]:
    if isinstance(target, async_sessionmaker):
        base = target.kw.get("sync_session_class") or target.class_.sync_session_class
        session_class = type(base.__name__, (base,), {})
        target.configure(sync_session_class=session_class)
        return session_class
    return target.class_ if isinstance(target, sessionmaker) else target
