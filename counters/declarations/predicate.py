"""One condition for Python and SQL.

A counter's ``where`` is an SQL expression. The flush must know whether a row meets it before and
after, so the expression is compiled to a Python function by the evaluator that SQLAlchemy uses for
``synchronize_session="evaluate"``. An expression that it does not support (functions, subqueries,
LIKE) is refused at the declaration, so that counting and recounting always agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import localcontext
from typing import Any

from sqlalchemy import CHAR, ColumnElement, Float, String
from sqlalchemy.orm import Mapper
from sqlalchemy.orm.evaluator import UnevaluatableError, _EvaluatorCompiler
from sqlalchemy.sql import coercions, roles
from sqlalchemy.sql.elements import AsBoolean, False_, Null, True_
from sqlalchemy.sql.operators import is_true
from sqlalchemy.sql.visitors import iterate

from ...errors import CounterError
from .special_values import UNTRAPPED, comparable


class Predicate:
    """Whether an image meets a condition.

    :raises sqlalchemy.orm.evaluator.UnevaluatableError: for an expression that Python
        cannot evaluate.
    """

    def __init__(self, mapper: Mapper[Any], condition: ColumnElement[bool]) -> None:
        clause: Any = coercions.expect(roles.WhereHavingRole, condition)
        self.names = frozenset(
            mapper.get_property_by_column(element).key  # type: ignore[arg-type]
            for element in iterate(clause)
            if element.__visit_name__ == "column"
        )
        compiler: Any = _RowCompiler(mapper)
        self._evaluate = compiler.process(clause)

    def __call__(self, row: Mapping[str, Any]) -> bool:
        try:
            return self._evaluate(row) is True
        except TypeError as error:
            raise CounterError(
                f"The where of a counter cannot be evaluated: {error}. A column gives back values "
                f"of another kind than it is compared with, as DateTime(timezone=True) on SQLite "
                f"does; use a type that keeps them."
            ) from error


def _holds_float(value: Any) -> bool:
    values = value if isinstance(value, list | tuple | set | frozenset) else [value]
    return any(isinstance(item, float) for item in values)


class _RowCompiler(_EvaluatorCompiler):
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
            raise UnevaluatableError("IS takes NULL, true or false")
        ordered = operator in ("lt", "le", "gt", "ge")
        for side in (clause.left, clause.right):
            type_ = side.type
            if isinstance(type_, Float) or _holds_float(getattr(side, "value", None)):
                raise UnevaluatableError("a float is not compared exactly; use a Decimal")
            if isinstance(type_, CHAR):
                raise UnevaluatableError("a CHAR is padded by some databases; use a String")
            if isinstance(type_, String) and (ordered or type_.collation):
                raise UnevaluatableError("text is compared by the database's collation")
        return super().visit_binary(clause)  # type: ignore[no-untyped-call]

    def visit_unary(self, clause: Any) -> Any:
        """Evaluate a flag by itself, or its NOT; refuse other unary operators."""
        if not isinstance(clause, AsBoolean):
            return super().visit_unary(clause)  # type: ignore[no-untyped-call]
        value, expected = self.process(clause.element), clause.operator is is_true  # type: ignore[no-untyped-call]
        return lambda row: None if (flag := value(row)) is None else bool(flag) is expected

    def _compare(self, operator: Any, left: Any, right: Any, clause: Any) -> Any:
        def in_order(one: Any, other: Any) -> Any:
            return operator(comparable(one), comparable(other))

        return self._straight_evaluate(in_order, left, right, clause)  # type: ignore[no-untyped-call]

    visit_lt_binary_op = visit_le_binary_op = visit_gt_binary_op = visit_ge_binary_op = _compare
    visit_eq_binary_op = visit_ne_binary_op = _compare

    def _calculate(self, operator: Any, left: Any, right: Any, clause: Any) -> Any:
        evaluate = self._straight_evaluate_numeric_only(operator, left, right, clause)  # type: ignore[no-untyped-call]

        def untrapped(row: Any) -> Any:
            with localcontext(UNTRAPPED):
                return evaluate(row)

        return untrapped

    visit_add_binary_op = visit_sub_binary_op = visit_mul_binary_op = _calculate

    def visit_and_clauselist_op(self, operator: Any, evaluators: Any, clause: Any) -> Any:
        def evaluate(row: Any) -> Any:
            results = [evaluator(row) for evaluator in evaluators]
            if any(evaluator is not None and not evaluator for evaluator in results):
                return False
            return None if None in results else True

        return evaluate

    def visit_in_op_binary_op(self, operator: Any, left: Any, right: Any, clause: Any) -> Any:
        def evaluate(row: Any) -> Any:
            value, options = left(row), right(row)
            if not options:
                return False
            if value is None:
                return None
            if comparable(value) in [
                comparable(option) for option in options if option is not None
            ]:
                return True
            return None if None in options else False

        return evaluate

    def visit_not_in_op_binary_op(self, operator: Any, left: Any, right: Any, clause: Any) -> Any:
        inside = self.visit_in_op_binary_op(operator, left, right, clause)

        def evaluate(row: Any) -> Any:
            is_inside = inside(row)
            return None if is_inside is None else not is_inside

        return evaluate

    def visit_column(self, clause: Any) -> Any:
        name = self.mapper.get_property_by_column(clause).key
        return lambda row: row[name]
