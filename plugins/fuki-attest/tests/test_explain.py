"""Why evidence has other measurements: launches are sev-snp-measure's, PCR 11 is systemd-measure's."""

import json
import os
import subprocess
from hashlib import sha256
from pathlib import Path

import attest_makers as makers
import parts
import pefile
import pytest
from attest_images import image_recipe, lay_out_parts
from fuki_build.formats.tcg import event_log, pcr_text
from fuki_build.testing import invoke, recipe, refused, succeed
from fuki_build.testing.documents import complaints
from fuki_build.testing.launch import peer_digest

LOGS = Path(__file__).parents[3] / "tests" / "data" / "event-logs"
VERBS = ("--plugin", "attest", "--plugin", "coco", "attest", "explain")
LAUNCHES = """\
[[fuki.launch]]
technology = "sev-snp"
firmware = "ovmf-generic"
vcpus = 2
vcpu-model = "EPYC-Milan"

[[fuki.addon]]
name = "more"
cmdline = "from=addon"

"""
LINES = {"acme.efi": "quiet console=ttyS0", "other.efi": "ro console=ttyS0"}


@pytest.fixture(scope="module")
def bench(tmp_path_factory) -> Path:
    """Two images that differ in initrd and command line, with their recipe."""
    directory = tmp_path_factory.mktemp("explain")
    lay_out_parts(directory)
    for image, line in LINES.items():
        (directory / f"initrd-{image}").write_bytes(parts.initrd({"etc/initrd-release": image.encode()}))
        text = image_recipe(LAUNCHES, cmdline=line, initrd=f"initrd-{image}")
        (directory / f"{image}.toml").write_text(text)
        succeed(directory, "build", f"{image}.toml", "-o", image)
    return directory


def explain(directory: Path, *arguments: object, code: int = 0) -> dict:
    done = invoke(directory, *VERBS, *arguments, "--json")
    assert done.code == code, done
    document = json.loads(done.out)
    assert complaints(document, "attest explain", "attest") == []
    return document


class TestLaunches:
    @pytest.fixture
    def snp(self, bench, amd):
        def run(digest: str, *arguments: object, code: int = 0, **fields) -> dict:
            (bench / "report").write_bytes(amd.report(measurement=bytes.fromhex(digest), **fields))
            return explain(bench, "report", *arguments, code=code)

        return run

    def test_a_launch_is_found_among_all(self, snp):
        digest = peer_digest("sev-snp", parts.get("ovmf-generic"), "qemu", 333, "EPYC-Genoa", 0x221)
        (launch,) = snp(digest, "--image", "acme.efi")["launches"]
        (found,) = launch["search"]["found"]
        told = (found["firmware"], found["vmm"], found["vcpus"], found["cpu-model"], found["guest-features"])
        assert told == ("ovmf-generic", "qemu", 333, "EPYC-Genoa", 0x221)
        assert found["boot"] is None

    @pytest.mark.parametrize(
        ("launch", "change"),
        [
            (("qemu", 3, "EPYC-Milan", 1), "vCPUs 3 instead of 2"),
            (("qemu", 2, "EPYC-Rome", 1), "vCPU model EPYC-Rome instead of EPYC-Milan"),
            (("qemu", 2, "EPYC-Milan", 0x21), "guest features 0x21 instead of 0x1"),
            (("gce", 2, None, 1), "hypervisor gce instead of qemu"),
        ],
    )
    def test_a_launch_that_differs_from_the_recipe_s_in_one_input(self, snp, launch, change: str):
        digest = peer_digest("sev-snp", parts.get("ovmf-generic"), *launch)
        (document,) = snp(digest, "--image", "acme.efi", "--recipe", "acme.efi.toml", code=3)["launches"]
        assert document["search"]["found"] == []
        (near,) = document["search"]["near"]
        first, *rest = near["change"].split("; ")
        assert first == change
        # The page in which they first differ is told, too.
        assert len(rest) == 1
        assert "the same up to step" in rest[0]

    def test_a_page_is_the_first_in_which_other_registers_stand(self, snp):
        """4 MiB of firmware are 1024 pages, its metadata 50; so the second vCPU is the page 1075, counted from 0."""
        digest = peer_digest("sev-snp", parts.get("ovmf-generic"), "qemu", 1, "EPYC-Milan", 1)
        (document,) = snp(digest, "--image", "acme.efi", "--recipe", "acme.efi.toml", code=3)["launches"]
        (near,) = document["search"]["near"]
        assert "where vCPU 1: VMSA at 0xfffffffff000 is expected, and was measured nothing more" in near["change"]

    def test_the_recipe_s_own_launch_is_as_asked_for(self, snp):
        digest = peer_digest("sev-snp", parts.get("ovmf-generic"), "qemu", 2, "EPYC-Milan", 1)
        (document,) = snp(digest, "--image", "acme.efi", "--recipe", "acme.efi.toml")["launches"]
        assert [row["vcpus"] for row in document["search"]["found"]] == [2]

    def test_other_firmware_of_the_image_is_named(self, snp):
        digest = peer_digest("sev-snp", parts.get("ovmf-2025"), "qemu", 1, "EPYC-Milan", 1)
        (document,) = snp(digest, "--image", "acme.efi", "--recipe", "acme.efi.toml", code=3)["launches"]
        changes = {row["change"] for row in document["search"]["near"] if row["form"] == "as it is"}
        assert any("firmware ovmf-wrapped instead of ovmf-generic" in change for change in changes)

    def test_firmware_may_be_given_and_may_have_been_taken_out_of_its_file(self, snp):
        digest = peer_digest("sev-snp", parts.get("ovmf-2022"), "ec2", 8, None, 1)
        firmware = ("--firmware", parts.get("ovmf-2022"))
        (found,) = snp(digest, "--image", "acme.efi", *firmware)["launches"][0]["search"]["found"]
        assert (found["firmware"], found["vcpus"], found["form"]) == ("OVMF.fd", 8, "as it is")

        digest = peer_digest("sev-snp", parts.get("ovmf-2025"), "qemu", 9, "EPYC-Turin", 1)
        (found,) = snp(digest, "--image", "acme.efi")["launches"][0]["search"]["found"]
        assert (found["firmware"], found["form"]) == ("ovmf-wrapped", "taken out of its IGVM file")

    @pytest.mark.parametrize(
        ("kernel", "initrd", "cmdline", "boot"),
        [
            ("vmlinuz", "initrd-acme.efi", LINES["acme.efi"], "acme.efi@0"),
            ("vmlinuz", "initrd-acme.efi", "debug console=ttyS0", "acme.efi@1"),
            ("acme.efi", "", "", "acme.efi as the kernel"),
            ("vmlinuz", "initrd-other.efi", LINES["acme.efi"], "initrd of other.efi@0, command line of acme.efi@0"),
            ("vmlinuz", "", LINES["other.efi"], "initrd of none, command line of other.efi@0"),
            ("vmlinuz", "initrd-acme.efi", "", "command line of none"),
            ("vmlinuz", "initrd-acme.efi", LINES["acme.efi"] + "\n", "acme.efi@0 with the end of a line"),
            ("vmlinuz", "initrd-acme.efi", "single", "command line of 'single'"),
        ],
    )
    def test_what_was_booted_directly_is_found(self, bench, snp, kernel, initrd, cmdline, boot):
        files = (str(bench / kernel), str(bench / initrd) if initrd else "", cmdline)
        digest = peer_digest("sev-snp", parts.get("ovmf-generic"), "qemu", 4, "EPYC-Milan", 1, *files)
        images = ("--image", "acme.efi", "--image", "other.efi", "--cmdline", "single")
        (found,) = snp(digest, *images)["launches"][0]["search"]["found"]
        assert found["boot"].endswith(boot)

    def test_what_no_launch_has_is_told_with_what_was_tried(self, bench, snp):
        document = snp("ab" * 48, "--image", "acme.efi", code=3)
        search = document["launches"][0]["search"]
        assert (search["found"], search["near"]) == ([], [])
        assert search["space"]["vcpus"] == "1-512"
        assert {one["technology"] for one in search["tried"]} == {"sev-snp"}
        told = invoke(bench, *VERBS, "report", "--image", "acme.efi")
        assert "a digest alone cannot tell" in told.out
        assert told.code == 3
        assert "report: the launch digest" in told.err

    def test_a_report_of_a_higher_level_asks_for_the_svsm(self, snp):
        notes = snp("ab" * 48, "--image", "acme.efi", code=3, vmpl=2)["notes"]
        assert any("VMPL 2" in note and "--svsm" in note for note in notes)

    def test_what_a_paravisor_measured_is_not_searched(self, bench, made):
        document = explain(bench, *made["paravisor"].files, "--image", "acme.efi", code=3)
        assert document["launches"] == []
        assert any("paravisor" in note for note in document["notes"])


class TestTdx:
    """Values are those that `fuki launch` tells, which fuki-coco's tests hold against Intel's specification."""

    @pytest.fixture
    def rows(self, bench) -> dict[tuple[str, str | None], str]:
        arguments = ("launch", "acme.efi", "--firmware", "ovmf-generic", "--technology", "tdx", "--no-boot-secret")
        done = succeed(bench, "--plugin", "coco", *arguments, "--console", "", "--json")
        return {(row["register"], row["boot"]): row["digest"] for row in json.loads(done.out)["launches"]}

    def run(self, bench, intel, *arguments: object, code: int = 0, **fields) -> dict:
        (bench / "quote").write_bytes(intel.quote(**fields))
        return explain(bench, "quote", "--image", "acme.efi", *arguments, code=code)

    def test_firmware_and_profile_are_found(self, bench, intel, rows):
        registers = (bytes(48), bytes(48), bytes.fromhex(rows["RTMR2", "disk@1"]), bytes(48))
        document = self.run(bench, intel, mr_td=bytes.fromhex(rows["MRTD", None]), rtmrs=registers)
        (launch,) = document["launches"]
        assert {row["firmware"] for row in launch["search"]["found"]} == {"ovmf-generic"}
        (register,) = document["registers"]
        assert register["search"]["name"] == "RTMR2"
        (match,) = register["search"]["matches"]
        assert (match["changes"], match["phase"]) == ([], None)
        assert match["case"].startswith("acme.efi, profile 1 (debug), firmware ovmf-generic")

    def test_registers_are_explained_of_images_without_firmware(self, bench, intel, rows):
        succeed(
            bench,
            "edit",
            "acme.efi",
            "--remove",
            ".efifw:ovmf-generic",
            "--remove",
            ".efifw:ovmf-wrapped",
            "-o",
            "bare.efi",
        )
        arguments = (
            "measure",
            "bare.efi",
            "--rtmr",
            "--profile",
            "debug",
            "--no-boot-secret",
            "--console",
            "",
            "--json",
        )
        (case,) = json.loads(succeed(bench, *arguments).out)["predictions"]
        rtmr2 = next(register["value"] for register in case["rtmrs"] if register["name"] == "RTMR2")
        registers = (bytes(48), bytes(48), bytes.fromhex(rtmr2), bytes(48))
        (bench / "quote").write_bytes(intel.quote(mr_td=bytes.fromhex(rows["MRTD", None]), rtmrs=registers))
        document = explain(bench, "quote", "--image", "bare.efi", code=3)
        assert document["launches"][0]["search"]["tried"] == []
        assert "there is no firmware" in document["launches"][0]["search"]["notes"][0]
        (register,) = document["registers"]
        assert [match["changes"] for match in register["search"]["matches"]] == [[]]
        assert "no launch was tried" in invoke(bench, *VERBS, "quote", "--image", "bare.efi").out

    def test_a_partition_table_that_is_not_known_is_what_it_takes(self, bench, intel, rows):
        registers = (bytes(48), b"\1" * 48, bytes(48), bytes(48))
        document = self.run(bench, intel, code=3, mr_td=bytes.fromhex(rows["MRTD", None]), rtmrs=registers)
        (register,) = document["registers"]
        assert register["search"]["matches"] == []
        assert "partition table" in register["search"]["note"]


def measured_sections(directory: Path, *phases: str, **sections: str) -> str:
    """PCR 11 as systemd-measure computes it: what acme.efi has, with other files in the place of some sections."""
    program = parts.get("systemd-measure")
    libraries = program.parents[1] / "x86_64-linux-gnu"
    environment = {**os.environ, "LD_LIBRARY_PATH": f"{libraries}:{libraries}/systemd"}
    options = []
    for name in ("linux", "initrd", "cmdline", "osrel", "uname", "sbat"):
        succeed(directory, "inspect", "acme.efi", "--extract", f".{name}", "-o", f"part-{name}")
        options.append(f"--{name}={sections.get(name, f'part-{name}')}")
    command: list[str | Path] = [
        program,
        "calculate",
        *options,
        "--bank=sha256",
        "--json=short",
        f"--phase={':'.join(phases) or ':'}",
    ]
    done = subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    return json.loads(done.stdout)["sha256"][0]["hash"]


def extended(*digests: bytes) -> str:
    """A register after these digests (TPM 2.0 Library, part 1, 17.2)."""
    value = bytes(32)
    for digest in digests:
        value = sha256(value + digest).digest()
    return value.hex()


def options_digest(text: str) -> bytes:
    """Of a command line as the stub measures it into PCR 12: UTF-16, with its NUL."""
    return sha256(text.encode("utf-16-le") + b"\0\0").digest()


class TestRegisters:
    @pytest.fixture
    def single(self, bench) -> Path:
        """Images without profiles and firmware, whose sections systemd-measure is given."""
        directory = bench / "single"
        if not directory.exists():
            directory.mkdir()
            for name in ("stub", "vmlinuz", *(f"initrd-{image}" for image in LINES)):
                (directory / name).symlink_to((bench / name).resolve())
            for image, line in LINES.items():
                text = recipe(
                    '[[fuki.addon]]\nname = "more"\ncmdline = "from=addon"\n', cmdline=line, initrd=f"initrd-{image}"
                )
                (directory / f"{image}.toml").write_text(text)
                succeed(directory, "build", f"{image}.toml", "-o", image)
        return directory

    def run(self, directory: Path, values: dict[int, str], *arguments: object, code: int = 0) -> list[dict]:
        (directory / "values").write_text("".join(f"sha256:{pcr}={value}\n" for pcr, value in values.items()))
        document = explain(directory, "values", "--image", "acme.efi", *arguments, code=code)
        return [register["search"] for register in document["registers"]]

    @pytest.mark.parametrize("phases", [(), ("enter-initrd", "leave-initrd"), ("leave-initrd", "sysinit")])
    def test_phases_are_found_also_with_some_left_out(self, single, phases):
        (search,) = self.run(single, {11: measured_sections(single, *phases)})
        assert [match["phase"] for match in search["matches"]] == [":".join(phases) or None]

    def test_the_image_is_found_among_several(self, single):
        (single / "line").write_text(LINES["other.efi"])
        value = measured_sections(single, initrd="initrd-other.efi", cmdline="line")
        (search,) = self.run(single, {11: value}, "--image", "other.efi")
        assert [match["case"] for match in search["matches"]] == ["other.efi"]

    def test_a_section_of_another_image_is_told(self, single):
        value = measured_sections(single, "enter-initrd", initrd="initrd-other.efi")
        (search,) = self.run(single, {11: value}, "--image", "other.efi", code=3)
        texts = {(match["case"], *match["changes"], match["phase"]) for match in search["matches"]}
        exchanged = "with section {0} of {1} in place of section {0} of {2}"
        assert texts == {
            ("acme.efi", exchanged.format(".initrd", "other.efi", "acme.efi"), "enter-initrd"),
            ("other.efi", exchanged.format(".cmdline", "acme.efi", "other.efi"), "enter-initrd"),
        }

    def test_a_section_that_was_not_measured_is_told(self, single):
        digests = []
        for name in ("linux", "osrel", "cmdline", "uname", "sbat"):
            succeed(single, "inspect", "acme.efi", "--extract", f".{name}", "-o", f"part-{name}")
            digests += [sha256(f".{name}\0".encode()).digest(), sha256((single / f"part-{name}").read_bytes()).digest()]
        (search,) = self.run(single, {11: extended(*digests)}, code=3)
        assert [match["changes"] for match in search["matches"]] == [["without section .initrd of acme.efi"]]

    def test_what_a_loader_passed_is_found_in_register_12(self, single):
        (search,) = self.run(single, {12: extended(options_digest("single"))}, "--cmdline", "single", "--cmdline", "ro")
        # The stub measures both alike.
        case = search["matches"][0]["case"]
        assert "acme.efi, with the options 'single' from the boot loader" in case
        assert "acme.efi, with the options 'single' from SMBIOS" in case

    def test_an_addon_is_found_to_be_missing(self, single):
        addon = ("--addon", single / "acme.efi.extra.d/more.addon.efi")
        (search,) = self.run(single, {12: extended(options_digest("from=addon"))}, *addon)
        assert [match["case"] for match in search["matches"]] == ["acme.efi"]
        (search,) = self.run(single, {12: "00" * 32}, *addon)
        assert [match["case"] for match in search["matches"]] == ["acme.efi, without more.addon.efi"]

    def test_a_loader_is_found_to_be_missing_in_register_4(self, single):
        loader = parts.get("stub-257-x64")
        calling, separator = b"Calling EFI Application from Boot Option", bytes(4)
        image, program = (authenticode(path) for path in (single / "acme.efi", loader))
        start = [sha256(calling).digest(), sha256(separator).digest()]
        (search,) = self.run(single, {4: extended(*start, program, image)}, "--loader", loader)
        assert [match["case"] for match in search["matches"]] == ["acme.efi"]
        (search,) = self.run(single, {4: extended(*start, image)}, "--loader", loader)
        assert [match["case"] for match in search["matches"]] == [f"acme.efi, without {loader.name} before it"]
        (search,) = self.run(single, {4: extended(image, *start)})
        assert [match["case"] for match in search["matches"]] == ["acme.efi, handed over by the hypervisor"]

    def test_the_initrd_of_another_image_is_found_in_register_9(self, single):
        """Of the kernel: its options, and the initrd as the stub joins it, which `fuki measure` tells of each image."""
        values = {}
        for image in LINES:
            arguments = ("measure", image, "--no-boot-secret", "--console", "", "--events", "--json")
            (case,) = json.loads(succeed(single, *arguments).out)["predictions"]
            values[image] = [event["digests"]["sha256"] for event in case["events"] if event["pcr"] == 9]
        mixed = extended(bytes.fromhex(values["acme.efi"][0]), bytes.fromhex(values["other.efi"][1]))
        (search,) = self.run(single, {9: mixed}, "--image", "other.efi", "--no-boot-secret", "--console", "", code=3)
        changes = [change for match in search["matches"] for change in match["changes"]]
        assert any("initrd" in change and "of other.efi" in change for change in changes)

    def test_a_register_is_held_against_a_log_first(self, single):
        """The log is of a guest that booted another image; its register has an event less, and a phase more."""
        directory = Path(__file__).parents[3] / "tests/data/event-logs"
        digests = [
            event.digests["sha256"]
            for event in event_log.decode((directory / "disk-262.log").read_bytes()).events
            if event.extends and event.register == 11
        ]
        value = extended(*digests[:2], *digests[4:], sha256(b"enter-initrd").digest())
        (single / "values").write_text(f"sha256:11={value}\n")
        files = ("values", directory / "disk-262.log", "--image", "acme.efi")
        document = explain(single, *files, code=3)
        by_log, by_image = document["registers"]
        (match,) = by_log["search"]["matches"]
        assert (by_log["log"], match["case"], match["phase"]) == ("disk-262.log", "the log", "enter-initrd")
        assert match["changes"] == ["without section .osrel"]
        assert (by_image["log"], by_image["search"]["matches"]) == (None, [])
        told = invoke(single, *VERBS, *files).out
        assert "by disk-262.log: PCR 11 (sha256) is that of the log, without section .osrel" in told
        assert "an event log of the machine does" not in told

    def test_register_7_is_explained_where_variables_are_named(self, bench):
        """Of a real machine: tests/data/event-logs."""
        value = pcr_text.decode((LOGS / "secure-boot-on.pcrs").read_text())["sha256", 7].hex()
        (bench / "registers-7").write_text(f"sha256:7={value}\n")
        lists = [f"--variable={name}={LOGS / name}.esl" for name in ("PK", "KEK", "db", "dbx")]
        (register,) = explain(bench, "registers-7", "--image", "acme.efi", *lists)["registers"]
        (match,) = register["search"]["matches"]
        assert register["search"]["name"] == "PCR 7"
        assert "Secure Boot on" in match["case"]
        assert "of db vouches" in match["case"]

        (register,) = explain(bench, "registers-7", "--image", "acme.efi", *lists[:3], code=3)["registers"]
        assert register["search"]["matches"] == []

    def test_a_log_tells_which_variable_is_another(self, bench):
        lists = [f"--variable={name}={LOGS / name}.esl" for name in ("PK", "KEK", "db")]
        options = (*lists, "--secure-boot", "on")
        (log,) = explain(bench, LOGS / "secure-boot-on.log", "--image", "acme.efi", *options, code=3)["logs"]
        told = [reason["text"] for reason in log["reasons"] if reason["name"] == "PCR 7"]
        assert told == ["dbx has 1 entry more than expected: revocations were added"]

    def test_a_value_that_nothing_gives_says_what_it_takes(self, single):
        (search,) = self.run(single, {11: "11" * 32}, code=3)
        assert (search["matches"], search["complete"]) == ([], True)
        told = invoke(single, *VERBS, "values", "--image", "acme.efi").out
        assert "an event log of the machine does" in told


def authenticode(path: Path) -> bytes:
    """The SHA-256 of a program as firmware measures it (Microsoft's specification), by pefile's offsets."""
    data = path.read_bytes()
    image = pefile.PE(data=data, fast_load=True)
    checksum = image.OPTIONAL_HEADER.get_field_absolute_offset("CheckSum")
    certificates = image.OPTIONAL_HEADER.DATA_DIRECTORY[4].get_file_offset()
    covered = data[:checksum] + data[checksum + 4 : certificates] + data[certificates + 8 :]
    return sha256(covered + bytes(-len(data) % 8)).digest()


@pytest.mark.parametrize(
    ("code", "message", "arguments"),
    [
        (1, "cannot open", ["--image", "nowhere"]),
        (2, "variables-size", ["--image", "acme.efi", "--svsm", "stub"]),
        (1, "cannot open", ["--image", "acme.efi", "--firmware", "nowhere"]),
    ],
)
def test_a_mistake_is_one_clear_error(bench, amd, code: int, message: str, arguments: list[str]):
    (bench / "report").write_bytes(amd.report())
    assert message in refused(bench, *VERBS, "report", *arguments, code=code)


def test_without_a_plugin_for_launches_the_error_names_one(bench, amd):
    (bench / "report").write_bytes(amd.report())
    told = refused(bench, "--plugin", "attest", "attest", "explain", "report", "--image", "acme.efi")
    assert "--plugin coco" in told


def test_evidence_in_which_nothing_is_measured_is_no_success(bench, amd):
    (bench / "vcek.der").write_bytes(makers.der(amd.vcek))
    done = invoke(bench, *VERBS, "vcek.der", "--image", "acme.efi")
    assert done.code == 3
    assert "nothing was measured" in done.out
