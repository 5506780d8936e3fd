"""The verb inspect: sections with their digests, in the text and the JSON of ukify 262.1."""

import json
import re
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct

from fuki_build.errors import RecipeError, located
from fuki_build.formats.hashes import new_hash
from fuki_build.image.blob import Blob
from fuki_build.image.inspect import inspect
from fuki_build.image.output_file import OutputFile
from fuki_build.image.reading import read_pieces
from fuki_build.image.section import MATCHED, Section
from fuki_build.ukify.call import UkifyCall

_MAX_TEXT = 16 * 1024 * 1024
_TEXTS = (".cmdline", ".osrel", ".uname", ".pcrpkey", ".pcrsig", ".sbat", ".profile")
_SHOWN = frozenset((*_TEXTS, ".linux", ".initrd", ".ucode", ".splash", ".dtb", ".dtbauto", ".hwids", ".efifw", ".sbom"))
_SPEC = re.compile(r"([a-zA-Z0-9_.]+):(text|binary)(?:@(.+))?")


class _Wanted(Struct, frozen=True):
    text: bool
    path: Path | None


def inspected(call: UkifyCall, note: Callable[[str], None]) -> Iterator[str]:
    """What standard output gets, file by file. Raises `RecipeError`, and `FukiError` for what is no image."""
    requested = {}
    for text in call.many("section"):
        spec = _SPEC.fullmatch(text)
        if spec is None:
            raise RecipeError(f"{text!r} is not NAME:text or NAME:binary, with @PATH or without", where="--section")
        requested[spec[1]] = _Wanted(spec[2] == "text", Path(spec[3]) if spec[3] else None)
    for file in call.files:
        yield from _inspect_file(Path(file), call, requested, note)


def _inspect_file(
    file: Path, call: UkifyCall, requested: dict[str, _Wanted], note: Callable[[str], None]
) -> Iterator[str]:
    form = call.one("json")
    base: dict[str, Any] = {}
    profiles: list[dict[str, Any]] = []

    for placed in inspect(file).sections:
        section, own = placed.section, requested.get(placed.name)
        # A profile is told whatever is asked for: without it, nobody knew whose the sections behind it are.
        starts = form != "off" and section.name == ".profile"
        if starts:
            profiles.append({})
        if not (starts or own or call.switch("all") or (section.name in _SHOWN and not requested)):
            continue

        description = _describe(section, own.text if own else section.name in _TEXTS, note)
        if own and own.path:
            _write(section.content, own.path)
        if form == "off":
            yield _as_text(section.name, description)
        else:
            _add(profiles[-1] if profiles else base, section.name, description, note)

    if form != "off":
        tree = {**base, **({"_profiles": profiles} if profiles else {})}
        yield json.dumps(tree, indent=4 if form == "pretty" else None)


def _describe(section: Section, text: bool, note: Callable[[str], None]) -> dict[str, Any]:
    digest = new_hash("sha256")
    for piece in read_pieces(section.content):
        digest.update(piece)
    description: dict[str, Any] = {"size": section.content.size, "sha256": digest.hexdigest()}

    if text:
        data = section.content.read_small(_MAX_TEXT, f"the text {section.name}")
        try:
            description["text"] = data.rstrip(b"\0").replace(b"\0", b"\\0").decode()
        except UnicodeDecodeError:
            note(f"{section.name} is not UTF-8")
            description["text"] = "(not valid UTF-8)"
    return description


def _as_text(name: str, description: dict[str, Any]) -> str:
    lines = f"{name}:\n  size: {description['size']} bytes\n  sha256: {description['sha256']}\n"
    if "text" in description:
        lines += f"  text:\n{textwrap.indent(description['text'].rstrip(), ' ' * 4)}\n"
    return lines


def _add(profile: dict[str, Any], name: str, description: dict[str, Any], note: Callable[[str], None]) -> None:
    """Sections that may repeat are lists; others become one where they do all the same."""
    if name in MATCHED:
        profile.setdefault(name, []).append(description)
    elif name not in profile:
        profile[name] = description
    else:
        note(f"{name} is there more than once")
        first = profile[name]
        profile[name] = [*(first if isinstance(first, list) else [first]), description]


def _write(content: Blob, path: Path) -> None:
    with located("--section"), OutputFile(path) as output:
        for piece in read_pieces(content):
            output.write(piece)
        output.commit()
