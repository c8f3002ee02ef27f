"""Verify counters, and rebuild those that are wrong."""
