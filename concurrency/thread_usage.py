"""What the current thread has used: time of the processor, and waits for anything else."""

from __future__ import annotations

import sys
from functools import partial
from time import thread_time
from typing import Any, NamedTuple

if sys.platform == "linux":
    from resource import RUSAGE_THREAD, getrusage

    take_usage = partial(getrusage, RUSAGE_THREAD)
else:

    class _Usage(NamedTuple):
        """The usage where the system does not count the waits of a thread."""

        ru_utime: float
        ru_stime: float = 0.0
        ru_nvcsw: int = 0

    def take_usage() -> _Usage:
        """Return the usage of the current thread until now."""
        return _Usage(thread_time())


def processor_time(since: Any) -> float:
    """Return the seconds of the processor that the current thread has had.

    :param since: what :func:`take_usage` has returned in this thread.
    """
    now = take_usage()
    seconds: float = now.ru_utime + now.ru_stime - since.ru_utime - since.ru_stime
    return seconds


def has_waited(since: Any) -> bool:
    """Return whether the current thread has waited, as for a disk, or nobody knows.

    It has not where others had the processor meanwhile.

    :param since: what :func:`take_usage` has returned in this thread.
    """
    waits = take_usage().ru_nvcsw
    return waits == 0 or bool(waits != since.ru_nvcsw)
