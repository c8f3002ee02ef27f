"""Unusable arguments of a Discussion are refused when it is made."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from functools import wraps
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from tallied.database import Database
from tallied.discussion import Discussion
from tallied.errors import ConfigurationError
from tallied.host.hooks import Event, Hooks
from tallied.host.policy import Policy
from tallied.host.targets import Target
from tallied.settings import Settings

URL = "sqlite+aiosqlite:///never-opened.db"


def derive(cls: type, **methods: Any) -> Any:
    """Return an instance of a class that is derived from `cls`, called Own."""
    return type("Own", (cls,), methods)()


async def wait(*_: object) -> bool:
    return False


async def stream(*_: object) -> AsyncIterator[bool]:
    yield False


class Called:
    """What is called by a method of its class."""

    async def __call__(self, *_: object) -> bool:
        return False


def awaited(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def inner(*arguments: Any) -> Any:
        return function(*arguments)

    return inner


PHOTOS = Target("photo", wait)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"policy": Policy}, "policy must be an instance .* the class Policy itself"),
        ({"policy": {}}, "policy must be an instance of a class derived from Policy, not a dict"),
        ({"policy": derive(Policy, may_edit=wait)}, "policy.may_edit must be a plain function"),
        ({"policy": derive(Policy, may_read=awaited(wait))}, "policy.may_read must be a plain"),
        ({"policy": derive(Policy, may_lock=stream)}, "policy.may_lock must be a plain function"),
        ({"policy": derive(Policy, may_move=Called())}, "policy.may_move must be a plain function"),
        ({"policy": derive(Policy, owns=wait)}, "policy.owns must be a plain function"),
        (
            {"policy": derive(Policy, may_start=True)},
            "policy.may_start must be a function, not a b",
        ),
        ({"policy": derive(Policy, may_edt=len)}, "Own.* a method may_edt, .*; is may_edit meant?"),
        ({"hooks": [Hooks]}, r"hooks\[0\] must be an instance .*, not the class Hooks itself"),
        ({"hooks": [Hooks(), len]}, r"hooks\[1\] must be an instance of a class derived from"),
        ({"hooks": Hooks()}, r"hooks must be a sequence, such as hooks=\[…\], not a Hooks"),
        ({"hooks": Hooks}, r"hooks must be a sequence, such as hooks=\[…\], not the class Hooks"),
        (
            {"hooks": [derive(Hooks, after_add_comment=print)]},
            r"hooks\[0\].after_add_comment \(Own",
        ),
        ({"hooks": [derive(Hooks, before_add_comment=None)]}, r"must be an asynchronous function"),
        ({"hooks": [derive(Hooks, before_comment=wait)]}, "is before_.*comment meant?"),
        (
            {"hooks": [derive(Hooks, after_all=wait)]},
            "a method after_all, which Hooks does not have",
        ),
        ({"targets": PHOTOS}, r"targets must be a sequence, such as targets=\[…\], not a Target"),
        ({"targets": ["photo"]}, r"targets\[0\] must be a Target, not a str"),
        ({"targets": "photo"}, "targets must be a sequence"),
        ({"get_viewer": "me"}, "get_viewer must be a function of a connection, not a str"),
        ({"render": "html"}, "render must be a function, not a str"),
        ({"render": wait}, "render must be a plain function, which nothing awaits"),
        ({"check_message": 7}, "check_message must be a function, not an int"),
        ({"check_message": wait}, "check_message must be a plain function"),
        ({"check_message": Called()}, "check_message must be a plain function"),
        ({"count_words": 7}, "count_words must be a function, not an int"),
        ({"count_words": wait}, "count_words must be a plain function"),
        ({"deleted_author": "gone"}, "deleted_author must be a function, not a str"),
        ({"settings": {"guests": "read"}}, "settings must be a Settings, such as Settings"),
        ({"session_class": AsyncSession}, "session_class must be .*, not AsyncSession; that"),
        ({"session_class": Session()}, "session_class must be .*, not Session; that"),
    ],
)
def test_unusable_argument_is_refused(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence) as refused:
        Discussion(URL, **options)
    assert str(refused.value).endswith((".", "meant?"))


def test_usable_arguments_are_accepted() -> None:
    class Mail(Hooks):
        @awaited
        async def after_add_comment(self, event: Event) -> None: ...

        async def tell(self) -> None: ...

    class Own(Policy):
        def is_editor(self) -> bool:
            return True

        may_lock = may_move = Policy.may_delete_thread

    discussion = Discussion(
        URL,
        policy=Own(),
        hooks=(item for item in [Mail(), Hooks()]),  # type: ignore[arg-type]
        targets={PHOTOS},
        get_viewer=wait,  # type: ignore[arg-type]
        render=str.upper,
        deleted_author=lambda: None,
        settings=None,
    )
    assert [type(item) for item in discussion.rules.hooks] == [Mail, Hooks]
    assert discussion.render("loud") == "LOUD"


@pytest.mark.parametrize(
    ("database", "sentence"),
    [
        (create_engine("sqlite://"), "not as Engine; make it with create_async_engine"),
        (7, "The database must be given as a URL, an AsyncEngine or a Database, not as int"),
    ],
)
def test_database_of_wrong_type_is_refused(database: Any, sentence: str) -> None:
    for make in (Discussion, Database):
        with pytest.raises(ConfigurationError, match=sentence):
            make(database)


@pytest.mark.parametrize("entity", [dict, "Photo", 7, AsyncSession])
def test_target_of_unmapped_class_is_refused(entity: Any) -> None:
    with pytest.raises(ConfigurationError, match="The target 'photo' must be of a mapped class"):
        Target.of("photo", entity)


async def test_settings_with_other_database_are_refused(empty_url: str, tmp_path: Path) -> None:
    engine = create_async_engine(empty_url)
    database = Database(engine)
    other = "postgresql+asyncpg://ada:s3cret@nowhere.test/forum"
    for input in (engine, empty_url, database):
        assert Discussion(input, settings=Settings(database=empty_url)).database.engine
        assert Discussion(input).database.engine
        with pytest.raises(ConfigurationError, match="names another database") as refused:
            Discussion(input, settings=Settings(database=other))
        assert "nowhere.test" in str(refused.value)
        assert "s3cret" not in str(refused.value)
    await engine.dispose()
