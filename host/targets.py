"""Targets: objects of the host with a thread each, without a column of the host's for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, get_args
from uuid import UUID

from sqlalchemy import BigInteger, SmallInteger, Uuid, inspect, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapper

from ..errors import ConfigurationError
from ..settings import MESSAGE_LENGTHS, Guests

TYPE_LENGTH = 50
ID_LENGTH = 255

Titles: TypeAlias = Callable[[AsyncSession, Sequence[str]], Awaitable[Mapping[str, str]]]


@dataclass(frozen=True)
class Target:
    """A type of objects of the host, each of which may have one thread.

    There is no foreign key. If an object is deleted, its thread stays until the host deletes it, or
    the system checks find it. If the host can have a column of its own, ``article.thread_id`` with
    a foreign key is the better link.

    :raises ConfigurationError: for an invalid name, guests or message_length.
    """

    name: str
    """The name for clients, such as ``article``: 1 to 50 letters, digits, ``_`` or ``-``."""

    titles: Titles
    """Returns the titles of threads by id, for those objects that exist. It gets a session, and ids
    as clients send them, which may be any text."""

    guests: Guests | None = None
    """What guests may do in the threads of this type; None for the value of the settings."""

    message_length: int | None = None
    """The most characters of a comment there; None for the value of the settings."""

    def __post_init__(self) -> None:
        if not (0 < len(self.name) <= TYPE_LENGTH and _is_word(self.name)):
            raise ConfigurationError(
                f"A target's name must have 1 to {TYPE_LENGTH} letters, digits, _ or -,"
                f" not {self.name!r}."
            )
        if self.guests not in (None, *get_args(Guests)):
            raise ConfigurationError(
                f"The guests of the target {self.name!r} must be {' or '.join(get_args(Guests))},"
                f" or None, not {self.guests!r}."
            )
        low, high = MESSAGE_LENGTHS
        if self.message_length is not None and self.message_length not in range(low, high + 1):
            raise ConfigurationError(
                f"The message_length of the target {self.name!r} must be a whole number from"
                f" {low} to {high}, or None, not {self.message_length!r}."
            )

    @classmethod
    def of(cls, name: str, entity: type[Any], title: str = "title", **options: Any) -> Target:
        """Return the target of a mapped class with a primary key of one int, str or UUID column.

        An id is the key as ``str()`` writes it, and no other spelling of it: ``7``, not ``007``.

        :param title: the attribute with the title of a row's thread.
        :raises ConfigurationError: for a class without such a key, or without that column.
        """
        mapper = inspect(entity, raiseerr=False)
        if not isinstance(mapper, Mapper):
            actual = getattr(entity, "__name__", type(entity).__name__)
            raise ConfigurationError(
                f"The target {name!r} must be of a mapped class, not of {actual}; pass Target(name,"
                " titles) with a function of your own that reads the titles."
            )
        keys = mapper.primary_key
        if len(keys) != 1:
            raise ConfigurationError(
                f"{entity.__name__} has a primary key of {len(keys)} columns; pass a Target with"
                " a function of your own that reads the titles."
            )
        if title not in inspect(entity).column_attrs:
            raise ConfigurationError(
                f"{entity.__name__} has no column {title!r} to take titles from; pass title=…."
            )
        key = inspect(entity).get_property_by_column(keys[0]).class_attribute
        parse = _parser(entity, keys[0].type)

        async def titles(session: AsyncSession, ids: Sequence[str]) -> Mapping[str, str]:
            ids_by_key = {value: id for id in ids if (value := parse(id)) is not None}
            if not ids_by_key:
                return {}
            query = select(key, getattr(entity, title)).where(key.in_(list(ids_by_key)))
            # A database may treat other spellings as equal, by a collation for example.
            return {
                ids_by_key[id]: str(title or "")
                for id, title in await session.execute(query)
                if id in ids_by_key
            }

        return cls(name, titles, **options)


def targets_by_name(targets: Collection[Target]) -> Mapping[str, Target]:
    """Return the targets by name.

    :raises ConfigurationError: for two with the same name.
    """
    by_name: dict[str, Target] = {}
    for target in targets:
        if target.name in by_name:
            raise ConfigurationError(f"Two targets are called {target.name!r}; rename one of them.")
        by_name[target.name] = target
    return by_name


def _is_word(name: str) -> bool:
    return name.isascii() and name.replace("_", "a").replace("-", "a").isalnum()


def _parser(entity: type[Any], type_: Any) -> Callable[[str], Any]:
    """Return a function from an id to its key, or to None for any other spelling."""
    impl = getattr(type_, "impl_instance", type_)
    kind: Any = UUID if isinstance(impl, Uuid) else impl.python_type
    if kind not in (int, str, UUID):
        raise ConfigurationError(
            f"{entity.__name__} has a primary key other than an int, str or UUID; pass a Target"
            " with a function of your own that reads the titles."
        )
    bits = 64 if isinstance(impl, BigInteger) else 16 if isinstance(impl, SmallInteger) else 32

    def parse(id: str) -> Any:
        try:
            value = kind(id)
        except ValueError:
            return None
        # A driver refuses to send a number out of the range of its type.
        if str(value) != id or (kind is int and not -(2 ** (bits - 1)) <= value < 2 ** (bits - 1)):
            return None
        return value if kind is not UUID or type_.python_type is UUID else id

    return parse
