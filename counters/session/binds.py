"""The connection on which a session writes rows, whatever it reads from.

A session may read from a follower and write to a leader, by its own ``get_bind()`` (SQLAlchemy's
documentation, "Custom Vertical Partitioning"). Locks, counts and counter updates belong to the
transaction that writes the rows, so the bind is requested as that write requests it: within a flush
by the mapper alone, and elsewhere with an UPDATE of the mapper's table.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Engine, Update, inspect, update
from sqlalchemy.orm import Mapper, Session

from ...errors import UncountedStatementError
from ..registry.resolution import Partners


def write_bind(session: Session, mapper: Mapper[Any]) -> Engine | Connection:
    """Return what `session` writes rows of `mapper` to."""
    base = mapper.base_mapper  # as the unit of work has it
    if session._flushing:
        return session.get_bind(base)
    return session.get_bind(base, clause=_any_write(base))


def write_connection(session: Session, mapper: Mapper[Any], partners: Partners) -> Connection:
    """Return the session's own connection for writes of `mapper`.

    Executing on it cannot re-enter the flush.

    :raises UncountedStatementError: where rows that count for each other are in two databases.
    """
    if session.connection_callable is not None:
        raise UncountedStatementError(
            f"{mapper.class_.__name__} is counted, and {type(session).__name__} chooses a "
            f"database for each row: use a plain Session for each shard."
        )
    bind = only_bind(session)
    if bind is not None:
        return session.connection(bind_arguments={"bind": bind})
    bind = write_bind(session, mapper)
    for other in partners.get(mapper, ()):
        if write_bind(session, other) is not bind:
            raise UncountedStatementError(
                f"{mapper.class_.__name__} and {other.class_.__name__} are bound to two databases "
                f"in this session, and one counts for the other: bind both to the same engine."
            )
    return session.connection(bind_arguments={"bind": bind})


def only_bind(session: Session) -> Engine | Connection | None:
    """Return the bind of a session that writes everything to it, without a search; else None."""
    if session.connection_callable is not None:
        return None
    if getattr(session.get_bind, "__func__", None) is not Session.get_bind:
        return None
    # SQLAlchemy 2.0 does not tell; its sessions are searched.
    return None if getattr(session, "binds", True) else session.bind


@contextmanager
def bound_to_write(session: Session, mapper: Mapper[Any]) -> Iterator[None]:
    """Send what `session` executes about `mapper` in the block to where it writes its rows.

    For what cannot say so itself: a SELECT … FOR UPDATE looks like a read, and the bulk INSERT and
    UPDATE of SQLAlchemy ask for a bind by the mapper alone.
    """
    written, bind, original = mapper.base_mapper, write_bind(session, mapper), session.get_bind
    if getattr(original, "__func__", None) is Session.get_bind:
        yield  # it does not tell a read from a write
        return

    def get_bind(mapper: Any = None, **arguments: Any) -> Engine | Connection:
        if mapper is not None and inspect(mapper).mapper.base_mapper is written:
            return bind
        return original(mapper, **arguments)

    vars(session)["get_bind"] = get_bind
    try:
        yield
    finally:
        del vars(session)["get_bind"]


@lru_cache(maxsize=256)
def _any_write(mapper: Mapper[Any]) -> Update:
    return update(mapper.tables[0])
