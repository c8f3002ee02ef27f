"""Media types: what a request's Content-Type and Accept headers mean (RFC 9110, section 12.5.1)."""

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
    """Whether a Content-Type is exactly ``application/json``, in UTF-8."""
    type_, *parameters = (part.strip().lower() for part in content_type.split(";"))
    charsets = [text for text in parameters if text.startswith("charset=")]
    return type_ == JSON and all(
        charset.removeprefix("charset=").strip('"') in ("utf-8", "utf8") for charset in charsets
    )


def choose(accept: str, offers: Sequence[str]) -> str | None:
    """The offer that an Accept header likes best; None where it accepts none.

    The highest weight wins, then the first in the header, then the first offer.
    """
    ranges = [_range(text, place) for place, text in enumerate(accept.split(",")) if text.strip()]
    if not ranges:
        return offers[0]
    liked = [(found, offer) for offer in offers if (found := _match(ranges, offer))]
    best = min(liked, key=lambda pair: (-pair[0].weight, pair[0].place), default=None)
    return best[1] if best else None


def _match(ranges: list[_Range], offer: str) -> _Range | None:
    """The most specific range that speaks of an offer, unless it refuses it."""
    for pattern in (offer, f"{offer.split('/')[0]}/*", "*/*"):
        for found in ranges:
            if found.type == pattern:
                return found if found.weight else None
    return None


def _range(text: str, place: int) -> _Range:
    type_, *parameters = (part.strip().lower() for part in text.split(";"))
    weights = [text[2:] for text in parameters if text.startswith("q=")]
    try:
        weight = float(weights[0]) if weights else 1.0
    except ValueError:
        weight = 0.0
    return _Range(type_, weight if 0 <= weight <= 1 else 0.0, place)
