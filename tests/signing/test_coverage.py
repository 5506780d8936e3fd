"""Policies held against predictions: the pure comparison, and that it agrees with systemd-measure and ukify."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import parts

from fuki_build.formats.uki.pcrsig import PolicySignature
from fuki_build.image.assemble import assemble
from fuki_build.image.digest_plan import measured_in
from fuki_build.image.inspect import inspect
from fuki_build.measure.events import Event, Measurer
from fuki_build.measure.predict import Case, Prediction
from fuki_build.measure.registers import split_phases
from fuki_build.measure.tpm_policy import policy_pcr
from fuki_build.signing.pcr_policy.coverage import Coverage, PolicyScope, cover
from fuki_build.signing.pcr_policy.report import find_policies, predict_everything
from tests.support.pcr_policies import (
    ALL_BANKS,
    PHASES,
    POLICY,
    PROFILES,
    RECIPE,
    build,
    extracted,
    systemd_measure,
)
from tests.support.workshop import FIRMWARE

INITRD = ("enter-initrd",)
LATER = ("enter-initrd", "leave-initrd")
KEY, OTHER = "aa", "bb"


def prediction(content: bytes, profile: int | None = None, firmware: str | None = None) -> Prediction:
    """A case in which something is measured into PCR 11."""
    event = Event(
        pcr=11, type="EV_IPL", what="content", source="base", by=Measurer.STUB, digests={"sha256": content * 32}
    )
    return Prediction(Case(profile=profile, firmware=firmware, devicetree=None, measured=()), ("sha256",), (event,))


PLAIN = prediction(b"\1")
FIRM = prediction(b"\2", firmware="ovmf")


def entry(of: Prediction, phase: tuple[str, ...], key: str = KEY, pcrs: tuple[int, ...] = (11,)) -> PolicySignature:
    value = of.value(11, "sha256", phase)
    assert value is not None
    return PolicySignature(pcrs=pcrs, pkfp=key, pol=policy_pcr({11: value}, "sha256").hex())


def covered(entries: list[PolicySignature], *predictions: Prediction) -> Coverage:
    return cover({None: {"sha256": tuple(entries)}}, predictions, [INITRD, LATER])


def gaps(coverage: Coverage) -> list[tuple[str, PolicyScope]]:
    return [(gap.key, gap.place) for gap in coverage.gaps]


PoliciesBySection = dict[int | None, dict[str, tuple[PolicySignature, ...]]]


class TestPlaces:
    def test_a_policy_holds_where_its_register_has_the_value(self):
        coverage = covered([entry(PLAIN, LATER), entry(FIRM, INITRD)], PLAIN, FIRM)
        assert [held.places for held in coverage.held] == [(PolicyScope(0, LATER),), (PolicyScope(1, INITRD),)]

    def test_hex_is_read_in_either_case(self):
        policy = entry(PLAIN, INITRD)
        (held,) = covered([PolicySignature(pcrs=(11,), pkfp="AA", pol=policy.pol.upper())], PLAIN).held
        assert (held.key, held.places) == ("aa", (PolicyScope(0, INITRD),))

    def test_one_for_the_time_before_any_phase_is_recognised(self):
        (held,) = covered([entry(PLAIN, ())], PLAIN).held
        assert held.places == (PolicyScope(0, ()),)

    def test_one_of_another_image_holds_nowhere(self):
        (held,) = covered([entry(prediction(b"\3"), INITRD)], PLAIN).held
        assert (held.comparable, held.places) == (True, ())

    def test_one_over_other_registers_is_not_compared(self):
        coverage = covered([entry(PLAIN, INITRD, pcrs=(7, 11))], PLAIN)
        assert (coverage.held[0].comparable, coverage.held[0].places, coverage.gaps) == (False, (), ())

    def test_where_nothing_is_predicted_nothing_holds(self):
        coverage = covered([entry(PLAIN, INITRD)])
        assert (coverage.held[0].places, coverage.gaps) == ((), ())


class TestSections:
    MAIN, DEBUG = prediction(b"\1", 0), prediction(b"\2", 1)

    def test_a_profile_s_own_section_stands_over_the_base_s(self):
        sections: PoliciesBySection = {
            None: {"sha256": (entry(self.MAIN, INITRD), entry(self.DEBUG, INITRD))},
            1: {"sha256": ()},
        }
        first, second = cover(sections, [self.MAIN, self.DEBUG], [INITRD]).held
        assert (first.places, second.places) == ((PolicyScope(0, INITRD),), ())
        assert first.seen_by == (0,)

    def test_a_profile_without_one_sees_the_base_s(self):
        sections: PoliciesBySection = {None: {"sha256": (entry(self.DEBUG, INITRD),)}}
        (held,) = cover(sections, [self.MAIN, self.DEBUG], [INITRD]).held
        assert (held.places, held.seen_by) == ((PolicyScope(1, INITRD),), (0, 1))

    def test_a_profile_without_any_is_no_gap(self):
        coverage = cover({0: {"sha256": (entry(self.MAIN, INITRD),)}}, [self.MAIN, self.DEBUG], [INITRD])
        assert coverage.gaps == ()


class TestGaps:
    def test_a_phase_that_a_key_has_elsewhere_is_one(self):
        coverage = covered([entry(PLAIN, INITRD), entry(PLAIN, LATER), entry(FIRM, INITRD)], PLAIN, FIRM)
        assert gaps(coverage) == [(KEY, PolicyScope(1, LATER))]

    def test_a_phase_that_a_key_has_nowhere_is_none(self):
        """As for a key that opens secrets in the initrd only."""
        assert covered([entry(PLAIN, INITRD), entry(FIRM, INITRD)], PLAIN, FIRM).gaps == ()

    def test_each_key_is_told_apart(self):
        coverage = covered([entry(PLAIN, INITRD), entry(FIRM, INITRD, OTHER)], PLAIN, FIRM)
        assert gaps(coverage) == [(KEY, PolicyScope(1, INITRD)), (OTHER, PolicyScope(0, INITRD))]

    def test_a_key_whose_policies_all_hold_nowhere_leaves_out_everything(self):
        coverage = covered([entry(prediction(b"\3"), INITRD)], PLAIN)
        assert gaps(coverage) == [(KEY, PolicyScope(0, INITRD)), (KEY, PolicyScope(0, LATER))]


def coverage_of(image: Path) -> tuple[Coverage, tuple[Prediction, ...]]:
    layout = inspect(image)
    coverage = find_policies(layout)
    predictions = predict_everything(layout, assemble(layout, digests=measured_in(coverage.banks)), coverage.banks)
    assert predictions is not None
    return cover(coverage.sections, predictions, [split_phases(path) for path in PHASES]), predictions


class TestImages:
    def test_every_policy_that_fuki_makes_holds_where_systemd_measure_says(self, pcr):
        image = build(pcr, RECIPE + FIRMWARE + PROFILES + POLICY + ALL_BANKS)
        coverage, predictions = coverage_of(image)
        assert coverage.gaps == ()
        assert Counter(len(held.places) for held in coverage.held) == {1: 3 * 3 * 4 * 4}

        for index, predicted in enumerate(predictions):
            options = extracted(predicted.case.measured, pcr / f"case-{index}")
            banks = [f"--bank={bank}" for bank in predicted.banks]
            for phase in PHASES:
                theirs = systemd_measure(pcr, "policy-digest", *options, f"--phase={phase}", *banks)
                ours = {
                    held.bank: held.entry.pol
                    for held in coverage.held
                    if PolicyScope(index, split_phases(phase)) in held.places
                }
                assert ours == {bank: entries[0]["pol"] for bank, entries in theirs.items()}

    def test_ukify_s_policies_leave_out_every_machine_that_selects_firmware(self, pcr):
        (pcr / "hwids").mkdir()
        device = {"type": "uefi-fw", "name": "q35", "fwid": "firm", "hwids": ["817fca52-ae83-52f5-8642-9497f79d49d0"]}
        (pcr / "hwids/q35.json").write_text(json.dumps(device))
        (pcr / "firm").mkdir()
        (pcr / "firm/fw").write_bytes(b"firmware" * 100)
        program = parts.get("systemd-measure")
        libraries = program.parents[1] / "x86_64-linux-gnu"

        command = [
            sys.executable,
            str(parts.get("ukify")),
            "build",
            "--stub=stub",
            "--linux=vmlinuz",
            "--cmdline=quiet",
        ]

        command += ["--os-release=@os-release", "--uname=6", "--efifw=firm", "--hwids=hwids", "--output=theirs.efi"]
        command += ["--pcr-private-key=pcr.key", "--pcr-public-key=pcr.pub", "--pcr-banks=sha256"]
        command += [f"--phases={' '.join(PHASES)}", f"--tools={program.parent}"]
        environment = {**os.environ, "LD_LIBRARY_PATH": f"{libraries}:{libraries}/systemd"}
        done = subprocess.run(command, cwd=pcr, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        coverage, predictions = coverage_of(pcr / "theirs.efi")
        plain, firm = sorted(range(2), key=lambda index: predictions[index].case.firmware or "")
        phases = [split_phases(path) for path in PHASES]
        assert {held.places for held in coverage.held} == {(PolicyScope(plain, phase),) for phase in phases}
        assert [gap.place for gap in coverage.gaps] == [PolicyScope(firm, phase) for phase in phases]

    def test_policies_of_another_command_line_hold_nowhere(self, pcr):
        build(pcr, RECIPE + POLICY)
        (pcr / "old").write_bytes(extract(pcr))
        image = build(pcr, RECIPE.replace(" ro", " rw") + '[fuki.image.sections]\n".pcrsig" = "old"\n')
        coverage, _ = coverage_of(image)
        assert [held.places for held in coverage.held] == [()] * len(PHASES)


def extract(directory: Path) -> bytes:
    layout = inspect(directory / "acme.efi")
    (section,) = layout.find(".pcrsig")
    return section.content.read_at(0, section.content.size)
