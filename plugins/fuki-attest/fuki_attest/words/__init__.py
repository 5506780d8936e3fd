"""Evidence in words: each field with its value, and what it means."""
