"""The root field of a change: it is made once, and a plan puts its payload together.

Whatever a plan cannot put together, graphql-core does, from the same outcome
(:attr:`.Context.outcome`). So no change is made twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from operator import itemgetter
from typing import Any, NamedTuple

from graphql.execution.values import VariableValues

from ..errors import Rejected
from ..execution.context import Context, Outcome
from ..execution.field_declarations import ChangedEdgeField, ChangedRowField, ChangeField
from ..resolvers.pagination.arguments import Record
from ..resolvers.pagination.cursors import Order
from ..resolvers.selections import Path, existence_conditions, foreign_key, related_model
from ..schema.arguments import read_order
from ..schema.payloads import client_mutation_id
from .arguments import Arguments
from .errors import Guard
from .levels import RowLevel
from .roots import ObjectRoot, Root
from .run import Run

_MISSING = object()


@dataclass
class ChangedLevel(RowLevel):
    """A row of a change, of which a statement reads only columns that the change has not."""

    declaration: ChangedRowField = field(kw_only=True)

    def stored_variable(self, path: Path) -> str:
        """Return the name of a column whose value is an object, as the change has it."""
        self.objects.add(path)
        return super().stored_variable(path)

    def sees_hidden(self, run: Run) -> bool:
        return True  # The viewer has just changed it.

    async def load_changed(self, run: Run, change: Any) -> tuple[list[Any], ...] | None:
        """Return a list of one object for each use of the row, or None if there is no row.

        :raises Guard: if the row is to be read, and the viewer may not, or it has been deleted.
        """
        record = self.declaration.find(change)
        if record is None:
            return None
        try:
            row: Sequence[Any] = self._columns(record)
        except KeyError:
            row = await self._read_others(run, record, change)
        else:
            self.count_texts(run, [row])
        make = await self.prepare(run, [row])
        return make()

    @cached_property
    def _columns(self) -> Callable[[Record], Sequence[Any]]:
        """Return the values of a row that has them all itself.

        :raises KeyError: for another one.
        """
        names = [path[0] if len(path) == 1 else _MISSING for path in self.places]
        if len(names) > 1:
            return itemgetter(*names)
        return lambda record: [record[name] for name in names]  # type: ignore[index]

    async def _read_others(self, run: Run, record: Record, change: Any) -> Sequence[Any]:
        """Return the values of a row, some of which are of related rows, or are to be read."""
        related = {name: find(change) for name, find in self.declaration.related.items()}
        row = [_value(self.model, record, related, path) for path in self.places]
        if not any(value is _MISSING for value in row):
            self.count_texts(run, [row])
            return row
        rows = await self._read(run, self._has_id, {"id": record["id"]})
        if not rows:
            raise Guard("changed row")
        pairs = zip(row, rows[0], strict=True)
        return [read if value is _MISSING else value for value, read in pairs]


def _value(
    model: type[Any], record: Record, related: Mapping[str, Record | None], path: Path
) -> Any:
    """Return a value of a row, or of a related one, as far as the change has them."""
    name, *below = path
    if not below:
        return record.get(name, _MISSING)
    key = record.get(foreign_key(name), _MISSING)
    if key is None or key is _MISSING:
        return key
    other = related_model(model, name)
    if existence_conditions(other):
        return _MISSING  # Whether readers see it, only the database knows.
    return _value(other, {**(related.get(name) or {}), "id": key}, {}, tuple(below))


class CheckedChange(NamedTuple):
    """A change that is to be made."""

    values: Sequence[Any]
    """The arguments of :attr:`.ChangeField.make`."""

    client_mutation_id: str | None
    orders: Sequence[Order]
    """The orders of the payload's edges."""

    result: Any = None
    """The result, once it is made."""


@dataclass
class ChangeRoot(Root):
    """A change, and its payload.

    :param edges: the edges of the payload, each with its arguments.
    :param objects: the objects of the payload that are not rows of the change.
    :param function: the name of the generated function of the payload.
    """

    arguments: Arguments
    declaration: ChangeField
    levels: Sequence[ChangedLevel]
    edges: Sequence[tuple[ChangedEdgeField, Arguments]]
    objects: Sequence[ObjectRoot]
    function: str

    def finish(self, namespace: Mapping[str, Any]) -> None:
        super().finish(namespace)
        for root in self.objects:
            root.finish(namespace)

    def check(self, context: Context, variables: VariableValues) -> CheckedChange:
        input = self.arguments.read(variables)["input"]
        try:
            values = self.declaration.read(input)
        except Rejected as error:
            raise Guard("input") from error
        orders = []
        for declaration, arguments in self.edges:
            order_by = arguments.read(variables).get("order_by") or declaration.default_order
            orders.append(read_order(declaration.orders, order_by))
        return CheckedChange(values, client_mutation_id(input), orders)

    async def make(self, context: Context, checked: CheckedChange) -> CheckedChange:
        """Make the change, whose outcome the context keeps.

        :raises Guard: if the change fails, or is rejected.
        """
        try:
            result = await self.declaration.make(context, checked.values)
        except Exception as error:
            context.outcome = Outcome(error=error)
            raise Guard("rejected change") from error
        context.outcome = Outcome(result)
        return CheckedChange(checked.values, checked.client_mutation_id, checked.orders, result)

    async def load(self, run: Run, checked: CheckedChange) -> Any:
        change = checked.result
        rows = [await level.load_changed(run, change) for level in self.levels]
        cursors = []
        for (declaration, _), order in zip(self.edges, checked.orders, strict=True):
            record = declaration.node.find(change)
            cursors.append(record and order.encode(order.position_of(record)))
        objects = [await root.load(run, None) for root in self.objects]
        return self.build_response(change, checked.client_mutation_id, rows, cursors, objects)
