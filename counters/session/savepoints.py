"""Undo in memory what a rolled-back savepoint has shown."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import InstanceState, Mapper, Session, SessionTransaction
from sqlalchemy.orm.attributes import instance_state, set_committed_value

from ..declarations.counter import Counter
from ..declarations.dependent_columns import generated_names, read_names
from ..declarations.mapped_rows import Key

ABSENT = object()
"""Stands for an attribute that was not loaded."""


Values = dict[InstanceState[Any], dict[str, Any]]


def forget(state: InstanceState[Any], key: str) -> None:
    """Remove a counter from a new object, which shows it as empty from then on."""
    state.dict.pop(key, None)
    state.committed_state.pop(key, None)


class Savepoint:
    """The values to restore in memory if a savepoint is rolled back."""

    def __init__(self, transaction: SessionTransaction) -> None:
        self.transaction = transaction
        self.before: Values = {}
        """The counters that memory showed before they were first replaced."""
        self.written: dict[tuple[Mapper[Any], Key], tuple[Counter, ...]] = {}
        """The counters of written rows, whose object may have been loaded only afterwards."""
        self.unloaded: set[Any] = set()
        """The identities of those that were written before their object was loaded.

        What such an object shows is not a value from before the savepoint.
        """

    def absorb(self, inner: Savepoint) -> None:
        """Take over a released inner savepoint, which can only be undone with this one."""
        for state, values in inner.before.items():
            before = self.before.setdefault(state, {})
            for key, value in values.items():
                before.setdefault(key, ABSENT if state.key in self.unloaded else value)
        self.written |= inner.written
        self.unloaded |= inner.unloaded

    def restore(self, session: Session) -> None:
        """Show the earlier values again; expire those that are not known."""
        for state, values in self.before.items():
            obj = state.obj()
            for key, value in values.items() if obj is not None else ():
                if value is not ABSENT:
                    set_committed_value(obj, key, value)
                elif obj in session:
                    session.expire(obj, [key])
                elif state.key is None:  # new again
                    forget(state, key)
        for (mapper, row), counters in self.written.items():
            obj = session.identity_map.get(mapper.identity_key_from_primary_key(row))
            if obj is not None and instance_state(obj) not in self.before:
                computed = generated_names(mapper, counters) + read_names(mapper, mapper, counters)
                session.expire(obj, [*(counter.key for counter in counters), *computed])
