"""A host's application, as the command line names it: ``--app forum:discussion``."""

from __future__ import annotations

import os
import sys
from functools import partial
from importlib import import_module
from inspect import isroutine
from operator import attrgetter

from ..discussion import Discussion
from ..errors import ConfigurationError


def load_discussion(name: str, database: str | None) -> Discussion:
    """Return the Discussion ``module:attribute``, or the one that a function of that name returns.

    The working directory is searched first, as uvicorn does.

    :param database: the option ``--database``, which must not be given as well.
    :raises ConfigurationError: for a name that is not there, cannot be imported, or is not a
        Discussion.
    """
    if database is not None:
        raise ConfigurationError(
            "--app and --database contradict each other; leave --database out, since the"
            " application has one."
        )
    module_name, _, attribute = name.partition(":")
    if not (module_name and attribute):
        raise ConfigurationError(
            f"--app must be a module and the name of a Discussion in it, such as"
            f" forum:discussion, not {name!r}."
        )
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        value = attrgetter(attribute)(import_module(module_name))
        if isroutine(value) or isinstance(value, partial):  # not an application, nor a class
            value = value()
    except ConfigurationError:
        raise
    except Exception as error:  # the host's own code
        raise ConfigurationError(
            f"--app {name} cannot be loaded ({type(error).__name__}: {error})."
        ) from error
    if not isinstance(value, Discussion):
        raise ConfigurationError(
            f"--app {name} is not a Discussion but of the type {type(value).__name__}; name a"
            " Discussion, or a function without arguments that makes one."
        )
    return value
