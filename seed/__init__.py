"""Demo data: threads and comments as a forum in several languages would hold them."""

from .data import count_threads as count_threads
from .data import seed as seed
