"""Options of verbs that hold two images against each other: on which machines, with what trusted, in which banks."""

from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from msgspec import Struct

from fuki_build.cli.measure import bank_option, chosen_banks
from fuki_build.cli.selecting import chosen_machines, machine_options
from fuki_build.cli.trusting import read_level, read_trust, trust_options
from fuki_build.hardware.machine import Machine
from fuki_build.hooks.host import PluginHost, loaded_machines

if TYPE_CHECKING:
    from fuki_build.formats.uki.sbat import SbatRow
    from fuki_build.signing.authenticode.trust import Trust

F = TypeVar("F", bound=Callable[..., Any])


class Comparison(Struct, frozen=True, kw_only=True):
    """What the command line says of these. Files are read when they are asked for."""

    files: tuple[Path, ...]
    platforms: tuple[str, ...]
    this_machine: bool
    certificates: tuple[Path, ...]
    db: tuple[Path, ...]
    dbx: tuple[Path, ...]
    sbat_level: Path | None
    banks: tuple[str, ...]

    @property
    def names_machines(self) -> bool:
        return bool(self.files or self.platforms or self.this_machine)

    def machines(self, host: PluginHost) -> Sequence[Machine]:
        """Those that are named, or those of all loaded platforms. Raises `FukiError`."""
        if not self.names_machines:
            return loaded_machines(host)
        return chosen_machines(host, self.files, self.platforms, this_machine=self.this_machine)

    def chosen_banks(self) -> tuple[str, ...]:
        return chosen_banks(self.banks)

    def trust(self) -> "Trust":
        """Raises `FormatError` at the file that is no certificate or database."""
        return read_trust(self.certificates, self.db, self.dbx)

    def level(self) -> "Sequence[SbatRow]":
        """The rows of the SBAT level; none without a file. Raises `FormatError`."""
        return read_level(self.sbat_level)


def comparison_options(verb: F) -> F:
    """These options, as one argument `comparison`."""

    @wraps(verb)
    def with_comparison(*arguments: Any, **given: Any) -> Any:  # noqa: ANN401 - what click passes
        comparison = Comparison(**{name: given.pop(name) for name in Comparison.__struct_fields__})
        return verb(*arguments, comparison=comparison, **given)

    return machine_options(trust_options(bank_option(cast("F", with_comparison))))
