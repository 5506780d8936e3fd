"""Flattened devicetrees (devicetree specification 0.4, chapter 5), as far as the root node's properties."""

from struct import Struct

from fuki_build.errors import FormatError
from fuki_build.formats.reader import Reader, unpack

_HEADER = Struct(">10I")
_MAGIC = 0xD00DFEED
_TOKEN = Struct(">I")
_PROPERTY = Struct(">II")  # length, offset of the name
_BEGIN_NODE, _END_NODE, _PROP, _NOP = 1, 2, 3, 4
_ROOT_REACH = 64 * 1024
"""Bytes of the structure block that are searched; the root's own properties come first."""


def check(tree: Reader, *, ordered: bool = False) -> None:
    """Raise `FormatError` for anything that is not a complete devicetree.

    `ordered`: its blocks must be placed as the stub expects when it compares devicetrees, the structure before the
    strings, at multiples of 4 (devicetree.c, 262.1).
    """
    header = unpack(_HEADER, tree.read_at(0, _HEADER.size), 0, "the devicetree header")
    magic, total, structure_at, strings_at, _, _, _, _, strings_size, structure_size = header

    if magic != _MAGIC:
        raise FormatError(f"not a devicetree (magic {magic:#010x})")
    if total > tree.size:
        raise FormatError(f"the devicetree has {total} bytes, of which {tree.size} are there")

    for name, end in (("structure", structure_at + structure_size), ("strings", strings_at + strings_size)):
        if end > total:
            raise FormatError(f"the devicetree's {name} end at {end:#x}, the devicetree at {total:#x}")

    aligned = not (structure_at % _TOKEN.size or structure_size % _TOKEN.size)
    if ordered and not (aligned and structure_at + structure_size <= strings_at):
        raise FormatError("the devicetree's structure does not lie before its strings")


def compatible(tree: Reader) -> str | None:
    """The first `compatible` string of the root node, which the stub compares; None where it has none.

    Raises `FormatError` for data that is not a devicetree.
    """
    header = unpack(_HEADER, tree.read_at(0, _HEADER.size), 0, "the devicetree header")
    magic, _, structure_at, strings_at = header[:4]
    if magic != _MAGIC:
        raise FormatError(f"not a devicetree (magic {magic:#010x})")

    block = tree.read_at(structure_at, _ROOT_REACH)
    at = 0
    depth = 0

    while at + _TOKEN.size <= len(block):
        (token,) = _TOKEN.unpack_from(block, at)
        at += _TOKEN.size
        if token == _BEGIN_NODE and depth == 0:
            # The node's name is padded to the next token.
            depth = 1
            at = -(-(block.find(b"\0", at) + 1) // 4) * 4
        elif token == _PROP:
            length, name_at = unpack(_PROPERTY, block, at, "a devicetree property")
            at += _PROPERTY.size
            if tree.read_at(strings_at + name_at, 11) == b"compatible\0":
                return block[at : at + length].partition(b"\0")[0].decode("utf-8", "replace")
            at += -(-length // 4) * 4
        elif token != _NOP:
            # The root's properties precede its children: nothing after them matters.
            return None

    return None
