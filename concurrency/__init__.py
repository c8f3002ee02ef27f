"""Fair scheduling on the event loop, and tasks that must finish."""

from ..extras import require

require("app", __name__)
