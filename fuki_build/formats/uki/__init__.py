"""What stands in the sections of a Unified Kernel Image."""
