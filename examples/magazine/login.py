"""Signing in and out."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from tallied.pages.site import local_path

from . import accounts
from .site import OurSite, go, page, read_form

router = APIRouter()


@router.get("/login")
async def login(request: Request, next: Annotated[str, Query()] = "/") -> Response:
    return await page(request, "login.html", next=local_path(next, "/"))


@router.post("/login")
async def sign_in(request: Request, site: OurSite) -> Response:
    form = await read_form(request)
    name, password = form.get("name", ""), form.get("password", "")
    next = local_path(form.get("next"), "/")
    if await accounts.sign_in(site.sessions, request, name, password):
        return go(next)
    problem = "There is nobody with this name and this password."
    return await page(request, "login.html", 422, next=next, user=name, problem=problem)


@router.post("/logout")
async def sign_out(request: Request, site: OurSite) -> Response:
    await read_form(request)
    await accounts.sign_out(site.discussion, request)
    return go("/")
