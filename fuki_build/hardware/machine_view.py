"""A machine in plain, typed words: what `fuki machine show` prints."""

from collections.abc import Mapping

from fuki_build.formats.documents import Document, View
from fuki_build.formats.hardware.smbios import readable
from fuki_build.hardware.chid import FIELDS, STUB_ORDER, Dialect, chid
from fuki_build.hardware.hand_over_view import HandOverDocument
from fuki_build.hardware.machine import STRINGS, Machine


class ChidView(View, frozen=True, kw_only=True):
    """The id of a type, in the dialects of Microsoft and of the stub; null where the machine has none.

    `fields` is what it is made of; `tried` counts the types in the order of the stub, from 1, and is null for those
    that it never tries.
    """

    type: int
    fields: tuple[str, ...]
    microsoft: str | None
    stub: str | None
    tried: int | None


class MachineDocument(Document, frozen=True):
    """What `fuki machine show --json` prints: `strings` are those that are not empty, by the keys of machine files.

    `hand_over` is of this machine only, and only where its image has the program.
    """

    name: str
    strings: Mapping[str, str]
    chids: tuple[ChidView, ...]
    hand_over: HandOverDocument | None = None


def describe_machine(machine: Machine, hand_over: HandOverDocument | None = None) -> MachineDocument:
    """Strings and ids of a machine; of this one, with what came of its hand-over."""
    strings = {name.replace("_", "-"): readable(text) for name in STRINGS if (text := getattr(machine, name))}
    chids = tuple(
        ChidView(
            type=kind,
            fields=tuple(name.replace("_", "-") for name in names),
            microsoft=_text(machine, kind, Dialect.MICROSOFT),
            stub=_text(machine, kind, Dialect.STUB),
            tried=STUB_ORDER.index(kind) + 1 if kind in STUB_ORDER else None,
        )
        for kind, names in FIELDS.items()
    )
    return MachineDocument(machine.name, strings, chids, hand_over)


def _text(machine: Machine, kind: int, dialect: Dialect) -> str | None:
    value = chid(machine, kind, dialect)
    return None if value is None else str(value)
