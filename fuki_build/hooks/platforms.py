"""Platforms: clouds and hypervisors, with their machines."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from fuki_build.hardware.machine import Machine
from fuki_build.hooks.launch import LaunchSite


class Platform(ABC):
    """A cloud or hypervisor: its machines, and the CHID types that tell them from others.

    >>> class Acme(Platform):
    ...     name = "acme"
    ...     title = "Acme Cloud"
    ...     chid_types = (9,)
    ...     def machines(self, selector=None):
    ...         return [Machine(name="acme", manufacturer="Acme", product="VM")]
    >>> [machine.product for machine in Acme().machines()]
    ['VM']
    """

    name: ClassVar[str]
    title: ClassVar[str]
    chid_types: tuple[int, ...]
    """The CHID types, in systemd-stub's dialect, that can stand for its machines, the widest first."""

    @abstractmethod
    def machines(self, selector: str | None = None) -> Sequence[Machine]:
        """All machines, or those that `selector` (behind the colon of `acme:selector`) names.

        Raises `FukiError` for a selector that selects nothing.
        """

    def launch_sites(self, selector: str | None = None) -> Sequence[LaunchSite]:  # noqa: ARG002
        """How it launches confidential guests on those machines; by default nothing is known of that."""
        return ()
