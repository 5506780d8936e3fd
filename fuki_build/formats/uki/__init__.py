"""Contents of the sections of a Unified Kernel Image."""
