"""Viewers, and the tokens that identify them."""

from ..extras import require

require("app", __name__)
