"""The state of one session: previews, savepoints, and flushed values.

The state lives in ``session.info`` and ends with the session; nothing is kept per
process or on a pooled connection.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any
from weakref import ref

from sqlalchemy.orm import InstanceState, Mapper, Session, SessionTransaction
from sqlalchemy.orm.attributes import flag_dirty, set_committed_value

from ..declarations.copied_relation import CopiedRelation
from ..declarations.counter import Counter
from ..declarations.mapped_rows import Key
from ..registry.counter_registry import CounterRegistry
from .locked_rows import LastNumbers, LockedRows
from .referring_objects import ReferringObjects
from .savepoints import ABSENT, Savepoint, Values, forget


class SessionState:
    """The state of one session."""

    def __init__(self, session: Session) -> None:
        self.session = ref(session)
        self.flush: Any = None
        """The :class:`.Flush` in progress; the unit of work sets it, and clears it at its end."""
        self.statement: Any = None
        """The :class:`.PendingChanges` of the statement in progress."""
        self.paused: dict[Mapper[Any], dict[Key, Any]] | None = None
        """The parents to repair, while counters stand still; None while they do not."""
        self.returned: dict[Mapper[Any], dict[Key, Mapping[str, Any]]] = defaultdict(dict)
        self.pointing: dict[CopiedRelation, ReferringObjects] = {}
        self.locked_rows = LockedRows()
        self.last_numbers = LastNumbers()
        self.numbered: list[tuple[InstanceState[Any], str]] = []
        """The objects that were numbered in the transaction, and the attribute."""
        self._previewed: Values = {}
        self._previewed_objects: list[Any] = []
        """The objects of previews: one that is collected would come back without its preview."""
        self._savepoints: list[Savepoint] = []
        self._rolled_back: SessionTransaction | None = None

    def preview(self, state: InstanceState[Any], key: str, value: Any) -> None:
        """Show `value` until the next flush replaces it or takes it back."""
        if state not in self._previewed:
            self._previewed_objects.append(state.obj())
        self._previewed.setdefault(state, {}).setdefault(key, state.dict.get(key, ABSENT))
        self.show(state, key, value)

    def show(self, state: InstanceState[Any], key: str, value: Any) -> None:
        """Set a counter in memory as if it had been loaded; the ORM does not write it."""
        if self._savepoints:
            savepoint = self._savepoints[-1]
            is_known = state.key not in savepoint.unloaded
            before = savepoint.before.setdefault(state, {})
            before.setdefault(key, state.dict.get(key, ABSENT) if is_known else ABSENT)
        obj = state.obj()
        if obj is not None:
            set_committed_value(obj, key, value)

    def show_new(self, state: InstanceState[Any], values: Mapping[str, Any]) -> None:
        """Set counters of an object that is about to be inserted, as :meth:`show` does."""
        if self._savepoints or not state.committed_state.keys().isdisjoint(values):
            for key, value in values.items():
                self.show(state, key, value)
        else:
            state.dict.update(values)

    def record_written(
        self,
        mapper: Mapper[Any],
        key: Key,
        values: Mapping[str, Any],
        counters: tuple[Counter, ...],
    ) -> None:
        """Record that a flush has written `values` of `counters` to a parent's row."""
        self.returned[mapper][key] = values
        if self._savepoints:
            self._savepoints[-1].written[mapper, key] = counters

    def record_unloaded(self, identity: Any) -> None:
        """Record that a flush has written a row without a loaded object."""
        if self._savepoints:
            self._savepoints[-1].unloaded.add(identity)

    def force_next_flush(self, session: Session) -> None:
        """Mark an object as dirty, so that the next flush is not skipped.

        Needed where what was previewed is not in the session, or is no longer: the
        preview must be taken back although nothing has changed.
        """
        for state, values in self._previewed.items():
            obj = state.obj()
            if obj is not None and state.session is session and values:
                flag_dirty(obj)
                return

    def forget_preview(self, state: InstanceState[Any], names: Any = None) -> None:
        """Forget the previews of an object, or of `names`: it shows stored values now."""
        if names is None:
            self._previewed.pop(state, None)
        elif state in self._previewed:
            for name in names:
                self._previewed[state].pop(name, None)

    def discard_preview(self, state: InstanceState[Any]) -> None:
        """Take the previews off an object that leaves the session."""
        for key, value in self._previewed.pop(state, {}).items():
            if value is ABSENT:
                forget(state, key)
            elif key in state.dict:
                state.dict[key] = value

    def unwritten_previews(self, session: Session) -> list[InstanceState[Any]]:
        """Return the stored objects with a preview that no statement has replaced by a value."""
        return [
            state
            for state, before in self._previewed.items()
            if state.key is not None
            and state.session is session
            and any(state.dict.get(key, ABSENT) != value for key, value in before.items())
        ]

    def discard_previews(self, session: Session) -> None:
        """Take back all previews that no statement has confirmed."""
        previewed, self._previewed = self._previewed, {}
        for state, values in previewed.items():
            for key, value in values.items() if state.session is session else ():
                if value is ABSENT:
                    forget(state, key)
                elif key in state.dict:
                    self.show(state, key, value)
        self._previewed_objects.clear()

    def begin_savepoint(self, transaction: SessionTransaction) -> None:
        """Keep the values that :meth:`show` replaces from now on."""
        self._savepoints.append(Savepoint(transaction))

    def roll_back(self, session: Session) -> None:
        """Clear what a rollback of the innermost savepoint or of the transaction makes void."""
        self._rolled_back = session.get_nested_transaction()
        self._clear()

    def end(self, session: Session, transaction: SessionTransaction) -> None:
        """End a transaction or savepoint, after SQLAlchemy has expired its objects."""
        for state, name in self.numbered:
            if state.key is None:  # new again
                forget(state, name)
        if transaction.parent is None:
            self._savepoints.clear()
            self.numbered.clear()
            self._clear()
        elif self._savepoints and self._savepoints[-1].transaction is transaction:
            savepoint = self._savepoints.pop()
            if self._rolled_back is transaction:
                savepoint.restore(session)
            elif self._savepoints:
                self._savepoints[-1].absorb(savepoint)

    def _clear(self) -> None:
        self._previewed.clear()
        self._previewed_objects.clear()
        self.locked_rows.forget()
        self.last_numbers.forget()
        self.returned.clear()


def get_session_state(registry: CounterRegistry, session: Session | None) -> SessionState | None:
    """Return the state of `session`; None where the counters are not installed on it."""
    if session is None:
        return None
    session_state: SessionState | None = session.info.get(registry)
    if session_state is not None and session_state.session() is session:
        return session_state
    if not registry.is_active_in(session):
        return None
    for base in registry.bases:
        session.info.pop(base, None)
    # Its info may have been copied from another.
    session_state = session.info[registry] = SessionState(session)
    return session_state
