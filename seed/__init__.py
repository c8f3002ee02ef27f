"""Demo data: threads and comments of a forum in several languages."""

from ..extras import require

require("app", __name__)

from .data import count_threads as count_threads
from .data import seed as seed
