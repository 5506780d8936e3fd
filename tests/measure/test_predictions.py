"""What predictions are made of, where it can be said without a machine; the rules are those of the stub's sources."""

import hashlib
from struct import pack
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from fuki_build.errors import FormatError, FukiError, RecipeError
from fuki_build.formats.tcg import pcr_text
from fuki_build.formats.uki import cpio, efifw, hwids
from fuki_build.formats.uki.hwids import Device, DeviceType
from fuki_build.image.assemble import assemble
from fuki_build.image.digest_plan import measured_in
from fuki_build.image.image import ImageKind
from fuki_build.image.layout import Layout
from fuki_build.image.stub import StubVersion
from fuki_build.measure.boot import Addon, Boot, BootMethod
from fuki_build.measure.boot_options import read_program
from fuki_build.measure.cmdline import mangle
from fuki_build.measure.events import Measurer
from fuki_build.measure.predict import Prediction, cases, predict
from fuki_build.measure.registers import check_banks, replay, split_phases
from fuki_build.measure.section_digests import SectionDigests
from fuki_build.measure.tpm_policy import policy_pcr
from tests.support.images import Content, layout_of
from tests.support.rich import authenticode

BANKS = ("sha256",)
LINUX: Content = (".linux", b"kernel", None)
BLANK_BETWEEN = (b"\n", b"a", b" ", b"b", b" \0b")


def contents_of(layout: Layout) -> SectionDigests:
    return SectionDigests(layout, assemble(layout, digests=measured_in(BANKS)), BANKS)


def predicted(*sections: Content, boot: Boot | None = None, profile: int | None = None, stub="stub-x64") -> Prediction:
    contents = contents_of(layout_of([LINUX, *sections], stub))
    (prediction,) = predict(contents, cases(contents.layout, None, [profile]), boot)
    return prediction


def addon(name: str, *sections: Content) -> Addon:
    layout = layout_of(sections, None, ImageKind.ADDON)
    return Addon(name, layout, assemble(layout, digests=measured_in(BANKS)))


def what(prediction: Prediction, pcr: int) -> list[str]:
    return [event.what for event in prediction.events if event.pcr == pcr]


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


class TestSections:
    def test_of_sections_that_repeat_in_a_slice_the_first_is_measured(self):
        prediction = predicted((".cmdline", b"first", None), (".cmdline", b"second", None))
        digests = [event.digests["sha256"] for event in prediction.events if event.pcr == 11]
        assert sha256(b"first") in digests
        assert sha256(b"second") not in digests

    def test_an_empty_section_of_a_profile_takes_the_bases_away(self):
        sections = ((".cmdline", b"base", None), (".profile", b"ID=a", 0), (".cmdline", b"", 0))
        assert "content of .cmdline" not in what(predicted(*sections, profile=0), 11)

    def test_sections_say_which_slice_they_are_of(self):
        prediction = predicted((".cmdline", b"base", None), (".profile", b"ID=a", 0), (".osrel", b"own", 0), profile=0)
        assert [(event.what, event.source) for event in prediction.events if event.pcr == 11][:6] == [
            ("name of .linux", "base"),
            ("content of .linux", "base"),
            ("name of .osrel", "profile @0"),
            ("content of .osrel", "profile @0"),
            ("name of .cmdline", "base"),
            ("content of .cmdline", "base"),
        ]

    def test_a_section_that_a_stub_does_not_know_is_not_measured(self):
        assert "content of .efifw" not in what(predicted((".efifw", b"x", None), stub="stub-257-x64"), 11)
        assert "content of .uname" in what(predicted((".uname", b"6", None), stub="stub-257-x64"), 11)

    def test_an_image_that_claims_gigabytes_of_memory_is_refused(self):
        layout = layout_of([LINUX])
        sections = tuple(
            placed.__class__(placed.section, placed.header._replace(virtual_size=0xF0000000))
            if placed.name == ".linux"
            else placed
            for placed in layout.sections
        )
        contents = contents_of(layout)
        with pytest.raises(FormatError, match="in memory"):
            predict(
                replace(contents, layout=replace(layout, sections=sections)),
                cases(layout, None, [None]),
            )

    def test_more_combinations_than_can_be_told_are_refused(self):
        firmware = [(".efifw", efifw.encode_header(str(n), 1) + b"x", None) for n in range(70)]
        trees = [(".dtbauto", tree(f"d{n}"), None) for n in range(70)]
        devices = [Device(DeviceType.UEFI_FW, "n", str(n), frozenset({UUID(int=n + 1)})) for n in range(70)]
        devices += [Device(DeviceType.DEVICETREE, "n", f"d{n}", frozenset({UUID(int=n + 1)})) for n in range(70)]
        layout = layout_of([LINUX, *firmware, *trees, (".hwids", hwids.encode(devices), None)])
        with pytest.raises(FukiError, match="too many to combine"):
            cases(layout, None, [None])


def tree(compatible: str) -> bytes:
    """A devicetree with one property (Devicetree Specification 0.4, 5)."""
    text = compatible.encode() + b"\0"
    padded = text + bytes(-len(text) % 4)
    body = pack(">II", 1, 0) + pack(">III", 3, len(text), 0) + padded + pack(">II", 2, 9)
    names = b"compatible\0"
    size = 40 + 16 + len(body) + len(names)
    head = pack(">10I", 0xD00DFEED, size, 56, 56 + len(body), 40, 17, 16, 0, len(names), len(body))
    return head + bytes(16) + body + names


class TestCommandLine:
    def test_what_is_passed_takes_the_place_of_the_images_own(self):
        prediction = predicted((".cmdline", b"own console=tty0", None), boot=Boot(options="given console=tty0"))
        assert what(prediction, 12) == ["passed options: given console=tty0"]
        assert "the kernel's options: given console=tty0" in what(prediction, 9)

    def test_secure_boot_keeps_the_images_own(self):
        boot = Boot(options="given", secure_boot=True)
        prediction = predicted((".cmdline", b"own console=tty0", None), boot=boot)
        assert what(prediction, 12) == []
        assert "the kernel's options: own console=tty0" in what(prediction, 9)

    def test_addons_and_smbios_are_appended_in_that_order(self):
        addons = (addon("b.addon.efi", (".cmdline", b"b", None)), addon("a.addon.efi", (".cmdline", b"a", None)))
        boot = Boot(smbios="host", addons=addons, global_addons=(addon("z.addon.efi", (".cmdline", b"z", None)),))
        prediction = predicted((".cmdline", b" own\nconsole=tty0 ", None), boot=boot)
        assert what(prediction, 12) == [
            "options of addons (z.addon.efi, a.addon.efi, b.addon.efi): z a b",
            "options from SMBIOS: host",
        ]
        assert "the kernel's options: own console=tty0 z a b host" in what(prediction, 9)
        assert what(prediction, 4)[-3:] == ["the addon z.addon.efi", "the addon a.addon.efi", "the addon b.addon.efi"]

    def test_an_addon_for_another_kernel_is_loaded_and_not_used(self):
        other = addon("x.addon.efi", (".cmdline", b"x", None), (".uname", b"5", None))
        prediction = predicted((".cmdline", b"console=", None), (".uname", b"6", None), boot=Boot(addons=(other,)))
        assert "the addon x.addon.efi" in what(prediction, 4)
        assert what(prediction, 12) == []

    @pytest.mark.parametrize(
        ("uname", "is_used"),
        [
            (b"6.12", True),
            (b"6.1", True),
            (b"6.12\0more", True),
            (b"6.1\0", False),
            (b"6.12.1", False),
            (b"6.2", False),
        ],
    )
    def test_an_addon_is_for_all_releases_that_begin_as_its_own(self, uname, is_used):
        """strneq8 compares to the end of the addon's section; tests/boot/test_event_logs.py has the real stub do it."""
        other = addon("x.addon.efi", (".cmdline", b"x", None), (".uname", uname, None))
        prediction = predicted((".cmdline", b"console=", None), (".uname", b"6.12", None), boot=Boot(addons=(other,)))
        assert what(prediction, 12) == ["options of addons (x.addon.efi): x"] * is_used

    def test_an_initrd_in_an_addon_is_measured_and_joined_behind_the_others(self):
        beside = addon("x.addon.efi", (".initrd", b"12345", None))
        boot = Boot(method=BootMethod.DIRECT, addons=(beside,))
        prediction = predicted((".cmdline", b"console=", None), (".initrd", b"123456", None), boot=boot)
        assert [event.digests["sha256"] for event in prediction.events if event.pcr == 12] == [sha256(b"12345")]
        initrd = next(event for event in prediction.events if event.pcr == 9 and event.source != "command line")
        assert initrd.digests["sha256"] == sha256(b"123456\0\0" + b"12345\0\0\0")

    def test_what_addons_bring_is_measured_in_the_stubs_order(self):
        """stub.c: options, options from SMBIOS, devicetrees, microcode from the last addon to the first, initrds."""
        one = addon(
            "1.addon.efi",
            (".cmdline", b"one", None),
            (".dtb", b"one's", None),
            (".dtbauto", b"one's own", None),
            (".ucode", b"first microcode", None),
            (".initrd", b"first initrd", None),
        )
        two = addon(
            "2.addon.efi", (".dtb", b"two's", None), (".ucode", b"microcode", None), (".initrd", b"initrd", None)
        )
        boot = Boot(method=BootMethod.DIRECT, addons=(two, one), smbios="host")
        prediction = predicted((".cmdline", b"console=", None), boot=boot)

        expected = [
            ("EV_IPL", "options of addons (1.addon.efi)", "one\0".encode("utf-16-le")),
            ("EV_IPL", "options from SMBIOS", "host\0".encode("utf-16-le")),
            ("EV_EVENT_TAG", "1.addon.efi", b"one's own"),
            ("EV_EVENT_TAG", "2.addon.efi", b"two's"),
            ("EV_EVENT_TAG", "2.addon.efi", b"microcode"),
            ("EV_EVENT_TAG", "1.addon.efi", b"first microcode"),
            ("EV_EVENT_TAG", "1.addon.efi", b"first initrd"),
            ("EV_EVENT_TAG", "2.addon.efi", b"initrd"),
        ]
        events = [event for event in prediction.events if event.pcr == 12]
        assert [(event.type, event.source, event.digests["sha256"]) for event in events] == [
            (kind, source, sha256(data)) for kind, source, data in expected
        ]
        assert {event.by for event in events} == {Measurer.STUB}
        assert prediction.unknown(9) == "the addon 1.addon.efi puts microcode in front of it"

    def test_what_is_no_addon_is_loaded_and_passed_over(self):
        """load_addons in stub.c: an image with a kernel, one with nothing to use, and one for another kernel."""
        addons = (
            addon("1.addon.efi", (".linux", b"kernel", None), (".cmdline", b"one", None)),
            addon("2.addon.efi", (".uname", b"6.1", None)),
            addon("3.addon.efi", (".uname", b"5", None), (".cmdline", b"three", None)),
            addon("4.addon.efi", (".cmdline", b"four", None)),
        )
        boot = Boot(method=BootMethod.DIRECT, addons=addons)
        prediction = predicted((".cmdline", b"console=", None), (".uname", b"6.1", None), boot=boot)
        assert what(prediction, 12) == ["options of addons (4.addon.efi): four"]
        assert what(prediction, 4)[-4:] == [f"the addon {number}.addon.efi" for number in (1, 2, 3, 4)]

    def test_without_a_command_line_firmware_decides_what_the_kernel_gets(self):
        prediction = predicted(boot=Boot(method=BootMethod.DIRECT, console=""))
        assert what(prediction, 9) == ["the kernel's options"]
        assert prediction.unknown(9) == "without a command line, the kernel gets whatever options the firmware passes"

    @pytest.mark.parametrize(
        ("numbers", "expected"),
        [
            ((253, 0), []),
            ((254, 0), ["options of addons (1.addon.efi): one", "options of addons (2.addon.efi): two"]),
            ((255, 0), ["options of addons (1.addon.efi, 2.addon.efi): one two", ".dtb of the addon 1.addon.efi"]),
            (
                (257, 0),
                [
                    "options of addons (1.addon.efi, 2.addon.efi): one two",
                    ".dtb of the addon 1.addon.efi",
                    ".initrd of the addon 1.addon.efi",
                ],
            ),
        ],
    )
    def test_what_stubs_take_from_addons_came_one_after_the_other(self, numbers, expected):
        """systemd's NEWS: options with 254, devicetrees with 255, initrds with 257."""
        one = addon("1.addon.efi", (".cmdline", b"one", None), (".dtb", b"tree", None), (".initrd", b"initrd", None))
        two = addon("2.addon.efi", (".cmdline", b"two", None))
        layout = replace(
            layout_of([LINUX, (".initrd", b"own", None)]), stub=StubVersion("systemd-stub", str(numbers[0]), numbers)
        )
        (prediction,) = predict(contents_of(layout), cases(layout, None, [None]), Boot(addons=(one, two)))

        assert what(prediction, 12) == expected
        sources = ".initrd + 1.addon.efi's .initrd" if numbers >= (257, 0) else ".initrd"
        assert prediction.events[-1].source == sources

    def test_of_sections_that_repeat_in_an_addon_the_first_is_used(self):
        twice: list[Content] = [(".initrd", b"first", None), (".initrd", b"second", None)]
        boot = Boot(method=BootMethod.DIRECT, addons=(addon("x.addon.efi", *twice),))
        events = predicted((".cmdline", b"console=", None), boot=boot).events
        assert [event.digests["sha256"] for event in events if event.pcr == 12] == [sha256(b"first")]
        assert events[-1].digests["sha256"] == sha256(b"first")

    def test_an_addon_with_more_than_a_command_line_makes_what_addons_add_unknown(self):
        huge = addon("x.addon.efi", (".cmdline", b"x" * (1 << 20) + b"x", None), (".initrd", b"initrd", None))
        boot = Boot(method=BootMethod.DIRECT, addons=(huge,), options="given console=", smbios="host")
        prediction = predicted(boot=boot)
        assert [(e.type, e.what, e.source, e.by, bool(e.digests)) for e in prediction.events if e.pcr == 12] == [
            ("EV_IPL", "passed options: given console=", "passed options", Measurer.STUB, True),
            ("EV_IPL", "what addons add", "addons", Measurer.STUB, False),
            ("EV_IPL", "options from SMBIOS: host", "options from SMBIOS", Measurer.STUB, True),
        ]
        reason = ".cmdline has 1048577 bytes, too many for what it is"
        assert prediction.unknown(12) == reason
        assert prediction.unknown(9) == reason

    def test_a_command_line_of_the_most_bytes_is_read(self):
        line = b"console=" + b"x" * ((1 << 20) - 8)
        prediction = predicted((".cmdline", line, None), boot=Boot(method=BootMethod.DIRECT))
        assert prediction.events[-1].digests["sha256"] == sha256(line.decode().encode("utf-16-le") + b"\0\0")
        prediction = predicted((".cmdline", line + b"x", None), boot=Boot(method=BootMethod.DIRECT))
        assert "too many for what it is" in prediction.unknown(9)
        (event,) = (event for event in prediction.events if event.pcr == 9)
        assert (event.type, event.what, event.source, event.by) == (
            "EV_EVENT_TAG",
            "the kernel's options",
            "command line",
            Measurer.KERNEL,
        )

    def test_blanks_of_an_addon_between_others_stay(self):
        """Each addon's options are appended behind a blank, and blanks are stripped at the ends alone (stub.c)."""
        addons = [addon(f"{number}.addon.efi", (".cmdline", text, None)) for number, text in enumerate(BLANK_BETWEEN)]
        boot = Boot(method=BootMethod.DIRECT, addons=tuple(addons))
        prediction = predicted((".cmdline", b"console=", None), boot=boot)
        assert what(prediction, 12) == ["options of addons (1.addon.efi, 3.addon.efi): a  b"]

    def test_without_console_the_options_cannot_be_told_unless_it_is_known_what_is_added(self):
        own = (".cmdline", b"quiet", None)
        assert "console=" in predicted(own).unknown(9)
        known = predicted(own, boot=Boot(method=BootMethod.DIRECT, console="console=hvc0"))
        assert "the kernel's options: quiet console=hvc0" in what(known, 9)
        assert predicted(own, boot=Boot(method=BootMethod.DIRECT), stub="stub-257-x64").unknown(9) == ""

    def test_what_the_stub_does_not_keep_is_left_out(self):
        """tests/boot/test_odd_strings.py has the real stub pass such a line."""
        prediction = predicted(
            (".cmdline", b"a=Caf\xe9 box \xf0\x9f\x98\x80 console=", None), boot=Boot(method=BootMethod.DIRECT)
        )
        assert "the kernel's options: a=Cafox  console=" in what(prediction, 9)

    def test_options_from_smbios_are_taken_as_the_stub_takes_bytes(self):
        prediction = predicted(
            (".cmdline", b"console=", None), boot=Boot(method=BootMethod.DIRECT, smbios="a=\U0001f600\udcffb")
        )
        assert "options from SMBIOS: a=b" in what(prediction, 12)

    @given(st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"])))
    def test_a_command_line_has_no_control_characters_and_no_blanks_at_its_ends(self, text):
        mangled = mangle(text)
        assert mangled == mangled.strip(" ")
        assert not any(c < " " or c == "\x7f" for c in mangled)


class TestPrograms:
    def test_programs_are_measured_by_their_authenticode_in_the_order_of_their_start(self, part):
        """pefile tells what that digest covers; the stub of 257 has firmware load the kernel."""
        kernel, menu, beside = part("kernel-x64"), part("stub-x64"), part("stub-aa64")
        boot = Boot(loaders=(read_program(menu, BANKS),), addons=(read_program(beside, BANKS),))
        contents = contents_of(layout_of([(".linux", kernel.read_bytes(), None)], "stub-257-x64"))
        (prediction,) = predict(contents, cases(contents.layout, None, [None]), boot)

        image = contents.image_digests()["sha256"].hex()
        programs = [event for event in prediction.events if event.type == "EV_EFI_BOOT_SERVICES_APPLICATION"]
        assert [(event.source, event.digests["sha256"].hex()) for event in programs] == [
            (menu.name, authenticode(menu)),
            ("the image", image),
            (beside.name, authenticode(beside)),
            (".linux", authenticode(kernel)),
        ]
        assert [event.what for event in programs] == [
            f"the program {menu.name}",
            "the image",
            f"the addon {beside.name}",
            "the kernel in .linux",
        ]
        assert {event.by for event in programs} == {Measurer.FIRMWARE}

    def test_a_kernel_that_is_no_program_has_no_digest(self):
        event = next(event for event in predicted(stub="stub-257-x64").events if event.source == ".linux")
        assert (event.type, event.what, event.digests) == (
            "EV_EFI_BOOT_SERVICES_APPLICATION",
            "the kernel in .linux",
            {},
        )
        assert "no EFI executable" in event.unknown

    @pytest.mark.parametrize(("shim", "secure_boot"), [(False, False), (True, False), (False, True), (True, True)])
    def test_a_stub_that_loads_kernels_itself_leaves_that_to_a_shim_that_verifies(self, shim, secure_boot):
        """linux.c: through shim's protocol, and with Secure Boot, the kernel is loaded as a program."""
        prediction = predicted(boot=Boot(shim=shim, secure_boot=secure_boot))
        assert ("the kernel in .linux" in what(prediction, 4)) is (shim and secure_boot)


class TestInitrd:
    def test_microcode_comes_before_the_initrd_although_it_stands_behind_it(self):
        sections = ((".cmdline", b"console=", None), (".initrd", b"initrd", None), (".ucode", b"micro", None))
        prediction = predicted(*sections, boot=Boot(method=BootMethod.DIRECT))
        assert prediction.events[-1].digests["sha256"] == sha256(b"micro\0\0\0" + b"initrd\0\0")

    def test_an_initrd_alone_is_not_padded(self):
        prediction = predicted(
            (".cmdline", b"console=", None), (".initrd", b"alone", None), boot=Boot(method=BootMethod.DIRECT)
        )
        assert prediction.events[-1].digests["sha256"] == sha256(b"alone")

    def test_a_secret_of_the_machine_makes_it_unpredictable_on_a_disk(self):
        sections = ((".cmdline", b"console=", None), (".initrd", b"x", None))
        assert "secret" in predicted(*sections).unknown(9)
        assert predicted(*sections, boot=Boot(secret=False)).unknown(9) == ""
        assert predicted(*sections, stub="stub-257-x64").unknown(9) == ""

    def test_an_initrd_that_cannot_be_told_is_an_event_all_the_same(self):
        microcode = addon("x.addon.efi", (".ucode", b"microcode", None))
        for boot in (Boot(), Boot(method=BootMethod.DIRECT, addons=(microcode,))):
            event = predicted((".cmdline", b"console=", None), (".initrd", b"x", None), boot=boot).events[-1]
            assert (event.pcr, event.type, event.what) == (9, "EV_EVENT_TAG", "the initrd, as the stub joins it")
            assert (event.source, event.by, event.digests) == ("initrd", Measurer.KERNEL, {})
            assert event.unknown

    def test_what_the_stub_passes_on_are_archives_behind_it(self):
        """In the order of stub.c's INITRD_ constants, whatever that of the sections is."""
        passed_on = {
            ".pcrsig": "tpm2-pcr-signature.json",
            ".pcrpkey": "tpm2-pcr-public-key.pem",
            ".osrel": "os-release",
            ".profile": "profile",
        }
        archives = [cpio.pack_literal(".extra", name, b"content", 0o555, 0o444) for name in passed_on.values()]
        base: list[Content] = [(name, b"content", None) for name in (".osrel", ".pcrsig", ".pcrpkey")]

        prediction = predicted(
            (".cmdline", b"console=", None),
            *base,
            (".initrd", b"initrd", None),
            (".profile", b"content", 0),
            boot=Boot(method=BootMethod.DIRECT),
            profile=0,
        )
        assert prediction.events[-1].digests["sha256"] == sha256(b"initrd\0\0" + b"".join(archives))
        names = [f"/.extra/{name}" for name in passed_on.values()]
        assert prediction.events[-1].source == " + ".join([".initrd", *names])

    def test_the_first_stub_that_measured_has_neither_addons_nor_profiles(self):
        """systemd's NEWS: addons came with 254, profiles and /.extra/os-release with 257."""
        beside = addon("x.addon.efi", (".cmdline", b"x", None), (".initrd", b"x", None))
        prediction = predicted(
            (".osrel", b"ID=x", None),
            (".uname", b"6.1", None),
            (".initrd", b"initrd", None),
            (".pcrpkey", b"key", None),
            boot=Boot(addons=(beside,), options="given"),
            stub="stub-252-x64",
        )
        assert what(prediction, 4)[-2:] == ["the image", "the kernel in .linux"]
        assert [text for text in what(prediction, 11) if "content" in text] == [
            f"content of {name}" for name in (".linux", ".osrel", ".initrd", ".pcrpkey")
        ]
        assert what(prediction, 12) == ["passed options: given"]
        assert prediction.events[-1].source == ".initrd + /.extra/tpm2-pcr-public-key.pem"

    def test_an_archive_is_what_cpio_reads(self, tmp_path):
        import subprocess

        archive = cpio.pack_literal(".extra", "os-release", b"ID=x\n", 0o555, 0o444)
        listed = subprocess.run(["cpio", "-itv"], input=archive, capture_output=True, check=True, cwd=tmp_path).stdout
        rows = [line.split() for line in listed.decode().splitlines()]
        assert [(row[0], row[-1]) for row in rows] == [("dr-xr-xr-x", ".extra"), ("-r--r--r--", ".extra/os-release")]


def test_a_policy_selects_registers_as_the_tpm_library_does():
    """TPML_PCR_SELECTION: count, algorithm, size, and one bit a register, the lowest first."""
    composite = sha256(b"\1" * 32 + b"\2" * 32)
    command = bytes.fromhex("0000017f" + "00000001" + "000b" + "03" + "100800")
    assert policy_pcr({11: b"\2" * 32, 4: b"\1" * 32}, "sha256") == sha256(bytes(32) + command + composite)
    command = bytes.fromhex("0000017f" + "00000001" + "000c" + "03" + "010080")
    composite = sha256(b"\1" * 48 + b"\2" * 48)
    assert policy_pcr({23: b"\2" * 48, 0: b"\1" * 48}, "sha384", b"\3" * 32) == sha256(b"\3" * 32 + command + composite)
    for register in (-1, 24):
        with pytest.raises(ValueError, match=str(register)):
            policy_pcr({register: bytes(32)}, "sha256")


def test_phases_extend_register_11_alone_and_what_nothing_extends_stays_zero():
    prediction = predicted((".cmdline", b"console=", None), boot=Boot(options="given"))
    value = prediction.value(11, "sha256")
    assert value is not None
    expected = sha256(sha256(value + sha256(b"enter-initrd")) + sha256(b"leave-initrd"))
    for _ in range(2):
        assert prediction.value(11, "sha256", ("enter-initrd", "leave-initrd")) == expected
    assert prediction.value(12, "sha256", ("enter-initrd",)) == prediction.value(12, "sha256")
    assert prediction.value(13, "sha256") == bytes(32)
    assert prediction.registers == (4, 9, 11, 12)


def test_a_register_starts_with_zeros():
    assert replay("sha256", [b"\1" * 32]) == sha256(bytes(32) + b"\1" * 32)


def test_names_of_banks_and_phases_are_checked():
    assert check_banks(["SHA384", "sha1", "sha384"]) == ("sha1", "sha384")
    assert split_phases(":enter-initrd::final:") == ("enter-initrd", "final")
    with pytest.raises(RecipeError, match="no bank 'md5'") as raised:
        check_banks(["md5"])
    assert (raised.value.where, raised.value.hint) == ("--bank", "there are: sha1, sha256, sha384, sha512")
    with pytest.raises(RecipeError, match="did you mean 'sha256'"):
        check_banks(["sha265"])
    with pytest.raises(RecipeError, match="no word") as raised:
        split_phases("::")
    assert (raised.value.where, raised.value.hint) == ("--phase", "for instance enter-initrd:leave-initrd")


class TestValues:
    def test_every_way_to_write_a_value_is_read(self):
        value = "ab" * 32
        for text in (f"11={value}", f"sha256:11={value}", f"  11: 0x{value.upper()}", f"PCR-11: {value}"):
            assert pcr_text.decode_value(text) == (("sha256", 11), b"\xab" * 32)

    @pytest.mark.parametrize("text", ["11=ab", "24=" + "ab" * 32, "sha1:1=" + "ab" * 32, "x", "1=" + "zz" * 32])
    def test_what_is_no_value_is_refused(self, text):
        with pytest.raises(FormatError):
            pcr_text.decode_value(text)
