"""Measurements that machines will make: registers computed from digests, as lists of explained events."""
