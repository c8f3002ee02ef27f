"""A host's application, as the command line is told of it: ``--app forum:discussion``."""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from importlib import import_module
from inspect import isroutine
from operator import attrgetter
from typing import TypeVar

from ..checks import check_keeping
from ..counters import Counters
from ..database import Database
from ..discussion import Discussion
from ..errors import ConfigurationError
from ..migrations.opening import Wait
from . import runner

T = TypeVar("T")


def load(name: str) -> Discussion:
    """The Discussion that is called so, as ``module:attribute``, or what a function there makes.

    The working directory is looked into first, as uvicorn does it.

    :raises ConfigurationError: for what is not there, cannot be imported, or is none.
    """
    module_name, _, attribute = name.partition(":")
    if not (module_name and attribute):
        raise ConfigurationError(
            f"--app must be a module and the name of a Discussion in it, such as"
            f" forum:discussion, not {name!r}."
        )
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found = attrgetter(attribute)(import_module(module_name))
        if isroutine(found) or isinstance(found, partial):  # not an application, nor a class
            found = found()
    except ConfigurationError:
        raise
    except Exception as error:  # the host's own code
        raise ConfigurationError(
            f"--app {name} cannot be loaded ({type(error).__name__}: {error})."
        ) from error
    if not isinstance(found, Discussion):
        raise ConfigurationError(
            f"--app {name} is no Discussion but of the type {type(found).__name__}; name a"
            " Discussion, or a function without arguments that makes one."
        )
    return found


def run(
    discussion: Discussion,
    work: Callable[[Database, Counters], Awaitable[T]],
    *,
    must_exist: bool = False,
    warn: Callable[[str], object],
) -> T:
    """Run a command on the database of a host, with its counters, and close both.

    :param warn: called with a sentence where the database has to be waited for.
    :param must_exist: refuse a database that is not there or not migrated, and counters of the
        host that this Discussion does not keep, which no recount of the others would show.
    :raises ConfigurationError: for what cannot be used.
    """

    async def main(database: Database) -> T:
        engine, found = await check_keeping(database)
        if must_exist and found:
            raise ConfigurationError(
                " ".join(f"({each.id}) {each.sentence} {each.hint}" for each in found)
            )
        return await work(database, engine)

    wait = Wait(discussion.settings.database_wait, warn)
    return runner.run_on(discussion.database, main, must_exist=must_exist, wait=wait)
