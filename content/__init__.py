"""The rules for the characters of texts, and their rendering to HTML."""

from ..extras import require

require("app", __name__)
