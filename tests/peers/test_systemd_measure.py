"""PCR 11 and policy digests as systemd-measure computes them, over generated images.

systemd-measure is given what the stub would use on a machine; which that is follows from how the images are made here.
"""

import json
import random
import sys
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import parts
import pytest

from fuki_build.formats.pe import pe
from fuki_build.formats.uki import efifw, hwids
from fuki_build.formats.uki.hwids import Device, DeviceType
from fuki_build.hardware.chid import stub_chids
from fuki_build.hardware.machine import Machine
from fuki_build.image.assemble import assemble
from fuki_build.image.digest_plan import measured_in
from fuki_build.image.inspect import inspect
from fuki_build.image.stub import decode_stub
from fuki_build.measure.predict import cases, predict
from fuki_build.measure.registers import BANKS, PHASES
from fuki_build.measure.section_digests import SectionDigests
from fuki_build.measure.tpm_policy import policy_pcr
from tests.support.images import layout_of, write
from tests.support.systemd import library_path

MACHINES = [Machine(name=name, manufacturer="Acme", product=name) for name in ("one", "two", "none")]
PLAIN = (".linux", ".osrel", ".cmdline", ".initrd", ".ucode", ".splash", ".dtb", ".uname", ".pcrpkey")
ODD_PHASES = ("storage-target-mode", ":enter-initrd::final:")


@dataclass
class Generated:
    """Sections for an image, and what each machine sees of them, by profile."""

    sections: list[tuple[str, bytes, int | None]] = field(default_factory=list)
    seen: dict[tuple[int | None, str], dict[str, bytes]] = field(default_factory=dict)


def chid(machine: Machine) -> UUID:
    return stub_chids(machine)[9]


def slice_of(noise: random.Random, profile: int | None) -> tuple[list[tuple[str, bytes, int | None]], dict[str, Any]]:
    """A slice's sections: plain ones, and perhaps firmware for the first two machines and a devicetree for one."""
    names = PLAIN if profile is None else noise.sample(PLAIN[1:], 3)
    plain = {
        n: noise.randbytes(noise.choice([1, 4, 511, 512, 5000])) for n in names if n == ".linux" or noise.random() < 0.7
    }
    sections = [(name, content, profile) for name, content in plain.items()]
    own: dict[str, Any] = {"plain": plain, "firmware": {}}
    if noise.random() < 0.8:
        devices = []
        for machine in MACHINES[: noise.choice([1, 2])]:
            payload = noise.randbytes(700)
            firmware = efifw.encode_header(machine.name, len(payload)) + payload
            sections.append((".efifw", firmware, profile))
            own["firmware"][machine.name] = firmware
            devices.append(Device(DeviceType.UEFI_FW, "m", machine.name, frozenset({chid(machine)})))
        table = hwids.encode(devices)
        plain[".hwids"] = table
        sections.append((".hwids", table, profile))
    return sections, own


def generate(seed: int) -> Generated:
    noise = random.Random(seed)  # noqa: S311 - the same images in every run
    found = Generated()
    base, own = slice_of(noise, None)
    found.sections += base
    profiles: list[int | None] = list(range(noise.choice([0, 1, 3]))) or [None]
    for profile in profiles:
        plain, firmware = dict(own["plain"]), dict(own["firmware"])
        if profile is not None:
            title = f"ID=p{profile}\n".encode()
            sections, mine = slice_of(noise, profile)
            found.sections += [(".profile", title, profile), *sections]
            plain |= {**mine["plain"], ".profile": title}
            firmware |= mine["firmware"]
        for machine in MACHINES:
            chosen = {".efifw": firmware[machine.name]} if machine.name in firmware else {}
            found.seen[profile, machine.name] = {**plain, **chosen}
    return found


def stub_sbat() -> bytes:
    return decode_stub(parts.get("stub-x64"), parts.get("stub-x64").read_bytes()).section(".sbat")


@pytest.mark.parametrize("seed", range(10))
def test_every_profile_machine_phase_and_bank_has_the_value_that_systemd_measure_gives(seed, tmp_path, systemd_measure):
    made = generate(seed)
    layout = inspect(write(tmp_path / "image.efi", layout_of(made.sections)))
    contents = SectionDigests(layout, assemble(layout, digests=measured_in(BANKS)), tuple(BANKS))
    phases = [*PHASES, *ODD_PHASES]
    predictions = predict(contents, cases(layout, MACHINES, layout.profiles or (None,)))
    checked = 0
    for prediction in predictions:
        for name in prediction.case.machines:
            seen = made.seen[prediction.case.profile, name]
            expected = systemd_measure(
                "calculate", tmp_path, {".sbat": stub_sbat(), **seen}, *(f"--phase={phase}" for phase in phases)
            )
            for bank in BANKS:
                by_phase = {row["phase"]: row["hash"] for row in expected[bank]}
                for phase in phases:
                    words = [word for word in phase.split(":") if word]
                    value = prediction.value(11, bank, words)
                    assert value is not None
                    assert value.hex() == by_phase[":".join(words)], (name, bank, phase)
                    checked += 1
    assert checked == len(made.seen) * len(BANKS) * len(phases)


def test_a_policy_over_the_predicted_value_is_systemd_measures(tmp_path, systemd_measure):
    made = generate(3)
    layout = inspect(write(tmp_path / "image.efi", layout_of(made.sections)))
    contents = SectionDigests(layout, assemble(layout, digests=measured_in(BANKS)), tuple(BANKS))
    for prediction in predict(contents, cases(layout, MACHINES, layout.profiles or (None,))):
        seen = made.seen[prediction.case.profile, prediction.case.machines[0]]
        for phase in (PHASES[0], PHASES[3]):
            found = systemd_measure("policy-digest", tmp_path, {".sbat": stub_sbat(), **seen}, f"--phase={phase}")
            for bank in BANKS:
                value = prediction.value(11, bank, phase.split(":"))
                assert value is not None
                assert policy_pcr({11: value}, bank).hex() == found[bank][0]["pol"]


def test_what_a_section_lacks_in_the_file_counts_as_zeros(tmp_path, systemd_measure):
    """ukify before 257.9 gives a kernel's section the size that the kernel has in memory."""
    planned = layout_of([(".linux", b"kernel", None)])
    sections = tuple(
        header._replace(virtual_size=3_000_000) if header.name == ".linux" else header
        for header in planned.headers.sections
    )
    image = write(tmp_path / "image.efi", planned)
    head = pe.encode(planned.headers.with_sections(sections))
    with image.open("r+b") as file:
        file.write(head)
    layout = inspect(image)
    contents = SectionDigests(layout, assemble(layout, digests=measured_in(BANKS)), tuple(BANKS))
    (prediction,) = predict(contents, cases(layout, None, (None,)))
    seen = {".linux": b"kernel".ljust(3_000_000, b"\0"), ".sbat": stub_sbat()}
    expected = systemd_measure("calculate", tmp_path, seen, "--phase=enter-initrd")
    for bank in BANKS:
        value = prediction.value(11, bank, ["enter-initrd"])
        assert value is not None
        assert value.hex() == expected[bank][0]["hash"]


def test_ukify_predicts_another_value_as_soon_as_firmware_matches(tmp_path, tool):
    """ukify 262.1 leaves firmware out, so what it signs never holds on a machine that selects some; ours differs."""
    for name in ("linux", "os-release", "firmware/one/fw", "hwids/one.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "linux").symlink_to(parts.get("kernel-x64"))
    (tmp_path / "os-release").write_text("ID=acme\n")
    (tmp_path / "firmware/one/fw").write_bytes(b"firmware" * 100)
    device = {"type": "uefi-fw", "name": "one", "fwid": "one", "hwids": [str(chid(MACHINES[0]))]}
    (tmp_path / "hwids/one.json").write_text(json.dumps(device))
    program = parts.get("systemd-measure")
    printed = tool(
        *(sys.executable, parts.get("ukify"), "build", f"--stub={parts.get('stub-x64')}", "--linux=linux"),
        *("--os-release=@os-release", "--cmdline=quiet", "--uname=6", "--efifw=firmware/one", "--hwids=hwids"),
        *("--measure", "--json=short", "--output=image.efi", f"--tools={program.parent}"),
        cwd=tmp_path,
        LD_LIBRARY_PATH=library_path(program),
    )
    theirs = {bank: rows[0]["hash"] for bank, rows in json.loads(printed).items()}
    layout = inspect(tmp_path / "image.efi")
    contents = SectionDigests(layout, assemble(layout, digests=measured_in(BANKS)), tuple(BANKS))
    for prediction in predict(contents, cases(layout, MACHINES, (None,))):
        ours = {bank: (prediction.value(11, bank, ["enter-initrd"]) or b"").hex() for bank in BANKS}
        if prediction.case.firmware is None:
            assert ours == theirs
        else:
            assert not set(ours.values()) & set(theirs.values())
    assert any(case.firmware == "one" for case in cases(layout, MACHINES, (None,)))
