"""The lists of rows, which one statement loads for all levels of an execution."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ..execution.context import MAX_BATCH_SIZE, Context
from ..execution.field_declarations import LoadedField


class ListKey(NamedTuple):
    """The lists that one statement loads.

    :param names: the names in Python of the requested fields.
    :param is_stored: whether the keys are as SQLite has them.
    """

    declaration: LoadedField
    arguments: Hashable
    names: frozenset[str]
    is_stored: bool


class LoadedLists:
    """The lists of one execution.

    The first level that needs its lists loads those of all levels whose rows have been read.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._requested: defaultdict[ListKey, dict[Any, None]] = defaultdict(dict)
        self._lists: defaultdict[ListKey, dict[Any, Sequence[Any]]] = defaultdict(dict)
        self._loaded: defaultdict[ListKey, set[Any]] = defaultdict(set)

    def request(self, key: ListKey, ids: Iterable[Any]) -> None:
        """Note the rows of a level, whose lists will be needed."""
        loaded = self._loaded[key]
        missing = [id for id in ids if id not in loaded] if loaded else ids
        self._requested[key].update(dict.fromkeys(missing))

    async def load(self, key: ListKey) -> Mapping[Any, Sequence[Any]]:
        """Return the lists of all rows that have been requested, by the keys of the rows."""
        ids, lists = list(self._requested.pop(key, ())), self._lists[key]
        for start in range(0, len(ids), MAX_BATCH_SIZE):
            part = ids[start : start + MAX_BATCH_SIZE]
            loaded = await key.declaration.load(self._context, part, key.arguments, key.names)
            lists.update(loaded)
        self._loaded[key].update(ids)
        return lists
