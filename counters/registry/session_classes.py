"""The session classes that counters are installed on, and the factories of sessions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

from sqlalchemy.ext.horizontal_shard import ShardedSession
from sqlalchemy.orm import Session, scoped_session, sessionmaker

if TYPE_CHECKING:  # SQLAlchemy 2.1 imports it only where greenlet is installed.
    from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session, async_sessionmaker

AnySession: TypeAlias = "Session | AsyncSession"

Installable: TypeAlias = (
    "type[Session] | sessionmaker[Any] | scoped_session[Any]"
    " | async_sessionmaker[Any] | async_scoped_session[Any]"
)


def sync_session(session: AnySession) -> Session:
    """Return the session itself, or the synchronous one of an ``AsyncSession``."""
    sync: Session = getattr(session, "sync_session", session)  # type: ignore[arg-type]
    return sync


def sync_class(target: Installable) -> type[Session]:
    """Return the class of the sessions that `target` makes.

    :raises TypeError: for a `target` of another kind.
    """
    maker: Any = _factory(target)
    if _is_async(maker):
        maker = maker.kw.get("sync_session_class") or maker.class_.sync_session_class
    if isinstance(maker, sessionmaker):
        maker = maker.class_
    if isinstance(maker, type) and issubclass(maker, Session):
        return maker
    raise TypeError(
        f"install() takes a Session class, a sessionmaker, a scoped_session, or an "
        f"async_sessionmaker or async_scoped_session, not {target!r}"
    )


def own_class(target: Installable) -> type[Session]:
    """Return the class to listen to; one that an ``async_sessionmaker`` has alone is made for it.

    :raises TypeError: for a `target` that makes no sessions.
    """
    base, factory = sync_class(target), _factory(target)
    if not _is_async(factory):
        return base
    session_class = type(base.__name__, (base,), {})
    factory.configure(sync_session_class=session_class)
    return session_class


def _factory(target: Any) -> Any:
    return target if isinstance(target, type) else getattr(target, "session_factory", target)


def _is_async(factory: Any) -> bool:
    """Return whether a factory makes asynchronous sessions."""
    return hasattr(getattr(factory, "class_", None), "sync_session_class")


def is_generated(session_class: type[Session]) -> bool:
    """Return whether a sessionmaker has made the class, so that nobody can name it."""
    made_in = (Session.__module__, __name__)
    return session_class is not Session and session_class.__module__ in made_in


def name_of(session_class: type[Session]) -> str:
    """Return the name of a session class for an error."""
    name = session_class.__name__
    return f"the {name} of a sessionmaker" if is_generated(session_class) else name


def check_shards(session_class: type[Session]) -> Iterator[tuple[str, str, str]]:
    """Yield a finding for a class of sessions that choose a database row by row."""
    if issubclass(session_class, ShardedSession):
        yield (
            "counters.E038",
            f"{session_class.__name__} is a ShardedSession, which chooses a database for each "
            f"row, so that a row and its counter may be in two of them.",
            "Install the counters on a plain Session class, and give each shard sessions of its "
            "own.",
        )
