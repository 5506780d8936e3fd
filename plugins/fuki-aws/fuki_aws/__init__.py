"""Amazon EC2: the platform `aws`, a machine for each instance type on Nitro.

The strings are in machines.toml; the instance types, by family, in instance-types.toml.
"""

import tomllib
from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import cached_property
from importlib.resources import files
from typing import Any

from fuki_build import Machine
from fuki_build.errors import RecipeError, did_you_mean
from fuki_build.hooks import LaunchSite, Platform, hookimpl

SEV_SNP = "sev-snp"
"""The selector of instance types that support AMD SEV-SNP."""


class Ec2(Platform):
    """Amazon EC2: any Nitro guest, or instance types by name or pattern, or those with SEV-SNP.

    >>> [machine.product for machine in Ec2().machines("t3.*")][:3]
    ['t3.nano', 't3.micro', 't3.small']
    >>> any(machine.product == "m6a.large" for machine in Ec2().machines("sev-snp"))
    True
    """

    name = "aws"
    title = "Amazon EC2"

    def __init__(self) -> None:
        table = _read("machines.toml")
        self.chid_types = tuple(table["chid-types"])
        self._strings = {key.replace("-", "_"): text for key, text in table["strings"].items()}

    def machines(self, selector: str | None = None) -> Sequence[Machine]:
        """All machines, or those whose instance type matches the pattern. Raises `RecipeError` if none does."""
        if selector is None:
            return self._all
        if selector == SEV_SNP:
            return [machine for machine in self._all if self._has_sev_snp(machine.product)]
        if selector in self._by_product:
            return [self._by_product[selector]]

        matching = [machine for machine in self._all if fnmatchcase(machine.product, selector)]
        if not matching:
            raise RecipeError(f"EC2 has no instance type {selector!r} on Nitro", hint=self._hint(selector))
        return matching

    @cached_property
    def _types(self) -> dict[str, Any]:
        return _read("instance-types.toml")

    @cached_property
    def _all(self) -> list[Machine]:
        products = [f"{family}.{size}" for family, sizes in self._types["sizes"].items() for size in sizes.split()]
        return [Machine(name=f"{self.title} {product}", product=product, **self._strings) for product in products]

    @cached_property
    def _by_product(self) -> dict[str, Machine]:
        return {machine.product: machine for machine in self._all}

    def _has_sev_snp(self, product: str) -> bool:
        family, _, size = product.partition(".")
        return family in self._types["sev-snp"] and not size.startswith("metal")

    def launch_sites(self, selector: str | None = None) -> Sequence[LaunchSite]:
        """EC2's launches of those instance types; types without a confidential technology list none."""
        table = _read("launch.toml")
        sites = []

        for machine in self.machines(selector):
            family, _, size = machine.product.partition(".")
            if family in table["processors"] and not size.startswith("metal"):
                technologies = (SEV_SNP,) if self._has_sev_snp(machine.product) else ()
                note = None if technologies else table["without"]
                site = LaunchSite(
                    name=machine.product,
                    technologies=technologies,
                    vmm=table["vmm"],
                    cpu_model=table["processors"][family],
                    vcpus=_vcpus(size),
                    note=note,
                )
                sites.append(site)

        return sites

    def _hint(self, selector: str) -> str:
        families = [f"{family}.*" for family in self._types["sizes"]]
        if f"{selector}.*" in families:
            return f"write 'aws:{selector}.*' for the whole family"
        near = did_you_mean(selector, [SEV_SNP, *families, *(machine.product for machine in self._all)])
        dated = f"the table is of {self._types['date']}; for a newer instance type use match"
        return f"{near}; {dated}" if near else dated


def _vcpus(size: str) -> int | None:
    """The vCPUs of a size of AMD's families: 4 per x; Amazon EC2, "Instance type specifications"."""
    if size.endswith("xlarge"):
        return 4 * int(size.removesuffix("xlarge") or 1)
    return {"medium": 1, "large": 2}.get(size)


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads(files(__name__).joinpath(name).read_text(encoding="utf-8"))


@hookimpl
def fuki_platforms() -> Sequence[type[Platform]]:
    return [Ec2]
