"""One condition for Python and SQL.

A counter's ``where`` is an SQL expression. The flush must know whether a row meets it
before and after, so the same expression is compiled to a Python function with the
evaluator that SQLAlchemy itself uses for ``synchronize_session="evaluate"``. What that
evaluator does not know (functions, subqueries, LIKE) is refused when the counter is
declared, so that what is counted and what is recounted cannot disagree.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement
from sqlalchemy.orm import Mapper
from sqlalchemy.orm.evaluator import _EvaluatorCompiler
from sqlalchemy.sql.visitors import iterate


class Predicate:
    """Whether an image meets a condition.

    :raises sqlalchemy.orm.evaluator.UnevaluatableError: for an expression that Python
        cannot evaluate.
    """

    def __init__(self, mapper: Mapper[Any], condition: ColumnElement[bool]) -> None:
        self.names = frozenset(
            mapper.get_property_by_column(element).key  # type: ignore[arg-type]
            for element in iterate(condition)
            if element.__visit_name__ == "column"
        )
        compiler: Any = _ImageCompiler(mapper)
        self._evaluate = compiler.process(condition)

    def __call__(self, image: Mapping[str, Any]) -> bool:
        return self._evaluate(image) is True


class _ImageCompiler(_EvaluatorCompiler):
    """Evaluates against an image instead of an object."""

    def __init__(self, mapper: Mapper[Any]) -> None:
        super().__init__(mapper.class_)  # type: ignore[no-untyped-call]
        self.mapper = mapper

    def visit_column(self, clause: Any) -> Any:
        name = self.mapper.get_property_by_column(clause).key
        return lambda image: image[name]
