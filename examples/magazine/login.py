"""Signing in and out."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from . import accounts, forms
from .site import OurSite, Us, go, page

router = APIRouter()


@router.get("/login")
async def login(request: Request, us: Us, to: Annotated[str, Query()] = "/") -> Response:
    return page(request, "login.html", us, to=_within(to))


@router.post("/login")
async def sign_in(request: Request, site: OurSite, us: Us) -> Response:
    form = await forms.read(request)
    name, password = form.get("name", ""), form.get("password", "")
    to = _within(form.get("to", "/"))
    if await accounts.sign_in(site.sessions, request, name, password):
        return go(to)
    problem = "There is nobody with this name and this password."
    return page(request, "login.html", us, 422, to=to, user=name, problem=problem)


@router.post("/logout")
async def sign_out(request: Request, site: OurSite) -> Response:
    await forms.read(request)
    await accounts.sign_out(site.discussion, request)
    return go("/")


def _within(path: str) -> str:
    """Return a path of the magazine; the front page in place of another address."""
    safe = path.isascii() and path.isprintable() and path.startswith("/")
    return path if safe and not path.startswith("//") and "\\" not in path else "/"
