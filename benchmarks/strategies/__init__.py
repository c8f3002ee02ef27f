"""Ways to keep ``thread.word_count`` current, each on tables and sessions of its own.

The benchmarks time them and show where each goes wrong, so each stands here once.
:data:`PUBLISHED` are the three of the well-known answer (Stack Overflow, question 13693872,
"Can SQLAlchemy events be used to update a denormalized data cache?").
"""

from .event_recipes import ATTRIBUTE_EVENTS as ATTRIBUTE_EVENTS
from .event_recipes import BEFORE_FLUSH as BEFORE_FLUSH
from .event_recipes import MAPPER_EVENT as MAPPER_EVENT
from .replies import WITH_REPLIES as WITH_REPLIES
from .replies import WITHOUT_REPLIES as WITHOUT_REPLIES
from .sqlalchemy_utils import AGGREGATED as AGGREGATED
from .tables import Strategy as Strategy
from .tallied_counters import BY_HAND as BY_HAND
from .tallied_counters import NO_COUNTER as NO_COUNTER
from .tallied_counters import NO_COUNTER_AGAIN as NO_COUNTER_AGAIN
from .tallied_counters import TALLIED as TALLIED
from .tallied_counters import TALLIED_THREE as TALLIED_THREE
from .trigger import TRIGGER as TRIGGER

PUBLISHED = (MAPPER_EVENT, ATTRIBUTE_EVENTS, BEFORE_FLUSH)
