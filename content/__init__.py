"""The rules for the characters of texts, and their rendering to HTML."""
