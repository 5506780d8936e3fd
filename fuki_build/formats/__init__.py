"""Byte formats: values in, values out; no paths and no I/O."""
