"""A call that builds an image, as what a caller brings to a recipe."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fuki_build.errors import RecipeError, located, raised_as
from fuki_build.image.blob import Blob
from fuki_build.image.section import NAME_SIZE, Section
from fuki_build.recipe.caller import Caller, JoinedProfile, Product
from fuki_build.recipe.joined import profile_id, read_profile
from fuki_build.ukify.call import UkifyCall
from fuki_build.ukify.keys import policy_tables, public_key, sign_table

_MAX_TEXT = 16 * 1024 * 1024
_BASE = "main"
_PATHS = {
    "linux": "linux",
    "microcode": "ucode",
    "splash": "splash",
    "devicetree": "dtb",
    "pcrpkey": "pcrpkey",
    "stub": "stub",
}
_BOOT = Path("/usr/lib/systemd/boot")


def caller_of(call: UkifyCall, notes: list[str]) -> Caller:
    """What the call brings. Reads small files and the headers of profiles; raises `FukiError` at the option.

    `notes` gets what people should know of it.
    """
    joined = _joined(call)
    profile = _profile(call, joined)
    # Without others to join it with, a profile is made to be joined itself.
    product = Product.PROFILE if profile and not joined else Product.UKI if call.one("linux") else Product.ADDON
    base_id = profile_id(Blob.of_bytes(profile), "--profile") if profile else ""

    image: dict[str, Any] = _image(call, notes)
    # Numbers stand for ids that are missing, so that tables have names.
    image["id"] = base_id or (_BASE if not joined else "0")
    tables: dict[str, Any] = {"image": image, "firmware": _firmware(call), "plugins": [], "pcr-policy": []}

    if joined:
        tables["profile"] = [{"id": one.id} for one in joined]
    sign, plugins = sign_table(call)
    if sign is not None:
        tables["sign"] = sign
        tables["plugins"] += plugins

    if product is Product.UKI:
        policies, plugins = policy_tables(call, base_id if profile else None, joined)
        tables["pcr-policy"] = policies
        tables["plugins"] += plugins

    return Caller(
        tables={key: value for key, value in tables.items() if value},
        defaults={"name": _name(call), "image": _defaults(call, notes)},
        product=product,
        sections=tuple(_sections(call)),
        profile=profile or None,
        joined=joined,
        outputs_beside=True,
    )


def _name(call: UkifyCall) -> str:
    """A name for the recipe, from the output's."""
    stem = Path(call.one("output") or "").name.removesuffix(".efi")
    return re.sub(r"[^A-Za-z0-9._+~-]", "_", stem).lstrip("._+~-") or "image"


def _path(text: str) -> str:
    """A path of the caller's: relative to the current directory, wherever a recipe lies."""
    return os.path.abspath(text)  # noqa: PTH100 - symbolic links stay what they are


def _image(call: UkifyCall, notes: list[str]) -> dict[str, Any]:
    image: dict[str, Any] = {}
    for attribute, key in _PATHS.items():
        value = call.one(attribute)
        if value is not None:
            image[key] = _path(value)
    image |= _texts(call)

    for attribute, key in (("initrd", "initrd"), ("devicetree_auto", "dtbauto")):
        if call.many(attribute):
            image[key] = [_path(value) for value in call.many(attribute)]

    if call.many("sbat"):
        image["sbat"] = list(_sbat(call, notes))

    hwids, policy_key = call.one("hwids"), public_key(call)
    if hwids is not None:
        image["hwids"] = [_path(hwids)] if hwids else []
    if policy_key is not None:
        image.setdefault("pcrpkey", policy_key)
    return image


def _texts(call: UkifyCall) -> dict[str, Any]:
    texts: dict[str, Any] = {}
    cmdline, release, uname = call.one("cmdline"), call.one("os_release"), call.one("uname")
    if cmdline is not None:
        texts["cmdline"] = {"file": _path(cmdline[1:])} if cmdline.startswith("@") else cmdline
    if release is not None:
        texts["os-release"] = _path(release[1:]) if release.startswith("@") else {"text": release}
    if uname is not None:
        texts["uname"] = uname
    return texts


def _sbat(call: UkifyCall, notes: list[str]) -> Iterator[str]:
    """The lines of all tables but their first; a table without that is passed over, as upstream does."""
    for text in call.many("sbat"):
        table = read_text(text, "--sbat") if text.startswith("@") else text
        first, *lines = table.splitlines() or [""]
        if not first.startswith("sbat,"):
            notes.append(f"--sbat: {text[:40]!r} does not begin with a line 'sbat,…' and is passed over")
            continue
        yield from lines


def read_text(value: str, option: str) -> str:
    """The text that an option gives, or the file after `@`. Raises `RecipeError` at the option."""
    if not value.startswith("@"):
        return value
    with located(option):
        data = Blob.of_file(Path(value[1:])).read_small(_MAX_TEXT, value[1:])
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise RecipeError(f"{value[1:]} is not UTF-8", where=option) from None


def _firmware(call: UkifyCall) -> list[dict[str, Any]]:
    return [{"source": "directory", "path": _path(directory)} for directory in call.many("efifw")]


def _defaults(call: UkifyCall, notes: list[str]) -> dict[str, Any]:
    """What upstream takes from the host where it is told nothing."""
    boot, arch = _BOOT, call.architecture
    linux = call.one("linux")
    image: dict[str, Any] = {"stub": str(boot / "efi" / f"{'linux' if linux else 'addon'}{arch}.efi.stub")}
    if linux:
        etc = Path("/etc/os-release")
        image["os-release"] = str(etc if etc.exists() else Path("/usr/lib/os-release"))
    if call.cmdline_of_last_resort is not None:
        image["cmdline"] = call.cmdline_of_last_resort

    hwids = boot / "hwids" / arch
    if call.one("hwids") is None and hwids.is_dir():
        notes.append(f"hardware ids are those of {hwids}")
        image["hwids"] = [str(hwids)]
    return image


def _sections(call: UkifyCall) -> Iterator[Section]:
    for text in call.many("section"):
        name, colon, content = text.partition(":")
        if not colon or ":" in content:
            raise RecipeError(f"{text!r} is not NAME:TEXT or NAME:@PATH", where="--section")
        if not (name.isascii() and name.isprintable() and 0 < len(name) <= NAME_SIZE):
            raise RecipeError(f"{name!r} is no section's name", where="--section", hint="up to 8 ASCII characters")
        if content.startswith("@"):
            with located("--section"):
                yield Section(name=name, content=Blob.of_file(Path(content[1:])), source=content[1:])
        else:
            yield Section(name=name, content=Blob.of_bytes(content.encode()), source="--section")


def _profile(call: UkifyCall, joined: tuple[JoinedProfile, ...]) -> bytes:
    text = read_text(call.one("profile") or "", "--profile")
    return (text or ("ID=main" if joined else "")).encode()


def _joined(call: UkifyCall) -> tuple[JoinedProfile, ...]:
    like_upstream = "joined-sections" in call.many("upstream")
    without = frozenset([".osrel"] if call.one("os_release") == "" else [])
    profiles: list[JoinedProfile] = []
    for number, path in enumerate(call.many("join_profile"), 1):
        with raised_as(RecipeError, "--join-profile"):
            profile = read_profile(Path(path), number=number, like_upstream=like_upstream, without=without)
        if any(profile.id == other.id for other in profiles):
            raise RecipeError(f"there are two profiles {profile.id!r}", where="--join-profile")
        profiles.append(profile)
    return tuple(profiles)
