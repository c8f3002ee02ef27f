"""Demo data: threads and comments of a forum in several languages."""

from .data import count_threads as count_threads
from .data import seed as seed
