"""Declarations of Tallied's mutations: a resolver, the fields of the input, and a payload."""

from __future__ import annotations

from asyncio import gather
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import MISSING
from enum import Enum
from functools import partial
from typing import Annotated, Any, NamedTuple, TypeVar

import strawberry
from strawberry import UNSET
from strawberry.types import get_object_definition
from strawberry.utils.str_converters import to_camel_case

from ...errors import BadUserInput, Conflict
from ...execution.context import Context, SharedChange
from ...execution.field_declarations import (
    DECLARATION,
    ChangedEdgeField,
    ChangedRowField,
    ChangedRowsField,
    ChangedValueField,
    ChangeField,
)
from ...execution.requested_fields import Info
from ...host.access import Access
from ...resolvers.rows import not_found
from ..arguments import read_order
from ..connections import Edge
from ..fields import field
from ..ids import decode_id
from ..payloads import Payload, UserError, declared_mutation
from ..rows import Row
from ..types import ROWS
from ..types.viewer import CURRENT_VIEWER, CurrentViewer

R = TypeVar("R", bound=Row)

_ARGUMENT = strawberry.argument(description="The mutation's arguments.")


class InputField(NamedTuple):
    """A field of an input."""

    description: str
    type: Any = str
    default: Any = MISSING
    key_of: str = ""
    """The type whose global id the field holds; the resolver gets the key of the object."""

    def reader(self, name: str) -> Callable[[Any], Any] | None:
        """Return what makes the argument of the resolver of a value of the input.

        What was left out is None, and a value of an enumeration is its name in lower case. An id
        is the key of its object: it raises NotFound for a malformed one, as for an unknown one,
        since there is no such record.

        :returns: None if that is the value itself.
        """
        if self.type is str:
            return None
        field = to_camel_case(name)

        def read(value: Any) -> Any:
            if value is UNSET or value is None:
                return None
            if isinstance(value, Enum):
                return value.name.lower()
            if not self.key_of:
                return value
            if isinstance(value, list):
                return [read(item) for item in value]
            try:
                return decode_id(value, field, self.key_of)[1]
            except BadUserInput as error:
                raise not_found(field) from error

        return read


def key_field(type_name: str, description: str) -> InputField:
    """Return the field of a global id."""
    return InputField(description, strawberry.ID, key_of=type_name)


@strawberry.input(description="The fields that the inputs of all mutations have.")
class MutationInput:
    client_mutation_id: str | None = strawberry.field(
        default=UNSET,
        description="Any string. The payload returns it unchanged.",
    )


@strawberry.type
class ChangePayload(Payload):
    """The payload of a change, whose fields declare what they return of its result."""

    @field(
        "The viewer after the change, for the client's cache: the viewer's first comment creates "
        "viewer.author, and each changes its counters. Null for a guest.",
        declaration=CURRENT_VIEWER,
    )
    async def viewer(self, info: Info) -> CurrentViewer | None:
        return CurrentViewer.from_viewer(info.context.viewer)

    async def fill(self, info: Info, change: Any) -> None:
        """Set the fields by the result of the change."""
        value: Any
        for attribute in get_object_definition(type(self), strict=True).fields:
            match attribute.metadata.get(DECLARATION):
                case ChangedRowField() as declaration:
                    value = await self._load_row(info, declaration, change, attribute.python_name)
                case ChangedRowsField() as declaration:
                    value = await self._load_rows(info, declaration, change, attribute.python_name)
                case ChangedValueField(compute):
                    value = compute(change)
                case _:
                    continue
            setattr(self, attribute.python_name, value)

    async def _load_rows(
        self, info: Info, declaration: ChangedRowsField, change: Any, name: str
    ) -> list[Row]:
        """Return changed rows for a field, as :meth:`_load_row` does, by one statement."""
        finders = [partial(_same, row) for row in declaration.find(change)]
        of_row = [ChangedRowField(declaration.type_name, find) for find in finders]
        rows = await gather(*(self._load_row(info, row, change, name) for row in of_row))
        return [row for row in rows if row is not None]

    async def _load_row(
        self, info: Info, declaration: ChangedRowField, change: Any, name: str
    ) -> Row | None:
        """Return a changed row for a field, and load the requested columns that it lacks.

        The change is made by now. If loading fails, each missing field fails at its own place, and
        not the mutation, which a client would send again.
        """
        record = declaration.find(change)
        if record is None:
            return None
        row_type = ROWS[declaration.type_name]
        nodes = info.fields(type(self).__name__).get(to_camel_case(name), ())
        missing = info.columns(declaration.type_name, nodes).difference(record)
        if missing:
            try:
                loaded = await info.context.load_row(
                    row_type.model, record["id"], missing, with_hidden=True
                )
            except Exception as error:
                loaded = dict.fromkeys(missing, error)
            if loaded is None:
                return None
            record = {**loaded, **record}
        related = {relation: find(change) for relation, find in declaration.related.items()}
        return row_type.from_record(record, related)


def _same(row: Mapping[str, Any], _: Any) -> Mapping[str, Any]:
    return row


def changed_row(description: str, declaration: ChangedRowField) -> Any:
    """Declare a payload's field that returns a row of the change; None if it was rejected."""
    return strawberry.field(
        default=None, description=description, metadata={DECLARATION: declaration}
    )


def changed_value(
    description: str,
    compute: Callable[[Any], Any],
    *,
    default: Any = None,
    default_factory: Any = MISSING,
) -> Any:
    """Declare a payload's field by a function of the change's result.

    :param default: its value if the change was rejected.
    :param default_factory: returns that value, if it is mutable.
    """
    is_made = default_factory is not MISSING
    return strawberry.field(
        default=MISSING if is_made else default,
        default_factory=default_factory,
        description=description,
        metadata={DECLARATION: ChangedValueField(compute)},
    )


def build_edge(row: R | None, declaration: ChangedEdgeField, order_by: Any) -> Edge[R] | None:
    """Return a changed row, which has all its columns, as an edge; None for no row."""
    if row is None:
        return None
    order = read_order(declaration.orders, order_by or declaration.default_order)
    return Edge(cursor=order.encode(order.position_of(row.record)), node=row)


def change(
    name: str,
    description: str,
    resolver: Callable[..., Awaitable[Any]],
    payload: type[ChangePayload],
    *,
    input_description: str = "",
    shared: SharedChange | None = None,
    in_batches: bool = False,
    **fields: InputField,
) -> Any:
    """Declare a mutation by the resolver of a change, which runs within a unit of work.

    Input and payload are named after the mutation.

    :param resolver: called with the unit, the access, and the values of the input's fields.
    :param payload: the type with the fields of the payload.
    :param shared: for a change that may share a transaction with others of its kind; its draft is
        called with the access and the same values.
    :param in_batches: whether the resolver is called with a function that runs a unit of work, in
        the place of a unit.
    :param fields: the fields of the input; ``client_mutation_id``, which every input has, is
        among them if the resolver needs it.
    """
    camel_name = to_camel_case(name)
    type_name = camel_name[0].upper() + camel_name[1:]
    declared = {key: field for key, field in fields.items() if not hasattr(MutationInput, key)}
    input_type = _derive(f"{type_name}Input", MutationInput, declared)
    strawberry.input(input_type, description=input_description or f"The input of {camel_name}.")
    payload_type = _derive(f"{type_name}Payload", payload, {})
    strawberry.type(payload_type, description=f"The payload of {camel_name}.")

    readers = [(key, field.reader(key)) for key, field in fields.items()]

    def read(input: Any) -> list[Any]:
        values = vars(input)
        return [values[key] if read is None else read(values[key]) for key, read in readers]

    async def make(context: Context, values: Sequence[Any]) -> Any:
        if in_batches:
            access = Access(context.rules, context.viewer, request=context.request)
            return await resolver(context.write_alone, access, *values)
        own = None
        if shared is not None:
            own = SharedChange(shared.work, lambda access: shared.draft(access, *values))
        return await context.write(lambda unit, access: resolver(unit, access, *values), own)

    async def resolve(self: Any, info: Info, input: Any) -> Any:
        result = payload_type()
        try:
            changed = await make(info.context, read(input))
        except Conflict as error:
            if error.change is None:
                raise
            changed = error.change
            result.user_errors = [UserError.from_error(error)]
        await result.fill(info, changed)
        return result

    resolve.__name__ = name
    resolve.__annotations__ = {
        "info": Info,
        "input": Annotated[input_type, _ARGUMENT],
        "return": payload_type | None,
    }
    return declared_mutation(description, payload_type, ChangeField(read, make))(resolve)


def _derive(name: str, base: type[Any], fields: Mapping[str, InputField]) -> Any:
    """Return a subclass with fields."""
    declared = {
        key: strawberry.field(description=field.description, default=field.default)
        for key, field in fields.items()
    }
    annotations = {key: field.type for key, field in fields.items()}
    return type(name, (base,), {"__module__": __name__, "__annotations__": annotations, **declared})
