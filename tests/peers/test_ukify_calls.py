"""`fuki ukify` and ukify 262.1, called alike: the same bytes, the same standard output, the same verdicts."""

import base64
import filecmp
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import parts
import pytest

from tests.support.systemd import library_path

IMAGE = ("build", "--stub=stub", "--linux=small.efi", "--uname=6.1", "--os-release=@os-release", "--hwids=")
FIRMWARE = ("--efifw=firmware/ovmf-generic", "--efifw=firmware/ovmf-amdsev", "--hwids=machines")
PROFILE = ("build", "--stub=addon-stub", "--hwids=")
KEY = ("--pcr-private-key=pcr.key", "--pcr-public-key=pcr.pub")
SIGNING = ("--secureboot-private-key=db.key", "--secureboot-certificate=db.crt")
ARCHITECTURES = ("x64", "ia32", "aa64", "arm", "riscv64", "loongarch64")


@dataclass(frozen=True)
class Ended:
    """How a program ended."""

    code: int
    out: str
    err: str


class Both:
    """ukify and `fuki ukify` in one directory, with the same arguments; images are theirs.efi and ours.efi."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        measure = parts.get("systemd-measure")
        self._tools = [f"--tools={parts.get(name).parent}" for name in ("systemd-measure", "systemd-sbsign")]
        self._environment = {**os.environ, "LD_LIBRARY_PATH": library_path(measure), "LC_ALL": "C.UTF-8"}

    def _run(self, command: Sequence[str | Path], arguments: Sequence[str], **environment: str) -> Ended:
        done = subprocess.run(
            [sys.executable, *map(str, command), *arguments],
            cwd=self.directory,
            env={**self._environment, **environment},
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def theirs(self, *arguments: str) -> Ended:
        return self._run([parts.get("ukify")], [*arguments, *self._tools])

    def ours(self, *arguments: str, **environment: str) -> Ended:
        ended = self._run(["-m", "fuki_build", "ukify"], [*arguments, *self._tools], **environment)
        assert "Traceback" not in ended.err
        return ended

    def build(self, *arguments: str, more: Sequence[str] = ()) -> tuple[Ended, Ended]:
        """Build with both; `more` are for ours alone."""
        theirs = self.theirs(*arguments, "--output=theirs.efi")
        ours = self.ours(*arguments, *more, "--output=ours.efi")
        assert (theirs.code, ours.code) == (0, 0), theirs.err + ours.err
        return theirs, ours

    @property
    def same(self) -> bool:
        return filecmp.cmp(self.directory / "theirs.efi", self.directory / "ours.efi", shallow=False)


@pytest.fixture(scope="module")
def both(tmp_path_factory, lay_out, tool) -> Both:
    directory: Path = lay_out(tmp_path_factory.mktemp("calls"))
    tool("openssl", "genrsa", "-out", "pcr.key", "2048", cwd=directory)
    tool("openssl", "rsa", "-in", "pcr.key", "-pubout", "-out", "pcr.pub", cwd=directory)
    tool("openssl", "req", "-x509", "-new", "-key", "pcr.key", "-subj", "/CN=pcr", "-out", "pcr.crt", cwd=directory)
    tool("openssl", "genrsa", "-out", "other.key", "3072", cwd=directory)
    request = ("req", "-x509", "-newkey", "rsa:2048", "-noenc", "-subj", "/CN=db", "-keyout", "db.key")
    tool("openssl", *request, "-out", "db.crt", cwd=directory)
    # A boot loader is a kernel to all who do not start it, and a small one.
    (directory / "small.efi").symlink_to(parts.get("boot-x64"))
    (directory / "no-kernel").write_bytes(b"not a PE file")
    (directory / "base.txt").write_text("ID=base\nX-MORE=free\n")
    (directory / "ukify.conf").write_text(
        "[UKI]\nLinux=vmlinuz\nStub=stub\nInitrd=early.img odd.img\nCmdline=quiet # a comment\nOSRelease=@os-release\n"
        "HWIDs=\nSBAT=sbat,1,x\n mine,1,x,x,1,x\nPCRBanks=sha256\n[PCRSignature:one]\nPCRPrivateKey=pcr.key\n"
        "Phases=enter-initrd\nUnknown=x\n[PCRSignature:two]\nPCRPrivateKey=other.key\nPhases=enter-initrd sysinit\n"
    )
    pair = Both(directory)
    for name, more in PROFILES.items():
        assert pair.theirs(*PROFILE, *more, f"--output={name}.profile").code == 0
    return pair


PROFILES = {
    "one": ("--profile=ID=one\nTITLE=One\nX-FREE='key of mine'", "--cmdline=one"),
    "two": ("--profile=ID=two\n", "--cmdline=two", "--initrd=odd.img", "--os-release=ID=two", "--uname=6"),
    "kernel": ("--profile=ID=kernel", "--cmdline=@cmdline.txt"),
    "firmware": ("--profile=ID=firmware\n", "--efifw=firmware/ovmf-generic", "--hwids=machines"),
}
JOINED = ("--join-profile=one.profile", "--join-profile=two.profile")

SAME = {
    "plain": IMAGE,
    "kernel of Debian": ("build", "--stub=stub", "--linux=vmlinuz", "--os-release=@os-release", "--hwids="),
    "initrds": (*IMAGE, "--initrd=early.img", "--initrd=odd.img", "--initrd=late.img"),
    "text": (*IMAGE, "--cmdline=  a\tb \n c "),
    "file": (*IMAGE, "--cmdline=@cmdline.txt", "--uname=1"),
    "braces": (*IMAGE, "--cmdline={{ name }} {% x"),
    "text of os-release": (*IMAGE, "--os-release=ID=text\n"),
    "last wins": (*IMAGE, "--microcode=odd.img", "--microcode=ucode.img", "--splash=splash.bmp"),
    "firmware": (*IMAGE, *FIRMWARE),
    "devicetrees": (*IMAGE, "--devicetree=machine.dtb", "--devicetree-auto=first.dtb", "--devicetree-auto=second.dtb"),
    "sbat": (*IMAGE, "--sbat=@sbat.csv", "--sbat=sbat,1,x\nmine,1,x,x,1,x\n", "--sbat=no table"),
    "sections": (*IMAGE, "--section=.note:text", "--section=plain:@blob", "--section=.sbom:@blob", "--section=.e:"),
    "own section": (*IMAGE, "--section=.cmdline:by name"),
    "no PE file": ("build", "--stub=stub", "--linux=no-kernel", "--uname=6", "--os-release=", "--hwids="),
    "no uname": (*IMAGE[:1], "--stub=stub", "--linux=vmlinuz", "--os-release=ID=x", "--hwids=", "--uname="),
    "addon": ("build", "--stub=addon-stub", "--hwids=", "--cmdline=more"),
    "addon of much": (
        *("build", "--stub=addon-stub", "--cmdline=more", "--initrd=odd.img", "--devicetree=machine.dtb"),
        *("--sbat=sbat,1,x\nmine,1,x,x,1,x\n", "--uname=6", "--microcode=ucode.img", "--section=.note:x", *FIRMWARE),
    ),
    "carrier": (*PROFILE, *PROFILES["one"]),
    "carrier of much": (*PROFILE, *PROFILES["two"]),
    "carrier with a kernel": (*IMAGE, *PROFILES["one"]),
    "joined": (*IMAGE, *JOINED),
    "joined to a profile": (*IMAGE, "--profile=@base.txt", "--join-profile=kernel.profile"),
    "joined without os-release": (*IMAGE, "--os-release=", *JOINED),
    "policies": (*IMAGE, *KEY),
    "policies of profiles": (*IMAGE, *JOINED, *KEY, "--pcr-banks=sha256"),
    "policies of one profile": (*IMAGE, *JOINED, *KEY, "--sign-profile=two"),
    "policies of the base": (*IMAGE, "--profile=@base.txt", *JOINED, *KEY, "--sign-profile=base"),
    "policies of no profile": (*IMAGE, *JOINED, *KEY, "--sign-profile=none"),
    "policies of the initrd": (*IMAGE, *KEY, "--sign-initrd-pcrs", "--pcr-banks=sha256", "--policyref=mine"),
    "policies of several keys": (
        *(*IMAGE, "--pcr-private-key=pcr.key", "--pcr-private-key=other.key", "--pcr-banks=sha384, sha256,"),
        *("--phases=enter-initrd:leave-initrd", "--phases=enter-initrd,sysinit"),
    ),
    "a public key alone": (*IMAGE, "--pcr-public-key=pcr.pub"),
    "a certificate alone": (*IMAGE, "--pcr-certificate=pcr.crt"),
    "registers": (*IMAGE, *JOINED[:1], "--measure"),
    "registers in JSON": (*IMAGE, "--measure", "--json=pretty", "--pcr-banks=sha256"),
    "registers in one line": (*IMAGE, "--json=short", "--measure", "--no-policy-digest"),
    "configuration": ("build", "--config=ukify.conf", "--initrd=late.img", "--cmdline=mine"),
    "verb last": (*IMAGE[1:], "--cmdline=x", "build"),
    "no verb": ("vmlinuz", "early.img", "odd.img", "--stub=stub", "--os-release=@os-release", "--hwids="),
}


@pytest.mark.parametrize("name", SAME)
def test_the_same_call_makes_the_same_bytes_and_prints_the_same(both, name):
    theirs, ours = both.build(*SAME[name])
    assert both.same
    assert ours.out == theirs.out


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_the_same_call_makes_the_same_bytes_on_every_architecture(both, arch):
    stub, loader = parts.get(f"stub-{arch}"), parts.get(f"boot-{'riscv64' if arch == 'riscv64' else 'x64'}")
    call = ("build", f"--efi-arch={arch}", f"--stub={stub}", f"--linux={loader}", "--os-release=ID=x", "--uname=6")
    both.build(*call, *FIRMWARE, *JOINED)
    assert both.same


VERDICTS = {
    "unknown option": ((*IMAGE, "--no-such-option"), 2),
    "abbreviated option": ((*IMAGE, "--cmdl=x"), 2),
    "unknown architecture": ((*IMAGE, "--efi-arch=vax"), 2),
    "unknown tool": ((*IMAGE, "--signtool=gpg"), 2),
    "no number": (("genkey", "--secureboot-certificate-validity=long"), 2),
    "unknown phase": ((*IMAGE, *KEY, "--phases=lunch"), 2),
    "empty bank": ((*IMAGE, "--pcr-banks=sha1,,sha256"), 2),
    "option before the file": (("inspect", "--all", "stub"), 2),
    "short option before the file": (("inspect", "-j", "stub"), 2),
    "verb and positional": ((*IMAGE, "vmlinuz"), 2),
    "missing kernel": ((*IMAGE, "--linux=missing"), 1),
    "missing initrd": ((*IMAGE, "--initrd=missing"), 1),
    "missing stub": ((*IMAGE, "--stub=missing"), 1),
    "missing command line": ((*IMAGE, "--cmdline=@missing"), 1),
    "missing firmware": ((*IMAGE, "--efifw=missing"), 1),
    "missing configuration": ((*IMAGE, "--config=missing"), 1),
    "missing profile": ((*IMAGE, "--join-profile=missing"), 1),
    "profile on the normal stub": ((*IMAGE, "--join-profile=stub"), 1),
    "second colon": ((*IMAGE, "--section=.a:b:c"), 1),
    "no colon": ((*IMAGE, "--section=.a"), 1),
    "long name": ((*IMAGE, "--section=.too-long:x"), 1),
    "section twice": ((*IMAGE, "--section=.a:x", "--section=.a:y"), 1),
    "kernel twice": ((*IMAGE, "--section=.linux:x"), 1),
    "SBAT too large": ((*IMAGE, "--sbat=sbat,1,x\n" + "".join(f"component{i},1,x,x,1,x\n" for i in range(500))), 1),
    "key without certificate": ((*IMAGE, "--secureboot-private-key=db.key"), 1),
    "certificate without key": ((*IMAGE, "--secureboot-certificate=db.crt"), 1),
    "pesign with a key file": ((*IMAGE, *SIGNING, "--signtool=pesign"), 1),
    "provider of sbsign": ((*IMAGE, *SIGNING, "--signing-provider=pkcs11"), 1),
    "engine and provider": ((*IMAGE, *SIGNING, "--signing-engine=pkcs11", "--signing-provider=pkcs11"), 1),
    "kernel signed with nothing": ((*IMAGE, "--sign-kernel"), 1),
    "initrd policies of nothing": ((*IMAGE, "--sign-initrd-pcrs"), 1),
    "phases of nothing": ((*IMAGE, "--phases=sysinit"), 1),
    "references of nothing": ((*IMAGE, "--policyref=x"), 1),
    "fewer public keys": (
        (*IMAGE, "--pcr-private-key=pcr.key", "--pcr-private-key=other.key", "--pcr-public-key=x"),
        1,
    ),
    "public key and certificate": ((*IMAGE, "--pcr-public-key=pcr.pub", "--pcr-certificate=pcr.crt"), 1),
    "digests without a key": ((*IMAGE, "--policy-digest"), 1),
    "digests and a private key": ((*IMAGE, "--policy-digest", *KEY), 1),
    "signatures without an image": ((*IMAGE, "--pcrsig={}"), 1),
    "image without signatures": ((*IMAGE, "--join-pcrsig=stub"), 1),
    "signatures and a kernel": ((*IMAGE, "--join-pcrsig=stub", "--pcrsig={}"), 1),
    "no output of an addon": (("build", "--stub=addon-stub", "--cmdline=x"), 1),
    "nothing to inspect": (("inspect",), 1),
    "missing to inspect": (("inspect", "missing"), 1),
    "JSON of two": (("inspect", "stub", "addon-stub", "--json=short"), 1),
    "wrong section to inspect": (("inspect", "stub", "--section=.text:hex"), 1),
    "no key to make": (("genkey",), 1),
    "key that is there": (("genkey", "--pcr-private-key=pcr.key"), 1),
    "empty name": (
        ("genkey", "--secureboot-private-key=n", "--secureboot-certificate=m", "--secureboot-certificate-common-name="),
        1,
    ),
    "long common name": (
        (
            *("genkey", "--secureboot-private-key=n", "--secureboot-certificate=m"),
            f"--secureboot-certificate-common-name={'é' * 33}",
        ),
        1,
    ),
}


@pytest.mark.parametrize("name", VERDICTS)
def test_what_ukify_refuses_is_refused_with_one_error_and_nothing_written(both, name):
    arguments, code = VERDICTS[name]
    output = () if arguments[0] != "build" or name.startswith("no output") else ("--output=refused.efi",)
    before = sorted(both.directory.rglob("*"))
    theirs, ours = both.theirs(*arguments, *output), both.ours(*arguments, *output)
    (both.directory / "refused.efi").unlink(missing_ok=True)  # theirs may leave one
    assert theirs.code == code, theirs.err
    assert ours.code == code, ours.err
    assert not ours.out
    assert len([line for line in ours.err.splitlines() if "rror: " in line]) == 1
    assert sorted(both.directory.rglob("*")) == before


NAMED = {
    "--linux": (*IMAGE, "--linux=missing"),
    "--initrd": (*IMAGE, "--initrd=missing"),
    "--stub": (*IMAGE, "--stub=missing"),
    "--efifw": (*IMAGE, "--efifw=missing"),
    "--cmdline": (*IMAGE, "--cmdline=@missing"),
    "--os-release": (*IMAGE, "--os-release=@missing"),
    "--microcode": (*IMAGE, "--microcode=missing"),
    "--splash": (*IMAGE, "--splash=missing"),
    "--devicetree": (*IMAGE, "--devicetree=missing"),
    "--devicetree-auto": (*IMAGE, "--devicetree-auto=missing"),
    "--hwids": (*IMAGE, "--hwids=missing"),
    "--pcrpkey": (*IMAGE, "--pcrpkey=missing"),
    "--sbat": (*IMAGE, "--sbat=@missing"),
    "--section": (*IMAGE, "--section=.a:@missing"),
    "--profile": (*IMAGE, "--profile=@missing"),
    "--join-profile": (*IMAGE, "--join-profile=missing"),
    "--pcr-private-key": (*IMAGE, "--pcr-private-key=missing"),
    "--pcr-public-key": (*IMAGE, "--pcr-private-key=pcr.key", "--pcr-public-key=missing"),
    "--secureboot-private-key": (*IMAGE, "--secureboot-private-key=missing", "--secureboot-certificate=db.crt"),
    "--secureboot-certificate": (*IMAGE, "--secureboot-private-key=db.key", "--secureboot-certificate=missing"),
    "--signing-engine": (*IMAGE, *SIGNING, "--signing-engine=chil"),
    "--join-pcrsig": ("build", "--join-pcrsig=missing", "--pcrsig={}"),
    "--pcrsig": ("build", "--join-pcrsig=stub", "--pcrsig={}"),
}


@pytest.mark.parametrize("option", NAMED)
def test_an_error_names_the_option_that_brought_it(both, option):
    ended = both.ours(*NAMED[option], "--output=refused.efi")
    assert ended.code == 1
    assert ended.err.splitlines()[-2 if "hint" in ended.err.splitlines()[-1] else -1].startswith(
        f"fuki: error: {option}:"
    )
    assert not (both.directory / "refused.efi").exists()


INSPECTED = (
    ("inspect", "FILE"),
    ("inspect", "FILE", "--all"),
    ("--all", "inspect", "FILE"),
    ("inspect", "FILE", "--json=short"),
    ("inspect", "FILE", "-j", "--all"),
    ("inspect", "FILE", "--section=.cmdline:text", "--section=.uname:binary", "--json=short"),
    ("inspect", "FILE", "--section=.cmdline:binary", "--section=.text:binary"),
    ("inspect", "FILE", "one.profile"),
)


@pytest.mark.parametrize("arguments", INSPECTED, ids=" ".join)
def test_inspect_prints_the_same(both, arguments):
    both.theirs(*IMAGE, *FIRMWARE, *JOINED, "--cmdline=@cmdline.txt", "--output=inspected.efi")
    words = [word.replace("FILE", "inspected.efi") for word in arguments]
    theirs, ours = both.theirs(*words), both.ours(*words)
    assert (theirs.code, ours.code) == (0, 0)
    assert ours.out == theirs.out


def test_inspect_writes_a_section_that_is_asked_for(both):
    ended = both.ours("inspect", "one.profile", "--section=.cmdline:text@written.txt")
    assert ended.code == 0
    assert (both.directory / "written.txt").read_bytes() == b"one"


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


def test_a_difference_on_purpose_can_be_switched_off(both):
    joined = (*IMAGE, "--join-profile=firmware.profile")
    both.build(*joined)
    assert not both.same
    both.build(*joined, more=("--upstream=joined-sections",))
    assert both.same
    signed = (*IMAGE, *FIRMWARE, *KEY)
    both.build(*signed)
    assert not both.same
    both.build(*signed, more=("--upstream=policies",))
    assert both.same


def test_the_version_has_three_words_the_third_being_that_of_upstream(both):
    word = both.ours("--version").out.split()[2]
    assert word.strip("()") == both.theirs("--version").out.split()[2].strip("()").partition("-")[0]


def test_the_summary_tells_the_options_that_hold_and_builds_nothing(both):
    before = sorted(both.directory.iterdir())
    ended = both.ours(*IMAGE, "--config=ukify.conf", "--summary", "--output=never.efi")
    assert ended.code == 0
    assert "'cmdline': 'quiet'" in ended.out
    assert sorted(both.directory.iterdir()) == before


def test_the_help_has_every_option_of_ukify(both):
    ours, theirs = (set(re.findall(r"--[a-z-]*[a-z]\b(?!-)", run("--help").out)) for run in (both.ours, both.theirs))
    assert theirs <= ours
    assert ours - theirs == {"--upstream"}
