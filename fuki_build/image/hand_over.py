"""The hand-over program of an image."""

from fuki_build.formats.uki import hand_over_program
from fuki_build.formats.uki.hand_over_program import TABLE_SIZE, ProgramTable
from fuki_build.image.section import Section


def read_table(section: Section) -> ProgramTable:
    """The table at the start of a `.fuki` section. Raises `FormatError`."""
    return hand_over_program.decode(section.content.read_at(0, TABLE_SIZE), section.content.size)
