"""Group commit: units of work that arrive while another one is under way share a transaction.

The first unit runs by itself. Those that arrive meanwhile wait; then up to :data:`MAX_SHARED` of
them become one session, one flush and one commit, and each gets its own result after that. Before
they begin, and after they have ended, the event loop goes round as long as that brings more units,
which share the next transaction; nobody waits where nobody is before them. Nobody waits behind a
unit for longer than :data:`OVERTAKING_TIME`, since it may be waiting for a lock. There is one such
transaction at a time (docs/explanation/performance.md says why).

A shared transaction waits for no lock that only some of its units need: such a unit is deferred,
and then shares another transaction with those that need the same lock, or runs by itself. While
deferred units wait for their lock, or write under it, others of their key queue behind them for the
next transaction: they need the same lock. If a shared transaction fails by anything but the
database, nothing of it is written, and its units run one by one. A unit that is cancelled before it
was taken does not run; later it does.
"""

from __future__ import annotations

import asyncio
import copy
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Generic, TypeAlias, TypeVar, cast

from ..concurrency.pending_tasks import PendingTasks
from ..errors import Busy, OutcomeUnknown, Unavailable
from .failures import BUSY
from .followers import wait_for_followers
from .unit_of_work import UnitOfWork

Item = TypeVar("Item")
T = TypeVar("T")

MAX_SHARED = 128
"""The most units of one transaction."""

GATHERING_PASSES = 5
"""How often the event loop goes round without another unit before those that wait begin: from a
commit to the next unit of its clients there are four steps."""

OVERTAKING_TIME = 0.05
"""Seconds after which those that wait begin, although the unit before them has not ended."""

Prepare: TypeAlias = Callable[[UnitOfWork], None]
"""Sets what is called after the commit of a unit; called again for each attempt."""

Write: TypeAlias = Callable[[Callable[[UnitOfWork], Awaitable[Any]]], Awaitable[Any]]


class Deferral(Enum):
    """How a unit runs that a shared transaction has left out."""

    BY_KEY = "with the others of its key, and waiting for the lock"
    ALONE = "by itself"


class SharedWork(ABC, Generic[Item, T]):
    """A kind of unit of work of which several may share a transaction.

    Each locks what it depends on, and none reads what another one of the batch changes.
    """

    @abstractmethod
    def key_of(self, item: Item) -> Hashable:
        """Return what stands for the lock that the unit needs.

        None for a unit that must not wait for it before checks of its own, and is never deferred by
        its key.
        """

    @abstractmethod
    async def run(self, unit: UnitOfWork, item: Item) -> T:
        """Run one unit by itself."""

    @abstractmethod
    async def run_together(
        self, units: Sequence[UnitOfWork], items: Sequence[Item], *, waits: bool
    ) -> Sequence[T | Exception | Deferral]:
        """Run several units, which have one session, and flush it.

        :param waits: whether to wait for locks; all items have one key then.
        :returns: for each its result, or the error of one that has written nothing, or how to
            run one that has been left out.
        :raises Exception: to undo all, and run them one by one.
        """


@dataclass(eq=False)
class _Entry(Generic[Item, T]):
    """A unit that waits for its turn, and then for its end."""

    item: Item
    prepare: Prepare
    done: asyncio.Future[None]
    """Done at its end. The cancellation of its task cancels it, and the task makes a new one."""
    queue: deque[_Entry[Item, T]] | None = None
    """Where it waits for its turn; None once it is taken."""
    unit: UnitOfWork | None = None
    """The unit with functions that follow the commit; None without any."""
    following: asyncio.Future[None] | None = None
    result: T | None = None
    error: BaseException | None = None
    has_ended: bool = False

    def end(self, result: T) -> None:
        """End with a result."""
        self.result = result
        self._end()

    def fail(self, error: BaseException) -> None:
        """End with an error, which is an object of this entry's own."""
        self.error = error
        self._end()

    def give_up(self) -> None:
        """End a unit that waits for its turn still."""
        if self.queue is not None:
            self.queue.remove(self)
            self.queue = None
            self.fail(Busy(BUSY))

    def _end(self) -> None:
        self.has_ended = True
        if not self.done.done():
            self.done.set_result(None)


@dataclass(eq=False)
class GroupCommit(Generic[Item, T]):
    """The units of one kind of one database.

    :param write: runs a unit of work, as :meth:`.Database.write` does.
    :param patience: seconds that a unit waits for its turn, and for what follows its commit.
    :param overtaking_time: None where only one transaction writes at a time.
    """

    work: SharedWork[Item, T]
    write: Write
    pending_tasks: PendingTasks
    patience: float
    overtaking_time: float | None = OVERTAKING_TIME
    _waiting: deque[_Entry[Item, T]] = field(default_factory=deque, init=False)
    _behind: dict[Hashable, deque[_Entry[Item, T]]] = field(default_factory=dict, init=False)
    """The units that wait behind deferred ones, by their key."""
    _turn: object = field(default=None, init=False)
    _timer: asyncio.TimerHandle | None = field(default=None, init=False)

    async def run(self, item: Item, prepare: Prepare) -> T:
        """Run a unit, alone if none is before it, and return its result after the commit.

        :raises Busy: where it has waited too long.
        """
        queue = self._behind.get(self.work.key_of(item)) if self._behind else None
        if self._turn is None and queue is None:
            turn = self._begin_turn()
            try:
                return await self._run_alone(item, prepare, turn)
            finally:
                self._end_turn(turn)
        entry: _Entry[Item, T] = _Entry(item, prepare, asyncio.get_running_loop().create_future())
        entry.queue = self._waiting if queue is None else queue
        entry.queue.append(entry)
        return await self._wait_for(entry)

    # Turns

    def _begin_turn(self) -> object:
        turn = self._turn = object()
        if self.overtaking_time is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self.overtaking_time, self._end_turn, turn)
        return turn

    def _end_turn(self, turn: object) -> None:
        if self._turn is not turn:
            return  # Others have overtaken it.
        self._turn = None
        if self._timer is not None:
            self._timer.cancel()
        if self._behind:
            self._queue_behind()
        if self._waiting:
            self.pending_tasks.start(self._take_turn(self._begin_turn()))

    def _queue_behind(self) -> None:
        """Move the units that wait to those that wait behind deferred ones of their key."""
        for entry in list(self._waiting):
            queue = self._behind.get(self.work.key_of(entry.item))
            if queue is not None:
                self._waiting.remove(entry)
                queue.append(entry)
                entry.queue = queue

    async def _take_turn(self, turn: object) -> None:
        try:
            await self._gather()
            if entries := _take(self._waiting):
                await self._share(entries, turn, waits=False)
                if len(entries) > 1:
                    if self._turn is None:  # Its time is over, but there were no others.
                        turn = self._begin_turn()
                    await self._gather()
        finally:
            self._end_turn(turn)

    async def _gather(self) -> None:
        """Wait for units while they come: or the first client of a commit would run alone."""
        number = passes = 0
        while len(self._waiting) < MAX_SHARED and passes < GATHERING_PASSES:
            passes = 0 if len(self._waiting) > number else passes + 1
            number = len(self._waiting)
            await asyncio.sleep(0)

    # Units

    async def _run_alone(self, item: Item, prepare: Prepare, turn: object) -> T:
        async def work(unit: UnitOfWork) -> T:
            prepare(unit)
            on_commit = unit.on_commit

            def end() -> None:
                if on_commit is not None:
                    on_commit()
                self._end_turn(turn)  # Nobody waits for what follows the commit.

            unit.on_commit = end
            return await self.work.run(unit, item)

        result: T = await self.write(work)
        return result

    async def _settle_alone(self, entry: _Entry[Item, T], turn: object) -> None:
        try:
            entry.end(await self._run_alone(entry.item, entry.prepare, turn))
        except BaseException as error:
            entry.fail(error)
            if not isinstance(error, Exception):
                raise

    async def _share(
        self, entries: Sequence[_Entry[Item, T]], turn: object, *, waits: bool
    ) -> None:
        """Run units in one transaction; those that it leaves out run in tasks of their own."""
        if len(entries) == 1:
            await self._settle_alone(entries[0], turn)
            return
        try:
            results = await self._write_together(entries, waits=waits)
        except (Busy, Unavailable, OutcomeUnknown) as error:
            for entry in entries:
                entry.fail(copy.copy(error))
        except Exception:
            self._end_turn(turn)
            for entry in entries:
                await self._settle_alone(entry, turn)
        except BaseException as error:
            for entry in entries:
                entry.fail(error)
            raise
        else:
            self._settle(entries, results)

    async def _write_together(
        self, entries: Sequence[_Entry[Item, T]], *, waits: bool
    ) -> Sequence[T | Exception | Deferral]:
        async def work(shared: UnitOfWork) -> Sequence[T | Exception | Deferral]:
            units = [UnitOfWork(shared.session) for _ in entries]
            for entry, unit in zip(entries, units, strict=True):
                entry.prepare(unit)
            items = [entry.item for entry in entries]
            results = await self.work.run_together(units, items, waits=waits)
            committed = [
                (entry, unit)
                for entry, unit, result in zip(entries, units, results, strict=True)
                if not isinstance(result, Exception | Deferral)
            ]
            shared.untimed = lambda: _enter_all(unit.untimed() for unit in units)
            shared.on_commit = lambda: self._follow(committed)
            return results

        results: Sequence[T | Exception | Deferral] = await self.write(work)
        return results

    def _follow(self, committed: Iterable[tuple[_Entry[Item, T], UnitOfWork]]) -> None:
        """Begin what follows the commit of each unit, in their order."""
        for entry, unit in committed:
            if unit.on_commit is not None:
                unit.on_commit()
            if unit.after_commit:
                entry.unit, entry.following = unit, self.pending_tasks.start(unit.committed())

    def _settle(
        self, entries: Sequence[_Entry[Item, T]], results: Sequence[T | Exception | Deferral]
    ) -> None:
        deferred: dict[Hashable, deque[_Entry[Item, T]]] = {}
        for entry, result in zip(entries, results, strict=True):
            if result is Deferral.ALONE:
                self.pending_tasks.start(self._share([entry], object(), waits=True))
            elif isinstance(result, Deferral):
                deferred.setdefault(self.work.key_of(entry.item), deque()).append(entry)
            elif isinstance(result, Exception):
                entry.fail(result)
            else:
                entry.end(result)
        for key, queue in deferred.items():
            if key in self._behind:
                self._behind[key].extendleft(reversed(queue))
            else:
                self._behind[key] = queue
                self.pending_tasks.start(self._serve_key(key))

    async def _serve_key(self, key: Hashable) -> None:
        """Run the deferred units of a key, and those that come behind them meanwhile."""
        queue = self._behind[key]
        try:
            while entries := _take(queue):
                await self._share(entries, object(), waits=True)
        except BaseException as error:
            for entry in _take(queue, len(queue)):
                entry.fail(error)
            raise
        finally:
            del self._behind[key]

    # Waiting

    async def _wait_for(self, entry: _Entry[Item, T]) -> T:
        loop = asyncio.get_running_loop()
        timer = loop.call_later(self.patience, entry.give_up)
        cancelled = None
        try:
            while not entry.has_ended:
                try:
                    await entry.done
                except asyncio.CancelledError as error:
                    if entry.queue is not None:
                        entry.queue.remove(entry)
                        raise
                    cancelled, entry.done = error, loop.create_future()
        finally:
            timer.cancel()
        if entry.following is not None and entry.unit is not None:
            with entry.unit.untimed():
                await wait_for_followers(entry.following, self.patience)
        if cancelled is not None:
            raise cancelled
        if entry.error is not None:
            raise entry.error
        return cast("T", entry.result)


def _take(queue: deque[_Entry[Item, T]], number: int = MAX_SHARED) -> list[_Entry[Item, T]]:
    """Remove units from a queue, up to a number of them, and return them."""
    entries = [queue.popleft() for _ in range(min(len(queue), number))]
    for entry in entries:
        entry.queue = None
    return entries


class GroupCommits:
    """The group commits of one database, one for each kind of shared work.

    :param write, patience, overtaking_time: as of :class:`GroupCommit`.
    """

    def __init__(
        self,
        write: Write,
        pending_tasks: PendingTasks,
        patience: float,
        overtaking_time: float | None,
    ) -> None:
        self._arguments = (write, pending_tasks, patience, overtaking_time)
        self._groups: dict[SharedWork[Any, Any], GroupCommit[Any, Any]] = {}

    async def run(self, work: SharedWork[Item, T], item: Item, prepare: Prepare) -> T:
        """Run a unit as :meth:`GroupCommit.run` does."""
        group = self._groups.get(work)
        if group is None:
            group = self._groups[work] = GroupCommit(work, *self._arguments)
        result: T = await group.run(item, prepare)
        return result


@contextmanager
def _enter_all(managers: Iterable[AbstractContextManager[None]]) -> Iterator[None]:
    """Enter context managers that never fail."""
    entered = [*managers]
    for manager in entered:
        manager.__enter__()
    try:
        yield
    finally:
        for manager in reversed(entered):
            manager.__exit__(None, None, None)
