"""The tables of Tallied: threads, comments, and their authors.

The models are static classes on a MetaData of their own (``Base.metadata``), so that
they live in any host's database beside the host's tables.
"""

from ..extras import require

require("app", __name__)

# Imported with the models, since derived columns are kept from their declaration on.
from . import counters as counters
from .author import Author as Author
from .base import Base as Base
from .comment import Comment as Comment
from .flag import Flag as Flag
from .mark import Mark as Mark
from .moderation_entry import ModerationEntry as ModerationEntry
from .quota import Quota as Quota
from .reaction import Reaction as Reaction
from .reaction import ReactionTotal as ReactionTotal
from .revision import Revision as Revision
from .thread import Thread as Thread
from .withdrawn_text import WithdrawnText as WithdrawnText
from .words import count_words as count_words
