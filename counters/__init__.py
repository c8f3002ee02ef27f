"""Counters that SQLAlchemy keeps current: fresh in memory, exact in the database."""

from .declare import Count as Count
from .declare import Counter as Counter
from .declare import First as First
from .declare import Latest as Latest
from .declare import Max as Max
from .declare import Min as Min
from .declare import Sum as Sum
from .engine import Counters as Counters
from .verify import Drift as Drift
