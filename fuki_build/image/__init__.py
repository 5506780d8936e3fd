"""Images: what they are made of, where everything goes, and how they are written and read."""
