"""Where the engine listens: on the models that are counted, and on a session class."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

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
from ..registry.source import Source, counts_as
from ..session import copy_preview, preview
from ..session.protection import protect
from . import derived_dml, statements
from .flush import Flush
from .uncounted_sessions import refuse_row

if TYPE_CHECKING:
    from ..manager import Counters


def listen_to_models(engine: Counters) -> None:
    """Listen to every class that is counted, counts, or is deleted with rows that are."""
    for mapper in engine.parents:  # first: what is shown of a chain is what these let pass
        protect(engine, mapper, engine.counters_of(mapper))
    for mapper, source in engine.sources.items():
        preview.listen(engine, mapper, source.shown)
        if not any(mapper.isa(other) for other in engine.sources if other is not mapper):
            _listen_to_source(engine, mapper)
    for family in {mapper.base_mapper for mapper in engine.sources if mapper.inherits}:
        _keep_apart(engine, family)
    for mapper in engine.parents:
        _listen_to_parent(engine, mapper)
    for link in engine.all_links():
        copy_preview.listen(engine, link)
    for reaching in set(engine.tables.values()):
        if reaching is not None and engine.cascades.reaches_from(reaching.tables):
            _listen_to_cascade(engine, reaching)


def _flush_of(engine: Counters, state: InstanceState[Any]) -> Flush | None:
    session = state.session
    ledger = None if session is None else engine.ledger(session)
    return None if ledger is None else ledger.flush


def _watch_deletions(engine: Counters, mapper: Mapper[Any]) -> None:
    def before_delete(_: object, connection: Connection, state: InstanceState[Any]) -> None:
        if flush := _flush_of(engine, state):
            flush.deletions.watch(connection)

    event.listen(mapper.class_, "before_delete", before_delete, propagate=True, raw=True)


def _listen_to_source(engine: Counters, root: Mapper[Any]) -> None:
    def on(name: str, step: Callable[[Flush, Source, InstanceState[Any]], None]) -> None:
        def listener(mapper: object, connection: object, state: InstanceState[Any]) -> None:
            if source := engine.source_of(state):
                if (flush := _flush_of(engine, state)) is not None:
                    step(flush, source, state)
                elif not name.endswith("update") or state.key is None or source.changed(state):
                    refuse_row(engine, state)

        # With both options SQLAlchemy calls a listener as it is; else it puts one around it.
        event.listen(root.class_, name, listener, propagate=True, raw=True, retval=True)

    _watch_deletions(engine, root)
    on("before_update", Flush.updating)
    on("before_delete", Flush.lock_late)
    on("after_insert", Flush.inserted)
    on("after_update", Flush.updated)
    on("after_delete", Flush.deleted)

    def from_database(state: InstanceState[Any], *_: Any) -> None:
        session = state.session
        if session is None or session._flushing:
            return
        if ledger := engine.ledger(session):
            ledger.force_next_flush(session)  # what was assigned is gone, and its preview must go

    event.listen(root.class_, "expire", from_database, propagate=True, raw=True)
    event.listen(root.class_, "refresh", from_database, propagate=True, raw=True)


def _keep_apart(engine: Counters, family: Mapper[Any]) -> None:
    """Refuse that a row of `family` turns from one class to another: counters tell them apart."""

    def before_update(mapper: Mapper[Any], connection: object, state: InstanceState[Any]) -> None:
        if family.polymorphic_on is None:
            return
        key = mapper.get_property_by_column(family.polymorphic_on).key
        if state.attrs[key].history.has_changes():
            if _flush_of(engine, state) is None:
                refuse_row(engine, state)
                return
            raise UncountedStatementError(
                f"{mapper.class_.__name__}.{key} was changed, which says what class a row is of: "
                f"delete the object and make a new one."
            )

    event.listen(family.class_, "before_update", before_update, propagate=True, raw=True)


def _listen_to_parent(engine: Counters, parent: Mapper[Any]) -> None:
    def on(name: str, step: Callable[[Flush, Mapper[Any], InstanceState[Any]], None]) -> None:
        def listener(mapper: object, connection: object, state: InstanceState[Any]) -> None:
            is_row = counts_as(state.mapper, parent)  # a concrete subclass has keys of its own
            if is_row and (flush := _flush_of(engine, state)):
                step(flush, parent, state)

        event.listen(parent.class_, name, listener, propagate=True, raw=True)

    def before_insert(mapper: object, connection: object, state: InstanceState[Any]) -> None:
        if not counts_as(state.mapper, parent):
            return
        if flush := _flush_of(engine, state):
            flush.set_initial_counters(parent, state)
        elif any(state.dict.get(c.key, c.empty) != c.empty for c in engine.counters_of(parent)):
            refuse_row(engine, state)  # what it shows is a preview that nobody will correct

    _watch_deletions(engine, parent)
    event.listen(parent.class_, "before_insert", before_insert, propagate=True, raw=True)
    on("before_update", Flush.refuse_new_key)
    on("after_delete", Flush.mark_parent_deleted)

    def from_database(state: InstanceState[Any], *rest: Any) -> None:
        session = state.session
        if session is not None and (ledger := engine.ledger(session)):
            ledger.forget_preview(state, rest[-1])

    # By state, since an object that is expired may have been collected already.
    event.listen(parent.class_, "expire", from_database, propagate=True, raw=True)
    event.listen(parent.class_, "refresh", from_database, propagate=True, raw=True)


def _listen_to_cascade(engine: Counters, reaching: Mapper[Any]) -> None:
    def before_delete(mapper: Mapper[Any], connection: object, state: InstanceState[Any]) -> None:
        # A subclass with a table of its own is listened to by itself.
        if state.mapper.local_table is not reaching.local_table:
            return
        if flush := _flush_of(engine, state):
            flush.reach(reaching)
        else:
            refuse_row(engine, state)

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


def make_session_listeners(engine: Counters) -> SessionListeners:
    """Return what is to listen to the sessions that `engine` is installed on."""

    def on_add(session: Session, state: InstanceState[Any]) -> None:
        if source := engine.source_of(state):
            if session.identity_map:  # else no parent is loaded
                preview.show_added(engine, source.shown_groups, state)
            if source.points:
                copy_preview.show_added(engine, state)

    def on_remove(session: Session, state: InstanceState[Any]) -> None:
        ledger = engine.ledger(session)
        if ledger is not None:
            ledger.take_back(state)
            if engine.source_of(state):
                ledger.force_next_flush(session)

    def before_flush(session: Session, context: UOWTransaction, instances: object) -> None:
        if ledger := engine.ledger(session):
            ledger.flush = Flush(engine, ledger, session, context)
            ledger.flush.lock_known()

    def after_flush(session: Session, context: UOWTransaction) -> None:
        ledger = engine.ledger(session)
        if ledger is not None and ledger.flush is not None:
            ledger.flush.finish()
            ledger.flush = None
            ledger.held.forget()

    def on_execute(state: ORMExecuteState) -> Any:
        if not state.is_select and (ledger := engine.ledger(state.session)):
            ledger.held.forget()
            is_changed = derived_dml.fill_in(engine, state)
            result = statements.execute(engine, state)
            # Invoked here, since the session of SQLAlchemy 2.0 does not look at them again.
            return state.invoke_statement() if is_changed and result is None else result
        return statements.execute(engine, state)

    def on_begin(session: Session, transaction: SessionTransaction) -> None:
        if transaction.nested and (ledger := engine.ledger(session)):
            ledger.begin_savepoint(transaction)

    def on_rollback(session: Session) -> None:
        if ledger := engine.ledger(session):
            ledger.roll_back(session)

    def on_end(session: Session, transaction: SessionTransaction) -> None:
        if ledger := engine.ledger(session):
            ledger.end(session, transaction)

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
