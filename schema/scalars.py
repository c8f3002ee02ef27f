"""The scalars of the API, in addition to GraphQL's own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NewType

import strawberry
from graphql import GraphQLError
from strawberry.types.scalar import ScalarDefinition

_RFC_3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)

MAX_SAFE_INT = 2**53 - 1

SafeInt = NewType("SafeInt", int)
"""The value of a counter, which may have 64 bits.

GraphQL's Int has 32 and fails above them, and its Float says of a count that it may be a fraction.
Named after graphql-scalars' (the-guild.dev/graphql/scalars), which tools for TypeScript map to
``number``.
"""


def _serialize_time(time: datetime) -> str:
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _parse_time(value: object) -> datetime:
    """Return the time of an RFC 3339 text with an offset, to the microsecond."""
    if isinstance(value, str) and _RFC_3339.fullmatch(value):
        try:
            return datetime.fromisoformat(value.upper()).astimezone(UTC)
        except (ValueError, OverflowError):
            pass
    text = repr(value) if isinstance(value, str) and len(value) < 50 else "this"
    raise GraphQLError(
        f"DateTime cannot represent {text}; write it like 2026-01-31T12:34:56Z, with its offset."
    )


def _parse_int(value: object) -> int:
    """Return a whole number that JavaScript represents exactly; 2.0 is one, too."""
    if (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and abs(value) <= MAX_SAFE_INT
        and value == int(value)
    ):
        return int(value)
    raise GraphQLError(
        f"SafeInt takes whole numbers up to {MAX_SAFE_INT}, without quotation marks."
    )


SCALARS: Mapping[object, ScalarDefinition] = {
    datetime: strawberry.scalar(
        name="DateTime",
        description="A point in time, in the format of RFC 3339. Outputs are in UTC: "
        "2026-01-31T12:34:56.789012Z. Inputs need an offset, such as Z or +01:00.",
        specified_by_url="https://www.rfc-editor.org/rfc/rfc3339",
        serialize=_serialize_time,
        parse_value=_parse_time,
    ),
    SafeInt: strawberry.scalar(
        name="SafeInt",
        description="A whole number up to 9007199254740991, as a JSON number. It can be larger "
        "than Int's maximum of 2147483647, and JavaScript represents it exactly.",
        specified_by_url="https://tc39.es/ecma262/#sec-number.issafeinteger",
        serialize=int,
        parse_value=_parse_int,
    ),
}
"""The scalars by their Python types, in the form of Strawberry's ``scalar_map``."""
