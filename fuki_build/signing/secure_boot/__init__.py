"""Secure Boot's keys, variables and their enrollment."""
