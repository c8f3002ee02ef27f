"""Declare counters, install them on a session class, verify and rebuild them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection
from sqlalchemy.orm import Session

from .declarations.counter import Counter
from .declarations.derived import Derived
from .declarations.mapped_rows import Key
from .maintenance.rebuild import Progress, rebuild
from .maintenance.selection import Named, expect_connection
from .maintenance.verify import Drift, verify
from .registry.conflicts import check_apart, check_installed, record_installed, related_registries
from .registry.counter_registry import CounterRegistry
from .registry.findings import raise_findings
from .registry.session_classes import (
    AnySession,
    Installable,
    check_shards,
    own_class,
    sync_class,
    sync_session,
)
from .session.state import get_session_state
from .unit_of_work import listeners, uncounted_sessions
from .unit_of_work.locking import keep_locked, lock, lock_all, record_locks
from .unit_of_work.pause import Pause

T = TypeVar("T")


class Counters(CounterRegistry):
    """A set of counters and derived columns, and all that can be done with them.

    Declaring them does nothing yet; :meth:`install` keeps them in the sessions of one class.
    """

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
        self._resolve()
        session_class = own_class(target)
        if not issubclass(session_class, (*self.classes, *self.extensions)):
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
        record_installed(self)
        for other in related_registries(self):
            if other.extends(self):
                self.extensions |= dict.fromkeys(other.classes, other)
            elif self.extends(other):
                other.extensions[session_class] = self
                self.bases += (other,)
        if issubclass(session_class, tuple(self.extensions)):
            return
        subclasses = {c for c in self.classes if issubclass(c, session_class)}
        for subclass in subclasses:
            listeners.stop_listening(self.session_listeners, subclass)
        self.classes = (*(c for c in self.classes if c not in subclasses), session_class)
        listeners.listen_to_sessions(self.session_listeners, session_class)

    def extend(self, *counters: Counter | Derived) -> Counters:
        """Return these counters and more as one set, for an app that plugs another one in.

        Installed on a session class, the extension does the work of this engine there too, in
        one settlement, so that a counter of one may be computed from a counter of the other.
        It does not matter which of the two is installed first, nor whether this one is at all::

            counters = tallied_counters.extend(
                Sum(Article.comment_count, of=Thread.comment_count, via=Article.thread)
            )
            counters.install(HostSession)

        To verify and rebuild all of them, ask the extension.
        """
        return Counters(*self.declared, *self.derived, *counters)

    def installed_on(self, target: Installable) -> Counters | None:
        """Return the counters that are in use in the sessions of `target`.

        This one, or an extension of it; None where they are not installed, so that what those
        sessions write is not counted.

        :raises TypeError: for a `target` that cannot have them.
        """
        installed = self.find_installed(sync_class(target))
        assert installed is None or isinstance(installed, Counters)
        return installed

    def flushed_values(
        self, session: AnySession, parent: type[Any], key: Any
    ) -> Mapping[str, Any] | None:
        """Return the counters of a parent as the last flush of this transaction has stored them.

        :param key: the parent's primary key; a tuple where it has several columns.
        :returns: the counters by attribute name; None if no flush has changed them.
        """
        values = self.all_flushed_values(session, parent)
        return values.get(key if isinstance(key, tuple) else (key,))

    def all_flushed_values(
        self, session: AnySession, parent: type[Any]
    ) -> Mapping[Key, Mapping[str, Any]]:
        """Return the same of all parents of a class, by their keys, which are tuples."""
        sync = sync_session(session)
        session_state = get_session_state(self._registry_of(sync), sync)
        return {} if session_state is None else session_state.returned[self.parent_of(parent)]

    def lock(
        self, session: Session, class_: type[T], key: Any, *, deleting: bool = False
    ) -> T | None:
        """Load an object under its row's lock, as ``session.get(…, with_for_update=True)`` does.

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
        return lock(self._registry_of(session), session, class_, key, deleting=deleting)

    def record_lock(
        self, session: Session, parent: type[Any], key: Any, row: Mapping[str, Any]
    ) -> None:
        """Record that `session` has locked the row of a parent in this transaction by itself.

        For code that locks rows by statements of its own, as an UPDATE does (``FOR NO KEY UPDATE``)
        or more strongly. A flush that numbers rows of this parent (:class:`.Number`) need not lock
        it then. :meth:`lock` records its rows itself.

        :param key: the primary key; a tuple where it has several columns.
        :param row: what was read under the lock, by attribute name; the last number among it.
        """
        self.record_locks(session, parent, {key: row})

    def record_locks(
        self, session: Session, parent: type[Any], rows: Mapping[Any, Mapping[str, Any]]
    ) -> None:
        """Record the locks of several rows, by their keys, as :meth:`record_lock` does."""
        record_locks(self._registry_of(session), session, parent, rows)

    def lock_all(
        self, session: Session, class_: type[T], condition: ColumnElement[bool]
    ) -> list[T]:
        """Load the objects that meet a condition under the locks of their rows.

        One statement locks them, in the order in which every flush does. The next flush takes what
        was read here for what the rows hold, as after :meth:`lock`.
        """
        return lock_all(self._registry_of(session), session, class_, condition)

    def mark_locked(self, session: Session, obj: object) -> None:
        """Record that a statement of the caller has just loaded an object under its row's lock.

        The next flush needs not read the row again then, as after :meth:`lock`.
        """
        keep_locked(self._registry_of(session), session, obj)

    def pause(self, session: AnySession) -> Pause:
        """Return a context manager in which counters are not updated, for a bulk load.

        ``with counters.pause(session):``, or ``async with`` on an AsyncSession. At its
        end exactly the parents that were touched are repaired, in the same transaction.
        """
        sync = sync_session(session)
        return Pause(self._registry_of(sync), session)

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
        :raises TypeError: for anything but a connection.
        :raises CounterError: for a name that is not known, and for a `where` that would
            be about several classes.
        """
        expect_connection(connection)
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
        """Repair every wrong counter while others write (:mod:`.rebuild`).

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
        expect_connection(connection)
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

    def _registry_of(self, session: Session) -> CounterRegistry:
        return self.find_installed(type(session)) or self

    @cached_property
    def session_listeners(self) -> listeners.SessionListeners:
        """The listeners of the sessions that the counters are installed on."""
        return listeners.make_session_listeners(self)

    def _resolve(self) -> None:
        if not self.is_resolved:
            self.resolve()
            listeners.listen_to_models(self)
            for derived in self.derived:
                derived.registries.append(self)
            self.is_resolved = True
