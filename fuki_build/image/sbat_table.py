"""The SBAT table of an image."""

from fuki_build.errors import FormatError
from fuki_build.formats.uki import sbat
from fuki_build.formats.uki.sbat import SbatRow
from fuki_build.image.layout import Layout


def read_sbat(layout: Layout) -> tuple[tuple[SbatRow, ...], str]:
    """The rows of an image's table, none where it has none; and why it cannot be read, empty where it can."""
    tables = layout.find(".sbat")
    if not tables:
        return (), ""
    try:
        return sbat.decode(tables[0].content.read_small(sbat.MAX_SIZE, "the .sbat section")), ""
    except FormatError as error:
        return (), error.message
