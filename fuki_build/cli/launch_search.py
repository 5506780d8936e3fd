"""`fuki launch --expect`: which launch has a digest, or why none has."""

from collections.abc import Sequence
from pathlib import Path

import click
from msgspec import Struct
from msgspec.structs import replace

from fuki_build.cli.render.plain import plain
from fuki_build.errors import MismatchError, RecipeError
from fuki_build.hooks.host import PluginHost
from fuki_build.hooks.launch import DirectBoot
from fuki_build.launch.candidates import BootParts
from fuki_build.launch.search import DigestQuestion, asked_launches, search_launches
from fuki_build.launch.search_views import LaunchSearchDocument, LaunchSearchView, search_in_words
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
    """What the verb's options say; `direct_boot` tells whether the table's was asked for, `boot` is of given files."""

    table: LaunchTable
    firmware: str | None
    direct_boot: bool
    boot: DirectBoot | None
    cmdline: str


def search(host: PluginHost, expected: ExpectedLaunch, files: Sequence[Path], text: str, *, as_json: bool) -> None:
    """Print the launches that have the digest, `text` in hex. Raises `MismatchError` where none has it as asked for."""
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
    found = search_launches(host, question)
    _show(found, as_json=as_json)
    if not found.found:
        number = sum(tried.launches for tried in found.tried)
        near = " as asked for" if found.near else ""
        raise MismatchError(f"none of {number} launches has this digest{near}", where=", ".join(map(str, files)))


def _show(found: LaunchSearchView, *, as_json: bool) -> None:
    if as_json:
        from fuki_build.cli.render.json import print_document  # noqa: PLC0415

        print_document(LaunchSearchDocument(found))
        return
    for line in search_in_words(found):
        click.echo(plain(line))
