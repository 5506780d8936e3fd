"""`fuki ukify` and ukify 262.1, called alike with what cannot be: the same verdicts, and one error at its option."""

import pytest

from tests.support.ukify_calls import IMAGE, KEY, SIGNING

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
    "--signing-engine": (*IMAGE, *SIGNING, "--signing-engine=chil"),
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
