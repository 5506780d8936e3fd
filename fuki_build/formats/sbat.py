"""`.sbat`: revocation levels of the components of an image (shim's SBAT.md)."""

from collections.abc import Iterable

from fuki_build.errors import FormatError

HEADER = "sbat,1,SBAT Version,sbat,1,https://github.com/rhboot/shim/blob/main/SBAT.md"
UKI_COMPONENT = "uki,1,UKI,uki,1,https://uapi-group.org/specifications/specs/unified_kernel_image/"
ADDON_COMPONENT = (
    "uki-addon,1,UKI Addon,addon,1,https://www.freedesktop.org/software/systemd/man/latest/systemd-stub.html"
)
MAX_SIZE = 1024 * 1024
_LONGEST = 12
"""Digits that no generation has."""


def parse(data: bytes) -> tuple[str, ...]:
    """The lines of a table without its first; `FormatError` if that is missing or a line has no component."""
    try:
        text = data.rstrip(b"\0").decode()
    except UnicodeDecodeError:
        raise FormatError("the SBAT table is not UTF-8") from None
    lines = text.splitlines()
    if not lines or not lines[0].startswith("sbat,"):
        raise FormatError("the SBAT table does not start with a line 'sbat,…'")
    components = tuple(line for line in lines[1:] if line.strip())
    for line in components:
        fields = line.split(",")
        if len(fields) < 2 or not (fields[1].isascii() and fields[1].isdigit() and len(fields[1]) < _LONGEST):
            raise FormatError(f"the SBAT line {line[:80]!r} has no component and generation number")
    return components


def merge(tables: Iterable[Iterable[str]], *, repeated: bool = False) -> bytes:
    """One table of several ones' lines, in order, each once unless `repeated`, under one header line."""
    lines = [line for table in tables for line in table]
    if not repeated:
        lines = list(dict.fromkeys(lines))
    return "\n".join((HEADER, *lines, "")).encode()


def revoked(components: Iterable[str], level: Iterable[str]) -> tuple[str, ...]:
    """The components of an image that a revocation level takes back: those of a lower generation (shim's SBAT.md).

    Both are lines without the first, as `parse` gives them.
    """
    needed = dict(_generation(line) for line in level)
    generations = (_generation(line) for line in components)
    return tuple(f"{name},{own} (needs {needed[name]})" for name, own in generations if own < needed.get(name, 0))


def _generation(line: str) -> tuple[str, int]:
    name, generation, *_ = line.split(",")
    return name, int(generation)
