"""Images signed while they are built: what others think of them, and that nothing else changed."""

import hashlib
import json
import subprocess
from pathlib import Path

import pefile
import pytest

from fuki_build.testing import refused, secure_boot, succeed
from tests.conftest import RECIPE
from tests.signing.conftest import SIGN, VERIFIERS
from tests.support.workshop import IMAGE, workshop_recipe


def build(directory: Path, recipe: str, *arguments: object) -> Path:
    (directory / "fuki.toml").write_text(recipe)
    succeed(directory, "build", *arguments)
    return directory / IMAGE


def certificate_table(image: Path) -> tuple[int, int]:
    """Its place, as pefile reads it."""
    with pefile.PE(str(image), fast_load=True) as pe:
        entry = pe.OPTIONAL_HEADER.DATA_DIRECTORY[4]
        return entry.VirtualAddress, entry.Size


@pytest.mark.parametrize("program", VERIFIERS)
def test_others_verify_a_signed_image(keyed, verifies, program):
    image = build(keyed, RECIPE + SIGN)
    assert verifies(program, image, keyed / "ca.crt")
    assert not verifies(program, image, keyed / "other.crt")


def test_a_signature_is_the_only_difference_to_the_unsigned_image(keyed):
    signed = build(keyed, RECIPE + SIGN).read_bytes()
    build(keyed, RECIPE, "-o", "unsigned.efi")
    unsigned = (keyed / "unsigned.efi").read_bytes()
    start, size = certificate_table(keyed / IMAGE)
    assert (start, start + size) == (len(unsigned), len(signed))
    changed = [at for at in range(4096) if signed[at] != unsigned[at]]
    with pefile.PE(data=unsigned[:8192], fast_load=True) as pe:
        directory = pe.OPTIONAL_HEADER.DATA_DIRECTORY[4].get_file_offset()
    assert set(changed) <= set(range(directory, directory + 8))
    assert signed[4096:start] == unsigned[4096:]


def test_unsigned_leaves_all_signatures_out(keyed):
    addon = '[[fuki.addon]]\nname = "a"\ncmdline = "x"\n'
    image = build(keyed, RECIPE + SIGN + addon, "--unsigned")
    assert certificate_table(image) == (0, 0)
    assert certificate_table(keyed / f"{IMAGE}.extra.d/a.addon.efi") == (0, 0)


@pytest.mark.parametrize("program", VERIFIERS)
def test_addons_are_signed_too(keyed, verifies, program):
    build(keyed, RECIPE + SIGN + '[[fuki.addon]]\nname = "a"\ncmdline = "x"\n')
    assert verifies(program, keyed / f"{IMAGE}.extra.d/a.addon.efi", keyed / "ca.crt")


@pytest.mark.parametrize("kind", ["rsa2048", "rsa3072", "rsa4096"])
@pytest.mark.parametrize("program", VERIFIERS)
def test_rsa_keys_of_all_usual_sizes_sign(keyed, verifies, kind, program):
    identity = secure_boot.make_identity("self", kind)
    secure_boot.write_key(keyed / "db.key", identity.key)
    secure_boot.write_certificates(keyed / "db.crt", identity.certificate)
    assert verifies(program, build(keyed, RECIPE + SIGN), keyed / "db.crt")


@pytest.mark.parametrize("kind", ["p256", "p384"])
def test_elliptic_curve_keys_sign_with_a_warning(keyed, verifies, kind):
    identity = secure_boot.make_identity("self", kind)
    secure_boot.write_key(keyed / "db.key", identity.key)
    secure_boot.write_certificates(keyed / "db.crt", identity.certificate)
    (keyed / "fuki.toml").write_text(RECIPE + SIGN)
    assert "warning: fuki.sign: most firmware does not verify ECDSA" in succeed(keyed, "build").err
    for program in ("osslsigncode", "fuki"):
        assert verifies(program, keyed / IMAGE, keyed / "db.crt")


@pytest.mark.parametrize(("algorithm", "name"), [("sha384", "SHA-384"), ("sha512", "SHA-512")])
def test_other_digests_sign_with_a_warning(keyed, verifies, algorithm, name):
    (keyed / "fuki.toml").write_text(RECIPE + SIGN + f'digest = "{algorithm}"\n')
    assert f"warning: fuki.sign: firmware may not know signatures over {name}" in succeed(keyed, "build").err
    for program in ("osslsigncode", "fuki"):
        assert verifies(program, keyed / IMAGE, keyed / "ca.crt")


def test_a_warning_about_a_signature_can_be_silenced(keyed):
    silent = workshop_recipe(silence=["signature-unusual"])
    (keyed / "fuki.toml").write_text(silent + SIGN + 'digest = "sha384"\n')
    assert "signature-unusual" not in succeed(keyed, "build").err


def test_two_signings_give_the_same_bytes(keyed):
    first = build(keyed, RECIPE + SIGN).read_bytes()
    assert build(keyed, RECIPE + SIGN).read_bytes() == first


def test_a_signing_time_is_that_of_the_environment(keyed, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    image = build(keyed, RECIPE + SIGN + "signing-time = true\n")
    report = json.loads(succeed(keyed, "verify", IMAGE, "--json").out)
    assert report["image"]["signatures"][0]["signing-time"] == "2023-11-14T22:13:20Z"
    shown = subprocess.run(["osslsigncode", "verify", "-in", image], capture_output=True, text=True, check=False).stdout
    assert "Nov 14 22:13:20 2023" in shown


def test_a_signing_time_without_a_clock_to_take_it_from_is_refused(keyed, monkeypatch):
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    (keyed / "fuki.toml").write_text(RECIPE + SIGN + "signing-time = true\n")
    assert "fuki.sign.signing-time" in refused(keyed, "build", code=4)


def test_several_signers_each_add_a_signature(keyed, verifies):
    both = SIGN.replace("[fuki.sign]", "[[fuki.sign]]")
    image = build(keyed, RECIPE + both + both.replace("db.", "other."))
    for certificate in ("db.crt", "other.crt"):
        assert verifies("sbverify", image, keyed / certificate)
        assert verifies("fuki", image, keyed / certificate)
    shown = subprocess.run(["sbverify", "--list", image], capture_output=True, text=True, check=True).stdout
    assert shown.count("image signature issuers") == 2


def test_an_output_can_have_signers_of_its_own_or_none(keyed, verifies):
    outputs = """
[[fuki.output]]
format = "uki"
path = "signed.efi"
[[fuki.output]]
format = "uki"
path = "unsigned.efi"
sign = false
[[fuki.output]]
format = "uki"
path = "other.efi"
sign = { backend = "local", key = "other.key", certificate = "other.crt" }
"""

    build(keyed, RECIPE + SIGN + outputs)
    assert verifies("sbverify", keyed / "signed.efi", keyed / "db.crt")
    assert certificate_table(keyed / "unsigned.efi") == (0, 0)
    assert verifies("sbverify", keyed / "other.efi", keyed / "other.crt")
    assert not verifies("sbverify", keyed / "other.efi", keyed / "db.crt")


def test_intermediate_certificates_are_part_of_the_signature(keyed, keys, verifies):
    intermediate = secure_boot.make_identity("Acme intermediate", issuer=keys.authority, authority=True)
    leaf = secure_boot.make_identity("Acme leaf", issuer=intermediate)
    secure_boot.write_key(keyed / "db.key", leaf.key)
    secure_boot.write_certificates(keyed / "db.crt", leaf.certificate)
    assert not verifies("osslsigncode", build(keyed, RECIPE + SIGN), keyed / "ca.crt")
    assert not verifies("fuki", keyed / IMAGE, keyed / "ca.crt")
    secure_boot.write_certificates(keyed / "mid.crt", intermediate.certificate)
    image = build(keyed, RECIPE + SIGN + 'intermediates = ["mid.crt"]\n')
    assert verifies("osslsigncode", image, keyed / "ca.crt")
    assert verifies("fuki", image, keyed / "ca.crt")


def test_key_and_certificates_can_come_in_one_pkcs12_file(keyed, keys, verifies):
    secure_boot.write_pkcs12(keyed / "db.p12", keys.signer, keys.authority.certificate, passphrase="sesame")  # noqa: S106
    (keyed / "sesame").write_text("sesame\n")
    image = build(keyed, RECIPE + '[fuki.sign]\nbackend = "local"\nkey = "db.p12"\npassphrase = "file:sesame"\n')
    for program in VERIFIERS:
        assert verifies(program, image, keyed / "ca.crt")


class TestKernels:
    KERNEL = SIGN + "sign-kernel = true\n"

    @pytest.fixture
    def unsigned_kernel(self, keyed):
        """Debian's, without its signature."""
        signed = (keyed / "vmlinuz").read_bytes()
        (keyed / "vmlinuz").unlink()
        (keyed / "vmlinuz").write_bytes(signed)
        subprocess.run(["sbattach", "--remove", keyed / "vmlinuz"], check=True, capture_output=True)
        return keyed / "vmlinuz"

    def extracted(self, directory: Path, section: str = ".linux") -> Path:
        succeed(directory, "inspect", IMAGE, "--extract", section, "-o", "kernel.efi")
        return directory / "kernel.efi"

    @pytest.mark.parametrize("kind", ["rsa2048", "p384"])
    def test_an_unsigned_kernel_is_signed(self, keyed, unsigned_kernel, verifies, kind):
        identity = secure_boot.make_identity("self", kind)
        secure_boot.write_key(keyed / "db.key", identity.key)
        secure_boot.write_certificates(keyed / "db.crt", identity.certificate)
        build(keyed, RECIPE + self.KERNEL)
        kernel = self.extracted(keyed)
        for program in ("osslsigncode", "fuki"):
            assert verifies(program, kernel, keyed / "db.crt")
            assert verifies(program, keyed / IMAGE, keyed / "db.crt")
        assert kernel.read_bytes()[4096:].startswith(unsigned_kernel.read_bytes()[4096:])

    def test_a_signed_kernel_stays_as_it_is(self, keyed):
        build(keyed, RECIPE + self.KERNEL)
        assert self.extracted(keyed).read_bytes() == (keyed / "vmlinuz").read_bytes()

    @pytest.mark.usefixtures("unsigned_kernel")
    def test_the_kernel_of_a_profile_is_signed(self, keyed, verifies):
        build(keyed, RECIPE + self.KERNEL + '[[fuki.profile]]\nid = "b"\nlinux = "vmlinuz"\n')
        for section in (".linux", ".linux@b"):
            assert verifies("sbverify", self.extracted(keyed, section), keyed / "db.crt")

    @pytest.mark.usefixtures("unsigned_kernel")
    def test_the_plan_is_what_is_built(self, keyed):
        (keyed / "fuki.toml").write_text(RECIPE + self.KERNEL)
        planned = json.loads(succeed(keyed, "plan", "--json").out)["images"][0]["sections"]
        succeed(keyed, "build")
        built = json.loads(succeed(keyed, "inspect", IMAGE, "--json").out)["sections"]
        places = ("name", "address", "offset", "size")
        assert [[s[k] for k in places] for s in planned] == [[s[k] for k in places] for s in built]

    @pytest.mark.usefixtures("unsigned_kernel")
    def test_a_key_that_is_not_there_is_missed_before_the_build(self, keyed):
        (keyed / "fuki.toml").write_text(RECIPE + self.KERNEL)
        (keyed / "db.key").unlink()
        assert "fuki.sign.key" in refused(keyed, "plan", code=4)
        assert "fuki.sign.key" in refused(keyed, "build", code=4)

    def test_the_manifest_has_the_digest_of_the_kernel_that_was_given(self, keyed, unsigned_kernel):
        build(keyed, RECIPE + self.KERNEL, "--only", "uki", "--only", "manifest")
        inputs = json.loads((keyed / "acme_41.3.manifest.json").read_text())["inputs"]
        (kernel,) = [item["sha256"] for item in inputs if item["name"] == "vmlinuz"]
        assert kernel == hashlib.sha256(unsigned_kernel.read_bytes()).hexdigest()

    def test_an_output_cannot_sign_the_kernel_on_its_own(self, keyed):
        output = '[[fuki.output]]\nformat = "uki"\nsign = { backend = "local", key = "db.key", sign-kernel = true }\n'
        (keyed / "fuki.toml").write_text(RECIPE + output)
        assert "fuki.output[0].sign.sign-kernel" in refused(keyed, "build")

    @pytest.mark.usefixtures("unsigned_kernel")
    def test_a_kernel_cannot_be_timestamped(self, keyed):
        (keyed / "fuki.toml").write_text(RECIPE + self.KERNEL + 'timestamp = "http://127.0.0.1:9"\n')
        assert "fuki sign" in refused(keyed, "plan")


def test_the_manifest_tells_who_signed(keyed):
    build(keyed, RECIPE + SIGN, "--only", "uki", "--only", "manifest")
    image = json.loads((keyed / "acme_41.3.manifest.json").read_text())["images"][0]
    (signature,) = image["signatures"]
    assert (signature["signer"], signature["algorithm"]) == ("CN=Acme db", "sha256")
    assert image["file-size"] == (keyed / IMAGE).stat().st_size


def test_a_depfile_has_key_and_certificate(keyed):
    build(keyed, RECIPE + SIGN, "--depfile", "d")
    assert {"db.key", "db.crt"} <= {Path(word).name for word in (keyed / "d").read_text().split()}


def test_a_manifest_alone_signs_nothing_and_needs_no_key(keyed):
    (keyed / "db.key").unlink()
    build(keyed, RECIPE + SIGN, "--only", "manifest")
    assert json.loads((keyed / "acme_41.3.manifest.json").read_text())["images"][0]["signatures"] == []


def test_inspect_tells_who_signed(keyed):
    build(keyed, RECIPE + SIGN)
    assert "Authenticode by CN=Acme db over sha256" in succeed(keyed, "inspect", IMAGE).out


def test_a_command_signs_digests(keyed, verifies):
    program = keyed / "remote"
    sign = 'openssl pkeyutl -sign -inkey db.key -pkeyopt digest:"$FUKI_DIGEST_ALGORITHM"'
    program.write_text(f"#!/bin/sh\n{sign}\n")
    program.chmod(0o755)
    command = '[fuki.sign]\nbackend = "command"\ncommand = ["./remote"]\ncertificate = "db.crt"\n'
    assert verifies("sbverify", build(keyed, RECIPE + command), keyed / "db.crt")
    program.write_text(f"#!/bin/sh\n{sign} | base64\n")
    assert verifies("sbverify", build(keyed, RECIPE + command + 'encoding = "base64"\n'), keyed / "db.crt")
