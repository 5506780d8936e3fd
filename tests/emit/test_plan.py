"""The plan is exactly what a build writes, and costs no more than reading headers."""

import json
import os
import subprocess
import sys
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

import pefile
import pytest

from fuki_build.testing import invoke, succeed
from tests.support.rich import ADDONS, UKI, sections


@pytest.fixture
def planned(rich):
    return json.loads(succeed(rich, "plan", "--json").out)


def test_every_planned_place_and_size_is_what_the_build_writes(rich, planned):
    succeed(rich, "build")
    for image, path in zip(planned["images"], (UKI, *ADDONS), strict=True):
        plan = [(s["name"], s["address"], s["offset"], s["size"], s["raw-size"]) for s in image["sections"]]
        assert plan == [written[:5] for written in sections(rich / path)]
        assert image["file-size"] == (rich / path).stat().st_size


def test_planning_writes_nothing(rich):
    before = sorted(rich.rglob("*"))
    succeed(rich, "plan")
    assert sorted(rich.rglob("*")) == before


def test_sections_do_not_overlap_in_file_or_memory(planned):
    for image in planned["images"]:
        for start, size in (("offset", "raw-size"), ("address", "size")):
            places = sorted((s[start], s[start] + s[size]) for s in image["sections"] if s[size])
            assert all(one[1] <= other[0] for one, other in pairwise(places))


def test_header_slots_left_are_those_before_the_first_section(rich, planned):
    succeed(rich, "build")
    image = pefile.PE(rich / UKI, fast_load=True)
    table = image.sections[-1].get_file_offset() + 40
    starts = [s.PointerToRawData for s in image.sections if s.SizeOfRawData]
    end = min(image.OPTIONAL_HEADER.SizeOfHeaders, *starts)
    assert planned["images"][0]["header-slots-left"] == (end - table) // 40


def test_shares_are_parts_of_the_file(planned):
    for image in planned["images"]:
        for section in image["sections"]:
            assert section["share"] == pytest.approx(section["raw-size"] / image["file-size"], abs=1e-6)


def test_profiles_firmware_and_machines_are_told(planned):
    image = planned["images"][0]
    assert [(p["number"], p["id"], p["title"]) for p in image["profiles"]] == [
        (0, "main", None),
        (1, "debug", "Boot with a debug shell"),
        (2, "other", None),
    ]
    assert [(f["profile"], f["fwid"], f["kind"]) for f in image["firmware"]] == [
        (None, "one", "OVMF"),
        (None, "two", "OVMF"),
        (2, "three", "OVMF"),
    ]
    assert {device["fwid"]: device["name"] for device in image["devices"]} == {
        "one": "QEMU q35",
        "two": "QEMU i440fx",
        "three": "three",
    }


def test_the_source_of_each_section_is_what_the_recipe_calls_it(planned):
    base = {s["name"]: s["source"] for s in planned["images"][0]["sections"] if s["profile"] is None}
    assert base[".text"] == "stub"
    assert base[".linux"] == "vmlinuz"
    assert base[".initrd"] == "initrd.img, more.img"
    assert base[".cmdline"] == "recipe"
    assert base[".osrel"] == "os-release"


def test_what_the_stub_measures_is_told(planned):
    """The stub's enum in uki.h of 262: all of UAPI.5's sections but .pcrsig; of .efifw only the one that matches."""
    measured = {s["name"]: s["measured"] for s in planned["images"][0]["sections"]}
    assert {name for name, where in measured.items() if where == "PCR 11"} == {
        ".linux", ".osrel", ".cmdline", ".initrd", ".uname", ".sbat", ".profile", ".hwids",
    }  # fmt: skip
    assert measured[".efifw"] == "PCR 11 if matched"
    assert measured[".text"] == ""


def test_the_table_has_a_line_for_every_section(rich, planned):
    out = succeed(rich, "plan").out
    for image in planned["images"]:
        for section in image["sections"]:
            row = [section["name"], f"{section['address']:#x}", f"{section['offset']:#x}"]
            assert any(all(word in line.split() for word in row) for line in out.splitlines())
        assert f"{image['header-slots-left']} section headers left" in out
        assert f"({image['file-size']} bytes)" in out


def test_findings_go_to_standard_error_and_into_the_json(rich, planned):
    outcome = succeed(rich, "plan")
    assert [finding["rule"] for finding in planned["findings"]] == ["firmware-not-handed-over"]
    assert "[firmware-not-handed-over]" in outcome.err
    assert "[firmware-not-handed-over]" not in outcome.out


class Tags(HTMLParser):
    """Whether tags close in the order in which they were opened; and all attributes."""

    VOID = ("meta", "br", "link", "img")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


REFERENCES = ("href", "src", "xlink:href", "data", "action", "srcset", "poster")


class TestPictures:
    def test_the_svg_is_xml_with_a_bar_for_every_section(self, rich, planned):
        root = ET.fromstring(succeed(rich, "plan", "--svg").out)  # noqa: S314 - our own
        name = "{http://www.w3.org/2000/svg}"
        assert root.tag == f"{name}svg"
        titles = [title.text.split()[0] for title in root.iter(f"{name}title") if title.text]
        for image in planned["images"]:
            for section in image["sections"]:
                assert section["name"] in titles or not section["raw-size"]

    def test_bars_are_to_scale(self, rich, planned):
        root = ET.fromstring(succeed(rich, "plan", "--svg").out)  # noqa: S314 - our own
        name = "{http://www.w3.org/2000/svg}"
        bars = [rect for rect in root.iter(f"{name}rect") if rect.find(f"{name}title") is not None]
        linux = next(rect for rect in bars if rect.findtext(f"{name}title", "").startswith(".linux"))
        image = planned["images"][0]
        section = next(s for s in image["sections"] if s["name"] == ".linux")
        assert float(linux.attrib["width"]) == pytest.approx(1000 * section["raw-size"] / image["file-size"], abs=0.01)
        assert float(linux.attrib["x"]) == pytest.approx(1000 * section["offset"] / image["file-size"], abs=0.01)

    def test_the_html_is_well_formed(self, rich):
        tags = Tags()
        text = succeed(rich, "plan", "--html").out
        tags.feed(text)
        tags.close()
        assert text.startswith("<!DOCTYPE html>")
        assert tags.open == []

    @pytest.mark.parametrize("form", ["--svg", "--html"])
    def test_a_picture_refers_to_nothing_outside(self, rich, form):
        text = succeed(rich, "plan", form).out
        tags = Tags()
        tags.feed(text)
        assert not [name for name, _ in tags.attributes if name in REFERENCES]
        assert "<script" not in text
        assert "@import" not in text
        assert "url(" not in text

    @pytest.mark.parametrize("form", ["--svg", "--html"])
    def test_a_text_cannot_break_out_of_a_picture(self, rich, form):
        evil = '</text></svg><script>alert(1)</script>&\\"'
        recipe = (rich / "fuki.toml").read_text()
        (rich / "fuki.toml").write_text(recipe.replace("root=LABEL=root ro debug", evil))
        text = succeed(rich, "plan", form).out
        assert "<script" not in text
        if form == "--svg":
            ET.fromstring(text)  # noqa: S314 - our own

    def test_json_and_a_picture_cannot_be_had_at_once(self, rich):
        assert invoke(rich, "plan", "--json", "--svg").code == 2


READ_BYTES = """
import sys
from fuki_build.cli.main import run
code = run(sys.argv[1:])
counters = dict(line.split(": ") for line in open("/proc/self/io"))
print(counters["rchar"].strip(), file=sys.stderr)
sys.exit(code)
"""


def bytes_read(workshop: Path, size: int) -> int:
    os.truncate(workshop / "initrd.img", size)
    done = subprocess.run(
        [sys.executable, "-c", READ_BYTES, "plan", "--json"], cwd=workshop, capture_output=True, text=True, check=True
    )
    plan = json.loads(done.stdout)
    assert plan["images"][0]["file-size"] > size
    return int(done.stderr.splitlines()[-1])


def test_planning_a_gibibyte_reads_no_more_than_planning_a_mebibyte(workshop):
    bytes_read(workshop, 1024)  # so that Python's caches are warm
    small = bytes_read(workshop, 1024**2)
    assert abs(bytes_read(workshop, 1024**3) - small) < 64 * 1024
