"""Verifying evidence, step by step: what was held against what, and whether it holds."""
