"""Counters beside other libraries, each used as in its documentation."""

from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest
import sqlalchemy_continuum
from advanced_alchemy.base import BigIntBase
from advanced_alchemy.repository import SQLAlchemyAsyncRepository
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqladmin import Admin, ModelView
from sqlalchemy import Engine, ForeignKey, Integer, String, create_engine
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    configure_mappers,
    mapped_column,
    registry,
    relationship,
    sessionmaker,
)
from sqlmodel import Field, Relationship, SQLModel
from sqlmodel import Session as SQLModelSession
from starlette.applications import Starlette

from tallied.counters import Count, Counters, Sum
from tallied.errors import CounterAssignmentError


def test_sqlmodel(engine: Engine) -> None:
    class Base(SQLModel, registry=registry()):
        pass

    class Team(Base, table=True):
        id: int | None = Field(default=None, primary_key=True)
        name: str
        hero_count: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
        power: int | None = Field(
            default=None, nullable=False, sa_column_kwargs={"server_default": "0"}
        )

    class Hero(Base, table=True):
        id: int | None = Field(default=None, primary_key=True)
        power: int
        team_id: int | None = Field(default=None, foreign_key="team.id", index=True)
        team: Team | None = Relationship()

    class Own(SQLModelSession):
        pass

    counters = Counters(
        Count(Team.hero_count, via=Hero.team),  # type: ignore[arg-type]
        Sum(Team.power, of=Hero.power, via=Hero.team),  # type: ignore[arg-type]
    )
    counters.install(Own)
    Base.metadata.create_all(engine)
    with Own(engine) as session:
        team = Team.model_validate({"name": "A"})
        session.add_all(Hero(team=team, power=power) for power in (3, 8))
        session.commit()
        assert (team.hero_count, team.power) == (2, 11)
        team.sqlmodel_update({"name": "B", "hero_count": 2, "power": 11})
        session.add(Hero(team_id=team.id, power=4))
        session.commit()
        assert (team.name, team.hero_count, team.power) == ("B", 3, 15)
        with pytest.raises(CounterAssignmentError):
            team.sqlmodel_update({"hero_count": 2})
        assert list(counters.verify(session.connection())) == []


def test_flask_sqlalchemy(tmp_path: Path) -> None:
    class Base(DeclarativeBase):
        pass

    db = SQLAlchemy(model_class=Base)

    class Post(db.Model):  # type: ignore[name-defined, misc]
        id: Mapped[int] = mapped_column(primary_key=True)
        comment_count: Mapped[int] = mapped_column(server_default="0")

    class Reply(db.Model):  # type: ignore[name-defined, misc]
        id: Mapped[int] = mapped_column(primary_key=True)
        post_id: Mapped[int] = mapped_column(ForeignKey(Post.id), index=True)
        post: Mapped[Any] = relationship(Post)

    counters = Counters(Count(Post.comment_count, via=Reply.post))
    counters.install(db.session)  # type: ignore[arg-type]
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{tmp_path}/flask.db"
    db.init_app(app)

    @app.post("/posts/<int:key>/replies")
    def reply(key: int) -> dict[str, int]:
        post = db.session.get(Post, key) or Post(id=key)
        db.session.add(Reply(post=post))
        db.session.commit()
        return {"count": post.comment_count}

    with app.app_context():
        db.create_all()
        counts = [app.test_client().post("/posts/5/replies").json for _ in range(3)]
        assert counts == [{"count": 1}, {"count": 2}, {"count": 3}]
        db.session.query(Reply).filter_by(id=2).delete()
        db.session.commit()
        assert db.session.get(Post, 5).comment_count == 2
        assert list(counters.verify(db.session.connection())) == []
        db.session.remove()
        db.engine.dispose()


class Story(BigIntBase):
    __tablename__ = "works_with_post"
    title: Mapped[str]
    reply_count: Mapped[int] = mapped_column(server_default="0")


class Remark(BigIntBase):
    __tablename__ = "works_with_reply"
    text: Mapped[str]
    post_id: Mapped[int] = mapped_column(ForeignKey(Story.id), index=True)
    post: Mapped[Any] = relationship(Story)


async def test_advanced_alchemy(empty_url: str) -> None:
    class Posts(SQLAlchemyAsyncRepository[Story]):
        model_type = Story

    class Replies(SQLAlchemyAsyncRepository[Remark]):
        model_type = Remark

    engine = create_async_engine(empty_url)
    maker = async_sessionmaker(engine, expire_on_commit=False)
    counters = Counters(Count(Story.reply_count, via=Remark.post))
    counters.install(maker)
    tables = [Story.__table__, Remark.__table__]
    async with engine.begin() as connection:
        await connection.run_sync(lambda sync: Story.metadata.create_all(sync, tables=tables))
    async with maker() as session:
        posts, replies = Posts(session=session), Replies(session=session)
        post = await posts.add(Story(title="A", id=5))
        await replies.add_many([Remark(id=n, text="t", post_id=5) for n in (7, 8, 9)])
        post = await posts.update(Story(id=5, title="B"))
        assert (post.title, post.reply_count) == ("B", 3)
        await posts.upsert(Story(id=5, title="C"))
        await posts.upsert_many([Story(id=5, title="D"), Story(id=6, title="E")])
        await replies.delete(8)
        await replies.upsert(Remark(id=9, text="moved", post_id=6))
        await replies.upsert_many(
            [Remark(id=7, text="edited", post_id=5), Remark(id=10, text="new", post_id=5)]
        )
        await session.commit()
        await session.refresh(post)
        assert (post.title, post.reply_count) == ("D", 2)
        drifts = await session.run_sync(lambda sync: list(counters.verify(sync.connection())))
        assert drifts == []
    await engine.dispose()


async def test_sqladmin(empty_url: str) -> None:
    class Base(DeclarativeBase):
        pass

    class Post(Base):
        __tablename__ = "post"
        id: Mapped[int] = mapped_column(primary_key=True)
        title: Mapped[str] = mapped_column(String(50))
        reply_count: Mapped[int] = mapped_column(Integer, server_default="0")

    class Reply(Base):
        __tablename__ = "reply"
        id: Mapped[int] = mapped_column(primary_key=True)
        post_id: Mapped[int] = mapped_column(ForeignKey("post.id"), index=True)
        post: Mapped[Post] = relationship()

    class PostAdmin(ModelView, model=Post):
        pass

    class ReplyAdmin(ModelView, model=Reply):
        pass

    engine = create_async_engine(empty_url)
    maker = async_sessionmaker(engine)
    counters = Counters(Count(Post.reply_count, via=Reply.post))
    counters.install(maker)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    app = Starlette()
    admin = Admin(app, session_maker=maker)
    for view in (PostAdmin, ReplyAdmin):
        admin.add_view(view)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:

        async def post(path: str, **form: str) -> int:
            return (await client.post(f"/admin/{path}", data=form)).status_code

        assert await post("post/create", title="A", reply_count="0") == 302
        assert [await post("reply/create", post="1") for _ in range(3)] == [302] * 3
        assert await post("post/edit/1", title="B", reply_count="3") == 302
        assert await post("post/edit/1", title="C", reply_count="2") == 400, "a stale form"
        assert (await client.delete("/admin/reply/delete?pks=2")).status_code == 200
    async with maker() as session:
        stored = await session.get_one(Post, 1)
        assert (stored.title, stored.reply_count) == ("B", 2)
        drifts = await session.run_sync(lambda sync: list(counters.verify(sync.connection())))
        assert drifts == []
    await engine.dispose()


def test_sqlalchemy_continuum(tmp_path: Path) -> None:
    # Once a process: Continuum keeps its class of transactions on the first base that it meets.
    engine = create_engine(f"sqlite:///{tmp_path}/continuum.db")
    sqlalchemy_continuum.make_versioned(user_cls=None)
    try:

        class Base(DeclarativeBase):
            pass

        class Post(Base):
            __versioned__: ClassVar[dict[str, Any]] = {"exclude": ["reply_count"]}
            __tablename__ = "post"
            id: Mapped[int] = mapped_column(primary_key=True)
            title: Mapped[str]
            reply_count: Mapped[int] = mapped_column(server_default="0")

        class Reply(Base):
            __versioned__: ClassVar[dict[str, Any]] = {}
            __tablename__ = "reply"
            id: Mapped[int] = mapped_column(primary_key=True)
            text: Mapped[str]
            post_id: Mapped[int] = mapped_column(ForeignKey("post.id"), index=True)
            post: Mapped[Post] = relationship()

        configure_mappers()
        maker = sessionmaker(engine)
        counters = Counters(Count(Post.reply_count, via=Reply.post))
        counters.install(maker)
        Base.metadata.create_all(engine)
        with maker() as session:
            post = Post(id=5, title="A")
            session.add_all(Reply(id=n, text="t", post=post) for n in (7, 8, 9))
            session.commit()
            post.title = "B"
            session.get_one(Reply, 7).text = "changed"
            session.delete(session.get_one(Reply, 8))
            session.commit()
            assert (post.reply_count, post.versions.count()) == (2, 2)  # type: ignore[attr-defined]
            assert list(counters.verify(session.connection())) == []
    finally:
        sqlalchemy_continuum.remove_versioning()
        engine.dispose()
