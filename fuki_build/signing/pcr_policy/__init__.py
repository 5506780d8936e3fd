"""Signed PCR policies: made, taken from elsewhere, and held against predictions."""
