"""Everything that a security review asks of a finished image, gathered from one read of it."""
