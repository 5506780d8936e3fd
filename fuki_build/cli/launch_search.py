"""`fuki launch --expect`: which launch has a digest, or why none has."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from msgspec import Struct
from msgspec.structs import replace

from fuki_build.cli.render.plain import plain
from fuki_build.errors import MismatchError, RecipeError
from fuki_build.formats.hashes import SIZES
from fuki_build.hooks.host import PluginHost
from fuki_build.hooks.launch import DirectBoot
from fuki_build.launch.candidates import BootParts
from fuki_build.launch.registers import RegisterQuestion, RegisterValue, is_uki, search_registers
from fuki_build.launch.search import DigestQuestion, asked_launches, search_launches
from fuki_build.launch.search_views import LaunchSearchDocument, search_in_words
from fuki_build.measure.boot_options import read_boot
from fuki_build.measure.register_search_views import RegisterSearchView, register_in_words
from fuki_build.measure.rtmr import BANK
from fuki_build.recipe.launch import resolve_launch
from fuki_build.recipe.model import LaunchTable

_OPTION = "--expect"


def read_digest(text: str) -> bytes:
    """The digest, in hex. Raises `RecipeError` for anything else, and for sizes that no launch digest has."""
    try:
        digest = bytes.fromhex(text)
    except ValueError as error:
        raise RecipeError(f"{text!r} is not hexadecimal", where=_OPTION) from error
    if len(digest) not in (32, 48):
        hint = "SEV and SEV-ES have 32 bytes, SEV-SNP and TDX 48"
        raise RecipeError(f"a launch digest has 32 or 48 bytes, not {len(digest)}", where=_OPTION, hint=hint)
    return digest


class ExpectedLaunch(Struct, frozen=True, kw_only=True):
    """What the verb's options say; `direct_boot` tells whether the table's was asked for, `boot` is of given files.

    `start` are the options that say how an image is started, by their names.
    """

    table: LaunchTable
    firmware: str | None
    direct_boot: bool
    boot: DirectBoot | None
    cmdline: str
    start: Mapping[str, Any]


def search(host: PluginHost, expected: ExpectedLaunch, files: Sequence[Path], text: str, *, as_json: bool) -> None:
    """Print the launches that have the digest, `text` in hex, or else the registers of images.

    Raises `MismatchError` where none has it as asked for.
    """
    digest = read_digest(text)
    table = replace(expected.table, firmware=expected.firmware or ())
    requests = resolve_launch(table, host, Path(), "launch")
    boot = expected.boot
    parts: tuple[BootParts, ...] = ()
    if boot is not None:
        parts = (BootParts(source=boot.name, mode=None, boot=boot, cmdline=expected.cmdline.encode()),)
    question = DigestQuestion(
        digest=digest,
        files=tuple(files),
        asked=asked_launches(table, requests, direct_boot=expected.direct_boot),
        boots=parts,
        svsm=requests[0].parameters.svsm,
    )
    search = search_launches(host, question)
    registers = () if search.found or search.near else tuple(_registers(digest, files, expected.start))
    _show(LaunchSearchDocument(search, registers), as_json=as_json)
    if not search.found and not any(not match.changes for one in registers for match in one.matches):
        number = sum(tried.launches for tried in search.tried)
        near = " as asked for" if search.near else ""
        raise MismatchError(f"none of {number} launches has this digest{near}", where=", ".join(map(str, files)))


def _registers(digest: bytes, files: Sequence[Path], start: Mapping[str, Any]) -> Iterator[RegisterSearchView]:
    """The searches in which the digest is that of a register which grows while one of the images boots."""
    images = tuple(file for file in files if is_uki(file))
    if not images or len(digest) != SIZES[BANK]:
        return
    names = ("RTMR1", "RTMR2")
    values = tuple(RegisterValue(register=name, bank=BANK, value=digest) for name in names)
    boot = read_boot((BANK,), **start)
    searches = search_registers(RegisterQuestion(values=values, images=images, boot=boot))
    yield from (search for search in searches if search.matches)


def _show(document: LaunchSearchDocument, *, as_json: bool) -> None:
    if as_json:
        from fuki_build.cli.render.json import print_document  # noqa: PLC0415

        print_document(document)
        return
    lines = [line for register in document.registers for line in register_in_words(register)]
    for line in lines or search_in_words(document.search):
        click.echo(plain(line))
