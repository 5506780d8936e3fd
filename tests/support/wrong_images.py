"""For each rule, the right recipe or image made wrong in one place."""

import gzip
import json
import os
import re
from collections.abc import Callable
from hashlib import sha1
from pathlib import Path
from uuid import UUID

from fuki_build.testing import succeed
from tests.support.right_image import RIGHT, addon, signed
from tests.support.signature_shapes import insert, places

CHID = "01e09b32-de05-56ca-b9d1-9486ad5f381d"


def swap(old: str, new: str) -> Callable[[Path, object], tuple[str, ...]]:
    """A recipe that is wrong in one place."""

    def prepare(workshop: Path, _: object) -> tuple[str, ...]:
        assert old in RIGHT
        (workshop / "fuki.toml").write_text(RIGHT.replace(old, new, 1))
        return ()

    return prepare


def patch(section: str, change: Callable[[bytearray, int, int], None]) -> Callable[[Path, object], tuple[str, ...]]:
    """The right image, changed behind the back of whoever made it; `change` gets its bytes and the section's place."""

    def prepare(workshop: Path, _: object) -> tuple[str, ...]:
        succeed(workshop, "build")
        data = bytearray((workshop / "acme.efi").read_bytes())
        views = json.loads(succeed(workshop, "inspect", "--json", "acme.efi").out)["sections"]
        view = next(view for view in views if view["name"] == section)
        change(data, view["offset"], view["size"])
        (workshop / "wrong.efi").write_bytes(data)
        return ("wrong.efi",)

    return prepare


def rename(old: bytes, new: bytes) -> Callable[[bytearray, int, int], None]:
    def change(data: bytearray, _offset: int, _size: int) -> None:
        at = data.index(old.ljust(8, b"\0"), 0x78, 0x1000)
        data[at : at + 8] = new.ljust(8, b"\0")

    return change


def put(where: int, value: bytes) -> Callable[[bytearray, int, int], None]:
    def change(data: bytearray, offset: int, _size: int) -> None:
        data[offset + where : offset + where + len(value)] = value

    return change


def other_firmware(name: str, cut: int = 0) -> Callable[[Path, Callable[[str], Path]], tuple[str, ...]]:
    def prepare(workshop: Path, part: Callable[[str], Path]) -> tuple[str, ...]:
        (workshop / "one.fd").unlink()
        (workshop / "one.fd").write_bytes(part(name).read_bytes()[cut:] if name else os.urandom(65536))
        return ()

    return prepare


def other_part(name: str, real: str) -> Callable[[Path, Callable[[str], Path]], tuple[str, ...]]:
    def prepare(workshop: Path, part: Callable[[str], Path]) -> tuple[str, ...]:
        (workshop / name).unlink()
        (workshop / name).symlink_to(part(real))
        return ()

    return prepare


def keys_without_secure_boot(workshop: Path, part: Callable[[str], Path]) -> tuple[str, ...]:
    """Debian's enrolled variables before code that was built without Secure Boot."""
    (workshop / "one.fd").unlink()
    (workshop / "one.fd").write_bytes(part("ovmf-vars-ms").read_bytes() + part("ovmf-code").read_bytes())
    return ()


def stub_version(version: bytes) -> Callable[[Path, Callable[[str], Path]], tuple[str, ...]]:
    def prepare(workshop: Path, part: Callable[[str], Path]) -> tuple[str, ...]:
        data = part("stub-x64").read_bytes()
        changed = re.sub(rb"LoaderInfo: systemd-stub \d+\.\d+", lambda m: version.ljust(len(m[0]), b"9"), data)
        assert changed != data
        assert len(changed) == len(data)
        (workshop / "stub").unlink()
        (workshop / "stub").write_bytes(changed)
        return ()

    return prepare


def huge_initrd(workshop: Path, _: object) -> tuple[str, ...]:
    os.truncate(workshop / "initrd.img", 2 * 1024**3)
    return ()


def profiles_for_a_small_header(workshop: Path, part: Callable[[str], Path]) -> tuple[str, ...]:
    other_part("stub", "stub-257-x64")(workshop, part)
    base = RIGHT.partition("[[fuki.firmware]]")[0]
    profiles = "".join(f'[[fuki.profile]]\nid = "p{i}"\ncmdline = "{i}"\n' for i in range(15))
    (workshop / "fuki.toml").write_text(base + profiles)
    return ()


def never_tried_chid() -> str:
    """Type 14 of QEMU: the manufacturer alone, as Microsoft's rules hash it."""
    namespace = UUID("70ffd812-4c7f-4c7d-0000-000000000000")
    digest = sha1(namespace.bytes + "QEMU".encode("utf-16-le"), usedforsecurity=False).digest()
    return str(UUID(bytes=digest[:16], version=5))


def ghost(workshop: Path, _: object) -> tuple[str, ...]:
    (workshop / "ghost.json").write_text(json.dumps({"type": "uefi-fw", "name": "G", "fwid": "ghost", "hwids": [CHID]}))
    (workshop / "fuki.toml").write_text(RIGHT.replace('uname = "auto"', 'hwids = "ghost.json"'))
    return ()


def two_devicetrees(workshop: Path, _: object) -> tuple[str, ...]:
    (workshop / "hw").mkdir()
    for name in ("a", "b"):
        device = {"type": "devicetree", "name": name, "compatible": f"acme,{name}", "hwids": [CHID]}
        (workshop / f"hw/{name}.json").write_text(json.dumps(device))
    (workshop / "fuki.toml").write_text(RIGHT.replace('uname = "auto"', 'hwids = "hw"\ndtbauto = ["os-release"]'))
    return ()


def file(name: str, content: bytes, old: str, new: str) -> Callable[[Path, object], tuple[str, ...]]:
    """A file, and the recipe that is wrong to take it."""

    def prepare(workshop: Path, _: object) -> tuple[str, ...]:
        (workshop / name).write_bytes(content)
        return swap(old, new)(workshop, _)

    return prepare


def one_devicetree_twice(workshop: Path, part: Callable[[str], Path]) -> tuple[str, ...]:
    (workshop / "machine.dtb").symlink_to(next(part("dtbs-aa64").rglob("x1e80100-crd.dtb")))
    return swap('cmdline = "quiet"', 'dtbauto = ["machine.dtb", "machine.dtb"]')(workshop, part)


def stub_alone(*_: object) -> tuple[str, ...]:
    return ("stub",)


def addon_of_another_release(workshop: Path, _: object) -> tuple[str, ...]:
    addon(workshop, 'uname = "6.1-other"')
    return ()


def stub_with_a_section(workshop: Path, part: Callable[[str], Path]) -> tuple[str, ...]:
    """systemd-boot has an .osrel of 512 bytes; here it does not say that it is no stub."""
    (workshop / "stub").unlink()
    (workshop / "stub").write_bytes(part("boot-x64").read_bytes().replace(b": systemd-boot ", b": another-boot "))
    (workshop / "os-release").write_text("ID=acme\nNAME=" + "A" * 512)
    (workshop / "fuki.toml").write_text(RIGHT.partition("sbat =")[0])
    return ()


def with_gap(workshop: Path, part: Callable[[str], Path]) -> tuple[str, ...]:
    """A finished image of somebody's, with bytes between two sections that belong to neither."""
    data = part("addon-stub-x64").read_bytes()
    second = sorted(place for _, place in places(data))[1]
    (workshop / "gap.efi").write_bytes(insert(data, second, bytes(512)))
    return ("gap.efi",)


def behind(more: bytes, *, sign: bool) -> Callable[[Path, Callable[[str], Path]], tuple[str, ...]]:
    """A finished image with bytes behind it, or behind its signature."""

    def prepare(workshop: Path, part: Callable[[str], Path]) -> tuple[str, ...]:
        program = part("kernel-x64" if sign else "addon-stub-x64").read_bytes()
        (workshop / "long.efi").write_bytes(program + more)
        return ("long.efi",)

    return prepare


GZIP = gzip.compress(b"070701")
CMDLINE = 'cmdline = "quiet"'
ONE = 'platforms = ["qemu:q35"]'

WRONG = {
    "os-release-missing": swap('os-release = "os-release"\n', ""),
    "uname-missing": swap('uname = "auto"', 'uname = ""'),
    "kernel-not-startable": swap('"vmlinuz"', '"os-release"'),
    "kernel-not-startable of another machine": other_part("vmlinuz", "kernel-aa64"),
    "kernel-missing": swap('"vmlinuz"', '"empty"'),
    "os-release-incomplete without ID": file("os-release", b"NAME=Acme\n", "", ""),
    "os-release-incomplete without any name": file("os-release", b"VERSION_ID=41\n", "", ""),
    "os-release-incomplete in another encoding": file("os-release", b"ID=acme\nNAME=Caf\xe9\n", "", ""),
    "microcode-format": file("u.gz", GZIP, CMDLINE, 'ucode = "u.gz"'),
    "cmdline-altered": file("latin", b"a=\xe9", CMDLINE, 'cmdline = { file = "latin" }'),
    "cmdline-too-long": swap('"quiet"', f'"{"x" * 2048}"'),
    "devicetree-broken": swap(CMDLINE, 'dtb = "os-release"'),
    "devicetree-broken for a choice": swap(CMDLINE, 'dtbauto = ["os-release"]'),
    "devicetree-duplicate": one_devicetree_twice,
    "hwids-missing-devicetree": two_devicetrees,
    "addon-uname": addon_of_another_release,
    "no-image": stub_alone,
    "splash-format": swap('"splash.bmp"', '"os-release"'),
    "section-repeated": patch(".uname", rename(b".uname", b".osrel")),
    "firmware-header": patch(".efifw", put(0, b"\0")),
    "firmware-header with an id that ends early": patch(".efifw", put(17, b"\0")),
    "firmware-duplicate-id": swap(
        "[[fuki.profile]]", f'[[fuki.firmware]]\nsource = "file"\nid = "one"\npath = "two.fd"\n{ONE}\n[[fuki.profile]]'
    ),
    "firmware-never-selected": swap(
        "[[fuki.profile]]", '[[fuki.firmware]]\nsource = "file"\nid = "lost"\npath = "two.fd"\n[[fuki.profile]]'
    ),
    "firmware-never-selected without a table": swap(ONE, ""),
    "firmware-unknown": other_firmware(""),
    "firmware-unknown for a variable store": other_firmware("ovmf-vars"),
    "firmware-rom-size": other_firmware("ovmf-generic", 1000),
    "firmware-ignores-keys": keys_without_secure_boot,
    "hwids-broken by a type": patch(".hwids", put(0, b"\x1c\0\0\x30")),
    "hwids-broken by an offset": patch(".hwids", put(24, b"\xff\xff\0\0")),
    "hwids-ambiguous": swap(
        "[[fuki.profile]]", f'[[fuki.firmware]]\nsource = "file"\nid = "x"\npath = "two.fd"\n{ONE}\n[[fuki.profile]]'
    ),
    "hwids-ambiguous-devicetree": two_devicetrees,
    "hwids-missing-firmware": ghost,
    "hwids-empty": patch(".hwids", put(0, bytes(28))),
    "hwids-never-tried": swap(ONE, f'chids = ["{never_tried_chid()}"]'),
    "profile-without-hwids": swap('platforms = ["qemu:i440fx"]', ""),
    "header-size": profiles_for_a_small_header,
    "image-size": huge_initrd,
    "section-room": stub_with_a_section,
    "sbat-size": swap('"acme,1,Acme', f'"acme,1,{"A" * 1024}'),
    "sbat-odd for a short line": patch(".sbat", put(0, b"sbat;1")),
    "sbat-odd for a generation": patch(".sbat", put(0, b"sbat,x,")),
    "digest-disputed for a gap": with_gap,
    "digest-disputed for an odd size": behind(b"odd", sign=False),
    "digest-disputed for bytes behind the signature": behind(bytes(8), sign=True),
    "signature-unusual for a curve": signed("p256"),
    "signature-unusual for a digest": signed("rsa2048", "--digest", "sha384"),
    "stub-too-old": other_part("stub", "stub-257-x64"),
    "stub-unknown when newer": stub_version(b"LoaderInfo: systemd-stub 9"),
    "stub-unknown when of others": stub_version(b"LoaderInfo: another-stub 9"),
}
