"""`fuki ukify` and ukify 262.1, called alike: keys, signatures of images and kernels, and policies signed elsewhere."""

import base64
import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.ukify_calls import FIRMWARE, IMAGE, JOINED, SIGNING


def test_policies_to_be_signed_elsewhere_are_printed_alone_and_are_the_same(both):
    theirs, ours = both.build(*IMAGE, *JOINED, "--policy-digest", "--pcr-public-key=pcr.pub", "--json=short")
    assert json.loads(ours.out) == json.loads(theirs.out)


@pytest.mark.parametrize("maker", ["theirs", "ours"])
def test_signatures_made_elsewhere_are_joined_with_the_same_bytes(both, maker):
    theirs, _ = both.build(*IMAGE, *JOINED, "--policy-digest", "--pcr-public-key=pcr.pub", "--pcr-banks=sha256")
    _sign(both.directory, theirs.out)
    call = ("--json=short", "--pcrsig", "@signed.json", "--join-pcrsig", f"unsigned-{maker}.efi")
    (both.directory / f"{maker}.efi").rename(both.directory / f"unsigned-{maker}.efi")
    both.build(*call, "build")
    assert both.same


def test_an_image_whose_policies_are_signed_elsewhere_is_signed_like_others(both):
    options = ("--policy-digest", "--pcr-public-key=pcr.pub", "--pcr-banks=sha256", "--sign-kernel")
    both.build(*IMAGE, "--linux=vmlinuz", *SIGNING, *options)
    for name in ("theirs", "ours"):
        image, kernel = both.directory / f"{name}.efi", both.directory / f"{name}.linux"
        assert _signatures(image, both.directory / "db.crt") == (1, True)
        assert both.ours("inspect", image.name, f"--section=.linux:binary@{kernel.name}").code == 0
        assert _signatures(kernel, both.directory / "db.crt") == (2, True)


@pytest.mark.parametrize("program", ["theirs", "ours"])
def test_there_is_room_for_signatures_of_many_policies_beside_what_they_sign(both, program):
    options = ("--policy-digest", "--pcr-public-key=pcr.pub", "--pcr-banks=sha256", "--sign-initrd-pcrs")
    ended = both.ours(*IMAGE, *FIRMWARE, *options, "--output=many.efi")
    _sign(both.directory, ended.out)
    call = ("build", "--pcrsig=@signed.json", "--join-pcrsig=many.efi", "--output=joined.efi")
    assert getattr(both, program)(*call).code == 0


def _sign(directory: Path, printed: str) -> None:
    """Sign the policies that a build printed, as a signing service would; into signed.json."""
    document = json.loads(printed)
    for policy in document["sha256"]:
        command = ["openssl", "dgst", "-sha256", "-sign", "pcr.key"]
        message = bytes.fromhex(policy["tbs"])
        done = subprocess.run(command, cwd=directory, input=message, capture_output=True, check=True)
        policy["sig"] = base64.b64encode(done.stdout).decode()
    (directory / "signed.json").write_text(json.dumps(document))


def _signatures(path: Path, certificate: Path) -> tuple[int, bool]:
    """How many signatures an image has, and whether one of them is of this certificate, by sbverify."""
    listed = subprocess.run(["sbverify", "--list", path], capture_output=True, text=True, check=False).stdout
    valid = subprocess.run(["sbverify", "--cert", certificate, path], capture_output=True, check=False).returncode == 0
    return len(re.findall(r"^signature \d+$", listed, re.MULTILINE)), valid


def test_a_signed_image_loses_its_signature_when_policies_are_joined_unless_upstream_s_way_is_asked_for(both, tool):
    theirs, _ = both.build(*IMAGE, "--policy-digest", "--pcr-public-key=pcr.pub", "--pcr-banks=sha256")
    _sign(both.directory, theirs.out)
    tool("sbsign", "--key", "db.key", "--cert", "db.crt", "--output", "old.efi", "theirs.efi", cwd=both.directory)
    call = ("build", "--pcrsig=@signed.json", "--join-pcrsig=old.efi")
    ours = both.ours(*call, "--output=ours.efi")
    assert "no longer holds" in ours.err
    assert _signatures(both.directory / "ours.efi", both.directory / "db.crt") == (0, False)
    both.build(*call, more=("--upstream=old-signature",))
    assert both.same
    assert both.ours(*call, *SIGNING, "--output=ours.efi").code == 0
    assert _signatures(both.directory / "ours.efi", both.directory / "db.crt") == (1, True)


@pytest.mark.parametrize(("option", "count"), [((), 1), (("--no-sign-kernel",), 1), (("--sign-kernel",), 2)])
def test_the_kernel_is_signed_in_the_three_states_as_with_sbsign(both, option, count):
    # Debian has signed its kernel already.
    both.build(*IMAGE, "--linux=vmlinuz", *SIGNING, *option)
    for name in ("theirs", "ours"):
        image = both.directory / f"{name}.efi"
        assert _signatures(image, both.directory / "db.crt") == (1, True)
        kernel = both.directory / f"{name}.linux"
        assert both.ours("inspect", image.name, f"--section=.linux:binary@{kernel.name}").code == 0
        assert _signatures(kernel, both.directory / "db.crt") == (count, count == 2)


def test_modes_are_those_of_ukify(both):
    def modes() -> list[int]:
        return [(both.directory / name).stat().st_mode & 0o777 for name in ("theirs.efi", "ours.efi")]

    for name in ("theirs.efi", "ours.efi"):
        (both.directory / name).unlink(missing_ok=True)
    both.build(*IMAGE)
    assert modes() == [0o644, 0o644]
    both.build(*IMAGE, *SIGNING)
    assert modes() == [0o755, 0o755]


def test_new_keys_sign_and_private_ones_are_their_owner_s(both, tool):
    directory = both.directory / "keys"
    directory.mkdir()
    name = "--secureboot-certificate-common-name=Acme"
    keys = ("--pcr-private-key=keys/pcr.key", "--pcr-public-key=keys/pcr.pub")
    pair = ("--secureboot-private-key=keys/db.key", "--secureboot-certificate=keys/db.crt")
    assert both.ours("genkey", name, "--secureboot-certificate-validity=3", *keys, *pair).code == 0
    assert {p.name: p.stat().st_mode & 0o777 for p in directory.iterdir()} == {
        "pcr.key": 0o600,
        "db.key": 0o600,
        "pcr.pub": 0o644,
        "db.crt": 0o644,
    }
    both.build(*IMAGE, *keys)
    assert both.same
    assert both.theirs(*IMAGE, *pair, "--output=theirs.efi").code == 0
    assert _signatures(both.directory / "theirs.efi", directory / "db.crt") == (1, True)
    text = tool("openssl", "x509", "-in", directory / "db.crt", "-noout", "-subject", "-checkend", str(2 * 24 * 3600))
    assert "Acme" in text
    assert both.ours("genkey", *keys).code == 1
