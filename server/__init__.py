"""The process of a standalone server: uvicorn, its limits, its workers."""

from ..extras import require

require("server", __name__)
