"""The pages about errors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from ..errors import (
    BadUserInput,
    Busy,
    Conflict,
    Locked,
    NotAllowed,
    NotFound,
    OutcomeUnknown,
    RateLimited,
    SignInRequired,
    Unauthenticated,
    Unavailable,
    UserError,
)
from ..transport.service import RETRY_AFTER
from .forms import ExpiredForm, sent_values
from .site import Site, go

STATUSES: Mapping[type[UserError], int] = {
    BadUserInput: 400,
    Unauthenticated: 401,
    SignInRequired: 401,
    ExpiredForm: 403,
    NotAllowed: 403,
    NotFound: 404,
    Conflict: 409,
    Locked: 409,
    RateLimited: 429,
    OutcomeUnknown: 500,
    Busy: 503,
    Unavailable: 503,
}
"""The status of an error; 422 for others, which are about a text."""


def status_of(error: UserError) -> int:
    """Return the status of the page about an error."""
    return STATUSES.get(type(error), 422)


def with_retry_after(response: Response, error: UserError | None) -> Response:
    """Add to the page about an error when the request may be sent again, if that is known."""
    if isinstance(error, Busy | Unavailable):
        response.headers["Retry-After"] = RETRY_AFTER
    elif isinstance(error, RateLimited):
        response.headers["Retry-After"] = str(error.params["seconds"])
    return response


async def respond(
    site: Site, request: Request, handler: Callable[[Site, Request], Awaitable[Response]]
) -> Response:
    """Return the response of a handler, or the page about its error."""
    try:
        return await handler(site, request)
    except HTTPException as error:
        message = error.detail
        return await site.render(request, "tallied/error.html", error.status_code, message=message)
    except UserError as error:
        return await show_error(site, request, error)


async def show_error(site: Site, request: Request, error: UserError) -> Response:
    """Return the page about an error.

    A page for signed-in viewers leads a guest to sign in. A text that was sent is on the page about
    its error, so that it is not lost.
    """
    if isinstance(error, Unauthenticated) or not hasattr(request.state, "tallied_viewer"):
        request.state.tallied_viewer = None  # A viewer that could not be read is not read again.
    sign_in = site.links(request).sign_in_page()
    needs_sign_in = isinstance(error, SignInRequired | Unauthenticated)
    if needs_sign_in and request.method == "GET" and sign_in is not None:
        return go(sign_in)
    values = error.values if isinstance(error, ExpiredForm) else sent_values(request)
    response = await site.render(
        request,
        "tallied/error.html",
        status_of(error),
        message=site.texts.error(error),
        text=values.get("message"),
        needs_sign_in=needs_sign_in,
    )
    return with_retry_after(response, error)
