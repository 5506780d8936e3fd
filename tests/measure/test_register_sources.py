"""What an image may measure into a register, by all that its start may be; values are computed by hand."""

from collections.abc import Mapping, Sequence
from hashlib import sha256

import pytest

from fuki_build.measure.boot import Boot, BootMethod
from fuki_build.measure.predict import cases
from fuki_build.measure.register_sources import StartedImage, register_sources, unpredicted
from tests.measure.test_predictions import addon, contents_of
from tests.support.images import Content, layout_of

SECTIONS: tuple[Content, ...] = (
    (".linux", b"kernel", None),
    (".cmdline", b"console=tty0", None),
    (".profile", b"ID=main\n", 0),
    (".profile", b"TITLE=Another\n", 1),
)
CALLING, SEPARATOR = sha256(b"Calling EFI Application from Boot Option").digest(), sha256(bytes(4)).digest()
ADDON = addon("x.addon.efi", (".cmdline", b"from=addon", None))


def image(boot: Boot | None = None, sections: Sequence[Content] = SECTIONS) -> StartedImage:
    contents = contents_of(layout_of(sections))
    return StartedImage(contents, cases(contents.layout, None, contents.layout.profiles or [None]), boot or Boot())


def measured(register: str, started: StartedImage, texts: Sequence[str] = ()) -> Mapping[str, list[bytes]]:
    """The digests of each source, by its label; no label is there twice."""
    sources = register_sources(register, "sha256", started, texts)
    labels = {source.label: [digest for unit in source.units for digest in unit.digests] for source in sources}
    assert len(labels) == len(sources)
    return labels


def options(text: str) -> bytes:
    """As the stub measures them: UTF-16 with a NUL (stub.c)."""
    return sha256(text.encode("utf-16-le") + b"\0\0").digest()


def number(profile: int) -> bytes:
    return options(str(profile))


def test_options_may_come_from_loader_host_and_addons_in_any_two_of_them():
    started = image(Boot(addons=(ADDON,), smbios="host"))
    sources = measured("PCR 12", started, ["debug"])
    own, host, debug = options("from=addon"), options("host"), options("debug")

    first = "image, profile 0 (main)"
    assert list(sources)[:2] == [first, "image, profile 1"]
    assert {label.removeprefix(first): digests for label, digests in sources.items() if label.startswith(first)} == {
        "": [own, host],
        ", with the options 'debug' from the boot loader": [debug, own, host],
        ", with the options 'debug' from SMBIOS": [own, debug],
        ", without options from SMBIOS": [own],
        ", without x.addon.efi": [host],
        ", with the options 'debug' from the boot loader, with the options 'debug' from SMBIOS": [debug, own, debug],
        ", with the options 'debug' from the boot loader, without options from SMBIOS": [debug, own],
        ", without x.addon.efi, with the options 'debug' from the boot loader": [debug, host],
        ", without x.addon.efi, with the options 'debug' from SMBIOS": [debug],
        ", without x.addon.efi, without options from SMBIOS": [],
    }
    assert sources["image, profile 1"] == [number(1), own, host]


def test_the_start_that_is_known_comes_first_and_others_by_their_differences():
    sources = list(measured("PCR 12", image(Boot(options="known", smbios="host"), SECTIONS[:2])))
    assert sources == [
        "image",
        "image, without options from SMBIOS",
        "image, without options",
        "image, without options, without options from SMBIOS",
    ]


def test_firmware_or_the_hypervisor_starts_the_image():
    program = addon("menu.efi", (".cmdline", b"menu", None))
    started = image(Boot(loaders=(program,), global_addons=(ADDON,)))
    own = started.contents.image_digests()["sha256"]
    menu, beside = (one.assembly.image_hash("sha256").digest() for one in (program, ADDON))
    first = "image, profile 0 (main)"
    sources = measured("PCR 4", started)
    assert {label.removeprefix(first): digests for label, digests in sources.items() if label.startswith(first)} == {
        "": [CALLING, SEPARATOR, menu, own, beside],
        ", handed over by the hypervisor": [own, CALLING, SEPARATOR, beside],
        ", without menu.efi before it": [CALLING, SEPARATOR, own, beside],
        ", without x.addon.efi": [CALLING, SEPARATOR, menu, own],
        ", handed over by the hypervisor, without menu.efi before it": [own, CALLING, SEPARATOR, beside],
        ", handed over by the hypervisor, without x.addon.efi": [own, CALLING, SEPARATOR],
        ", without menu.efi before it, without x.addon.efi": [CALLING, SEPARATOR, own],
    }
    disk = measured("PCR 4", image(Boot(method=BootMethod.DIRECT)))
    assert disk[f"{first}, started from a disk"] == [CALLING, SEPARATOR, own]


def test_what_the_stub_may_add_to_the_command_line_is_tried():
    started = image(Boot(method=BootMethod.DIRECT), ((".linux", b"kernel", None), (".cmdline", b"quiet", None)))
    sources = measured("PCR 9", started)
    assert sources["image"] == [options("quiet")]
    for added in ("console=hvc0", "console=uart,io,0x2f8 console=tty0"):
        assert sources[f"image, with '{added}' added by the stub"] == [options(f"quiet {added}")]
    known = measured("PCR 9", image(Boot(method=BootMethod.DIRECT, console="console=hvc0"), SECTIONS[:2]))
    assert list(known) == ["image", "image, started from a disk"]


def test_profiles_are_those_of_the_image_in_every_register():
    started = image(Boot(method=BootMethod.DIRECT))
    names = [sha256(name).digest() for name in (b".linux\0", b"kernel", b".profile\0", b"TITLE=Another\n")]
    sections = measured("PCR 11", started)
    assert list(sections) == ["image, profile 0 (main)", "image, profile 1"]
    assert set(names) < set(sections["image, profile 1"])
    assert list(measured("RTMR2", started))[:2] == list(sections)


def test_why_a_start_cannot_be_predicted_is_told_once():
    initrd: Content = (".initrd", b"initrd", None)
    reason = unpredicted("PCR 9", image(Boot(), (*SECTIONS, initrd)))
    assert reason.startswith("the stub adds a secret of its own")
    assert ";" not in reason
    assert unpredicted("PCR 11", image(Boot(), (*SECTIONS, initrd))) == ""
    assert unpredicted("PCR 9", image(Boot(secret=False), (*SECTIONS, initrd))) == ""


@pytest.mark.parametrize("register", ["PCR 9", "RTMR2"])
def test_what_cannot_be_predicted_is_no_source_but_without_the_secret_it_is(register: str):
    initrd: Content = (".initrd", b"initrd", None)
    sections = (*SECTIONS[:2], initrd)
    sources = register_sources(register, "sha256", image(Boot(), sections))
    assert [source.label for source in sources] == ["image", "image, handed over by the hypervisor"]
    assert sources[0].units[-1].digests == (sha256(b"initrd").digest(),)
    assert {unit.words.removesuffix(" of image") for unit in sources[0].units} >= {"the initrd, as the stub joins it"}
