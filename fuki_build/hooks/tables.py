"""Platforms as tables: declarative files of SMBIOS strings, from which hardware ids are computed."""

import tomllib
from collections.abc import Sequence
from fnmatch import fnmatchcase
from importlib.resources import files
from typing import Any, ClassVar

from fuki_build.errors import RecipeError
from fuki_build.hardware.chid import WIDE_TO_NARROW
from fuki_build.hardware.machine import Machine, from_table
from fuki_build.hooks.launch import LaunchSite
from fuki_build.hooks.platforms import Platform


class TablePlatform(Platform):
    """A platform whose machines stand in a TOML file beside the plugin's code.

    The file has `chid-types`, the types that tell its machines from others', the widest first, and `[[machine]]`
    tables of SMBIOS strings with a `name` each; a selector is a name, or a pattern of names such as `m6a.*`. Its launch
    sites are `[[launch]]` tables, which have names of their own.
    """

    package: ClassVar[str]
    file: ClassVar[str] = "machines.toml"

    def __init__(self) -> None:
        data: dict[str, Any] = tomllib.loads(files(self.package).joinpath(self.file).read_text(encoding="utf-8"))
        self._machines = [from_table(row) for row in data["machine"]]
        self.chid_types = tuple(data.get("chid-types", WIDE_TO_NARROW))

        self._sites = [
            LaunchSite(
                name=row["name"],
                technologies=tuple(row["technologies"]),
                vmm=row["vmm"],
                cpu_model=row.get("cpu-model"),
                note=row.get("note"),
            )
            for row in data.get("launch", ())
        ]

    def machines(self, selector: str | None = None) -> Sequence[Machine]:
        """All machines, or those whose name fits the pattern. Raises `RecipeError` where none does."""
        if selector is None:
            return self._machines
        machines = [machine for machine in self._machines if fnmatchcase(machine.name, selector)]
        if not machines:
            names = ", ".join(machine.name for machine in self._machines[:8])
            raise RecipeError(f"{self.name} has no machine {selector!r}", hint=f"there are: {names}")
        return machines

    def launch_sites(self, selector: str | None = None) -> Sequence[LaunchSite]:
        """All sites, or those whose name fits the pattern. Raises `RecipeError` where none does."""
        sites = [site for site in self._sites if fnmatchcase(site.name, selector or "*")]
        if self._sites and not sites:
            names = ", ".join(site.name for site in self._sites)
            raise RecipeError(
                f"{self.name} launches no confidential guests as {selector!r}", hint=f"there are: {names}"
            )
        return sites
