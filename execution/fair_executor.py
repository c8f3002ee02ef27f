"""Executing at a pace: graphql-core's executor, which takes turns with all else.

graphql-core completes a list at once, however long it is, and begins all the fields of
all its items at once. The results are the same here, and so are their errors; only
between two items, or before a field goes on that had to wait, others may have a turn.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Iterable, Sequence
from typing import Any

from graphql import GraphQLLeafType, GraphQLObjectType, GraphQLOutputType, GraphQLResolveInfo
from graphql.pyutils import Path, Undefined
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from ..concurrency.scheduler import Scheduler, current_scheduler
from .response_size import ResponseSize


class FairExecutor(StrawberryGraphQLCoreExecutionContext):
    """Executes one operation at the pace of the task that it is made in."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._scheduler = current_scheduler()
        self._size: ResponseSize = self.context_value.size

    # A static method there, which its callers find on the executor.
    def complete_leaf_value(  # type: ignore[override]
        self, return_type: GraphQLLeafType, result: Any
    ) -> Any:
        """Complete a scalar or an enum's value, and count what it adds to the answer."""
        value = super().complete_leaf_value(return_type, result)
        if isinstance(value, str):
            self._size.write(value)
        return value

    def complete_iterable_value(
        self,
        item_type: GraphQLOutputType,
        field_details_list: Any,
        info: GraphQLResolveInfo[Any],
        path: Path,
        items: Iterable[Any],
        position_context: Any,
    ) -> Any:
        """Complete a list; what is awaitable, and what is past this slice, by a coroutine."""
        done = _ListCompletion(
            self, items, (item_type, field_details_list, info), path, position_context
        )
        done.work(self._scheduler)
        if done.is_complete and not done.awaitable:
            return done.results
        return done.rest(self._scheduler)

    def execute_fields(
        self,
        parent_type: GraphQLObjectType,
        source_value: Any,
        path: Path | None,
        grouped_field_set: Any,
        position_context: Any,
    ) -> Any:
        """Execute the fields of an object; those that are awaitable begin in turns."""
        results: dict[str, Any] = {}
        awaitable: list[str] = []
        try:
            for name, details in grouped_field_set.items():
                result = self.execute_field(
                    parent_type,
                    source_value,
                    details,
                    Path(path, name, parent_type.name),
                    position_context,
                )
                if result is not Undefined:
                    results[name] = result
                    if self.is_awaitable(result):
                        awaitable.append(name)
        except Exception:
            if awaitable:
                self.settle_in_background([results[name] for name in awaitable])
            raise
        return self._awaited(results, awaitable) if awaitable else results

    async def _awaited(self, results: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
        values = await _gather(self._scheduler, [results[name] for name in names])
        results.update(zip(names, values, strict=True))
        return results


class _ListCompletion:
    """A list that is being completed."""

    def __init__(
        self,
        executor: FairExecutor,
        items: Iterable[Any],
        what: tuple[GraphQLOutputType, Any, GraphQLResolveInfo[Any]],
        path: Path,
        position_context: Any,
    ) -> None:
        self.results: list[Any] = []
        self.awaitable: list[int] = []
        self.is_complete = False
        self._executor = executor
        self._items = iter(items)
        self._what = what
        self._path = path
        self._context = position_context

    def work(self, scheduler: Scheduler) -> None:
        """Complete items until there is none, or the slice is used up; one at least."""
        try:
            for item in self._items:
                self._complete(item)
                if not scheduler.turns.is_open:
                    return
        except Exception:
            if self.awaitable:
                self._executor.settle_in_background([self.results[i] for i in self.awaitable])
            raise
        self.is_complete = True

    def _complete(self, item: Any) -> None:
        index = len(self.results)
        path = self._path.add_key(index, None)
        executor = self._executor
        if executor.is_awaitable(item):
            self.results.append(
                executor.complete_awaitable_list_item_value(item, *self._what, path, self._context)
            )
            self.awaitable.append(index)
        elif executor.complete_list_item_value(
            item, self.results, *self._what, path, self._context
        ):
            self.awaitable.append(index)

    async def rest(self, scheduler: Scheduler) -> list[Any]:
        """Complete the other items, in turns, and await those that are awaitable."""
        scheduler.expect(self)
        try:
            while not self.is_complete:
                await scheduler.take()
                self.work(scheduler)
        except asyncio.CancelledError:
            _close(self.results)  # None of it has begun: that is for _gather to do.
            raise
        finally:
            scheduler.expected(self)
        values = await _gather(scheduler, [self.results[index] for index in self.awaitable])
        for index, value in zip(self.awaitable, values, strict=True):
            self.results[index] = value
        return self.results


async def _gather(scheduler: Scheduler, awaitables: Sequence[Awaitable[Any]]) -> list[Any]:
    """Await them concurrently, each begun in a turn; the first error cancels the others."""
    begun = [_FairAwaitable(scheduler, awaitable) for awaitable in awaitables]
    if len(begun) == 1:
        return [await begun[0].run()]
    tasks = [each.task() for each in begun]
    try:
        return await asyncio.gather(*tasks)
    except Exception:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


class _FairAwaitable:
    """An awaitable that is to begin in a turn, and is expected until it has."""

    def __init__(self, scheduler: Scheduler, awaitable: Awaitable[Any]) -> None:
        self._scheduler = scheduler
        self._awaitable: Awaitable[Any] | None = awaitable
        scheduler.expect(self)

    async def run(self) -> Any:
        try:
            await self._scheduler.take()
        except BaseException:
            _close(self._awaitable)
            raise
        finally:
            self._scheduler.expected(self)
        awaitable, self._awaitable = self._awaitable, None
        assert awaitable is not None
        return await awaitable

    def task(self) -> asyncio.Task[Any]:
        task = asyncio.ensure_future(self.run())
        task.add_done_callback(self._end)
        return task

    def _end(self, task: asyncio.Task[Any]) -> None:
        """Cancelled before it began, it is expected no more, and never will be awaited."""
        self._scheduler.expected(self)
        _close(self._awaitable)


def _close(value: Any) -> None:
    """Close coroutines that have not begun, with those that they would have awaited.

    Python warns of any that is forgotten.
    """
    if inspect.iscoroutine(value):
        if inspect.getcoroutinestate(value) == inspect.CORO_CREATED and value.cr_frame:
            held = list(value.cr_frame.f_locals.values())
            value.close()
            _close(held)
    elif isinstance(value, _ListCompletion):
        _close(value.results)
    elif isinstance(value, list | dict):
        for each in value.values() if isinstance(value, dict) else value:
            _close(each)
