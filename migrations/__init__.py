"""Tallied's Alembic migrations, with a version table of their own.

:mod:`tallied.migrations.runner` runs them. They never import the models, so that an old
revision means the same for ever.
"""

from ..extras import require

require("app", __name__)
