"""A bulk load without an UPDATE a flush: record the touched parents, repair them at the end."""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from types import TracebackType
from typing import Any

from sqlalchemy.orm import Mapper

from ..declarations.change import Change
from ..declarations.copied_relation import copied_names
from ..declarations.dependent_columns import generated_names
from ..declarations.mapped_rows import Key
from ..declarations.number import Number
from ..registry.counter_registry import CounterRegistry
from ..registry.session_classes import AnySession, sync_session
from ..session.state import get_session_state
from ..sql.copies import referenced_keys, referring_keys
from ..sql.counter_updates import write
from ..sql.numbers import number_rows
from ..sql.recount import repair
from ..sql.rows import chunks, in_keys, read
from .pending_changes import PendingChanges


class Pause:
    """A block in which counters are not updated; made by :meth:`.Counters.pause`.

    Used with ``with`` on a Session and with ``async with`` on an AsyncSession. At its
    end the session is flushed, and exactly the parents whose rows were touched are
    locked and recounted, in the same transaction.
    """

    def __init__(self, registry: CounterRegistry, session: AnySession) -> None:
        self._registry = registry
        self._session: Any = session
        self._sync = sync_session(session)
        session_state = get_session_state(registry, self._sync)
        if session_state is None:
            raise TypeError(f"the counters are not installed on {type(self._sync).__name__}")
        self._session_state = session_state

    def touch(self, parent: type[Any], *keys: Any) -> None:
        """Repair the counters of these parents too, whose rows were written by raw SQL.

        :param keys: primary keys; tuples where they have several columns.
        """
        assert self._session_state.paused is not None
        mapper = self._registry.parent_of(parent)
        as_tuples = (key if isinstance(key, tuple) else (key,) for key in keys)
        self._session_state.paused[mapper].update(dict.fromkeys(as_tuples))

    def __enter__(self) -> Pause:
        self._sync.flush()
        self._outer = self._session_state.paused
        self._session_state.paused = defaultdict(dict) if self._outer is None else self._outer
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._outer is not None:  # the outer block repairs
            return
        try:
            if kind is None:
                self._sync.flush()
            if kind is None or self._sync.is_active:
                self._repair()
        finally:
            self._session_state.paused = None

    async def __aenter__(self) -> Pause:
        await self._session.run_sync(lambda _: self.__enter__())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._session.run_sync(lambda _: self.__exit__(kind))

    def _repair(self) -> None:
        assert self._session_state.paused is not None
        pending_changes = PendingChanges(self._registry, self._session_state, self._sync)
        self._add_referenced(pending_changes)
        for mapper in self._registry.parents:
            for keys in chunks(list(self._session_state.paused[mapper]), len(mapper.primary_key)):
                self._repair_some(pending_changes, mapper, list(keys))
        pending_changes.show_dependents()

    def _add_referenced(self, pending_changes: PendingChanges) -> None:
        """Add the rows that the touched parents copy from, which are locked before them."""
        assert self._session_state.paused is not None
        for relation in self._registry.all_copied_relations():
            connection = pending_changes.connection(relation.holder)
            holders = list(self._session_state.paused[relation.holder])
            targets = referenced_keys(connection, relation, holders)
            self._session_state.paused[relation.source].update(dict.fromkeys(targets))

    def _repair_some(
        self, pending_changes: PendingChanges, mapper: Mapper[Any], keys: list[Key]
    ) -> None:
        assert self._session_state.paused is not None
        registry, connection = self._registry, pending_changes.connection(mapper)
        relations = registry.copied_relations.get(mapper, ())
        if relations:  # changed, so that no transaction of an older snapshot goes on with them
            touched = {key: Change(must_write=True) for key in keys}
            write(connection, mapper, (), touched, tuple(copied_names(relations)))
        for relation in relations:
            pointing = referring_keys(connection, relation, keys)
            self._session_state.paused[relation.holder].update(dict.fromkeys(pointing))
        counters, chained = registry.counters_of(mapper), registry.chained(mapper)
        also = sorted({name for outer in chained for name in outer.tracked})
        for row in read(connection, mapper, also, keys, lock=True).values():
            for outer in chained:
                if (parent := outer.parent_key(row)) is not None:
                    self._session_state.paused[outer.parent][parent] = None
        if not counters:
            return
        within = partial(in_keys, keys=keys)
        for counter in counters:
            if isinstance(counter, Number):
                number_rows(connection, counter, within)
        answer = generated_names(mapper, counters)
        for key, values in repair(
            connection, mapper, counters, within, answer=answer, only_wrong=False
        ).items():
            pending_changes.show(mapper, key, values)
