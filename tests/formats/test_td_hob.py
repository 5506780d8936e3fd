"""The TD HOB, as guests have measured it whose logs are published."""

from hashlib import sha384
from pathlib import Path

import parts
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuki_build.errors import FormatError
from fuki_build.formats.confidential import ovmf, td_hob
from fuki_build.formats.confidential.ovmf import TdxKind, TdxSection
from fuki_build.formats.reader import Reader

GIB = 1 << 30
LOGGED = {
    2: "0e35f1b315ba6c912cf791e5c79dd9d3a2b8704516aa27d4e5aa78fb09ede04aef2bbd02ac7a8734c48562b9c26ba35d",
    4: "02a008e63d55a77823c04a5513a5810d4e592dc41bf2596267c09eae5d4b4e3b329ae614973fb192297d8833d37a08fd",
    64: "519245d8b6b54b48b57143e6647d41e5e6f3b4ef10a73c95be4d9a9c0f54115b707e7af5e38f7be6852229b18573690d",
}
"""By GiB of memory: from logs of dstack's guests on QEMU, whose firmware has its sections where that of 2025.02 has."""


def tdx_sections(path: Path) -> tuple[TdxSection, ...]:
    tables = ovmf.decode(Reader.of(path.read_bytes()))
    assert tables is not None
    assert tables.tdx is not None
    return tables.tdx


def section(kind: TdxKind, address: int, size: int) -> TdxSection:
    return TdxSection(offset=0, raw_size=0, address=address, memory_size=size, kind=kind, attributes=0)


@pytest.mark.parametrize("size", LOGGED)
def test_it_is_what_guests_have_measured(size: int) -> None:
    data = td_hob.encode(size * GIB, tdx_sections(parts.get("ovmf-2025")))
    assert sha384(data).hexdigest() == LOGGED[size]


@pytest.mark.parametrize(
    ("sections", "reason"),
    [
        ((), "0 places for a TD HOB"),
        ((section(TdxKind.TD_HOB, 0, 8), section(TdxKind.TD_HOB, 8, 8)), "2 places for a TD HOB"),
        ((section(TdxKind.TD_HOB, GIB - 4, 8),), "do not fit"),
        ((section(TdxKind.TD_HOB, 2**64 - 8, 8),), "do not fit"),
        ((section(TdxKind.TD_HOB, 0, 0),), "do not fit"),
        ((section(TdxKind.TD_HOB, 0, 16), section(TdxKind.TEMP_MEM, 8, 16)), "overlap"),
    ],
)
def test_sections_that_no_guest_starts_with_are_refused(sections: tuple[TdxSection, ...], reason: str) -> None:
    with pytest.raises(FormatError, match=reason):
        td_hob.encode(GIB, sections)


_U64 = st.integers(0, 2**64 - 1) | st.integers(0, 4 * GIB)


@given(st.lists(st.builds(section, st.sampled_from(TdxKind), _U64, _U64), max_size=6), st.integers(1, 2**50))
def test_any_sections_end_in_an_error_or_in_a_list_of_whole_blocks(sections: list[TdxSection], memory: int) -> None:
    try:
        data = td_hob.encode(memory, sections)
    except FormatError as error:
        assert error.message  # noqa: PT017 - either outcome will do
    else:
        assert (len(data) - 56) % 48 == 0
