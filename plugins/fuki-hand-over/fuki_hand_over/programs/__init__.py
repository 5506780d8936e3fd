"""The programs, built from `program/` by `make hand-over`."""

from importlib.resources import files
from pathlib import Path

VM_LAUNCH_UPDATE = Path(str(files(__name__) / "vm-launch-update.bin"))
