"""The media types of requests: Content-Type and Accept (RFC 9110, section 12.5.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

JSON = "application/json"
GRAPHQL = "application/graphql-response+json"
HTML = "text/html"


class _Range(NamedTuple):
    type: str
    weight: float
    place: int


def is_json(content_type: str) -> bool:
    """Return whether a Content-Type is exactly ``application/json``, in UTF-8."""
    type_, *parameters = (part.strip().lower() for part in content_type.split(";"))
    charsets = [text for text in parameters if text.startswith("charset=")]
    return type_ == JSON and all(
        charset.removeprefix("charset=").strip('"') in ("utf-8", "utf8") for charset in charsets
    )


def choose(accept: str, offers: Sequence[str]) -> str | None:
    """Return the offer that an Accept header prefers, or None if it accepts none.

    The highest weight wins, then the first in the header, then the first offer.
    """
    ranges = [_range(text, place) for place, text in enumerate(accept.split(",")) if text.strip()]
    if not ranges:
        return offers[0]
    accepted = [(range, offer) for offer in offers if (range := _match(ranges, offer))]
    best = min(accepted, key=lambda pair: (-pair[0].weight, pair[0].place), default=None)
    return best[1] if best else None


def _match(ranges: list[_Range], offer: str) -> _Range | None:
    """Return the most specific range that matches an offer, unless its weight is 0."""
    for pattern in (offer, f"{offer.split('/')[0]}/*", "*/*"):
        for range in ranges:
            if range.type == pattern:
                return range if range.weight else None
    return None


def _range(text: str, place: int) -> _Range:
    type_, *parameters = (part.strip().lower() for part in text.split(";"))
    weights = [text[2:] for text in parameters if text.startswith("q=")]
    try:
        weight = float(weights[0]) if weights else 1.0
    except ValueError:
        weight = 0.0
    return _Range(type_, weight if 0 <= weight <= 1 else 0.0, place)
