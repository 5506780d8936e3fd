"""Clouds that answer on the loopback interface, as far as signing goes: nothing of them is reachable otherwise."""
