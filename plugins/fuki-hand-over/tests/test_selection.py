"""The program selects what fuki says that the stub selects, on every machine and from every table."""

import ctypes
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID, uuid5

import hand_over_bench as bench
import pytest
from fuki_build import Layout, Machine, find_machines, inspect, new_host
from fuki_build.formats.uki import hwids
from fuki_build.formats.uki.hand_over_outcome import HandOverResult
from fuki_build.formats.uki.hwids import Device, DeviceType
from fuki_build.image.firmware import Slice, slices
from fuki_build.image.selection import select
from fuki_build.image.stub import MODELS
from fuki_build.testing import STUB_ORDER, stub_chids
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

PLUGINS = ("aws", "azure", "clouds", "gcp", "virt")
FIELDS = ("manufacturer", "product", "family", "sku", "baseboard_manufacturer", "baseboard_product")
NIL = UUID(int=0)


def some_machines() -> list[Machine]:
    """Up to four of every platform: EC2 alone has a thousand, which differ in one word."""
    host = new_host(PLUGINS)
    names = host.names("fuki_platforms")
    return [machine for name in names for machine in find_machines(name, Path(), host, "test")[:4]]


def smbios_of(machine: Machine) -> bytes:
    return bench.write_smbios({name: getattr(machine, name).encode("utf-8", "surrogateescape") for name in FIELDS})


class Image(bytes):
    """An image that a failing test does not print."""

    def __repr__(self) -> str:
        return f"<{len(self)} bytes>"


def from_program(
    library: ctypes.CDLL, image: bytes, machine: Machine, options: str = ""
) -> tuple[str, int | None, UUID | None] | None:
    """What the program selects: fwid, CHID type and CHID."""
    with bench.machine(library, image, smbios_of(machine)) as guest:
        guest.put("options", options.encode("utf-16-le"))
        guest.state.has_hypervisor = 0
        outcome = guest.start()
        assert guest.state.returned
        assert not guest.state.pages_left
    assert outcome
    if outcome.result is HandOverResult.NOTHING_SELECTED:
        return None
    return outcome.fwid, outcome.chid_type, outcome.chid


def from_fuki(
    parts: Sequence[Slice], machine: Machine, profile: int | None
) -> tuple[str, int | None, UUID | None] | None:
    hit = select(parts, MODELS[-1], machine, profile).firmware
    return (str(hit.key), hit.kind, hit.chid) if hit and hit.section else None


def read(tmp_path, image: bytes) -> Layout:
    file = tmp_path / "image.efi"
    file.write_bytes(image)
    return inspect(file)


def image_for(machines: Sequence[Machine], kind: int) -> bytes:
    """An image with firmware of its own for each machine that CHIDs of one type tell from others."""
    devices, sections = [], []
    for number, machine in enumerate(machines):
        devices.append(Device(DeviceType.UEFI_FW, f"n{number}", f"f{number}", frozenset({stub_chids(machine)[kind]})))
        sections.append((".efifw", bench.efifw(f"f{number}", b"payload")))
    return bench.write_image((".hwids", hwids.encode(devices)), *sections)


@pytest.mark.parametrize("kind", [kind for kind in STUB_ORDER if kind < 15])
def test_every_platforms_machines_select_the_same_through_each_type(kind, library, tmp_path):
    machines = some_machines()
    assert len(machines) > 15
    image = image_for(machines, kind)
    layout = read(tmp_path, image)
    parts = slices(layout.plain_sections)
    for machine in machines:
        expected = from_fuki(parts, machine, None)
        assert expected
        assert from_program(library, image, machine) == expected


texts = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12),
    # What is no UTF-8 is carried as the machine has it.
    st.binary(max_size=12).map(lambda raw: raw.replace(b"\0", b"").decode("utf-8", "surrogateescape")),
)
padded = st.tuples(st.sampled_from(["", " ", "00", " 0 "]), texts, st.sampled_from(["", " ", "  "])).map("".join)
random_machines = st.builds(
    lambda values: Machine(name="random", **dict(zip(FIELDS, values, strict=True))), st.tuples(*[padded] * len(FIELDS))
).filter(lambda machine: bool(machine.manufacturer))


@st.composite
def tables(draw: st.DrawFn, machine: Machine) -> bytes:
    """A table in which the machine's ids are some among others, firmware's among devicetrees'."""
    own = [*stub_chids(machine).values(), NIL]
    ids = st.one_of(st.sampled_from(own), st.integers(0, 3).map(lambda n: uuid5(NIL, str(n))))
    device = st.builds(
        Device,
        st.sampled_from(DeviceType),
        st.sampled_from(["", "name"]),
        st.sampled_from(["a", "b", "c", "missing"]),
        st.frozensets(ids, min_size=1, max_size=4),
    )
    return hwids.encode(draw(st.lists(device, max_size=6)))


@st.composite
def images(draw: st.DrawFn, machine: Machine) -> bytes:
    """A base and up to two profiles, each with or without a table and firmware."""
    sections: list[tuple[str, bytes]] = []
    for profile in range(-1, draw(st.integers(-1, 1)) + 1):
        if profile >= 0:
            sections.append((".profile", b"ID=p%d\n" % profile))
        if draw(st.booleans()):
            sections.append((".hwids", draw(tables(machine))))
        for fwid in draw(st.lists(st.sampled_from(["a", "b", "c"]), max_size=4)):
            damage = draw(st.sampled_from([0, 0, 0, 1]))
            sections.append((".efifw", bench.efifw(fwid, b"payload")[damage:]))
    return Image(bench.write_image((".text", b"code"), *sections))


@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_tables_select_the_same_on_random_machines(library, tmp_path, data):
    machine = data.draw(random_machines)
    image = data.draw(images(machine))
    layout = read(tmp_path, image)
    profile = data.draw(st.sampled_from(layout.profiles)) if layout.profiles else None
    options = data.draw(st.sampled_from(["", f"@{profile or 0}", f"@{profile or 0} quiet"]))
    number = profile if options else (0 if layout.profiles else None)
    expected = from_fuki(slices(layout.plain_sections), machine, number)
    assert from_program(library, image, machine, options) == expected


ACME = Machine(name="m", manufacturer="Acme")


def three_profiles() -> list[tuple[str, bytes]]:
    """A base with the firmware 'base', and profiles 'p0' to 'p2' with their own."""

    def own(name: str) -> list[tuple[str, bytes]]:
        table = hwids.encode([Device(DeviceType.UEFI_FW, name, name, frozenset({stub_chids(ACME)[11]}))])
        return [(".hwids", table), (".efifw", bench.efifw(name, b"x"))]

    profiles = [section for n in range(3) for section in [(".profile", b"ID=x"), *own(f"p{n}")]]
    return [*own("base"), *profiles]


OPTIONS = {
    "": "p0",
    "@0": "p0",
    "@1": "p1",
    "@2 root=/dev/sda": "p2",
    "@1x": "p0",
    "@ 1": "p0",
    "@": "p0",
    "quiet @1": "p0",
    "@01": "p1",
    "@3": None,  # the stub does not start without that profile
    "@1\tquiet": "p0",  # control characters: no text
    "@1 a\x01": "p0",
    "@4294967296": "p0",
    "@18446744073709551617": "p0",
}
"""Load options, and what they select where the base has the firmware 'base' and profiles have their own."""


@pytest.mark.parametrize(("options", "fwid"), OPTIONS.items())
def test_profiles_are_asked_for_as_the_stub_reads_options(options, fwid, library):
    outcome = from_program(library, bench.write_image(*three_profiles()), ACME, options)
    assert (outcome[0] if outcome else None) == fwid


@pytest.mark.parametrize(("argument", "fwid"), [("@1", "p1"), ("@1 ", "p0"), ("quiet", "p0"), ("@0", "p0")])
def test_the_shells_first_argument_names_a_profile(argument, fwid, library):
    with bench.machine(library, bench.write_image(*three_profiles()), smbios_of(ACME)) as guest:
        text = ctypes.create_string_buffer((argument + "\0").encode("utf-16-le"))
        guest.state.shell_argument = ctypes.addressof(text)
        outcome = guest.start()
    assert outcome
    assert outcome.fwid == fwid


ODD = {
    b"Caf\xe9 Box": b"Cafox",  # a lead byte of three takes two more with it
    b"\xff\xfeBoard": b"Board",
    b"snow\xf0\x9f\x98\x80man": b"snowman",
    b"end\xe2\x82": b"end",
    b"\xc3(x": b"x",
    b"\xed\xa0\x80y": b"y",  # a surrogate is no character
    b"\xf8\x88\x80\x80\x80z": b"z",
    b"\xc1\x81": b"A",  # overlong forms count
}
"""Strings that are not UTF-8, or beyond U+FFFF, and what hashes the same.

Like the first three were booted with stub 262.1.
"""


@pytest.mark.parametrize("raw", ODD)
def test_odd_strings_hash_as_the_stub_hashes_them(raw, library):
    machine = Machine(name="m", manufacturer="Acme", product=ODD[raw].decode())
    table = hwids.encode([Device(DeviceType.UEFI_FW, "n", "f", frozenset({stub_chids(machine)[9]}))])
    image = bench.write_image((".hwids", table), (".efifw", bench.efifw("f", b"x")))
    with bench.machine(library, image, bench.write_smbios({"manufacturer": b"Acme", "product": raw})) as guest:
        outcome = guest.start()
    assert outcome
    assert outcome.chid == stub_chids(machine)[9]
