"""Signing: keys, what they sign, and the firmware that trusts them."""
