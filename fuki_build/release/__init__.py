"""From one release of an image to the next: reasons against it, what to learn before, and what to revoke after."""
