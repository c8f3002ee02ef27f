"""What the engine remembers of one session: previews, savepoints, what a flush returned.

The ledger lives in ``session.info``, so it goes where the session goes and ends with
it; nothing is kept per process or on a pooled connection.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import InstanceState, Mapper, Session, SessionTransaction
from sqlalchemy.orm.attributes import flag_dirty, set_committed_value

from .declare import Key

if TYPE_CHECKING:
    from .flush import Flush

ABSENT = object()
"""Stands for an attribute that was not loaded."""

Values = dict[InstanceState[Any], dict[str, Any]]


class Ledger:
    """The engine's memory of one session."""

    def __init__(self) -> None:
        self.flush: Flush | None = None
        self.returned: dict[tuple[Mapper[Any], Key], Mapping[str, Any]] = {}
        self._previewed: Values = {}
        self._savepoints: list[tuple[SessionTransaction, Values]] = []
        self._rolled_back: SessionTransaction | None = None

    def preview(self, state: InstanceState[Any], key: str, value: Any) -> None:
        """Show `value` until the next flush, which replaces it or takes it back."""
        self._previewed.setdefault(state, {}).setdefault(key, state.dict[key])
        self.show(state, key, value)

    def show(self, state: InstanceState[Any], key: str, value: Any) -> None:
        """Set a counter in memory, as if it had been loaded: the ORM will not write it."""
        if self._savepoints:
            before = self._savepoints[-1][1].setdefault(state, {})
            before.setdefault(key, state.dict.get(key, ABSENT))
        obj = state.obj()
        if obj is not None:
            set_committed_value(obj, key, value)

    def insist_on_flush(self, session: Session) -> None:
        """See to it that the next flush is not skipped, as one with nothing to write is.

        Needed where what was previewed is not in the session, or is no longer: the
        preview must be taken back although nothing has changed.
        """
        for state in self._previewed:
            obj = state.obj()
            if obj is not None and state.session is session:
                flag_dirty(obj)
                return

    def forget_preview(self, state: InstanceState[Any]) -> None:
        """Memory of `state` comes from the database now."""
        self._previewed.pop(state, None)

    def take_back_previews(self) -> None:
        """Show again what was there before the previews that no statement has confirmed."""
        previewed, self._previewed = self._previewed, {}
        for state, values in previewed.items():
            for key, value in values.items():
                if key in state.dict:
                    self.show(state, key, value)

    def begin_savepoint(self, transaction: SessionTransaction) -> None:
        """From here on, keep what :meth:`show` replaces."""
        self._savepoints.append((transaction, {}))

    def roll_back(self, session: Session) -> None:
        """The innermost savepoint, or else the whole transaction, is being rolled back."""
        self._rolled_back = session.get_nested_transaction()
        self._previewed.clear()
        self.returned.clear()
        self.flush = None

    def end(self, session: Session, transaction: SessionTransaction) -> None:
        """A transaction or savepoint has ended, and SQLAlchemy has expired what it will."""
        if transaction.parent is None:
            self._savepoints.clear()
            self._previewed.clear()
            self.returned.clear()
        elif self._savepoints and self._savepoints[-1][0] is transaction:
            _, values = self._savepoints.pop()
            if self._rolled_back is transaction:
                self._restore(session, values)
            elif self._savepoints:
                for state, before in values.items():
                    self._savepoints[-1][1].setdefault(state, {}).update(
                        before | self._savepoints[-1][1].get(state, {})
                    )

    def _restore(self, session: Session, values: Values) -> None:
        for state, before in values.items():
            obj = state.obj()
            for key, value in before.items():
                if obj is None:
                    continue
                if value is not ABSENT:
                    set_committed_value(obj, key, value)
                elif obj in session:
                    session.expire(obj, [key])
