"""Targets: the host's objects that threads are about, where the host has no column for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from sqlalchemy import inspect, select
from sqlalchemy.ext.asyncio import AsyncSession

from .errors import ConfigurationError
from .settings import Guests

TYPE_LENGTH = 50
ID_LENGTH = 255

Titles: TypeAlias = Callable[[AsyncSession, Sequence[str]], Awaitable[Mapping[str, str]]]


@dataclass(frozen=True)
class Target:
    """A kind of objects of the host, each of which may have one thread.

    The price: no foreign key. An object that is deleted leaves its thread behind, until the
    host deletes it, or ``tallied check`` finds it. Where the host can have a column of its
    own, ``article.thread_id`` with a foreign key is the better tie.

    :raises ConfigurationError: for a name that cannot be used.
    """

    name: str
    """What clients call the kind, such as ``article``; 1 to 50 letters, digits, ``_`` or ``-``."""

    titles: Titles
    """The titles for the threads of these ids, as far as there are such objects. It is given a
    session and ids as clients send them, which may be any text."""

    guests: Guests | None = None
    """What guests may do in the threads of this kind; None for what the settings say."""

    message_length: int | None = None
    """The most characters of a comment there; None for what the settings say."""

    def __post_init__(self) -> None:
        if not (0 < len(self.name) <= TYPE_LENGTH and _is_word(self.name)):
            raise ConfigurationError(
                f"A target's name must have 1 to {TYPE_LENGTH} letters, digits, _ or -,"
                f" not {self.name!r}."
            )

    @classmethod
    def of(cls, name: str, entity: type[Any], title: str = "title", **options: Any) -> Target:
        """The rows of a mapped class with a primary key of one column.

        :param title: the attribute that the thread takes its title from.
        """
        keys = inspect(entity).primary_key
        if len(keys) != 1:
            raise ConfigurationError(
                f"{entity.__name__} has a primary key of {len(keys)} columns; pass a Target with"
                " a function of your own that reads the titles."
            )
        key = inspect(entity).get_property_by_column(keys[0]).class_attribute

        async def titles(session: AsyncSession, ids: Sequence[str]) -> Mapping[str, str]:
            known = {value: id for id in ids if (value := _parsed(keys[0].type, id)) is not None}
            query = select(key, getattr(entity, title)).where(key.in_(known))
            return {known[row[0]]: str(row[1]) for row in await session.execute(query)}

        return cls(name, titles, **options)


def registered(targets: Collection[Target]) -> Mapping[str, Target]:
    """The targets by their names.

    :raises ConfigurationError: for two with the same name.
    """
    found: dict[str, Target] = {}
    for target in targets:
        if target.name in found:
            raise ConfigurationError(f"Two targets are called {target.name!r}; rename one of them.")
        found[target.name] = target
    return found


def _is_word(name: str) -> bool:
    return name.isascii() and name.replace("_", "a").replace("-", "a").isalnum()


def _parsed(type_: Any, id: str) -> Any:
    """The key that an id spells; None where it spells none, or not as it is written out."""
    try:
        value = type_.python_type(id)
    except (ValueError, NotImplementedError):
        return None
    return value if str(value) == id else None
