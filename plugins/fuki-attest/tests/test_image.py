"""Evidence against an image: launch measurements, registers of a TPM, ID blocks, policy."""

import hashlib
import json
import os
import subprocess
from collections.abc import Iterator
from struct import pack

import attest_makers as makers
import parts
import pytest
from attest_images import image_recipe, lay_out_parts
from cryptography.hazmat.primitives.asymmetric import ec
from fuki_build.formats.tcg import event_log
from fuki_build.testing import invoke, recipe, refused, succeed
from fuki_build.testing.launch import peer_digest
from fuki_build.testing.secure_boot import write_key

VERBS = ("--plugin", "attest", "--plugin", "coco", "attest", "verify")
AT = ("--at", "2025-06-01")
LAUNCHES = """\
[[fuki.launch]]
technology = "sev-snp"
vcpus = [2, 4]
vcpu-model = "EPYC-Milan"
policy = 0x30000

[[fuki.launch]]
technology = "tdx"
firmware = "ovmf-generic"
boot-secret = false

"""
DIRECT = """\
[[fuki.firmware]]
id = "ovmf"
source = "file"
path = "firmware.fd"
platforms = ["qemu:q35"]

[[fuki.launch]]
technology = "sev-snp"
vcpus = 4
vcpu-model = "EPYC-Milan"
direct-boot = "sections"

"""


@pytest.fixture(scope="session")
def workshop(tmp_path_factory, amd, intel):
    """A UKI with two firmware images, one of them wrapped, its recipe, and certificates to verify evidence with."""
    directory = tmp_path_factory.mktemp("image")
    lay_out_parts(directory)
    write_key(directory / "id.key", ec.generate_private_key(ec.SECP384R1()))
    output = '[[fuki.output]]\nformat = "uki"\npath = "acme.efi"\n'
    output += (
        '[[fuki.output]]\nformat = "id-block"\npath = "ids.json"\nid-key = { backend = "local", key = "id.key" }\n'
    )
    (directory / "fuki.toml").write_text(image_recipe(LAUNCHES + output, cmdline="quiet console=ttyS0"))
    succeed(directory, "build")

    roots = directory / "roots"
    roots.mkdir()
    (roots / "ark.pem").write_bytes(makers.pem(amd.ark.certificate))
    (roots / "root.pem").write_bytes(makers.pem(intel.root.certificate))
    (directory / "vcek.pem").write_bytes(makers.pem(amd.vcek, amd.ask.certificate))
    return directory


def verify(directory, *arguments, code=0):
    done = invoke(directory, *VERBS, *arguments, "--image", "acme.efi", *AT, "--json")
    assert done.code == code, done
    document = json.loads(done.out)
    return {step["claim"]: (step["verdict"], step["detail"]) for step in document["steps"]}, document["shows"]


@pytest.fixture
def snp(workshop, amd):
    def run(*arguments, code=0, **fields):
        (workshop / "report").write_bytes(amd.report(**fields))
        return verify(workshop, "report", "vcek.pem", "--roots", "roots", *arguments, code=code)

    return run


def measurement(part, vcpus, model="EPYC-Milan"):
    return bytes.fromhex(peer_digest("sev-snp", parts.get(part), "qemu", vcpus, model, 1))


@pytest.mark.parametrize("arguments", [(), ("--recipe", "fuki.toml")])
@pytest.mark.parametrize(
    ("part", "vcpus", "fwid"), [("ovmf-generic", 4, "ovmf-generic"), ("ovmf-2025", 1, "ovmf-wrapped")]
)
def test_the_firmware_that_started_is_named(snp, arguments, part, vcpus, fwid):
    """Measurements are sev-snp-measure's."""
    steps, shows = snp(*arguments, measurement=measurement(part, vcpus))
    assert steps["launch measurement"] == ("holds", "")
    assert (shows[0]["kind"], shows[0]["processor"], shows[0]["firmware"]) == ("SEV-SNP guest", "Milan", fwid)
    if fwid == "ovmf-generic":
        assert "4 vCPUs under qemu" in shows[0]["launch"]
        assert "EPYC-Milan" in shows[0]["launch"]


def test_other_firmware_does_not_hold(snp):
    steps, shows = snp(measurement=measurement("ovmf-2022", 4), code=3)
    assert steps["launch measurement"][0] == "does not hold"
    assert shows[0]["firmware"] is None


def test_a_launch_that_the_recipe_does_not_have_does_not_hold(snp):
    steps, _ = snp("--recipe", "fuki.toml", measurement=measurement("ovmf-generic", 3), code=3)
    assert steps["launch measurement"][0] == "does not hold"


def test_the_recipe_s_policy_counts(snp):
    given = {"measurement": measurement("ovmf-generic", 4), "policy": 0x2001F}
    steps, _ = snp("--recipe", "fuki.toml", code=3, **given)
    assert steps["policy"][0] == "does not hold"
    steps, _ = snp(**given)
    assert steps["policy"][0] == "not verified"


class TestResult:
    """What an attestation result claims of executables and configuration."""

    def vector(self, directory, amd, digest, recipe_file, code=0):
        (directory / "report").write_bytes(amd.report(measurement=digest))
        arguments = ("report", "vcek.pem", "--roots", "roots", "--image", "acme.efi", *AT)
        done = invoke(directory, *VERBS, *arguments, "--recipe", recipe_file, "--ear")
        assert done.code == code, done
        return json.loads(done.out)["submods"]["report"]["ear_trustworthiness_vector"]

    def test_firmware_alone_tells_nothing_of_what_it_starts(self, workshop, amd):
        vector = self.vector(workshop, amd, measurement("ovmf-generic", 4), "fuki.toml")
        assert vector == {"configuration": 2, "hardware": 2, "runtime-opaque": 2}

    def test_a_kernel_whose_hashes_are_measured_is_recognised(self, tmp_path, workshop, amd):
        for name, part in {"stub": "stub-x64", "vmlinuz": "kernel-x64", "firmware.fd": "ovmf-amdsev"}.items():
            (tmp_path / name).symlink_to(parts.get(part))
        (tmp_path / "initrd").write_bytes(parts.initrd({"init": b""}))
        for name in ("roots", "vcek.pem"):
            (tmp_path / name).symlink_to(workshop / name)
        (tmp_path / "fuki.toml").write_text(recipe(DIRECT, plugins=["coco"], cmdline="quiet", initrd="initrd"))
        succeed(tmp_path, "build", "-o", "acme.efi")

        boot = (str(parts.get("kernel-x64")), str(tmp_path / "initrd"), "quiet")
        digest = peer_digest("sev-snp", parts.get("ovmf-amdsev"), "qemu", 4, "EPYC-Milan", 1, *boot)
        assert self.vector(tmp_path, amd, bytes.fromhex(digest), "fuki.toml")["executables"] == 3

    def test_other_firmware_is_contraindicated(self, workshop, amd):
        vector = self.vector(workshop, amd, measurement("ovmf-2022", 4), "fuki.toml", code=3)
        assert vector == {"configuration": 2, "executables": 96, "hardware": 2, "runtime-opaque": 2}


class TestIds:
    def fields(self, directory):
        """What the hardware reports of a guest that was started with the build's block."""
        document = json.loads((directory / "ids.json").read_text())
        return {
            "measurement": measurement("ovmf-generic", 4),
            "id_key": bytes.fromhex(document["id-key-digest"]),
            "family_id": bytes(16),
            "image_id": bytes(16),
            "guest_svn": 0,
        }

    def test_a_guest_with_the_build_s_block_holds(self, snp, workshop):
        steps, _ = snp("--id-blocks", "ids.json", **self.fields(workshop))
        names = ("id key digest", "author key digest", "family id", "image id", "guest svn", "policy")
        assert {name: steps[name] for name in names} == dict.fromkeys(names, ("holds", ""))

    @pytest.mark.parametrize(
        ("field", "value", "claim"),
        [
            ("id_key", bytes(48), "id key digest"),
            ("author_key", b"\1" * 48, "author key digest"),
            ("family_id", b"\1" * 16, "family id"),
            ("image_id", b"\1" * 16, "image id"),
            ("guest_svn", 1, "guest svn"),
        ],
    )
    def test_a_guest_with_another_does_not(self, snp, workshop, field, value, claim):
        steps, _ = snp("--id-blocks", "ids.json", code=3, **{**self.fields(workshop), field: value})
        assert steps[claim][0] == "does not hold"

    def test_a_key_s_digest_is_the_firmware_s(self, snp, workshop):
        fields = self.fields(workshop)
        subprocess.run(
            ["openssl", "pkey", "-in", "id.key", "-pubout", "-out", "id.pub"], cwd=workshop, check=True, timeout=60
        )
        steps, _ = snp("--id-key", "id.pub", **fields)
        assert steps["id key digest"] == ("holds", "")
        steps, _ = snp("--id-key", "id.pub", code=3, **{**fields, "id_key": bytes(48)})
        assert steps["id key digest"][0] == "does not hold"

    @pytest.mark.parametrize(("data", "code"), [("11" * 32, 0), ("22" * 32, 3)])
    def test_host_data(self, snp, data, code):
        fields = {"measurement": measurement("ovmf-generic", 4), "host_data": b"\x11" * 32}
        steps, _ = snp("--host-data", data, code=code, **fields)
        assert steps["host data"][0] == ("does not hold" if code else "holds")

    def test_a_damaged_document_is_refused(self, workshop):
        (workshop / "report").write_bytes(bytes(4))
        (workshop / "other.json").write_text('{"id-key-digest": "00", "blocks": [{"id-block": "????"}]}')
        refused(workshop, *VERBS, "vcek.pem", "--image", "acme.efi", "--id-blocks", "other.json", code=1)


class TestTdx:
    def launches(self, directory):
        done = succeed(
            directory,
            "--plugin",
            "coco",
            "launch",
            "acme.efi",
            "--firmware",
            "ovmf-generic",
            "--technology",
            "tdx",
            "--no-boot-secret",
            "--json",
        )
        return json.loads(done.out)["launches"]

    @pytest.fixture
    def rows(self, workshop):
        rows = self.launches(workshop)
        return {(row["firmware"], row["register"], row["boot"]): row["digest"] for row in rows}

    def run(self, directory, intel, *arguments, code=0, **fields):
        (directory / "quote").write_bytes(intel.quote(**fields))
        return verify(directory, "quote", "--roots", "roots", *arguments, code=code)

    def test_firmware_and_profile_are_named(self, workshop, intel, rows):
        mr_td, rtmr2 = rows["ovmf-generic", "MRTD", None], rows["ovmf-generic", "RTMR2", "disk@1"]
        registers = (bytes(48), bytes(48), bytes.fromhex(rtmr2), bytes(48))
        given = {"mr_td": bytes.fromhex(mr_td), "rtmrs": registers}
        steps, shows = self.run(workshop, intel, "--recipe", "fuki.toml", **given)
        assert steps["launch measurement"] == steps["RTMR2"] == ("holds", "")
        assert steps["RTMR1"][0] == "not verified"
        assert (shows[0]["firmware"], shows[0]["profile"]) == ("ovmf-generic", 1)

    def test_another_system_on_the_same_firmware_does_not_hold(self, workshop, intel, rows):
        mr_td = bytes.fromhex(rows["ovmf-generic", "MRTD", None])
        steps, shows = self.run(workshop, intel, "--recipe", "fuki.toml", code=3, mr_td=mr_td)
        assert (steps["launch measurement"][0], steps["RTMR2"][0]) == ("holds", "does not hold")
        assert not shows[0]["profile-known"]

    def test_other_firmware_does_not_hold(self, workshop, intel):
        steps, _ = self.run(workshop, intel, code=3)
        assert steps["launch measurement"][0] == "does not hold"


def log_of(events):
    """A crypto-agile log of events (PC Client Platform Firmware Profile, 10.2), without their data."""
    numbers = {name: number for number, name in event_log.TYPES.items()}
    spec = b"Spec ID Event03\0" + pack("<IBBBBIHHB", 0, 0, 2, 0, 2, 1, 0x0B, 32, 0)
    log = pack("<II20sI", 0, 3, bytes(20), len(spec)) + spec
    for event in events:
        digest = bytes.fromhex(event["digests"]["sha256"])
        log += pack("<IIIH", event["pcr"], numbers[event["type"]], 1, 0x0B) + digest + pack("<I", 0)
    return log


class TestTpm:
    """A real quote of a software TPM that measured what the image is predicted to."""

    @pytest.fixture
    def tpm(self, tmp_path) -> Iterator[dict[str, str]]:
        state = tmp_path / "tpm"
        state.mkdir()
        socket = state / "socket"
        command = ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={state}", "--flags", "startup-clear,not-need-init"]
        command += ["--server", f"type=unixio,path={socket}", "--ctrl", f"type=unixio,path={socket}.ctrl"]

        with subprocess.Popen(command) as process:
            try:
                while not socket.exists():
                    assert process.poll() is None
                yield {**os.environ, "TPM2TOOLS_TCTI": f"swtpm:path={socket}"}
            finally:
                process.terminate()

    def tool(self, tpm, directory, *arguments):
        subprocess.run(arguments, env=tpm, cwd=directory, check=True, capture_output=True, timeout=120)
        # A TPM without a resource manager has room for three objects.
        subprocess.run(["tpm2_flushcontext", "-t"], env=tpm, check=True, timeout=120)

    def extend(self, tpm, directory, image, phases):
        """What a machine measures that selects ovmf-generic and boots the profile debug."""
        arguments = ("measure", "acme.efi", "--platform", "qemu:q35", "--profile", "debug", "--events", "--json")
        (prediction,) = json.loads(succeed(image, *arguments).out)["predictions"]
        for event in prediction["events"]:
            # The boot secret is the machine's own, so that nobody can predict the initrd's digest.
            digest = event["digests"].setdefault("sha256", hashlib.sha256(event["what"].encode()).hexdigest())
            self.tool(tpm, directory, "tpm2_pcrextend", f"{event['pcr']}:sha256={digest}")
        for phase in phases:
            digest = hashlib.sha256(phase.encode()).hexdigest()
            self.tool(tpm, directory, "tpm2_pcrextend", f"11:sha256={digest}")
        return prediction["events"]

    def quote(self, tpm, directory, selection="sha256:4,9,11,12"):
        self.tool(tpm, directory, "tpm2_createprimary", "-C", "o", "-c", "primary.ctx")
        attributes = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|restricted|sign"
        create = ("tpm2_create", "-C", "primary.ctx", "-G", "rsa2048:rsassa:null", "-a", attributes)
        self.tool(tpm, directory, *create, "-u", "ak.pub", "-r", "ak.priv", "-c", "ak.ctx")
        quote = ("tpm2_quote", "-c", "ak.ctx", "-l", selection, "-q", "00112233", "-m", "message", "-s", "signature")
        self.tool(tpm, directory, *quote)
        values = subprocess.run(
            ["tpm2_pcrread", selection], env=tpm, check=True, capture_output=True, text=True, timeout=120
        )
        (directory / "registers").write_text(values.stdout)
        return [directory / name for name in ("message", "signature", "ak.pub", "registers")]

    @pytest.mark.parametrize("phases", [(), ("enter-initrd", "leave-initrd")])
    def test_profile_firmware_and_phase_are_named(self, tmp_path, tpm, workshop, phases):
        self.extend(tpm, tmp_path, workshop, phases)
        files = self.quote(tpm, tmp_path)
        arguments = (*files, "--trusted-key", tmp_path / "ak.pub", "--nonce", "00112233", "--machine", "qemu:q35")
        steps, shows = verify(workshop, *arguments)
        assert steps["signature"] == steps["attestation key"] == steps["it answers the challenge"] == ("holds", "")
        assert steps["PCR 11 (sha256)"] == ("holds", "")
        assert (shows[0]["firmware"], shows[0]["profile"]) == ("ovmf-generic", 1)
        assert shows[0]["phase"] == ":".join(phases)

    def test_a_log_that_has_the_quote_s_registers_is_enough(self, tmp_path, tpm, workshop):
        events = self.extend(tpm, tmp_path, workshop, ())
        message, signature, key, _ = self.quote(tpm, tmp_path)
        (tmp_path / "log").write_bytes(log_of(events))
        files = (message, signature, key, tmp_path / "log", "--trusted-key", key)
        steps, shows = verify(workshop, *files)
        assert steps["registers of the quote"] == steps["events in the image's registers"] == ("holds", "")
        assert (shows[0]["firmware"], shows[0]["profile"], shows[0]["phase"]) == ("ovmf-generic", 1, "")

        (tmp_path / "log").write_bytes(log_of(events[:-1]))
        steps, _ = verify(workshop, *files, code=3)
        assert steps["registers of the quote"][0] == "does not hold"
        assert "did not come" in steps["events in the image's registers"][1]

    def test_another_image_s_registers_do_not_hold(self, tmp_path, tpm, workshop):
        self.tool(tpm, tmp_path, "tpm2_pcrextend", f"11:sha256={'00' * 32}")
        files = self.quote(tpm, tmp_path)
        steps, shows = verify(workshop, *files, "--trusted-key", tmp_path / "ak.pub", code=3)
        assert steps["PCR 11 (sha256)"][0] == "does not hold"
        assert shows[0]["firmware"] is None

    def test_values_that_the_quote_is_not_over_do_not_count(self, tmp_path, tpm, workshop):
        self.extend(tpm, tmp_path, workshop, ())
        files = self.quote(tpm, tmp_path)
        self.tool(tpm, tmp_path, "tpm2_pcrextend", f"11:sha256={'00' * 32}")
        text = subprocess.run(
            ["tpm2_pcrread", "sha256:4,9,11,12"], env=tpm, check=True, capture_output=True, timeout=60
        )
        (tmp_path / "registers").write_bytes(text.stdout)
        steps, _ = verify(workshop, *files, "--trusted-key", tmp_path / "ak.pub", code=3)
        assert steps["registers of the quote"][0] == "does not hold"
        assert steps["registers of the image"][0] == "not verified"


def test_without_a_model_an_image_s_launches_cannot_be_told(workshop, amd):
    (workshop / "report").write_bytes(amd.report())
    error = refused(workshop, "--plugin", "attest", "attest", "verify", "report", "--image", "acme.efi", code=2)
    assert "--plugin coco" in error
