"""What machines will measure: registers computed from digests, as lists of explained events."""
