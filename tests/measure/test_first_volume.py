"""OVMF's first volume with what its core notes, on made-up volumes; tests/boot holds real ones against guests."""

import pytest

from fuki_build.formats.uefi.pei_core import noted_port
from fuki_build.measure.chipset import Chipset
from fuki_build.measure.first_volume import as_measured
from tests.formats.test_own_stores import NOTE, core_volume, program, to_data

NOTING, PLAIN, OTHER = (core_volume(program(code)) for code in (NOTE, b"", to_data("89 1d")))


@pytest.mark.parametrize(("chipset", "port"), [(Chipset.Q35, 0x608), (Chipset.I440FX, 0xB008)])
def test_the_port_of_the_chipset_stands_where_the_core_notes_it(chipset: Chipset, port: int) -> None:
    at = noted_port(NOTING)
    assert at is not None
    volume = as_measured(NOTING, chipset, is_unchanged=True)
    assert (volume.content[at : at + 4], volume.unknown) == (port.to_bytes(4, "little"), "")
    assert volume.content[:at] + volume.content[at + 4 :] == NOTING[:at] + NOTING[at + 4 :]


@pytest.mark.parametrize("chipset", [None, *Chipset])
def test_a_core_that_notes_nothing_leaves_the_volume_as_it_is(chipset: Chipset | None) -> None:
    assert as_measured(PLAIN, chipset, is_unchanged=True).content == PLAIN


@pytest.mark.parametrize(
    ("volume", "chipset", "is_unchanged", "reason"),
    [
        (NOTING, None, True, "say --chipset q35 or i440fx"),
        (PLAIN, Chipset.Q35, False, "say --volume-unchanged if none does, or give a log"),
        (OTHER, Chipset.Q35, True, "its PEI core keeps data in the volume"),
        (b"no volume", Chipset.Q35, True, "this is no firmware volume"),
    ],
)
def test_what_is_not_known_of_it_is_said(
    volume: bytes, chipset: Chipset | None, is_unchanged: bool, reason: str
) -> None:
    told = as_measured(volume, chipset, is_unchanged=is_unchanged)
    assert told.content == b""
    assert reason in told.unknown
