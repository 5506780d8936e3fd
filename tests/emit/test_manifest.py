"""The manifest of a build: inputs, sections, firmware and findings."""

import json

import pytest

from fuki_build.testing import succeed
from tests.support.rich import ADDONS, MANIFEST, UKI, authenticode, sections, sha256


class TestManifest:
    @pytest.fixture
    def manifest(self, rich):
        succeed(rich, "build")
        return json.loads((rich / MANIFEST).read_text())

    def test_every_input_has_its_digest(self, rich, manifest):
        read = {item["name"]: item["sha256"] for item in manifest["inputs"]}
        assert read.pop("command:two/firmware-0") == sha256((rich / "two.fd").read_bytes())
        assert set(read) == {"stub", "vmlinuz", "initrd.img", "more.img", "os-release", "one.fd", "two.fd"}
        for name, digest in read.items():
            assert digest == sha256((rich / name).read_bytes()), name

    def test_every_input_has_its_place_in_the_recipe(self, manifest):
        places = {(item["where"], item["name"]) for item in manifest["inputs"]}
        assert {
            ("fuki.image.stub", "stub"),
            ("fuki.image.linux", "vmlinuz"),
            ("fuki.image.initrd[0]", "initrd.img"),
            ("fuki.image.initrd[1]", "more.img"),
            ("fuki.firmware[0]", "one.fd"),
            ("fuki.profile[1].firmware[0]", "two.fd"),
            ("fuki.addon[1].initrd", "more.img"),
        } <= places

    def test_every_section_has_its_digest(self, rich, manifest):
        for image, path in zip(manifest["images"], (UKI, *ADDONS), strict=True):
            told = [(s["name"], s["sha256"]) for s in image["sections"]]
            assert told == [(name, sha256(content)) for name, _, _, _, _, content in sections(rich / path)]

    def test_every_image_has_its_authenticode_digest(self, rich, manifest):
        told = [image["authenticode"] for image in manifest["images"]]
        assert told == [authenticode(rich / path) for path in (UKI, *ADDONS)]

    def test_the_firmwares_origins_are_told(self, rich, manifest):
        digest = sha256((rich / "two.fd").read_bytes())
        assert manifest["firmware"] == {
            "one": {"source": "file"},
            "two": {"source": "command", "command": "cat", "sha256": digest},
            "three@2": {"source": "file"},
        }

    def test_hardware_ids_are_told(self, manifest):
        devices = {device["fwid"]: device["chids"] for device in manifest["images"][0]["devices"]}
        assert devices["three"] == ["01e09b32-de05-56ca-b9d1-9486ad5f381d"]

    def test_nothing_of_the_machine_is_in_it(self, rich):
        succeed(rich, "build")
        text = (rich / MANIFEST).read_text()
        assert str(rich) not in text
        assert "/tmp" not in text  # noqa: S108 - scratch directories lie there

    def test_findings_are_told(self, manifest):
        assert [finding["rule"] for finding in manifest["findings"]] == ["firmware-not-handed-over"]

    def test_it_has_a_version(self, manifest):
        assert isinstance(manifest["version"], int)
