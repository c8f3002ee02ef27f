"""A small magazine, with Tallied's discussions below its articles: see README.md."""
