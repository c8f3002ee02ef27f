"""The listeners: on the models that are counted, and on a session class."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.orm import (
    InstanceState,
    Mapper,
    ORMExecuteState,
    Session,
    SessionTransaction,
    UOWTransaction,
)

from ...errors import UncountedStatementError
from ..declarations.mapped_rows import counts_as
from ..registry.counter_registry import CounterRegistry
from ..registry.source import Source
from ..session import copy_preview, preview
from ..session.number_protection import protect_number
from ..session.protection import protect
from ..session.state import get_session_state
from . import derived_dml, statements
from .flush import Flush
from .uncounted_sessions import refuse_row


def listen_to_models(registry: CounterRegistry) -> None:
    """Listen to every class that is counted, counts, or is deleted with rows that are."""
    for mapper in registry.parents:  # first: what is shown of a chain is what these let pass
        protect(registry, mapper, registry.counters_of(mapper))
    for number in registry.numbers:
        protect_number(number)
    for mapper, source in registry.sources.items():
        preview.listen(registry, mapper, source.previewed)
        if not any(mapper.isa(other) for other in registry.sources if other is not mapper):
            _listen_to_source(registry, mapper)
    for family in {mapper.base_mapper for mapper in registry.sources if mapper.inherits}:
        _forbid_class_change(registry, family)
    for mapper in registry.parents:
        _listen_to_parent(registry, mapper)
    for relation in registry.all_copied_relations():
        copy_preview.CopyPreview(registry, relation).listen()
    for reaching in set(registry.tables.values()):
        if reaching is not None and registry.cascades.reaches_from(reaching.tables):
            _listen_to_cascade(registry, reaching)


def _flush_of(registry: CounterRegistry, state: InstanceState[Any]) -> Flush | None:
    session_state = get_session_state(registry, state.session)
    return None if session_state is None else session_state.flush


def _watch_deletions(registry: CounterRegistry, mapper: Mapper[Any]) -> None:
    def before_delete(_: object, connection: Connection, state: InstanceState[Any]) -> None:
        if flush := _flush_of(registry, state):
            flush.deletions.watch(connection)

    event.listen(mapper.class_, "before_delete", before_delete, propagate=True, raw=True)


def _listen_to_source(registry: CounterRegistry, root: Mapper[Any]) -> None:
    def on(name: str, step: Callable[[Flush, Source, InstanceState[Any]], None]) -> None:
        def listener(
            mapper: Mapper[Any], connection: Connection, state: InstanceState[Any]
        ) -> None:
            if source := registry.source_of_class[mapper]:
                if flush := _flush_of(registry, state):
                    flush.row_connection = connection
                    step(flush, source, state)
                elif not name.endswith("update") or state.key is None or source.changed(state):
                    refuse_row(registry, state)

        # With both options SQLAlchemy calls a listener as it is; else it puts one around it.
        event.listen(root.class_, name, listener, propagate=True, raw=True, retval=True)

    _watch_deletions(registry, root)
    on("before_update", Flush.updating)
    on("before_delete", Flush.lock_remaining)
    on("after_insert", Flush.inserted)
    on("after_update", Flush.updated)
    on("after_delete", Flush.deleted)

    def from_database(state: InstanceState[Any], *_: Any) -> None:
        session = state.session
        if session is None or session._flushing:
            return
        if session_state := get_session_state(registry, session):
            session_state.force_next_flush(
                session
            )  # what was assigned is gone, and its preview must go

    event.listen(root.class_, "expire", from_database, propagate=True, raw=True)
    event.listen(root.class_, "refresh", from_database, propagate=True, raw=True)


def _forbid_class_change(registry: CounterRegistry, family: Mapper[Any]) -> None:
    """Refuse rows of `family` of another class than their objects: counters tell them apart."""

    def before_update(mapper: Mapper[Any], connection: object, state: InstanceState[Any]) -> None:
        if family.polymorphic_on is None:
            return
        key = mapper.get_property_by_column(family.polymorphic_on).key
        if state.attrs[key].history.has_changes():
            if _flush_of(registry, state) is None:
                refuse_row(registry, state)
                return
            raise UncountedStatementError(
                f"{mapper.class_.__name__}.{key} was changed, which says what class a row is of: "
                f"delete the object and make a new one."
            )

    def after_insert(mapper: Mapper[Any], connection: object, state: InstanceState[Any]) -> None:
        if family.polymorphic_on is None or _flush_of(registry, state) is None:
            return
        key = mapper.get_property_by_column(family.polymorphic_on).key
        named = mapper.polymorphic_map.get(state.dict.get(key), mapper)
        if named is not mapper:
            raise UncountedStatementError(
                f"{mapper.class_.__name__}.{key} is {state.dict[key]!r}, which says that the row "
                f"is of another class: make a {named.class_.__name__}."
            )

    as_is = {"propagate": True, "raw": True}
    event.listen(family.class_, "before_update", before_update, **as_is)
    event.listen(family.class_, "after_insert", after_insert, **as_is)


def _listen_to_parent(registry: CounterRegistry, parent: Mapper[Any]) -> None:
    def on(name: str, step: Callable[[Flush, Mapper[Any], InstanceState[Any]], None]) -> None:
        def listener(mapper: object, connection: object, state: InstanceState[Any]) -> None:
            is_row = counts_as(state.mapper, parent)  # a concrete subclass has keys of its own
            if is_row and (flush := _flush_of(registry, state)):
                step(flush, parent, state)

        event.listen(parent.class_, name, listener, propagate=True, raw=True)

    def before_insert(mapper: object, connection: object, state: InstanceState[Any]) -> None:
        if not counts_as(state.mapper, parent):
            return
        if flush := _flush_of(registry, state):
            flush.set_initial_counters(parent, state)
        elif any(state.dict.get(c.key, c.empty) != c.empty for c in registry.counters_of(parent)):
            refuse_row(registry, state)  # what it shows is a preview that nobody will correct

    _watch_deletions(registry, parent)
    # As above: SQLAlchemy calls it as it is.
    as_is = {"propagate": True, "raw": True, "retval": True}
    event.listen(parent.class_, "before_insert", before_insert, **as_is)
    on("before_update", Flush.refuse_new_key)
    on("after_delete", Flush.mark_parent_deleted)

    def from_database(state: InstanceState[Any], *rest: Any) -> None:
        if session_state := get_session_state(registry, state.session):
            session_state.forget_preview(state, rest[-1])

    # By state, since an object that is expired may have been collected already.
    event.listen(parent.class_, "expire", from_database, propagate=True, raw=True)
    event.listen(parent.class_, "refresh", from_database, propagate=True, raw=True)


def _listen_to_cascade(registry: CounterRegistry, reaching: Mapper[Any]) -> None:
    def before_delete(mapper: Mapper[Any], connection: object, state: InstanceState[Any]) -> None:
        # A subclass with a table of its own is listened to by itself.
        if state.mapper.local_table is not reaching.local_table:
            return
        if flush := _flush_of(registry, state):
            flush.reach(reaching)
        else:
            refuse_row(registry, state)

    event.listen(reaching.class_, "before_delete", before_delete, propagate=True, raw=True)


SessionListeners = Mapping[str, tuple[Callable[..., Any], bool]]
"""By the name of an event: its listener, and whether that takes states in place of objects."""


def listen_to_sessions(listeners: SessionListeners, session_class: type[Session]) -> None:
    """Listen to the sessions of `session_class`, and of its subclasses."""
    for name, (listener, raw) in listeners.items():
        event.listen(session_class, name, listener, **({"raw": True} if raw else {}))


def stop_listening(listeners: SessionListeners, session_class: type[Session]) -> None:
    """Undo :func:`listen_to_sessions`."""
    for name, (listener, _) in listeners.items():
        event.remove(session_class, name, listener)


def make_session_listeners(registry: CounterRegistry) -> SessionListeners:
    """Return what is to listen to the sessions that `registry` is installed on."""

    def on_add(session: Session, state: InstanceState[Any]) -> None:
        if source := registry.source_of_class[state.mapper]:
            if session.identity_map:  # else no parent is loaded
                preview.show_added(registry, source.previewed_groups, state)
            if source.has_copied_relation:
                copy_preview.show_added(registry, state)

    def on_remove(session: Session, state: InstanceState[Any]) -> None:
        session_state = get_session_state(registry, session)
        if session_state is not None:
            session_state.discard_preview(state)
            if registry.source_of(state):
                session_state.force_next_flush(session)

    def before_flush(session: Session, context: UOWTransaction, instances: object) -> None:
        if session_state := get_session_state(registry, session):
            session_state.flush = Flush(registry, session_state, session, context)
            session_state.flush.lock_changed_rows()

    def after_flush(session: Session, context: UOWTransaction) -> None:
        session_state = get_session_state(registry, session)
        if session_state is not None and session_state.flush is not None:
            session_state.flush.write_pending_changes()
            session_state.flush = None
            session_state.locked_rows.forget()

    def on_execute(state: ORMExecuteState) -> Any:
        if not state.is_select and (session_state := get_session_state(registry, state.session)):
            session_state.locked_rows.forget()
            is_changed = derived_dml.fill_in(registry, state)
            result = statements.execute(registry, state)
            # Invoked here, since the session of SQLAlchemy 2.0 does not look at them again.
            return state.invoke_statement() if is_changed and result is None else result
        return statements.execute(registry, state)

    def on_begin(session: Session, transaction: SessionTransaction) -> None:
        if transaction.nested and (session_state := get_session_state(registry, session)):
            session_state.begin_savepoint(transaction)

    def on_rollback(session: Session) -> None:
        if session_state := get_session_state(registry, session):
            if session_state.flush is not None:
                session_state.flush.deletions.close()
            session_state.flush = None
            session_state.roll_back(session)

    def on_end(session: Session, transaction: SessionTransaction) -> None:
        if transaction.parent is not None and not transaction.nested:
            return  # of a flush
        if session_state := get_session_state(registry, session):
            session_state.end(session, transaction)

    return {
        "transient_to_pending": (on_add, True),
        "pending_to_transient": (on_remove, True),
        "persistent_to_detached": (on_remove, True),
        "before_flush": (before_flush, False),
        "after_flush": (after_flush, False),
        "do_orm_execute": (on_execute, False),
        "after_transaction_create": (on_begin, False),
        "after_rollback": (on_rollback, False),
        "after_transaction_end": (on_end, False),
    }
