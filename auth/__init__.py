"""Viewers, and the tokens that identify them."""
