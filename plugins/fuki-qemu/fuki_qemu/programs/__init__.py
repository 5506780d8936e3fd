"""The probes, built from `probe/` by `make probes`."""

from importlib.resources import files
from pathlib import Path

KERNEL = Path(str(files(__name__) / "probe.efi"))
"""Stands in for a kernel: tells what was measured, and ends the machine."""
ADDON = Path(str(files(__name__) / "fuki-probe.addon.efi"))
"""Makes a kernel start a program that does the same."""
