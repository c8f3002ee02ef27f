"""Operations that are compiled once: from rows to JSON, without a resolver for each field.

An operation that has passed validation is compiled at its second use. Its selections become
**levels**, of one SQL statement each, and one generated function a level, which puts rows together
as the response has them. The fields are those that the schema declares as data
(:mod:`tallied.execution.field_declarations`).

The compiled way knows the plain, successful case; graphql-core defines everything else. A part of a
document that the compiler does not know raises :class:`.Unsupported`, and a request that is not the
plain case raises :class:`.Guard`. Both are executed by graphql-core, so there is one place for
every error.
"""

from ..extras import require

require("app", __name__)
