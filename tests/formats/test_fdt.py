"""Devicetrees; byte values are those of the devicetree specification 0.4, chapter 5."""

from struct import pack

import pytest

from fuki_build.errors import FormatError
from fuki_build.formats.hardware import fdt
from fuki_build.formats.reader import Reader

BEGIN, END_NODE, PROP, NOP, END = (pack(">I", token) for token in (1, 2, 3, 4, 9))
STRINGS = b"compatible\0model\0compatible2\0"
COMPATIBLE, MODEL, OTHER = 0, 11, 17


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def prop(name: int, value: bytes) -> bytes:
    return PROP + pack(">II", len(value), name) + padded(value)


def node(name: bytes, *content: bytes) -> bytes:
    return BEGIN + padded(name + b"\0") + b"".join(content) + END_NODE


def tree(structure: bytes, strings: bytes = STRINGS, magic: int = 0xD00DFEED) -> Reader:
    structure += END
    at = 40 + 16
    header = pack(
        ">10I", magic, at + len(structure) + len(strings), at, at + len(structure), 40, 17, 16, 0, len(strings),
        len(structure),
    )  # fmt: skip
    return Reader.of(header + bytes(16) + structure + strings)


def test_the_first_compatible_string_of_the_root_is_read():
    root = node(b"", prop(MODEL, b"Acme\0"), prop(COMPATIBLE, b"acme,one\0acme,any\0"))
    assert fdt.compatible(tree(root)) == "acme,one"


def test_properties_of_every_length_are_passed_over():
    for length in range(9):
        root = node(b"", prop(MODEL, b"x" * length), prop(COMPATIBLE, b"acme,one\0"))
        assert fdt.compatible(tree(root)) == "acme,one"


@pytest.mark.parametrize("name", [b"", b"a", b"ab", b"abc", b"abcd"])
def test_a_root_with_a_name_of_any_length_is_read(name: bytes):
    assert fdt.compatible(tree(node(name, prop(COMPATIBLE, b"acme,one\0")))) == "acme,one"


@pytest.mark.parametrize(("offset", "by"), [(8, 1), (36, -1), (36, -3)])
def test_a_structure_that_is_not_aligned_is_not_ordered(offset: int, by: int):
    """The block's place, then its size: off_dt_struct and size_dt_struct (5.2)."""
    data = bytearray(tree(node(b"", prop(COMPATIBLE, b"acme,one\0"))).read_at(0, 1000))
    value = int.from_bytes(data[offset : offset + 4]) + by
    data[offset : offset + 4] = pack(">I", value)
    if offset == 8:
        data[36:40] = pack(">I", int.from_bytes(data[36:40]) - 4)
    fdt.check(Reader.of(bytes(data)))
    with pytest.raises(FormatError, match="does not lie before its strings"):
        fdt.check(Reader.of(bytes(data)), ordered=True)


def test_no_operations_are_passed_over():
    root = NOP + node(b"", NOP, prop(MODEL, b"x\0"), NOP, prop(COMPATIBLE, b"acme,one\0"))
    assert fdt.compatible(tree(root)) == "acme,one"


def test_a_property_whose_name_only_starts_like_it_is_another():
    root = node(b"", prop(OTHER, b"wrong\0"), prop(COMPATIBLE, b"acme,one\0"))
    assert fdt.compatible(tree(root)) == "acme,one"


def test_the_compatible_of_a_child_is_not_the_roots():
    root = node(b"", prop(MODEL, b"x\0"), node(b"cpu@0", prop(COMPATIBLE, b"acme,cpu\0")))
    assert fdt.compatible(tree(root)) is None


def test_an_overlay_has_no_compatible_string():
    assert fdt.compatible(tree(node(b"", node(b"fragment@0")))) is None


@pytest.mark.parametrize(
    ("part_of_the_name", "expected"),
    [
        ("sc8280xp-lenovo-thinkpad-x13s.dtb", "lenovo,thinkpad-x13s"),
        ("x1e80100-crd.dtb", "qcom,x1e80100-crd"),
    ],
)
def test_the_kernels_devicetrees_have_the_strings_of_its_sources(part, part_of_the_name: str, expected: str):
    (path,) = part("dtbs-aa64").rglob(part_of_the_name)
    assert fdt.compatible(Reader.of(path.read_bytes())) == expected


BROKEN = {
    "nothing": b"",
    "a header cut short": b"\xd0\x0d\xfe\xed" + bytes(20),
    "zeros": bytes(100),
    "the other byte order": bytes.fromhex("edfe0dd0") + bytes(60),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_devicetree_is_refused(name: str):
    with pytest.raises(FormatError):
        fdt.compatible(Reader.of(BROKEN[name]))


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_devicetree_does_not_pass_the_check(name: str):
    with pytest.raises(FormatError):
        fdt.check(Reader.of(BROKEN[name]))


def test_the_kernels_devicetrees_pass_the_check(part):
    for path in sorted(part("dtbs-aa64").rglob("*.dtb"))[:50]:
        fdt.check(Reader.of(path.read_bytes()), ordered=True)


def test_a_devicetree_that_is_cut_or_whose_blocks_do_not_fit_does_not_pass_the_check(part):
    data = next(part("dtbs-aa64").rglob("x1e80100-crd.dtb")).read_bytes()
    with pytest.raises(FormatError, match="of which"):
        fdt.check(Reader.of(data[:-1]))
    for offset, message in ((8, "structure end"), (12, "strings end"), (32, "strings end"), (36, "structure end")):
        with pytest.raises(FormatError, match=message):
            fdt.check(Reader.of(data[:offset] + pack(">I", 0x7FFFFFF1) + data[offset + 4 :]))


def test_only_where_devicetrees_are_compared_the_order_of_their_blocks_counts():
    structure, strings = node(b"", prop(COMPATIBLE, b"acme\0")) + END, b"compatible\0".ljust(12, b"\0")
    total = 40 + len(strings) + len(structure)
    header = pack(">10I", 0xD00DFEED, total, 40 + len(strings), 40, 40, 17, 16, 0, len(strings), len(structure))
    reversed_blocks = Reader.of(header + strings + structure)
    fdt.check(reversed_blocks)
    with pytest.raises(FormatError, match="before its strings"):
        fdt.check(reversed_blocks, ordered=True)


ODD = {
    "a structure block outside": pack(">10I", 0xD00DFEED, 40, 0xFFFFFFF0, 0, 40, 17, 16, 0, 0, 0),
    "a name without an end": pack(">10I", 0xD00DFEED, 48, 40, 40, 40, 17, 16, 0, 0, 8) + BEGIN + b"abcd",
    "a property of gigabytes": pack(">10I", 0xD00DFEED, 64, 40, 60, 40, 17, 16, 0, 0, 20)
    + BEGIN
    + bytes(4)
    + PROP
    + pack(">II", 0xFFFFFFFF, 0xFFFFFFFF),
    "an unknown token": pack(">10I", 0xD00DFEED, 48, 40, 40, 40, 17, 16, 0, 0, 8) + BEGIN + bytes(4) + b"\0\0\0\7",
}


@pytest.mark.parametrize("name", ODD)
def test_a_devicetree_that_ends_early_has_no_compatible_string(name: str):
    assert fdt.compatible(Reader.of(ODD[name])) is None
