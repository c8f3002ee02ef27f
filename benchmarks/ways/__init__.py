"""Ways to keep ``thread.word_count`` current, each on tables and sessions of its own.

The benchmarks time them and show where each goes wrong, so each stands here once.
:data:`PUBLISHED` are the three of the well-known answer (Stack Overflow, question 13693872,
"Can SQLAlchemy events be used to update a denormalized data cache?").
"""

from .aggregated import AGGREGATED as AGGREGATED
from .by_hand import BY_HAND as BY_HAND
from .counted import NO_COUNTER as NO_COUNTER
from .counted import NO_COUNTER_AGAIN as NO_COUNTER_AGAIN
from .counted import TALLIED as TALLIED
from .counted import TALLIED_THREE as TALLIED_THREE
from .published import ATTRIBUTE_EVENTS as ATTRIBUTE_EVENTS
from .published import ATTRIBUTE_EVENTS_AS_PUBLISHED as ATTRIBUTE_EVENTS_AS_PUBLISHED
from .published import BEFORE_FLUSH as BEFORE_FLUSH
from .published import MAPPER_EVENT as MAPPER_EVENT
from .published import MAPPER_EVENT_AS_PUBLISHED as MAPPER_EVENT_AS_PUBLISHED
from .tables import Way as Way
from .trigger import TRIGGER as TRIGGER

PUBLISHED = (MAPPER_EVENT, ATTRIBUTE_EVENTS, BEFORE_FLUSH)
