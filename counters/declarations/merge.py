"""Columns that ``Session.merge`` does not copy: counters and derived columns."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import ColumnProperty, Session


class _FollowingProperty(ColumnProperty[Any]):
    """A mapped column that is not merged.

    A detached object carries a counter, or a derived column, as it was when it was loaded;
    merging it is not an assignment, and there is no event that tells the two apart.
    """

    __slots__ = ()
    inherit_cache = True

    def merge(
        self,
        session: Session,
        source_state: Any,
        source_dict: Any,
        dest_state: Any,
        dest_dict: Any,
        load: bool,
        *args: Any,
    ) -> None:
        """Copy the value only where nothing is loaded, so that no event will tell of the rest."""
        if not load and self.key in source_dict:
            dest_dict[self.key] = source_dict[self.key]


def leave_out_of_merge(prop: Any) -> None:
    """Make ``Session.merge`` leave a mapped column as it is in the session."""
    if type(prop) is ColumnProperty:
        prop.__class__ = _FollowingProperty
