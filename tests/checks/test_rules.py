"""Every rule finds what it is for, and is silent about an image that is right."""

import gzip
import json
import os
import re
import struct
from collections.abc import Callable, Iterable
from hashlib import sha1
from pathlib import Path
from uuid import UUID

import pytest

from fuki_build.testing import CommandOutcome, invoke, recipe, refused, succeed
from fuki_build.testing.secure_boot import make_identity, write_certificates, write_key
from tests.checks import test_structure
from tests.support.signature_shapes import insert, places

CHID = "01e09b32-de05-56ca-b9d1-9486ad5f381d"


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


pytestmark = pytest.mark.workshop(
    real={"one.fd": "ovmf-generic", "two.fd": "ovmf-amdsev"},
    files={
        # A bitmap of no pixels is enough of one.
        "splash.bmp": struct.pack("<2sIHHIIIIHH24x", b"BM", 54, 0, 0, 54, 40, 0, 0, 1, 24),
        "empty": b"",
    },
    recipe=RIGHT,
)


def found(workshop: Path, *target: str) -> dict[str, dict]:
    """The findings of `fuki check --json`, by rule."""
    findings = json.loads(invoke(workshop, "check", "--json", *target).out)["findings"]
    return {finding["rule"]: finding for finding in findings}


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


def addon(workshop: Path, *keys: str, silence: Iterable[str] = ()) -> None:
    lines = (right(silence=silence), "[[fuki.addon]]", 'name = "a"', 'cmdline = "debug"', *keys, "")
    (workshop / "fuki.toml").write_text("\n".join(lines))


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


def with_gap(workshop: Path, part: Callable[[str], Path]) -> tuple[str, ...]:
    """A finished image of somebody's, with bytes between two sections that belong to neither."""
    data = part("addon-stub-x64").read_bytes()
    second = sorted(place for _, place in places(data))[1]
    (workshop / "gap.efi").write_bytes(insert(data, second, bytes(512)))
    return ("gap.efi",)


def behind(more: bytes, *, sign: bool) -> Callable[[Path, Callable[[str], Path]], tuple[str, ...]]:
    """A finished image with bytes behind it, or behind its signature."""

    def prepare(workshop: Path, part: Callable[[str], Path]) -> tuple[str, ...]:
        found = part("kernel-x64" if sign else "addon-stub-x64").read_bytes()
        (workshop / "long.efi").write_bytes(found + more)
        return ("long.efi",)

    return prepare


GZIP = gzip.compress(b"070701")
CMDLINE = 'cmdline = "quiet"'

ABOUT_THE_WHOLE = {
    "digest-disputed",
    "os-release-missing",
    "uname-missing",
    "image-size",
    "header-size",
    "stub-unknown",
}
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


@pytest.mark.parametrize(("name", "prepare"), WRONG.items(), ids=WRONG)
def test_the_wrong_image_is_found_by(workshop, part, name, prepare):
    target = prepare(workshop, part)
    findings = found(workshop, *target)
    rule = name.split()[0]
    assert rule in findings
    assert findings[rule]["message"]
    assert findings[rule]["where"] or rule in ABOUT_THE_WHOLE


def test_the_right_recipe_has_no_findings(workshop):
    assert set(found(workshop)) == EXPECTED


def test_the_right_image_has_no_findings(workshop):
    succeed(workshop, "build")
    assert set(found(workshop, "acme.efi")) == EXPECTED


def test_firmware_that_is_not_handed_over_is_only_a_matter_of_images_with_firmware(workshop):
    (workshop / "fuki.toml").write_text(RIGHT.partition("[[fuki.firmware]]")[0])
    assert set(found(workshop)) == set()


def test_a_usual_signature_has_no_findings(workshop, part):
    assert set(found(workshop, *signed("rsa2048")(workshop, part))) == EXPECTED


def test_keys_in_firmware_with_secure_boot_are_no_finding(workshop, part):
    (workshop / "one.fd").unlink()
    (workshop / "one.fd").write_bytes(part("ovmf-vars-ms").read_bytes() + part("ovmf-secboot").read_bytes())
    assert set(found(workshop)) == EXPECTED


def listed(workshop: Path) -> list[tuple[str, str]]:
    lines = succeed(workshop, "check", "--list").out.splitlines()
    return [(line.split()[0], line.split()[1]) for line in lines]


def test_every_rule_of_the_core_has_a_wrong_image_here(workshop):
    # Those about machines, PE headers, hand-overs and IGVM files have files of their own: test_matching.py,
    # test_structure.py, test_hand_over.py, tests/recipe/test_igvm.py.
    rules = {rule for rule, _ in listed(workshop) if not rule.startswith(("match-", "hand-over-", "igvm-"))}
    elsewhere = {*test_structure.WRONG, *test_structure.KERNELS, "section-count", "addon-machine", "cmdline-empty"}
    assert rules == {name.split()[0] for name in (*WRONG, *elsewhere)} | EXPECTED


def test_the_list_gives_severities(workshop):
    assert {severity for _, severity in listed(workshop)} == {"error", "warning", "note"}


def test_every_rule_is_explained_with_the_way_to_silence_it(workshop):
    for rule, severity in listed(workshop):
        text = succeed(workshop, "check", "--explain", rule).out
        assert text.startswith(f"{rule} ({severity}): ")
        assert f'silence = ["{rule}"]' in text


def test_an_unknown_rule_cannot_be_explained(workshop):
    assert "there is no check 'nope'" in refused(workshop, "check", "--explain", "nope")


def check(workshop: Path) -> CommandOutcome:
    return invoke(workshop, "check")


def test_a_silenced_rule_says_nothing_and_no_longer_stops_a_build(workshop, part):
    other_firmware("")(workshop, part)
    assert check(workshop).code == 1
    (workshop / "fuki.toml").write_text(right(silence=["firmware-unknown"]))
    assert check(workshop).code == 0
    assert "firmware-unknown" not in check(workshop).err
    succeed(workshop, "build")


def test_a_warning_does_not_make_check_fail(workshop, part):
    swap('os-release = "os-release"\n', "")(workshop, part)
    assert check(workshop).code == 0
    assert "warning: " in check(workshop).err


def test_findings_come_with_a_hint_and_their_id(workshop, part):
    swap('os-release = "os-release"\n', "")(workshop, part)
    assert "[os-release-missing]\n  hint: add os-release" in check(workshop).err


def test_errors_come_before_warnings_and_notes(workshop, part):
    other_firmware("")(workshop, part)
    swap('os-release = "os-release"\n', "")(workshop, part)
    findings = json.loads(invoke(workshop, "check", "--json").out)["findings"]
    order = ["error", "warning", "note"]
    severities = [order.index(finding["severity"]) for finding in findings]
    assert severities == sorted(severities)
    assert set(severities) == {0, 1, 2}


@pytest.mark.parametrize(
    "name", ["header-size", "sbat-size", "section-room", "image-size", "kernel-not-startable", "stub-too-old"]
)
def test_an_error_stops_a_build_before_anything_is_written(workshop, part, name):
    WRONG[name](workshop, part)
    before = sorted(workshop.rglob("*"))
    outcome = invoke(workshop, "build", "-o", "new/out.efi", "--depfile", "d")
    assert outcome.code == 1
    assert f"[{name}]" in outcome.err
    assert f"fuki check --explain {name}" in outcome.err
    assert sorted(workshop.rglob("*")) == before


@pytest.mark.parametrize("name", ["header-size", "sbat-size", "image-size"])
def test_a_plan_with_errors_is_still_shown(workshop, part, name):
    WRONG[name](workshop, part)
    outcome = invoke(workshop, "plan")
    assert outcome.code == 1
    assert ".initrd" in outcome.out
    assert f"[{name}]" in outcome.err


def test_people_are_told_when_there_is_nothing_to_find(workshop, tmp_path):
    (workshop / "fuki.toml").write_text(RIGHT.partition("[[fuki.firmware]]")[0])
    succeed(workshop, "build", "-o", tmp_path / "x.efi")
    assert invoke(workshop, "check", tmp_path / "x.efi").err == "nothing to complain about\n"


def test_a_file_that_is_not_there_is_refused(workshop):
    assert "nope.efi" in refused(workshop, "check", "nope.efi")


UNUSABLE = {
    "an image": ("acme.efi", "image with a kernel already"),
    "an addon": ("acme.efi.extra.d/a.addon.efi", "has a .cmdline already"),
    "the stub for addons": ("addon-stub-x64", "the stub for addons, which starts nothing"),
    "a boot loader": ("boot-x64", "the boot loader systemd-boot"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_what_is_no_stub_alone_is_refused_before_the_build(workshop, part, name):
    path, message = UNUSABLE[name]
    addon(workshop)
    if path.startswith("acme"):
        succeed(workshop, "build")
    else:
        (workshop / path).symlink_to(part(path))
    (workshop / "fuki.toml").write_text(RIGHT.replace('stub = "stub"', f'stub = "{path}"'))
    error = refused(workshop, "plan")
    assert error.startswith("fuki: error: fuki.image.stub: ")
    assert message in error
    assert "linux<arch>.efi.stub" in error or "the stub alone" in error


def test_a_signed_image_as_stub_is_told_to_be_an_image(workshop, part):
    signed("rsa2048")(workshop, part)
    (workshop / "fuki.toml").write_text(RIGHT.replace('stub = "stub"', 'stub = "acme.efi"'))
    assert "image with a kernel already" in refused(workshop, "plan")


def test_an_addon_on_another_stub_than_that_for_addons_is_refused(workshop, part):
    (workshop / "boot").symlink_to(part("boot-x64"))
    addon(workshop, 'stub = "boot"')
    error = refused(workshop, "plan")
    assert error.startswith("fuki: error: fuki.addon[0].stub: ")
    assert "addon<arch>.efi.stub" in error


def test_an_image_as_kernel_is_an_error_of_the_plan(workshop):
    succeed(workshop, "build", "-o", "inner.efi")
    (workshop / "fuki.toml").write_text(RIGHT.replace('"vmlinuz"', '"inner.efi"').replace('"auto"', '"6.12"'))
    assert found(workshop)["kernel-is-image"]["where"] == ".linux"


def test_finished_addons_are_checked_with_their_image(workshop):
    addon(workshop, 'uname = "6.1-other"', silence=["addon-uname"])
    succeed(workshop, "build")
    place = "acme.efi.extra.d/a.addon.efi"
    succeed(workshop, "check", place)
    outcome = invoke(workshop, "check", "acme.efi", "--addon", place)
    assert outcome.code == 1
    assert f"error: {place}: the addon is for the kernel 6.1-other, the image has 6." in outcome.err
    assert "a recipe names its own" in refused(workshop, "check", "--addon", place)


def test_a_kernel_is_told_to_be_one(workshop):
    outcome = succeed(workshop, "check", "vmlinuz")
    assert "note: vmlinuz: this is a Linux kernel for x64, neither a UKI nor an addon" in outcome.err


FILES = {
    "a packed kernel": (GZIP, "compressed with gzip"),
    "vmlinux": (b"\x7fELF\x02\x01\x01", "an ELF program"),
    "an initrd": (b"070701" + bytes(104), "a cpio archive"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_neither_recipe_nor_image_is_told_what_it_is(workshop, name):
    content, message = FILES[name]
    (workshop / "file").write_bytes(content)
    error = refused(workshop, "check", "file")
    assert f"file: the file is {message}, neither a recipe nor an EFI program" in error
