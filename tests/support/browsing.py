"""A browser without JavaScript: it follows links, fills in forms, and keeps cookies."""

from __future__ import annotations

from typing import Any

import httpx
from selectolax.lexbor import LexborHTMLParser as HTMLParser


class Browsing:
    """Someone who reads pages and sends forms.

    :param headers: those of each request, as of a login.
    """

    def __init__(self, app: Any, headers: dict[str, str] | None = None) -> None:
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://host.test", headers=headers
        )
        self.page = HTMLParser("")
        self.path = ""

    async def see(self, path: str, status: int = 200) -> HTMLParser:
        """Return a page, after the redirects to it."""
        response = await self.http.get(path, follow_redirects=True)
        assert response.status_code == status, (response.status_code, response.text)
        self.path = response.url.raw_path.decode()
        self.page = HTMLParser(response.text)
        return self.page

    def form(self, action: str, reply_to: str | None = None) -> Any:
        """Return a form of the page: the first that is not a reply, or the reply to a comment."""
        forms = self.page.css(f"form[action$='{action}']")
        for form in forms:
            field = form.css_first("input[name=reply_to]")
            if (field and field.attributes["value"]) == reply_to:
                return form
        raise AssertionError(self.page.html)

    def fields(self, action: str, reply_to: str | None = None) -> dict[str, str]:
        """Return the fields of a form on the page, with the first of its buttons."""
        form = self.form(action, reply_to)
        fields = {
            item.attributes["name"]: item.attributes.get("value") or ""
            for item in form.css("input[name], button[name]")
        }
        return fields | {
            item.attributes["name"]: item.text().removeprefix("\n") for item in form.css("textarea")
        }

    async def send(self, action: str, reply_to: str | None = None, **values: str) -> httpx.Response:
        """Fill in and send a form of the page, and show its response, or the page it leads to."""
        form, data = self.form(action, reply_to), self.fields(action, reply_to) | values
        response = await self.http.post(form.attributes["action"], data=data)
        if response.status_code == 303:
            await self.see(response.headers["location"])
        else:
            self.page = HTMLParser(response.text)
        return response

    def texts(self, selector: str) -> list[str]:
        """Return the texts of elements of the page."""
        return [" ".join(item.text().split()) for item in self.page.css(selector)]

    def ids(self) -> list[str]:
        """Return the ids of the comments on the page."""
        return [
            (item.attributes["id"] or "").removeprefix("comment-")
            for item in self.page.css("article[id^=comment-]")
        ]
