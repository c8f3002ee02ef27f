"""Plans: what one operation does, for any request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from graphql.execution.values import VariableValues

from ..errors import BadUserInput
from ..execution.context import Context
from ..execution.field_declarations import ConnectionField, LoadedField, SurroundingsField
from ..host.access import Access
from ..resolvers.pagination.arguments import Window
from ..schema.arguments import read_window
from .arguments import Arguments, Variables
from .changes import ChangeRoot
from .errors import Guard, Unsupported
from .roots import Root
from .run import Run

ListDeclaration: TypeAlias = LoadedField | SurroundingsField
"""The declaration of a field that reads its arguments itself."""


@dataclass
class Plan:
    """A compiled operation; it has no state of a request, a viewer or a connection.

    :param roots: the root fields by response key; a text is the value of ``__typename``.
    :param connections: the connections of levels, by number.
    :param lists: the fields with lists and surroundings, by their names in the generated code.
    :param needs_access: whether a field depends on the key of the viewer's author.
    """

    variables: Variables
    roots: Mapping[str, Root | str]
    connections: Mapping[int, tuple[ConnectionField, Arguments]]
    lists: Mapping[str, tuple[ListDeclaration, Arguments]]
    needs_access: bool
    page_size: int

    def __post_init__(self) -> None:
        self._windows: dict[int, Window] = {}
        self._changes = [
            (key, root) for key, root in self.roots.items() if isinstance(root, ChangeRoot)
        ]
        if len(self._changes) > 1:
            raise Unsupported("several mutations")

    async def execute(
        self, context: Context, variables: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        """Return the data of the response.

        :raises Guard: for a request that only graphql-core can answer; a change that was made by
            then has its outcome in the context.
        """
        values = self.variables.read(variables)
        windows: dict[int, Window] = {}
        for number in self.connections:
            window = windows[number] = self._window(number, values)
            if window.with_hidden and not context.sees_hidden:
                raise Guard("hidden comments")
        lists = {}
        for name in self.lists:
            lists[name] = self._read_list(context, name, values)
        checked: dict[str, Any] = {}
        for key, root in self.roots.items():
            if not isinstance(root, str):
                checked[key] = root.check(context, values)
        for key, change in self._changes:
            checked[key] = await change.make(context, checked[key])
        # A change may have written the viewer's author, whom these ask for.
        read_condition, reader = await context.ask_read_condition()
        access = (
            await context.load_access()
            if self.needs_access
            else Access(context.rules, context.viewer)
        )
        run = Run(context, access, read_condition, reader, windows, lists)
        data = {}
        for key, root in self.roots.items():
            data[key] = root if isinstance(root, str) else await root.load(run, checked[key])
        return data

    def _read_list(self, context: Context, name: str, values: VariableValues) -> Any:
        declaration, arguments = self.lists[name]
        try:
            return declaration.read(context, **arguments.read(values))
        except BadUserInput as error:
            raise Guard("list") from error

    def _window(self, number: int, values: VariableValues) -> Window:
        window = self._windows.get(number)
        if window is not None:
            return window
        connection, arguments = self.connections[number]
        try:
            window = read_window(connection, self.page_size, **arguments.read(values))
        except BadUserInput as error:
            raise Guard("page") from error
        if arguments.constant is not None:
            self._windows[number] = window
        return window
