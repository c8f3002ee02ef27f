"""Tallied's Alembic migrations."""
