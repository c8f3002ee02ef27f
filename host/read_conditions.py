"""Conditions of a policy that are built once, with the values of each viewer as parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BindParameter, ColumnElement
from sqlalchemy.sql.visitors import cloned_traverse, iterate

from ..auth.viewer import Viewer
from ..errors import ConfigurationError
from .policy import VIEWER_VALUE


def viewer_parameters(condition: ColumnElement[bool]) -> Sequence[BindParameter[Any]]:
    """Return the parameters of :func:`.viewer_value` in a condition."""
    key = condition._generate_cache_key()  # which SQLAlchemy keeps with the condition
    elements: Any = iterate(condition) if key is None else key.bindparams
    return [element for element in elements if _is_viewer_value(getattr(element, "key", None))]


def viewer_values(condition: ColumnElement[bool], viewer: Viewer | None) -> dict[str, Any]:
    """Return the values of the parameters of :func:`.viewer_value` by their keys.

    :raises ConfigurationError: for a guest, and for an attribute that the viewer does not have.
    """
    return {bind.key: _value(bind.key, viewer) for bind in viewer_parameters(condition)}


def with_viewer_values(
    condition: ColumnElement[bool] | None, viewer: Viewer | None
) -> ColumnElement[bool] | None:
    """Return the condition with the values of a viewer in its parameters.

    :raises ConfigurationError: as :func:`viewer_values` does, and for a condition of which a copy
        cannot have values of its own.
    """
    values = None if condition is None else viewer_values(condition, viewer)
    if condition is None or not values:
        return condition

    def set_value(parameter: BindParameter[Any]) -> None:
        if parameter.key in values:
            parameter.value, parameter.required = values[parameter.key], False

    # A traversal that replaces elements leaves out those in a relationship's has() and any().
    options = {"maintain_key": True, "detect_subquery_cols": True}
    result = cloned_traverse(condition, options, {"bindparam": set_value})
    # Without its value, a parameter would be NULL, and a NOT before it show what is hidden.
    if any(parameter.required for parameter in viewer_parameters(result)):
        raise ConfigurationError(
            "The policy's may_read has viewer_value() in a subquery that an alias of a class is"
            " of; use the columns of the subquery without that alias."
        )
    return result


def _is_viewer_value(key: object) -> bool:
    return isinstance(key, str) and key.startswith(VIEWER_VALUE)


def _value(key: str, viewer: Viewer | None) -> Any:
    name = key.removeprefix(VIEWER_VALUE)
    if viewer is None:
        raise ConfigurationError(
            f"The policy's may_read has viewer_value({name!r}) in its condition for guests; return"
            " another condition where the viewer is None."
        )
    try:
        return getattr(viewer, name)
    except AttributeError as error:
        raise ConfigurationError(
            f"The policy's may_read has viewer_value({name!r}) in its condition, and the"
            f" {type(viewer).__name__} of get_viewer has no such attribute."
        ) from error
