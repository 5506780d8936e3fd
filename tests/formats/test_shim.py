"""What shim measures, out of a real shim (Debian's), and out of anything else."""

import re
import subprocess
from struct import pack

import parts
from hypothesis import given
from hypothesis import strategies as st

from fuki_build.formats.asn1 import x509
from fuki_build.formats.uefi import shim
from fuki_build.image.inspect import inspect


def contents_of_shim() -> list[bytes]:
    return [section.content.read_small(1 << 20, "a section") for section in inspect(parts.get("shim")).plain_sections]


def test_the_levels_of_a_real_shim_are_those_that_strings_shows():
    text = subprocess.run(["strings", "-n", "18", parts.get("shim")], capture_output=True, text=True, check=True).stdout
    shown = {f"{line}\n".encode() for line in text.splitlines() if re.fullmatch(r"sbat,1,\d{10}", line)}
    levels = [level for content in contents_of_shim() for level in shim.levels(content)]
    assert {level.partition(b"\n")[0] + b"\n" for level in levels} >= shown
    assert shim.ORIGINAL_LEVEL in levels


def test_the_vendor_of_a_real_shim_is_its_distribution():
    (certificate,) = filter(None, map(shim.vendor_certificate, contents_of_shim()))
    assert "Debian" in x509.subject(certificate)


@given(st.binary(max_size=64), st.binary(max_size=64), st.lists(st.integers(0, 2**32 - 1), min_size=4, max_size=4))
def test_other_content_has_neither_and_never_more_than_it_holds(before, after, table):
    content = pack("<IIII", *table) + before + b"\x30\x82" + after
    assert shim.vendor_certificate(content) in content[16:]
    assert shim.levels(before) == []
