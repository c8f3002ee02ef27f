"""Validation of the arguments of a Discussion, when it is created.

Python would accept a class for an instance, and a coroutine for True. Without these checks, such an
error would show at the first request, or never.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from difflib import get_close_matches
from inspect import isasyncgenfunction, iscoroutinefunction, unwrap
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL
from starlette.applications import Starlette
from starlette.routing import Match

from ..database.urls import parse_url
from ..errors import ConfigurationError
from ..settings import Settings
from .comment_checks import CommentCheck
from .hooks import Hooks
from .policy import Policy
from .targets import Target

T = TypeVar("T")


def validate_settings(settings: Settings | None) -> Settings:
    """Return the settings, by default the default ones.

    :raises ConfigurationError: for a value of another type.
    """
    if settings is None:
        return Settings()
    if not isinstance(settings, Settings):
        raise ConfigurationError(
            "settings must be a Settings, such as Settings(guests='write'),"
            f" not {_kind_of(settings)}."
        )
    return settings


def validate_policy(policy: Policy | None) -> Policy:
    """Return the policy, by default the default one.

    :raises ConfigurationError: for a value of another type, and for a policy with methods that
        would never be called or would allow everything.
    """
    if policy is None:
        return Policy()
    if not isinstance(policy, Policy):
        raise ConfigurationError(
            f"policy must be an instance of a class derived from Policy, not {_kind_of(policy)}."
        )
    _validate_method_names(policy, Policy, "policy")
    for name in _method_names(Policy):
        _validate_plain_function(
            f"policy.{name}", getattr(policy, name), "and may wait for nothing"
        )
    return policy


def validate_hooks(hooks: Iterable[Hooks]) -> tuple[Hooks, ...]:
    """Return the hooks in their order.

    :raises ConfigurationError: for a value of another type, and for methods that would never be
        called or cannot be awaited.
    """
    instances = _validate_instances(
        "hooks", hooks, Hooks, "an instance of a class derived from Hooks"
    )
    for place, hook in enumerate(instances):
        _validate_method_names(hook, Hooks, f"hooks[{place}]")
        for name in _method_names(Hooks):
            if not iscoroutinefunction(unwrap(getattr(hook, name))):
                raise ConfigurationError(
                    f"hooks[{place}].{name} ({type(hook).__qualname__}) must be an asynchronous"
                    " function; write it with `async def`."
                )
    return instances


def validate_comment_checks(checks: Iterable[CommentCheck]) -> tuple[CommentCheck, ...]:
    """Return the checks of comments in their order.

    :raises ConfigurationError: for a value of another type, and for a check that cannot be awaited.
    """
    instances = _validate_instances(
        "comment_checks", checks, CommentCheck, "an instance of a class derived from CommentCheck"
    )
    for place, check in enumerate(instances):
        if not iscoroutinefunction(unwrap(check.check)):
            raise ConfigurationError(
                f"comment_checks[{place}].check ({type(check).__qualname__}) must be an"
                " asynchronous function; write it with `async def`."
            )
    return instances


def validate_targets(targets: Collection[Target]) -> tuple[Target, ...]:
    """Return the targets.

    :raises ConfigurationError: for a value of another type.
    """
    return _validate_instances("targets", targets, Target, "a Target")


def validate_functions(**functions: Callable[..., Any] | None) -> None:
    """Check functions of the host that are called without await; None stands for no function.

    :raises ConfigurationError: for a value that is not callable, and for an asynchronous function.
    """
    for name, function in functions.items():
        if function is not None:
            _validate_plain_function(name, function, "which nothing awaits")


def validate_get_viewer(get_viewer: Callable[..., Any] | None) -> None:
    """Check the function that returns viewers, which may be asynchronous.

    :raises ConfigurationError: for a value that is not callable.
    """
    if get_viewer is not None and not callable(get_viewer):
        raise ConfigurationError(
            f"get_viewer must be a function of a connection, not {_kind_of(get_viewer)}."
        )


def validate_application(app: object, method: str, path: str) -> None:
    """Check the application on which a Discussion or its pages are installed.

    :param path: a path of the routes that are added, which the application itself cannot need.
    :raises ConfigurationError: for anything but a Starlette or FastAPI application, and for one
        whose own routes take every request for that path.
    """
    if not isinstance(app, Starlette):
        raise ConfigurationError(
            f"install() needs the Starlette or FastAPI application itself, not {_kind_of(app)};"
            ' call discussion.install(app, "/discussion").'
        )
    scope = {"type": "http", "method": method, "path": path, "headers": [], "query_string": b""}
    for route in app.routes:
        if route.matches(scope)[0] is Match.FULL:
            raise ConfigurationError(
                f"{path} would not be reached, since {getattr(route, 'path', '') or '/'} was routed"
                " before. Add that later than install(), or install at another path."
            )


def validate_database_setting(settings: Settings, url: URL) -> None:
    """Reject settings that name another database than the one that is used.

    :param url: the URL of the database that was passed.
    :raises ConfigurationError: if they differ.
    """
    if settings.database == Settings.database:
        return
    other = parse_url(settings.database)
    if _location(other) != _location(url):
        raise ConfigurationError(
            "Settings(database=…) names another database"
            f" ({other.render_as_string(hide_password=True)}) than the one that is passed to"
            f" Discussion ({url.render_as_string(hide_password=True)}); leave one of them out."
        )


def _validate_instances(name: str, value: Iterable[T], kind: type[T], what: str) -> tuple[T, ...]:
    if isinstance(value, kind | str) or not isinstance(value, Iterable):
        raise ConfigurationError(
            f"{name} must be a sequence, such as {name}=[…], not {_kind_of(value)}."
        )
    values = tuple(value)
    for place, item in enumerate(values):
        if not isinstance(item, kind):
            raise ConfigurationError(f"{name}[{place}] must be {what}, not {_kind_of(item)}.")
    return values


def _validate_method_names(value: object, base: type[Any], what: str) -> None:
    """Reject methods with a name like those of `base`, which nothing would call."""
    names = list(_method_names(base))
    for name in dir(type(value)):
        if name.startswith(("may_", "before_", "after_")) and name not in names:
            close = get_close_matches(name, names, n=1)
            remedy = f"is {close[0]} meant?" if close else "give it another name."
            raise ConfigurationError(
                f"{what} ({type(value).__qualname__}) has a method {name}, which"
                f" {base.__name__} does not have and nothing calls; {remedy}"
            )


def _method_names(base: type[Any]) -> Iterator[str]:
    """Return the names of the methods of a class that a host may override."""
    return (name for name, value in vars(base).items() if name[0] != "_" and callable(value))


def _validate_plain_function(name: str, function: Any, why: str) -> None:
    if not callable(function):
        raise ConfigurationError(f"{name} must be a function, not {_kind_of(function)}.")
    # An object may be callable by a method of its class, too.
    for candidate in (function, function.__call__):
        if iscoroutinefunction(unwrap(candidate)) or isasyncgenfunction(candidate):
            raise ConfigurationError(
                f"{name} must be a plain function, {why}; write it with `def`, not `async def`."
            )


def _kind_of(value: object) -> str:
    """Return the type of a value in words; the value itself may be long or secret."""
    if isinstance(value, type):
        return f"the class {value.__qualname__} itself"
    return f"{'an' if type(value).__name__[0] in 'aeiouAEIOU' else 'a'} {type(value).__name__}"


def _location(url: URL) -> tuple[object, ...]:
    if url.get_backend_name() == "sqlite":
        name = url.database or ""
        return (name if name.startswith("file:") else str(Path(name).resolve()),)
    return url.host, url.port or 5432, url.database
