"""Platforms as tables: declarative files of SMBIOS strings, from which hardware ids are computed."""

import tomllib
from collections.abc import Sequence
from fnmatch import fnmatchcase
from importlib.resources import files
from typing import Any, ClassVar

from fuki_build.errors import RecipeError
from fuki_build.hardware.chid import WIDE_TO_NARROW
from fuki_build.hardware.machine import Machine, from_table
from fuki_build.hooks.records import Platform


class TablePlatform(Platform):
    """A platform whose machines stand in a TOML file beside the plugin's code.

    The file has `chid-types`, the types that tell its machines from others', the widest first, and `[[machine]]`
    tables of SMBIOS strings with a `name` each; a selector is a name, or a pattern of names such as `m6a.*`.
    """

    package: ClassVar[str]
    file: ClassVar[str] = "machines.toml"

    def __init__(self) -> None:
        data: dict[str, Any] = tomllib.loads(files(self.package).joinpath(self.file).read_text(encoding="utf-8"))
        self._machines = [from_table(row) for row in data["machine"]]
        self.chid_types = tuple(data.get("chid-types", WIDE_TO_NARROW))

    def machines(self, selector: str | None = None) -> Sequence[Machine]:
        """All machines, or those whose name fits the pattern. Raises `RecipeError` where none does."""
        if selector is None:
            return self._machines
        found = [machine for machine in self._machines if fnmatchcase(machine.name, selector)]
        if not found:
            names = ", ".join(machine.name for machine in self._machines[:8])
            raise RecipeError(f"{self.name} has no machine {selector!r}", hint=f"there are: {names}")
        return found
