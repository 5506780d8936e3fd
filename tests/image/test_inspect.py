"""`fuki inspect`: what is in a finished file, whoever made it."""

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from fuki_build.testing import invoke, refused, succeed
from tests.support.rich import ADDONS, UKI, authenticode, make_rich, sections, sha256


@pytest.fixture
def rich(workshop, part):
    make_rich(workshop, part)
    succeed(workshop, "build")
    return workshop


def inspect(directory: Path, *arguments: object) -> dict:
    return json.loads(succeed(directory, "inspect", "--json", *arguments).out)


def extract(directory: Path, spec: str, path: str = UKI) -> bytes:
    succeed(directory, "inspect", path, "--extract", spec, "-o", "extracted")
    return (directory / "extracted").read_bytes()


class TestWhatIsShown:
    def test_a_built_image_is_shown_as_it_was_planned(self, rich):
        planned = json.loads(succeed(rich, "plan", "--json").out)["images"]
        for plan, path in zip(planned, (UKI, *ADDONS), strict=True):
            shown = inspect(rich, path)
            for key in ("arch", "kind", "stub", "file-size", "header-slots-left", "profiles", "firmware"):
                assert shown[key] == plan[key], key
            # Of which type an id is, only a recipe's machines tell.
            without_types = [{**device, "types": [None] * len(device["chids"])} for device in plan["devices"]]
            assert shown["devices"] == without_types
            without_source = [{**section, "source": ""} for section in plan["sections"]]
            assert [{**section, "source": ""} for section in shown["sections"]] == without_source

    @pytest.mark.parametrize("path", [UKI, *ADDONS])
    def test_places_are_those_that_pefile_reads(self, rich, path):
        shown = [
            (s["name"], s["address"], s["offset"], s["size"], s["raw-size"]) for s in inspect(rich, path)["sections"]
        ]
        assert shown == [section[:5] for section in sections(rich / path)]

    def test_a_stub_is_shown_as_no_image(self, part, workshop):
        shown = inspect(workshop, part("stub-x64"))
        assert (shown["kind"], shown["arch"], shown["stub"]["program"]) == ("other", "x64", "systemd-stub")

    def test_a_signed_kernel_shows_its_signature(self, part, workshop):
        """Debian signs its kernels: one certificate of type 2, in the table that pefile finds too."""
        import pefile

        table = pefile.PE(part("kernel-x64"), fast_load=True).OPTIONAL_HEADER.DATA_DIRECTORY[4]
        (signature,) = inspect(workshop, part("kernel-x64"))["signatures"]
        assert signature["authenticode"]
        assert signature["offset"] == table.VirtualAddress
        assert 0 < signature["size"] <= table.Size

    @pytest.mark.parametrize(("name", "machine"), [("stub-aa64", "aa64"), ("kernel-aa64", "aa64"), ("stub-x64", "x64")])
    def test_the_machine_is_told(self, part, workshop, name, machine):
        assert inspect(workshop, part(name))["arch"] == machine

    def test_the_table_shows_profiles_firmware_machines_and_sbat(self, rich):
        out = succeed(rich, "inspect", UKI).out
        for words in ("@1 debug", "Boot with a debug shell", "QEMU q35", "uefi-fw one", "systemd-stub,1,"):
            assert words in out

    def test_people_are_not_shown_control_characters_of_a_hostile_image(self, rich):
        (rich / "fuki.toml").write_text(
            (rich / "fuki.toml").read_text().replace("root=LABEL=root ro debug", "a\\u001b[31mred\\u0007")
        )
        succeed(rich, "build")
        assert "\x1b" not in succeed(rich, "inspect", UKI).out
        assert "\x07" not in succeed(rich, "inspect", UKI).out


class TestDigests:
    @pytest.mark.parametrize("path", [UKI, *ADDONS])
    def test_the_digest_of_every_section_is_hashlibs(self, rich, path):
        shown = [(s["name"], s["sha256"]) for s in inspect(rich, path, "--digests")["sections"]]
        assert shown == [(section[0], sha256(section[5])) for section in sections(rich / path)]

    @pytest.mark.parametrize("path", [UKI, *ADDONS])
    def test_the_authenticode_digest_is_that_of_the_specification(self, rich, path):
        assert inspect(rich, path, "--digests")["authenticode"] == authenticode(rich / path)

    def test_without_digests_none_are_shown(self, rich):
        shown = inspect(rich, UKI)
        assert shown["authenticode"] is None
        assert {section["sha256"] for section in shown["sections"]} == {None}

    def test_the_table_shows_them(self, rich):
        out = succeed(rich, "inspect", "--digests", UKI).out
        assert f"Authenticode SHA-256 {authenticode(rich / UKI)}" in out
        assert sha256((rich / "vmlinuz").read_bytes()) in out


class TestExtract:
    def test_a_section_of_the_base(self, rich):
        assert extract(rich, "cmdline") == b"root=LABEL=root ro"

    def test_a_section_with_its_dot(self, rich):
        assert extract(rich, ".linux") == (rich / "vmlinuz").read_bytes()

    def test_a_section_of_a_profile_by_number(self, rich):
        assert extract(rich, "cmdline@1") == b"root=LABEL=root ro debug"

    def test_a_section_of_a_profile_by_id(self, rich):
        assert extract(rich, "cmdline@debug") == b"root=LABEL=root ro debug"

    def test_firmware_by_its_id(self, rich):
        assert extract(rich, "efifw:two") == (rich / "two.fd").read_bytes()

    def test_firmware_of_a_profile(self, rich):
        assert extract(rich, "efifw:three@other") == (rich / "two.fd").read_bytes()
        assert extract(rich, "efifw@2") == (rich / "two.fd").read_bytes()

    def test_a_section_of_an_addon(self, rich):
        assert extract(rich, "cmdline", ADDONS[0]) == b"console=ttyS0,115200"

    def test_broken_firmware_comes_out_as_the_whole_section(self, rich):
        data = bytearray((rich / UKI).read_bytes())
        name, _, offset, size, _, _ = next(s for s in sections(rich / UKI) if s[0] == ".efifw")
        data[offset] ^= 0xFF
        (rich / "broken.efi").write_bytes(data)
        succeed(rich, "inspect", "broken.efi", "--extract", "efifw@2", "-o", "x")
        error = refused(rich, "inspect", "broken.efi", "--extract", "efifw:one", "-o", "y")
        assert f"there are: {name}" not in error
        assert ".efifw:two" in error
        assert size > 0

    def test_dash_is_standard_output(self, fuki, rich):
        assert fuki("inspect", UKI, "--extract", "cmdline@debug", "-o", "-").stdout == "root=LABEL=root ro debug"
        assert not (rich / "-").exists()

    @pytest.mark.parametrize(
        ("spec", "problem"),
        [
            ("nope", "nope is not there"),
            ("cmdline:one", "cmdline:one is not there"),
            ("efifw", "is there 2 times"),
            ("efifw:four", "efifw:four is not there"),
            ("cmdline@7", "no profile '7'"),
            ("cmdline@nope", "no profile 'nope'"),
            ("linux@debug", "linux@debug is not there"),
            ("", "is not SECTION"),
            ("a b", "is not SECTION"),
        ],
    )
    def test_what_is_not_there_is_answered_with_what_is(self, rich, spec, problem):
        before = sorted(rich.rglob("*"))
        outcome = invoke(rich, "inspect", UKI, "--extract", spec, "-o", "x")
        assert outcome.code == 2
        assert problem in outcome.err
        assert sorted(rich.rglob("*")) == before

    def test_what_there_is_can_be_asked_for_as_it_is_listed(self, rich):
        error = refused(rich, "inspect", UKI, "--extract", "nope", "-o", "x")
        names = error.partition("there are: ")[2].strip().split(", ")
        assert ".efifw:three@2" in names
        for name in names:
            succeed(rich, "inspect", UKI, "--extract", name, "-o", "x")

    def test_an_output_is_asked_for(self, rich):
        outcome = invoke(rich, "inspect", UKI, "--extract", "cmdline")
        assert outcome.code == 2
        assert "--output" in outcome.err


def image(rich) -> bytearray:
    return bytearray((rich / UKI).read_bytes())


def pe_at(data: bytes | bytearray) -> int:
    return struct.unpack_from("<I", data, 0x3C)[0]


def set_field(offset: int, form: str, value: int):
    """Change a field of the PE headers, `offset` counting from the PE signature."""

    def change(data: bytearray) -> bytes:
        struct.pack_into(form, data, pe_at(data) + offset, value)
        return bytes(data)

    return change


MALFORMED = {
    "an empty file": lambda _: b"",
    "a text": lambda _: b"Hello, world!\n" * 100,
    "two letters": lambda _: b"MZ",
    "a DOS header alone": lambda data: bytes(data[:64]),
    "headers cut short": lambda data: bytes(data[:0x200]),
    "content cut short": lambda data: bytes(data[: len(data) // 2]),
    "a PE signature beyond the end": lambda data: bytes(data[:0x3C]) + b"\xff\xff\xff\xff" + bytes(data[0x40:]),
    "another magic": set_field(24, "<H", 0x1234),
    "no alignment": set_field(24 + 36, "<I", 0),
    "an alignment that is no power of two": set_field(24 + 32, "<I", 0x1001),
    "sections without end": set_field(6, "<H", 0xFFFF),
    "data directories without end": set_field(24 + 108, "<I", 0xFFFFFFFF),
    "headers larger than the file": set_field(24 + 60, "<I", 0x7FFFFFFF),
    "a certificate table outside": set_field(24 + 112 + 32, "<Q", 0x1000_FFFF_FFFF),
}


class TestMalformed:
    @pytest.mark.parametrize("change", MALFORMED.values(), ids=MALFORMED)
    def test_a_file_is_refused_that_is(self, rich, change):
        (rich / "bad.efi").write_bytes(change(image(rich)))
        for arguments in (["inspect", "bad.efi"], ["inspect", "--digests", "bad.efi"]):
            assert "bad.efi" in refused(rich, *arguments, code=1)

    def test_a_file_that_is_not_there_is_refused(self, workshop):
        assert "cannot open nope.efi: No such file" in refused(workshop, "inspect", "nope.efi", code=1)

    def test_a_directory_is_refused(self, workshop):
        assert "it is a directory" in refused(workshop, "inspect", ".", code=1)

    def test_a_fifo_is_refused_without_waiting(self, workshop):
        os.mkfifo(workshop / "fifo")
        assert "not a regular file" in refused(workshop, "inspect", "fifo", code=1)

    def test_sections_that_overlap_in_the_file_are_shown_but_have_no_authenticode_digest(self, rich):
        data = image(rich)
        names = [section[0] for section in sections(rich / UKI)]
        offset = pe_at(data) + 24 + struct.unpack_from("<H", data, pe_at(data) + 20)[0]
        one, other = (offset + 40 * names.index(name) for name in (".cmdline", ".osrel"))
        data[one + 16 : one + 24] = data[other + 16 : other + 24]
        data[one + 8 : one + 12] = data[other + 8 : other + 12]
        (rich / "bad.efi").write_bytes(data)
        places = {s["name"]: s["offset"] for s in inspect(rich, "bad.efi")["sections"] if s["profile"] is None}
        assert places[".cmdline"] == places[".osrel"]
        assert ".cmdline overlaps" in refused(rich, "inspect", "--digests", "bad.efi", code=1)

    def test_a_table_of_hardware_ids_that_is_broken_is_shown_as_a_flaw(self, rich):
        data = image(rich)
        offset = next(s[2] for s in sections(rich / UKI) if s[0] == ".hwids")
        data[offset] = 0xFF
        (rich / "bad.efi").write_bytes(data)
        assert inspect(rich, "bad.efi")["flaws"]
        assert "flaw: " in succeed(rich, "inspect", "bad.efi").out


MEMORY = """
import sys
from fuki_build.cli.main import run
code = run(sys.argv[1:])
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(status["VmHWM"].split()[0], file=sys.stderr)
sys.exit(code)
"""


def test_a_large_image_is_digested_and_extracted_in_constant_memory(workshop):
    """300 MB of initrd in less than 100 MB: VmHWM counts KiB."""
    os.truncate(workshop / "initrd.img", 300 * 1000**2)
    for arguments in (
        ["build"],
        ["inspect", "--digests", "--json", "acme_41.3.efi"],
        ["inspect", "acme_41.3.efi", "--extract", "initrd", "-o", "x"],
    ):
        done = subprocess.run(
            [sys.executable, "-c", MEMORY, *arguments], cwd=workshop, capture_output=True, text=True, check=True
        )
        assert int(done.stderr.splitlines()[-1]) < 100_000
    assert (workshop / "x").stat().st_size == 300 * 1000**2
