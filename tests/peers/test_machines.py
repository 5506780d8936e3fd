"""Machines as SMBIOS, dmidecode, fwupdtool and systemd-analyze tell them: all must come to the same hardware ids."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

import parts
import pytest

from fuki_build.formats.hardware import dmi_text, smbios
from fuki_build.hardware import capture
from fuki_build.hardware.chid import FIELDS, Dialect, chid
from fuki_build.hardware.machine import STRINGS, Machine, decode_file, encode_file, from_strings
from tests.support.smbios import T440S, baseboard, bios, dump, enclosure, end, entry_point, structure, system, table

LIBRARIES = "usr/lib/x86_64-linux-gnu"

IDENTITIES: dict[str, Mapping[str, str]] = {
    "a laptop": T440S,
    "a guest with few strings": {"manufacturer": "QEMU", "product": "Standard PC (Q35 + ICH9, 2009)"},
    "padded strings": {**T440S, "manufacturer": "  LENOVO  ", "product": "20AR "},
    "leading zeros": {**T440S, "manufacturer": "0LENOVO", "sku": "00012"},
    "a zero behind spaces, a space behind zeros": {**T440S, "manufacturer": " 00 LENOVO"},
    "nothing but zeros": {**T440S, "product": "00000000"},
    "blank strings": {**T440S, "sku": " ", "family": "   "},
    "other scripts": {**T440S, "manufacturer": "Ünîcödé", "product": "机器 1"},
    "odd signs": {**T440S, "product": 'a "b" \\ & c: d', "sku": "x) (y"},
}
TABLES = {
    **{name: table(values) for name, values in IDENTITIES.items()},
    "a release that the firmware does not tell": table(release=(255, 255)),
    "half a release": table(release=(1, 255)),
    "release 0.0": table(release=(0, 0)),
    "no release, as before SMBIOS 2.4": table(release=None),
    "an enclosure with a lock": table(enclosure_kind=0x83),
    "an enclosure of two digits": table(enclosure_kind=0x20),
    "another order": system(T440S)
    + enclosure()
    + structure(11, b"\1", b"OEM")
    + baseboard(T440S)
    + bios(T440S)
    + end(),
    "no baseboard and no enclosure": bios(T440S) + system(T440S) + end(),
}
ASCII = [name for name in TABLES if name != "other scripts"]
"""dmidecode shows a dot for every other sign, fwupdtool a question mark."""

Ids = Mapping[int, str]


def ids(machine: Machine) -> Ids:
    chids = {kind: chid(machine, kind, Dialect.MICROSOFT) for kind in range(15)}
    return {kind: str(value) for kind, value in chids.items() if value}


@pytest.fixture
def fwupdtool(tmp_path: Path) -> Callable[[bytes], str]:
    """What `fwupdtool hwids` prints on a machine with a table."""

    def run(structures: bytes) -> str:
        tables = tmp_path / "firmware/dmi/tables"
        tables.mkdir(parents=True)
        (tables / "DMI").write_bytes(structures)
        (tables / "smbios_entry_point").write_bytes(entry_point(structures))
        program = parts.get("fwupdtool")

        libraries = program.parents[2] / LIBRARIES
        (private,) = libraries.glob("fwupd-*")
        environment = {
            **os.environ,
            "LD_LIBRARY_PATH": f"{libraries}:{private}",
            "FWUPD_SYSFSFWDIR": str(tmp_path / "firmware"),
        }

        return subprocess.run(
            [program, "hwids"], env=environment, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL
        ).stdout

    return run


def printed_by_fwupdtool(text: str) -> Ids:
    names = dict(dmi_text._FWUPDTOOL)
    kinds = {fields: kind for kind, fields in FIELDS.items()}
    rows = re.findall(r"^\{([-0-9a-f]{36})\} +<- (.*)$", text, re.MULTILINE)
    listed = [(kinds.get(tuple(names[name] for name in fields.split(" + "))), value) for value, fields in rows]
    return {kind: value for kind, value in listed if kind is not None}


@pytest.mark.parametrize("name", TABLES)
def test_fwupd_computes_the_same_ids_from_the_same_table(name: str, fwupdtool: Callable[[bytes], str]):
    machine = from_strings("x", smbios.identity(TABLES[name]))
    theirs = printed_by_fwupdtool(fwupdtool(TABLES[name]))
    assert 14 in theirs
    assert ids(machine) == theirs


STRIPPED_ONCE = [name for name in ASCII if name != "a zero behind spaces, a space behind zeros"]
"""fwupdtool prints strings stripped, and one may lose more when it is stripped again."""


@pytest.mark.parametrize("name", STRIPPED_ONCE)
def test_what_fwupdtool_prints_leads_to_the_same_ids(name: str, fwupdtool: Callable[[bytes], str]):
    text = fwupdtool(TABLES[name])
    assert ids(capture.decode(text.encode(), "x")) == printed_by_fwupdtool(text)


@pytest.fixture
def analyze(tmp_path: Path) -> Callable[..., str]:
    """What `systemd-analyze chid` prints on a machine whose /sys/class/dmi/id has these files."""

    def run(files: Mapping[str, str], *arguments: str, **environment: str) -> str:
        # It refuses to run in containers, so it gets a root of its own, without what tells them.
        root = tmp_path / "root"
        root.mkdir()
        program = parts.get("systemd-analyze")
        shutil.copy(program, root / "systemd-analyze")
        private = root / "lib"
        private.mkdir()
        (core,) = parts.get("libsystemd-shared").parent.glob("libsystemd-core-*.so")
        libraries = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout

        system_libraries = [line.split()[2] for line in libraries.splitlines() if "=> /" in line]
        for library in (parts.get("libsystemd-shared"), core, *map(Path, system_libraries)):
            shutil.copy(library, private)

        loader = next(word for word in libraries.split() if "/ld-linux" in word)
        (root / loader.lstrip("/")).parent.mkdir()
        shutil.copy(loader, root / loader.lstrip("/"))
        sysfs = root / "sys/class/dmi/id"
        sysfs.mkdir(parents=True)

        for name, text in files.items():
            (sysfs / name).write_text(text + "\n")

        command = ["unshare", "--map-root-user", f"--root={root}", "/systemd-analyze", "chid", "--no-pager", *arguments]
        return subprocess.run(
            command, env={"LD_LIBRARY_PATH": "/lib", **environment}, capture_output=True, text=True, check=True
        ).stdout

    return run


def sysfs(values: Mapping[str, str]) -> dict[str, str]:
    """The kernel's files: releases and enclosure in decimal."""
    named = {file: values[field] for file, field in capture._SYSFS.items() if field in values}
    return {**named, "bios_release": "2.25", "chassis_type": "10"}


def printed_by_analyze(text: str) -> Ids:
    return {row["type"]: row["chid"] for row in json.loads(text)}


PLAIN = ["a laptop", "a guest with few strings", "other scripts", "odd signs"]


@pytest.mark.parametrize("name", PLAIN)
def test_systemd_computes_the_same_ids_from_what_the_kernel_shows(
    name: str, analyze: Callable[..., str], tmp_path: Path
):
    theirs = printed_by_analyze(analyze(sysfs(IDENTITIES[name]), "--json=short"))
    machine = capture.this_machine(tmp_path / "root/sys/class/dmi/id", tmp_path / "no-table")
    assert 14 in theirs
    assert ids(machine) == theirs


@pytest.mark.parametrize("environment", [{}, {"SYSTEMD_UTF8": "1", "LC_ALL": "C.UTF-8"}], ids=["ascii", "utf-8"])
@pytest.mark.parametrize("name", IDENTITIES)
def test_the_legend_of_systemd_analyze_is_the_machines_strings(
    name: str, environment: Mapping[str, str], analyze: Callable[..., str]
):
    text = analyze(sysfs(IDENTITIES[name]), **environment)
    machine = capture.decode(text.encode(), "x")
    expected = {**IDENTITIES[name], "bios_major": "02", "bios_minor": "19", "enclosure_type": "a"}
    assert {field: getattr(machine, field) for field in STRINGS if getattr(machine, field)} == expected


def test_ids_that_systemd_analyze_lists_without_a_legend_are_taken_as_they_are(analyze: Callable[..., str]):
    text = analyze(sysfs(T440S))
    listing = text.partition("LEGEND")[0]
    machine = capture.decode(listing.encode(), "x")
    assert ids(machine) == ids(from_strings("x", smbios.identity(table())))


def test_systemd_does_not_strip_where_fwupd_does(analyze: Callable[..., str]):
    padded = IDENTITIES["padded strings"]
    theirs = printed_by_analyze(analyze(sysfs(padded), "--json=short"))
    assert theirs[14] != ids(from_strings("x", padded))[14] == ids(from_strings("x", T440S))[14]


def dmidecode(path: Path, *arguments: str) -> str:
    command = ["dmidecode", "--from-dump", str(path), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "PATH": PATH}).stdout


PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"
KEYWORDS = {
    "bios-vendor": "bios_vendor",
    "bios-version": "bios_version",
    "system-manufacturer": "manufacturer",
    "system-product-name": "product",
    "system-sku-number": "sku",
    "system-family": "family",
    "baseboard-manufacturer": "baseboard_manufacturer",
    "baseboard-product-name": "baseboard_product",
}


@pytest.mark.parametrize("name", ASCII)
def test_dmidecode_reads_the_same_strings_from_a_dump(name: str, tmp_path: Path):
    (tmp_path / "dump").write_bytes(dump(TABLES[name]))
    machine = capture.decode((tmp_path / "dump").read_bytes(), "x")
    for keyword, field in KEYWORDS.items():
        shown = dmidecode(tmp_path / "dump", "--string", keyword).removesuffix("\n")
        assert getattr(machine, field) == ("" if shown == "Not Specified" else shown)


@pytest.mark.parametrize("name", ASCII)
def test_what_dmidecode_prints_is_the_machine_of_the_dump(name: str, tmp_path: Path):
    (tmp_path / "dump").write_bytes(dump(TABLES[name]))
    from_dump = capture.decode((tmp_path / "dump").read_bytes(), "x")
    from_text = capture.decode(dmidecode(tmp_path / "dump").encode(), "x")
    # It names the enclosure in words, and leaves out a release that the firmware does not tell.
    told = [field for field in STRINGS if field != "enclosure_type"]
    if "ff" in (from_dump.bios_major, from_dump.bios_minor):
        told = [field for field in told if not field.startswith("bios_m")]
    assert {f: getattr(from_text, f) for f in told} == {f: getattr(from_dump, f) for f in told}


class Qemu:
    """A guest without a disk, whose memory can be read."""

    def __init__(self, directory: Path, machine: str, *arguments: str) -> None:
        command = ["qemu-system-x86_64", "-M", machine, "-accel", "tcg", "-m", "64", "-nodefaults", "-display", "none"]
        self._process = subprocess.Popen(
            [*command, "-qmp", "stdio", *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._file = directory / "memory"
        self._ask("qmp_capabilities")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def _ask(self, command: str, **arguments: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self._process.stdin.flush()
        answer = next(line for line in self._process.stdout if '"return"' in line or '"error"' in line)
        assert '"return"' in answer, answer

    def memory(self, address: int, size: int) -> bytes:
        self._ask("pmemsave", val=address, size=size, filename=str(self._file))
        return self._file.read_bytes()

    def table(self) -> bytes:
        """The SMBIOS table that the firmware laid out, found by its 32-bit entry point (DSP0134, 5.2.1)."""
        while True:
            segment = self.memory(0xF0000, 0x10000)
            for at in range(0, len(segment), 16):
                point = segment[at : at + 31]
                if point.startswith(b"_SM_") and sum(point) % 256 == 0:
                    size = int.from_bytes(point[0x16:0x18], "little")
                    return self.memory(int.from_bytes(point[0x18:0x1C], "little"), size)


CHOSEN = ("type=1,manufacturer=Acme,product=Node 7,sku=A-7,family=Nodes", "type=2,manufacturer=Acme Boards,product=B7")
GUESTS = {
    "q35": ("q35", (), {"manufacturer": "QEMU", "product": "Standard PC (Q35 + ICH9, 2009)"}),
    "i440fx": ("pc", (), {"manufacturer": "QEMU", "product": "Standard PC (i440FX + PIIX, 1996)"}),
    "strings of the tenant's own": (
        "q35",
        CHOSEN,
        {
            "manufacturer": "Acme",
            "product": "Node 7",
            "sku": "A-7",
            "family": "Nodes",
            "baseboard_manufacturer": "Acme Boards",
            "baseboard_product": "B7",
        },
    ),
}
SYSTEM_AND_BASEBOARD = ("manufacturer", "product", "sku", "family", "baseboard_manufacturer", "baseboard_product")


@pytest.mark.parametrize(("machine", "options", "expected"), GUESTS.values(), ids=GUESTS)
def test_the_table_of_a_guest_has_the_strings_that_qemu_was_told(
    machine: str, options: tuple[str, ...], expected: Mapping[str, str], tmp_path: Path
):
    arguments = [word for option in options for word in ("-smbios", option)]
    with Qemu(tmp_path, f"{machine},smbios-entry-point-type=32", *arguments) as guest:
        structures = guest.table()
    (tmp_path / "dump").write_bytes(dump(structures))
    found = capture.decode((tmp_path / "dump").read_bytes(), "x")
    assert {f: getattr(found, f) for f in SYSTEM_AND_BASEBOARD if getattr(found, f)} == expected
    assert found.bios_vendor == dmidecode(tmp_path / "dump", "--string", "bios-vendor").strip() == "SeaBIOS"
    # As the kernel shows it in /sys/firmware/dmi/tables, without an entry point.
    assert capture.decode(structures, "x") == found
    assert decode_file(encode_file(found), "other") == found
