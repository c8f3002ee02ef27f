"""The extras of the distribution: the modules that each one installs, and the error without them.

``pyproject.toml`` has the versions.
"""

from __future__ import annotations

from importlib.util import find_spec

from .errors import MissingExtraError

_ALEMBIC = ("alembic",)
_SQLITE = ("aiosqlite", "greenlet")
_APP = (
    *_ALEMBIC,
    "graphql",
    "greenlet",
    "jwt",
    "linkify_it",
    "markdown_it",
    "nh3",
    "orjson",
    "starlette",
    "strawberry",
    "uuid_utils",
)

_PAGES = (*_APP, "itsdangerous", "jinja2", "python_multipart")

MODULES = {
    "alembic": _ALEMBIC,
    "app": _APP,
    "server": (*_PAGES, *_SQLITE, "httptools", "rich", "typer", "uvicorn", "websockets"),
    "pages": _PAGES,
    "sqlite": _SQLITE,
    "postgresql": ("asyncpg", "greenlet"),
}
"""The top-level modules without which the part of an extra cannot be imported."""


def require(extra: str, user: str) -> None:
    """Check that the modules of an extra are installed, without importing them.

    So an installed module that cannot be imported raises its own error.

    :param user: the module that needs them, or another subject of the error's sentence.
    :raises MissingExtraError: if a module is missing.
    """
    for name in MODULES[extra]:
        if not _is_installed(name):
            raise MissingExtraError(
                f'{user} needs the extra "{extra}", as {name} is not installed. Run: pip install'
                f' "tallied[{extra}]"',
                name=name,
            )


def is_installed(extra: str) -> bool:
    """Return whether all modules of an extra are installed."""
    return all(map(_is_installed, MODULES[extra]))


def _is_installed(name: str) -> bool:
    return find_spec(name) is not None
