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

IMAGE = "acme_41.3.efi"


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
def test_others_verify_a_signed_image(shop, verifies, program):
    image = build(shop, RECIPE + SIGN)
    assert verifies(program, image, shop / "ca.crt")
    assert not verifies(program, image, shop / "other.crt")


def test_a_signature_is_the_only_difference_to_the_unsigned_image(shop):
    signed = build(shop, RECIPE + SIGN).read_bytes()
    build(shop, RECIPE, "-o", "unsigned.efi")
    unsigned = (shop / "unsigned.efi").read_bytes()
    start, size = certificate_table(shop / IMAGE)
    assert (start, start + size) == (len(unsigned), len(signed))
    changed = [at for at in range(4096) if signed[at] != unsigned[at]]
    with pefile.PE(data=unsigned[:8192], fast_load=True) as pe:
        directory = pe.OPTIONAL_HEADER.DATA_DIRECTORY[4].get_file_offset()
    assert set(changed) <= set(range(directory, directory + 8))
    assert signed[4096:start] == unsigned[4096:]


def test_unsigned_leaves_all_signatures_out(shop):
    addon = '[[fuki.addon]]\nname = "a"\ncmdline = "x"\n'
    image = build(shop, RECIPE + SIGN + addon, "--unsigned")
    assert certificate_table(image) == (0, 0)
    assert certificate_table(shop / f"{IMAGE}.extra.d/a.addon.efi") == (0, 0)


@pytest.mark.parametrize("program", VERIFIERS)
def test_addons_are_signed_too(shop, verifies, program):
    build(shop, RECIPE + SIGN + '[[fuki.addon]]\nname = "a"\ncmdline = "x"\n')
    assert verifies(program, shop / f"{IMAGE}.extra.d/a.addon.efi", shop / "ca.crt")


@pytest.mark.parametrize("kind", ["rsa2048", "rsa3072", "rsa4096"])
@pytest.mark.parametrize("program", VERIFIERS)
def test_rsa_keys_of_all_usual_sizes_sign(shop, verifies, kind, program):
    identity = secure_boot.make_identity("self", kind)
    secure_boot.write_key(shop / "db.key", identity.key)
    secure_boot.write_certificates(shop / "db.crt", identity.certificate)
    assert verifies(program, build(shop, RECIPE + SIGN), shop / "db.crt")


@pytest.mark.parametrize("kind", ["p256", "p384"])
def test_elliptic_curve_keys_sign_with_a_warning(shop, verifies, kind):
    identity = secure_boot.make_identity("self", kind)
    secure_boot.write_key(shop / "db.key", identity.key)
    secure_boot.write_certificates(shop / "db.crt", identity.certificate)
    (shop / "fuki.toml").write_text(RECIPE + SIGN)
    assert "warning: fuki.sign: most firmware does not verify ECDSA" in succeed(shop, "build").err
    for program in ("osslsigncode", "fuki"):
        assert verifies(program, shop / IMAGE, shop / "db.crt")


@pytest.mark.parametrize(("algorithm", "name"), [("sha384", "SHA-384"), ("sha512", "SHA-512")])
def test_other_digests_sign_with_a_warning(shop, verifies, algorithm, name):
    (shop / "fuki.toml").write_text(RECIPE + SIGN + f'digest = "{algorithm}"\n')
    assert f"warning: fuki.sign: firmware may not know signatures over {name}" in succeed(shop, "build").err
    for program in ("osslsigncode", "fuki"):
        assert verifies(program, shop / IMAGE, shop / "ca.crt")


def test_a_warning_about_a_signature_can_be_silenced(shop):
    silent = RECIPE.replace("[fuki.image]", 'silence = ["signature-unusual"]\n[fuki.image]')
    (shop / "fuki.toml").write_text(silent + SIGN + 'digest = "sha384"\n')
    assert "signature-unusual" not in succeed(shop, "build").err


def test_two_signings_give_the_same_bytes(shop):
    first = build(shop, RECIPE + SIGN).read_bytes()
    assert build(shop, RECIPE + SIGN).read_bytes() == first


def test_a_signing_time_is_that_of_the_environment(shop, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    image = build(shop, RECIPE + SIGN + "signing-time = true\n")
    report = json.loads(succeed(shop, "verify", IMAGE, "--json").out)
    assert report["image"]["signatures"][0]["signing-time"] == "2023-11-14T22:13:20Z"
    shown = subprocess.run(["osslsigncode", "verify", "-in", image], capture_output=True, text=True, check=False).stdout
    assert "Nov 14 22:13:20 2023" in shown


def test_a_signing_time_without_a_clock_to_take_it_from_is_refused(shop, monkeypatch):
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    (shop / "fuki.toml").write_text(RECIPE + SIGN + "signing-time = true\n")
    assert "fuki.sign.signing-time" in refused(shop, "build", code=4)


def test_several_signers_each_add_a_signature(shop, verifies):
    both = SIGN.replace("[fuki.sign]", "[[fuki.sign]]")
    image = build(shop, RECIPE + both + both.replace("db.", "other."))
    for certificate in ("db.crt", "other.crt"):
        assert verifies("sbverify", image, shop / certificate)
        assert verifies("fuki", image, shop / certificate)
    shown = subprocess.run(["sbverify", "--list", image], capture_output=True, text=True, check=True).stdout
    assert shown.count("image signature issuers") == 2


def test_an_output_can_have_signers_of_its_own_or_none(shop, verifies):
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
    build(shop, RECIPE + SIGN + outputs)
    assert verifies("sbverify", shop / "signed.efi", shop / "db.crt")
    assert certificate_table(shop / "unsigned.efi") == (0, 0)
    assert verifies("sbverify", shop / "other.efi", shop / "other.crt")
    assert not verifies("sbverify", shop / "other.efi", shop / "db.crt")


def test_intermediate_certificates_are_part_of_the_signature(shop, keys, verifies):
    intermediate = secure_boot.make_identity("Acme intermediate", issuer=keys.authority, authority=True)
    leaf = secure_boot.make_identity("Acme leaf", issuer=intermediate)
    secure_boot.write_key(shop / "db.key", leaf.key)
    secure_boot.write_certificates(shop / "db.crt", leaf.certificate)
    assert not verifies("osslsigncode", build(shop, RECIPE + SIGN), shop / "ca.crt")
    assert not verifies("fuki", shop / IMAGE, shop / "ca.crt")
    secure_boot.write_certificates(shop / "mid.crt", intermediate.certificate)
    image = build(shop, RECIPE + SIGN + 'intermediates = ["mid.crt"]\n')
    assert verifies("osslsigncode", image, shop / "ca.crt")
    assert verifies("fuki", image, shop / "ca.crt")


def test_key_and_certificates_can_come_in_one_pkcs12_file(shop, keys, verifies):
    secure_boot.write_pkcs12(shop / "db.p12", keys.signer, keys.authority.certificate, passphrase="sesame")  # noqa: S106
    (shop / "sesame").write_text("sesame\n")
    image = build(shop, RECIPE + '[fuki.sign]\nbackend = "local"\nkey = "db.p12"\npassphrase = "file:sesame"\n')
    for program in VERIFIERS:
        assert verifies(program, image, shop / "ca.crt")


class TestKernels:
    KERNEL = SIGN + "sign-kernel = true\n"

    @pytest.fixture
    def unsigned_kernel(self, shop):
        """Debian's, without its signature."""
        signed = (shop / "vmlinuz").read_bytes()
        (shop / "vmlinuz").unlink()
        (shop / "vmlinuz").write_bytes(signed)
        subprocess.run(["sbattach", "--remove", shop / "vmlinuz"], check=True, capture_output=True)
        return shop / "vmlinuz"

    def extracted(self, directory: Path, section: str = ".linux") -> Path:
        succeed(directory, "inspect", IMAGE, "--extract", section, "-o", "kernel.efi")
        return directory / "kernel.efi"

    @pytest.mark.parametrize("kind", ["rsa2048", "p384"])
    def test_an_unsigned_kernel_is_signed(self, shop, unsigned_kernel, verifies, kind):
        identity = secure_boot.make_identity("self", kind)
        secure_boot.write_key(shop / "db.key", identity.key)
        secure_boot.write_certificates(shop / "db.crt", identity.certificate)
        build(shop, RECIPE + self.KERNEL)
        kernel = self.extracted(shop)
        for program in ("osslsigncode", "fuki"):
            assert verifies(program, kernel, shop / "db.crt")
            assert verifies(program, shop / IMAGE, shop / "db.crt")
        assert kernel.read_bytes()[4096:].startswith(unsigned_kernel.read_bytes()[4096:])

    def test_a_signed_kernel_stays_as_it_is(self, shop):
        build(shop, RECIPE + self.KERNEL)
        assert self.extracted(shop).read_bytes() == (shop / "vmlinuz").read_bytes()

    @pytest.mark.usefixtures("unsigned_kernel")
    def test_the_kernel_of_a_profile_is_signed(self, shop, verifies):
        build(shop, RECIPE + self.KERNEL + '[[fuki.profile]]\nid = "b"\nlinux = "vmlinuz"\n')
        for section in (".linux", ".linux@b"):
            assert verifies("sbverify", self.extracted(shop, section), shop / "db.crt")

    @pytest.mark.usefixtures("unsigned_kernel")
    def test_the_plan_is_what_is_built(self, shop):
        (shop / "fuki.toml").write_text(RECIPE + self.KERNEL)
        planned = json.loads(succeed(shop, "plan", "--json").out)["images"][0]["sections"]
        succeed(shop, "build")
        built = json.loads(succeed(shop, "inspect", IMAGE, "--json").out)["sections"]
        places = ("name", "address", "offset", "size")
        assert [[s[k] for k in places] for s in planned] == [[s[k] for k in places] for s in built]

    @pytest.mark.usefixtures("unsigned_kernel")
    def test_planning_needs_no_private_key(self, shop):
        (shop / "fuki.toml").write_text(RECIPE + self.KERNEL)
        (shop / "db.key").unlink()
        succeed(shop, "plan")
        assert "fuki.sign.key" in refused(shop, "build", code=4)

    def test_the_manifest_has_the_digest_of_the_kernel_that_was_given(self, shop, unsigned_kernel):
        build(shop, RECIPE + self.KERNEL, "--only", "uki", "--only", "manifest")
        inputs = json.loads((shop / "acme_41.3.manifest.json").read_text())["inputs"]
        (kernel,) = [item["sha256"] for item in inputs if item["name"] == "vmlinuz"]
        assert kernel == hashlib.sha256(unsigned_kernel.read_bytes()).hexdigest()

    def test_an_output_cannot_sign_the_kernel_on_its_own(self, shop):
        output = '[[fuki.output]]\nformat = "uki"\nsign = { backend = "local", key = "db.key", sign-kernel = true }\n'
        (shop / "fuki.toml").write_text(RECIPE + output)
        assert "fuki.output[0].sign.sign-kernel" in refused(shop, "build")

    @pytest.mark.usefixtures("unsigned_kernel")
    def test_a_kernel_cannot_be_timestamped(self, shop):
        (shop / "fuki.toml").write_text(RECIPE + self.KERNEL + 'timestamp = "http://127.0.0.1:9"\n')
        assert "fuki sign" in refused(shop, "plan")


def test_the_manifest_tells_who_signed(shop):
    build(shop, RECIPE + SIGN, "--only", "uki", "--only", "manifest")
    image = json.loads((shop / "acme_41.3.manifest.json").read_text())["images"][0]
    (signature,) = image["signatures"]
    assert (signature["signer"], signature["algorithm"]) == ("CN=Acme db", "sha256")
    assert image["file-size"] == (shop / IMAGE).stat().st_size


def test_a_depfile_has_key_and_certificate(shop):
    build(shop, RECIPE + SIGN, "--depfile", "d")
    assert {"db.key", "db.crt"} <= {Path(word).name for word in (shop / "d").read_text().split()}


def test_a_manifest_alone_signs_nothing_and_needs_no_key(shop):
    (shop / "db.key").unlink()
    build(shop, RECIPE + SIGN, "--only", "manifest")
    assert json.loads((shop / "acme_41.3.manifest.json").read_text())["images"][0]["signatures"] == []


def test_inspect_tells_who_signed(shop):
    build(shop, RECIPE + SIGN)
    assert "Authenticode by CN=Acme db over sha256" in succeed(shop, "inspect", IMAGE).out


def test_a_command_signs_digests(shop, verifies):
    program = shop / "remote"
    sign = 'openssl pkeyutl -sign -inkey db.key -pkeyopt digest:"$FUKI_DIGEST_ALGORITHM"'
    program.write_text(f"#!/bin/sh\n{sign}\n")
    program.chmod(0o755)
    command = '[fuki.sign]\nbackend = "command"\ncommand = ["./remote"]\ncertificate = "db.crt"\n'
    assert verifies("sbverify", build(shop, RECIPE + command), shop / "db.crt")
    program.write_text(f"#!/bin/sh\n{sign} | base64\n")
    assert verifies("sbverify", build(shop, RECIPE + command + 'encoding = "base64"\n'), shop / "db.crt")
