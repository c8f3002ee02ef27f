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

from sqlalchemy import ColumnElement, String
from sqlalchemy.orm import Mapper
from sqlalchemy.orm.evaluator import UnevaluatableError, _EvaluatorCompiler
from sqlalchemy.sql.elements import False_, Null, True_
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

    def visit_binary(self, clause: Any) -> Any:
        """Refuse what Python and the databases, or two of them, do not see alike."""
        operator = clause.operator.__name__
        if operator in ("mod", "truediv", "startswith_op", "endswith_op"):
            raise UnevaluatableError(f"{operator} is not the same on every database")
        if operator in ("is_", "is_not") and not isinstance(clause.right, Null | True_ | False_):
            raise UnevaluatableError("IS takes NULL, true or false; use is_distinct_from()")
        ordered = operator in ("lt", "le", "gt", "ge")
        for side in (clause.left, clause.right):
            type_ = side.type
            if isinstance(getattr(side, "value", None), float):
                raise UnevaluatableError("a float is not compared exactly; use a Decimal")
            if isinstance(type_, String) and (ordered or type_.collation):
                raise UnevaluatableError("text is compared by the database's collation")
        return super().visit_binary(clause)  # type: ignore[no-untyped-call]

    def visit_and_clauselist_op(self, operator: Any, evaluators: Any, clause: Any) -> Any:
        def evaluate(image: Any) -> Any:
            found = [each(image) for each in evaluators]
            if any(each is not None and not each for each in found):
                return False
            return None if None in found else True

        return evaluate

    def visit_in_op_binary_op(self, operator: Any, left: Any, right: Any, clause: Any) -> Any:
        def evaluate(image: Any) -> Any:
            value, options = left(image), right(image)
            if not options:
                return False
            if value is None:
                return None
            if value in [each for each in options if each is not None]:
                return True
            return None if None in options else False

        return evaluate

    def visit_not_in_op_binary_op(self, operator: Any, left: Any, right: Any, clause: Any) -> Any:
        inside = self.visit_in_op_binary_op(operator, left, right, clause)

        def evaluate(image: Any) -> Any:
            found = inside(image)
            return None if found is None else not found

        return evaluate

    def visit_column(self, clause: Any) -> Any:
        name = self.mapper.get_property_by_column(clause).key
        return lambda image: image[name]
