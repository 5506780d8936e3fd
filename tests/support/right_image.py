"""A recipe that no rule of `fuki check` complains about, and what the rules say of it and of others."""

import json
import struct
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from fuki_build.testing import invoke, recipe, succeed
from fuki_build.testing.secure_boot import make_identity, write_certificates, write_key


def right(*, silence: Iterable[str] = ()) -> str:
    """A recipe that no rule complains about."""
    tables = """
[[fuki.firmware]]
source = "file"
id = "one"
path = "one.fd"
platforms = ["qemu:q35"]

[[fuki.profile]]
id = "debug"

[[fuki.profile.firmware]]
source = "file"
id = "two"
path = "two.fd"
platforms = ["qemu:i440fx"]
"""
    return recipe(
        tables,
        silence=silence,
        initrd=["initrd.img"],
        cmdline="quiet",
        os_release="os-release",
        splash="splash.bmp",
        uname="auto",
        sbat=["acme,1,Acme,acme,1,https://example.com/"],
    )


RIGHT = right()

EXPECTED = {"firmware-not-handed-over"}
"""What even the right image gets: stubs of 262 do not start the firmware."""

WORKSHOP = pytest.mark.workshop(
    real={"one.fd": "ovmf-generic", "two.fd": "ovmf-amdsev"},
    files={
        # A bitmap of no pixels is enough of one.
        "splash.bmp": struct.pack("<2sIHHIIIIHH24x", b"BM", 54, 0, 0, 54, 40, 0, 0, 1, 24),
        "empty": b"",
    },
    recipe=RIGHT,
)


def found(workshop: Path, *target: str) -> dict[str, dict[str, Any]]:
    """The findings of `fuki check --json`, by rule."""
    findings = json.loads(invoke(workshop, "check", "--json", *target).out)["findings"]
    return {finding["rule"]: finding for finding in findings}


def addon(workshop: Path, *keys: str, silence: Iterable[str] = ()) -> None:
    lines = (right(silence=silence), "[[fuki.addon]]", 'name = "a"', 'cmdline = "debug"', *keys, "")
    (workshop / "fuki.toml").write_text("\n".join(lines))


def signed(kind: str, *options: str) -> Callable[[Path, object], tuple[str, ...]]:
    """The right image with a signature."""

    def prepare(workshop: Path, _: object) -> tuple[str, ...]:
        identity = make_identity("Acme", kind)
        write_key(workshop / "key", identity.key)
        write_certificates(workshop / "crt", identity.certificate)
        succeed(workshop, "build")
        succeed(workshop, "sign", "acme.efi", "--key", "key", "--certificate", "crt", *options)
        return ("acme.efi",)

    return prepare


def listed(workshop: Path) -> list[tuple[str, str]]:
    lines = succeed(workshop, "check", "--list").out.splitlines()
    return [(line.split()[0], line.split()[1]) for line in lines]
