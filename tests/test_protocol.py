"""What the bounds on slow and large requests rest on in uvicorn."""

from __future__ import annotations

import inspect

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tallied.protocol import BoundedProtocol

OURS = {"_check_size", "_refuse", "_stop_waiting", "_too_slow", "_wait", "_watch_reader"}


def test_uvicorn_still_has_what_is_overridden() -> None:
    """A method that uvicorn renames would never be called, and its limit would be gone."""
    methods = {name for name, value in vars(BoundedProtocol).items() if inspect.isfunction(value)}
    overridden = methods - OURS
    assert {"_start_asgi_task", "send_400_response", "on_headers_complete"} <= overridden
    for name in overridden:
        theirs = getattr(HttpToolsProtocol, name, None)
        assert theirs is not None, f"uvicorn has no HttpToolsProtocol.{name} any more"
        if name != "__init__":
            ours = inspect.signature(getattr(BoundedProtocol, name))
            assert list(ours.parameters) == list(inspect.signature(theirs).parameters), name
