"""graphql-core's executor, which shares the event loop fairly with other tasks.

graphql-core completes a list at once, however long it is, and starts all the fields of all its
items at once. Here the results and their errors are the same, but other tasks may run between two
items, and before a field resumes after a wait.
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
    """Executes one operation, in the turns of the task in which it is created."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._scheduler = current_scheduler()
        self._size: ResponseSize = self.context_value.size

    # A static method of the base class, which is called on the executor.
    def complete_leaf_value(  # type: ignore[override]
        self, return_type: GraphQLLeafType, result: Any
    ) -> Any:
        """Complete a scalar or an enum's value, and count its size in the response."""
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
        """Complete a list; awaitable items, and those beyond this time slice, by a coroutine."""
        completion = _ListCompletion(
            self, items, (item_type, field_details_list, info), path, position_context
        )
        completion.work(self._scheduler)
        if completion.is_complete and not completion.awaitable:
            return completion.results
        return completion.complete(self._scheduler)

    def execute_fields(
        self,
        parent_type: GraphQLObjectType,
        source_value: Any,
        path: Path | None,
        grouped_field_set: Any,
        position_context: Any,
    ) -> Any:
        """Execute the fields of an object; awaitable ones start in turns."""
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
        return self._await_results(results, awaitable) if awaitable else results

    async def _await_results(self, results: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
        values = await _gather(self._scheduler, [results[name] for name in names])
        results.update(zip(names, values, strict=True))
        return results


class _ListCompletion:
    """The completion of one list."""

    def __init__(
        self,
        executor: FairExecutor,
        items: Iterable[Any],
        item: tuple[GraphQLOutputType, Any, GraphQLResolveInfo[Any]],
        path: Path,
        position_context: Any,
    ) -> None:
        self.results: list[Any] = []
        self.awaitable: list[int] = []
        self.is_complete = False
        self._executor = executor
        self._items = iter(items)
        self._item = item
        self._path = path
        self._context = position_context

    def work(self, scheduler: Scheduler) -> None:
        """Complete items until the end of the list or of the time slice, but at least one."""
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
                executor.complete_awaitable_list_item_value(item, *self._item, path, self._context)
            )
            self.awaitable.append(index)
        elif executor.complete_list_item_value(
            item, self.results, *self._item, path, self._context
        ):
            self.awaitable.append(index)

    async def complete(self, scheduler: Scheduler) -> list[Any]:
        """Complete the remaining items in turns, and await those that are awaitable."""
        scheduler.expect(self)
        try:
            while not self.is_complete:
                await scheduler.take()
                self.work(scheduler)
        except asyncio.CancelledError:
            _close(self.results)  # None of them has started: only _gather starts them.
            raise
        finally:
            scheduler.settle(self)
        values = await _gather(scheduler, [self.results[index] for index in self.awaitable])
        for index, value in zip(self.awaitable, values, strict=True):
            self.results[index] = value
        return self.results


async def _gather(scheduler: Scheduler, awaitables: Sequence[Awaitable[Any]]) -> list[Any]:
    """Await concurrently, each started in a turn; the first error cancels the others."""
    fair = [_FairAwaitable(scheduler, awaitable) for awaitable in awaitables]
    if len(fair) == 1:
        return [await fair[0].run()]
    tasks = [awaitable.task() for awaitable in fair]
    try:
        return await asyncio.gather(*tasks)
    except Exception:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


class _FairAwaitable:
    """An awaitable that starts in a turn, and that the scheduler expects until then."""

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
            self._scheduler.settle(self)
        awaitable, self._awaitable = self._awaitable, None
        assert awaitable is not None
        return await awaitable

    def task(self) -> asyncio.Task[Any]:
        task = asyncio.ensure_future(self.run())
        task.add_done_callback(self._end)
        return task

    def _end(self, task: asyncio.Task[Any]) -> None:
        """Expect a task no more that was cancelled before its start, and close its coroutine."""
        self._scheduler.settle(self)
        _close(self._awaitable)


def _close(value: Any) -> None:
    """Close coroutines that have not started, with those that they would have awaited.

    Python warns of a coroutine that is never awaited.
    """
    if inspect.iscoroutine(value):
        if inspect.getcoroutinestate(value) == inspect.CORO_CREATED and value.cr_frame:
            inner = list(value.cr_frame.f_locals.values())
            value.close()
            _close(inner)
    elif isinstance(value, _ListCompletion):
        _close(value.results)
    elif isinstance(value, list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            _close(item)
