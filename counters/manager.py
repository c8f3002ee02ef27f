"""The engine: a set of declared counters, installed on a session class."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from functools import cached_property
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from sqlalchemy import ColumnElement, Connection, Table
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstanceState, Mapper, Session, configure_mappers

from ..errors import UncountedStatementError
from .declarations.copied_relation import Link, Links, counted, find_links
from .declarations.counter import Counter
from .declarations.derived import Derived, check_no_counters
from .maintenance.rebuild import Progress, rebuild
from .maintenance.selection import Named
from .maintenance.verify import Drift, verify
from .registry.cascades import Cascades
from .registry.checks import check, check_tables, raise_findings
from .registry.conflicts import check_apart, check_installed, note_installed, related
from .registry.deletion_lock_order import DeletionLockOrder
from .registry.resolution import Chains, find_chains, find_tables, in_order, without_links
from .registry.session_classes import Installable, own_class, sync_class
from .registry.source import Source, counts_as
from .session.binds import Partners, check_shards, find_partners
from .session.locked_rows import lock
from .session.state import SessionState
from .unit_of_work import listeners, uncounted_sessions
from .unit_of_work.pause import Paused

T = TypeVar("T")


class Counters:
    """A set of counters and derived columns, and the engine that keeps them.

    Declaring them does nothing yet; :meth:`install` puts the engine to work on the
    sessions of one class.
    """

    def __init__(self, *counters: Counter | Derived) -> None:
        self.declared = tuple(each for each in counters if isinstance(each, Counter))
        self.derived = tuple(dict.fromkeys(each for each in counters if isinstance(each, Derived)))
        self.derived_tables = frozenset(each.column.table for each in self.derived)
        self.sources: dict[Mapper[Any], Source] = {}
        """By the class that was declared, each with the counters that were declared on it."""
        self.parents: tuple[Mapper[Any], ...] = ()
        self.tables: Mapping[Table, Mapper[Any] | None] = {}
        """The tables that something is counted by or in, or that a cascade starts from."""
        self.cascades = Cascades(())
        self.ahead = DeletionLockOrder(())
        self.partners: Partners = {}
        """By a class: those whose rows must be in the same database, to be counted with it."""
        self._of_parent: dict[Mapper[Any], tuple[Counter, ...]] = {}
        self._chained: Chains = {}
        self.links: Links = {}
        """What rows point to by a foreign key of their own, to show what is there."""
        self.followers: dict[Counter, list[Callable[..., None]]] = {}
        """What shows the copies of a counter when a new value of it is shown."""
        self._counted: list[Counter] = []
        self._source_of: dict[Mapper[Any], Source | None] = {}
        """By the class of an object, with the counters of all classes that it inherits from."""
        self._classes: tuple[type[Session], ...] = ()
        self._replaced: dict[type[Session], Counters] = {}
        """The session classes on which an extension does the work, of all counters."""
        self._replaces: tuple[Counters, ...] = ()
        self._is_resolved = False
        self.allows_uncounted = False
        """Whether sessions that the counters are not installed on may write counted rows."""
        self.verdicts: MutableMapping[type[Session], dict[Mapper[Any], bool]] = WeakKeyDictionary()
        """Whether sessions of a class may write rows of a mapper; forgotten at each install."""

    def install(self, target: Installable, *, allow_uncounted: bool = False) -> None:
        """Keep the counters current in the sessions of `target`, and in no others.

        Other sessions of the process are refused when they come to a counted row, since every
        counter would drift by what they write.

        :param target: a Session class, ``sqlalchemy.orm.Session`` itself for all sessions of the
            process; or what makes sessions: a ``sessionmaker``, a ``scoped_session`` (such as
            Flask-SQLAlchemy's ``db.session``), or their asynchronous counterparts.
        :param allow_uncounted: let sessions of other classes write counted rows uncounted, for
            :meth:`verify` to find and :meth:`rebuild` to repair. What one call allows, no later
            one forbids.
        :raises CounterDeclarationError: for counters that cannot work as declared; it names all
            that was found.
        :raises TypeError: for a `target` of another kind.
        """
        if not self._classes:
            self._resolve()
        session_class = own_class(target)
        if not issubclass(session_class, (*self._classes, *self._replaced)):
            self._install(session_class)
        self.allows_uncounted |= allow_uncounted
        uncounted_sessions.watch(self)

    def _install(self, session_class: type[Session]) -> None:
        raise_findings(
            [
                *check_shards(session_class),
                *check_installed(self, session_class),
                *check_apart(self),
            ]
        )
        note_installed(self)
        for other in related(self):
            if other.extends(self):
                self._replaced |= dict.fromkeys(other.classes, other)
            elif self.extends(other):
                other._replaced[session_class] = self
                self._replaces += (other,)
        if issubclass(session_class, tuple(self._replaced)):
            return
        for narrower in [each for each in self._classes if issubclass(each, session_class)]:
            listeners.stop_listening(self.session_listeners, narrower)
        self._classes = (
            *(each for each in self._classes if not issubclass(each, session_class)),
            session_class,
        )
        listeners.listen_to_sessions(self.session_listeners, session_class)

    def extended(self, *counters: Counter | Derived) -> Counters:
        """These counters and more, as one engine: for an app that plugs another one in.

        Installed on a session class, the extension does the work of this engine there too, in
        one settlement, so that a counter of one may be computed from a counter of the other.
        It does not matter which of the two is installed first, nor whether this one is at all::

            counters = tallied_counters.extended(
                Sum(Article.comment_count, of=Thread.comment_count, via=Article.thread)
            )
            counters.install(HostSession)

        To verify and rebuild all of them, ask the extension.
        """
        return Counters(*self.declared, *self.derived, *counters)

    def extends(self, other: Counters) -> bool:
        """Whether this engine keeps all counters of `other`, and more."""
        return {*other.declared, *other.derived} < {*self.declared, *self.derived}

    @property
    def classes(self) -> tuple[type[Session], ...]:
        """The session classes that the counters are installed on."""
        return self._classes

    def keeper(self, target: Installable) -> Counters | None:
        """The engine that keeps these counters in the sessions of `target`.

        This one, or an extension of it; None where they are not installed, so that what those
        sessions write is not counted.

        :raises TypeError: for a `target` that cannot have them.
        """
        session_class = sync_class(target)
        for each, extension in self._replaced.items():
            if issubclass(session_class, each):
                return extension.keeper(session_class)
        return self if issubclass(session_class, self._classes) else None

    def returned(
        self, session: Session | AsyncSession, parent: type[Any], key: Any
    ) -> Mapping[str, Any] | None:
        """The counters of a parent as the last flush of this transaction has stored them.

        :param key: the parent's primary key; a tuple where it has several columns.
        :returns: the counters by attribute name; None if no flush has changed them.
        """
        sync = session.sync_session if isinstance(session, AsyncSession) else session
        ledger = self._keeper(sync).ledger(sync)
        if ledger is None:
            return None
        mapper = self.parent_of(parent)
        return ledger.returned.get((mapper, key if isinstance(key, tuple) else (key,)))

    def lock(
        self, session: Session, class_: type[T], key: Any, *, deleting: bool = False
    ) -> T | None:
        """An object under its row's lock: ``session.get(…, with_for_update=True)``, and quicker.

        The next flush takes what was read here for what the row holds, so changing or
        deleting the object costs one statement less. What was changed in memory and not
        flushed is replaced, as by :meth:`~sqlalchemy.orm.Session.refresh`. With an
        AsyncSession: ``await session.run_sync(counters.lock, Comment, id)``.

        :param key: the primary key; a tuple where it has several columns.
        :param deleting: whether the object is to be deleted. What counts for it and goes with
            it, such as the comments of a thread, is locked before it then: in the order in
            which who changes a comment locks the two, so that they do not deadlock.
        :returns: None where there is no such row.
        """
        return lock(self._keeper(session), session, class_, key, deleting=deleting)

    def paused(self, session: Session | AsyncSession) -> Paused:
        """A block in which the counters stand still, for a bulk load.

        ``with counters.paused(session):``, or ``async with`` on an AsyncSession. At its
        end exactly the parents that were touched are repaired, in the same transaction.
        """
        sync = session.sync_session if isinstance(session, AsyncSession) else session
        return Paused(self._keeper(sync), session)

    def verify(
        self,
        connection: Connection,
        *,
        only: Iterable[Named] = (),
        where: ColumnElement[bool] | None = None,
        sample: int | None = None,
        derived: bool = True,
    ) -> Iterator[Drift]:
        """Recount, and yield each counter that is wrong; changes nothing and blocks nobody.

        What comes is streamed, so memory stays small whatever the number of rows. On
        SQLite give it a connection that begins no ``IMMEDIATE`` transaction, or that one
        keeps writers waiting.

        :param only: the counters to look at, as ``Thread.word_count``, by that name, or
            all of a class; derived columns too. All of them where it is empty.
        :param where: a condition on the parents to look at, such as
            ``Thread.created_at > yesterday``.
        :param sample: look at so many of them only, drawn at random.
        :param derived: whether to compute derived columns again, row by row in Python: that
            reads every row. With `where` or `sample`, of those parents and their sources.
        :raises CounterError: for a name that is not known, and for a `where` that would
            be about several classes.
        """
        self._resolve()
        return verify(self, connection, only=only, where=where, sample=sample, derived=derived)

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
            them along a chain is repaired with them. Derived columns are not: they are
            repaired through a session, by :func:`.derived_columns.repair`.
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

    def all_links(self) -> list[Link]:
        """Every link, whatever it points to."""
        return [link for links in self.links.values() for link in links]

    def knows(self, mapper: Mapper[Any]) -> bool:
        """Return whether something is kept in the tables of `mapper`, or counted by them."""
        return any(table in self.tables or table in self.derived_tables for table in mapper.tables)

    def mapper_of(self, table: Table) -> Mapper[Any] | None:
        """Return the class that is mapped to a table which the engine knows, if there is one."""
        derived = (each.mapper for each in self.derived if each.column.table is table)
        return self.tables.get(table) or next(derived, None)

    def refuse(self, mapper: Mapper[Any], what: str) -> None:
        """Raise if rows of `mapper` are counted, or reached by a cascade that is.

        :raises UncountedStatementError: naming `what`.
        """
        if self.knows(mapper):
            name = mapper.class_.__name__
            raise UncountedStatementError(
                f"{what} fires no event and cannot be counted: use Session.add_all(), or "
                f"session.execute(insert({name}), rows)."
            )

    def source_of(self, state: InstanceState[Any]) -> Source | None:
        """What an object counts for, if it does."""
        mapper = state.mapper
        try:
            return self._source_of[mapper]
        except KeyError:
            counters = [c for c in self._counted if counts_as(mapper, c.source)]
            found = self._source_of[mapper] = Source(mapper, counters) if counters else None
            return found

    def ledger(self, session: Session) -> SessionState | None:
        """The memory of `session`; None where the engine is not installed on it."""
        ledger: SessionState | None = session.info.get(self)
        if ledger is not None and ledger.session() is session:
            return ledger
        if not isinstance(session, self._classes) or isinstance(session, tuple(self._replaced)):
            return None
        for other in self._replaces:
            session.info.pop(other, None)
        # Its info may have been copied from another.
        ledger = session.info[self] = SessionState(session)
        return ledger

    def _keeper(self, session: Session) -> Counters:
        """The engine that keeps these counters on `session`: this one, or an extension of it."""
        for session_class, extension in self._replaced.items():
            if isinstance(session, session_class):
                return extension._keeper(session)
        return self

    # Setting up

    @cached_property
    def session_listeners(self) -> listeners.SessionListeners:
        """What listens to the sessions that the counters are installed on."""
        return listeners.make_session_listeners(self)

    def _resolve(self) -> None:
        if self._is_resolved:
            return
        configure_mappers()
        sound, findings = check(self.declared)
        findings += check_no_counters(self.derived, sound)
        by_source: dict[Mapper[Any], list[Counter]] = {}
        by_parent: dict[Mapper[Any], list[Counter]] = {}
        chains = find_chains(sound)
        self.links = find_links(sound, chains)
        self._counted = counted(sound, self.links)
        for counter in self._counted:
            by_source.setdefault(counter.source, []).append(counter)
        for counter in sound:
            by_parent.setdefault(counter.parent, []).append(counter)
        for mapper in self.links:
            by_parent.setdefault(mapper, [])
        raise_findings([*findings, *check_tables(by_source)])
        self.parents = in_order(by_parent, chains, self.links)
        self._of_parent = {mapper: tuple(found) for mapper, found in by_parent.items()}
        self.sources = {mapper: Source(mapper, found) for mapper, found in by_source.items()}
        self._chained = without_links(chains)
        self.cascades = Cascades(self.sources.values())
        self.ahead = DeletionLockOrder(self.sources.values())
        self.partners = find_partners(self.declared)
        self.tables = find_tables(self.sources, self.parents, self.cascades)
        listeners.listen_to_models(self)
        for derived in self.derived:
            derived.engines.append(self)
        self._is_resolved = True
