"""Tables of parameters, which a statement joins as it joins others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import CTE, bindparam, column, text
from sqlalchemy.types import TypeEngine


def values_table(types: Sequence[TypeEngine[Any]], size: int, name: str) -> CTE:
    """Return a table of `size` rows of parameters, with columns of `types`: column1, column2, ….

    As text, since SQLAlchemy compiles ``values()`` anew each time it is executed.
    """
    names = value_names(len(types), size)
    rows = ", ".join(f"(:{', :'.join(row)})" for row in names)
    # With their types: PostgreSQL takes a column of bare NULLs for text.
    typed = [bindparam(name, type_=t) for row in names for name, t in zip(row, types, strict=True)]
    columns = [column(f"column{n}", type_) for n, type_ in enumerate(types, 1)]
    return text(f"VALUES {rows}").bindparams(*typed).columns(*columns).cte(name)


def value_names(width: int, size: int) -> list[list[str]]:
    """Return the names of the parameters, row by row."""
    return [[f"tallied_{row}_{n}" for n in range(width)] for row in range(size)]
