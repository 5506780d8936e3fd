"""Authenticode signatures: made, taken from elsewhere, and verified as firmware does."""
