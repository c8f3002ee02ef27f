"""Signing in and out: passwords by Argon2, sessions in a cookie that Starlette signs."""

from __future__ import annotations

import asyncio
import secrets
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from starlette.requests import HTTPConnection

from tallied.database.unit_of_work import UnitOfWork
from tallied.discussion import Discussion

from .models import Article, User, subject_of
from .policy import Reader

_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


def new_session_key() -> str:
    """Return the key of the sessions that a user begins from now on."""
    return secrets.token_urlsafe(32)


async def hash_password(password: str) -> str:
    """Return the hash of a password by Argon2id, with the parameters of OWASP's cheat sheet."""
    # In a thread, since it is meant to take long.
    return await asyncio.to_thread(_hasher.hash, password)


async def sign_in(
    sessions: async_sessionmaker[AsyncSession], request: HTTPConnection, name: str, password: str
) -> bool:
    """Begin a session for the user with that name and password; False where there is none."""
    async with sessions() as session:
        user = await session.scalar(select(User).where(User.name == name))
    # An unknown name takes as long, so that nobody can find out names.
    hashed = user.password_hash if user else await asyncio.to_thread(_nobody)
    fits = await asyncio.to_thread(_fits, hashed, password)
    if user is None or not fits:
        return False
    request.session.clear()  # against session fixation
    request.session.update(user=user.id, key=user.session_key)
    return True


async def sign_out(discussion: Discussion, request: HTTPConnection) -> None:
    """End all sessions of the user: a signed cookie cannot be taken back by itself."""
    user_id = request.session.get("user")
    request.session.clear()

    async def work(unit: UnitOfWork) -> None:
        await unit.session.execute(
            update(User).where(User.id == user_id).values(session_key=new_session_key())
        )

    await discussion.write(work)


async def reader_of(
    sessions: async_sessionmaker[AsyncSession], connection: HTTPConnection
) -> Reader | None:
    """Return the signed-in reader, read once per request; None for a guest."""
    if not hasattr(connection.state, "reader"):
        connection.state.reader = await _reader_of(sessions, connection)
    reader: Reader | None = connection.state.reader
    return reader


async def _reader_of(
    sessions: async_sessionmaker[AsyncSession], connection: HTTPConnection
) -> Reader | None:
    user_id, key = connection.session.get("user"), connection.session.get("key")
    if not isinstance(user_id, int) or not isinstance(key, str):
        return None
    async with sessions() as session:
        user = await session.get(User, user_id)
        if user is None or not secrets.compare_digest(user.session_key, key):
            return None
        query = select(Article.thread_id).where(Article.author_id == user_id)
        threads = await session.scalars(query.where(Article.thread_id.is_not(None)))
        return Reader(
            subject_of(user_id),
            user.name,
            is_moderator=user.is_editor,
            user_id=user_id,
            threads=frozenset(filter(None, threads)),
        )


def _fits(hashed: str, password: str) -> bool:
    try:
        return _hasher.verify(hashed, password)
    except (VerificationError, InvalidHashError):
        return False


@cache
def _nobody() -> str:
    return _hasher.hash(secrets.token_urlsafe(32))
