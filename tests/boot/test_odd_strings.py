"""Strings of SMBIOS, and command lines, that are no good UTF-8: the real stub hashes and passes them as is predicted.

Each machine has one odd string in each field that ids of type 3 are made of, and firmware that this id alone selects:
PCR 11 is as predicted only where all six strings become the characters that fuki takes them for.
"""

from pathlib import Path
from typing import Any

import parts
import pytest

from fuki_build.hardware.machine import Machine, encode_file
from tests.support.bootable import build

FIELDS = ("manufacturer", "product", "family", "sku", "baseboard_manufacturer", "baseboard_product")
STRINGS = {
    "latin": (
        b"Acme",
        b"Caf\xe9 Box",  # Latin-1: three bytes are skipped, the good ones among them
        b"\xff\xff\xff",
        b"\xf0\x9f\x98\x80x",  # beyond U+FFFF
        b"end\xe3\x81",  # cut at the end
        b"\xc1\xa1long",  # an overlong form of "a"
    ),
    "overlong": (
        b"nul\xc0\x80x",  # an overlong form of NUL ends the string
        b"  0012 ",
        b"\xed\xa0\x80s\xed\xb0\x80",  # surrogates
        b"\xf8\x88\x80\x80\x80y",  # five bytes
        b"\xfc\x80\x80\x80\x81\x81z",  # six
        b"\xfe\xfe1",
    ),
    "stripped": (
        "M\N{LATIN SMALL LETTER U WITH DIAERESIS}ller".encode(),
        b"\x80\xbfcont",
        b"\xff 00x",  # blanks and zeros behind a skipped byte stay
        b"\xe0\x80\xaf/",
        b"tail\xe9   ",  # stripped first, then cut short
        b"\xf5\x80\x80\x80w\xf0\x8f\xbf\xbf",
    ),
}
CMDLINE = b"console=ttyS0 name=Caf\xe9 box \xf0\x9f\x98\x80 a\xc1\xa1b \xc3\xbc end=\xe3\x81"


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("odd") / "image"
    text = ""
    for name, strings in STRINGS.items():
        texts = (string.decode("utf-8", "surrogateescape") for string in strings)
        fields: dict[str, Any] = dict(zip(FIELDS, texts, strict=True))
        machine = Machine(name=name, **fields)
        (directory / name).mkdir(parents=True)
        (directory / name / "firmware.fd").write_bytes(name.encode().ljust(4096, b"\xff"))
        (directory / f"{name}.toml").write_bytes(encode_file(machine))
        text += f"""
[[fuki.firmware]]
source = "directory"
path = "{name}"
machines = ["{name}.toml"]
chid-types = [3]
"""
    return build(directory, text, cmdline=CMDLINE)


@pytest.mark.parametrize("name", STRINGS)
def test_the_stub_takes_odd_strings_for_what_is_predicted(name, bench, image):
    machine = image.with_name(f"{name}.toml")
    verdict = bench.boot(image, "--direct", "--as", machine, "--firmware", parts.get("ovmf-2022"))
    assert verdict.document["fwid"] == name
    assert verdict.compared["PCR 9", "sha256"]["verdict"] == "equal"
