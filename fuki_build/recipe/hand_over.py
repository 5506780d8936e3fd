"""`[fuki.hand-over]` as the section with the hand-over program."""

from typing import Any

from fuki_build.errors import FukiError, RecipeError
from fuki_build.formats.uki import hand_over_program as codec
from fuki_build.formats.uki.hand_over_program import HandOverOptions
from fuki_build.hooks.host import PluginHost
from fuki_build.image.blob import Blob
from fuki_build.image.section import HAND_OVER, Section
from fuki_build.image.stub import Stub
from fuki_build.recipe.model import HandOverTable, OnFailure
from fuki_build.recipe.plugin_tables import read_plugin_table

_WHERE = "fuki.hand-over"


def hand_over_program(data: dict[str, Any], stub: Stub, host: PluginHost) -> Section:
    """The program of the interface that the table names, told where `stub` starts. Raises `RecipeError`."""
    hand_over = read_plugin_table(data, "interface", HandOverTable, host.hand_over, _WHERE)
    contribution, table = hand_over.contribution, hand_over.table
    interface = contribution.thing
    if stub.headers.coff.machine != interface.machine:
        raise RecipeError(
            f"{interface.name} is for {interface.machine.name}, the stub for {stub.headers.machine_name}",
            where=f"{_WHERE}.interface",
            hint="remove the table, or build for that architecture",
        )

    with contribution.running():
        program = interface().program(hand_over.options)
    try:
        entry = codec.decode(program, len(program)).entry
    except FukiError as error:
        raise RecipeError(f"{contribution.plugin} gives a bad program: {error.message}", where=_WHERE) from error
    filled = codec.ProgramTable(interface.name, entry, stub.headers.optional.address_of_entry_point, _flags(table))
    return Section(name=HAND_OVER, content=Blob.of_bytes(codec.fill_in(program, filled)), source=interface.name)


def _flags(table: HandOverTable) -> HandOverOptions:
    flags = HandOverOptions(0)
    if table.lasting:
        flags |= HandOverOptions.LASTING
    if table.lock:
        flags |= HandOverOptions.LOCK
    if table.on_failure is OnFailure.POWER_OFF:
        flags |= HandOverOptions.POWER_OFF
    return flags
