"""Declarations of Tallied's mutations: a method, from which the input and the payload follow."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from inspect import Parameter, signature
from typing import Annotated, Any, get_origin, get_type_hints
from uuid import UUID

import strawberry
from strawberry.types.arguments import StrawberryArgumentAnnotation
from strawberry.utils.str_converters import to_camel_case

from ...errors import BadUserInput
from ...execution.requested_fields import Info
from ...resolvers.pagination.arguments import Record
from ...resolvers.rows import not_found
from ..ids import decode_id
from ..payloads import Payload, mutation
from ..types import Thread

_ARGUMENT = strawberry.argument(description="The mutation's arguments.")


@dataclass(frozen=True)
class Key:
    """The annotation of a parameter that a client gives as a global id of that type."""

    type_name: str
    description: str


@strawberry.input(description="The fields that the inputs of all mutations have.")
class MutationInput:
    client_mutation_id: str | None = strawberry.field(
        default=strawberry.UNSET,
        description="Any string. The payload returns it unchanged.",
    )


class ChangePayload(Payload):
    """The payload of a change, which fills its fields with the changed rows."""

    async def fill(self, info: Info, change: Any) -> None:
        """Set the fields by the result of the mutation's method."""
        raise NotImplementedError

    async def load_thread(self, info: Info, record: Record, field: str = "thread") -> Thread | None:
        """Return a changed thread for a field, and load the requested columns that it lacks.

        The change is made by now. If loading fails, each missing field fails at its own place, and
        not the mutation, which a client would send again.
        """
        nodes = info.fields(type(self).__name__).get(field, ())
        missing = info.columns("Thread", nodes).difference(record)
        if not missing:
            return Thread.from_record(record)
        try:
            loaded = await info.context.load_thread(record["id"], missing)
        except Exception as error:
            loaded = dict.fromkeys(missing, error)
        return None if loaded is None else Thread.from_record({**loaded, **record})


def change(
    description: str, payload: type[ChangePayload], *, input_description: str = ""
) -> Callable[[Callable[..., Awaitable[Any]]], Any]:
    """Declare a mutation by a method that makes a change within a unit of work.

    The method takes the unit, the access, and the fields of the input as keyword arguments. The
    input has a field for each, with its annotation and its default; ``client_mutation_id`` is every
    input's. Input and payload are called like the method.

    :param payload: the fields of the payload.
    """

    def decorate(method: Callable[..., Awaitable[Any]]) -> Any:
        name = to_camel_case(method.__name__)
        type_name = name[0].upper() + name[1:]
        hints = get_type_hints(method, include_extras=True)
        parameters = list(signature(method).parameters.values())[3:]
        input_type = _derive(
            f"{type_name}Input",
            MutationInput,
            {
                each.name: _input_field(each, hints[each.name])
                for each in parameters
                if not hasattr(MutationInput, each.name)
            },
        )
        strawberry.input(input_type, description=input_description or f"The input of {name}.")
        payload_type = _derive(f"{type_name}Payload", payload, {})
        strawberry.type(payload_type, description=f"The payload of {name}.")
        keys = {each.name: key for each in parameters if (key := _key_of(hints[each.name]))}

        async def resolve(self: Any, info: Info, input: Any) -> Any:
            values = {each.name: getattr(input, each.name) for each in parameters}
            values |= {field: _decode(values[field], field, key) for field, key in keys.items()}
            result = payload_type()
            await result.fill(
                info,
                await info.context.write(lambda unit, access: method(self, unit, access, **values)),
            )
            return result

        resolve.__name__ = method.__name__
        resolve.__annotations__ = {
            "info": Info,
            "input": Annotated[input_type, _ARGUMENT],
            "return": payload_type | None,
        }
        return mutation(description, payload_type)(resolve)

    return decorate


def _derive(name: str, base: type[Any], fields: Mapping[str, tuple[Any, Any]]) -> type[Any]:
    """Return a subclass with fields, each with its annotation and its declaration."""
    return type(
        name,
        (base,),
        {
            "__module__": __name__,
            "__annotations__": {field: annotation for field, (annotation, _) in fields.items()},
            **{field: declaration for field, (_, declaration) in fields.items()},
        },
    )


def _input_field(parameter: Parameter, hint: Any) -> tuple[Any, Any]:
    """Return the annotation and the declaration of the input's field for a parameter."""
    key = _key_of(hint)
    if key:
        return strawberry.ID, strawberry.field(description=key.description)
    options = {} if parameter.default is Parameter.empty else {"default": parameter.default}
    descriptions = [
        each.description
        for each in getattr(hint, "__metadata__", ())
        if isinstance(each, StrawberryArgumentAnnotation)
    ]
    annotation = hint.__origin__ if get_origin(hint) is Annotated else hint
    return annotation, strawberry.field(description=descriptions[0], **options)


def _key_of(hint: Any) -> Key | None:
    return next((each for each in getattr(hint, "__metadata__", ()) if isinstance(each, Key)), None)


def _decode(id: str, field: str, key: Key) -> UUID:
    """Return the key that an id of an input names.

    :raises NotFound: for a malformed id, as for an unknown one: there is no such record.
    """
    field = to_camel_case(field)
    try:
        return decode_id(id, field, key.type_name)[1]
    except BadUserInput as error:
        raise not_found(field) from error
