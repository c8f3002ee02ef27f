"""One execution of a plan."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from sqlalchemy import ColumnElement

from ..auth.viewer import Viewer
from ..database.statement import Rows
from ..execution.context import Context
from ..host.access import Access
from ..host.read_conditions import viewer_values
from ..resolvers.pagination.arguments import Window
from .loaded_lists import LoadedLists
from .statements import BoundStatement


@dataclass
class Run:
    """One execution of a plan."""

    context: Context
    access: Access
    """The viewer's access; with their author only if the plan asks for it."""
    read_condition: ColumnElement[bool] | None
    """The policy's condition for threads, with the parameters of :func:`.viewer_value`."""
    reader: Viewer | None
    """The viewer whose values these parameters have."""
    windows: Mapping[int, Window]
    """The windows of the pages by the number of their level."""
    lists: Mapping[str, Any]
    """The arguments of the fields with lists, by their names in the generated code."""
    values: Mapping[str, Any] = field(init=False)
    """The values of the reader by the keys of their parameters in the condition."""

    def __post_init__(self) -> None:
        condition = self.read_condition
        self.values = {} if condition is None else viewer_values(condition, self.reader)

    @cached_property
    def loaded(self) -> LoadedLists:
        """The lists of rows that have been loaded."""
        return LoadedLists(self.context)

    def fetch(self, bound: BoundStatement) -> Coroutine[Any, Any, Rows]:
        """Return the rows of a statement."""
        return self.context.fetch(bound.statement, bound.parameters)
