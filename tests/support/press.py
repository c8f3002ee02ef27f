"""The magazine of the examples, as its readers and its database see it."""

from __future__ import annotations

import re
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
from selectolax.lexbor import LexborHTMLParser as HTMLParser
from sqlalchemy import func, select

from magazine import articles
from magazine.accounts import hash_password, new_session_key
from magazine.app import create_app
from magazine.config import Config
from magazine.counters import counters
from magazine.discussion import make_discussion, make_engine
from magazine.hooks import News
from magazine.models import Article, Base, User
from magazine.policy import Reader
from tallied.models import Author, Comment, Thread
from tallied.models import Base as Tallied
from tallied.schema.ids import encode_id

URL = "http://magazine.test"
PASSWORD = "correct horse battery staple"
_hashed: list[str] = []


class Press:
    """The magazine with an empty database, and two people: ada writes, ben reads."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = make_engine(url)
        self.told: list[News] = []
        self.discussion = make_discussion(self.engine, self._tell)
        config = Config(Path(), url, "a secret of the tests, long enough")
        self.app = create_app(config, self.engine, self.discussion)
        self.readers: dict[str, Reader] = {}
        self._stack = AsyncExitStack()

    async def _tell(self, news: News) -> None:
        self.told.append(news)

    async def __aenter__(self) -> Press:
        async with self.engine.begin() as connection:
            await connection.run_sync(Tallied.metadata.create_all)
            await connection.run_sync(Base.metadata.create_all)
        for name in ("ada", "ben"):
            await self.add(name)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()
        await self.engine.dispose()

    async def add(self, name: str, is_editor: bool = False) -> Reader:
        """Add another person."""
        if not _hashed:
            _hashed.append(await hash_password(PASSWORD))
        key = new_session_key()
        user = User(name=name, password_hash=_hashed[0], session_key=key, is_editor=is_editor)

        async def work(unit: Any) -> Reader:
            unit.session.add(user)
            await unit.session.flush()
            return Reader(user.subject, name, is_moderator=is_editor, user_id=user.id)

        self.readers[name] = await self.discussion.write(work)
        return self.readers[name]

    def access(self, name: str) -> Any:
        """Return the access of a reader."""
        return self.discussion.access(self.readers[name])

    async def do(self, step: Any, name: str, *values: Any) -> Any:
        """Return a step that takes a unit and an access, as a unit of its own."""
        return await self.discussion.write(lambda unit: step(unit, self.access(name), *values))

    async def article(self, headline: str = "Salt", draft: bool = False) -> int:
        """Return an article of ada's."""
        id: int = await self.do(articles.write_draft, "ada", headline, f"{headline}: a text.")
        if not draft:
            await self.do(articles.publish, "ada", id)
        return id

    async def thread_of(self, id: int) -> Any:
        """Return the key of an article's thread."""
        return await self.discussion.write(lambda unit: articles.thread_of(unit, id))

    async def thread_id(self, id: int) -> str:
        """Return the same, as GraphQL has it."""
        return encode_id("Thread", await self.thread_of(id))

    def guest(self) -> Browser:
        """Return a browser without cookies."""
        browser = Browser(self.app)
        self._stack.push_async_callback(browser.http.aclose)
        return browser

    async def browser(self, name: str) -> Browser:
        """Return a browser in which someone has signed in."""
        browser = self.guest()
        done = await browser.submit("/login", "/login", name=name, password=PASSWORD)
        assert done.status_code == 303, done.text
        return browser

    async def numbers(self) -> dict[int, tuple[int, int]]:
        """Return the comments of each article: what it says, and what there are.

        Threads and authors are checked by the way.
        """
        async with self.discussion.database.read() as connection:
            wrong = await connection.run_sync(lambda it: list(counters.verify(it)))
            threads = await connection.execute(select(Thread.id, Thread.comment_count))
            comments = await connection.execute(select(Comment.thread_id))
            printed = await connection.execute(select(func.sum(Author.comment_count)))
            rows = await connection.execute(
                select(Article.id, Article.thread_id, Article.comment_count)
            )
        keys = list(comments.scalars())
        assert wrong == []
        assert {id: keys.count(id) for id, _ in threads.all()}.keys() >= set(keys)
        assert (printed.scalar() or 0) == len(keys)
        return {id: (count, keys.count(thread_id)) for id, thread_id, count in rows}


class Browser:
    """What someone has open."""

    def __init__(self, app: Any) -> None:
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=URL)

    async def see(self, path: str, status: int = 200) -> HTMLParser:
        """Return a page."""
        answer = await self.http.get(path)
        assert answer.status_code == status, answer.text
        return HTMLParser(answer.text)

    async def submit(self, path: str, action: str, **fields: str) -> httpx.Response:
        """Fill in and send a form of a page, with all that it brings along."""
        page = await self.see(path)
        form = page.css_first(f"form[action='{action}']")
        assert form is not None, page.html
        data = {
            item.attributes["name"]: item.attributes.get("value") or ""
            for item in form.css("input[name], button[name]")
        }
        return await self.http.post(action, data=data | fields)

    async def comment(self, id: int, message: str, **fields: str) -> httpx.Response:
        """Send the form below an article."""
        page = await self.see(f"/articles/{id}")
        form = page.css_first("form[action$='/comments']")
        assert form is not None, page.html
        return await self.submit(
            f"/articles/{id}", form.attributes["action"] or "", message=message, **fields
        )

    async def messages(self, id: int) -> list[str]:
        """Return the texts of the comments below an article, the latest first."""
        page = await self.see(f"/articles/{id}")
        return [item.text(strip=True) for item in page.css("#discussion .tallied-message")]

    async def ask(self, query: str, **variables: Any) -> Any:
        """Return the answer of the GraphQL endpoint, with the browser's cookies."""
        answer = await self.http.post("/graphql", json={"query": query, "variables": variables})
        return answer.json()


def comment_ids(page: HTMLParser) -> list[str]:
    """Return the ids of the comments on a page."""
    result = re.findall(r'id="comment-([0-9a-f-]{36})"', page.html or "")
    assert result
    return result
