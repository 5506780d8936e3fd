"""Predictions of launches: what is launched, how, and what the models say of it."""
