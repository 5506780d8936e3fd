"""`fuki ukify` and ukify 262.1, called alike: the same bytes, the same standard output."""

import re

import parts
import pytest

from tests.support.ukify_calls import FIRMWARE, IMAGE, JOINED, KEY, PROFILE, PROFILES

ARCHITECTURES = ("x64", "ia32", "aa64", "arm", "riscv64", "loongarch64")

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
