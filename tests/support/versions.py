"""What tests need of SQLAlchemy 2.1, where 2.0 is supported as well."""

import pytest
import sqlalchemy

IS_SQLALCHEMY_2_0 = sqlalchemy.__version__.startswith("2.0.")

needs_sqlalchemy_2_1 = pytest.mark.skipif(
    IS_SQLALCHEMY_2_0, reason="uses what SQLAlchemy has since 2.1"
)
