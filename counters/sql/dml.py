"""What an INSERT, UPDATE or DELETE changes, however its statement was made."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Mapper


def unwrap(statement: Any) -> Any:
    """Return the statement that a ``lambda_stmt()`` stands for, with its present values.

    Any other statement is returned as it is. SQLAlchemy itself compiles ``_resolved``, which has
    no public name.
    """
    while getattr(statement, "_is_lambda_element", False):
        statement = statement._resolved
    return statement


def changes_rows(statement: Any) -> bool:
    """Return whether `statement` is an INSERT, UPDATE or DELETE."""
    return getattr(statement, "is_dml", False) and hasattr(statement, "table")


def mapper_of(statement: Any) -> Mapper[Any] | None:
    """Return the mapper of the class that an INSERT, UPDATE or DELETE was made with.

    None where it was made with a table. ``ORMExecuteState.bind_mapper`` does not tell: it may be
    of a class that the condition alone names, or what the caller has bound the statement to.
    """
    entity = statement.table._annotations.get("parententity")
    return None if entity is None else entity.mapper


def changed_table(statement: Any) -> Any:
    """Return the table whose rows an INSERT, UPDATE or DELETE changes.

    For a class it is the class's own table, as SQLAlchemy renders it, though ``statement.table``
    is a join where the class loads its subclasses inline.
    """
    mapper = mapper_of(statement)
    if mapper is not None:
        return mapper.local_table
    return getattr(statement.table, "element", statement.table)


def names_alias(statement: Any) -> bool:
    """Return whether an INSERT, UPDATE or DELETE names its table by an alias."""
    entity = statement.table._annotations.get("parententity")
    if entity is not None:
        return bool(entity.is_aliased_class)
    return bool(statement.table != changed_table(statement))
