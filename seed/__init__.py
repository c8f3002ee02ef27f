"""Demo data: threads and comments as a forum in several languages would hold them."""

from .data import has_threads as has_threads
from .data import seed as seed
