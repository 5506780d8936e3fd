"""Hypervisors' interfaces through which a guest replaces its own firmware."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from fuki_build.formats.pe.pe import CoffMachine
from fuki_build.hooks.options import NoOptions, Options


class HandOver(ABC):
    """Gives the program that starts the selected firmware through one interface.

    The mechanism is fuki's: the program becomes the section `.fuki`, where the image starts, and has fuki's table at
    its start (see `fuki_build.formats.uki.hand_over_program`), which tells it the stub's entry and the options that all
    interfaces share. With nothing to do it jumps to the stub, with the arguments that it got.

    >>> class Nothing(HandOver):
    ...     name = "nothing"
    ...     def program(self, options):
    ...         return bytes.fromhex("…")
    >>> Nothing.machine.name
    'x64'
    """

    name: ClassVar[str]
    machine: ClassVar[CoffMachine] = CoffMachine.x64
    """The architecture that the program is for."""
    Options: ClassVar[type[Options]] = NoOptions

    @abstractmethod
    def program(self, options: Any) -> bytes:  # noqa: ANN401 - an instance of Options
        """The section's content: position-independent, without relocations, never written to.

        Its table says where it starts; fuki fills in the rest of it.
        """
