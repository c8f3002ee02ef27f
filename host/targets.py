"""Targets: the host's objects that threads are about, where the host has no column for it."""

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
    """A kind of objects of the host, each of which may have one thread.

    The price: no foreign key. An object that is deleted leaves its thread behind, until the
    host deletes it, or the system checks find it (``docs/checks.md``). Where the host can have
    a column of its own, ``article.thread_id`` with a foreign key is the better tie.

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
        """The rows of a mapped class with a primary key of one column, an int, str or UUID.

        An id is the key as ``str()`` writes it, and no other spelling of it: ``7``, not ``007``.

        :param title: the attribute that the thread takes its title from.
        :raises ConfigurationError: for a class that has no such key, or no such column.
        """
        mapper = inspect(entity, raiseerr=False)
        if not isinstance(mapper, Mapper):
            shown = getattr(entity, "__name__", type(entity).__name__)
            raise ConfigurationError(
                f"The target {name!r} must be of a mapped class, not of {shown}; pass Target(name,"
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
            known = {value: id for id in ids if (value := parse(id)) is not None}
            if not known:
                return {}
            query = select(key, getattr(entity, title)).where(key.in_(list(known)))
            # A database may hold other spellings for equal, as by a collation.
            return {
                known[id]: str(title or "")
                for id, title in await session.execute(query)
                if id in known
            }

        return cls(name, titles, **options)


def targets_by_name(targets: Collection[Target]) -> Mapping[str, Target]:
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


def _parser(entity: type[Any], type_: Any) -> Callable[[str], Any]:
    """From an id to the key that it spells; None where it spells none as it is written out."""
    impl = getattr(type_, "impl_instance", type_)
    kind: Any = UUID if isinstance(impl, Uuid) else impl.python_type
    if kind not in (int, str, UUID):
        raise ConfigurationError(
            f"{entity.__name__} has a primary key that is no int, str or UUID; pass a Target with"
            " a function of your own that reads the titles."
        )
    bits = 64 if isinstance(impl, BigInteger) else 16 if isinstance(impl, SmallInteger) else 32

    def parse(id: str) -> Any:
        try:
            value = kind(id)
        except ValueError:
            return None
        # What is out of its type's range, a driver refuses to send.
        if str(value) != id or (kind is int and not -(2 ** (bits - 1)) <= value < 2 ** (bits - 1)):
            return None
        return value if kind is not UUID or type_.python_type is UUID else id

    return parse
