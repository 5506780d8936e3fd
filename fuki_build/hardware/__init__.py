"""Machines and their hardware ids."""
