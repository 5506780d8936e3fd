"""fuki report: the page, read with a strict parser; its facts, from other programs and verbs."""

import hashlib
import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from justhtml import JustHTML
from justhtml.dom import Node

from fuki_build.formats.pe import pe
from fuki_build.testing import invoke, refused, secure_boot, succeed
from tests.conftest import RECIPE
from tests.signing.conftest import SIGN
from tests.support import rich
from tests.support.images import layout_of, write
from tests.support.pcr_policies import POLICY, PROFILES
from tests.support.workshop import FIRMWARE, IMAGE

SCRIPT = "<script>alert(1)</script>"


def read(text: str) -> JustHTML:
    """The page; a parse error of any kind is a failure."""
    return JustHTML(text, strict=True, sanitize=False)


def page(directory: Path, *arguments: object) -> JustHTML:
    succeed(directory, "report", *arguments, "-o", "page.html")
    return read((directory / "page.html").read_text())


def text_of(document: JustHTML, selector: str = "body") -> str:
    (element,) = document.query(selector)
    return " ".join(element.to_text().split())


def attribute(element: Node, name: str) -> str:
    """The value of an attribute that has to be there."""
    value = (element.attrs or {}).get(name)
    assert value is not None, name
    return value


def rows(document: JustHTML, selector: str) -> list[list[str]]:
    """The cells of every row below a selector."""
    return [
        [" ".join(cell.to_text().split()) for cell in row.query("th, td")] for row in document.query(f"{selector} tr")
    ]


@pytest.fixture
def image(pcr: Path) -> Path:
    (pcr / "fuki.toml").write_text(RECIPE + FIRMWARE + PROFILES + POLICY + SIGN)
    succeed(pcr, "build")
    return pcr / IMAGE


class TestFacts:
    def test_the_file_is_identified_as_others_do(self, image):
        text = text_of(page(image.parent, image), "#identity")
        assert rich.sha256(image.read_bytes()) in text
        pesign = subprocess.run(["osslsigncode", "verify", "-in", image], capture_output=True, text=True, check=False)
        (digest,) = re.findall(r"Calculated message digest : ([0-9A-F]{64})", pesign.stdout)
        assert digest.lower() in text

    def test_an_image_of_odd_size_has_the_digest_of_its_file(self, image):
        with image.open("ab") as file:
            file.write(b"behind the signatures")
        assert rich.sha256(image.read_bytes()) in text_of(page(image.parent, image), "#identity")

    def test_every_section_is_there_with_its_digest(self, image):
        table = rows(page(image.parent, image), "#layout")
        for name, _, offset, _, _, content in rich.sections(image):
            assert any({name, f"{offset:#x}", rich.sha256(content)} <= set(row) for row in table), name

    def test_the_picture_is_to_scale(self, image):
        shapes = page(image.parent, image).query("#layout svg rect")
        size = image.stat().st_size
        linux = next(s for s in rich.sections(image) if s[0] == ".linux")
        (shape,) = [s for s in shapes if s.to_text().strip().startswith(".linux")]
        assert float(attribute(shape, "x")) == pytest.approx(linux[2] / size * 100, abs=0.001)
        assert float(attribute(shape, "width")) == pytest.approx(linux[4] / size * 100, abs=0.001)

    def test_firmware_has_the_digest_of_its_file_and_its_machines(self, image, part):
        one = next(row for row in rows(page(image.parent, image), "#firmware") if row[0] == "one")
        assert one[-1] == hashlib.sha256(part("ovmf-generic").read_bytes()).hexdigest()
        assert one[-2] == "1"

    def test_machines_select_what_match_says(self, image):
        out = json.loads(succeed(image.parent, "match", image, "--platform", "all", "--json").out)
        table = rows(page(image.parent, image), "#firmware")
        for match in out["matches"]:
            hit = match["firmware"]
            assert any(
                {match["machine"], "all", hit["fwid"], hit["chid"], str(hit["type"])} <= set(row) for row in table
            )

    def test_platforms_of_plugins_and_machine_files_are_told(self, image):
        (image.parent / "nova.toml").write_text('[machine]\nmanufacturer = "Acme"\n')
        succeed(image.parent, "--plugin", "gcp", "report", image, "--machine", "nova.toml", "-o", "page.html")
        text = text_of(read((image.parent / "page.html").read_text()), "#firmware")
        assert "Google Compute Engine" in text
        assert "nova" in text

    def test_values_are_those_of_measure(self, image):
        options = ("--bank", "sha1", "--bank", "sha384", "--phase", "enter-initrd", "--phase", "a:b")
        view = json.loads(succeed(image.parent, "measure", image, *options, "--json").out)
        text = text_of(page(image.parent, image, *options), "#predictions")
        registers = [register for case in view["predictions"] for register in case["registers"]]
        values = {value for register in registers for value in register["values"].values()}
        assert len(values) > 3 * 3 * 3 * 2
        assert [value for value in values if value not in text] == []
        assert {register["unknown"] for register in registers if register["unknown"] not in text} == set()
        assert set(re.findall(r"\b[0-9a-f]{40,}\b", text)) == values

    def test_ways_to_boot_count(self, image):
        document = page(image.parent, image, "--direct", "--console", "", "--options", "quiet", "--no-boot-secret")
        assert "cannot be told" not in text_of(document, "#predictions")
        assert "by the hypervisor" in text_of(document, "#basis")
        assert "passed: quiet" in text_of(document, "#basis")

    def test_policies_are_held_against_every_case(self, image):
        document = page(image.parent, image)
        cells = [" ".join(cell.to_text().split()) for cell in document.query("#policies .matrix td")]
        assert cells == ["holds"] * 3 * 3 * 4
        assert "each holds, and no case is left out" in text_of(document, "header")

    def test_policies_that_leave_out_a_case_and_hold_nowhere_are_told(self, image, pcr):
        succeed(pcr, "inspect", image, "--extract", ".pcrsig@0", "-o", "old")
        succeed(pcr, "inspect", image, "--extract", ".pcrpkey", "-o", "pcr.pub")
        old = json.loads((pcr / "old").read_text())
        broken = {**old["sha256"][0], "sig": old["sha256"][1]["sig"]}
        stray = {**old["sha256"][0], "pol": "00" * 32}
        (pcr / "old").write_text(json.dumps({"sha256": [broken, *old["sha256"][1:4], stray]}))
        own = 'pcrpkey = "pcr.pub"\n[fuki.image.sections]\n".pcrsig" = "old"\n'
        (pcr / "fuki.toml").write_text(RECIPE + own + FIRMWARE + PROFILES)
        succeed(pcr, "build")
        document = page(pcr, image)
        cells = [" ".join(cell.to_text().split()) for cell in document.query("#policies .matrix td")]
        assert cells[:12] == ["forged", *["holds"] * 3, *["left out"] * 8]
        assert "00" * 32 in text_of(document, "#policies")

        assert "2 broken" in text_of(document, "header")

    def test_signatures_have_the_verdicts_of_verify(self, image):
        document = page(image.parent, image, "--certificate", "ca.crt")
        assert "trusted through CN=Acme CA" in text_of(document, "header")
        assert "CN=Acme db" in text_of(document, "#signatures")
        assert "untrusted" in text_of(page(image.parent, image, "--certificate", "other.crt"), "header")

    def test_findings_are_those_of_check(self, pcr):
        (pcr / "fuki.toml").write_text(RECIPE.replace('os-release = "os-release"\n', ""))
        succeed(pcr, "build")
        (finding,) = json.loads(succeed(pcr, "check", IMAGE, "--json").out)["findings"]
        text = text_of(page(pcr, IMAGE), "#findings")
        assert finding["message"] in text
        assert finding["rule"] in text


class TestPage:
    def test_nothing_comes_from_elsewhere_and_nothing_runs(self, image):
        document = page(image.parent, image)
        text = (image.parent / "page.html").read_text()
        assert document.query("script, link, img, iframe, object, embed, base, form") == []
        links = [attribute(a, "href") for a in document.query("a")]
        assert links
        assert all(link.startswith("#") and document.query(link) for link in links)
        assert not re.search(
            r"url\(|@import|https?://(?!systemd|uapi|tracker)|\bon[a-z]+=", re.sub(r"(?s)<code>.*?</code>", "", text)
        )
        (policy,) = document.query("meta[http-equiv]")
        assert attribute(policy, "content").startswith("default-src 'none'")

    def test_it_can_be_read_by_machine_and_by_ear(self, image):
        document = page(image.parent, image)
        assert attribute(document.query("html")[0], "lang") == "en"
        assert len(document.query("h1")) == 1
        for table in document.query("table"):
            assert table.query("caption")
            assert all(attribute(cell, "scope") for cell in table.query("th"))
        ids = [attribute(element, "id") for element in document.query("[id]")]
        assert len(ids) == len(set(ids))
        labels = [attribute(element, "aria-label") for element in document.query("[role=region]")]
        assert len(labels) == len(set(labels))

    def test_it_is_the_same_each_time_and_has_a_date_only_where_one_is_given(self, image, monkeypatch):
        monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
        first = succeed(image.parent, "report", image, "-o", "-").out
        assert succeed(image.parent, "report", image, "-o", "-").out == first
        monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
        dated = succeed(image.parent, "report", image, "-o", "-").out
        assert "2023-11-14" not in first
        assert dated.replace(". 2023-11-14", "") == first

    def test_the_image_is_read_once(self, image, monkeypatch):
        counted: list[int] = []
        real = os.pread

        def pread(descriptor: int, length: int, offset: int) -> bytes:
            data = real(descriptor, length, offset)
            counted.append(len(data))
            return data

        monkeypatch.setattr(os, "pread", pread)
        page(image.parent, image)
        size = image.stat().st_size
        assert size <= sum(counted) < 1.2 * size


class TestForeignImages:
    def hostile(self, directory: Path) -> Path:
        name = SCRIPT.encode()
        sections = [
            (".linux", b"kernel", None),
            (".osrel", b"ID=x\nPRETTY_NAME='%s'\n" % name, None),
            (".cmdline", b'"><img src=x onerror=alert(1)> %s' % name, None),
            (".uname", name, None),
            (".sbat", b"sbat,1,SBAT\n%s,1\n" % name, None),
            (".pcrsig", b'{"sha256":[{"pcrs":[11],"pkfp":"aa","pol":"bb","ref":"%s"}]}' % name, None),
            (".profile", b"ID=%s\nTITLE='%s \xe2\x80\xae\x1b[31m'\n" % (name, name), 0),
            ("<b>", b"x", 0),
        ]
        return write(directory / "<i>image.efi", layout_of(sections))

    def test_markup_in_an_image_is_shown_as_text(self, pcr):
        image = self.hostile(pcr)
        document = page(pcr, image)
        assert document.query("script, img") == []
        assert [element for element in document.query("i, b") if element.to_text() in ("image.efi", "x")] == []
        assert SCRIPT in text_of(document, "#profiles")
        assert SCRIPT in text_of(document, "#identity")
        assert SCRIPT in text_of(document, "#policies")
        text = (pcr / "page.html").read_text()
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert "\\u202e" in text

    def test_so_is_markup_in_a_certificate(self, pcr):
        other = secure_boot.make_identity(SCRIPT)
        secure_boot.write_key(pcr / "evil.key", other.key)
        secure_boot.write_certificates(pcr / "evil.crt", other.certificate)
        (pcr / "fuki.toml").write_text(RECIPE + SIGN.replace("db.", "evil."))
        succeed(pcr, "build")
        document = page(pcr, IMAGE, "--certificate", "evil.crt")
        assert document.query("script") == []
        assert r"CN=\<script\>" in text_of(document, "#signatures")

    @pytest.mark.parametrize("name", ["stub-x64", "kernel-x64", "shim", "addon-stub-x64"])
    def test_what_is_no_uki_has_a_page_without_predictions(self, tmp_path, part, name):
        document = page(tmp_path, part(name))
        assert document.query("#signatures")
        assert document.query("#predictions") == []

    def test_what_cannot_be_predicted_is_said(self, tmp_path):
        layout = layout_of([(".linux", b"x", None)])
        claimed = [h._replace(virtual_size=1 << 30) if h.name == ".linux" else h for h in layout.headers.sections]
        image = write(tmp_path / "image.efi", layout)
        with image.open("r+b") as file:
            file.write(pe.encode(layout.headers.with_sections(tuple(claimed))))
        assert "claim" in text_of(page(tmp_path, image), "#predictions")

    def test_policies_of_too_many_keys_are_not_told_apart(self, tmp_path):
        entries = [{"pcrs": [11], "pkfp": f"{number:04x}", "pol": "00"} for number in range(5000)]
        content = json.dumps({"sha256": entries}).encode()
        image = write(tmp_path / "image.efi", layout_of([(".linux", b"x", None), (".pcrsig", content, None)]))
        document = page(tmp_path, image)
        text = text_of(document, "#policies")
        assert "they name 5000 keys" in text
        assert "5000 entries; the first 200 of them" in text
        assert len(document.query("#policies tr")) < 300

    def test_a_policy_section_that_cannot_be_read_is_told(self, tmp_path):
        image = write(tmp_path / "image.efi", layout_of([(".linux", b"x", None), (".pcrsig", b"{", None)]))
        document = page(tmp_path, image)
        assert "unreadable" in text_of(document, "#policies")


class TestMistakes:
    def test_the_image_is_not_replaced(self, image):
        before = image.read_bytes()
        assert "the output would replace the input" in refused(image.parent, "report", image, "-o", image)
        assert image.read_bytes() == before

    @pytest.mark.parametrize(
        ("arguments", "words", "code"),
        [
            (("fuki.toml", "-o", "page.html"), "not a PE image", 1),
            (("nowhere", "-o", "page.html"), "No such file", 1),
            ((IMAGE, "-o", "page.html", "--certificate", "fuki.toml"), "not a certificate", 1),
            ((IMAGE, "-o", "page.html", "--bank", "md5"), "there is no bank 'md5'", 2),
            ((IMAGE, "-o", "page.html", "--phase", ":"), "has no word", 2),
            ((IMAGE, "-o", "page.html", "--machine", "initrd.img"), "initrd.img", 1),
            ((IMAGE, "-o", "."), "it is a directory", 1),
        ],
    )
    def test_others_end_in_one_error_and_leave_nothing(self, image, arguments, words, code):
        assert words in refused(image.parent, "report", *arguments, code=code)

    def test_an_output_is_wanted(self, image):
        assert "--output" in invoke(image.parent, "report", image).err
