"""Signed policies over PCR 11: the very ones of systemd-measure, and they open what a TPM guards."""

import base64
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import parts
import pytest

from fuki_build.image.assemble import assemble
from fuki_build.image.inspect import inspect
from fuki_build.measure import pcr11
from fuki_build.measure.predict import cases
from fuki_build.measure.section_digests import SectionDigests
from fuki_build.testing import invoke, partial_recipe, recipe, refused, secure_boot, succeed
from tests.signing.conftest import SIGN
from tests.support.workshop import FIRMWARE

PHASES = (
    "enter-initrd",
    "enter-initrd:leave-initrd",
    "enter-initrd:leave-initrd:sysinit",
    "enter-initrd:leave-initrd:sysinit:ready",
)

RECIPE = recipe(initrd=["initrd.img"], cmdline="root=LABEL=root ro", os_release="os-release")


PROFILES = """
[[fuki.profile]]
id = "debug"
cmdline = "debug"
[[fuki.profile]]
id = "rescue"
cmdline = "rescue"
"""

POLICY = '\n[[fuki.pcr-policy]]\nkey = "pcr.key"\n'


def build(directory: Path, recipe: str, *arguments: str) -> Path:
    (directory / "fuki.toml").write_text(recipe)
    succeed(directory, "build", *arguments)
    return directory / "acme.efi"


def signatures(directory: Path, at: str = "") -> dict[str, list[dict]]:
    succeed(directory, "inspect", "acme.efi", "--extract", f".pcrsig{at}", "-o", "pcrsig")
    return json.loads((directory / "pcrsig").read_text())


def extracted(sections, into: Path) -> list[str]:
    """Options that give systemd-measure the content of sections."""
    into.mkdir(exist_ok=True)
    options = []
    for section in sections:
        path = into / section.name[1:]
        path.write_bytes(section.content.read_at(0, section.content.size))
        options.append(f"--{section.name[1:]}={path}")
    return options


def systemd_measure(directory: Path, verb: str, *arguments: str) -> dict[str, list[dict]]:
    program = parts.get("systemd-measure")
    libraries = program.parents[1] / "x86_64-linux-gnu"
    environment = {**os.environ, "LD_LIBRARY_PATH": f"{libraries}:{libraries}/systemd"}
    command: list[str | Path] = [program, verb, *arguments, "--json=short"]
    done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def as_sets(found: dict[str, list[dict]]) -> dict[str, set[str]]:
    return {bank: {json.dumps(entry, sort_keys=True) for entry in entries} for bank, entries in found.items()}


def merged(many: list[dict[str, list[dict]]]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for one in many:
        for bank, entries in as_sets(one).items():
            found.setdefault(bank, set()).update(entries)
    return found


def systemds(directory: Path, image: Path, profile: int | None, verb: str, *arguments: str) -> dict[str, set[str]]:
    """What systemd-measure makes for all that machines can select in a profile."""
    layout = inspect(image)
    made = []
    for number, case in enumerate(cases(layout, None, [profile])):
        options = extracted(case.measured, directory / f"case-{profile}-{number}")
        phases = [f"--phase={phase}" for phase in PHASES]
        made.append(systemd_measure(directory, verb, *options, *phases, *arguments))
    return merged(made)


BANKS = ("sha1", "sha256", "sha384", "sha512")
ALL_BANKS = f"banks = {json.dumps(BANKS)}\n"


@pytest.mark.parametrize("with_profiles", [False, True])
def test_they_are_those_of_systemd_measure_for_every_profile_and_firmware(pcr, with_profiles):
    image = build(pcr, RECIPE + FIRMWARE + (PROFILES if with_profiles else "") + POLICY + ALL_BANKS)
    for profile in (0, 1, 2) if with_profiles else (None,):
        ours = signatures(pcr, "" if profile is None else f"@{profile}")
        theirs = systemds(pcr, image, profile, "sign", "--private-key=pcr.key", *(f"--bank={b}" for b in BANKS))
        assert as_sets(ours) == theirs
        # Nothing selected, and either firmware, in four phases each.
        assert {bank: len(entries) for bank, entries in ours.items()} == dict.fromkeys(BANKS, 12)


def test_a_reference_is_bound_as_systemd_measure_does(pcr):
    image = build(pcr, RECIPE + POLICY + 'reference = "initrd"\n')
    theirs = systemds(pcr, image, None, "sign", "--private-key=pcr.key", "--bank=sha256", "--policyref=initrd")
    assert as_sets(signatures(pcr)) == theirs


def test_ukify_makes_the_same_where_there_is_no_firmware(pcr):
    image = build(pcr, RECIPE + POLICY + ALL_BANKS)
    program = parts.get("systemd-measure")
    libraries = program.parents[1] / "x86_64-linux-gnu"

    command = [
        sys.executable,
        str(parts.get("ukify")),
        "build",
        "--stub=stub",
        "--linux=vmlinuz",
        "--initrd=initrd.img",
    ]

    command += ["--cmdline=root=LABEL=root ro", "--os-release=@os-release", "--pcr-private-key=pcr.key"]
    command += ["--pcr-public-key=pcr.pub", f"--phases={' '.join(PHASES)}", f"--tools={program.parent}"]
    command += ["--output=theirs.efi"]
    environment = {**os.environ, "LD_LIBRARY_PATH": f"{libraries}:{libraries}/systemd"}
    done = subprocess.run(command, cwd=pcr, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    ours = as_sets(signatures(pcr))
    image.unlink()
    (pcr / "theirs.efi").rename(image)
    assert as_sets(signatures(pcr)) == ours


class TestWhat:
    def test_the_public_key_goes_into_the_image(self, pcr):
        build(pcr, RECIPE + POLICY)
        succeed(pcr, "inspect", "acme.efi", "--extract", ".pcrpkey", "-o", "key")
        assert (pcr / "key").read_bytes() == (pcr / "pcr.pub").read_bytes()

    def test_a_public_key_of_the_recipe_stays(self, pcr):
        build(pcr, RECIPE + 'pcrpkey = "os-release"\n' + POLICY)
        succeed(pcr, "inspect", "acme.efi", "--extract", ".pcrpkey", "-o", "key")
        assert (pcr / "key").read_bytes() == (pcr / "os-release").read_bytes()

    def test_several_keys_each_sign_their_phases(self, pcr):
        """As for secrets that only the initrd may have, and others."""
        both = POLICY + 'phases = ["enter-initrd"]\n' + POLICY.replace("pcr.key", "db.key") + 'phases = ["a", "a:b"]\n'
        build(pcr, RECIPE + both)
        policies = signatures(pcr)["sha256"]
        keys = [entry["pkfp"] for entry in policies]
        assert sorted(keys.count(key) for key in set(keys)) == [1, 2]
        assert invoke(pcr, "inspect", "acme.efi", "--extract", ".pcrpkey", "-o", "key").code == 2

    def test_only_the_profiles_that_are_named_get_policies(self, pcr):
        build(pcr, RECIPE + PROFILES + POLICY + 'profiles = ["rescue", "main"]\n')
        names = [
            (section["name"], section["profile"])
            for section in json.loads(succeed(pcr, "inspect", "acme.efi", "--json").out)["sections"]
        ]
        assert [profile for name, profile in names if name == ".pcrsig"] == [0, 2]

    def test_nothing_moves_from_plan_to_image(self, pcr):
        (pcr / "fuki.toml").write_text(
            RECIPE + FIRMWARE + PROFILES + POLICY + ALL_BANKS + SIGN + "sign-kernel = true\n"
        )
        planned = json.loads(succeed(pcr, "plan", "--json").out)["images"][0]["sections"]
        succeed(pcr, "build")
        built = json.loads(succeed(pcr, "inspect", "acme.efi", "--json").out)["sections"]
        places = ("name", "address", "offset", "size", "profile")
        assert [[s[k] for k in places] for s in planned] == [[s[k] for k in places] for s in built]

    def test_two_builds_give_the_same_bytes(self, pcr):
        recipe = RECIPE + FIRMWARE + POLICY + SIGN
        first = build(pcr, recipe).read_bytes()
        assert build(pcr, recipe).read_bytes() == first
        succeed(pcr, "verify", "acme.efi", "--certificate", "ca.crt")

    def test_planning_asks_for_no_secret_where_the_public_key_is_given(self, pcr):
        secure_boot.write_key(pcr / "locked.key", secure_boot.make_key(), "sesame")
        policy = POLICY.replace("pcr.key", "locked.key")
        (pcr / "fuki.toml").write_text(RECIPE + policy + 'public-key = "pcr.pub"\n')
        succeed(pcr, "plan")
        (pcr / "fuki.toml").write_text(RECIPE + policy)
        assert "fuki.pcr-policy[0].passphrase" in refused(pcr, "plan", code=4)

    def test_the_manifest_tells_of_the_section_as_it_was_made(self, pcr):
        build(pcr, RECIPE + POLICY, "--only", "uki", "--only", "manifest")
        image = json.loads((pcr / "acme.manifest.json").read_text())["images"][0]
        (digest,) = [section["sha256"] for section in image["sections"] if section["name"] == ".pcrsig"]
        signatures(pcr)
        assert digest == hashlib.sha256((pcr / "pcrsig").read_bytes()).hexdigest()


class TestOffline:
    @pytest.fixture
    def unsigned(self, pcr):
        build(pcr, RECIPE + FIRMWARE + PROFILES + POLICY + SIGN, "--unsigned")
        return pcr

    def sign(self, directory: Path, key: str) -> None:
        """One round with openssl."""
        document = json.loads(succeed(directory, "digests", "acme.efi").out)
        for item in document["digests"]:
            message = base64.b64decode(item["message"])
            command = ["openssl", "dgst", "-sha256", "-sign", key]
            signature = subprocess.run(command, cwd=directory, input=message, capture_output=True, check=True).stdout
            item["signature"] = base64.b64encode(signature).decode()
        (directory / "signed.json").write_text(json.dumps(document))

    def test_what_is_to_be_signed_is_that_of_systemd_measure(self, unsigned):
        image = unsigned / "acme.efi"
        theirs = systemds(unsigned, image, 1, "policy-digest", "--public-key=pcr.pub", "--bank=sha256")
        assert as_sets(signatures(unsigned, "@1")) == theirs

    def test_two_rounds_give_the_bytes_of_a_signed_build(self, unsigned):
        self.sign(unsigned, "pcr.key")
        succeed(unsigned, "attach", "acme.efi", "--signatures", "signed.json")
        self.sign(unsigned, "db.key")
        succeed(unsigned, "attach", "acme.efi", "--signatures", "signed.json", "--certificate", "db.crt")
        offline = (unsigned / "acme.efi").read_bytes()
        succeed(unsigned, "build")
        assert offline == (unsigned / "acme.efi").read_bytes()

    def test_a_signature_of_another_key_is_refused(self, unsigned):
        self.sign(unsigned, "db.key")
        error = refused(unsigned, "attach", "acme.efi", "--signatures", "signed.json", code=4)
        assert "digests[0].signature: the signature was not made by the key of its policy" in error

    def test_policies_of_a_signed_image_are_left_alone(self, unsigned):
        self.sign(unsigned, "pcr.key")
        succeed(unsigned, "sign", "acme.efi", "--key", "db.key", "--certificate", "db.crt")
        assert "--replace" in refused(unsigned, "attach", "acme.efi", "--signatures", "signed.json", code=4)

    def test_a_policy_of_another_image_is_refused(self, unsigned):
        self.sign(unsigned, "pcr.key")
        build(unsigned, RECIPE.replace(" ro", " rw") + POLICY, "--unsigned")
        error = refused(unsigned, "attach", "acme.efi", "--signatures", "signed.json", code=4)
        assert "the image has no policy that wants this signature" in error


class TestMistakes:
    @pytest.mark.parametrize(
        ("more", "place", "problem", "code"),
        [
            ('banks = ["md5"]', "banks", "there is no bank 'md5'", 2),
            ("banks = []", "banks", "there are no banks", 2),
            ("phases = []", "phases", "there are no phases", 2),
            ('phases = ["a", ":"]', "phases[1]", "has no word", 2),
            ('profiles = ["debug"]', "profiles[0]", "there is no profile 'debug'", 2),
            ('backend = "sbsign"', "backend", "no signing backend 'sbsign'", 2),
            ('public-key = "os-release"', "public-key", "not a public key", 2),
            ('public-key = "nope"', "public-key", "No such file", 4),
            ("phase = []", "phase", "did you mean 'phases'", 2),
        ],
    )
    def test_a_mistake_is_told_with_its_place(self, pcr, more, place, problem, code):
        (pcr / "fuki.toml").write_text(RECIPE + POLICY + more + "\n")
        error = refused(pcr, "build", code=code)
        assert f"fuki.pcr-policy[0].{place}: " in error
        assert problem in error

    def test_an_elliptic_curve_key_is_refused(self, pcr):
        secure_boot.write_key(pcr / "pcr.key", secure_boot.make_key("p256"))
        (pcr / "fuki.toml").write_text(RECIPE + POLICY)
        assert "systemd knows only RSA keys" in refused(pcr, "build", code=4)

    def test_a_key_that_is_not_the_planned_one_is_refused(self, pcr):
        secure_boot.write_key(pcr / "pcr.key", secure_boot.make_key())
        (pcr / "fuki.toml").write_text(RECIPE + POLICY + 'public-key = "pcr.pub"\n')
        assert "not made by the key that was planned" in refused(pcr, "build", code=4)

    def test_policies_that_are_given_and_made_are_refused(self, pcr):
        (pcr / "fuki.toml").write_text(RECIPE + '[fuki.image.sections]\n".pcrsig" = "os-release"\n' + POLICY)
        assert ".pcrsig" in refused(pcr, "build")


class TestTpm:
    """A secret sealed to the policy's key, in a software TPM."""

    @pytest.fixture
    def tpm(self, tmp_path: Path) -> Iterator[dict[str, str]]:
        """The environment in which tpm2-tools find it."""
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

    @staticmethod
    def extend(directory: Path, tpm: dict[str, str], fwid: str | None, phase: str) -> None:
        """What booting the image on a machine that selects that firmware measures into PCR 11."""
        layout = inspect(directory / "acme.efi")
        (case,) = [case for case in cases(layout, None, [None]) if case.firmware == fwid]
        contents = SectionDigests(layout, assemble(layout), ("sha256",))
        events = [event for section in case.measured for event in pcr11.section_events(section, contents)]
        digests = [event.digests["sha256"] for event in events]
        for digest in (*digests, *(hashlib.sha256(word.encode()).digest() for word in phase.split(":"))):
            subprocess.run(["tpm2_pcrextend", f"11:sha256={digest.hex()}"], env=tpm, check=True, capture_output=True)

    @staticmethod
    def unseal(directory: Path, tpm: dict[str, str], entry: dict) -> bool:
        """What systemd does with one signed policy: TPM2_PolicyPCR, then TPM2_PolicyAuthorize."""
        (directory / "pol").write_bytes(bytes.fromhex(entry["pol"]))
        (directory / "sig").write_bytes(base64.b64decode(entry["sig"]))

        script = """
set -e
tpm2_startauthsession -S session.ctx --policy-session
tpm2_policypcr -S session.ctx -l sha256:11
tpm2_loadexternal -C o -G rsa -u pcr.pub -c key.ctx -n key.name
tpm2_flushcontext -t
tpm2_verifysignature -c key.ctx -g sha256 -m pol -s sig -t ticket -f rsassa
tpm2_flushcontext -t
tpm2_policyauthorize -S session.ctx -i pol -n key.name -t ticket
tpm2_unseal -c sealed.ctx -p session:session.ctx >opened
"""

        done = subprocess.run(["sh", "-c", script], cwd=directory, env=tpm, capture_output=True, check=False)
        for kind in ("--loaded-session", "--transient-object"):
            subprocess.run(["tpm2_flushcontext", kind], env=tpm, check=False, capture_output=True)

        return done.returncode == 0 and (directory / "opened").read_bytes() == b"a secret"

    @staticmethod
    def seal(directory: Path, tpm: dict[str, str]) -> None:
        script = """
set -e
printf 'a secret' >secret
tpm2_loadexternal -C o -G rsa -u pcr.pub -c key.ctx -n key.name
tpm2_flushcontext -t
tpm2_startauthsession -S trial.ctx
tpm2_policyauthorize -S trial.ctx -L authorized.policy -n key.name
tpm2_flushcontext trial.ctx
tpm2_createprimary -C o -c primary.ctx
tpm2_flushcontext -t
tpm2_create -C primary.ctx -i secret -L authorized.policy -u sealed.pub -r sealed.priv
tpm2_flushcontext -t
tpm2_load -C primary.ctx -u sealed.pub -r sealed.priv -c sealed.ctx
tpm2_flushcontext -t
"""
        subprocess.run(["sh", "-c", script], cwd=directory, env=tpm, capture_output=True, check=True)

    @pytest.mark.parametrize("fwid", [None, "one", "two"])
    def test_a_signed_policy_opens_a_secret_on_every_machine_that_the_image_is_for(self, pcr, tpm, fwid):
        build(pcr, RECIPE + FIRMWARE + POLICY + 'phases = ["enter-initrd"]\n')
        self.seal(pcr, tpm)
        entries = signatures(pcr)["sha256"]
        assert not any(self.unseal(pcr, tpm, entry) for entry in entries)
        self.extend(pcr, tpm, fwid, "enter-initrd")
        assert sum(self.unseal(pcr, tpm, entry) for entry in entries) == 1

    def test_it_opens_nothing_in_a_later_phase(self, pcr, tpm):
        build(pcr, RECIPE + POLICY + 'phases = ["enter-initrd"]\n')
        self.seal(pcr, tpm)
        self.extend(pcr, tpm, None, "enter-initrd:leave-initrd")
        assert not any(self.unseal(pcr, tpm, entry) for entry in signatures(pcr)["sha256"])

    def test_it_opens_nothing_for_an_image_that_was_changed(self, pcr, tpm):
        build(pcr, RECIPE + POLICY + 'phases = ["enter-initrd"]\n')
        self.seal(pcr, tpm)
        entries = signatures(pcr)["sha256"]
        build(pcr, RECIPE.replace(" ro", " rw") + POLICY)
        self.extend(pcr, tpm, None, "enter-initrd")
        assert not any(self.unseal(pcr, tpm, entry) for entry in entries)


class TestEdits:
    """Of a changed image, the policies that stay are those that a build from such parts has, too."""

    def edited(self, directory: Path, *arguments: str) -> str:
        outcome = succeed(directory, "edit", "acme.efi", *arguments, "-o", "edited.efi")
        return outcome.err

    def policies(self, directory: Path, image: str, at: str = "") -> list[dict]:
        succeed(directory, "inspect", image, "--extract", f".pcrsig{at}", "-o", "pcrsig")
        return json.loads((directory / "pcrsig").read_text())["sha256"]

    def has(self, directory: Path, at: str = "") -> bool:
        return invoke(directory, "inspect", "edited.efi", "--extract", f".pcrsig{at}", "-o", "pcrsig").code == 0

    @pytest.mark.parametrize("more", [FIRMWARE, FIRMWARE + PROFILES], ids=["firmware", "profiles"])
    def test_without_a_change_the_image_stays_what_it_is(self, pcr, more):
        image = build(pcr, RECIPE + more + POLICY)
        assert "polic" not in self.edited(pcr)
        assert (pcr / "edited.efi").read_bytes() == image.read_bytes()

    def test_what_is_not_measured_leaves_them_alone(self, pcr):
        build(pcr, RECIPE + FIRMWARE + POLICY)
        before = self.policies(pcr, "acme.efi")
        self.edited(pcr, "--set", ".note=not measured")
        assert self.policies(pcr, "edited.efi") == before

    def test_none_holds_with_another_command_line(self, pcr):
        build(pcr, RECIPE + FIRMWARE + POLICY)
        said = self.edited(pcr, "--set", ".cmdline=other")
        assert "the policies in .pcrsig are left out" in said
        assert not self.has(pcr)
        edited = (pcr / "edited.efi").read_bytes()
        recipe = RECIPE.replace("root=LABEL=root ro", "other") + 'pcrpkey = "pcr.pub"\n'
        assert edited == build(pcr, recipe + FIRMWARE).read_bytes()

    def test_the_same_text_again_is_no_change(self, pcr):
        build(pcr, RECIPE + POLICY)
        assert "polic" not in self.edited(pcr, "--set", ".cmdline=root=LABEL=root ro")
        assert self.has(pcr)

    def test_those_for_other_firmware_and_for_none_hold_when_one_is_replaced(self, pcr):
        build(pcr, RECIPE + FIRMWARE + POLICY)
        before = self.policies(pcr, "acme.efi")
        said = self.edited(pcr, "--firmware", "two=one.fd")
        kept = self.policies(pcr, "edited.efi")
        assert "those that do not hold" in said

        # Nothing selected and the other firmware, in four phases each.
        assert len(before) == 12
        assert len(kept) == 8
        theirs = systemds(pcr, pcr / "edited.efi", None, "sign", "--private-key=pcr.key", "--bank=sha256")
        assert {json.dumps(entry, sort_keys=True) for entry in kept} <= theirs["sha256"]
        verdict = json.loads(invoke(pcr, "verify", "edited.efi", "--json").out)
        assert [bool(policy["holds"]) for policy in verdict["policies"]] == [True] * 8

    def test_a_profile_that_is_changed_loses_its_own_only(self, pcr):
        build(pcr, RECIPE + PROFILES + POLICY)
        before = {at: self.policies(pcr, "acme.efi", at) for at in ("@0", "@1", "@2")}
        said = self.edited(pcr, "--set", ".cmdline@debug=other")
        assert "@1" in said
        assert not self.has(pcr, "@1")
        for at in ("@0", "@2"):
            assert self.policies(pcr, "edited.efi", at) == before[at]

    def test_a_recipe_makes_them_anew(self, pcr):
        build(pcr, RECIPE + FIRMWARE + PROFILES + POLICY)
        (pcr / "part.toml").write_text(partial_recipe(POLICY))
        self.edited(pcr, "--set", ".cmdline=other", "--recipe", "part.toml")
        for profile in (0, 1, 2):
            theirs = systemds(pcr, pcr / "edited.efi", profile, "sign", "--private-key=pcr.key", "--bank=sha256")
            ours = self.policies(pcr, "edited.efi", f"@{profile}")
            assert {json.dumps(entry, sort_keys=True) for entry in ours} == theirs["sha256"]
