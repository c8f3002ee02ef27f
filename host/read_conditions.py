"""Conditions of a policy that are built once, with the values of each viewer as parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, bindparam
from sqlalchemy.sql.visitors import iterate, replacement_traverse

from ..auth.viewer import Viewer
from ..errors import ConfigurationError
from .policy import VIEWER_VALUE

AUTHOR_KEY = f"{VIEWER_VALUE}author_id"
"""The key of the parameter for the key of the viewer's author."""


def viewer_parameters(condition: ColumnElement[bool]) -> Sequence[str]:
    """Return the keys of the parameters of :func:`.viewer_value` in a condition."""
    key = condition._generate_cache_key()  # which SQLAlchemy keeps with the condition
    binds: Any = iterate(condition) if key is None else key.bindparams
    keys = [getattr(bind, "key", None) for bind in binds]
    return [key for key in keys if isinstance(key, str) and key.startswith(VIEWER_VALUE)]


def viewer_values(condition: ColumnElement[bool], viewer: Viewer | None) -> dict[str, Any]:
    """Return the values of the parameters of :func:`.viewer_value` by their keys.

    :raises ConfigurationError: for a guest, and for an attribute that the viewer does not have.
    """
    return {key: _value(key, viewer) for key in viewer_parameters(condition)}


def with_viewer_values(
    condition: ColumnElement[bool] | None, viewer: Viewer | None
) -> ColumnElement[bool] | None:
    """Return the condition with the values of a viewer in the place of its parameters.

    :raises ConfigurationError: as :func:`viewer_values` does.
    """
    values = None if condition is None else viewer_values(condition, viewer)
    if condition is None or not values:
        return condition

    def replace(element: Any, **_: Any) -> Any:
        if isinstance(element, BindParameter) and element.key in values:
            return bindparam(None, values[element.key], element.type, unique=True)
        return None

    result: ColumnElement[bool] = replacement_traverse(condition, {}, replace)
    return result


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
