"""A host's application, as the command line is told of it: ``--app discussing:discussion``."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from operator import attrgetter

from .discussion import Discussion
from .errors import ConfigurationError


def load(name: str) -> Discussion:
    """The Discussion that is called so, as ``module:attribute``, or what a function there makes.

    The working directory is looked into first, as uvicorn does it.

    :raises ConfigurationError: for what is not there, cannot be imported, or is none.
    """
    module_name, _, attribute = name.partition(":")
    if not (module_name and attribute):
        raise ConfigurationError(
            f"--app must be a module and the name of a Discussion in it, such as"
            f" discussing:discussion, not {name!r}."
        )
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found = attrgetter(attribute)(import_module(module_name))
        if callable(found):
            found = found()
    except ConfigurationError:
        raise
    except Exception as error:  # the host's own code
        raise ConfigurationError(
            f"--app {name} cannot be loaded ({type(error).__name__}: {error})."
        ) from error
    if not isinstance(found, Discussion):
        raise ConfigurationError(
            f"--app {name} is of the type {type(found).__name__}; name a Discussion, or a function"
            " without arguments that makes one."
        )
    return found
