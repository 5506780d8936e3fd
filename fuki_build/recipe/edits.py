"""Changes of a finished image, in the words of a command line, as what a caller brings to a recipe."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from fuki_build.errors import FukiError, RecipeError, raised_as
from fuki_build.image.addresses import SectionAddress, open_content, parse_address
from fuki_build.image.guard import file_id
from fuki_build.image.inspect import inspect
from fuki_build.image.layout import Layout
from fuki_build.image.profiles import find_profile, profile_ids
from fuki_build.image.section import HAND_OVER, STUB_OWN
from fuki_build.recipe.caller import Caller

_FWID = re.compile(r"(?P<id>[A-Za-z0-9._-]+)=(?P<path>.+)", re.DOTALL)
_MAX_TEXT = 64 * 1024
_FILES = {".linux": "linux", ".splash": "splash", ".dtb": "dtb", ".ucode": "ucode"}
_OTHER_OPTIONS = {
    ".efifw": "firmware is given with --firmware",
    ".profile": "profiles are added with --add-profile; a recipe has title",
    HAND_OVER: "a recipe has [fuki.hand-over]",
}


_OPTIONS = {
    "fuki.image.base": "IMAGE",
    "fuki.image.remove": "--remove",
    "fuki.image.stub": "--stub",
    "fuki.image": "--set",
    "fuki.profile": "--set",
    "fuki.firmware": "--firmware",
    "fuki.sign": "--key",
    "fuki.silence": "--silence",
    "fuki.output": "--output",
}
"""The options that bring what stands in a place of a recipe."""


class Edits(Struct, frozen=True, kw_only=True):
    """What is to become of `image`; each text is as the option of its name has it.

    Paths are relative to the current directory, those of a recipe to that: `beside_recipe` tells that there is one.
    `sign` is the table of a signer, empty for none.
    """

    image: Path
    name: str
    set: Sequence[str] = ()
    remove: Sequence[str] = ()
    no_hand_over: bool = False
    add_initrd: Sequence[Path] = ()
    add_profile: Sequence[str] = ()
    stub: Path | None = None
    firmware: Sequence[str] = ()
    platforms: Sequence[str] = ()
    machines: Sequence[Path] = ()
    chids: Sequence[str] = ()
    silence: Sequence[str] = ()
    sign: Mapping[str, Any] = {}
    beside_recipe: bool = False

    def path(self, path: Path | str) -> str:
        """A path as it stands in a recipe."""
        return os.path.abspath(path) if self.beside_recipe else str(path)  # noqa: PTH100 - symbolic links stay links


def caller_of(edits: Edits) -> Caller:
    """What the edits bring to a recipe, or in place of one. Reads headers; raises `RecipeError` at the option."""
    with raised_as(RecipeError):
        layout = inspect(edits.image)

    image: dict[str, Any] = {"base": edits.path(edits.image), "remove": [*edits.remove]}
    if edits.no_hand_over:
        image["remove"].append(_hand_over(layout))
    if edits.stub is not None:
        image["stub"] = edits.path(edits.stub)

    profiles = dict(_new_profile(text, layout) for text in edits.add_profile)
    _set_sections(edits, layout, image, profiles)
    if edits.add_initrd:
        there = [f"{edits.path(edits.image)}:.initrd"] if layout.find(".initrd") else []
        image["initrd"] = [*image.get("initrd", there), *map(edits.path, edits.add_initrd)]

    tables = {
        "image": image,
        "profile": list(profiles.values()),
        "firmware": _firmware(edits),
        "silence": list(edits.silence),
        "sign": {**edits.sign, **_sign_paths(edits)},
    }
    return Caller(tables={key: table for key, table in tables.items() if table}, defaults={"name": edits.name})


def refuse_replacing(image: Path, output: Path) -> None:
    """Raise `RecipeError` for an output that would replace the image, which is not what was asked for."""
    if os.path.lexists(output) and file_id(output) == file_id(image):
        hint = "write to another path, or give --in-place instead"
        raise RecipeError(f"the output would replace the input {image}", where="--output", hint=hint)


def at_options(error: FukiError) -> None:
    """Place an error at the option that brought what is wrong, where there is no recipe that might have."""
    place = error.where or ""
    for key, option in _OPTIONS.items():
        if place.startswith(key) and place[len(key) :][:1] in {"", ".", "["}:
            error.where = option
            break


def _set_sections(edits: Edits, layout: Layout, image: dict[str, Any], profiles: dict[str, dict[str, Any]]) -> None:
    given: set[SectionAddress] = set()
    for text in edits.set:
        address, value = _assignment(text)
        if address in given:
            raise RecipeError(f"{address} is given twice", where="--set")
        given.add(address)
        _set(image if address.profile is None else _profile(profiles, layout, address.profile), address, value, edits)

        if address.name == ".hwids" and layout.find(".hwids", _number(layout, address.profile)):
            # Others would be added to the table that there is.
            image["remove"].append(str(address))


def _hand_over(layout: Layout) -> str:
    if not layout.find(HAND_OVER):
        raise RecipeError(f"{layout.where} has no hand-over program", where="--no-hand-over")
    return HAND_OVER


def _new_profile(text: str, layout: Layout) -> tuple[str, dict[str, Any]]:
    id_, equals, title = text.partition("=")
    if id_ in profile_ids(layout).values():
        hint = f"change it with --set SECTION@{id_}=…"
        raise RecipeError(f"{layout.where} has a profile {id_!r} already", where="--add-profile", hint=hint)
    return id_, {"id": id_, **({"title": title} if equals else {})}


def _profile(profiles: dict[str, Any], layout: Layout, text: str) -> dict[str, Any]:
    """The table of a profile that is added, or that the image has."""
    if text in profiles:
        table: dict[str, Any] = profiles[text]
        return table
    with raised_as(RecipeError, "--set"):
        number = find_profile(layout, text)
    id_ = profile_ids(layout)[number] or str(number)
    return profiles.setdefault(id_, {"id": id_})  # type: ignore[no-any-return] # tables are plain data


def _number(layout: Layout, text: str | None) -> int | None:
    if text is None or text not in {str(n) for n in layout.profiles} | set(profile_ids(layout).values()):
        return None
    return find_profile(layout, text)


def _assignment(text: str) -> tuple[SectionAddress, str]:
    name, equals, value = text.partition("=")
    address = parse_address(name)
    if not equals or address is None or address.key is not None:
        raise RecipeError(f"{text!r} is not SECTION[@PROFILE]=TEXT or SECTION[@PROFILE]=@FILE", where="--set")
    if address.name in STUB_OWN:
        raise RecipeError(f"{address.name} is the stub's own", where="--set", hint="another stub is given with --stub")
    if address.name in _OTHER_OPTIONS:
        raise RecipeError(f"{address.name} is not set so", where="--set", hint=_OTHER_OPTIONS[address.name])
    return address, value


def _set(table: dict[str, Any], address: SectionAddress, value: str, edits: Edits) -> None:
    """Put a section into a table by its key; those without one are `sections`."""
    name = address.name
    path = edits.path(value[1:]) if value.startswith("@") else None
    match name:
        case ".cmdline":
            table["cmdline"] = value if path is None else {"file": path}
        case ".osrel" | ".pcrpkey":
            table["os-release" if name == ".osrel" else "pcrpkey"] = {"text": value} if path is None else path
        case ".uname":
            table["uname"] = value if path is None else _read_text(path)
        case ".sbat":
            table["sbat"] = [line for line in value.splitlines() if line] if path is None else {"file": path}
        case ".initrd" | ".hwids" | ".dtbauto":
            table[name.removeprefix(".")] = [_file(path, name)]
        case _ if name in _FILES:
            table[_FILES[name]] = _file(path, name)
        case _:
            table.setdefault("sections", {})[name] = {"text": value} if path is None else path


def _file(path: str | None, name: str) -> str:
    if path is None:
        raise RecipeError(f"{name} is no text", where="--set", hint=f"give a file: --set {name}=@FILE")
    return path


def _read_text(path: str) -> str:
    with raised_as(RecipeError, "--set"):
        data = open_content(Path(path)).read_small(_MAX_TEXT, path)
    try:
        return data.decode().strip()
    except UnicodeDecodeError:
        raise RecipeError(f"{path} is not UTF-8", where="--set") from None


def _firmware(edits: Edits) -> list[dict[str, Any]]:
    """Tables of firmware; machines are those of the only one."""
    machines: dict[str, Any] = {
        "platforms": list(edits.platforms),
        "machines": [edits.path(path) for path in edits.machines],
        "chids": list(edits.chids),
    }

    machines = {key: value for key, value in machines.items() if value}
    if machines and len(edits.firmware) != 1:
        option = {"platforms": "--platform", "machines": "--machine", "chids": "--chid"}[next(iter(machines))]
        problem = "there is no firmware to select" if not edits.firmware else "it does not say for which firmware"
        hint = "give one --firmware; a recipe (--recipe) has a table for each"
        raise RecipeError(problem, where=option, hint=hint)

    return [{**_source(text, edits), **machines} for text in edits.firmware]


def _source(text: str, edits: Edits) -> dict[str, Any]:
    parts = _FWID.fullmatch(text)
    path = parts["path"] if parts else text
    table: dict[str, Any] = {"source": "directory" if Path(path).is_dir() else "file", "path": edits.path(path)}
    if parts:
        table["id"] = parts["id"]
    elif table["source"] == "file":
        raise RecipeError("this firmware has no id", where="--firmware", hint=f"give it as --firmware ID={path}")
    return table


def _sign_paths(edits: Edits) -> Mapping[str, str]:
    """Files among a signer's options, which a recipe elsewhere would look for beside itself."""
    given = {name: edits.sign.get(name) for name in ("key", "certificate")}
    return {name: edits.path(value) for name, value in given.items() if value is not None and os.path.lexists(value)}
