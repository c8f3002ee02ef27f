"""Conditions and keys that a command line states in words."""

from __future__ import annotations

from enum import Enum
from typing import Any

import pytest
from sqlalchemy import Enum as EnumType
from sqlalchemy import Integer, LargeBinary, inspect
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Mapper, mapped_column
from support.pairs import pair

from tallied.counters.maintenance.conditions import parse_condition, parse_key
from tallied.errors import BadUserInput


class Colour(Enum):
    red = "r"
    blue = "b"


@pytest.fixture(scope="module")
def mapper() -> Mapper[Any]:
    """A class with a key of two columns."""
    columns = {
        "id": mapped_column(Integer, primary_key=True),
        "part": mapped_column(Integer, primary_key=True),
        "colour": mapped_column(EnumType(Colour)),
        "size": mapped_column(EnumType("small", "large", name="size")),
        "picture": mapped_column(LargeBinary),
        "parent_id": mapped_column(Integer),
        "parent": None,
    }
    return inspect(pair(source=columns)[1])


@pytest.mark.parametrize(
    ("text", "sql"),
    [
        ("part >= 3", "source.part >= 3"),
        ("part in 3, 4", "source.part IN (3, 4)"),
        ("colour = red", "source.colour = 'red'"),
        ("size != large", "source.size != 'large'"),
        ("size != null", "source.size IS NOT NULL"),
    ],
)
def test_condition_becomes_expression(mapper: Mapper[Any], text: str, sql: str) -> None:
    options = {"literal_binds": True}
    compiled = parse_condition(mapper, text).compile(
        dialect=postgresql.dialect(), compile_kwargs=options
    )
    assert str(compiled) == sql


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("DROP TABLE x", "The condition 'DROP TABLE x' cannot be read; write a column, one of"),
        ("words > 3", "Source has no column 'words'; it has id, parent_id, part, colour, size,"),
        ("part > three", "'three' is not a value of part; it takes a whole number."),
        ("colour = r", "'r' is not a value of colour; it takes one of the names of its values."),
        ("picture = x", "picture cannot be compared on the command line."),
    ],
)
def test_unreadable_condition_is_refused(mapper: Mapper[Any], text: str, reason: str) -> None:
    with pytest.raises(BadUserInput, match="^" + reason.replace(".", r"\.")):
        parse_condition(mapper, text)


def test_key_has_as_many_parts_as_columns(mapper: Mapper[Any]) -> None:
    assert parse_key(mapper, "3, 4") == (3, 4)
    with pytest.raises(BadUserInput, match=r"^A key of Source is written as id,part\."):
        parse_key(mapper, "3")
