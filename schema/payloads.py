"""The part that all mutations share: user errors, the input and the payload."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from enum import Enum
from functools import wraps
from typing import Any, TypeVar, cast

import strawberry

from ..error_codes import CODES
from ..errors import Rejected
from ..execution.field_declarations import (
    DECLARATION,
    ChangeField,
    ClientMutationIdField,
    UserErrorsField,
)
from .arguments import unset_to_none


def _reason(code: str) -> Any:
    """Return a code of the enumeration, with its description."""
    return strawberry.enum_value(code, description=" ".join(filter(None, CODES[code])))


@strawberry.enum(
    description="The reason why a mutation was rejected. More codes may be added. The "
    "documentation has a page of all error codes."
)
class UserErrorCode(Enum):
    NOT_FOUND = _reason("NOT_FOUND")
    BLANK = _reason("BLANK")
    TOO_LONG = _reason("TOO_LONG")
    INVALID_CHARACTERS = _reason("INVALID_CHARACTERS")
    SIGN_IN_REQUIRED = _reason("SIGN_IN_REQUIRED")
    NOT_ALLOWED = _reason("NOT_ALLOWED")
    LOCKED = _reason("LOCKED")
    NOT_RESTORABLE = _reason("NOT_RESTORABLE")
    NOT_MOVABLE = _reason("NOT_MOVABLE")
    VETOED = _reason("VETOED")
    UNKNOWN_TARGET_TYPE = _reason("UNKNOWN_TARGET_TYPE")
    CONFLICT = _reason("CONFLICT")
    RATE_LIMITED = _reason("RATE_LIMITED")
    REPEATED_TEXT = _reason("REPEATED_TEXT")
    UNKNOWN_REACTION = _reason("UNKNOWN_REACTION")


@strawberry.type(
    description="The values in the message of a user error, for a message in another language."
)
class UserErrorParams:
    max: int | None = strawberry.field(
        default=None,
        description="The maximum length of the text, in characters. Null unless the code is "
        "BLANK or TOO_LONG.",
    )
    actual: int | None = strawberry.field(
        default=None,
        description="The length of the text, in characters. Null unless the code is TOO_LONG.",
    )
    character: str | None = strawberry.field(
        default=None,
        description="The character that is not allowed, such as U+0000. Null unless the code is "
        "INVALID_CHARACTERS.",
    )
    seconds: int | None = strawberry.field(
        default=None,
        description="The seconds to wait. Null unless the code is RATE_LIMITED.",
    )

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> UserErrorParams:
        """Return those parameters of an error that the schema has; a host's own may have others."""
        return cls(
            max=params.get("max"),
            actual=params.get("actual"),
            character=params.get("character"),
            seconds=params.get("seconds"),
        )


@strawberry.type(description="A reason why a mutation was rejected. Nothing was changed.")
class UserError:
    message: str = strawberry.field(
        description="The reason, as one English sentence to show to the user beside the form "
        "field. It does not name the field."
    )
    field: str | None = strawberry.field(
        description="The input field that the error is about, such as title or comment.message. "
        "Null if it is about no single field."
    )
    path: list[str] | None = strawberry.field(
        description="The path of that field within the input, such as [comment, message]. Null "
        "if field is null."
    )
    code: UserErrorCode = strawberry.field(description="The reason, as a stable code for programs.")
    params: UserErrorParams = strawberry.field(
        description="The values for a message in another language, which the client makes from "
        "code and params."
    )

    @classmethod
    def from_error(cls, error: Rejected) -> UserError:
        """Return an error as the API reports it."""
        code = error.code if error.code in UserErrorCode.__members__ else "VETOED"
        return cls(
            message=error.message,
            field=error.field,
            path=error.field.split(".") if error.field else None,
            code=UserErrorCode(code),
            params=UserErrorParams.from_params(error.params),
        )


@strawberry.type(description="The fields that the payloads of all mutations have.")
class Payload:
    user_errors: list[UserError] = strawberry.field(
        default_factory=list,
        metadata={DECLARATION: UserErrorsField()},
        description="The reasons why the mutation was rejected. Empty if it succeeded. If it was "
        "rejected, nothing was changed, and the payload's changed objects and ids are null; after "
        "a CONFLICT, the payload has them as they are now.",
    )
    client_mutation_id: str | None = strawberry.field(
        default=None,
        metadata={DECLARATION: ClientMutationIdField()},
        description="The clientMutationId of the input. Null if none was given.",
    )


P = TypeVar("P", bound=Payload)
Resolver = Callable[..., Awaitable[P | None]]


def mutation(description: str, payload: type[P]) -> Callable[[Resolver[P]], Resolver[P]]:
    """Declare a mutation by a method that returns `payload`, also in a host's schema.

    If the method rejects the input, by raising :class:`~tallied.errors.Rejected` or a group of
    them, the payload has the reasons in its userErrors. If the argument ``input`` has a
    ``client_mutation_id``, the payload returns it.

    :param payload: a subclass of :class:`.Payload`. Every field has a default, which is returned if
        the input is rejected.
    """
    return declared_mutation(description, payload, None)


def declared_mutation(
    description: str, payload: type[P], declaration: ChangeField | None
) -> Callable[[Resolver[P]], Resolver[P]]:
    """Declare a mutation as :func:`mutation` does.

    :param declaration: what the method does, so that plans do the same.
    """
    metadata = {} if declaration is None else {DECLARATION: declaration}

    def decorate(method: Resolver[P]) -> Resolver[P]:
        @wraps(method)
        async def resolve(*positional: Any, **arguments: Any) -> P:
            result = payload()
            try:
                result = await method(*positional, **arguments) or result
            except* Rejected as group:
                result.user_errors = list(map(UserError.from_error, _flatten(group)))
            result.client_mutation_id = client_mutation_id(arguments.get("input"))
            return result

        field: Any = strawberry.mutation(resolve, description=description, metadata=metadata)
        return cast("Resolver[P]", field)

    return decorate


def client_mutation_id(input: Any) -> str | None:
    """Return the client's own id of a mutation, by its input; None without any."""
    id: str | None = unset_to_none(getattr(input, "client_mutation_id", None))
    return id


def _flatten(group: BaseExceptionGroup[Rejected]) -> Iterator[Rejected]:
    for error in group.exceptions:
        if isinstance(error, Rejected):
            yield error
            yield from error.others
        else:
            yield from _flatten(error)
