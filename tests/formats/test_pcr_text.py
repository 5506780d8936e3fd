"""Register values as tpm2_pcrread, sysfs and systemd print them, and what is none of these."""

import pytest

from fuki_build.errors import FormatError
from fuki_build.formats.tcg import pcr_text

SHA1, SHA256, SHA384, SHA512 = ("ab" * size for size in (20, 32, 48, 64))


@pytest.mark.parametrize(
    ("line", "bank", "register", "digits"),
    [
        (f"11={SHA1}", "sha1", 11, SHA1),
        (f"0={SHA256}", "sha256", 0, SHA256),
        (f"23={SHA384}", "sha384", 23, SHA384),
        (f"4={SHA512}", "sha512", 4, SHA512),
        (f"sha384:7={SHA384}", "sha384", 7, SHA384),
        (f"SHA256:7={SHA256}", "sha256", 7, SHA256),
        (f"sm3:7={SHA256}", "sm3", 7, SHA256),
        (f"sm3_256:7={SHA256}", "sm3", 7, SHA256),
        (f"  9 : 0x{SHA256.upper()}", "sha256", 9, SHA256),  # tpm2_pcrread
        (f"PCR-10: {SHA1}", "sha1", 10, SHA1),  # the kernel's file pcrs
    ],
)
def test_a_line_tells_bank_register_and_value(line: str, bank: str, register: int, digits: str):
    assert pcr_text.decode_value(line) == ((bank, register), bytes.fromhex(digits))


def test_the_bank_of_a_line_counts_before_that_of_its_heading():
    text = f"sm3_256:\n  1: 0x{SHA256}\n  sha256:1: 0x{SHA256}\n"
    assert set(pcr_text.decode(text)) == {("sm3", 1), ("sha256", 1)}


def test_a_list_has_a_heading_for_each_bank():
    values = pcr_text.decode(f"sha1:\n  0 : 0x{SHA1}\n\nsha256:\n  0 : 0x{SHA256}\n  23: 0x{SHA256}\n")
    assert values == {
        ("sha1", 0): bytes.fromhex(SHA1),
        ("sha256", 0): bytes.fromhex(SHA256),
        ("sha256", 23): bytes.fromhex(SHA256),
    }


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("register eleven", "'register eleven' is no register's value"),
        (f"sha256:1={SHA1}", "a value of 40 hexadecimal digits does not fit sha256"),
        ("1=abcd", "a value of 4 hexadecimal digits fits no bank"),
        (f"24={SHA256}", "there is no register 24"),
        (f"sha3:1={SHA256}", "a value of 64 hexadecimal digits does not fit sha3"),
    ],
)
def test_what_is_no_value_is_told(line: str, problem: str):
    with pytest.raises(FormatError) as raised:
        pcr_text.decode_value(line)
    assert raised.value.message == problem


def test_what_is_no_value_is_told_with_the_form_that_one_has():
    with pytest.raises(FormatError) as raised:
        pcr_text.decode_value("eleven")
    assert raised.value.hint == "write PCR=HEX"


@pytest.mark.parametrize("text", ["", "\n \n", "sha256:\n"])
def test_a_list_without_values_is_told(text: str):
    with pytest.raises(FormatError) as raised:
        pcr_text.decode(text)
    assert raised.value.message == "there are no registers in it"
