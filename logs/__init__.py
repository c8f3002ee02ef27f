"""The log: errors without values, request ids, access lines, JSON."""

from ..extras import require

require("app", __name__)
