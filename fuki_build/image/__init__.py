"""Images: their parts, their layout, and how they are written and read."""
